import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.report.reason_figures import track_figure
from spt_explain.report.style import (
    CLASS_COLOURS,
    DOTS_PER_INCH,
    NEUTRAL,
    PAGE_MM,
    house_style,
    save_figure,
    signed_colours,
)

STATISTICS = ("AC", "CS", "NG", "SG", "VD")


def made(n=300, *, seed=0, windows=True, timeline=True, **changes):
    rng = np.random.default_rng(seed)
    frame = np.arange(n) + 17
    walk = rng.normal(0, 0.05, (n, 2)).cumsum(axis=0) + 12
    score = np.sin(np.arange(n) / max(n / 9, 1)) + 0.2
    frames = pd.DataFrame(
        {
            "frame": frame,
            "x": walk[:, 0],
            "y": walk[:, 1],
            "score": score,
            "score_contrast": 0.5 * score,
            "node": np.arange(n) // max(n // 20, 1),
        }
    )
    width, stride = max(round(0.225 * n), 2), max(n // 40, 1)
    starts = np.arange(0, n - width + 1, stride) if windows else np.zeros(0, int)
    table = pd.DataFrame({"first_frame": frame[starts], "last_frame": frame[starts + width - 1]})
    table["score"] = [score[s : s + width].mean() for s in starts]
    for name in STATISTICS:
        table[name] = rng.normal(0, 1, len(starts))
    p = pd.DataFrame(np.full((12, 8), 0.02), columns=[f"p_{c}" for c in CLASS_NAMES])
    p.loc[:6, "p_SubFBM"] = 0.86
    p.loc[7:, "p_BM"] = 0.86
    long = p.assign(window=range(12), change=np.arange(12) == 7)
    long["first_frame"] = 17 + np.arange(12) * n // 14
    long["last_frame"] = long["first_frame"] + n // 7
    long["class"] = ["SubFBM"] * 7 + ["BM"] * 5
    track = {
        "file": "day 1/cell 3.xml", "particle": 1234, "segment": 0, "n_points": n,
        "status": "classified", "class": "SubFBM", "probability": 0.86, "runner_up": "BM",
        **dict.fromkeys([f"p_{c}" for c in CLASS_NAMES], 0.01), "p_SubFBM": 0.86, "p_BM": 0.08,
        "alpha": 0.53, "alpha_low": 0.41, "alpha_high": 0.62, "alpha_msd": 0.97,
        "explained": "SubFBM", "against": "BM", "method": "gradcam", "layer": "block3",
        "nodes": 20, "resolution_frames": 15.0, "loss_top": 0.31, "loss_random": 0.12,
        "loss_random_sd": 0.03, "check": "passed", "overlay": True, "remark": "",
    }  # fmt: skip
    return pd.Series(track | changes), frames, table, long if timeline else long.iloc[:0]


def drawn(parts, *, unit="µm", interval=0.02, classes=CLASS_NAMES):
    return track_figure(*parts, unit=unit, frame_interval_s=interval, classes=classes)


def panel(figure, label):
    return next(axes for axes in figure.axes if axes.get_ylabel() == label)


def words(figure):
    return [text.get_text() for text in figure.texts]


def written(figure):
    """All texts that are seen, with their places in pixels."""
    renderer = figure.canvas.get_renderer()
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += axes.texts
        for one in (axes, *axes.child_axes):
            if not one.axison:
                continue
            for axis in (one.xaxis, one.yaxis):
                low, high = sorted(axis.get_view_interval())
                texts.append(axis.label)
                for tick in axis.get_major_ticks():
                    if low <= tick.get_loc() <= high:
                        texts += [tick.label1, tick.label2]
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in texts
        if text.get_visible() and text.get_text().strip()
    ]


def assert_tidy(figure):
    """No text overlaps another or leaves the page."""
    figure.draw_without_rendering()
    places = written(figure)
    assert len(places) > 10
    width, height = figure.get_size_inches() * DOTS_PER_INCH
    for text, box in places:
        inside = box.x0 > 0 and box.y0 > 0 and box.x1 < width and box.y1 < height
        assert inside, text
    for (text, box), (other, beside) in itertools.combinations(places, 2):
        across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        # boxes have room for ascenders and descenders that numbers don't use
        assert across <= 1 or along <= 0.3 * min(box.height, beside.height), (text, other)


def rest(n):
    track, frames, windows, timeline = made(n, alpha_msd=np.nan, status="immobile")
    return track, frames.assign(x=512.3, y=40.0), windows.assign(AC=np.nan), timeline.iloc[:0]


def walked(n, step):
    return np.random.default_rng(0).normal(0, step, n).cumsum()


def changed(n=60, *, of=None, **columns):
    track, frames, windows, timeline = made(n, **(of or {}))
    return track, frames.assign(**columns), windows, timeline


LONG = "Only two scores cover this track, which is too coarse to be drawn on the path: " * 2
CASES = {
    "12": lambda: made(12, timeline=False),
    "40": lambda: made(40, timeline=False),
    "300": lambda: made(300),
    "no windows, no timeline": lambda: made(40, windows=False, timeline=False),
    "one window": lambda: [
        part.iloc[:1] if k == 2 else part for k, part in enumerate(made(40, timeline=False))
    ],
    "no overlay": lambda: made(60, overlay=False, remark=LONG),
    "no better than random": lambda: made(60, check="no better than random"),
    "not checked": lambda: made(60, check="not checked", loss_top=np.nan, loss_random=np.nan),
    "no scores": lambda: changed(score=np.nan),
    "wide numbers": lambda: changed(400, x=walked(400, 300.0), y=0.0),
    "small numbers": lambda: changed(46, x=walked(46, 0.004), y=0.0),
    "no contrast": lambda: changed(score_contrast=np.nan, of={"against": ""}),
    "no scores at all": lambda: changed(score=np.nan, score_contrast=np.nan),
    "some scores": lambda: changed(score=[0.5, np.nan, -1.0] * 20),
    "constant": lambda: changed(score=0.0, score_contrast=0.0),
    "negative": lambda: changed(score=np.linspace(-3, -1, 60)),
    "at rest": lambda: rest(20),
    "x at rest": lambda: changed(x=3.0),
    "far away": lambda: changed(x=1e6 + np.arange(60), y=2e7),
    "one point": lambda: made(1, windows=False, timeline=False),
    "two points": lambda: made(2, windows=False, timeline=False),
    "verdicts of old": lambda: [
        made(60)[0].drop(["alpha", "alpha_low", "alpha_high", "alpha_msd"]), *made(60)[1:]
    ],
    "odd names": lambda: made(60, file="$x^2$_\t日本.csv", particle=-3, segment=2),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_every_track_gives_a_tidy_figure(name):
    with house_style():
        figure = drawn(CASES[name]())
        assert_tidy(figure)
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(PAGE_MM)


@pytest.mark.parametrize(("unit", "interval"), [("pixel", None), ("", None), ("nm", 1e-4)])
def test_units(unit, interval):
    with house_style():
        figure = drawn(made(), unit=unit, interval=interval)
        assert_tidy(figure)
    labels = {axes.get_ylabel() for axes in figure.axes}
    expected = {"pixel": "x (px)", "": "x", "nm": "x (nm)"}[unit]
    assert expected in labels
    below = {axes.get_xlabel() for axes in figure.axes}
    assert ("lag (s)" if interval else "lag (frames)") in below


def test_the_title_says_what_a_reader_must_know():
    with house_style():
        said = words(drawn(made()))
    assert "Particle 1234: SubFBM, probability 86 % · 300 points" in said
    assert "day 1/cell 3.xml" in said
    assert (
        "Scores for SubFBM by Grad-CAM at block 3 of the network: one score covers 15 frames, "
        "20 scores along the track." in said
    )
    assert (
        "Check: erasing the top 20 % of frames costs 0.31 of the probability, at random "
        "0.12 ± 0.03: passed." in said
    )


def test_path_and_coordinates_have_the_colours_of_the_scores():
    parts = made(80, timeline=False)
    score = parts[1]["score"].to_numpy()
    with house_style():
        figure = drawn(parts)
    most = np.abs(score).max()
    middle = (score[1:] + score[:-1]) / 2
    expected = signed_colours()((middle / most + 1) / 2)  # centred on zero
    for axes, columns in (
        (figure.axes[0], ["x", "y"]),
        (panel(figure, "x (µm)"), ["frame", "x"]),
        (panel(figure, "y (µm)"), ["frame", "y"]),
    ):
        lines = axes.collections[0]
        order = np.argsort(np.abs(middle), kind="stable")  # the strongest on top
        np.testing.assert_allclose(lines.get_colors(), expected[order])
        path = np.array([piece[0] for piece in lines.get_segments()])
        np.testing.assert_allclose(path, parts[1][columns].to_numpy()[:-1][order])
        widths = np.array(lines.get_linewidths())
        assert (np.diff(widths[np.argsort(middle[order])]) >= 0).all()
    (left, right), (low, high) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert right - left == pytest.approx(low - high)  # as in the movie, and as wide as high


def test_without_overlay_the_path_is_of_one_colour_and_the_reason_stands_there():
    remark = "The track has two scores only."
    with house_style():
        figure = drawn(made(overlay=False, remark=remark))
    for axes in (figure.axes[0], panel(figure, "x (µm)")):
        assert {mpl.colors.to_hex(c) for c in axes.collections[0].get_colors()} == {NEUTRAL.lower()}
    assert remark in words(figure)
    assert "◂ against" not in words(figure)  # no colour bar


def test_scale_bar_is_a_round_length():
    track, frames, windows, timeline = made()
    frames = frames.assign(x=np.linspace(5, 7.3, 300), y=1.0)
    with house_style():
        figure = drawn((track, frames, windows, timeline))
    bar = next(line for line in figure.artists if len(line.get_xdata()) == 2)
    length = np.ptp(bar.get_xdata()) * PAGE_MM
    path = figure.axes[0]
    left, right = path.get_xlim()
    assert "500\u2009nm" in words(figure)
    assert length / (path.get_position().width * PAGE_MM) * (right - left) == pytest.approx(0.5)


def test_bars_are_the_probabilities_and_two_classes_are_marked():
    with house_style():
        figure = drawn(made(explained="SubFBM", against="BM"))
    axes = next(axes for axes in figure.axes if len(axes.patches) == 8)
    bars = dict(zip(CLASS_NAMES, axes.patches, strict=True))
    assert bars["SubFBM"].get_width() == 0.86
    assert bars["BM"].get_width() == 0.08
    for name, bar in bars.items():
        assert mpl.colors.to_hex(bar.get_facecolor()).upper() == CLASS_COLOURS[name]
    assert {(t.get_text(), t.xy[1]) for t in axes.texts} == {("explained", 2), ("contrast", 7)}


def test_score_panel_holds_score_and_contrast():
    parts = made()
    with house_style():
        figure = drawn(parts)
    axes = panel(figure, "score")
    curves = [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 300]
    np.testing.assert_allclose(curves, parts[1][["score", "score_contrast"]].to_numpy().T)
    low, high = axes.get_ylim()
    assert low < 0 < high
    assert [text.get_text() for text in axes.texts] == ["score", "— for SubFBM", "- - and not BM"]


def test_fine_scores_are_shaded_and_their_lines_are_running_means():
    track, frames, windows, timeline = made(resolution_frames=1.0)
    score = np.random.default_rng(0).normal(0, 1, 300)
    score[40] = -50.0
    frames = frames.assign(score=score)
    with house_style():
        figure = drawn((track, frames, windows, timeline))
        assert_tidy(figure)
    axes = panel(figure, "score")
    curve = next(line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 300)
    expected = frames["score"].rolling(7, center=True, min_periods=1).mean()
    np.testing.assert_allclose(curve, expected)
    assert [text.get_text() for text in axes.texts][3:] == [
        "lines: running mean", "of 7 frames", "cut peaks to −50",
    ]  # fmt: skip
    assert axes.get_ylim()[0] > -25


def test_statistics_stand_over_the_middles_of_their_windows():
    parts = made()
    with house_style():
        figure = drawn(parts)
    windows = parts[2]
    middle = (windows["first_frame"] + windows["last_frame"]) / 2
    for name in STATISTICS:
        axes = panel(figure, name)
        points = axes.collections[-1].get_offsets()
        np.testing.assert_allclose(points, np.column_stack([middle, windows[name]]))
        assert axes.get_xlim() == panel(figure, "x (µm)").get_xlim()


def test_all_panels_are_marked_at_the_same_frames_and_seconds_stand_above():
    with house_style():
        figure = drawn(made())
        figure.draw_without_rendering()
    first, last = panel(figure, "x (µm)"), panel(figure, "probability")
    low, high = last.get_xlim()
    frames = [tick.get_loc() for tick in last.xaxis.get_major_ticks()]
    assert frames == [100, 200, 300]
    lines = [one for one in figure.artists if isinstance(one, mpl.lines.Line2D)]
    marks = next(line for line in lines if len(line.get_xdata()) == len(frames) * 8)
    places = figure.transFigure.inverted().transform(
        marks.get_transform().transform(marks.get_xydata())
    )
    box = first.get_position()
    across = box.x0 + (np.array(frames) - low) / (high - low) * box.width
    np.testing.assert_allclose(places[:, 0], np.tile(across, 8))
    above = [panel(figure, label) for label in ("x (µm)", "y (µm)", "score", *STATISTICS)]
    below = [axes.get_position().y0 for axes in above]
    np.testing.assert_allclose(places[:, 1], np.repeat(below, len(frames)))
    seconds = {text.get_text(): text.get_position()[0] for text in first.get_xticklabels()}
    assert {words: pytest.approx(float(words) / 0.02) for words in seconds} == seconds
    assert len(seconds) >= 3


@pytest.mark.parametrize(
    ("score", "ends", "tips"),
    [([-1.0, 2.0], (-1, 2), 0), ([0.5, 1.0], (0, 1), 0), ([1.0] * 59 + [90.0], (0, 18), 1)],
)
def test_the_bar_of_colours_ends_at_the_scores(score, ends, tips):
    scores = np.resize(score, 60)
    with house_style():
        figure = drawn(changed(score=scores))
    bar = next(one for one in figure.artists if isinstance(one, mpl.collections.QuadMesh))
    most = max(-ends[0], ends[1])
    values = ends[0] + (ends[1] - ends[0]) * (np.arange(256) + 0.5) / 256
    np.testing.assert_allclose(bar.get_facecolor(), signed_colours()((values / most + 1) / 2))
    assert sum(isinstance(one, mpl.patches.Polygon) for one in figure.artists) == tips


def test_timeline_stacks_probabilities_and_marks_the_change_everywhere():
    parts = made()
    timeline = parts[3]
    with house_style():
        figure = drawn(parts)
    axes = panel(figure, "probability")
    areas = axes.collections
    middle = ((timeline["first_frame"] + timeline["last_frame"]) / 2).to_numpy()
    bottom = np.zeros(12)
    for name, area in zip(CLASS_NAMES, areas, strict=True):
        assert mpl.colors.to_hex(area.get_facecolor()[0]).upper() == CLASS_COLOURS[name]
        bottom = bottom + timeline[f"p_{name}"].to_numpy()
        vertices = area.get_paths()[0].vertices
        for x, top in zip(middle, bottom, strict=True):
            assert np.isclose(vertices[np.isclose(vertices[:, 0], x), 1], top).any()
    assert [text.get_text() for text in axes.texts][:2] == ["SubFBM", "BM"]
    change = (middle[6] + middle[7]) / 2
    for label in ("x (µm)", "score", "AC", "probability"):
        marks = [line.get_xdata()[0] for line in panel(figure, label).get_lines()]
        assert change in marks


def test_many_classes_show_the_most_probable_and_those_explained():
    classes = [f"Class {k}" for k in range(30)]
    p = {f"p_{name}": k / 435 for k, name in enumerate(classes)}
    track, *tables = made(60, timeline=False)
    track = pd.concat([track, pd.Series(p)])
    track["explained"], track["against"] = "Class 0", "Class 29"
    with house_style():
        figure = drawn((track, *tables), classes=classes)
        assert_tidy(figure)
    said = words(figure)
    assert sum(text.startswith("Class ") for text in said) == 8
    assert {"Class 0", "Class 29", "Class 28"} <= set(said)


def test_it_can_be_saved_in_every_format(tmp_path):
    with house_style():
        paths = save_figure(drawn(made()), tmp_path, "track", ("png", "svg", "pdf"))
    assert all(path.stat().st_size > 10_000 for path in paths)
    assert ">SubFBM<" in paths[1].read_text(encoding="utf-8")


def test_importing_needs_no_matplotlib():
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['PIL'] = None\n"
        "import spt_explain.report.reason_figures, spt_explain.report.contact_sheet\n"
        "import spt_explain.report.overlay, spt_explain.report.overlay_movie\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
