import numpy as np
import pandas as pd
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.movies.stack import Stack
from spt_explain.report import placing


@pytest.fixture
def movie(tmp_path):
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, np.zeros((6, 20, 30), np.uint8), imagej=True, metadata={"axes": "TYX"})
    return path


def tables(n=3, *, x=5.0, y=6.0, first=0):
    frames = pd.DataFrame(
        {
            "file": "a.csv",
            "particle": np.repeat(np.arange(n), 4),
            "segment": 0,
            "frame": np.tile(np.arange(4), n) + first,
            "x": x,
            "y": y,
            "score": np.tile([1.0, -2.0, np.nan, 0.5], n),
        }
    )
    tracks = pd.DataFrame(
        {"file": "a.csv", "particle": np.arange(n)[::-1], "segment": 0, "class": "BM"}
    )
    return frames, tracks


def put(movie, frames, tracks, **options):
    with Stack(movie) as stack:
        return placing.place(stack, frames, tracks, **({"unit": "pixel"} | options))


@pytest.mark.parametrize(
    ("unit", "size", "x"), [("pixel", None, 5), ("µm", 0.5, 10), ("nm", 0.5, 0.01), ("px", 0.5, 5)]
)
def test_positions_in_pixels(movie, unit, size, x):
    scene = put(movie, *tables(), unit=unit, pixel_size_um=size)
    np.testing.assert_allclose(scene.paths[0].x, x)
    assert scene.pixel == (size or 1)
    assert scene.unit == ("µm" if size else "px")


def test_paths_carry_class_and_scores():
    frames, tracks = tables()
    tracks["overlay"] = [True, False, True]
    tracks["class"] = ["BM", "SubFBM", None]
    frames["x"] = np.arange(12.0)
    with_scores, without, none = placing._paths(frames, tracks, 1.0)
    np.testing.assert_array_equal(with_scores.share, [0.5, -1, np.nan, 0.25])
    np.testing.assert_array_equal(with_scores.x, [8, 9, 10, 11])
    assert without.share is None
    assert [path.name for path in (with_scores, without, none)] == ["BM", "SubFBM", ""]


def test_the_pixel_size_is_asked_for(movie):
    with pytest.raises(SptError, match="pixel_size_um="):
        put(movie, *tables(), unit="µm")
    with pytest.raises(SptError, match=r"parsec.*expected µm or pixels"):
        put(movie, *tables(), unit="parsec")


def test_tracks_of_another_movie_are_refused(movie):
    with pytest.raises(SptError, match=r"none of the 3 tracks lies within .*30 × 20 pixels"):
        put(movie, *tables(x=500.0))
    with pytest.raises(SptError, match="none of the 3 tracks"):
        put(movie, *tables(first=6))
    with pytest.raises(SptError, match=r"the one track does not lie within .* of this track\.$"):
        put(movie, *tables(1, x=500.0))
    with pytest.raises(SptError, match=r"of these tracks, and the movie's pixel size \("):
        put(movie, *tables(x=500.0), unit="µm", pixel_size_um=0.1)
    with pytest.raises(SptError, match="expected class or score"):
        placing.check_colour_by("alpha")
    frames, tracks = tables()
    with pytest.raises(SptError, match="no tracks to draw"):
        put(movie, frames, tracks.iloc[:0])


def test_tracks_outside_are_counted(movie):
    frames, tracks = tables()
    frames.loc[frames["particle"] == 1, "y"] = 19.6
    assert put(movie, frames, tracks).notes == ("1 of 3 tracks lies outside of the movie.",)
    frames.loc[frames["particle"] == 1, "y"] = 19.4  # half a pixel beyond the last one's middle
    assert put(movie, frames, tracks).notes == ()


@pytest.mark.parametrize("dark", [False, True])
def test_spots_are_dark_and_the_background_white(dark):
    rng = np.random.default_rng(0)
    image = rng.normal(100, 1, (50, 50))
    image[20:23, 20:23] = 30 if dark else 200
    assert placing.stands_out_dark(image) == dark
    grey = placing.shades(image, placing.contrast(image, dark=dark), dark=dark)
    assert grey[21, 21] == placing.DARKEST
    assert np.median(grey) > 230
    flat = placing.shades(np.ones((2, 2)), (1.0, 1.0), dark=dark)
    assert np.isfinite(flat).all()


def test_classes_in_the_order_of_the_network():
    frames, tracks = tables()
    tracks["class"] = ["SubFBM", "Own", None]
    found = placing.class_colours(placing._paths(frames, tracks, 1.0), ("BM", "SubFBM"))
    assert {name: count for name, (_, count) in found.items()} == {"SubFBM": 1, "": 1, "Own": 1}
    assert next(iter(found)) == "SubFBM"


def test_positions_without_drift_are_put_back_onto_the_movie() -> None:
    from spt_explain.report.placing import in_movie
    from spt_explain.tracks import Calibration, Source, Tracks

    frame = np.tile(np.arange(6), 2)
    drift = 0.1 * frame
    table = pd.DataFrame(
        {
            "particle": np.repeat([0, 1], 6),
            "frame": frame,
            "x": 1.0 - drift,
            "y": 2.0 + drift,
            "x_px": 1.0 / 0.5,
            "y_px": 2.0 / 0.5,
        }
    )
    tracks = Tracks(table, Calibration("um", pixel_size_um=0.5), Source("m.tif", "a movie"))
    found = in_movie(table[["particle", "frame", "x", "y"]], tracks)
    np.testing.assert_allclose(found["x"], 1.0)
    np.testing.assert_allclose(found["y"], 2.0)
    plain = Tracks(table[["particle", "frame", "x", "y"]], Calibration(), Source("t", "t"))
    assert in_movie(table, plain) is table
