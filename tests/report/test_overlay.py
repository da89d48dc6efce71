import numpy as np
import pandas as pd
import pytest
import tifffile

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.movies import track_stack
from spt_explain.movies.stack import Stack
from spt_explain.report import overlay
from spt_explain.report.style import CLASS_COLOURS, NEUTRAL, PAGE_MM, house_style


@pytest.fixture
def movie(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "$film$.tif"
    images = rng.integers(90, 110, (8, 40, 60)).astype(np.uint16)
    for k in range(8):
        images[k, 10 + k : 13 + k, 20:23] = 400
    tifffile.imwrite(path, images, imagej=True, metadata={"axes": "TYX"})
    return path


def tables(n=5):
    frames = pd.DataFrame(
        {
            "file": "a",
            "particle": np.repeat(np.arange(n), 8),
            "segment": 0,
            "frame": np.tile(np.arange(8), n),
            "x": 21.0 + np.repeat(np.arange(n), 8),
            "y": 11.0 + np.tile(np.arange(8), n),
            "score": np.linspace(-1, 3, 8 * n),
        }
    )
    tracks = pd.DataFrame({"file": "a", "particle": np.arange(n), "segment": 0})
    tracks["class"] = [CLASS_NAMES[k % 8] for k in range(n)]
    tracks["overlay"] = np.arange(n) != 1
    return frames, tracks


def test_projection_is_the_maximum_read_frame_by_frame(movie, monkeypatch):
    held = []
    frame = Stack.frame
    monkeypatch.setattr(Stack, "frame", lambda self, k: held.append(k) or frame(self, k))
    seen = []
    with Stack(movie) as stack:
        best = overlay.project(stack, progress=lambda done, n: seen.append((done, n)))
        least = overlay.project(stack, dark=True)
    images = tifffile.imread(movie)
    np.testing.assert_array_equal(best, images.max(axis=0))
    np.testing.assert_array_equal(least, images.min(axis=0))
    assert held == [*range(8), *range(8)]
    assert seen == [(k, 8) for k in range(1, 9)]


def test_large_projections_are_drawn_in_blocks():
    image = np.arange(35.0, dtype=np.float32).reshape(5, 7)
    small = overlay.in_blocks(image, 3)
    assert small.tolist() == [[16, 19, 20], [30, 33, 34]]
    assert overlay.in_blocks(image, 3, dark=True)[0, 0] == 0
    assert overlay.in_blocks(image, 7) is image


def test_tracks_lie_on_their_spots_in_the_colours_of_their_classes(movie):
    frames, tracks = tables()
    with house_style():
        figure = overlay.overlay_projection(
            movie, frames, tracks, unit="pixel", classes=CLASS_NAMES
        )
        figure.draw_without_rendering()
    axes = figure.axes[0]
    grey = axes.get_images()[0].get_array()
    left, right, bottom, top = axes.get_images()[0].get_extent()
    assert (left, right, bottom, top) == (-0.5, 59.5, 39.5, -0.5)
    _, lines = axes.collections
    for path, name, (_, rows) in zip(
        lines.get_segments(), tracks["class"], frames.groupby("particle"), strict=True
    ):
        np.testing.assert_array_equal(path, rows[["x", "y"]])
        assert name in CLASS_NAMES
    first = lines.get_segments()[0].astype(int)
    assert (grey[first[:, 1], first[:, 0]] < 130).all()
    import matplotlib as mpl

    colours = [mpl.colors.to_hex(c).upper() for c in lines.get_colors()]
    assert colours == [CLASS_COLOURS[name] for name in tracks["class"]]
    said = [text.get_text() for text in figure.texts]
    assert "Maximum of 8 frames, 5 tracks coloured by class" in said
    assert "SubATTM (1)" in said
    width, height = figure.get_size_inches() * 25.4
    assert width == pytest.approx(PAGE_MM)
    box = axes.get_position()
    assert box.width * width / (box.height * height) == pytest.approx(60 / 40)


def test_scores_and_tracks_without(movie):
    frames, tracks = tables()
    with house_style():
        figure = overlay.overlay_projection(
            movie, frames, tracks, unit="µm", pixel_size_um=1.5, colour_by="score"
        )
        figure.draw_without_rendering()
    import matplotlib as mpl

    casing, *lines = figure.axes[0].collections
    assert len(casing.get_segments()) == len(lines) == 5
    assert {mpl.colors.to_hex(c) for c in lines[1].get_colors()} == {NEUTRAL.lower()}
    assert len({tuple(c) for c in lines[0].get_colors()}) > 3
    np.testing.assert_allclose(np.sort(lines[0].get_segments(), axis=0)[0, 0], [14, 11 / 1.5])
    said = " ".join(text.get_text() for text in figure.texts)
    assert "\u2009µm" in said
    assert "no map" in said


@pytest.mark.parametrize("shape", [(4, 300, 20), (4, 20, 300), (3, 2, 2)])
def test_any_shape_keeps_its_words_on_the_page(tmp_path, shape):
    path = tmp_path / f"{'long' * 40}.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), imagej=True, metadata={"axes": "TYX"})
    frames, tracks = tables(9)
    frames[["x", "y"]] = 0.5
    with house_style():
        figure = overlay.overlay_projection(path, frames, tracks, unit="px", classes=CLASS_NAMES)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


def test_what_can_be_mended(movie, tmp_path):
    frames, tracks = tables()
    with pytest.raises(SptError, match="class or score"):
        overlay.overlay_projection(movie, frames, tracks, unit="px", colour_by="size")
    with pytest.raises(SptError, match="was not found"):
        overlay.overlay_projection(tmp_path / "none.tif", frames, tracks, unit="px")
    broken = tmp_path / "cut.tif"
    broken.write_bytes(movie.read_bytes()[:20_000])
    with pytest.raises(SptError, match="damaged"):
        overlay.overlay_projection(broken, frames, tracks, unit="px")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
def test_real_movie(shared_stacks):
    path = shared_stacks / "faketracks.tif"
    tracked = track_stack(path).table
    frames = tracked.assign(file="f", segment=0, score=1.0)
    tracks = frames.drop_duplicates("particle").assign(**{"class": "BM"})
    with house_style():
        figure = overlay.overlay_projection(path, frames, tracks, unit="pixel")
    grey = np.asarray(figure.axes[0].get_images()[0].get_array())
    at = frames[["y", "x"]].round().astype(int).to_numpy()
    assert np.median(grey[at[:, 0], at[:, 1]]) < np.median(grey) - 50
