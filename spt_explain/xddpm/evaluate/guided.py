"""Whether guided backpropagation means anything for a network, and what it then says.

Captum overrides the gradient of `torch.nn.ReLU` modules, and of nothing else: with SiLU or ELU, or
with ``torch.relu``, it returns the plain gradient without a word. Here such networks are refused.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError

if TYPE_CHECKING:
    import torch
    from torch import nn

_OTHERS = (
    *("Silu", "Elu", "Gelu", "LeakyRelu", "Prelu", "RreluWithNoise", "Mish", "Hardswish"),
    *("Hardtanh", "Hardsigmoid", "Softplus", "Tanh", "Sigmoid", "LogSigmoid", "Threshold"),
    *("Glu", "Softsign", "Softshrink", "Hardshrink"),
)


def check_relu(network: nn.Module, clips: torch.Tensor) -> None:
    """Refuse networks whose activations are not all `torch.nn.ReLU` modules.

    The graph that a forward pass leaves is searched: a ReLU in it that no module made, or another
    activation, would silently keep its ordinary gradient.

    Parameters
    ----------
    network : torch.nn.Module
    clips : torch.Tensor, shape (batch, frames, height, width)
        One clip will do.

    Raises
    ------
    SptError
    """
    import torch
    from torch import nn

    relus = [each for each in network.modules() if isinstance(each, nn.ReLU)]
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    hooks = [each.register_forward_hook(count) for each in relus]
    try:
        with torch.enable_grad():
            told = network(clips.detach().clone().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    names = _nodes(told.grad_fn)
    others = sorted({each for each in names if each.startswith(_OTHERS)})
    found = sum(each.startswith("Relu") for each in names)
    remedy = "\nUse torch.nn.ReLU modules throughout, or leave the guided methods out."
    if others:
        kinds = ", ".join(each.partition("Backward")[0] for each in others)
        raise SptError(
            f"guided backpropagation knows ReLU only, and this network has {kinds}: "
            f"it would be the plain gradient there.{remedy}"
        )
    if not calls:
        raise SptError(
            "guided backpropagation needs torch.nn.ReLU modules, and this network runs none: "
            f"it would be the plain gradient.{remedy}"
        )
    if found > calls:
        raise SptError(
            f"{found - calls} of the network's {found} ReLUs are functions (torch.relu), not "
            f"torch.nn.ReLU modules: guided backpropagation would miss them.{remedy}"
        )
    if any(each.inplace for each in relus):
        raise SptError(
            "guided backpropagation can't override a ReLU that works in place."
            "\nUse torch.nn.ReLU() without inplace=True."
        )


def guided_backprop(network: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """Return Captum's guided backpropagation of a network that tells one number for each clip.

    Raises
    ------
    SptError
        See `check_relu`.
    """
    import torch
    from captum.attr import GuidedBackprop

    check_relu(network, clips[:1])
    if not clips.requires_grad:
        clips = clips.detach().clone().requires_grad_()
    with warnings.catch_warnings():
        # that it sets hooks and removes them
        warnings.filterwarnings("ignore", message="Setting backward hooks")
        return torch.as_tensor(GuidedBackprop(network).attribute(clips))


def _nodes(last: Any) -> list[str]:
    """Return the names of all operations that a tensor was made by."""
    seen, names, open_ = set(), [], [last]
    while open_:
        node = open_.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        names.append(node.name())
        open_ += [each for each, _ in node.next_functions]
    return names
