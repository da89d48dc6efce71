"""``spt-explain retrain``: weights for a lab's own microscope, or from a recipe."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import label_option, parse_columns, quality_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.tracks import Tracks
    from spt_explain.training.plan import Plan


@click.command("retrain")
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="What to train and on what (TOML): default, small, quick, quick-augmented, resandi-paper, "
    "resandi-paper-random, resandi-paper-gradcam, or a file of yours. Default: default on a GPU, "
    "quick on the CPU, for 5 minutes.",
)
@click.option("--name", metavar="NAME", help="Name of the weights. Default: that in the recipe.")
@click.option(
    "--augment",
    type=click.Choice(["none", "random", "gradcam"]),
    help="Recipes with a fixed data set: add a turned copy of 60 % of it, chosen at random or by "
    "mean Grad-CAM score. Default: as the recipe says.",
)
@click.option(
    "--minutes",
    type=float,
    metavar="M",
    help="Training time. The learning rate is annealed over it, so it always ends in a finished "
    "network. Default: as the recipe says; 5 without a recipe.",
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Recipes with a fixed data set: most passes over it. Default: as the recipe says.",
)
@click.option(
    "--match",
    multiple=True,
    metavar="FILE",
    help="Tracks of yours (any file, folder or glob that classify reads): simulated tracks get "
    "their lengths, gaps and noise. May be given several times.",
)
@click.option(
    "--from",
    "start",
    metavar="shipped|scratch|NAME",
    help="Weights to begin with: the shipped ones of the recipe's shape, none, or those of a name. "
    "Default: as the recipe says.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="Labelled tracks to train on instead of simulated ones: a table with a column of class "
    "names.",
)
@label_option
@click.option(
    "--columns",
    multiple=True,
    metavar="ROLE=NAME,…",
    help="Column names in --match for particle, frame, x, y or t. Default: found by name.",
)
@quality_options
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="Where it is trained. Several GPUs: torchrun --nproc-per-node N -m spt_explain retrain …",
)
@click.option("--jobs", type=int, metavar="N", help="CPU threads. Default: all cores.")
@click.option("--seed", type=int, metavar="N", help="Of everything. Default: that in the recipe.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run of that name that was interrupted."
)
@click.option("--overwrite", is_flag=True, help="Replace weights, and an unfinished run, of mine.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON on standard output.")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def command(
    recipe: str | None,
    name: str | None,
    augment: Any,
    minutes: float | None,
    epochs: int | None,
    match: tuple[str, ...],
    start: str | None,
    data: tuple[str, ...],
    label_column: str,
    columns: tuple[str, ...],
    min_length: int,
    gaps: Any,
    max_gap: int,
    branches: Any,
    device: str,
    jobs: int | None,
    seed: int | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
) -> int:
    """Train weights of your own and install them under a name.

    Interrupt it whenever you like (Ctrl-C): the same command with --resume goes on to the same
    result.

    \b
    Example:
        spt-explain retrain --match experiment/ --name my-lab
        spt-explain retrain --recipe default --minutes 30 --name long-run
        spt-explain retrain --recipe resandi-paper --augment gradcam --name paper

    \b
    Then: spt-explain classify tracks.csv --weights my-lab
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.tracks import QualityPolicy
    from spt_explain.training.retrain import retrain

    if jobs is not None:
        _use_threads(jobs)
    policy = QualityPolicy(min_length=min_length, gaps=gaps, max_gap=max_gap, branches=branches)
    console = make_console(quiet=quiet or os.environ.get("RANK", "0") != "0")
    recordings = _read(match, columns, console)
    listening: dict[str, Any] = {}
    with make_progress(console) as progress, _resumable(console, listening):
        weights = retrain(
            recipe,
            name=name,
            augment=augment,
            minutes=minutes,
            epochs=epochs,
            match=recordings,
            policy=policy,
            start=start,
            data=_named(data),
            label_column=label_column,
            device=device,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            listener=_make_listener(console, progress, listening),
        )
    if weights is None:
        return 0
    accuracy = weights.card["accuracy"]["by_noise"]
    said = ", ".join(f"{100 * value:.1f} % at 1/SNR {level}" for level, value in accuracy.items())
    console.print(f"accuracy on fresh simulated tracks of 10-1000 points: {said}")
    console.print(f"→ weights {weights.name} in {weights.folder}", markup=False)
    console.print(f"  to use them: spt-explain classify tracks.csv --weights {weights.name}")
    if as_json:
        click.echo(json.dumps(weights.card, indent=1, ensure_ascii=False))
    return 0


@contextlib.contextmanager
def _resumable(console: Console, listening: dict[str, Any]) -> Iterator[None]:
    """Say, when a run is interrupted, how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        plan = listening.get("plan")
        if plan is not None and plan.checkpoint.exists():
            console.print("The run is kept: the same command with --resume goes on with it.")
        raise


def _use_threads(jobs: int) -> None:
    from spt_explain.errors import SptError

    if jobs < 1:
        raise SptError(f"--jobs is {jobs}; expected at least 1.")
    import torch

    torch.set_num_threads(jobs)


def _named(names: tuple[str, ...]) -> list[str]:
    from spt_explain.readers import find_inputs

    return [one.name for one in find_inputs(names)] if names else []


def _read(names: tuple[str, ...], columns: tuple[str, ...], console: Console) -> list[Tracks]:
    """Read recordings; a folder's files that hold no tracks are passed over, and said."""
    from rich.markup import escape

    from spt_explain.api import read_tracks
    from spt_explain.errors import NotTracksError
    from spt_explain.readers import find_inputs

    found = find_inputs(names) if names else []
    recordings = []
    for one in found:
        try:
            tracks = read_tracks(one.name, columns=parse_columns(columns), keep_columns=False)
        except NotTracksError as error:
            if one.explicit:
                raise
            console.print(f"skipped: {escape(str(error).splitlines()[0])}", style="yellow")
            continue
        console.print(f"[bold]{escape(one.name)}[/bold]  {escape(tracks.source.format)}")
        recordings.append(tracks)
    return recordings


def _make_listener(console: Console, progress: Progress, listening: dict[str, Any]) -> Any:
    from rich.markup import escape

    from spt_explain.training.retrain import Listener

    class Printer(Listener):
        """Says what is trained on what, and keeps the bar going."""

        task: Any = None

        def started(self, plan: Plan) -> None:
            recipe = plan.recipe
            shape = recipe.architecture
            console.print(f"[bold]recipe[/bold]   {escape(plan.recipe_source)} → {recipe.name}")
            console.print(
                f"[bold]network[/bold]  {shape.inputs}, width {shape.width}, from "
                f"{escape(plan.first_source)}"
            )
            if recipe.fixed is None:
                schedule = recipe.schedule
                time = (
                    f"{schedule.steps:,} steps"
                    if schedule.steps
                    else (f"{schedule.minutes:g} minutes")
                )
                console.print(f"[bold]data[/bold]     simulated without end, for {time}")
            else:
                console.print(
                    f"[bold]data[/bold]     {recipe.fixed.describe(simulated=not plan.data)}"
                )
            if plan.match:
                found = plan.match
                low, middle, high = found["points_5_50_95"]
                said = f"{found['tracks']:,} tracks of {low:.0f}–{high:.0f} points"
                said += f" (median {middle:.0f}; the middle 90 %)"
                if found["noise_5_50_95"]:
                    said += f", 1/SNR {found['noise_5_50_95'][1]:.2f} (median)"
                else:
                    said += ", too short to tell their noise: the recipe's is used"
                console.print(f"[bold]like[/bold]     {said}")
            console.print(f"[bold]device[/bold]   {escape(plan.device)}, seed {recipe.seed}")
            listening["plan"] = plan
            if plan.resumed:
                console.print(f"resumed from {escape(str(plan.checkpoint))}")

        def progress(self, now: Any) -> None:
            text = f"loss {now.loss:.3f} · accuracy {100 * now.accuracy:.1f} %"
            if now.alpha_error == now.alpha_error:
                text += f" · α ± {now.alpha_error:.2f}"
            text += f" · {now.per_second:,.0f}/s"
            if hasattr(now, "epoch"):  # a fixed data set
                phase = f"phase {now.phase}/{now.phases} · " if now.phases > 1 else ""
                text = f"{phase}epoch {now.epoch} · {text}"
                if now.validation_accuracy == now.validation_accuracy:
                    text += f" · validation {100 * now.validation_accuracy:.1f} %"
            if self.task is None:
                self.task = progress.add_task("training", total=now.total or None, count="")
            progress.update(self.task, completed=now.step, total=now.total or None, count=text)
            if not console.is_terminal:
                of = f"/{now.total:,}" if now.total else ""
                console.print(
                    f"step {now.step:,}{of} · {text} · {now.left_s:,.0f} s left", markup=False
                )

        def stage(self, what: str) -> None:
            if self.task is not None:
                progress.remove_task(self.task)
                self.task = None
            console.print(what, style="dim")

    return Printer()
