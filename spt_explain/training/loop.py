"""The training loop: a schedule that follows the clock, checkpoints that appear whole."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.network import ResAnDi
from spt_explain.training.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.training.recipe import Recipe


def train(
    recipe: Recipe,
    *,
    device: str,
    checkpoint: Path,
    stop_after_s: float = math.inf,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
    report_every_s: float = 10.0,
) -> tuple[ResAnDi, dict[str, Any]]:
    """Train, or go on from `checkpoint`, until the recipe's minutes (or steps) are used.

    The learning rate follows the share of the time (or steps) that has passed, so that a run
    always ends annealed. A checkpoint is written at the end of each call and appears whole or
    not at all.

    Parameters
    ----------
    recipe : Recipe
        What to train and on what.
    device : str
        A torch device.
    checkpoint : pathlib.Path
        Safetensors file to go on from, if it is there, and to write.
    stop_after_s : float
        Leave after this many seconds, finished or not.
    report : callable
        Called with a dict of step, loss, accuracy, rate and progress every `report_every_s`.
    report_every_s : float
        Seconds between reports.

    Returns
    -------
    network : ResAnDi
        On `device`, in evaluation mode.
    state : dict
        ``elapsed_s``, ``step``, ``samples``, ``finished``.
    """
    torch.manual_seed(recipe.seed)
    cuda = device.startswith("cuda")
    network = ResAnDi(
        Architecture(inputs=recipe.inputs, width=recipe.width, window=recipe.window)
    ).to(device)
    if cuda:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        fused=cuda,
    )
    state: dict[str, Any] = {"elapsed_s": 0.0, "step": 0, "samples": 0, "finished": False}
    if checkpoint.exists():
        state = _load(checkpoint, network, optimizer)
    generator = torch.Generator(device=device)
    generator.manual_seed(recipe.seed + 1_000_003 * state["step"])
    forward = torch.compile(network) if cuda else network
    stream = batches(recipe, generator)
    budget = recipe.minutes * 60
    network.train()
    loss_sum = torch.zeros((), device=device)
    hits = torch.zeros((), device=device)
    seen = 0
    started = last = time.monotonic()
    first_elapsed = state["elapsed_s"]
    compiled = not cuda
    while True:
        now = time.monotonic()
        state["elapsed_s"] = first_elapsed + now - started
        if recipe.steps:
            progress = min(1.0, state["step"] / recipe.steps)
        else:
            progress = min(1.0, state["elapsed_s"] / budget)
        if progress >= 1.0 or now - started >= stop_after_s:
            break
        for group in optimizer.param_groups:
            group["lr"] = _rate(progress, recipe)
        inputs, labels = next(stream)
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=cuda):
            logits = forward(inputs)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state["step"] += 1
        state["samples"] += len(labels)
        if not compiled:  # compiling is not training: it does not count against the budget
            torch.cuda.synchronize()
            compiled = True
            started = last = time.monotonic()
        loss_sum += loss.detach()
        hits += (logits.argmax(1) == labels).sum()
        seen += 1
        if cuda and state["step"] % 16 == 0:
            torch.cuda.synchronize()  # keeps the clock honest: at most 16 steps are queued
        if now - last >= report_every_s:
            report(
                {
                    "step": state["step"],
                    "samples": state["samples"],
                    "elapsed_s": round(state["elapsed_s"], 1),
                    "loss": round(loss_sum.item() / seen, 4),
                    "accuracy": round(hits.item() / seen / recipe.batch_size, 4),
                    "per_second": round(seen * recipe.batch_size / (time.monotonic() - last)),
                    "learning_rate": float(f"{_rate(progress, recipe):.3g}"),
                }
            )
            loss_sum.zero_()
            hits.zero_()
            seen, last = 0, time.monotonic()
    state["finished"] = progress >= 1.0
    _save(checkpoint, network, optimizer, state)
    return network.eval(), state


def _rate(progress: float, recipe: Recipe) -> float:
    if progress < recipe.warmup_share:
        return recipe.learning_rate * max(progress / recipe.warmup_share, 0.01)
    rest = (progress - recipe.warmup_share) / (1 - recipe.warmup_share)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * rest))


def _save(
    path: Path, network: ResAnDi, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    tensors = {f"network.{k}": v.contiguous().cpu() for k, v in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).contiguous().cpu()
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"state": json.dumps(state)})
    part.replace(path)


def _load(path: Path, network: ResAnDi, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()["state"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    )
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
