"""From a recipe to installed weights: training, rounding, calibration, a test, a card."""

from __future__ import annotations

import platform
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.files import atomic_file
from spt_explain.errors import command
from spt_explain.training.options import RetrainOptions
from spt_explain.training.plan import make_plan, note_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spt_explain.resandi.network import ResAnDi
    from spt_explain.resandi.weights import Weights
    from spt_explain.tracks.quality import QualityPolicy
    from spt_explain.tracks.table import Tracks
    from spt_explain.training.batches import Batch
    from spt_explain.training.conditions import Conditions
    from spt_explain.training.loop import Progress, State
    from spt_explain.training.plan import Plan
    from spt_explain.training.recipe import Recipe

TEST_NOISE = (0.0, 0.5, 1.0)
TEST_TRACKS = 400
CALIBRATION_TRACKS = {"cpu": 20_000, "cuda": 200_000}
REPORT_EVERY_S = 5.0


class Listener:
    """What a caller may want to hear; every method does nothing by default."""

    def started(self, plan: Plan) -> None:
        """Report what is going to happen."""

    def progress(self, progress: Progress) -> None:
        """Report how far the training has come."""

    def stage(self, what: str) -> None:
        """Report what follows the training."""


def retrain(
    recipe: str | Path | None = None,
    *,
    match: Sequence[Tracks] = (),
    policy: QualityPolicy | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> Weights | None:
    """Train a network and install it under a name of the user's.

    Parameters
    ----------
    recipe : str or pathlib.Path, optional
        Name of a recipe that ships, or a TOML file. By default ``default`` on a GPU and ``quick``
        on the CPU, for five minutes.
    match : sequence of Tracks
        Recordings whose lengths, gaps and noise the training data take.
    policy : QualityPolicy, optional
        For `match` and ``data``.
    overwrite : bool
        Replace own weights, and an unfinished run, of that name.
    listener : Listener, optional
        Told what happens.
    **options
        name, augment, minutes, epochs, start, data, label_column, device, seed, resume: see
        `RetrainOptions`.

    Returns
    -------
    Weights or None
        What was installed; None in all but the first of several processes.

    Raises
    ------
    SptError
        For a recipe, device, file or name that can't be used, before any work.
    """
    listener = listener or Listener()
    wanted = RetrainOptions(recipe=recipe, **options)
    plan = make_plan(wanted, match=match, policy=policy, overwrite=overwrite)
    listener.started(plan)
    return run_plan(plan, policy=policy, overwrite=overwrite or wanted.resume, listener=listener)


def run_plan(
    plan: Plan,
    *,
    policy: QualityPolicy | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Weights | None:
    """Train as planned, then round, calibrate, test and install.

    Parameters, returns, errors
    ---------------------------
    As for `retrain`.
    """
    from spt_explain.resandi.backends import reference
    from spt_explain.resandi.backends.trusted import reference_of
    from spt_explain.resandi.quantise import dequantise, quantise
    from spt_explain.resandi.store import install_weights
    from spt_explain.training.conditions import Conditions
    from spt_explain.training.export import recalibrate
    from spt_explain.training.processes import Processes
    from spt_explain.training.simulating import train

    listener = listener or Listener()
    recipe, conditions = plan.recipe, plan.conditions or Conditions(plan.recipe.data)
    main = Processes.of_environment().rank == 0
    plan.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if main:
        with atomic_file(note_of(plan.checkpoint), single_writer=True) as part:
            part.write_text(recipe.model_dump_json())
    trained_on = held_out = None
    if recipe.fixed is None:
        network, state = train(
            recipe,
            device=plan.device,
            checkpoint=plan.checkpoint,
            conditions=conditions,
            first=plan.first,
            report=listener.progress,
            report_every_s=REPORT_EVERY_S,
        )
    else:
        network, state, trained_on, held_out = _fit(plan, policy, listener)
    if not main:
        return None
    listener.stage("rounding")
    tensors = {k: np.ascontiguousarray(v.cpu().numpy()) for k, v in network.state_dict().items()}
    rounded = recalibrate(
        dequantise(quantise(tensors)),
        recipe,
        conditions=conditions,
        device=plan.device,
        batches_from=trained_on,
    )
    listener.stage("calibrating")
    fresh = held_out or _fresh_batches(recipe, conditions, plan.device)
    calibration = calibrate(rounded, recipe, fresh, plan.device)
    card = _card(plan, state) | calibration
    weights = install_weights(recipe.name, rounded, card, overwrite=overwrite)
    listener.stage("testing")
    card[reference.KEY] = reference.to_card(reference_of(weights))
    card["accuracy"] = _test(weights)
    weights = install_weights(recipe.name, rounded, card, overwrite=True)
    for path in (plan.checkpoint, note_of(plan.checkpoint)):
        path.unlink(missing_ok=True)
    return weights


def calibrate(
    tensors: dict[str, NDArray[np.float32]], recipe: Recipe, fresh: Iterable[Batch], device: str
) -> dict[str, Any]:
    """Measure a network on trajectories that it was not trained on.

    Returns
    -------
    dict
        ``calibration`` and, if they are known, ``condition_shares``, for the card.
    """
    import torch

    from spt_explain.resandi.architecture import alpha_quantiles
    from spt_explain.resandi.network import ResAnDi
    from spt_explain.training.calibrate import fit_calibration

    network = ResAnDi(recipe.architecture)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    network.to(device).eval()
    outputs, labels, alphas, lengths, levels = [], [], [], [], []
    with torch.no_grad():
        for batch in fresh:
            outputs.append(network(*batch.groups).float().cpu().numpy())
            labels.append(batch.label.cpu().numpy())
            alphas.append(batch.alpha.cpu().numpy())
            lengths.append(batch.length.cpu().numpy())
            levels.append(batch.condition.cpu().numpy())
    shape, found, level = recipe.architecture, np.concatenate(outputs), np.concatenate(levels)
    alpha = np.concatenate(alphas)
    quantiles = None
    if shape.alpha_levels and np.isfinite(alpha).all():
        quantiles = alpha_quantiles(found[:, shape.n_logits :])
    if (level < 0).any():  # of a lab's own tracks, noise and blur are not known
        return {}
    calibration = fit_calibration(
        found[:, : shape.n_logits],
        np.concatenate(labels) * shape.n_conditions + level,
        np.concatenate(lengths),
        quantiles,
        alpha,
    )
    shares = np.bincount(level, minlength=shape.n_conditions) / len(level)
    return {
        "calibration": calibration.to_dict(),
        "condition_shares": [round(float(share), 5) for share in shares],
    }


def _fresh_batches(recipe: Recipe, conditions: Conditions, device: str) -> Iterator[Batch]:
    """Yield trajectories of the recipe that are neither trained on nor measured on otherwise."""
    from spt_explain.training.batches import batches

    few = recipe.data.model_copy(update={"pool_steps": 4, "reuse": 1})
    fresh = recipe.model_copy(update={"seed": recipe.seed + 2, "data": few})
    wanted = CALIBRATION_TRACKS[device.split(":")[0]]
    return islice(batches(fresh, conditions, device), -(-wanted // recipe.batch_size))


def _fit(
    plan: Plan, policy: QualityPolicy | None, listener: Listener
) -> tuple[ResAnDi, State, Callable[[], Iterator[Batch]], Iterator[Batch] | None]:
    """Train on a fixed data set; also return batches of it, and of what own tracks it held out."""
    from spt_explain.training.dataset import dataset_batches, labelled_dataset, simulated_dataset
    from spt_explain.training.epochs import fit

    recipe = plan.recipe
    listener.stage("preparing the data set")
    if plan.data:
        dataset = labelled_dataset(
            recipe, plan.data["files"], label_column=plan.data["label_column"], policy=policy
        )
    else:
        dataset = simulated_dataset(recipe, device=plan.device)
    for note in dataset.notes:
        listener.stage(note)
    network, state = fit(
        recipe,
        device=plan.device,
        checkpoint=plan.checkpoint,
        data=dataset,
        first=plan.first,
        report=listener.progress,
    )
    seen = state.trained_on if state.trained_on is not None else dataset.training
    held_out = None
    if plan.data and len(dataset.validation):
        size = min(256, len(dataset.validation))
        some = dataset_batches(recipe, dataset.validation, plan.device, batch_size=size)
        held_out = islice(some, max(1, len(dataset.validation) // size))
    return network, state, lambda: dataset_batches(recipe, seen, plan.device), held_out


def _card(plan: Plan, state: State) -> dict[str, Any]:
    import torch

    from spt_explain.version import __version__

    on = platform.processor() or platform.machine()
    if plan.device.startswith("cuda"):
        on = torch.cuda.get_device_name(0)
    recipe = plan.recipe
    return {
        "name": recipe.name,
        "architecture": recipe.architecture.to_dict(),
        "storage": "int8 per output channel, the rest float32",
        "data": plan.data or "simulated (spt_explain.diffusion.simulate), eight classes alike",
        "match": plan.match,
        "recipe": {"source": plan.recipe_source, **recipe.model_dump(mode="json")},
        "started_from": plan.first_source,
        "seed": recipe.seed,
        "trained": {
            "on": on,
            "samples": state.samples,
            "steps": state.step,
            "seconds": round(state.elapsed_s, 1),
            "torch": torch.__version__,
            "spt_explain": __version__,
        },
    }


def _test(weights: Weights) -> dict[str, Any]:
    """Return the accuracy on a small simulated test, for the card."""
    from spt_explain.training.testing import evaluate

    tracks = TEST_TRACKS
    run = evaluate(weights.name, tracks=tracks, noise=TEST_NOISE)
    by_noise = {
        f"{level:.1f}": round(float(run.evaluation.at_noise[level].overall["accuracy"]), 4)
        for level in TEST_NOISE
    }
    return {
        "protocol": "simulated, 8 classes, length 10-1000, unit displacements per axis",
        "trajectories": dict.fromkeys(by_noise, tracks),
        "by_noise": by_noise,
        "measured_with": command(
            "evaluate",
            weights=weights.name,
            tracks=tracks,
            noise=",".join(f"{v:g}" for v in TEST_NOISE),
        ),
    }
