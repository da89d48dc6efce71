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

from spt_explain.cli.options import saying_options, stacked, unit_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.relevance import RelevanceListener


def _auto(least: int) -> Callable[..., int | str]:
    def convert(_: click.Context, __: click.Parameter, value: str) -> int | str:
        word = value.strip().lower()
        if word == "auto":
            return word
        if word.isdecimal() and int(word) >= least:
            return int(word)
        raise click.BadParameter(f"{value!r} is neither auto nor a whole number from {least} on.")

    return convert


def _depth(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value.strip().lower() in ("max", "mean"):
        return value if value is None else value.strip().lower()
    if value.strip().isdecimal() and int(value) >= 1:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither max, mean nor the number of a plane, from 1.")


movie_options = stacked(
    click.option(
        "--channel",
        type=click.IntRange(min=1),
        metavar="N",
        help="Which channel is read, counted from 1 as in Fiji. Default: the first; for explain, "
        "that of the fit.",
    ),
    click.option(
        "--z",
        callback=_depth,
        metavar="max|mean|N",
        help="Of several planes of depth: the brightest value, the mean, or one plane, counted "
        "from 1. Default: max; for explain, that of the fit.",
    ),
    unit_options,
)
"""How movies are read, for fit and explain."""
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="Where the networks run; auto takes the GPU if it can be used.",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="CPU threads. Default: all cores."
)


@click.command("fit")
@click.argument("movies", nargs=-1, required=True, metavar="MOVIES…")
@click.option(
    "--signal",
    metavar="FILE|FILE:COLUMN|area|circumference|intensity|spots|msd-d",
    help="A table (CSV, TSV, Parquet) with a column movie, perhaps a column frame, and one or "
    "several values or a category in each row; or what is measured from the movies themselves. "
    "Of tracks: their column, such as class (the default) or alpha.  [required for movies]",
)
@click.option(
    "--tile",
    type=int,
    metavar="PX",
    help="Side of the tiles that frames are cut into; 0: whole frames. Default: 32 for a measured "
    "signal; whole frames for a table, as its values belong to whole frames.",
)
@click.option(
    "--frames", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
    help="Frames of a clip.",
)  # fmt: skip
@click.option(
    "--stride", type=click.IntRange(min=1), metavar="N",
    help="Frames from the start of a clip to that of the next. Default: clips don't overlap, "
    "unless they would be few.",
)  # fmt: skip
@click.option(
    "--bin", default="auto", show_default=True, metavar="auto|N", callback=_auto(1),
    help="Squares of N × N pixels are averaged to one. auto: whole frames to 64 px a side at most, "
    "tiles not at all.",
)  # fmt: skip
@click.option(
    "--per", type=click.Choice(["auto", "clip", "frame"]), default="auto", show_default=True,
    help="Whether each clip or each frame has a value. auto: as the signal comes.",
)  # fmt: skip
@click.option(
    "--kind", type=click.Choice(["auto", "number", "category"]), default="auto",
    show_default=True, help="What the signal is. auto: text is a category.",
)  # fmt: skip
@movie_options
@click.option(
    "--recipe", metavar="NAME|FILE",
    help="Every number of the fit (TOML): the name of a recipe that ships, or a file of yours. "
    "Default: default.",
)  # fmt: skip
@click.option(
    "--minutes", type=float, metavar="M",
    help="Time of the fit; the learning rate is annealed over it. Default: as the recipe says.",
)  # fmt: skip
@click.option(
    "--most-clips", type=click.IntRange(min=2), default=1024, show_default=True, metavar="N",
    help="Clips that are learnt from; more are thinned out evenly.",
)  # fmt: skip
@click.option("--generator", is_flag=True, help="Also fit the diffusion model, for generate.")
@click.option(
    "--generator-recipe", metavar="NAME|FILE", help="Its numbers (TOML). Default: default."
)
@click.option(
    "--generator-minutes", type=float, metavar="M",
    help="Time of its fit. Default: as its recipe says (20); hours on a CPU for good samples.",
)  # fmt: skip
@device_option
@jobs_option
@click.option("--seed", type=int, metavar="N", help="Of everything. Default: that in the recipe.")
@click.option(
    "--resume", is_flag=True, help="Go on with the fit in the output folder that was interrupted."
)
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

    use_threads(jobs)
    console = make_console(quiet=quiet)
    if are_tracks(movies):
        return fit_tracks(movies, signal, output, console, as_json, options)
    if signal is None:
        from spt_explain.errors import SptError

        raise SptError(
            "the signal is missing: what is to be explained?\nGive --signal FILE (a table with the "
            "columns movie and value), or one of area, circumference, intensity, spots, msd-d.",
            code="not-found",
        )
    with (
        make_progress(console) as progress,
        _resumable(console, Path(output), generator=bool(options["generator"])),
    ):
        found = fit_relevance(
            movies,
            signal,
            output,
            command=["spt-explain", *sys.argv[1:]],
            listener=make_listener(console, progress),
            **options,
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
