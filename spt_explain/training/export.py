"""A rounded network's statistics, measured anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.training.batches import batches
from spt_explain.training.conditions import Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from spt_explain.training.batches import Batch
    from spt_explain.training.recipe import Recipe


def recalibrate(
    tensors: dict[str, NDArray[np.float32]],
    recipe: Recipe,
    *,
    conditions: Conditions | None = None,
    device: str = "cpu",
    n_batches: int = 20,
    batches_from: Callable[[], Iterator[Batch]] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return the same parameters with statistics measured on fresh trajectories.

    Rounding moves the mean and variance of every feature map. With the statistics of the
    unrounded network, the first weights on the published inputs reached 77 % at 1/SNR = 1 (4,000
    trajectories); with those of the rounded one, measured on fresh trajectories of the recipe,
    85 % (3,000 of them).

    Parameters
    ----------
    tensors : dict of str to numpy.ndarray
        Parameters and running statistics by their torch names.
    recipe : Recipe
        What was trained, and on what.
    conditions : Conditions, optional
        What it was trained on, where the recipe does not say it.
    device : str
        A torch device.
    n_batches : int
        Batches that the statistics are averaged over.
    batches_from : callable, optional
        Gives other batches to measure on: those of a fixed data set.
    """
    network = ResAnDi(recipe.architecture)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    network.to(device)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # a plain average over all batches
    if batches_from is not None:
        stream = batches_from()
    else:
        few = recipe.data.model_copy(update={"pool_steps": 4, "reuse": 1})
        stream = batches(
            # other trajectories than those trained on
            recipe.model_copy(update={"seed": recipe.seed + 1, "data": few}),
            conditions or Conditions(recipe.data),
            device,
        )
    network.train()
    with torch.no_grad():
        for _ in range(n_batches):
            network(*next(stream).groups)
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}
