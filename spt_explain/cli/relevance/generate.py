"""``spt-explain relevance generate``: samples that hold only what carries the signal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, GroupedOption, options_from, saying_options
from spt_explain.cli.relevance.fit import jobs_option, use_threads
from spt_explain.xddpm.options import RelevanceGenerateOptions

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.generation import GenerationListener


@click.command("generate", cls=GroupedCommand)
@click.option(
    "--model", default="model", show_default=True, metavar="FOLDER",
    help="Model that spt-explain relevance fit wrote.",
)  # fmt: skip
@options_from(RelevanceGenerateOptions, "n", "sampler", "steps")
@click.option(
    "--movies", "movies", multiple=True, cls=GroupedOption,
    heading=RelevanceGenerateOptions.heading, metavar="MOVIES",
    help="First fit a generator to these movies (files, folders, patterns; may be given several "
    "times), for models that were fitted without --generator.",
)  # fmt: skip
@options_from(
    RelevanceGenerateOptions, "recipe", "minutes", "most_clips", "resume", "device", "batch_size",
    "seed", "plot",
)  # fmt: skip
@jobs_option
@click.option(
    "-o", "--output", default="samples", show_default=True, metavar="FOLDER",
    help="Folder of the samples.",
)  # fmt: skip
@saying_options("the samples, and with --movies the generator")
def command(
    model: str,
    output: str,
    movies: tuple[str, ...],
    jobs: int | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Draw movies that hold only what carries the signal; all other pixels are noise.

    Needs the diffusion model that `relevance fit --generator` fits; with --movies it is fitted
    here. On a GPU that takes minutes, on a CPU hours.

    \b
    Example:
        spt-explain relevance generate --model model/ -n 64 --plot -o samples/
        spt-explain relevance generate --model model/ --movies movies/ --minutes 20

    \b
    writes
        sample-0001.tif …   W in the units of the movies' pixels
        mask-0001.tif …     the predicted relevance of each pixel, 0 to 1
        generate.json       how they were made
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.generation import generate_relevance
    from spt_explain.report.relevance_files import GENERATOR_CHECKPOINT

    asked = RelevanceGenerateOptions.taken_from(options)
    use_threads(jobs)
    console = make_console(quiet=quiet)
    with make_progress(console) as progress:
        try:
            found = generate_relevance(
                model,
                output,
                movies=movies,
                command=["spt-explain", *sys.argv[1:]],
                listener=_listener(console, progress),
                overwrite=overwrite,
                **dict(asked),
            )
        except KeyboardInterrupt:
            if (Path(model) / GENERATOR_CHECKPOINT).exists():
                console.print("The fit is kept: the same command with --resume goes on with it.")
            raise
    said = found.document["irrelevant_pixels"]
    if said["std"] is not None:
        console.print(
            f"irrelevant pixels: {said['share']:.0%} of all, standard deviation {said['std']:.3f} "
            f"(expected 1), distance from a normal distribution {said['ks']:.3f}",
            markup=False,
        )
    console.print(f"→ {len(found.samples.w):,} samples in {found.folder}", markup=False)
    if as_json:
        click.echo(json.dumps(found.document, indent=1, ensure_ascii=False, default=str))
    return 0


def _listener(console: Console, progress: Progress) -> GenerationListener:
    """Return what prints how it goes on."""
    from spt_explain.generation import GenerationListener

    class Printer(GenerationListener):
        """Says what is done, and keeps the bar going."""

        task: Any = None
        what = ""

        def _show(self, what: str, done: int, total: int, count: str) -> None:
            if self.task is None or self.what != what:
                if self.task is not None:
                    progress.remove_task(self.task)
                self.task = progress.add_task(what, total=total or None, count="")
                self.what = what
            progress.update(self.task, completed=done, total=total or None, count=count)

        def gathering(self, what: str, done: int, total: int) -> None:
            self._show(what, done, total, f"{done:,}/{total:,}")

        def started(self, recipe: Any, clips: int, device: str, resumed: bool) -> None:
            again = ", resumed" if resumed else ""
            long = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.minutes:g} minutes"
            console.print(
                f"generator: {recipe.objective}, width {recipe.width}, {clips:,} clips, {long}, "
                f"seed {recipe.seed}, {device}{again}",
                markup=False,
            )

        def fitting(self, now: Any) -> None:
            text = f"loss {now.loss:.4f} · held out {now.held_loss:.4f}"
            if not console.is_terminal:
                console.print(
                    f"generator step {now.step:,} · {text} · {now.left_s:,.0f} s left", markup=False
                )
            self._show("generator", now.step, now.total, text)

        def note(self, text: str) -> None:
            console.print(text, style="yellow", markup=False)

        def sampling(self, done: int, total: int) -> None:
            self._show("sampling", done, total, f"{done:,}/{total:,} steps")

    return Printer()
