"""Whether a network computes on a device what it computes on the CPU, at a batch's own shape.

The classifier has a reference on the card of its weights (`resandi.backends.trusted`). Networks
without one, such as a lab's own relevance models, are compared with themselves in float64.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


def wrong_rows(
    network: torch.nn.Module,
    few: torch.Tensor,
    size: int,
    device: str,
    *,
    tolerance: float,
    run: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] | None = None,
) -> tuple[int, float]:
    """Compare every row of a batch on a device with the CPU in float64.

    Parameters
    ----------
    network : torch.nn.Module
        On any device; it is copied.
    few : torch.Tensor, shape (k, ...)
        Some inputs; a batch repeats them.
    size : int
        Rows of the batch.
    device : str
        A torch device.
    tolerance : float
        Difference that is taken as rounding, in units of the largest output.
    run : callable, optional
        Returns the outputs of a network and inputs; by default the network is called.

    Returns
    -------
    wrong : int
        Rows with an output off by more, or one that is no number.
    most : float
        Largest difference, in units of the largest output.
    """
    import torch

    run = run or (lambda module, x: module(x))
    index = torch.arange(size) % len(few)
    with torch.inference_mode():
        exact = copy.deepcopy(network).cpu().double().eval()
        expected = run(exact, few.double()).flatten(1)
        on_device = copy.deepcopy(network).to(device).eval()
        found = run(on_device, few[index].to(device)).cpu().double().flatten(1)
    scale = expected.abs().max().clamp(min=1e-30)
    off = (found - expected[index]).abs().amax(1) / scale
    return int((~(off <= tolerance)).sum()), float(off.max())
