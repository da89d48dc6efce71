"""What the studies print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from spt_explain.studies.correlation import CorrelationStudy
    from spt_explain.studies.embedding import EmbeddingStudy
    from spt_explain.studies.erasure import ErasureStudy
    from spt_explain.studies.gallery import GalleryStudy
    from spt_explain.studies.sensitivity import SensitivityStudy


def show_erasure(console: Console, found: ErasureStudy, *, by_length: bool) -> None:
    """Print how each method does, by protocol, the best first."""
    for protocol in dict.fromkeys(found.methods["protocol"]):
        console.print(_erasure_table(protocol, found.overall(protocol)))
        if not by_length:
            continue
        table = found.methods[found.methods["protocol"] == protocol]
        for band in table.sort_values("min_points")["points"].unique():
            if band != "all":
                own = table[table["points"] == band].sort_values("behind", kind="stable")
                console.print(_erasure_table(protocol, own, band))


def show_sensitivity(console: Console, found: SensitivityStudy, *, threshold: float) -> None:
    """Print how wide a node of each block sees."""
    names = ["change", "block", "frames a node", "90 % in", "above half"]
    table = _table("network", [*names, f"above {threshold:g}", "can reach it", "paper"])
    for row in found.widths.to_dict("records"):
        table.add_row(
            row["network"],
            row["change"],
            row["block"].removeprefix("block"),
            str(row["frames_per_node"]),
            f"{row['holding_90']:.0f}",
            f"{row['above_half']:.0f}",
            f"{row['above_threshold']:.0f}",
            f"{row['receptive_field']:,}",
            _number(row["published"], "{:.0f}"),
        )
    console.print(table)
    console.print("Frames, medians over the nodes of each block.", style="dim")


def show_embedding(console: Console, found: EmbeddingStudy) -> None:
    """Print how separate the classes are in each block."""
    names = ["channels", "neighbours of the same class", "95 %", "silhouette"]
    table = _table("block", [*names, "within the paper's clusters"])
    for row in found.blocks.to_dict("records"):
        low, high = 100 * row["knn_accuracy_low"], 100 * row["knn_accuracy_high"]
        table.add_row(
            row["block"].removeprefix("block"),
            str(row["channels"]),
            f"{100 * row['knn_accuracy']:.1f} %",
            f"{low:.1f}–{high:.1f}",
            _number(row["silhouette"], "{:.2f}"),
            f"{100 * row['group_accuracy']:.1f} % ({row['n_groups']})",
        )
    console.print(table)


def show_correlation(console: Console, found: CorrelationStudy) -> None:
    """Print the coefficients beside the paper's."""
    table = found.correlations
    for (method, pairing), part in table.groupby(["method", "pairing"], sort=False):
        own = part[part["variant"] == "pooled"]
        console.print(f"{method!s}, scores of each {pairing!s} (Pearson; in brackets: the paper's)")
        names = list(dict.fromkeys(own["statistic"]))
        shown = _table("class", names)
        for class_name in dict.fromkeys(own["class"]):
            rows = own[own["class"] == class_name].set_index("statistic").to_dict("index")
            cells = []
            for name in names:
                text, paper = (
                    _number(rows[name][key], "{:.2f}") for key in ("pearson", "published")
                )
                cells.append(f"{text} ({paper})" if paper else text)
            shown.add_row(class_name, *cells)
        console.print(shown)


def show_gallery(console: Console, found: GalleryStudy) -> None:
    """Print how far the paper's remarks hold."""
    for method in dict.fromkeys(found.remarks["method"]):
        table = _table(method, ["", "tracks", "value", "95 %", "chance", "holds"])
        table.columns[1].justify = "left"
        for row in found.remarks[found.remarks["method"] == method].to_dict("records"):
            table.add_row(
                row["class"],
                row["measure"],
                f"{row['n_tracks']:,}",
                _number(100 * row["value"], "{:.0f} %"),
                f"{100 * row['low']:.0f}–{100 * row['high']:.0f}",
                _number(100 * row["chance"], "{:.0f} %"),
                "yes" if row["holds"] else "no",
            )
        console.print(table)


def _erasure_table(protocol: str, rows: Any, band: str = "all") -> Table:
    checked = bool(rows["gain"].notna().any())
    n = int(rows["n_tracks"].iloc[0])
    where = "all lengths" if band == "all" else f"{band} points"
    names = ["lowest erased", "highest erased", "difference", "95 %", "random", "falls"]
    names += ["loss top", "random", "beyond", "pass"] if checked else []
    table = _table(f"{protocol}, {where}, {n:,} tracks", names)
    for row in rows.to_dict("records"):
        if row["method"] == "random":
            continue
        cells = [
            f"{100 * row['lowest']:.1f} %",
            f"{100 * row['highest']:.1f} %",
            _number(100 * row["difference"], "{:.1f}"),
            f"{_number(100 * row['difference_low'], '{:.1f}')}–"
            f"{_number(100 * row['difference_high'], '{:.1f}')}",
            f"{100 * row['random']:.1f} %",
            f"{row['falls']} of 9",
        ]
        if checked:
            cells += [_number(row[key], "{:.3f}") for key in ("loss_top", "loss_random", "gain")]
            cells.append(_number(100 * row["passed"], "{:.0f} %"))
        mark = "  ← best" if row["best"] else "  ≈" if row["as_good"] else ""
        table.add_row(f"{row['method']}{mark}", *cells)
    return table


def _number(value: Any, form: str) -> str:
    """Write a number; nothing where there is none, and no sign for one that rounds to 0."""
    text = form.format(value) if value == value else ""
    return text.lstrip("-") if not text.strip("-0. %") else text.replace("-", "−")


def _table(first: str, names: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(first, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table
