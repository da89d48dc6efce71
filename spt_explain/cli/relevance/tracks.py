"""``spt-explain relevance fit`` and ``explain`` where the input is a table of tracks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

_OF_MOVIES = (
    "tile", "frames", "stride", "bin", "per", "channel", "z", "most_clips", "generator",
    "generator_recipe", "generator_minutes", "overlap", "animation", "batch_size",
)  # fmt: skip


def are_tracks(names: Sequence[str]) -> bool:
    """Return whether what was given are tables of tracks, not movies."""
    from spt_explain.track_relevance import looks_like_tracks

    return all(Path(name).is_file() and looks_like_tracks(name) for name in names)


def fit_tracks(
    names: Sequence[str],
    signal: str | None,
    output: str,
    console: Console,
    as_json: bool,
    options: Mapping[str, Any],
) -> int:
    """Fit a model to tracks, and say what was found."""
    from rich.markup import escape

    from spt_explain.cli.console import make_progress
    from spt_explain.track_relevance import CHECKPOINT, fit_track_relevance

    _refuse_those_of_movies()
    given = signal or "class"
    file = given if Path(given).is_file() else None
    with make_progress(console) as progress:
        try:
            found = fit_track_relevance(
                list(names), "class" if file else given, output, signal_file=file,
                kind=options["kind"], recipe=options["recipe"], reading=_reading(options),
                seed=options["seed"], minutes=options["minutes"], resume=options["resume"],
                overwrite=options["overwrite"], device=options["device"],
                command=["spt-explain", *sys.argv[1:]], report=_reporter(console, progress),
            )  # fmt: skip
        except KeyboardInterrupt:
            if (Path(output) / CHECKPOINT).exists():
                console.print("The fit is kept: the same command with --resume goes on with it.")
            raise
    for line in (*found.notes, *found.document.get("in_words", ())):
        console.print(f"  {escape(str(line))}", style="yellow" if "BEWARE" in line else None)
    console.print(f"→ model in {output}", markup=False)
    console.print(
        f"  to use it: spt-explain relevance explain TRACKS --model {output}", markup=False
    )
    if as_json:
        click.echo(json.dumps(found.document, indent=1, ensure_ascii=False, default=str))
    return 0


def explain_tracks(
    names: Sequence[str],
    model: str,
    output: str | None,
    console: Console,
    as_json: bool,
    options: Mapping[str, Any],
) -> int:
    """Say which frames of tracks carry the signal, file by file."""
    from rich.markup import escape

    from spt_explain.cli.console import make_progress
    from spt_explain.track_relevance import explain_track_relevance

    _refuse_those_of_movies()
    documents = []
    for name in names:
        own = f"{Path(name).stem}.relevance"
        folder = Path(name).with_name(own) if output is None else Path(output)
        if output is not None and len(names) > 1:
            folder.mkdir(parents=True, exist_ok=True)
            folder = folder / own
        with make_progress(console) as progress:
            task = progress.add_task("explaining", total=None, count="")

            def tell(
                what: str, done: int, total: int, task: Any = task, bar: Any = progress
            ) -> None:
                bar.update(task, description=what, completed=done, total=total, count="")

            found = explain_track_relevance(
                name, model, folder, reading=_reading(options), seed=options["seed"],
                formats=options["figure_formats"] if options["plot"] else (),
                device=options["device"], overwrite=options["overwrite"],
                command=["spt-explain", *sys.argv[1:]], progress=tell,
            )  # fmt: skip
        checks = found.document["found"]["checks"]
        said = ", ".join(f"{count:,} {word}" for word, count in checks.items())
        console.print(f"[bold]{escape(name)}[/bold]  {len(found.tracks):,} tracks · checks: {said}")
        console.print(f"→ {folder}: {', '.join(p.name for p in found.files)}", markup=False)
        documents.append(found.document | {"folder": str(folder)})
    if as_json:
        click.echo(json.dumps({"files": documents}, indent=1, ensure_ascii=False, default=str))
    return 0


def _refuse_those_of_movies() -> None:
    """Refuse options that were given and would do nothing."""
    context = click.get_current_context()
    for name in _OF_MOVIES:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise SptError(
                f"--{name.replace('_', '-')} is for movies, and tracks were given. Leave it out."
            )


def _reading(options: Mapping[str, Any]) -> dict[str, Any]:
    names = ("pixel_size_um", "frame_interval_s", "override_units")
    return {name: options[name] for name in names}


def _reporter(console: Console, progress: Any) -> Callable[[Any], None]:
    task = progress.add_task("fitting", total=None, count="")

    def report(now: Any) -> None:
        text = f"loss {now.loss:.3f}"
        progress.update(
            task, description=now.stage, completed=now.step, total=now.total or None, count=text
        )
        if not console.is_terminal:
            of = f"/{now.total:,}" if now.total else ""
            console.print(
                f"{now.stage} step {now.step:,}{of} · {text} · {now.left_s:,.0f} s left",
                markup=False,
            )

    return report
