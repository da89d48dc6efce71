from pathlib import Path

import numpy as np
import pytest
import tifffile

from spt_explain.report.fiji_view import fiji_view

MOVIE = np.zeros((5, 8, 6), dtype=np.uint16)


def view(path: Path, **more: float):
    return fiji_view(path, 6, 8, 5, **more)


def test_a_hyperstack_of_imagej(tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(
        path,
        MOVIE,
        imagej=True,
        resolution=(10.0, 5.0),
        metadata={"axes": "TYX", "unit": "um", "finterval": 0.1},
    )
    shown = view(path)
    assert (shown.pixel_width, shown.pixel_height) == pytest.approx((0.1, 0.2))
    assert shown.unit == "micron"
    assert (shown.n_frames, shown.n_slices, shown.remarks) == (5, 1, ())


@pytest.mark.parametrize(
    ("word", "unit"), [("nm", "nm"), ("pixel", "pixel"), ("\\u00B5m", "micron")]
)
def test_units_of_imagej(tmp_path, word, unit):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(
        path, MOVIE, imagej=True, resolution=(0.01, 0.01), metadata={"axes": "TYX", "unit": word}
    )
    shown = view(path)
    assert (shown.pixel_width, shown.unit) == (pytest.approx(100), unit)


def test_imagej_without_unit_counts_the_resolution(tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, MOVIE, imagej=True, resolution=(4.0, 4.0), metadata={"axes": "TYX"})
    assert (view(path).pixel_width, view(path).unit) == (0.25, "pixel")


def test_depth_and_time(tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(
        path,
        np.zeros((5, 3, 8, 6), dtype=np.uint16),
        imagej=True,
        metadata={"axes": "TZYX", "spacing": 0.4},
    )
    shown = view(path)
    assert (shown.n_slices, shown.voxel_depth, shown.remarks) == (3, 0.4, ())


@pytest.mark.parametrize("axes", ["ZYX", None])
def test_frames_that_fiji_takes_for_depth(tmp_path, axes):
    path = tmp_path / "movie.tif"
    if axes:
        tifffile.imwrite(path, MOVIE, imagej=True, metadata={"axes": axes})
    else:
        tifffile.imwrite(path, MOVIE, photometric="minisblack", metadata=None)
    (remark,) = view(path).remarks
    assert "slices and frames" in remark
    assert view(path).n_slices == 1


@pytest.mark.parametrize(
    ("resolution", "unit", "width", "shown_unit"),
    [
        ((72, 1), "INCH", 1.0, "pixel"),
        ((300, 1), "INCH", 1 / 300, "inch"),
        ((100_000, 1), "CENTIMETER", 0.1, "micron"),
        ((100, 1), "CENTIMETER", 0.01, "cm"),
        ((4, 1), "NONE", 0.25, "pixel"),
    ],
)
def test_a_plain_tiff(tmp_path, resolution, unit, width, shown_unit):
    path = tmp_path / "movie.tiff"
    tifffile.imwrite(
        path,
        MOVIE[0],
        resolution=(resolution, resolution),
        resolutionunit=unit,
        metadata=None,
    )
    shown = view(path)
    assert (shown.pixel_width, shown.unit) == (pytest.approx(width), shown_unit)
    assert shown.remarks == ()


def test_other_movies(tmp_path):
    (tmp_path / "movie.nd2").write_bytes(b"")
    shown = view(tmp_path / "movie.nd2", pixel_size_um=0.16)
    assert (shown.pixel_width, shown.unit) == (0.16, "micron")
    assert view(tmp_path / "movie.nd2").unit == "pixel"
    folder = view(tmp_path)
    assert folder.file is None
    assert "Image Sequence" in folder.remarks[0]
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    assert view(tmp_path / "cut.tif").unit == "pixel"


def test_a_description_that_counts_nothing(tmp_path):
    path = tmp_path / "movie.tif"
    text = "ImageJ=1.53c\nimages=5\nframes=5x\nunit=um\n"
    tifffile.imwrite(path, MOVIE, description=text, resolution=(10, 10), metadata=None)
    shown = view(path)
    assert (shown.pixel_width, shown.unit, shown.n_slices) == (pytest.approx(0.1), "micron", 1)
    assert shown.remarks
