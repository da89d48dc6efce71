"""How good a generator's samples are: what relevance_generator.py measures of them."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spt_explain.report.relevance_samples import samples_figure
from spt_explain.report.style import house_style, save_figure
from spt_explain.xddpm.generator.quality import quality, replaced, signal_distance
from spt_explain.xddpm.generator.sampler import expected_std

if TYPE_CHECKING:
    import argparse

    from spt_explain.xddpm.generator.generator import Generator, Samples
    from spt_explain.xddpm.model import RelevanceModel


def look(
    options: argparse.Namespace,
    generator: Generator,
    model: RelevanceModel,
    data: dict[str, np.ndarray],
) -> dict[str, float]:
    """Return how good few samples are, in the midst of training: 50 steps of DPM-Solver++."""
    samples = read_alike(
        generator.generate(options.looked, seed=3, steps=50, sampler="dpm-solver", batch=128),
        generator,
        model,
    )
    found = quality(
        model,
        samples,
        data["train_clips"][:2],
        data["test_clips"],
        through=generator.range if generator.objective == "w" else None,
    )
    return {
        "w1": found.signal.w1,
        "signal_mean": found.signal.samples_mean,
        "signal_std": found.signal.samples_std,
        "std": found.noise.std,
        "ks": found.noise.ks,
    }


def reference(model: RelevanceModel, data: dict[str, np.ndarray]) -> dict[str, object]:
    """Return the signal's distance between as many clips trained on and clips held out."""
    read = []
    for part in ("train", "test"):
        clips = data[f"{part}_clips"][:1000]
        scaled = model.scale.apply(clips)
        kept = model.maps_of_scaled(scaled).contribution * scaled
        read.append(model.signal.decode(model.outputs_of_scaled(kept)))
    return asdict(signal_distance(*read))


@torch.no_grad()
def of_the_head(
    generator: Generator, model: RelevanceModel, clips: np.ndarray, masks: np.ndarray
) -> dict[str, object]:
    """Return the signal's distance between W of clips behind predicted masks, and behind M."""
    w = replaced(generator.range.apply(clips), masks, seed=5)
    said = [
        generator.denoise(part.to(generator.device), 0)[1].cpu().numpy()
        for part in torch.split(torch.from_numpy(w), 128)
    ]
    scaled = model.scale.apply(generator.range.invert(w))
    read = [
        model.signal.decode(model.outputs_of_scaled(mask * scaled))
        for mask in (np.concatenate(said), masks)
    ]
    return asdict(signal_distance(*read))


def read_alike(samples: Samples, generator: Generator, model: RelevanceModel) -> Samples:
    """Return samples of `plain` with the model's masks of them, as data have: it gives none."""
    if generator.objective != "plain":
        return samples
    return replace(samples, masks=model.maps(samples.w).contribution)


def sampled(
    options: argparse.Namespace,
    generator: Generator,
    model: RelevanceModel,
    clips: np.ndarray,
    masks: np.ndarray,
    train: np.ndarray,
    sampler: str,
    steps: int,
    number: int,
) -> dict[str, object]:
    """Sample, and measure against clips held out with their masks; draw four of each."""
    started = time.monotonic()
    samples = generator.generate(number, seed=1, steps=steps, sampler=sampler, batch=128)
    seconds = time.monotonic() - started
    samples = read_alike(samples, generator, model)
    noisy = generator.range if generator.objective == "w" else None
    found = asdict(quality(model, samples, train, clips, through=noisy))
    relevant = [(m >= 0.5).sum((2, 3)).astype(float) for m in (samples.masks, masks)]
    middle = 0.5 * (np.percentile(train, 1) + np.percentile(train, 99.5))
    bright = [
        ((m >= 0.5) & (x >= middle)).sum((2, 3)).astype(float)
        for m, x in ((samples.masks, samples.w), (masks, clips))
    ]
    found["relevant_pixels"] = asdict(signal_distance(*relevant))
    found["bright_relevant_pixels"] = asdict(signal_distance(*bright))
    found |= {"samples": number, "seconds": seconds}
    if generator.objective != "plain":
        found["expected_std"] = expected_std(
            sampler, generator.objective, generator.schedule, generator.timesteps, steps
        )
    stem = f"{options.job}-{sampler}-{steps}"
    np.savez_compressed(
        options.work / f"samples-{stem}.npz",
        standard=samples.standard[:6].astype(np.float16),
        masks=(255 * samples.masks[:6]).astype(np.uint8),
    )
    of_clips = clips[:4]
    if generator.objective == "w":
        u = replaced(generator.range.apply(clips[:4]), masks[:4], seed=5)
        of_clips = generator.range.invert(u)
    with house_style():
        figure = samples_figure(
            np.concatenate([of_clips, samples.w[:4]]).astype(np.float32),
            np.concatenate([masks[:4], samples.masks[:4]]),
        )
        save_figure(figure, options.work, f"sheet-{stem}", ("png",))
    return found
