"""``spt-explain relevance fit`` and ``explain`` where the input is tables of tracks."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.errors import SptError
from spt_explain.tracks.units import UnitOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from spt_explain.track_relevance import TrackRelevance
    from spt_explain.xddpm.options import RelevanceExplainOptions, RelevanceFitOptions

_OF_MOVIES = (
    "tile", "frames", "stride", "bin", "per", "channel", "z", "most_clips", "generator",
    "generator_recipe", "generator_minutes", "overlap", "animation", "batch_size",
)  # fmt: skip


def are_tracks(names: Sequence[str]) -> bool:
    """Return whether what was given are tables of tracks, not movies."""
    from spt_explain.track_relevance import find_tables

    return find_tables(names) is not None


def fit_tracks(
    names: Sequence[str],
    signal: str | None,
    output: str,
    console: Console,
    as_json: bool,
    asked: RelevanceFitOptions,
    *,
    overwrite: bool,
) -> int:
    """Fit a model to tracks, and say what was found."""
    from rich.markup import escape

    from spt_explain.cli.console import make_progress
    from spt_explain.track_relevance import (
        CHECKPOINT,
        find_tables,
        fit_track_relevance,
        split_signal,
    )

    _refuse_those_of_movies()
    recipe: Any = asked.recipe
    column, file = split_signal("class" if signal is None else signal)

    def began(tracks: Any, recipe: Any, device: str) -> None:
        where = f" from {tracks.files:,} files" if tracks.files > 1 else ""
        console.print(f"[bold]tracks[/bold]   {len(tracks):,}{where}")
        kind = tracks.kind if recipe.data.kind == "auto" else recipe.data.kind
        said = f"{tracks.names[0]}: a {kind} for each track"
        if kind == "category":
            values, counts = _counts(tracks.values.tolist())
            some = ", ".join(f"{v} {n:,}" for v, n in zip(values[:8], counts, strict=False))
            said += f" ({some}{', …' if len(values) > 8 else ''})"
        console.print(f"[bold]signal[/bold]   {escape(said)}")
        for note in tracks.notes:
            console.print(f"  {escape(str(note))}", style="dim")
        again = ", resumed" if asked.resume and (Path(output) / CHECKPOINT).exists() else ""
        console.print(
            f"[bold]recipe[/bold]   {escape(recipe.name)}, {recipe.schedule.minutes:g} minutes, "
            f"seed {recipe.seed}, {device}{again}"
        )

    with make_progress(console) as progress:
        try:
            found = fit_track_relevance(
                find_tables(names), column, output, signal_file=file,
                kind=asked.kind, recipe=recipe, reading=_reading(asked),
                seed=asked.seed, minutes=asked.minutes, resume=asked.resume,
                overwrite=overwrite, device=asked.device,
                command=["spt-explain", *sys.argv[1:]], began=began,
                report=_reporter(console, progress),
            )  # fmt: skip
        except KeyboardInterrupt:
            if (Path(output) / CHECKPOINT).exists():
                console.print("The fit is kept: the same command with --resume goes on with it.")
            raise
    _say(console, found.document.get("in_words", ()))
    console.print(f"→ model in {output}", markup=False)
    own = shlex.quote(output)
    console.print(f"  to use it: spt-explain relevance explain TRACKS --model {own}", markup=False)
    if as_json:
        click.echo(json.dumps(found.document, indent=1, ensure_ascii=False, default=str))
    return 0


def explain_tracks(
    names: Sequence[str],
    model: str,
    output: str | None,
    console: Console,
    as_json: bool,
    asked: RelevanceExplainOptions,
    *,
    overwrite: bool,
) -> int:
    """Say which frames of tracks carry the signal, file by file; one that fails stops no other."""
    from rich.markup import escape

    from spt_explain.track_relevance import find_tables, in_words, load_model

    _refuse_those_of_movies()
    tables = find_tables(names) or []
    folders = _folders(tables, output)
    fitted = load_model(model, asked.device)
    documents, errors = [], []
    for name, folder in zip(tables, folders, strict=True):
        try:
            found = _explain(name, fitted, folder, console, asked, overwrite=overwrite)
        except SptError as error:
            if len(tables) == 1:
                raise
            errors.append((name, error))
            continue
        console.print(f"[bold]{escape(name)}[/bold]  {len(found.tracks):,} tracks")
        _say(console, found.document["in_words"])
        console.print(f"→ {folder}: {', '.join(p.name for p in found.files)}", markup=False)
        documents.append(found.document | {"folder": str(folder)})
    if documents:
        console.print("[bold]the model[/bold]")
        _say(console, in_words(fitted))
    for name, wrong in errors:
        click.echo(f"Error: {name}: {wrong}".replace("\n", "\n       "), err=True)
    if not documents:
        raise SptError(
            f"not one of {len(tables)} tables of tracks could be explained.", code="no-data"
        )
    if as_json:
        said = {
            "files": documents,
            "failed": [{"name": name, "error": str(error)} for name, error in errors],
        }
        click.echo(json.dumps(said, indent=1, ensure_ascii=False, default=str))
    return 3 if errors else 0


def _explain(
    name: str,
    model: Any,
    folder: Path,
    console: Console,
    asked: RelevanceExplainOptions,
    *,
    overwrite: bool,
) -> TrackRelevance:
    from spt_explain.cli.console import make_progress
    from spt_explain.track_relevance import explain_track_relevance

    with make_progress(console) as progress:
        task = progress.add_task("explaining", total=None, count="")

        def tell(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total, count="")

        return explain_track_relevance(
            name, model, folder, reading=_reading(asked), seed=asked.seed,
            formats=asked.figure_formats if asked.plot else (),
            device=asked.device, overwrite=overwrite,
            command=["spt-explain", *sys.argv[1:]], progress=tell,
        )  # fmt: skip


def _folders(names: Sequence[str], output: str | None) -> list[Path]:
    """Return a folder of results for each table, no two alike."""
    if output is not None and len(names) == 1:
        return [Path(output)]
    paths = [Path(name) if output is None else Path(output) / Path(name).name for name in names]
    folders = [path.with_name(f"{path.stem}.relevance") for path in paths]
    if len(set(folders)) < len(folders):
        folders = [path.with_name(f"{path.name}.relevance") for path in paths]
    if len(set(folders)) < len(folders):
        raise SptError(
            "several tables have the same name, so their results in one folder would, too.\n"
            "Leave -o out, or explain them one by one.",
            code="conflict",
        )
    if output is not None:
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SptError(
                f"the folder {output} can't be made ({error.strerror or error}). Change -o.",
                code="unwritable",
            ) from error
    return folders


def _say(console: Console, lines: Sequence[str]) -> None:
    from rich.markup import escape

    for line in lines:
        console.print(f"  {escape(str(line))}", style="yellow" if "BEWARE" in line else None)


def _counts(values: Sequence[str]) -> tuple[list[str], list[int]]:
    from collections import Counter

    found = Counter(values).most_common()
    return [value for value, _ in found], [count for _, count in found]


def _refuse_those_of_movies() -> None:
    """Refuse options that were given and would do nothing."""
    context = click.get_current_context()
    for name in _OF_MOVIES:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise SptError(
                f"--{name.replace('_', '-')} is for movies, and tracks were given. Leave it out.",
                code="conflict",
            )


def _reading(asked: UnitOptions) -> dict[str, Any]:
    return dict(UnitOptions.taken_from(dict(asked)))


def _reporter(console: Console, progress: Any) -> Callable[[Any], None]:
    task = progress.add_task("fitting", total=None, count="")

    def report(now: Any) -> None:
        text = f"loss {now.loss:.3f}"
        if now.mask == now.mask:
            text += f" · mean mask {now.mask:.3f}"
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
