import math

import pytest

from spt_explain.errors import SptError
from spt_explain.movies.calibration import (
    StackUnits,
    check_options,
    imagej_units,
    ome_units,
    settle,
)

OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="P" SizeX="8" SizeY="8" SizeT="4" {attributes}>{planes}</Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("micron", 9.0909, 0.11),
        ("\\u00B5m", 10.0, 0.1),
        ("µm", 2.0, 0.5),
        ("um", 10.0, 0.1),
        ("nm", 0.01, 0.1),
        ("mm", 1e4, 0.1),
        ("pixel", 10.0, None),
        ("", 10.0, None),
        ("micron", None, None),
        ("inch", 72.0, None),
        ("micron", 1.0, None),
        ("micron", 1e9, None),
    ],
)
def test_imagej_pixel_size_is_taken_where_plausible(
    unit: str, resolution: float | None, expected: float | None
) -> None:
    units = imagej_units({"unit": unit}, resolution, resolution)
    if expected is None:
        assert units.pixel_size_um is None
    else:
        assert units.pixel_size_um == pytest.approx(expected, rel=1e-4)
        assert "ImageJ" in units.pixel_source


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"finterval": 0.05}, 0.05),
        ({"finterval": 50, "tunit": "ms"}, 0.05),
        ({"finterval": 2, "tunit": "min"}, 120.0),
        ({"finterval": 1.0}, None),
        ({"finterval": 0}, None),
        ({"finterval": -math.inf}, None),
        ({"finterval": "NaN"}, None),
        ({"finterval": 5e-37}, None),
        ({"finterval": 30, "tunit": "frames"}, None),
        ({}, None),
    ],
)
def test_imagej_frame_interval_is_taken_where_plausible(
    metadata: dict[str, object], expected: float | None
) -> None:
    assert imagej_units(metadata, None, None).frame_interval_s == pytest.approx(expected)


def test_what_is_not_believed_is_said_with_the_option_that_mends_it() -> None:
    units = imagej_units({"unit": "micron", "finterval": 5e-37}, 1.0, 1.0)
    assert any("exactly 1 µm" in note and "pixel_size_um=" in note for note in units.notes)
    assert any("5e-37" in note and "frame_interval_s=" in note for note in units.notes)


def test_pixels_that_are_not_square_are_not_used() -> None:
    units = imagej_units({"unit": "micron"}, 10.0, 5.0)
    assert units.pixel_size_um is None
    assert "not square" in units.notes[0]


@pytest.mark.parametrize(
    ("attributes", "size", "interval"),
    [
        ('PhysicalSizeX="0.1" PhysicalSizeY="0.1" TimeIncrement="0.03"', 0.1, 0.03),
        ('PhysicalSizeX="100" PhysicalSizeXUnit="nm"', 0.1, None),
        ('TimeIncrement="30" TimeIncrementUnit="ms"', None, 0.03),
        ('PhysicalSizeX="1.0" TimeIncrement="1.0"', None, None),
        ('PhysicalSizeX="abc" TimeIncrement="-3"', None, None),
        ('PhysicalSizeX="0.1" PhysicalSizeXUnit="reference frame"', None, None),
    ],
)
def test_ome_units(attributes: str, size: float | None, interval: float | None) -> None:
    units = ome_units(OME.format(attributes=attributes, planes=""))
    assert units.pixel_size_um == pytest.approx(size)
    assert units.frame_interval_s == pytest.approx(interval)


def test_ome_times_of_planes_give_the_interval_where_no_increment_is_set() -> None:
    planes = "".join(
        f'<Plane TheC="0" TheZ="0" TheT="{t}" DeltaT="{d}" DeltaTUnit="ms"/>'
        for t, d in enumerate([5, 45, 85, 130])
    )
    units = ome_units(OME.format(attributes='TimeIncrement="1"', planes=planes))
    assert units.frame_interval_s == pytest.approx(0.04)
    assert "DeltaT" in units.time_source
    assert not any("--frame-interval-s" in note for note in units.notes)


@pytest.mark.parametrize("xml", ["", "<OME>", "<OME/>", "\x00", "<a>" * 5])
def test_broken_ome_xml_gives_no_units(xml: str) -> None:
    units = ome_units(xml)
    assert units.pixel_size_um is None
    assert units.frame_interval_s is None


def test_options_fill_in_what_the_file_lacks() -> None:
    calibration, notes = settle(StackUnits(), pixel_size_um=0.11, frame_interval_s=0.02)
    assert calibration.length_unit == "um"
    assert calibration.length_source == "pixel_size_um=0.11"
    assert calibration.frame_interval_s == 0.02
    assert notes == []


def test_the_file_comes_first_and_the_option_ignored_is_said() -> None:
    file = StackUnits(0.1, "file: ImageJ", 0.05, "file: finterval")
    calibration, notes = settle(file, pixel_size_um=0.2)
    assert calibration.pixel_size_um == 0.1
    assert calibration.frame_interval_s == 0.05
    assert "override_units=True" in notes[0]


def test_override_replaces_only_what_is_given() -> None:
    file = StackUnits(0.1, "file: ImageJ", 0.05, "file: finterval")
    calibration, notes = settle(file, pixel_size_um=0.2, override_units=True)
    assert calibration.pixel_size_um == 0.2
    assert "(override_units=True)" in calibration.length_source
    assert calibration.frame_interval_s == 0.05
    assert "0.1 µm was replaced by 0.2 µm" in notes[0]


def test_a_given_value_silences_the_advice_to_give_it() -> None:
    file = imagej_units({"finterval": 1.0}, None, None)
    assert file.notes
    assert settle(file, frame_interval_s=1.0)[1] == []


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_impossible_options_are_refused(value: float) -> None:
    with pytest.raises(SptError, match="pixel_size_um="):
        check_options(value, None, False)
    with pytest.raises(SptError, match="frame_interval_s="):
        check_options(None, value, False)


def test_override_without_a_value_is_refused() -> None:
    with pytest.raises(SptError, match="override_units=True"):
        check_options(None, None, True)
