import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion.msd import msd_exponent
from spt_explain.report import msd_panel
from spt_explain.report.style import house_style, new_figure, place_axes

# trackpy 0.7 with pandas 3.1
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
    pytest.mark.filterwarnings("ignore:Starting with pandas version"),
]


def walk(n=80, seed=0):
    xy = np.random.default_rng(seed).normal(0, 0.1, (n, 2)).cumsum(axis=0)
    return pd.DataFrame({"frame": np.arange(n) + 5, "x": xy[:, 0], "y": xy[:, 1]})


def test_the_curve_is_that_of_trackpy():
    import trackpy

    frames = walk().drop(index=[7, 30, 31])
    lag, msd, used = msd_panel.msd_curve(frames)
    expected = trackpy.msd(frames.reset_index(drop=True), 1, 1, max_lagtime=len(lag))["msd"]
    np.testing.assert_allclose(msd, expected)
    assert len(lag) == 19  # a quarter of the points
    assert lag[used].tolist() == list(range(1, 11))


def test_filled_positions_are_left_out():
    frames = walk(30)
    filled = frames.assign(filled=np.isin(frames["frame"], [9, 10, 20]))
    measured = filled[~filled["filled"]]
    np.testing.assert_array_equal(msd_panel.msd_curve(filled)[1], msd_panel.msd_curve(measured)[1])


def test_the_line_is_that_of_the_fit():
    frames = walk(200, 1)
    alpha = msd_exponent(*(frames[c].to_numpy() for c in ("frame", "x", "y")), np.array([0]))[0]
    axes = new_figure(60, 40).subplots()
    msd_panel.draw_msd(axes, frames, alpha, unit="µm", frame_interval_s=0.02)
    dots, line, dotted = axes.get_lines()
    time, msd = dots.get_data()
    assert time[0] == 0.02
    # least squares through the first ten lags, computed anew
    slope, height = np.polyfit(np.log(time[:10]), np.log(msd[:10]), 1)
    np.testing.assert_allclose(line.get_ydata(), np.exp(slope * np.log(time[:10]) + height))
    np.testing.assert_allclose(dotted.get_xdata(), time[9:])
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lag (s)", "MSD (µm²)")


@pytest.mark.parametrize("frames", [walk(1), walk(5).assign(x=1.0, y=2.0), walk(0)])
def test_nothing_to_draw(frames):
    with house_style():
        axes = new_figure(60, 40).subplots()
        msd_panel.draw_msd(axes, frames, np.nan, unit="", frame_interval_s=None)
    assert [text.get_text() for text in axes.texts] == ["no displacement"]


@given(st.floats(1e-100, 1e100), st.floats(4, 1e12))
def test_log_axes_have_a_few_round_ticks(low, ratio):
    high = low * ratio
    ticks = msd_panel.log_ticks(low, high, 4)
    assert 2 <= len(ticks) <= 5
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)
    assert {f"{tick:.3e}"[:5] for tick in ticks} <= {f"{k}.000" for k in range(1, 10)}


@pytest.mark.parametrize(
    ("ticks", "written"),
    [
        ((0.001, 0.01, 1), ["0.001", "0.01", "1"]),
        ((1, 1000), ["1", "1,000"]),
        ((100, 10_000), ["10²", "10⁴"]),
        ((1, 10, 1e5), ["1", "10", "10⁵"]),
        ((3000, 10_000), ["3×10³", "10⁴"]),
        ((1e-5, 3e-5), ["10⁻⁵", "3×10⁻⁵"]),
    ],
)
def test_long_labels_are_powers_of_ten(ticks, written):
    assert msd_panel.tick_labels(ticks) == written


def test_labels_of_an_axis_keep_off_its_name():
    frames = walk(2500)
    frames[["x", "y"]] *= 300
    with house_style():
        figure = new_figure(60, 40)
        axes = place_axes(figure, 16, 4, 44, 20)
        msd_panel.draw_msd(axes, frames, 1.0, unit="px", frame_interval_s=None)
        axes.yaxis.set_label_coords(-10.5 / 44, 0.5)
        figure.draw_without_rendering()
    name = axes.yaxis.label.get_window_extent().x1
    assert all(label.get_window_extent().x0 > name for label in axes.get_yticklabels())


def test_exponents_in_words():
    track = pd.Series({"alpha_msd": 0.972, "alpha": 0.5, "alpha_low": 0.41, "alpha_high": 0.62})
    assert msd_panel.alpha_words(track) == [
        "MSD grows as lag to power α = 0.97",
        "network: α = 0.50 (5–95 %: 0.41–0.62)",
    ]
    assert msd_panel.alpha_words(pd.Series({"alpha": 0.5}))[0] == "network: α = 0.50"
    assert msd_panel.alpha_words(pd.Series({"alpha_msd": -0.001}))[0].endswith("= 0.00")
    assert msd_panel.alpha_words(pd.Series({"alpha_msd": None, "class": "BM"})) == []
