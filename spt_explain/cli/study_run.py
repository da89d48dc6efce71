"""How a study is made from the command line: its tracks, its folder, what is printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import (
    names_of,
    network_of,
    network_options,
    options_from,
    parse_columns,
    policy_of,
    quality_options,
    refuse_unused,
    saying_options,
    stacked,
)
from spt_explain.errors import SptError
from spt_explain.report.options import StudyFiles
from spt_explain.studies.options import SourceOptions, TrackStudyOptions
from spt_explain.training.options import LabelledOptions, SimulatedOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.core.config import Options
    from spt_explain.studies.sources import TrackSource


def study_options(model: type[Options]) -> Callable[[Any], Any]:
    """Return what adds the options of a study, of its tracks if it is made of some, and others."""
    names = ("tracks", "noise", *SimulatedOptions.model_fields)
    tracks = (
        (options_from(LabelledOptions), options_from(model.source(), *names), quality_options)
        if issubclass(model, TrackStudyOptions)
        else ()
    )
    return stacked(
        options_from(model),
        *tracks,
        network_options,
        options_from(StudyFiles, "output", "plot", "figure_format"),
        saying_options("a folder of results that exists"),
    )


def run_study(
    name: str,
    study: Callable[..., Any],
    model: type[Options],
    show: Callable[[Console, Any], None],
    options: Mapping[str, Any],
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

    wanted, network = model.taken_from(options), network_of(options)
    out = StudyFiles.taken_from(options)
    source = _source(options) if issubclass(model, TrackStudyOptions) else None
    names = source.data if source else ()
    if out.output == "-":
        raise SptError("-o takes a folder here; for the summary on standard output give --json.")
    folder = Path(out.output or f"{name}.study")
    check_study_folder(folder, [Path(one) for one in names if one != "-"],
                       overwrite=options["overwrite"])  # fmt: skip
    console = make_console(quiet=options["quiet"])
    with make_progress(console) as progress:
        watcher = _make_watcher(console, progress, name)
        first = (source,) if source else ()
        found = study(*first, watcher=watcher, **dict(wanted), **network)
    made = study_provenance(
        found.record,
        version=__version__,
        command=["spt-explain", *sys.argv[1:]],
        policy=source.policy if source and names else None,
        reading=source.reading if source and names else None,
    )
    files = write_study(found, folder, made, formats=out.formats)
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
    if options["as_json"]:
        summary = {
            "weights": found.record.weights,
            **summary_of(found),
            "notes": list(found.record.notes),
            "outputs": [str(path) for path in files],
        }
        click.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    return 0


def _source(options: Mapping[str, Any]) -> TrackSource:
    """Return which tracks are asked for."""
    from spt_explain.studies.sources import TrackSource

    files, asked = LabelledOptions.taken_from(options), SourceOptions.taken_from(options)
    refuse_unused(click.get_current_context(), with_data=bool(files.data))
    return TrackSource(
        names_of(files.data),
        label_column=files.label_column,
        policy=policy_of(options),
        reading={"columns": parse_columns(files.columns)},
        **dict(asked),
    )


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
