"""``spt-explain evaluate``: how good a set of weights is, on tracks whose class is known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import (
    GroupedCommand,
    names_of,
    network_of,
    network_options,
    options_from,
    parse_columns,
    policy_of,
    quality_options,
    refuse_unused,
    saying_options,
)
from spt_explain.errors import SptError
from spt_explain.report.options import EvaluationFiles
from spt_explain.training.options import EvaluateOptions, SimulatedOptions, TestData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from spt_explain.training.testing import TestRun


@click.command("evaluate", cls=GroupedCommand)
@options_from(TestData)
@options_from(EvaluateOptions, "tracks", "noise", *SimulatedOptions.model_fields)
@quality_options
@network_options
@options_from(EvaluationFiles, "output", "plot", "figure_format")
@saying_options("a folder of results that exists")
@click.pass_context
def command(
    context: click.Context, /, overwrite: bool, quiet: bool, as_json: bool, **options: Any
) -> int:
    """Measure how good a set of weights is: accuracy, F1, confusions, calibration, error of α.

    By noise, length and exponent, each with its uncertainty, as tables and as figures in the
    layout of Bae, Baek & Jeong (Figs. 5, S2 and S3). Tested on simulated tracks of the eight
    classes, or on labelled tracks of your own.

    \b
    Examples:
        spt-explain evaluate
        spt-explain evaluate --weights mine --noise 0,0.5,1 --length 20-49 --tracks 4000
        spt-explain evaluate --data labelled.csv --label-column class -o results

    \b
    Example: a test of a minute, without figures
        spt-explain evaluate --tracks 400 --noise 0,0.5,1 --no-plot
    """
    from spt_explain import __version__
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.report.evaluation import check_folder, provenance, write_evaluation
    from spt_explain.resandi.weights import find_weights
    from spt_explain.training.testing import evaluate

    data, tested = TestData.taken_from(options), EvaluateOptions.taken_from(options)
    policy, network = policy_of(options), network_of(options)
    files = EvaluationFiles.taken_from(options)
    reading = {"columns": parse_columns(data.columns)}
    refuse_unused(context, with_data=bool(data.data))
    if files.output == "-":
        raise SptError("-o takes a folder here; for the summary on standard output give --json.")
    names = names_of(data.data)
    folder = (
        Path(files.output)
        if files.output
        else _default_folder(names, find_weights(network["weights"]).name)
    )
    check_folder(folder, [Path(name) for name in names if name != "-"], overwrite=overwrite)
    console = make_console(quiet=quiet)
    with make_progress(console) as progress:
        run = evaluate(
            network.pop("weights"),
            names,
            label_column=data.label_column,
            policy=policy,
            reading=reading,
            **dict(tested),
            **network,
            watcher=_make_watcher(console, progress),
        )
    made = provenance(
        run,
        version=__version__,
        command=["spt-explain", *sys.argv[1:]],
        policy=policy if names else None,
        reading=reading if names else None,
    )
    written = write_evaluation(run, folder, made, formats=files.formats)
    _print_summary(console, run)
    figures = sum(path.suffix not in (".csv", ".json") for path in written)
    tables = sum(path.suffix == ".csv" for path in written)
    console.print(
        f"→ {folder}/ ({tables} tables, {figures} figure files, evaluation.json)", markup=False
    )
    if as_json:
        document = run.evaluation.to_dict()
        keys = ("overall", "by_noise", "by_length", "by_class", "classes", "confusion")
        summary = {
            "weights": run.weights,
            **{key: document[key] for key in keys},
            "notes": list(run.notes),
            "outputs": [str(path) for path in written],
        }
        click.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    return 0


def _default_folder(names: Sequence[str], weights: str) -> Path:
    if not names or names[0] == "-":
        return Path(f"{weights}.evaluation")
    first = Path(names[0])
    stem = first.name.removesuffix(".gz")
    return first.parent / f"{stem.removesuffix(Path(stem).suffix)}.evaluation"


def _make_watcher(console: Console, progress: Progress) -> Any:
    from rich.markup import escape

    from spt_explain.training.testing import Watcher

    class Printer(Watcher):
        """Prints what is tested on what, and keeps the progress bar going."""

        task: Any = None

        def read(self, tracks: Any) -> None:
            said = f"{tracks.report['format']} · {len(tracks):,} labelled tracks"
            console.print(f"[bold]{escape(str(tracks.report['name']))}[/bold]  {escape(said)}")
            for note in tracks.notes:
                console.print(f"  {escape(note)}", style="dim")

        def ready(self, classifier: Any, what: str) -> None:
            console.print(f"[bold]weights[/bold]  {escape(classifier.weights.describe())}")
            console.print(f"[bold]device[/bold]   {escape(classifier.backend.device.description)}")
            console.print(f"[bold]test[/bold]     {escape(what)}")

        def progress(self, done: int, total: int) -> None:
            if self.task is None:
                self.task = progress.add_task("testing", total=total, count="")
            progress.update(self.task, completed=done, count=f"{done:,}/{total:,} tracks")

    return Printer()


def _print_summary(console: Console, run: TestRun) -> None:
    evaluation = run.evaluation
    console.print()
    console.print(_by_noise(run))
    clean = evaluation.cleanest
    if len(clean.by_length) > 1:
        console.print()
        console.print(_by_length(clean.by_length))
        if len(evaluation.by_noise) > 1:
            lowest = evaluation.by_noise[0]["noise"]
            console.print(f"by length: tracks at 1/SNR {lowest:g}", style="dim")
    console.print(
        "Ranges hold the true value in 95 %. Calibration error: in brackets less what chance "
        "alone adds.",
        style="dim",
    )
    for note in run.notes:
        console.print(note, style="dim", markup=False)


def _by_noise(run: TestRun) -> Table:
    from spt_explain.cli.console import plain_table
    from spt_explain.report import published

    rows = run.evaluation.by_noise or [{"noise": None, **run.evaluation.overall}]
    paper = dict(zip(published.NOISE, published.ACCURACY_TARGETED, strict=True))
    with_alpha = "alpha_mae" in rows[0]
    names = ["tracks", "accuracy", "95 %", "macro F1", "calibration error"]
    names += ["error of α"] * with_alpha + ["paper"] * run.published
    table = plain_table("1/SNR", *names)
    for row in rows:
        cells = ["not known" if row["noise"] is None else f"{row['noise']:g}", *_cells(row)]
        if with_alpha:
            cells.append(_alpha_cell(row))
        if run.published:
            known = paper.get(row["noise"])
            cells.append(f"{100 * known:.1f} %" if known is not None else "")
        table.add_row(*cells)
    return table


def _by_length(rows: Sequence[dict[str, Any]]) -> Table:
    from spt_explain.cli.console import plain_table

    with_alpha = any("alpha_mae" in row for row in rows)
    names = ["tracks", "accuracy", "95 %", "macro F1", "calibration error"]
    table = plain_table("points", *names, *["error of α"] * with_alpha)
    for row in rows:
        most = row["max_points"]
        band = f"{row['min_points']}+" if most is None else f"{row['min_points']}–{most}"
        table.add_row(band, *_cells(row), *([_alpha_cell(row)] if with_alpha else []))
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    ece, debiased = 100 * row["ece"], 100 * row["ece_debiased"]
    return [
        f"{row['n']:,}",
        f"{100 * row['accuracy']:.1f} %",
        f"{100 * row['accuracy_low']:.1f}–{100 * row['accuracy_high']:.1f}",
        f"{row['macro_f1']:.3f}",
        f"{ece:.1f} % ({debiased:.1f})".replace("-0.0", "0.0"),
    ]


def _alpha_cell(row: dict[str, Any]) -> str:
    return f"{row['alpha_mae']:.3f}" if row.get("alpha_n") else ""
