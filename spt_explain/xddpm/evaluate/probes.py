"""Regressors fitted for a check: with random pixels missing, and on masks alone (encoding)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import (
    checked_clips,
    checked_maps,
    checked_reference,
    checked_truth,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from spt_explain.xddpm.evaluate.arrays import Predict

STEPS, BATCH, RATE = 600, 32, 2e-3


@dataclass(frozen=True)
class Encoding:
    """How well a signal is read from masks, and from what masks show, on held-out videos.

    Attributes
    ----------
    r2_map : float
        R² of a regressor that sees M alone.
    r2_masked : float
        R² of one that sees M ⊙ (x − reference).
    r2_clip : float
        R² of one that sees the whole clip.
    r2_true_map : float
        R² of one that sees the true map alone, NaN without it. A true map may well tell its
        signal (that of an area is the area): only what M tells beyond it is smuggled.
    """

    r2_map: float
    r2_masked: float
    r2_clip: float
    r2_true_map: float = np.nan

    def encodes(self, share: float = 0.5, beyond_truth: float = 0.1) -> bool:
        """Return whether M itself carries the signal, rather than pointing at it.

        Parameters
        ----------
        share : float
            Of `r2_masked` that M alone must reach.
        beyond_truth : float
            R² by which M alone must be better than the true map alone, if that is known.
        """
        carried = self.r2_map > share * max(self.r2_masked, 0.0) and self.r2_map > beyond_truth
        honest = max(self.r2_true_map, 0.0) if np.isfinite(self.r2_true_map) else -np.inf
        return bool(carried and self.r2_map > honest + beyond_truth)


def r_squared(predicted: ArrayLike, signals: ArrayLike) -> float:
    """Return the share of variance explained, averaged over the values of a signal.

    Values that never vary are left out; NaN if none does.
    """
    told, real = np.atleast_2d(np.asarray(predicted).T), np.atleast_2d(np.asarray(signals).T)
    spread = np.square(real - real.mean(axis=1, keepdims=True)).sum(axis=1)
    varies = spread > 0
    if not varies.any():
        return np.nan
    off = np.square(told - real).sum(axis=1)
    return float(np.mean(1 - off[varies] / spread[varies]))


def fit_probe(
    network: nn.Module,
    inputs: NDArray[np.float32],
    signals: NDArray[np.floating],
    *,
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float = RATE,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda *_: None,
) -> Predict:
    """Fit a network to signals by least squares (AdamW, one cycle), and return it as a function.

    Parameters
    ----------
    network : torch.nn.Module
        Clips (batch, frames, height, width) to (batch, values). It is fitted in place. If it has
        ``calibrate``, that is called first, with inputs.
    inputs : numpy.ndarray, shape (videos, frames, height, width)
    signals : numpy.ndarray, shape (videos, values)
        Standardised.
    steps, batch, rate
        Of the optimiser.
    seed : int
        Of the batches, and of what the network draws in training.
    device : str
    report : callable
        Called after each step with the steps taken and their number.

    Returns
    -------
    callable
        Clips as an array to signals as an array.

    Raises
    ------
    SptError
        If inputs and signals differ in number.
    """
    import torch

    if len(inputs) != len(signals) or not len(inputs):
        raise SptError(f"{len(inputs)} clips and {len(signals)} signals; each clip needs one.")
    target = torch.from_numpy(np.asarray(signals, np.float32).reshape(len(signals), -1))
    x, y = torch.from_numpy(np.asarray(inputs, np.float32)).to(device), target.to(device)
    network.to(device)
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.enable_grad():
        torch.manual_seed(seed)
        calibrate: Any = getattr(network, "calibrate", None)
        if calibrate is not None:
            calibrate(x[:256])
        network.train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1)
        for done in range(1, steps + 1):
            picked = torch.randint(len(x), (min(batch, len(x)),)).to(x.device)
            loss = torch.nn.functional.mse_loss(network(x[picked]), y[picked])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            report(done, steps)
    network.eval()
    return as_predict(network)


def as_predict(network: nn.Module) -> Predict:
    """Return a regressor as a function of arrays: put into evaluation, without gradients."""
    import torch

    parameter = next(network.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    network.eval()

    def predict(clips: NDArray[np.float32]) -> NDArray[np.floating]:
        with torch.no_grad():
            told = network(torch.from_numpy(np.ascontiguousarray(clips, np.float32)).to(device))
        return np.asarray(told.float().cpu().numpy())

    return predict


def fit_random_masks(
    regressor: nn.Module,
    clips: ArrayLike,
    signals: NDArray[np.floating],
    reference: ArrayLike,
    *,
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float = RATE,
    seed: int = 0,
    device: str = "cpu",
) -> Predict:
    """Fit a regressor with random pixels missing, for Sensitivity-n and the curves.

    See `modules.RandomMask` for how, and `fit_probe` for the parameters.

    Returns
    -------
    callable
        Clips, with pixels missing or not, to signals.

    Raises
    ------
    SptError
    """
    import torch

    from spt_explain.xddpm.evaluate.modules import RandomMask

    videos = checked_clips(clips)
    missing = checked_reference(reference, videos.shape[1:]).reshape(videos.shape[1:])
    return fit_probe(
        RandomMask(regressor, torch.from_numpy(missing)),
        videos,
        signals,
        steps=steps,
        batch=batch,
        rate=rate,
        seed=seed,
        device=device,
    )


def encoding_check(
    maps: ArrayLike,
    clips: ArrayLike,
    signals: NDArray[np.floating],
    reference: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    network: Callable[[], nn.Module] | None = None,
    test_share: float = 0.3,
    ask_clips: bool = True,
    steps: int = STEPS,
    batch: int = BATCH,
    seed: int = 0,
    device: str = "cpu",
) -> Encoding:
    """Predict signals from masks alone, and from what they show.

    A mask network and a decoder fitted together may agree on a code: M then tells the signal by
    its own shape, wherever it lies (Jethani et al. 2021, arXiv:2103.01890). Fresh regressors are
    fitted to some of the videos and asked for the others.

    Parameters
    ----------
    maps : array_like, shape (videos, frames, height, width)
        M, between 0 and 1.
    clips : array_like, same shape
        On the regressor's scale.
    signals : numpy.ndarray, shape (videos, values)
        Measured, standardised.
    reference : float or array_like
        What a missing pixel holds.
    truth : array_like of bool, optional
        True maps.
    network : callable, optional
        Makes a fresh regressor; `modules.SmallProbe` without it.
    test_share : float
        Of the videos. They are parted at random: videos must be independent (give one clip for
        each movie, or take care of it with `clips`).
    ask_clips : bool
        Whether a regressor is fitted to the whole clips too; else `r2_clip` is NaN.
    steps, batch : int
        Of each fit.
    seed : int
    device : str

    Returns
    -------
    Encoding

    Raises
    ------
    SptError
    """
    import torch

    from spt_explain.xddpm.evaluate.modules import SmallProbe

    videos = checked_clips(clips)
    mask = checked_maps(maps, videos, "maps").reshape(videos.shape).astype(np.float32)
    missing = checked_reference(reference, videos.shape[1:]).reshape(videos.shape[1:])
    real = np.asarray(signals, np.float64).reshape(len(signals), -1)
    n_test = round(test_share * len(videos))
    if len(real) != len(videos) or not 2 <= n_test <= len(videos) - 2:
        raise SptError(
            f"{len(videos)} clips, {len(real)} signals, {n_test} of them to test with; "
            "there must be as many signals as clips, and two clips or more on each side."
        )
    order = np.random.default_rng(seed).permutation(len(videos))
    test, train = order[:n_test], order[n_test:]

    def held_out(inputs: NDArray[np.float32]) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = SmallProbe(videos.shape[1], real.shape[1]) if network is None else network()
        predict = fit_probe(
            fresh, inputs[train], real[train], steps=steps, batch=batch, seed=seed, device=device
        )
        told = [predict(inputs[test[at : at + 64]]) for at in range(0, n_test, 64)]
        return r_squared(np.concatenate(told), real[test])

    x = videos - missing
    true = np.nan
    if truth is not None:
        marks = checked_maps(checked_truth(truth), videos, "true maps")
        true = held_out(marks.reshape(videos.shape).astype(np.float32))
    whole = held_out(x) if ask_clips else np.nan
    return Encoding(held_out(mask), held_out(mask * x), whole, true)
