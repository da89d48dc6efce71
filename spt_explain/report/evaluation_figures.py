"""The figures of a test, in the paper's layout: Figs. 5, S2, S3, and what it does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report import published
from spt_explain.report.style import (
    ACCENT,
    COLUMN_MM,
    FAINT,
    INK,
    PAGE_MM,
    colour_of,
    error_band,
    new_figure,
    percent_axis,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from spt_explain.training.evaluation import Evaluation

_SNR = "localisation noise, 1/SNR"
_LENGTH = "length (points)"


def figures(evaluation: Evaluation, *, compare: bool) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a test, by file name; each is drawn when called.

    Parameters
    ----------
    evaluation : Evaluation
    compare : bool
        Whether the paper's results are of the same protocol and are shown beside.
    """
    clean = evaluation.cleanest
    said = _which(evaluation)
    drawn: dict[str, Callable[[], Figure]] = {}
    if len(evaluation.by_noise) > 1:
        drawn["fig5-accuracy-by-noise"] = lambda: accuracy_by_noise(evaluation, compare=compare)
    drawn["figS2-confusion"] = lambda: confusion(clean, said)
    if clean.by_alpha:
        drawn["figS3-confidence-by-alpha"] = lambda: confidence_by_alpha(clean, said)
    if len(clean.by_length) > 1:
        drawn["accuracy-by-length"] = lambda: accuracy_by_length(evaluation)
    drawn["reliability"] = lambda: reliability(clean, said)
    if len(clean.alpha_pairs):
        drawn["alpha"] = lambda: alpha(clean, said)
    return drawn


def accuracy_by_noise(evaluation: Evaluation, *, compare: bool) -> Figure:
    """Draw accuracy against noise, with the paper's curves (Fig. 5) if they can be compared.

    Those are of training sets augmented by Grad-CAM score, at random, and not at all.
    """
    figure = new_figure(COLUMN_MM, 62)
    axes = figure.subplots()
    rows = evaluation.by_noise
    noise, accuracy, low, high = _columns(
        rows, "noise", "accuracy", "accuracy_low", "accuracy_high"
    )
    error_band(axes, noise, low, high, ACCENT)
    axes.plot(noise, accuracy, "o-", color=ACCENT, label="this test (band: 95 %)")
    if compare:
        axes.plot(
            published.NOISE, published.ACCURACY_TARGETED, "s--", color=INK, markersize=3,
            label="paper, Grad-CAM",
        )  # fmt: skip
        axes.plot(
            published.NOISE, published.ACCURACY_RANDOM, "^:", color=FAINT, markersize=3,
            label="paper, random",
        )  # fmt: skip
        axes.plot(
            [0], [published.ACCURACY], "D", color=INK, markersize=4, markerfacecolor="white",
            label="paper, not augmented", clip_on=False, zorder=4,
        )  # fmt: skip
    axes.set_xlabel(_SNR)
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)
    span = max(float(noise.max() - noise.min()), 1e-9)
    axes.set_xlim(noise.min() - 0.03 * span, noise.max() + 0.03 * span)
    percent_axis(axes.yaxis)
    axes.legend(loc="lower left", borderaxespad=0.2)
    return figure


def confusion(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the share of each true class (row) that was taken for each class (Fig. S2)."""
    classes = evaluation.classes
    counts = evaluation.confusion
    present = counts.sum(axis=1) > 0
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    share[~present] = np.nan
    figure = new_figure(130, 98)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*share.shape):
        if counts[i, j]:
            dark = share[i, j] > 0.55
            axes.text(
                j, i, _share_text(share[i, j]), ha="center", va="center", fontsize=7,
                color="white" if dark else INK,
            )  # fmt: skip
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    names = [f"{name} ({n:,})" for name, n in zip(classes, counts.sum(axis=1), strict=True)]
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (tracks)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    percent_axis(bar.ax.yaxis)
    bar.outline.set_visible(False)
    axes.set_title(title)
    return figure


def confidence_by_alpha(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the mean probability of every class against α, for each true class (Fig. S3).

    Stacked areas: the height of a colour is the mean probability that the network gives its class.
    A class of one α only (BM) is a band of constant heights.
    """
    classes = evaluation.classes
    by_class = {name: [r for r in evaluation.by_alpha if r["class"] == name] for name in classes}
    shown = [name for name in classes if by_class[name]]
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    in_legend = {4: 8, 3: 5}.get(columns, 3)
    below = 12 + 4 * -(-len(classes) // in_legend)
    figure = new_figure(PAGE_MM * max(columns, 2) / 4, 42 * lines + below)
    grid = np.atleast_2d(figure.subplots(lines, columns, squeeze=False, sharey=True))
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, shown, strict=False):
        rows = by_class[name]
        middle = np.array([(r["alpha_from"] + r["alpha_to"]) / 2 for r in rows])
        height = np.array([[r[f"p_{other}"] for r in rows] for other in classes])
        axes.set_title(name, color=INK, fontweight="bold")
        axes.set_ylim(0, 1)
        axes.set_xlabel("exponent α")
        percent_axis(axes.yaxis)
        ends = rows[0]["alpha_from"], rows[-1]["alpha_to"]
        middle = np.array([ends[0], *middle, ends[1]])
        height = np.concatenate([height[:, :1], height, height[:, -1:]], axis=1)
        if len(rows) == 1:
            axes.set_xticks([middle[1]], [_one_alpha(rows[0], name)])
        else:
            axes.set_xticks(_ticks(*ends))
        axes.stackplot(
            middle, height, colors=[colour_of(other, classes) for other in classes],
            labels=classes, linewidth=0,
        )  # fmt: skip
        axes.set_xlim(middle[0], middle[-1])
    for row in grid:
        row[0].set_ylabel("mean probability")
    figure.suptitle(title)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=in_legend,
        columnspacing=1.0, handlelength=1.0, title="predicted class",
    )  # fmt: skip
    return figure


def accuracy_by_length(evaluation: Evaluation) -> Figure:
    """Draw accuracy against length, at the lowest, middle and highest noise level."""
    figure = new_figure(COLUMN_MM, 62)
    axes = figure.subplots()
    levels = [] if evaluation.noise_rounded else sorted(evaluation.at_noise)
    chosen = sorted({levels[0], levels[len(levels) // 2], levels[-1]}) if levels else []
    known = [row["noise"] for row in evaluation.by_noise]
    parts: list[tuple[str, Evaluation]] = [
        (f"1/SNR = {level:g}", evaluation.at_noise[level]) for level in chosen
    ] or [(f"1/SNR = {known[0]:g}" if len(known) == 1 else "", evaluation)]
    styles = (("o-", ACCENT), ("s--", "#D55E00"), ("^:", INK))
    widest = max((part.by_length for _, part in parts), key=len)
    names = [_band(row) for row in widest]
    for (label, part), (style, colour) in zip(parts, styles, strict=False):
        x = np.array(
            [names.index(_band(r)) if _band(r) in names else np.nan for r in part.by_length]
        )
        y, low, high = _columns(part.by_length, "accuracy", "accuracy_low", "accuracy_high")
        shift = 0.0 if len(parts) == 1 else 0.1 * ([p for _, p in parts].index(part) - 1)
        axes.errorbar(
            x + shift, y, yerr=[y - low, high - y], fmt=style, color=colour, label=label or None,
            elinewidth=0.8, capsize=1.5, clip_on=False,
        )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_ylim(0, 1)
    axes.set_xlabel(_LENGTH)
    axes.set_ylabel("accuracy (bars: 95 %)")
    percent_axis(axes.yaxis)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    return figure


def reliability(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw accuracy against confidence, and how many tracks have which confidence."""
    figure = new_figure(COLUMN_MM, 80)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    rows = [row for row in evaluation.reliability if row["n"]]
    x, y, low, high = _columns(rows, "confidence", "accuracy", "accuracy_low", "accuracy_high")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, label="perfectly calibrated")
    axes.errorbar(
        x, y, yerr=[y - low, high - y], fmt="o", color=ACCENT, elinewidth=0.8, capsize=1.5,
        label="this test (bars: 95 %)", clip_on=False,
    )  # fmt: skip
    axes.set_title(title)
    one = evaluation.overall
    axes.text(
        0.98, 0.04,
        f"calibration error {100 * one['ece']:.1f} %,\nless chance "
        + _minus(f"{100 * one['ece_debiased']:.1f} ± {100 * one['ece_debiased_se']:.1f} %"),
        ha="right", va="bottom", transform=axes.transAxes,
    )  # fmt: skip
    axes.set_ylabel("accuracy")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    percent_axis(axes.yaxis)
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1.2)
    every = evaluation.reliability
    left, right, count = _columns(every, "confidence_from", "confidence_to", "n")
    below.bar(left, count, width=right - left, align="edge", color=ACCENT, edgecolor="white")
    below.set_yscale("log")
    below.set_ylim(0.7, None)
    below.set_ylabel("tracks")
    below.set_xlabel("probability of the best class")
    percent_axis(below.xaxis)
    return figure


def alpha(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the predicted against the true exponent, and its error by length."""
    figure = new_figure(PAGE_MM, 80)
    axes, beside = figure.subplots(1, 2, width_ratios=(1, 1.25))
    true, _, median, _ = evaluation.alpha_pairs.T
    few = len(true) < 2000
    if few:
        axes.plot(true, median, ".", color=ACCENT, markersize=2, alpha=0.5, markeredgewidth=0)
    else:
        grid = axes.hexbin(
            true, median, gridsize=50, extent=(0, 2, 0, 2), bins="log", mincnt=1, cmap="Blues",
            linewidths=0.1,
        )  # fmt: skip
        figure.colorbar(grid, ax=axes, shrink=0.8, label="tracks")
    x, centre, low, high = _alpha_curve(evaluation.alpha_pairs)
    axes.plot([0, 2], [0, 2], color=FAINT, linewidth=0.8, label="predicted = true")
    axes.errorbar(
        x, centre, yerr=[centre - low, high - centre], fmt="o", color="#D55E00", markersize=3,
        elinewidth=0.8, capsize=1.5, label="median of the predicted (bars: 5–95 % of tracks)",
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([0, 0.5, 1, 1.5, 2])
    axes.set_xlim(0, 2)
    axes.set_ylim(0, 2)
    axes.set_aspect("equal")
    axes.set_xlabel("true exponent α")
    axes.set_ylabel("predicted exponent α")
    figure.legend(loc="outside upper left", ncols=2)
    rows = [row for row in evaluation.by_length if row.get("alpha_n")]
    error, spread = _columns(rows, "alpha_mae", "alpha_mae_se")
    place = np.arange(len(rows))
    beside.errorbar(
        place, error, yerr=1.96 * np.nan_to_num(spread), fmt="o-", color=ACCENT, elinewidth=0.8,
        capsize=1.5,
    )  # fmt: skip
    names = [_band(row) for row in rows]
    beside.set_xticks(place, names, rotation=30, ha="right", rotation_mode="anchor")
    beside.set_ylim(0, None)
    beside.set_xlabel(_LENGTH)
    beside.set_ylabel("mean absolute error of α")
    axes.set_title(title)
    every = evaluation.overall
    beside.set_title(
        f"all lengths: error {every['alpha_mae']:.3f}, bias "
        + _minus(f"{every['alpha_bias']:+.3f}\n")
        + f"the 5–95 % interval holds the truth in {100 * every['alpha_coverage']:.1f} %",
        loc="right",
    )
    return figure


def _alpha_curve(pairs: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return true α and the 50, 5 and 95 % quantiles of the predicted medians, in tenths of α."""
    index = np.floor(pairs[:, 0] * 10 + 1e-6)
    found = []
    for b in np.unique(index):
        rows = pairs[index == b]
        if len(rows) >= 5:
            found.append([rows[:, 0].mean(), *np.quantile(rows[:, 2], (0.5, 0.05, 0.95))])
    return tuple(np.array(found, dtype=np.float64).reshape(-1, 4).T)


def _which(evaluation: Evaluation) -> str:
    """Say which tracks figures of the lowest noise level show."""
    clean = evaluation.cleanest
    n = clean.overall["n"]
    tracks = f"{n:,} track{'' if n == 1 else 's'}"
    if clean is evaluation and len(evaluation.by_noise) != 1:
        return tracks
    return f"1/SNR = {clean.by_noise[0]['noise']:g}, {tracks}"


def _columns(rows: Sequence[dict[str, Any]], *names: str) -> list[NDArray[np.float64]]:
    return [np.array([row[name] for row in rows], dtype=np.float64) for name in names]


def _band(row: dict[str, Any]) -> str:
    low, high = row["min_points"], row["max_points"]
    if high is None:
        return f"≥ {low:,}"
    return f"≤ {high}" if low == 0 else f"{low}–{high}"


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _share_text(value: float) -> str:
    return f"{100 * value:.1f}" if value < 0.9995 else "100"


def _one_alpha(row: dict[str, Any], name: str) -> str:
    value = 1.0 if name == "BM" else (row["alpha_from"] + row["alpha_to"]) / 2
    return f"{value:g}"


def _ticks(low: float, high: float) -> NDArray[np.float64]:
    """Return round values of α between two ends."""
    step = 0.2 if high - low > 0.45 else 0.1
    ticks: NDArray[np.float64] = np.arange(np.ceil(low / step - 1e-6), high / step + 1e-6) * step
    return np.round(ticks, 6)
