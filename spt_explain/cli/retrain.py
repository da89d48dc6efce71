"""``spt-explain retrain``: weights for a lab's own microscope, or from a recipe."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import (
    GroupedCommand,
    names_of,
    options_from,
    parse_columns,
    policy_of,
    quality_options,
    saying_options,
)
from spt_explain.resandi.options import NetworkOptions
from spt_explain.training.options import MatchOptions, RetrainOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.tracks import Tracks
    from spt_explain.training.plan import Plan


@click.command("retrain", cls=GroupedCommand)
@options_from(RetrainOptions)
@options_from(MatchOptions)
@options_from(NetworkOptions, "jobs")
@quality_options
@saying_options("weights, and an unfinished run, of mine", "the card as JSON on standard output")
def command(overwrite: bool, quiet: bool, as_json: bool, **options: Any) -> int:
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
    from spt_explain.training.retrain import retrain

    wanted = RetrainOptions.taken_from(options)
    matched, policy = MatchOptions.taken_from(options), policy_of(options)
    _use_threads(NetworkOptions(jobs=options["jobs"]).jobs)
    console = make_console(quiet=quiet or os.environ.get("RANK", "0") != "0")
    recordings = _read(matched, console)
    wanted = wanted.changed(data=names_of(wanted.data))
    listening: dict[str, Any] = {}
    with make_progress(console) as progress, _resumable(console, listening):
        weights = retrain(
            match=recordings,
            policy=policy,
            overwrite=overwrite,
            listener=_make_listener(console, progress, listening),
            **dict(wanted),
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


def _use_threads(jobs: int | None) -> None:
    if jobs is not None:
        import torch

        torch.set_num_threads(jobs)


def _read(wanted: MatchOptions, console: Console) -> list[Tracks]:
    """Read recordings; a folder's files that hold no tracks are passed over, and said."""
    from rich.markup import escape

    from spt_explain.api import read_tracks
    from spt_explain.errors import NotTracksError
    from spt_explain.readers import find_inputs

    found = find_inputs([str(name) for name in wanted.match]) if wanted.match else []
    columns = parse_columns(wanted.columns)
    recordings = []
    for one in found:
        try:
            tracks = read_tracks(one.name, columns=columns, keep_columns=False)
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
