"""A fitted generator: samples of W with their masks, and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.generator.objective import read_out
from spt_explain.xddpm.generator.sampler import chain, default_sampler, kept, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from spt_explain.xddpm.generator.network import Denoiser
    from spt_explain.xddpm.generator.recipe import BetaSchedule, Objective, Output
    from spt_explain.xddpm.options import Sampler
    from spt_explain.xddpm.scale import Scale

_PERCENTILES = (0.1, 99.9)
_MOST_PIXELS = 2_000_000


@dataclass(frozen=True)
class Range:
    """u = (x - middle) / half: pixel values from about -1 to 1, as diffusion wants them."""

    middle: float
    half: float

    @classmethod
    def fit(cls, clips: NDArray[np.generic], scale: Scale) -> Range:
        """Measure it on clips: from the 0.1 to the 99.9 percentile, and over the reference."""
        flat = np.asarray(clips).reshape(-1)
        low, high = np.percentile(flat[:: max(1, flat.size // _MOST_PIXELS)], _PERCENTILES)
        low, high = min(float(low), scale.reference), max(float(high), scale.reference)
        if not high > low or not np.isfinite(high - low):
            raise SptError("all pixels of the movies are alike; expected an image that varies.")
        return cls((low + high) / 2, (high - low) / 2)

    def apply(self, clips: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return u."""
        shifted = np.asarray(clips, np.float32) - np.float32(self.middle)
        return np.asarray(shifted / np.float32(self.half), np.float32)

    def invert(self, u: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return pixel values."""
        values = np.asarray(u, np.float32) * np.float32(self.half)
        return np.asarray(values + np.float32(self.middle), np.float32)


@dataclass(frozen=True)
class Samples:
    """Generated clips.

    Attributes
    ----------
    w : numpy.ndarray of float32, shape (n, frames, height, width)
        In the units of the movies' pixels: relevant pixels look like the movies', irrelevant ones
        are noise about the middle of the range.
    masks : numpy.ndarray of float32, same shape
        Predicted M of each pixel.
    standard : numpy.ndarray of float32, same shape
        W in the generator's own units, in which irrelevant pixels are N(0, 1).
    sampler : str
    steps : int
    seed : int
    """

    w: NDArray[np.float32]
    masks: NDArray[np.float32]
    standard: NDArray[np.float32]
    sampler: Sampler
    steps: int
    seed: int


@dataclass(frozen=True)
class Trained:
    """What a fit found.

    Attributes
    ----------
    steps : int
    seconds : float
        Time of the steps alone.
    clips : int
        Clips trained on.
    loss, relevant_loss : float
        Of the averaged parameters on held-out clips: mean squared error of v (or ε) in all
        pixels, and in those with M of at least 0.5.
    history : tuple of (step, seconds, loss, relevant loss)
    recipe : dict
    model : str
        Digest of the mask network that gave M.
    """

    steps: int
    seconds: float
    clips: int
    loss: float
    relevant_loss: float
    history: tuple[tuple[int, float, float, float], ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    model: str = ""


@dataclass
class Generator:
    """A denoiser with all that is needed to sample it.

    Attributes
    ----------
    denoiser : Denoiser
        With averaged parameters.
    range : Range
    objective, output, schedule, timesteps
        What it was trained with.
    size : tuple of int
        Height and width of a clip.
    name : str
    trained : Trained, optional
    mean : torch.Tensor, shape (frames, height, width), optional
        What x_0 is on average. The chain of T steps does not end at zero mean but at √ᾱ_T times
        this: samples start there (Lin et al. 2024, arXiv:2305.08891). None, as of eps-mask: at 0.
    """

    denoiser: Denoiser
    range: Range
    objective: Objective
    output: Output
    schedule: BetaSchedule
    timesteps: int
    size: tuple[int, int]
    name: str = "generator"
    trained: Trained | None = None
    mean: Tensor | None = None

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.denoiser.shape.frames

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return next(self.denoiser.parameters()).device

    def checked(self, sampler: Sampler | None, steps: int | None) -> tuple[Sampler, int]:
        """Return sampler and steps, with defaults filled in.

        Raises
        ------
        SptError
            If the sampler does not go with the objective, or the steps don't divide the chain.
        """
        chosen = sampler or default_sampler(self.objective)
        if chosen in ("paper", "clip") and self.objective != "eps-mask":
            raise SptError(
                f"sampler {chosen} belongs to a generator with the objective eps-mask; this one "
                f"has {self.objective}. Take dpm-solver, ddim or ddpm."
            )
        return chosen, steps_of(chosen, self.timesteps, steps)

    @torch.no_grad()
    def generate(
        self,
        n: int,
        *,
        seed: int = 0,
        steps: int | None = None,
        sampler: Sampler | None = None,
        batch: int = 64,
        progress: Callable[[int, int], None] | None = None,
    ) -> Samples:
        """Draw samples.

        Parameters
        ----------
        n : int
            Number of clips; the first ones stay the same when more are drawn.
        seed : int
        steps : int, optional
            100 for dpm-solver and ddim, else all of the chain; must divide them.
        sampler : {"dpm-solver", "ddim", "ddpm", "paper", "clip"}, optional
            dpm-solver, or ddpm for the objective eps-mask.
        batch : int
            Clips at a time; the samples don't depend on it, but for rounding.
        progress : callable, optional
            Called with steps done and their number, over all batches.

        Raises
        ------
        SptError
            If a value can't be used, or the samples are not finite.
        """
        chosen, taken = self.checked(sampler, steps)
        for what, value in (("number of samples", n), ("batch size", batch)):
            if value < 1:
                raise SptError(f"the {what} is {value}; expected at least 1.")
        device, shape = self.device, (self.frames, *self.size)
        parts = [range(i, min(i + batch, n)) for i in range(0, n, batch)]
        done, total = 0, len(parts) * taken

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        clips, masks = [], []
        self.denoiser.eval()
        for part in parts:
            generators = [_generator(seed, i, device) for i in part]
            start = torch.stack(
                [torch.randn(shape, generator=g, device=device) for g in generators]
            )
            if self.mean is not None:
                last = kept(self.schedule, self.timesteps)[-1].sqrt()
                start = start + last.to(device) * self.mean.to(device)
            clip = chain(
                self.denoise,
                start,
                objective=self.objective,
                sampler=chosen,
                schedule=self.schedule,
                timesteps=self.timesteps,
                steps=taken,
                generators=generators,
                tick=tick,
            )
            clips.append(clip.cpu().numpy())
            masks.append(self.denoise(clip, 0)[1].cpu().numpy())
        standard = np.concatenate(clips)
        found = np.concatenate(masks)
        if self.objective == "plain":
            found = np.ones_like(standard)
        if not np.isfinite(standard).all():
            raise SptError(
                "the samples are not finite numbers: the generator has not learned enough. Train "
                "it for more minutes.",
                exit_code=1,
                code="failed",
            )
        return Samples(self.range.invert(standard), found, standard, chosen, taken, seed)

    @torch.no_grad()
    def denoise(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Return ε_θ and m̂ of noisy clips at step `t`."""
        steps = torch.full((len(x),), t, device=x.device)
        with _autocast(x.device, self.trained):
            out = self.denoiser(x, steps)
        alphas = kept(self.schedule, self.timesteps).to(x.device)
        noise, logits = read_out(out, x, alphas[steps], self.output)
        return noise, torch.sigmoid(logits)

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write it to a model's folder; see `spt_explain.xddpm.generator.store.save`."""
        from spt_explain.xddpm.generator import store

        return store.save(self, folder, overwrite=overwrite)

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> Generator:
        """Read one from a model's folder; see `spt_explain.xddpm.generator.store.load`."""
        from spt_explain.xddpm.generator import store

        return store.load(folder, device=device)


def _generator(seed: int, index: int, device: torch.device) -> torch.Generator:
    words = np.random.SeedSequence([seed, 5, index]).generate_state(2)
    return torch.Generator(device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def _autocast(device: torch.device, trained: Trained | None) -> torch.autocast:
    """Return bfloat16 where it was trained so and there is a GPU."""
    low = trained is not None and trained.recipe.get("precision") == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=low and device.type == "cuda")
