"""The figures of the studies of embedding, correlation and gallery: Figs. 6, 7 and S5."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.explain.correlation import class_order
from spt_explain.report.style import (
    ACCENT,
    FAINT,
    INK,
    PAGE_MM,
    SIGNED_COLOURS,
    colour_of,
    new_figure,
    percent_axis,
    readable,
    signed_colours,
    text_colour_on,
)
from spt_explain.resandi.graph import BLOCKS
from spt_explain.studies.protocols import SUBINTERVALS
from spt_explain.studies.scoring import parse_methods

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    from spt_explain.studies.correlation import CorrelationStudy
    from spt_explain.studies.embedding import EmbeddingStudy
    from spt_explain.studies.gallery import GalleryStudy

SHOWN = ("AC", "CS", "SG", "VD", "NG")
"""Rows of the heat maps: those of Fig. 7, then NG."""


def embedding_figures(study: EmbeddingStudy) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a study of embeddings, by file name; drawn when called."""
    drawn: dict[str, Callable[[], Figure]] = {}
    if len(study.points):
        drawn["fig6-embedding"] = partial(embedding_maps, study)
    drawn["neighbours"] = partial(neighbours, study)
    return drawn


def correlation_figures(study: CorrelationStudy) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a study of correlations, by file name; drawn when called."""
    return {
        f"fig7-correlation-{_file(method)}": partial(correlation_maps, study, method)
        for method in dict.fromkeys(study.correlations["method"])
    }


def gallery_figures(study: GalleryStudy) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a gallery, by file name; drawn when called."""
    drawn: dict[str, Callable[[], Figure]] = {}
    if len(study.samples):
        for method in dict.fromkeys(study.samples["method"]):
            drawn[f"figS5-gallery-{_file(method)}"] = partial(gallery_samples, study, method)
    if len(study.remarks):
        drawn["remarks"] = partial(remarks_measured, study)
    return drawn


def embedding_maps(study: EmbeddingStudy) -> Figure:
    """Draw each block's map, a dot a track, coloured by its class (Fig. 6)."""
    points = study.points
    classes = class_order(points["class"])
    figure = new_figure(PAGE_MM, PAGE_MM * 0.98)
    order = np.random.default_rng(0).permutation(len(points))  # no class lies on top of all others
    colours = np.array([colour_of(c, classes) for c in points["class"]], dtype=object)[order]
    size = float(np.clip(9000 / len(points), 0.15, 9))
    for axes, (_, row) in zip(figure.subplots(2, 2).flat, study.blocks.iterrows(), strict=False):
        block = row["block"]
        place = points[[f"{block}_1", f"{block}_2"]].to_numpy()[order]
        axes.scatter(place[:, 0], place[:, 1], s=size, c=colours, linewidths=0, rasterized=True)
        _bare(axes)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(
            f"block {block.removeprefix('block')}: {100 * row['knn_accuracy']:.0f} % have "
            f"neighbours of their class\n(silhouette {row['silhouette']:.2f})".replace("-", "−")
        )
    for name in classes:
        figure.axes[0].scatter([], [], s=14, color=colour_of(name, classes), label=readable(name))
    figure.legend(loc="outside lower center", ncols=8, columnspacing=1.0, handletextpad=0.3)
    return figure


def neighbours(study: EmbeddingStudy) -> Figure:
    """Draw which classes the nearest neighbours of each class's tracks are of, for each block."""
    figure = new_figure(PAGE_MM, 150)
    for axes, block in zip(figure.subplots(2, 2).flat, BLOCKS, strict=True):
        own = study.classes[study.classes["block"] == block]
        classes = class_order(own["class"])
        near = own.set_index("class").reindex(classes)[[f"near_{c}" for c in classes]].to_numpy()
        axes.imshow(near, cmap="Blues", vmin=0, vmax=1)
        _write_shares(axes, near)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right",
                        rotation_mode="anchor")  # fmt: skip
        axes.set_yticks(range(len(classes)), classes)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(f"block {block.removeprefix('block')}")
        axes.set_xlabel("class of the neighbours (%)")
    return figure


def correlation_maps(study: CorrelationStudy, method: str) -> Figure:
    """Draw the coefficients of each class and statistic beside the paper's (Fig. 7)."""
    from matplotlib.colors import to_hex

    table = study.correlations[study.correlations["method"] == method]
    pairings = list(dict.fromkeys(table["pairing"]))
    panels: list[tuple[str, pd.DataFrame, str]] = []
    for pairing in pairings[::-1]:  # that of the authors' program first
        words = "of the node" if pairing == "node" else "of the window's frames"
        for variant, said in (("pooled", "all windows"), ("within", "mean over tracks")):
            own = table[(table["pairing"] == pairing) & (table["variant"] == variant)]
            panels.append((f"score {words}, {said}", own, "pearson"))
    first = table[(table["pairing"] == pairings[0]) & (table["variant"] == "pooled")]
    if first["published"].notna().any():
        panels.insert(0, ("paper (Fig. 7)", first, "published"))
    columns = 2
    lines = -(-len(panels) // columns)
    figure = new_figure(PAGE_MM, 48 * lines + 20)
    grid = figure.subplots(lines, columns, squeeze=False).flat
    for axes in list(grid)[len(panels) :]:
        axes.set_visible(False)
    classes = class_order(table["class"])
    image: Any = None
    for axes, (title, own, column) in zip(figure.axes, panels, strict=False):
        wide = own.pivot_table(index="statistic", columns="class", values=column, dropna=False)
        value = wide.reindex(index=list(SHOWN), columns=classes).to_numpy(np.float64)
        image = axes.imshow(value, cmap=signed_colours(), vmin=-0.6, vmax=0.6, aspect="auto")
        for i, j in np.ndindex(*value.shape):
            if np.isfinite(value[i, j]):
                text = f"{round(float(value[i, j]), 2) + 0.0:.2f}".replace("-", "−").replace(
                    "0.", "."
                )
                on = text_colour_on(to_hex(image.cmap(image.norm(value[i, j]))))
                axes.text(j, i, text, ha="center", va="center", fontsize=7, color=on)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right",
                        rotation_mode="anchor")  # fmt: skip
        axes.set_yticks(range(len(SHOWN)), SHOWN)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title)
    bar = figure.colorbar(image, ax=figure.axes, shrink=0.6, aspect=30,
                          label="Pearson correlation with the score")  # fmt: skip
    bar.outline.set_visible(False)
    figure.suptitle(f"{_label(method)}")
    return figure


def gallery_samples(study: GalleryStudy, method: str) -> Figure:
    """Draw x(t) of samples of each class, coloured by their min-max scaled scores (Fig. S5).

    Scores of single frames are averaged over a 32nd of the track, as wide as a node of the paper's:
    one frame far above all others would leave nothing else to be seen.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    table = study.samples[study.samples["method"] == method]
    classes = class_order(table["class"])
    fine = not parse_methods([method], ())[0].layer
    said = f", means over 1/{SUBINTERVALS} of the track" if fine else ""
    columns = int(table["sample"].max()) + 1
    figure = new_figure(PAGE_MM, 24 * len(classes) + 14)
    grid = figure.subplots(len(classes), columns, squeeze=False)
    for axes in grid.flat:
        _bare(axes)
    for row, name in enumerate(classes):
        grid[row][0].set_ylabel(readable(name))
        for number, part in table[table["class"] == name].groupby("sample"):
            axes = grid[row][int(str(number))]
            t, x, score = (part[c].to_numpy(np.float64) for c in ("frame", "x", "score"))
            score = smoothed(score, len(score) // SUBINTERVALS if fine else 1)
            low, high = float(score.min()), float(score.max())
            scaled = (score - low) / (high - low) if high > low else np.zeros(len(score))
            points = np.column_stack([t, x])
            pieces: Any = np.stack([points[:-1], points[1:]], axis=1)
            middle = 0.5 * (scaled[:-1] + scaled[1:])
            axes.add_collection(
                LineCollection(pieces, colors=scaled_colours()(middle),
                               linewidths=0.7 + 0.9 * middle, capstyle="round", rasterized=True)
            )  # fmt: skip
            axes.autoscale_view()
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), scaled_colours()), ax=list(grid.flat), shrink=0.5,
        aspect=40, location="bottom", label=f"score ({_label(method)}{said}) within each track",
    )  # fmt: skip
    bar.set_ticks([0, 1], labels=["lowest", "highest"])
    bar.outline.set_visible(False)
    figure.suptitle("position along x against time")
    return figure


def remarks_measured(study: GalleryStudy) -> Figure:
    """Draw each measure of the paper's remarks, with its interval and what chance gives."""
    methods = list(dict.fromkeys(study.remarks["method"]))
    first = study.remarks[study.remarks["method"] == methods[0]]
    names = [f"{r['class']}: {r['measure']}" for _, r in first.iterrows()]
    figure = new_figure(PAGE_MM, (3.4 * len(methods) + 2.2) * len(names) + 24)
    axes = figure.subplots()
    colours = (ACCENT, "#D55E00", "#009E73", "#CC79A7")
    for number, method in enumerate(methods):
        own = study.remarks[study.remarks["method"] == method]
        keys = [f"{r['class']}: {r['measure']}" for _, r in own.iterrows()]
        row = np.array([names.index(k) if k in names else np.nan for k in keys])
        row = row + 0.7 * ((number + 0.5) / len(methods) - 0.5)
        value, low, high, chance = (
            own[c].to_numpy(np.float64) for c in ("value", "low", "high", "chance")
        )
        colour = colours[number % len(colours)]
        axes.hlines(row, low, high, color=colour, linewidth=1)
        axes.plot(value, row, "o", color=colour, label=_label(method), clip_on=False)
        said = None if number else "by chance (scores shifted along the track)"
        axes.plot(chance, row, "|", color=INK, markersize=6, label=said)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    percent_axis(axes.xaxis)
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("of the tracks, of the jumps, of the score (bars: 95 %)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def smoothed(values: Any, width: int) -> Any:
    """Return running means over as many values, fewer at the ends."""
    if width < 2:
        return values
    ones = np.ones(width)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


@cache
def scaled_colours() -> LinearSegmentedColormap:
    """Return the colour map of min-max scaled scores: the positive half of the signed one."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("spt-explain scaled", SIGNED_COLOURS[2:])


def _label(name: str) -> str:
    return parse_methods([name], ())[0].label


def _file(method: str) -> str:
    return method.replace(":", "-")


def _write_shares(axes: Axes, share: Any) -> None:
    for i, j in np.ndindex(*share.shape):
        if share[i, j] >= 0.005:
            axes.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=7,
                      color="white" if share[i, j] > 0.55 else INK)  # fmt: skip


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.spines["left"].set_color(FAINT)
