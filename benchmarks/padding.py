"""Padding to several lengths: which normalisation bears it. A few minutes a variant on one core.

    python benchmarks/padding.py --steps 600

Small networks (width 12) see the same trajectories of 10 to 256 points, padded to 64, 128 or 256:

- margin: what the default recipe does. Feature maps are zero in the padding, but for 64 points
  before a trajectory, and each step has all lengths, with one set of batch statistics.
- masked: the same without the margin.
- switching: padding as published, one length a step; running statistics mix the lengths.
- per length: the same, with running statistics of each length.
- channel norm: masked, each position normalised over its channels, without batch statistics.

Accuracy on fresh trajectories without noise, by length.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.training.batches import batches
from spt_explain.training.conditions import Conditions
from spt_explain.training.recipe import Recipe

LENGTHS = (64, 128, 256)
BANDS = ((10, 19), (20, 49), (50, 64), (65, 128), (129, 256))
VARIANTS = ("margin", "masked", "switching", "per length", "channel norm")


class PerLength(BatchNorm):
    """Batch normalisation with running statistics for each length of the input."""

    length = 0

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.own: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def forward(self, x, inside):
        """Normalise with the statistics of the length under way."""
        mean, variance = self.own.setdefault(
            PerLength.length, (torch.zeros_like(self.bias), torch.ones_like(self.bias))
        )
        self.running_mean, self.running_var = mean, variance
        return super().forward(x, inside)


class ChannelNorm(BatchNorm):
    """Every position normalised over its own channels (Ba, Kiros & Hinton 2016)."""

    def forward(self, x, _inside):
        """Normalise each row."""
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


def make(variant: str, recipe: Recipe) -> ResAnDi:
    torch.manual_seed(1)
    network = ResAnDi(recipe.architecture)
    kind = {"per length": PerLength, "channel norm": ChannelNorm}.get(variant)
    if kind is None:
        return network
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is BatchNorm:
                setattr(module, name, kind(len(child.weight)))
    return network


def recipe_of(masked: bool, *, clean: bool = False, margin: int = 0) -> Recipe:
    data = {"pool_steps": 8, "gap_share": 0.0, "blur_share": 0.0, "anisotropy_share": 0.0}
    if clean:
        data["clean_share"] = 1.0
    shape = {"width": 12, "window": 256, "alpha": False}
    shape |= (
        {"lengths": LENGTHS, "margin": margin}
        if masked
        else {"padding": "start", "lengths": (256,)}
    )
    recipe = Recipe(name="padding", network=shape, data=data, batch={256: 32}, seed=3)
    return recipe.model_copy(update={"batch": {64: 32, 128: 32, 256: 32}})


def shaped(batch, masked: bool):
    """Return the groups as the variant's network takes them."""
    if masked:
        return batch.groups
    groups = []
    for group in batch.groups:  # masked inputs, turned into those padded at the starting point
        inside = group[:, -1:].bool()
        first = inside.float().argmax(2, keepdim=True).expand(-1, 2, -1)
        start = group[:, :2].gather(2, first)
        groups.append(torch.cat([torch.where(inside, group[:, :2], start), group[:, 2:4]], 1))
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--test", type=int, default=60, help="batches of 96 to test on")
    options = parser.parse_args()
    source = recipe_of(masked=True)
    for variant in VARIANTS:
        masked = variant in ("margin", "masked", "channel norm")
        network = make(variant, recipe_of(masked, margin=64 * (variant == "margin"))).train()
        optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.01)
        stream = batches(source, Conditions(source.data), "cpu")
        switching = not masked
        for step in range(options.steps):
            for group in optimizer.param_groups:
                group["lr"] = 1.5e-3 * (1 + np.cos(np.pi * step / options.steps))
            batch = next(stream)
            groups, labels = shaped(batch, masked), batch.label
            parts = [(groups, labels)]
            if switching:
                parts = [([g], y) for g, y in zip(groups, labels.split(32), strict=True)]
            optimizer.zero_grad(set_to_none=True)
            for some, label in parts:  # one update a step, of all lengths, for every variant
                PerLength.length = some[0].size(2)
                loss = torch.nn.functional.cross_entropy(network(*some), label)
                (loss / len(parts)).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        network.eval()
        test = recipe_of(masked=True, clean=True)
        test = test.model_copy(update={"seed": 99})
        stream = batches(test, Conditions(test.data), "cpu")
        hits, lengths = [], []
        with torch.no_grad():
            for _ in range(options.test):
                batch = next(stream)
                for group, label, length in zip(
                    shaped(batch, masked),
                    batch.label.split(32),
                    batch.length.split(32),
                    strict=True,
                ):
                    PerLength.length = group.size(2)
                    hits.append((network(group).argmax(1) == label).numpy())
                    lengths.append(length.numpy())
        hit, length = np.concatenate(hits), np.concatenate(lengths)
        found = [
            f"{low}-{high}: {100 * hit[(length >= low) & (length <= high)].mean():.1f}"
            for low, high in BANDS
        ]
        print(f"{variant:>13}  all: {100 * hit.mean():.1f}  {'  '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
