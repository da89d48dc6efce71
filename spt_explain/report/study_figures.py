"""The figures of the studies of erasure and sensitivity, in the paper's layout: Figs. 2, 3, S4."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.style import (
    ACCENT,
    COLUMN_MM,
    FAINT,
    INK,
    NEUTRAL,
    PAGE_MM,
    new_figure,
    percent_axis,
    readable,
)
from spt_explain.resandi.graph import BLOCKS
from spt_explain.studies.erasure_tables import ALL, RANDOM
from spt_explain.studies.published import SENSITIVITY_THRESHOLD, WINDOW_FRAMES
from spt_explain.studies.scoring import PAPER_METHOD, parse_methods
from spt_explain.studies.sensitivity import UNTRAINED

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spt_explain.studies.erasure import ErasureStudy
    from spt_explain.studies.sensitivity import SensitivityStudy

ERASED, BAR = "#D55E00", "#A9CBE3"
NODE_STYLES = (("-", ACCENT), ("--", "#D55E00"), (":", INK))
_ROW = 4.4
TITLES = {
    "cut": "frames cut out,\nthe rest joined",
    "track": "erased in the input,\nwithin trajectories",
    "paper": "erased in the input,\nas the paper's program",
}


def erasure_figures(study: ErasureStudy) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a study of erasure, by file name; drawn when called."""
    drawn: dict[str, Callable[[], Figure]] = {}
    if len(study.examples):
        drawn["fig2-erased"] = partial(erased_examples, study)
    drawn["fig3-accuracy-by-decile"] = partial(accuracy_by_decile, study)
    ranked = [m for m in study.methods["method"].unique() if m != RANDOM]
    if len(ranked) > 1:
        drawn["methods"] = partial(methods_compared, study)
        if len(study.methods["points"].unique()) > 2:
            drawn["methods-by-length"] = partial(methods_by_length, study)
    return drawn


def sensitivity_figures(study: SensitivityStudy) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a study of sensitivity, by file name; drawn when called."""
    return {
        "figS4-responses": partial(responses, study),
        "widths-by-block": partial(widths_by_block, study),
    }


def erased_examples(study: ErasureStudy) -> Figure:
    """Draw a few trajectories and what is erased of them, by score and at random (Fig. 2)."""
    tracks = [part for _, part in study.examples.groupby("track", sort=True)]
    figure = new_figure(PAGE_MM, 2 * PAGE_MM / max(len(tracks), 3) + 10)
    grid = figure.subplots(2, len(tracks), squeeze=False)
    label = _label(str(study.examples["method"].iloc[0]))
    for row, (column, title) in enumerate(
        (("by_score", f"the tenth of highest score\n({label})"), ("at_random", "a tenth at random"))
    ):
        for axes, part in zip(grid[row], tracks, strict=True):
            x, y = part["x"].to_numpy(), part["y"].to_numpy()
            gone = part[column].to_numpy(bool)
            axes.plot(x, y, color=NEUTRAL, linewidth=0.5)
            axes.plot(np.where(gone, x, np.nan), np.where(gone, y, np.nan), color=ERASED,
                      linewidth=1.4, marker="o", markersize=1.2)  # fmt: skip
            axes.set_aspect("equal", adjustable="datalim")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if not row:
                axes.set_title(f"{readable(part['class'].iloc[0])}, {len(part):,} frames")
        grid[row][0].set_ylabel(title)
    return figure


def accuracy_by_decile(study: ErasureStudy) -> Figure:
    """Draw accuracy with each tenth erased, for each protocol (Fig. 3).

    Bars: the paper's method, or the best of those at hand; lines: the others.
    """
    protocols = list(dict.fromkeys(study.methods["protocol"]))
    figure = new_figure(max(COLUMN_MM, PAGE_MM * len(protocols) / 3), 92)
    grid = figure.subplots(1, len(protocols), squeeze=False, sharey=True)[0]
    every = study.deciles[study.deciles["points"] == ALL]
    for axes, protocol in zip(grid, protocols, strict=True):
        own = every[every["protocol"] == protocol]
        main, best = _main(study, protocol), _best(study, protocol)
        _bars(axes, own[own["method"] == main], _label(main))
        others = [m for m in own["method"].unique() if m not in (main, best, RANDOM)]
        for number, name in enumerate(others):
            part = own[own["method"] == name]
            axes.plot(
                part["decile"], part["accuracy"], color=FAINT, linewidth=0.6,
                label=None if number else "other methods",
            )  # fmt: skip
        title = f"{protocol}: {TITLES[protocol]}"
        if best and best != main:
            part = own[own["method"] == best]
            axes.plot(
                part["decile"], part["accuracy"], color=ACCENT, linewidth=1.6, zorder=3,
                label="the best method",
            )  # fmt: skip
        if best:
            title += f"\nbest: {_label(best)}"
        whole = study.overall(protocol)["accuracy"].iloc[0]
        axes.axhline(whole, color=INK, linewidth=0.6, label="nothing erased")
        axes.set_ylim(0, max(1.0, whole + 0.02))
        axes.set_xlim(0.4, 10.6)
        axes.set_xticks(range(1, 11))
        axes.set_xlabel("decile of the score\n(1: lowest, 10: highest)")
        axes.set_title(title)
        percent_axis(axes.yaxis)
    grid[0].set_ylabel("accuracy with that decile erased")
    handles: dict[str, Any] = {}
    for axes in grid:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", columnspacing=1.2,
        ncols=1 + len(protocols),
    )  # fmt: skip
    return figure


def _bars(axes: Axes, bars: pd.DataFrame, label: str) -> None:
    """Draw one method's accuracies, random erasure, and the paper's numbers."""
    x, y = bars["decile"].to_numpy(), bars["accuracy"].to_numpy()
    low, high = (np.abs(bars[f"accuracy_{end}"].to_numpy() - y) for end in ("low", "high"))
    axes.bar(
        x, y, width=0.86, color=BAR, yerr=[low, high], label=f"{label} (95 %)",
        error_kw={"elinewidth": 0.8, "ecolor": INK},
    )  # fmt: skip
    axes.axhline(bars["random"].mean(), color=INK, linestyle="--", linewidth=1, label="random")
    if bars["published"].notna().any():
        axes.plot(x, bars["published"], "D", color=ERASED, markersize=3, label="paper", zorder=4)
        axes.axhline(
            bars["published_random"].iloc[0], color=ERASED, linestyle=":", linewidth=1,
            label="paper, random",
        )  # fmt: skip


def methods_compared(study: ErasureStudy) -> Figure:
    """Draw how much each method loses beyond random, the best at the top, for each protocol."""
    protocols = list(dict.fromkeys(study.methods["protocol"]))
    tables = {p: study.overall(p) for p in protocols}
    tables = {p: t[t["method"] != RANDOM] for p, t in tables.items()}
    lines = max(map(len, tables.values()))
    figure = new_figure(118, len(protocols) * (_ROW * lines + 19) + 8)
    grid = figure.subplots(len(protocols), 1, squeeze=False)[:, 0]
    for axes, protocol in zip(grid, protocols, strict=True):
        table = tables[protocol]
        name, words = _measure(table)
        value, low, high = (table[c].to_numpy() for c in (name, f"{name}_low", f"{name}_high"))
        row = np.arange(len(table))
        colours = [ACCENT if good else FAINT for good in table["as_good"]]
        for r, v, a, b, colour in zip(row, value, low, high, colours, strict=True):
            axes.plot([a, b], [r, r], color=colour, linewidth=1)
            axes.plot([v], [r], "o", color=colour)
        axes.axvline(0, color=FAINT, linewidth=0.6)
        axes.set_yticks(row, [_label(m) for m in table["method"]])
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlabel(f"{words} (bars: 95 %)")
        axes.set_title(f"{protocol}: {TITLES[protocol]}".replace("\n", " "))
        percent_axis(axes.xaxis)
    figure.suptitle("blue: the best, and those whose distance to it may be chance")
    return figure


def methods_by_length(study: ErasureStudy) -> Figure:
    """Draw the same by length: a row a method, a column a length band."""
    protocols = list(dict.fromkeys(study.methods["protocol"]))
    table = study.methods[(study.methods["method"] != RANDOM) & (study.methods["points"] != ALL)]
    bands = list(table.sort_values("min_points")["points"].unique())
    names = list(table["method"].unique())
    figure = new_figure(PAGE_MM, len(protocols) * (5.0 * len(names) + 24))
    for axes, protocol in zip(
        figure.subplots(len(protocols), 1, squeeze=False)[:, 0], protocols, strict=True
    ):
        own = table[table["protocol"] == protocol]
        name, words = _measure(own)
        value = own.pivot_table(index="method", columns="points", values=name, dropna=False)
        value = value.reindex(index=names, columns=bands)
        best = own[own["best"]].set_index("points")["method"].to_dict()
        count = own.drop_duplicates("points").set_index("points")["n_tracks"]
        most = max(float(np.nanmax(np.abs(value.to_numpy()))), 1e-9)
        image = axes.imshow(value.clip(lower=0), cmap="Blues", vmin=0, vmax=1.15 * most,
                            aspect="auto")  # fmt: skip
        for i, method in enumerate(names):
            for j, band in enumerate(bands):
                v = value.iloc[i, j]
                if np.isfinite(v):
                    axes.text(
                        j,
                        i,
                        f"{round(100 * v):d}".replace("-", "−"),
                        ha="center",
                        va="center",
                        color="white" if v > 0.65 * most else INK,
                        fontweight="bold" if best.get(band) == method else "normal",
                    )
        axes.set_yticks(range(len(names)), [_label(m) for m in names])
        axes.set_xticks(range(len(bands)), [f"{b}\n({count[b]:,})" for b in bands])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("length in points (tracks)")
        axes.set_title(f"{protocol}: {words}, percentage points; bold: the best")
        image.set_clim(0, 1.15 * most)
    return figure


def responses(study: SensitivityStudy) -> Figure:
    """Draw the response of three nodes of the last stage to a change at each frame (Fig. S4)."""
    own = study.responses[study.responses["block"] == BLOCKS[-1]]
    parts = list(own.groupby(["network", "change"], sort=False))
    figure = new_figure(PAGE_MM, 66)
    for axes, ((network, change), part) in zip(
        figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True
    ):
        untrained = network == UNTRAINED
        for (line, colour), (node, values) in zip(NODE_STYLES, part.groupby("node"), strict=False):
            axes.plot(values["frame"], values["response" if untrained else "size"], line,
                      color=colour, linewidth=1, label=f"node {node}")  # fmt: skip
        if untrained:
            axes.axhline(SENSITIVITY_THRESHOLD, color=FAINT, linestyle="--", linewidth=0.8)
            axes.set_title("untrained, as the paper's\nprogram: impulse")
            axes.set_ylabel("mean change of the output")
        else:
            axes.set_title(f"{readable(network)}:\n{change}")
            axes.set_ylabel("mean size of the change")
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), None)
        axes.set_xlabel("changed frame")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=2.2)
    return figure


def widths_by_block(study: SensitivityStudy) -> Figure:
    """Draw over how many frames a node of each block responds, beside the paper's number."""
    figure = new_figure(COLUMN_MM + 10, 66)
    axes = figure.subplots()
    table = study.widths
    x = np.arange(len(BLOCKS))
    styles = iter((("o-", ACCENT), ("s--", "#D55E00"), ("^:", INK)))
    for (network, change), part in table.groupby(["network", "change"], sort=False):
        line, colour = next(styles)
        untrained = network == UNTRAINED
        name = "untrained, mean change above 0.9" if untrained else f"{network}, {change}: 90 %"
        values = part["above_threshold" if untrained else "holding_90"]
        axes.plot(x, values, line, color=colour, label=readable(name))
    first = table.drop_duplicates("block")
    axes.plot(x, first["receptive_field"], color=FAINT, linewidth=0.8, label="can reach it at all")
    axes.plot([x[-1]], [WINDOW_FRAMES], "D", color=INK, markerfacecolor="white",
              label=f"paper: {WINDOW_FRAMES}", zorder=4)  # fmt: skip
    axes.set_yscale("log")
    axes.set_yticks([30, 100, 300, 1000, 3000], ["30", "100", "300", "1,000", "3,000"])
    axes.minorticks_off()
    axes.set_xticks(x, [f"{i + 1}\n({n})" for i, n in enumerate(first["frames_per_node"])])
    axes.set_xlabel("block (frames a node)")
    axes.set_ylabel("frames")
    figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0)
    return figure


def _label(name: str) -> str:
    return "random" if name == RANDOM else parse_methods([name], ())[0].label


def _best(study: ErasureStudy, protocol: str) -> str:
    table = study.overall(protocol)
    return str(table["method"].iloc[0]) if table["best"].any() else ""


def _main(study: ErasureStudy, protocol: str) -> str:
    """Return the method whose bars are drawn."""
    there = [m for m in study.overall(protocol)["method"] if m != RANDOM]
    return PAPER_METHOD.name if PAPER_METHOD.name in there else str(there[0])


def _measure(table: pd.DataFrame) -> tuple[str, str]:
    """Return by what methods are compared: its column, and in words."""
    if table["gain"].notna().any():
        return "gain", "loss of probability beyond random"
    return "difference", "accuracy, lowest less highest decile erased"
