import numpy as np
import pytest

from spt_explain.movies.look import LookedFrame, frames_to_show
from spt_explain.report.preview import close_up_side, densest_place, draw_preview
from spt_explain.report.style import house_style

RED = np.array([0xC8, 0x10, 0x2E]) / 255


def frame(index=0, role="first", shape=(64, 64), spots=((20.0, 30.0), (50.0, 10.0)), masses=()):
    rng = np.random.default_rng(index)
    image = rng.normal(100, 5, shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for u, v in spots:
        image += 200 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 4)
    return LookedFrame(index, role, image, np.array(spots).reshape(-1, 2), np.array(masses))


def draw(frames, **options):
    options = {
        "name": "movie.tif", "said": ["diameter 7 px"], "diameter": 7, "minmass": 50.0,
        "dark": False,
    } | options  # fmt: skip
    with house_style():
        figure = draw_preview(frames, **options)
        figure.canvas.draw()
    return figure


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    return found + [t.get_text() for axes in figure.axes for t in axes.texts]


def rings(axes):
    (collection,) = axes.collections
    return collection


def test_every_spot_has_a_ring_of_its_diameter_where_it_is():
    figure = draw([frame(masses=[10, 20, 100, 200])], diameter=9)
    found = rings(figure.axes[0])
    assert np.allclose(found.get_offsets(), [(20, 30), (50, 10)])
    assert np.allclose(found.get_widths(), 9)
    # in the picture as it is saved, the ring is half a diameter away from the spot
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    axes = figure.axes[0]
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    around = np.column_stack([20 + 4.5 * np.cos(angle), 30 + 4.5 * np.sin(angle)])
    column, row = axes.transData.transform(around).T
    seen = pixels[(len(pixels) - row).astype(int), column.astype(int)]
    assert (np.abs(seen - RED).max(axis=1) < 0.25).mean() > 0.6


def test_numbers_are_in_the_titles():
    some = frame(0, "first", masses=[60, 10]), frame(12, "densest", spots=[(9.0, 9.0)])
    found = texts(draw(some, said=["diameter 7 px", "two frames"]))
    assert "movie.tif" in found
    assert {"diameter 7 px", "two frames"} <= set(found)
    assert "frame 0 (first): 2 spots" in found
    assert "frame 12 (densest): 1 spot" in found
    assert "minmass 50" in found


def test_histogram_counts_every_peak_on_its_side_of_the_least_mass():
    rng = np.random.default_rng(1)
    masses = np.concatenate([rng.uniform(5, 49.9, 300), rng.uniform(50.1, 900, 40)])
    figure = draw([frame(masses=masses)])
    axes = figure.axes[-1]
    weak, spots = axes.containers
    assert sum(bar.get_height() for bar in weak) == pytest.approx(300)
    assert sum(bar.get_height() for bar in spots) == pytest.approx(40)
    # no bin holds both
    assert all(b.get_x() + b.get_width() <= 50 * (1 + 1e-9) for b in weak if b.get_height())
    assert all(b.get_x() >= 50 * (1 - 1e-9) for b in spots if b.get_height())
    (line,) = axes.lines
    assert line.get_xdata()[0] == 50


def test_scale_bar_is_in_micrometres_where_the_pixel_size_is_known():
    assert any("px" in text and "frame" not in text and "diameter" not in text
               for text in texts(draw([frame()])))  # fmt: skip
    found = texts(draw([frame()], pixel_size_um=0.1))
    assert "1\u2009µm" in found
    figure = draw([frame()], pixel_size_um=0.1)
    # 1 µm is 10 of the 64 px that the picture is wide
    (bar,) = [part for part in figure.get_children() if hasattr(part, "get_xdata")]
    drawn = np.ptp(bar.get_xdata())
    assert drawn == pytest.approx(10 / 64 * figure.axes[0].get_position().width, rel=1e-6)


def test_large_frames_have_close_ups_of_where_spots_are_densest():
    crowd = [(200.0 + 9 * k, 150.0) for k in range(6)]
    figure = draw([frame(shape=(256, 320), spots=[(20.0, 20.0), *crowd])])
    assert len(figure.axes) == 2
    near = figure.axes[1]
    left, right = near.get_xlim()
    low, high = near.get_ylim()
    assert all(left < x < right and high < y < low for x, y in crowd)
    assert right - left == low - high == close_up_side(256, 320, 7)


def test_small_frames_have_none():
    assert close_up_side(64, 64, 7) == 0
    assert close_up_side(20, 4000, 7) == 0  # a square would not fit
    assert close_up_side(512, 512, 7) == 98


def test_densest_place_lies_within_the_frame():
    assert densest_place(np.array([[1.0, 99.0]]), (100, 200), 50) == (0, 50)
    assert densest_place(np.empty((0, 2)), (100, 200), 50) == (75, 25)


@pytest.mark.parametrize("dark", [False, True])
def test_spots_are_dark_on_white_either_way(dark):
    one = frame(spots=[(30.0, 30.0)])
    if dark:
        image = 400 - one.image
        one = LookedFrame(0, "first", image, one.spots, one.masses)
    figure = draw([one], dark=dark)
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].mean(axis=2)
    column, row = figure.axes[0].transData.transform((30, 30))
    assert pixels[int(len(pixels) - row), int(column)] < 60
    column, row = figure.axes[0].transData.transform((10, 10))
    assert pixels[int(len(pixels) - row), int(column)] > 120


@pytest.mark.parametrize(
    "one",
    [
        frame(spots=(), masses=()),
        frame(spots=(), masses=[0.0, np.nan, np.inf]),
        frame(masses=[3.0]),
        frame(shape=(8, 400), spots=[(3.0, 3.0)]),
        frame(shape=(400, 8), spots=[(3.0, 3.0)]),
        LookedFrame(0, "first", np.zeros((30, 30)), np.empty((0, 2)), np.empty(0)),
    ],
)
@pytest.mark.parametrize("minmass", [0.0, 1e-9, 50.0, 1e9])
def test_odd_frames_are_drawn(one, minmass):
    figure = draw([one], minmass=minmass, name="$x_{1}$ " + "a" * 300)
    width, height = figure.get_size_inches() * 25.4
    assert 170 < width < 180
    assert 20 < height < 300


def test_frames_to_show():
    assert frames_to_show(np.array([1, 2, 9, 3, 4, 5])) == [
        (0, "first"), (2, "densest"), (3, "middle"),
    ]  # fmt: skip
    assert frames_to_show(np.array([9, 2, 1, 3])) == [(0, "first, densest"), (2, "middle")]
    assert frames_to_show(np.array([0, 0])) == [(0, "first, densest"), (1, "middle")]
