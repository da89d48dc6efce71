"""What a training run will be: recipe, options, device and files, checked before any work."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError, command, option
from spt_explain.training.processes import pick_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from spt_explain.tracks.quality import QualityPolicy
    from spt_explain.tracks.table import Tracks
    from spt_explain.training.conditions import Conditions
    from spt_explain.training.options import RetrainOptions
    from spt_explain.training.recipe import Recipe

CPU_RECIPE, GPU_RECIPE, AUGMENT_RECIPE = "quick", "default", "quick-augmented"
"""What is run if no recipe is named."""
DEFAULT_MINUTES = 5.0
"""How long a run without a recipe and without a time takes."""


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start.

    Attributes
    ----------
    recipe : Recipe
        With the options put in.
    recipe_source : str
        Its name or file.
    device : str
        A torch device.
    first : dict or None
        Parameters to begin with.
    first_source : str
        Where they are from.
    conditions : Conditions or None
        A lab's own law, where it was measured.
    match : dict or None
        What was measured.
    checkpoint : pathlib.Path
        Where the run is kept while it lasts.
    resumed : bool
        Whether it goes on from there.
    """

    recipe: Recipe
    recipe_source: str
    device: str
    first: dict[str, torch.Tensor] | None
    first_source: str
    conditions: Conditions | None
    match: dict[str, Any] | None
    checkpoint: Path
    resumed: bool = False
    data: dict[str, Any] = field(default_factory=dict)


def make_plan(
    options: RetrainOptions,
    *,
    match: Sequence[Tracks] = (),
    policy: QualityPolicy | None = None,
    overwrite: bool = False,
) -> Plan:
    """Check everything that can be checked before training, and return what will be done.

    Parameters, errors
    ------------------
    As for `retrain`.
    """
    from spt_explain.recipe_file import find_recipe_file
    from spt_explain.resandi.store import refuse
    from spt_explain.training.matching import match_recordings
    from spt_explain.training.recipe import Recipe

    if match and options.data:
        raise SptError(
            f"{option('match')} draws simulated tracks like yours, {option('data')} trains on "
            "yours: give one.",
            code="conflict",
            option="match",
        )
    target = pick_device(options.device)
    wanted = options.recipe or (CPU_RECIPE if target == "cpu" else GPU_RECIPE)
    if options.recipe is None and (options.data or options.augment in ("random", "gradcam")):
        wanted = AUGMENT_RECIPE
    path = find_recipe_file(wanted)
    loaded = Recipe.load(path)
    if options.recipe is None and options.minutes is None and loaded.fixed is None:
        options = options.changed(minutes=DEFAULT_MINUTES)
    loaded = _with_options(loaded, options)
    refuse(loaded.name, overwrite=overwrite or options.resume)
    measured = None
    if match:
        if loaded.fixed is not None:
            raise SptError(
                f"{option('match')} needs a recipe that simulates as it trains; {path.name} has a "
                "fixed data set. Choose default, small or quick.",
                code="conflict",
                option="match",
            )
        measured = match_recordings(match, policy, window=loaded.network.window)
        loaded = loaded.model_copy(update={"batch": measured.batch(loaded)})
    first, first_source = _first(loaded, options.start)
    checkpoint = _checkpoint(loaded.name)
    described = json.loads(loaded.model_dump_json())
    _check_run(checkpoint, described, resume=options.resume, overwrite=overwrite)
    return Plan(
        recipe=loaded,
        recipe_source=str(wanted),
        device=target,
        first=first,
        first_source=first_source,
        conditions=measured.conditions(loaded) if measured else None,
        match=measured.describe() if measured else None,
        checkpoint=checkpoint,
        resumed=options.resume and checkpoint.exists(),
        data={
            "files": [str(path) for path in options.data],
            "label_column": options.label_column,
        }
        if options.data
        else {},
    )


def _with_options(recipe: Recipe, options: RetrainOptions) -> Recipe:
    from spt_explain.resandi.manifest import check_name

    changes: dict[str, Any] = {}
    if options.name is not None:
        changes["name"] = check_name(options.name)
    if options.seed is not None:
        changes["seed"] = options.seed
    if recipe.fixed is None:
        if options.data or options.augment not in (None, "none"):
            raise SptError(
                f"the recipe {recipe.name} simulates as it trains and has no data set to augment "
                f"or replace: {option('augment')} and {option('data')} need one with a [fixed] "
                "section, such as resandi-paper or quick-augmented.",
                option="augment",
            )
        if options.epochs is not None:
            raise SptError(
                f"{option('epochs')} counts passes over a fixed data set, and this recipe never "
                f"sees a track twice: give {option('minutes')}.",
                code="conflict",
                option="epochs",
            )
        if options.minutes is not None:
            schedule = recipe.schedule.model_copy(
                update={"minutes": options.minutes, "steps": None}
            )
            changes["schedule"] = schedule
    else:
        fixed: dict[str, Any] = {}
        if options.augment is not None:
            fixed["augment"] = options.augment
        if options.epochs is not None:
            fixed["epochs"] = options.epochs
            fixed["minutes"] = None
        if options.minutes is not None:
            fixed["minutes"] = options.minutes
        changes["fixed"] = recipe.fixed.model_copy(update=fixed)
    return recipe.model_copy(update=changes)


def _first(recipe: Recipe, start: str | Path | None) -> tuple[dict[str, torch.Tensor] | None, str]:
    """Return the parameters to begin with, by their torch names, and where they are from."""
    import torch

    from spt_explain.resandi.weights import find_weights, list_weights, shipped_names

    wanted = str(start) if start is not None else recipe.start
    if wanted == "scratch":
        return None, "scratch"
    if wanted == "shipped":
        names = shipped_names()
        fitting = [n for n in names if find_weights(n).architecture == recipe.architecture]
        if not fitting:
            raise SptError(
                f"no shipped weights have the shape of the recipe {recipe.name} (inputs "
                f"{recipe.network.inputs}, width {recipe.network.width}): train with "
                f"{option('start', 'scratch')}, or choose the recipe default, small or quick.",
                option="start",
            )
        source = find_weights(fitting[0])
    elif wanted in list_weights():
        source = find_weights(wanted)
    elif Path(wanted).exists():
        raise SptError(
            f"{option('start', wanted)}: a file is imported first, which checks it: "
            f"{command('weights import', wanted, name='NAME')}, then {option('start', 'NAME')}.",
            option="start",
        )
    else:
        source = find_weights(wanted)
    if source.architecture != recipe.architecture:
        raise SptError(
            f"{option('start', wanted)}: the weights {source.name} have another shape than the "
            f"recipe {recipe.name}: expected inputs {recipe.network.inputs}, width "
            f"{recipe.network.width}, padding {recipe.network.padding}.",
            option="start",
        )
    tensors = {k: torch.from_numpy(v) for k, v in source.load().items()}
    return tensors, source.describe()


def _checkpoint(name: str) -> Path:
    from spt_explain.resandi.weights import data_folder

    return data_folder() / "training" / f"{name}.safetensors"


def note_of(checkpoint: Path) -> Path:
    """Return where the recipe of an unfinished run is kept."""
    return checkpoint.with_suffix(".recipe.json")


def _check_run(checkpoint: Path, recipe: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Refuse to lose an unfinished run, or to go on with another one than was begun."""
    note = note_of(checkpoint)
    if not checkpoint.exists():
        if resume:
            raise SptError(
                f"{option('resume', True)}: there is no unfinished run of {recipe['name']} "
                f"({checkpoint} is not there). Leave {option('resume', True)} out to start one.",
                option="resume",
            )
        return
    if not resume:
        if overwrite:
            checkpoint.unlink()
            return
        raise SptError(
            f"a run of {recipe['name']} was interrupted: give {option('resume', True)} to go on "
            f"with it, {option('overwrite', True)} to start anew, or another {option('name')}.",
            code="exists",
            option="resume",
        )
    try:
        begun = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = None
    if begun is not None and begun != recipe:
        changed = sorted(k for k in recipe if begun.get(k) != recipe[k])
        raise SptError(
            f"{option('resume', True)}: the unfinished run of {recipe['name']} was begun with "
            f"another recipe or other options ({', '.join(changed)} differ). Give the same ones, "
            f"or {option('overwrite', True)}.",
            code="conflict",
            option="resume",
        )
