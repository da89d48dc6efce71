import numpy as np
import pytest

from spt_explain.report.movie_canvas import NARROWEST_PX, Canvas
from spt_explain.report.placing import Placed, Scene


def canvas(shape=(40, 30), *, share=None, interval=None, name="BM", **options):
    n = 5
    path = Placed(name, np.arange(n), np.arange(n) * 5.0, np.full(n, 12.0), share)
    scene = Scene([path], 0.2, "µm", interval, ())
    given = {"classes": ("BM",), "colour_by": "score", "tail": 3, "dark": False, "side_px": 400}
    return Canvas(scene, shape, (0.0, 100.0), **(given | options))


@pytest.mark.parametrize(
    ("shape", "zoom"), [((40, 30), 10), ((3000, 1500), 400 / 3000), ((7, 301), 1), ((1, 1), 400)]
)
def test_all_frames_have_one_even_size(shape, zoom):
    made = canvas(shape)
    width, height = made.size
    assert width % 2 == height % 2 == 0
    assert width >= max(NARROWEST_PX, int(shape[0] * zoom))
    for index in (0, 3, 99):
        assert made.draw(np.zeros(shape[::-1]), index).size == made.size


def test_pixels_of_the_movie_are_squares_of_their_grey():
    made = canvas(side_px=400)
    frame = np.zeros((30, 40))
    frame[3, 20] = 100.0
    grey = np.asarray(made.draw(frame, 50)).astype(int)
    assert (grey[30:40, 200:210] < 130).all()
    assert (grey[40:50, 200:210] == 255).all()
    assert (grey[30:40, 190:200] == 255).all()


def test_colours_are_those_of_the_scores():
    made = canvas(share=np.array([-1.0, -1, -1, 1, 1]))
    picture = np.asarray(made.draw(np.zeros((30, 40)), 4)).astype(int)

    def close(colour):
        near = np.abs(picture[:300] - colour).sum(axis=2) < 20
        return np.flatnonzero(near.any(axis=0))

    against, speaks_for = (0x3B, 0x1A, 0x6E), (0xA6, 0x4A, 0x00)
    assert close(against).max() < close(speaks_for).min()
    assert close(speaks_for).max() == pytest.approx(205 + 5, abs=1)


@pytest.mark.parametrize("by", ["class", "score"])
@pytest.mark.parametrize("share", [None, np.linspace(-1, 1, 5)])
def test_a_gif_has_all_the_colours(by, share):
    made = canvas(share=share, colour_by=by)
    picture = made.draw(np.random.default_rng(0).uniform(0, 100, (30, 40)), 4)
    flat = picture.quantize(palette=made.palette(), dither=0).convert("RGB")
    off = np.abs(np.asarray(flat).astype(int) - np.asarray(picture).astype(int)).max(axis=2)
    assert np.quantile(off, 0.99) <= 12
    assert off.max() < 90  # where a line's edge is blended with a grey


def test_many_classes_and_names_fit():
    classes = tuple(f"Class number {k}" for k in range(12))
    paths = [Placed(name, np.arange(2), np.zeros(2), np.zeros(2), None) for name in (*classes, "")]
    made = Canvas(
        Scene(paths, 1.0, "px", 0.5, ()), (20, 20), (0, 1), classes=classes, colour_by="class",
        tail=None, dark=True, side_px=400,
    )  # fmt: skip
    picture = np.asarray(made.draw(np.zeros((20, 20)), 1)).astype(int)
    assert (picture[-4:] == 255).all()  # nothing is cut off below …
    assert (picture[400:, -3:] == 255).all()  # … or at the right
    assert len(made.palette().getpalette()) == 768
