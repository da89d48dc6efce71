"""What an evaluation of relevance maps writes: table, text, figure, and how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_folder
from spt_explain.report.folders import refuse_folder
from spt_explain.report.relevance_files import write_json, write_text
from spt_explain.report.style import ACCENT, FAINT, INK, new_figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from spt_explain.xddpm.evaluate.table import Comparison

TABLE, TEXT, FIGURE, DOCUMENT = "evaluation.csv", "evaluation.md", "evaluation", "evaluation.json"
MEASURES = {
    "iou": "IoU",
    "auprc": "AUPRC",
    "top_iou": "IoU of the top pixels",
    "sensitivity_own": "Sensitivity-n, own regressor",
    "sensitivity_n": "Sensitivity-n, pixels missing",
    "insertion": "insertion",
    "deletion": "deletion (less is better)",
}
_PAPERS = ("iou", "sensitivity_own")
"""Measures that the paper reports."""
_COLOURS = {"method": ACCENT, "baseline": INK, "floor": FAINT, "ceiling": FAINT}


def check_folder(folder: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Check that results can be written; see `folders.refuse_folder`.

    Raises
    ------
    SptError
    """
    ours = {TABLE, TEXT, DOCUMENT, *(f"{FIGURE}.{end}" for end in ("png", "svg", "pdf"))}
    refuse_folder(folder, inputs, overwrite=overwrite, ours=lambda name: name in ours)


def write_evaluation(
    folder: Path,
    comparison: Comparison,
    document: Mapping[str, Any],
    *,
    paper: Mapping[str, tuple[float, float]] | None = None,
    notes: Sequence[str] = (),
    formats: Sequence[str] = (),
) -> list[Path]:
    """Write a folder of results, whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Checked before with `check_folder`.
    comparison : Comparison
    document : mapping
        For ``evaluation.json``.
    paper : mapping of str to (float, float), optional
        Method to the paper's IoU and Sensitivity-n.
    notes : sequence of str
    formats : sequence of str
        Of the figure; none: no figure.

    Returns
    -------
    list of pathlib.Path
    """
    from spt_explain.report.style import house_style, save_figure

    with atomic_folder(folder, option="output") as part:
        comparison.table.to_csv(part / TABLE, index=False, float_format="%.5g")
        lines = ["# Relevance maps, measured", "", *_head(document), ""]
        lines += table_lines(comparison.table, paper)
        lines += [f"- {line}" for line in (*ratio_lines(comparison), *notes)]
        write_text(part / TEXT, "\n".join(lines) + "\n")
        write_json(part / DOCUMENT, _finite(dict(document)))
        if formats:
            with house_style():
                save_figure(draw(comparison.table, paper), part, FIGURE, formats)
        names = sorted(path.name for path in part.iterdir())
    return [folder / name for name in names]


def _head(document: Mapping[str, Any]) -> list[str]:
    """Return what was measured, on what."""
    models = document.get("models", ())
    lines = [f"Model {one['folder']}: R² {one['r2']:.3f} on these movies." for one in models]
    clips = document.get("clips", {})
    shape = " × ".join(str(n) for n in clips.get("shape", ()))
    return [
        *(f"{line}  " for line in lines),
        f"Signal {document.get('signal', '')}; {clips.get('measured', 0):,} clips of {shape} "
        f"(frames, height, width), and {clips.get('to choose', 0):,} others to choose thresholds "
        "by; means with 95 % intervals over clips and models.",
    ]


def table_lines(
    table: pd.DataFrame, paper: Mapping[str, tuple[float, float]] | None = None
) -> list[str]:
    """Return a Markdown table: means with their intervals, the paper's figures beside them."""
    there = [m for m in MEASURES if m in table and table[m].notna().any()]
    head = ["method", "kind", *(MEASURES[m] for m in there)]
    head += ["IoU, paper", "Sensitivity-n, paper"] if paper else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in table.to_dict("records"):
        cells = [str(row["method"]), str(row["role"])]
        cells += [_cell(row[m], row[f"{m}_low"], row[f"{m}_high"]) for m in there]
        if paper:
            theirs = paper.get(str(row["method"]))
            cells += ["", ""] if theirs is None else [f"{value:.3f}" for value in theirs]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def ratio_lines(comparison: Comparison) -> list[str]:
    """Return, in words, how many times as good the method is as the best baseline and floor."""
    table = comparison.table
    methods = table.loc[table["role"] == "method", "method"]
    lines = []
    for measure in ("iou", "auprc", "top_iou", "sensitivity_own"):
        for role in ("baseline", "floor"):
            there = measure in table and (table["role"] == role).any()
            if not there or not len(methods) or table[measure].isna().all():
                continue
            best = comparison.best(role, measure)
            at = comparison.ratio(str(methods.iloc[0]), best, measure)
            if at.mean == at.mean:
                name = best.removeprefix("floor: ")
                lines.append(
                    f"{MEASURES[measure]}: {at.mean:.2f} ({at.low:.2f} to {at.high:.2f}) times "
                    f"that of the best {role}, {name}"
                )
    return lines


def draw(table: pd.DataFrame, paper: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Return a figure: a panel for each measure, a line for each method with its interval.

    The paper's figures are diamonds.
    """
    from matplotlib.lines import Line2D

    there = [m for m in MEASURES if m in table and table[m].notna().any()]
    columns = min(len(there), 3)
    rows = -(-len(there) // columns)
    figure = new_figure(178.0, rows * (12 + 4.2 * len(table)))
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    at = range(len(table))[::-1]
    for number, each in enumerate(axes.flat):
        if number >= len(there):
            each.set_visible(False)
            continue
        measure = there[number]
        for y, row in zip(at, table.to_dict("records"), strict=True):
            colour = _COLOURS[str(row["role"])]
            each.plot([row[f"{measure}_low"], row[f"{measure}_high"]], [y, y], color=colour)
            each.plot([row[measure]], [y], "o", color=colour, markersize=3)
            theirs = dict(paper or {}).get(str(row["method"]))
            if theirs is not None and measure in _PAPERS:
                value = theirs[_PAPERS.index(measure)]
                each.plot([value], [y], "D", color=colour, markersize=3, fillstyle="none")
        each.axvline(0, color=FAINT, linewidth=0.5)
        each.set_title(MEASURES[measure])
        each.set_yticks(list(at), [str(name) for name in table["method"]])
    roles = set(table["role"])
    floors = " and ".join(
        word for role, word in (("floor", "floors"), ("ceiling", "the true map")) if role in roles
    )
    said = (("method", "the model"), ("baseline", "baselines"), ("floor", floors))
    handles = [
        Line2D([], [], color=_COLOURS[role], marker="o", markersize=3, label=f"{word}, mean, 95 %")
        for role, word in said
        if role in roles or (role == "floor" and floors)
    ]
    if paper:
        handles.append(
            Line2D(
                [],
                [],
                color=INK,
                label="the paper",
                marker="D",
                markersize=3,
                fillstyle="none",
                linestyle="none",
            )
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _cell(mean: float, low: float, high: float) -> str:
    if mean != mean:
        return ""
    return f"{mean:.3f}" if low != low else f"{mean:.3f} ({low:.3f} to {high:.3f})"


def _finite(value: Any) -> Any:
    """Return it with null for what is no number: JSON has no NaN."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return None
    return value
