"""Checkpoints: network, optimiser and how far the run has come, in one safetensors file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write a checkpoint; it appears whole or not at all."""
    tensors = {f"network.{k}": v.contiguous().cpu() for k, v in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).contiguous().cpu()
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"state": json.dumps(state)})
    part.replace(path)


def load_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put a checkpoint into a network and its optimiser, and return the state saved with it.

    Raises
    ------
    SptError
        If the file is damaged or belongs to another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, Any] = json.loads(file.metadata()["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise SptError(
            f"the checkpoint {path} is damaged or belongs to another recipe ({first}). "
            "Start anew without --resume."
        ) from error
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
    # The moments must lie in memory as their parameters do (channels last), or the fused optimiser
    # refuses them.
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, values in moments.items():
        for name, value in values.items():
            if value.ndim == 4:
                values[name] = torch.empty_like(parameters[index]).copy_(value)
    saved = optimizer.state_dict()
    optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    return state
