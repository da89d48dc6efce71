"""How a study is made from the command line: its tracks, its folder, what is printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import parse_columns, parse_length, policy_of, refuse_unused
from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.progress import Progress

_SIMULATED = ("length", "even_lengths", "exposure", "missing")
_OF_FILES = ("label_column", "columns", "min_length", "gaps", "max_gap", "branches")
_SOURCE = ("data", "tracks", "noise", *_SIMULATED, *_OF_FILES)
_OUTPUT = ("output", "plot", "figure_format", "overwrite", "quiet", "as_json", "debug")


def run_study(
    name: str,
    study: Callable[..., Any],
    show: Callable[[Console, Any], None],
    options: dict[str, Any],
) -> int:
    """Make a study, print it and write its folder."""
    from spt_explain import __version__
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.report.studies import (
        check_study_folder,
        study_provenance,
        summary_of,
        write_study,
    )

    out = {key: options.pop(key) for key in _OUTPUT}
    source: Any = None
    names: Sequence[str] = ()
    if "data" in options:
        source, names = _source(options)
    if out["output"] == "-":
        raise SptError("-o takes a folder here; for the summary on standard output give --json.")
    folder = Path(out["output"] or f"{name}.study")
    check_study_folder(folder, [Path(one) for one in names if one != "-"],
                       overwrite=out["overwrite"])  # fmt: skip
    console = make_console(quiet=out["quiet"])
    given = {key: value for key, value in options.items() if value is not None}
    with make_progress(console) as progress:
        watcher = _make_watcher(console, progress, name)
        first = (source,) if source is not None else ()
        found = study(*first, watcher=watcher, **given)
    made = study_provenance(
        found.record,
        version=__version__,
        command=["spt-explain", *sys.argv[1:]],
        policy=source.policy if source and names else None,
        reading=source.reading if source and names else None,
    )
    files = write_study(found, folder, made, formats=out["figure_format"] if out["plot"] else ())
    console.print()
    show(console, found)
    for sentence in found.sentences:
        if not sentence.startswith(" "):
            console.print(sentence, markup=False)
    for note in found.record.notes:
        console.print(note, style="dim", markup=False)
    figures = sum(path.suffix not in (".csv", ".json") for path in files)
    tables = sum(path.suffix == ".csv" for path in files)
    console.print(
        f"→ {folder}/ ({tables} tables, {figures} figure files, study.json)", markup=False
    )
    if out["as_json"]:
        summary = {
            "weights": found.record.weights,
            **summary_of(found),
            "notes": list(found.record.notes),
            "outputs": [str(path) for path in files],
        }
        click.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    return 0


def _source(options: dict[str, Any]) -> tuple[Any, Sequence[str]]:
    """Take the options that say which tracks from the others."""
    from spt_explain.readers import find_inputs
    from spt_explain.studies.sources import TrackSource

    context = click.get_current_context()
    own = {key: options.pop(key) for key in _SOURCE}
    refuse_unused(context, bool(own["data"]), simulated=_SIMULATED, of_files=_OF_FILES)
    names = [one.name for one in find_inputs(own["data"])] if own["data"] else []
    source = TrackSource(
        data=tuple(names),
        label_column=own["label_column"],
        policy=policy_of(own),
        reading={"columns": parse_columns(own["columns"])},
        tracks=own["tracks"],
        noise=own["noise"],
        length=None if own["length"] is None else parse_length(own["length"]),
        even_lengths=own["even_lengths"],
        exposure=own["exposure"],
        missing=own["missing"],
        seed=options.pop("seed"),
    )
    return source, names


def _make_watcher(console: Console, progress: Progress, study: str) -> Any:
    from rich.markup import escape

    from spt_explain.studies.sources import Watcher

    class Printer(Watcher):
        """Prints what is studied with what, and keeps the progress bar going."""

        tasks: dict[str, Any]

        def __init__(self) -> None:
            self.tasks = {}

        def read(self, tracks: Any) -> None:
            said = f"{tracks.report['format']} · {len(tracks):,} labelled tracks"
            console.print(f"[bold]{escape(str(tracks.report['name']))}[/bold]  {escape(said)}")

        def ready(self, classifier: Any, what: str) -> None:
            console.print(f"[bold]weights[/bold]  {escape(classifier.weights.describe())}")
            console.print(f"[bold]device[/bold]   {escape(classifier.backend.device.description)}")
            console.print(f"[bold]{study}[/bold]  {escape(what)}")

        def progress(self, what: str, done: int, total: int) -> None:
            if what not in self.tasks:
                self.tasks[what] = progress.add_task(what, total=total, count="")
            progress.update(self.tasks[what], completed=done, count=f"{done:,}/{total:,}")

    return Printer()
