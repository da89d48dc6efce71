import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers.inputs import ReadOptions
from spt_explain.readers.units import FileUnits, calibrate, length_factor_um, time_factor_s


def table(z: float | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({"particle": [0, 0], "frame": [0, 1], "x": [1.0, 2.0], "y": [3.0, 4.0]})
    if z is not None:
        frame["z"] = [0.0, z]
    return frame


def scaled(file: FileUnits, options: ReadOptions) -> float:
    """The factor by which positions were multiplied."""
    positions = table()
    calibrate(positions, file, options)
    factors = positions[["x", "y"]].to_numpy() / table()[["x", "y"]].to_numpy()
    assert np.ptp(factors) < 1e-12
    return float(factors[0, 0])


@pytest.mark.parametrize(
    ("word", "factor"),
    [
        ("micron", 1),
        ("Microns", 1),
        ("micrometer", 1),
        ("micrometres", 1),
        ("um", 1),
        ("UM", 1),
        ("\u00b5m", 1),
        ("\u03bcm", 1),
        ("(\u00b5m)", 1),
        ("[micron]", 1),
        ("\u00b5m".encode().decode("latin-1"), 1),
        ("\u00b5m".encode().decode("cp1252"), 1),
        ("\u03bcm".encode().decode("cp1252"), 1),
        ("\u00b5m".encode("cp1252").decode(errors="replace"), 1),
        ("\\u00B5m", 1),
        ("nm", 1e-3),
        ("Nanometers", 1e-3),
        ("\u00c5", 1e-4),
        ("\u212b", 1e-4),
        ("angstroms", 1e-4),
        ("mm", 1e3),
        ("cm", 1e4),
        ("m", 1e6),
        ("inch", 25400),
        ("Inches", 25400),
        ("pixel", None),
        ("Pixels", None),
        ("px", None),
        ("", None),
        (" ", None),
        ("furlong", None),
        ("s", None),
        (None, None),
    ],
)
def test_length_words(word, factor):
    assert length_factor_um(word) == factor


@pytest.mark.parametrize(
    ("word", "factor"),
    [
        ("s", 1),
        ("sec", 1),
        ("Sec.", 1),
        ("(sec)", 1),
        ("seconds", 1),
        ("ms", 1e-3),
        ("msec", 1e-3),
        ("msecs", 1e-3),
        ("Milliseconds", 1e-3),
        ("\u00b5s", 1e-6),
        ("\u03bcs", 1e-6),
        ("us", 1e-6),
        ("ns", 1e-9),
        ("min", 60),
        ("mins", 60),
        ("h", 3600),
        ("hours", 3600),
        ("day", 86400),
        ("frame", None),
        ("frames", None),
        ("pixel", None),
        (" ", None),
        (None, None),
    ],
)
def test_time_words(word, factor):
    assert time_factor_s(word) == factor


def test_the_unit_of_the_file_is_used():
    positions = table()
    file = FileUnits("nm", "ms", 50.0, where_length="file: spaceUnits=nm", where_time="file: 50 ms")
    calibration, notes = calibrate(positions, file, ReadOptions())
    assert positions["x"].tolist() == pytest.approx([0.001, 0.002])
    assert calibration.length_unit == "um"
    assert calibration.length_source == "file: spaceUnits=nm"
    assert calibration.frame_interval_s == pytest.approx(0.05)
    assert calibration.time_source == "file: 50 ms"
    assert notes == []


def test_options_are_ignored_where_the_file_knows_better():
    positions = table()
    options = ReadOptions(pixel_size_um=0.1, frame_interval_s=3.0)
    calibration, notes = calibrate(positions, FileUnits("micron", "sec", 0.5), options)
    assert positions["x"].tolist() == [1.0, 2.0]
    assert calibration.frame_interval_s == 0.5
    assert calibration.pixel_size_um is None
    assert len(notes) == 2
    assert all("ignored" in note and "override_units=True" in note for note in notes)
    assert "pixel_size_um=0.1" in notes[0]
    assert "frame_interval_s=3" in notes[1]


@pytest.mark.parametrize("word", ["pixel", "px", "", " ", None, "furlong"])
def test_options_fill_in_what_the_file_lacks(word):
    positions = table()
    options = ReadOptions(pixel_size_um=0.5, frame_interval_s=0.02)
    calibration, _ = calibrate(positions, FileUnits(word, "frame", 1.0), options)
    assert positions["y"].tolist() == [1.5, 2.0]
    assert calibration.length_unit == "um"
    assert calibration.length_source == "pixel_size_um=0.5"
    assert calibration.pixel_size_um == 0.5
    assert calibration.frame_interval_s == 0.02
    assert calibration.time_source == "frame_interval_s=0.02"


@pytest.mark.parametrize("override", [False, True])
def test_pixels_are_scaled_once_with_or_without_override(override):
    options = ReadOptions(pixel_size_um=0.25, override_units=override)
    assert scaled(FileUnits("pixel", None, None), options) == 0.25


def test_nothing_known_stays_in_pixels():
    positions = table()
    calibration, notes = calibrate(positions, FileUnits(None, None, None), ReadOptions())
    pd.testing.assert_frame_equal(positions, table())
    assert calibration.length_unit == "px"
    assert calibration.length_source == calibration.time_source == "not given"
    assert calibration.frame_interval_s is None
    assert notes == []


def test_unknown_unit_is_said():
    calibration, notes = calibrate(table(), FileUnits("furlong", None, None), ReadOptions())
    assert calibration.length_unit == "px"
    assert calibration.length_source == "not given"
    assert "furlong" in notes[0]


def test_override_rescales_where_the_file_holds_its_pixel_size():
    # 2 µm made with 0.2 µm pixels are 10 pixels, which are 1 µm with 0.1 µm pixels.
    file = FileUnits("micron", None, None, pixel_size_um=0.2)
    options = ReadOptions(pixel_size_um=0.1, override_units=True)
    assert scaled(file, options) == pytest.approx(0.5)
    calibration, notes = calibrate(table(), file, options)
    assert calibration.pixel_size_um == 0.1
    assert "rescaled" in notes[0]
    # The same in nm.
    file = FileUnits("nm", None, None, pixel_size_um=0.2)
    assert scaled(file, options) == pytest.approx(0.5e-3)


def test_override_takes_positions_as_pixels_otherwise():
    options = ReadOptions(pixel_size_um=0.1, override_units=True)
    for held in (None, 0.0, math.nan, -1.0):
        file = FileUnits("nm", None, None, pixel_size_um=held)
        assert scaled(file, options) == pytest.approx(0.1)
    _, notes = calibrate(table(), FileUnits("nm", None, None), options)
    assert "pixels" in notes[0]


def test_override_replaces_the_frame_interval_alone():
    positions = table()
    options = ReadOptions(frame_interval_s=0.1, override_units=True)
    calibration, notes = calibrate(positions, FileUnits("micron", "sec", 1.0), options)
    assert positions["x"].tolist() == [1.0, 2.0]
    assert calibration.frame_interval_s == 0.1
    assert "override_units=True" in calibration.time_source
    assert "1 s" in notes[0]


def test_override_without_a_value_is_an_error():
    with pytest.raises(SptError, match="pixel_size_um=, frame_interval_s="):
        calibrate(table(), FileUnits("micron", "s", 1.0), ReadOptions(override_units=True))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("option", ["pixel_size_um", "frame_interval_s"])
def test_options_must_be_positive_numbers(option, value):
    with pytest.raises(SptError, match=f"{option}= is"):
        calibrate(table(), FileUnits("micron", "s", 1.0), ReadOptions(**{option: value}))


@pytest.mark.parametrize(
    ("value", "unit", "seconds", "said"),
    [
        (1.0, "sec", 1.0, False),
        (60.0, "ms", 0.06, False),
        (1.0, "frame", None, False),
        (1.0, "frames", None, False),
        (1.0, "pixel", None, False),
        (1.0, None, None, False),
        (0.05, "frame", None, True),
        (0.05, None, None, True),
        (0.0, "sec", None, True),
        (-math.inf, "sec", None, True),
        (math.nan, "ms", None, True),
        (5e-37, "sec", None, True),
        (1e300, "sec", None, True),
    ],
)
def test_which_frame_intervals_are_believed(value, unit, seconds, said):
    calibration, notes = calibrate(table(), FileUnits(None, unit, value), ReadOptions())
    assert calibration.frame_interval_s == pytest.approx(seconds)
    assert any("frame_interval_s=" in note for note in notes) == said


def test_depth_in_pixels_is_scaled_and_said():
    positions = table(z=5.0)
    _, notes = calibrate(positions, FileUnits("pixel", None, None), ReadOptions(pixel_size_um=0.1))
    assert positions["z"].tolist() == pytest.approx([0.0, 0.5])
    assert any(note.startswith("z ") for note in notes)
    flat = table(z=0.0)
    _, notes = calibrate(flat, FileUnits("pixel", None, None), ReadOptions(pixel_size_um=0.1))
    assert notes == []


def test_inches_are_doubted():
    assert scaled(FileUnits("inch", None, None), ReadOptions()) == 25400
    _, notes = calibrate(table(), FileUnits("inch", None, None), ReadOptions())
    assert "override_units=True" in notes[0]


def test_positions_beyond_all_numbers_are_an_error():
    positions = table()
    positions["x"] = 1e308
    with pytest.raises(SptError, match="too large"):
        calibrate(positions, FileUnits("inch", None, None), ReadOptions())


@given(
    word=st.one_of(st.none(), st.text(max_size=12)),
    time=st.one_of(st.none(), st.text(max_size=12)),
    interval=st.one_of(st.none(), st.floats()),
    held=st.one_of(st.none(), st.floats()),
)
def test_any_words_and_numbers_give_a_calibration(word, time, interval, held):
    calibration, _ = calibrate(table(), FileUnits(word, time, interval, held), ReadOptions())
    value = calibration.frame_interval_s
    assert value is None or (math.isfinite(value) and value > 0)
