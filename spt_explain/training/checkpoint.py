"""Checkpoints: network, optimiser and how far the run has come, in one safetensors file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What Adam and AdamW keep of a parameter."""
_DAMAGES = (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError)
"""Errors that a damaged checkpoint, or one of another network, leads to."""


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write a checkpoint atomically.

    Raises
    ------
    SptError
        If the disk is full or the folder can't be written to; the former checkpoint stays.
    """
    tensors = {f"network.{k}": v.contiguous().cpu() for k, v in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).contiguous().cpu()
    # safetensors reports a full disk by an error of its own
    with atomic_file(path, errors=(OSError, SafetensorError), single_writer=True) as part:
        save_file(tensors, part, metadata={"state": json.dumps(state)})


def read_state(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint, without its tensors.

    Raises
    ------
    SptError
        If the file is damaged or no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _state(file)
    except _DAMAGES as error:
        raise _damaged(path, error) from error


def load_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put a checkpoint into a network and its optimiser, and return the state saved with it.

    Raises
    ------
    SptError
        If the file is damaged or belongs to another network.
    """
    # The optimiser counts its parameters group by group.
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        with safe_open(path, framework="pt") as file:
            state = _state(file)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        parts = {key.partition(".")[0] for key in tensors}
        if not parts <= {"network", "optimizer"}:
            raise ValueError("it holds something else as well")
        moments = _moments(tensors, parameters)
        network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
    except _DAMAGES as error:
        raise _damaged(path, error) from error
    saved = optimizer.state_dict()
    optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    return state


def _state(file: Any) -> dict[str, Any]:
    """Return the state in the metadata of an open safetensors file."""
    state = json.loads(file.metadata()["state"])
    if not isinstance(state, dict):
        raise ValueError("it does not say how far the fit has come")
    return state


def _damaged(path: Path, error: Exception) -> SptError:
    first = (str(error) or type(error).__name__).splitlines()[0]
    return SptError(
        f"the checkpoint {path} is damaged or belongs to another recipe ({first}). Start anew "
        f"without {option('resume', True)}.",
        code="unreadable",
        option="resume",
    )


def _moments(
    tensors: dict[str, torch.Tensor], parameters: list[torch.Tensor]
) -> dict[int, dict[str, torch.Tensor]]:
    """Return what the optimiser knows of each parameter, by its number.

    Kernels lie in memory as their parameters do (channels last), or the fused optimiser refuses
    them.
    """
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if not key.startswith("optimizer."):
            continue
        _, number, name = key.split(".")
        index = int(number)
        if not 0 <= index < len(parameters):
            raise ValueError(f"{key} is of no parameter")
        shape = parameters[index].shape
        if value.shape != (torch.Size() if name == "step" else shape):
            raise ValueError(f"{key} has the shape {tuple(value.shape)}")
        if value.ndim == 4:
            value = torch.empty_like(parameters[index], device="cpu").copy_(value)
        moments.setdefault(index, {})[name] = value
    complete = all(values.keys() == _MOMENTS for values in moments.values())
    if not complete or len(moments) not in (0, len(parameters)):
        raise ValueError("the state of the optimiser is incomplete")
    return moments
