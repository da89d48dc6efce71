"""``spt-explain relevance fit``: a model from movies and a signal."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, GroupedOption, options_from, saying_options
from spt_explain.xddpm.options import ClipOptions, RelevanceFitOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.relevance import RelevanceListener


jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="CPU threads. Default: all cores."
)


@click.command("fit", cls=GroupedCommand)
@click.argument("movies", nargs=-1, required=True, metavar="MOVIES…")
@click.option(
    "--signal",
    cls=GroupedOption,
    heading=ClipOptions.heading,
    metavar="FILE|FILE:COLUMN|area|circumference|intensity|spots|msd-d",
    help="A table (CSV, TSV, Parquet) with a column movie, perhaps a column frame, and one or "
    "several values or a category in each row; or what is measured from the movies themselves. "
    "Of tracks: their column, such as class (the default) or alpha.  [required for movies]",
)
@options_from(RelevanceFitOptions)
@jobs_option
@click.option(
    "-o", "--output", default="model", show_default=True, metavar="FOLDER",
    help="Folder of the model.",
)  # fmt: skip
@saying_options("the model in the output folder", "what was found as JSON on standard output")
def command(
    movies: tuple[str, ...],
    signal: str | None,
    jobs: int | None,
    output: str,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Fit a model that says which pixels of movies carry a signal.

    MOVIES are TIFF of any kind, ND2 or CZI files, folders or globs; or tables of tracks, whose
    frames are then looked at in place of pixels. Clips are cut from them; whole
    movies (of a single movie, fields) are held out. First a network learns to predict the signal;
    where it can't on clips held out, or can as well with the signal shuffled, that is said and
    nothing follows. Then a mask closes over all pixels that the prediction can do without.

    Interrupt it whenever you like (Ctrl-C): the same command with --resume goes on.

    \b
    Example:
        spt-explain relevance fit movies/ --signal values.csv -o model/
        spt-explain relevance fit movie.tif --signal intensity --tile 32 -o model/

    \b
    Then: spt-explain relevance explain movie.tif --model model/
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.cli.relevance.tracks import are_tracks, fit_tracks
    from spt_explain.relevance import fit_relevance

    asked = RelevanceFitOptions.taken_from(options)
    use_threads(jobs)
    console = make_console(quiet=quiet)
    if are_tracks(movies):
        return fit_tracks(movies, signal, output, console, as_json, asked, overwrite=overwrite)
    if signal is None:
        from spt_explain.errors import SptError

        raise SptError(
            "the signal is missing: what is to be explained?\nGive --signal FILE (a table with the "
            "columns movie and value), or one of area, circumference, intensity, spots, msd-d.",
            code="not-found",
        )
    with (
        make_progress(console) as progress,
        _resumable(console, Path(output), generator=asked.generator),
    ):
        found = fit_relevance(
            movies,
            signal,
            output,
            overwrite=overwrite,
            command=["spt-explain", *sys.argv[1:]],
            listener=make_listener(console, progress),
            **dict(asked),
        )
    say_checks(console, found.checks)
    console.print(f"→ model in {found.folder}", markup=False)
    own = shlex.quote(str(found.folder))
    console.print(f"  to use it: spt-explain relevance explain MOVIE --model {own}", markup=False)
    if as_json:
        click.echo(json.dumps(found.document, indent=1, ensure_ascii=False, default=str))
    return 0


def use_threads(jobs: int | None) -> None:
    """Set torch's threads."""
    if jobs is not None:
        import torch

        torch.set_num_threads(jobs)


def say_checks(console: Console, checks: Any) -> None:
    """Print a line for each check; in colour what is not good."""
    if not checks:
        return
    from rich.markup import escape

    from spt_explain.report.relevance_checks import in_words

    console.print("[bold]checks[/bold]")
    for line in in_words(checks):
        console.print(f"  {escape(line)}", style="yellow" if "BEWARE" in line else None)


def make_listener(console: Console, progress: Progress) -> RelevanceListener:
    """Return what prints how a fit, or a look at a movie, goes on."""
    from rich.markup import escape

    from spt_explain.relevance import RelevanceListener

    class Printer(RelevanceListener):
        """Says what is done, and keeps the bar going."""

        task: Any = None
        what = ""
        since = 0.0

        def _show(self, what: str, done: int, total: int, count: str) -> None:
            if self.task is None or self.what != what:
                self._clear()
                self.task = progress.add_task(what, total=total or None, count="")
                self.what = what
            progress.update(self.task, completed=done, total=total or None, count=count)

        def _clear(self) -> None:
            if self.task is not None:
                progress.remove_task(self.task)
                self.task = None

        def gathering(self, what: str, done: int, total: int) -> None:
            self._show(what, done, total, f"{done:,}/{total:,}")

        def gathered(self, examples: Any) -> None:
            self._clear()
            shape = " × ".join(str(n) for n in examples.clips.shape[1:])
            groups = len(set(map(str, examples.groups)))
            movies = len(examples.sources)
            where = f"{movies:,} movie{'s' * (movies != 1)}"
            if groups != movies:
                kind = "stretches of time" if "stretch" in examples.held_out_by else "fields"
                where += f", {groups:,} {kind}"
            console.print(
                f"[bold]clips[/bold]    {len(examples.clips):,} of {shape} (frames, height, width) "
                f"from {where}"
            )
            said = escape(", ".join(map(str, examples.names)))
            many = "category" if examples.kind == "category" else "number"
            console.print(f"[bold]signal[/bold]   {said}: a {many} for each {examples.per}")
            for note in examples.notes:
                console.print(f"  {escape(str(note))}", style="dim")

        def started(self, recipe: Any, source: str, device: str, resumed: bool) -> None:
            again = ", resumed" if resumed else ""
            console.print(
                f"[bold]recipe[/bold]   {escape(source)}, {recipe.schedule.minutes:g} minutes, "
                f"seed {recipe.seed}, {escape(device)}{again}"
            )

        def fitting(self, now: Any) -> None:
            text = f"loss {now.loss:.3f}"
            if now.mask == now.mask:
                text += f" · mean mask {now.mask:.3f}"
            if not console.is_terminal:
                of = f"/{now.total:,}" if now.total else ""
                console.print(
                    f"{now.stage} step {now.step:,}{of} · {text} · {now.left_s:,.0f} s left",
                    markup=False,
                )
            self._show(now.stage, now.step, now.total, text)

        def generating(self, now: Any) -> None:
            text = f"loss {now.loss:.4f}"
            if not console.is_terminal:
                console.print(
                    f"generator step {now.step:,} · {text} · {now.left_s:,.0f} s left", markup=False
                )
            self._show("generator", now.step, now.total, text)

        def stage(self, what: str) -> None:
            self._clear()
            console.print(what, style="dim")

        def probing(self, done: int, total: int) -> None:
            if done == 1:
                self.since = time.monotonic()
            left = (time.monotonic() - self.since) * (total - done) / max(done - 1, 1)
            if not console.is_terminal and done % max(1, total // 10) == 0:
                console.print(f"step {done:,}/{total:,} · {left:,.0f} s left", markup=False)
            self._show("fitting", done, total, f"{done:,}/{total:,} · {left:,.0f} s left")

        def looking(self, done: int, total: int) -> None:
            self._show("looking", done, total, f"{done:,}/{total:,} frames")

        def drawing(self, done: int, total: int) -> None:
            self._show("drawing", done, total, f"{done:,}/{total:,} frames")

    return Printer()


@contextlib.contextmanager
def _resumable(console: Console, folder: Path, *, generator: bool) -> Iterator[None]:
    """Say, when a fit is interrupted, how to go on with it."""
    from spt_explain.relevance_fitting import CHECKPOINT
    from spt_explain.report.relevance_files import CARD, GENERATOR_CARD, GENERATOR_CHECKPOINT

    try:
        yield
    except KeyboardInterrupt:
        there = {
            name
            for name in (CARD, CHECKPOINT, GENERATOR_CARD, GENERATOR_CHECKPOINT)
            if (folder / name).exists()
        }
        lacking = generator and CARD in there and GENERATOR_CARD not in there
        if lacking or there & {CHECKPOINT, GENERATOR_CHECKPOINT}:
            console.print("The fit is kept: the same command with --resume goes on with it.")
        raise
