"""A fitted model of tracks: predictions, relevance of each displacement, and checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spt_explain.errors import SptError
from spt_explain.tracks.runs import offsets_of
from spt_explain.xddpm.sufficiency import sufficiency
from spt_explain.xddpm.tracks.steps import Steps, scaled_steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from spt_explain.xddpm.signals import Signal
    from spt_explain.xddpm.sufficiency import Curve
    from spt_explain.xddpm.tracks.network import TrackMask, TrackRegressor
    from spt_explain.xddpm.tracks.removal import Removal
    from spt_explain.xddpm.tracks.steps import Floats, Ints, ScaleKind

_NOISE_DRAWS = 4
"""Draws of what removed frames hold, of each measurement."""


@dataclass(frozen=True)
class TrackMaps:
    """Relevance of each displacement of some tracks, float32, one after the other.

    Attributes
    ----------
    contribution : numpy.ndarray, shape (n,)
        M, from 0 to 1: how much of the displacement the prediction is made of.
    information : numpy.ndarray, shape (n,)
        Nats that pass of it.
    """

    contribution: NDArray[np.float32]
    information: NDArray[np.float32]


@dataclass(frozen=True)
class TrackFitted:
    """What a fit found.

    Attributes
    ----------
    r2, shuffled_r2, train_r2, removed_r2 : float
        Of the regressor on held-out tracks, of the control with shuffled signal, of the regressor
        on tracks it was trained on, and on held-out tracks with all displacements removed. Of
        categories McFadden's.
    accuracy : float or None
        Share of held-out tracks whose category is the most probable one.
    tracks : int
        Tracks trained on.
    held_out : str
        What was held out, in words.
    regressor_steps : int
    seconds : float
        Time the fit took.
    mean_mask : float
        Mean M on held-out tracks.
    curve : Curve
        Sufficiency on held-out tracks: R² with only the displacements of highest relevance kept.
    random_r2 : tuple of float
        R² with as many kept, but each track's map shifted along the track at random.
    lengths : tuple of int
        Displacements of the shortest and the longest track trained on.
    recipe : dict
    source : dict
        Where the tracks came from.
    """

    r2: float
    shuffled_r2: float
    train_r2: float
    removed_r2: float
    accuracy: float | None
    tracks: int
    held_out: str
    regressor_steps: int
    seconds: float
    mean_mask: float
    curve: Curve
    random_r2: tuple[float, ...]
    lengths: tuple[int, int]
    recipe: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deletion:
    """What removing the most relevant displacements of each track does, shape (m,) each.

    Of categories, the loss of probability of the predicted one; of numbers, the change of the
    prediction in standard deviations of the signal.

    Attributes
    ----------
    top : numpy.ndarray
        With the most relevant removed.
    random, random_sd : numpy.ndarray
        Mean and standard deviation with the map shifted along the track by random amounts: as
        many displacements, in stretches as long.
    rank : numpy.ndarray
        Share of the random ones that do as much as the most relevant, or more, (k + 1)/(n + 1).
    """

    top: Floats
    random: Floats
    random_sd: Floats
    rank: Floats


@dataclass
class TrackRelevanceModel:
    """A regressor of tracks and the mask before it.

    Attributes
    ----------
    regressor, masker
        Networks on scaled displacements.
    removal : Removal
        What a removed displacement holds.
    signal : Signal
        What is predicted.
    scale : {"track", "axis", "all"}
        See `scaled_steps`.
    spread : float
        Of ``all``, in units of the positions.
    unit : str
        That unit: "um", "px", or "" where it does not matter.
    longest : int
        Displacements seen at a time; longer tracks are seen in overlapping pieces.
    name : str
    fitted : TrackFitted, optional
    """

    regressor: TrackRegressor
    masker: TrackMask
    removal: Removal
    signal: Signal
    scale: ScaleKind = "track"
    spread: float = 0.0
    unit: str = ""
    longest: int = 1000
    name: str = "track-relevance"
    fitted: TrackFitted | None = None

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.regressor.parameters()).device

    @property
    def threshold(self) -> float:
        """Least contribution of the smallest set of displacements that was sufficient."""
        if self.fitted is None:
            raise SptError("the model has no sufficiency curve; fit it again.")
        return self.fitted.curve.threshold

    def steps(self, positions: Floats, offsets: Ints) -> Steps:
        """Return scaled displacements of positions in the unit that was trained on."""
        return scaled_steps(positions, offsets, self.scale, self.spread)

    @torch.no_grad()
    def outputs(self, steps: Steps) -> NDArray[np.float32]:
        """Return the regressor's outputs, (m, outputs): standardised values, or logits.

        Of longer tracks, the mean over their pieces.
        """
        out = np.zeros((len(steps), self.signal.outputs), np.float32)
        for which, x in self._batches(steps):
            pieces = [self.regressor(piece) for _, piece in self._pieces(x)]
            out[which] = torch.stack(pieces).mean(0).cpu().numpy()
        return out

    def predict(self, steps: Steps) -> NDArray[np.float32]:
        """Return the predicted signal: (m, values) in its units, or (m, categories) probabilities.

        The softmax of what the regressor says: not calibrated.
        """
        outputs = self.outputs(steps)
        if self.signal.kind == "category":
            return torch.softmax(torch.from_numpy(outputs), 1).numpy()
        return self.signal.decode(outputs)

    @torch.no_grad()
    def maps(self, steps: Steps) -> TrackMaps:
        """Return the relevance of each displacement; pieces of longer tracks are blended."""
        out = np.zeros((2, len(steps.values)), np.float32)
        for which, x in self._batches(steps):
            count = x.shape[2]
            total = torch.zeros(2, len(x), count, device=x.device)
            weight = torch.zeros(count, device=x.device)
            for start, piece in self._pieces(x):
                raw = self.masker(piece)
                size = piece.shape[2]
                ramp = torch.arange(1, size + 1, device=x.device)
                share = torch.minimum(ramp, ramp.flip(0)).to(x.dtype)
                found = torch.stack([self.removal.mask(raw), self.removal.nats(piece, raw)])
                total[:, :, start : start + size] += found * share
                weight[start : start + size] += share
            rows = steps.offsets[which][:, None] + np.arange(count)
            out[:, rows] = (total / weight).cpu().numpy()
        return TrackMaps(out[0], out[1])

    def with_removed(self, steps: Steps, keep: NDArray[np.float32], seed: int) -> Steps:
        """Return displacements of which only those are left where `keep`, (n,), is 1."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.from_numpy(steps.values.T.copy())[None]
        kept = self.removal.kept(x, torch.from_numpy(keep)[None], generator)[0]
        return Steps(np.ascontiguousarray(kept.T.numpy()), steps.offsets)

    def skill(
        self,
        steps: Steps,
        targets: NDArray[np.float32],
        keep: NDArray[np.float32] | None = None,
        *,
        draws: int = 1,
        seed: int = 0,
    ) -> float:
        """Return R² (of categories: McFadden's) with only some displacements kept.

        Parameters
        ----------
        steps : Steps
        targets : numpy.ndarray, shape (m, columns)
            As `Signal.encode` gives them.
        keep : numpy.ndarray, shape (n,), optional
            1 where a displacement is kept, 0 where it is removed; all are kept by default.
        draws : int
            Draws of what removed displacements hold; their losses are averaged.
        seed : int
            Of these.
        """
        expected = torch.from_numpy(targets)
        if keep is None or (keep == 1).all():
            return self.signal.skill(torch.from_numpy(self.outputs(steps)), expected)
        outputs = [
            torch.from_numpy(self.outputs(self.with_removed(steps, keep, seed + i)))
            for i in range(draws)
        ]
        return self.signal.skill(torch.cat(outputs), expected.repeat(draws, 1))

    def curve(
        self, steps: Steps, targets: NDArray[np.float32], *, keep_r2: float = 0.95, draws: int = 2
    ) -> tuple[Curve, tuple[float, ...]]:
        """Return the sufficiency curve of tracks that were not trained on, and the random one.

        In the latter, each track's map is shifted along the track by a random amount.
        """
        contribution = self.maps(steps).contribution
        rng = np.random.default_rng(11)
        turned = shifted(steps, contribution, rng)
        every = np.ones(len(steps.values), np.float32)

        def skill(kept: NDArray[np.float32]) -> float:
            return self.skill(steps, targets, np.asarray(kept, np.float32), draws=draws)

        found = sufficiency(skill, every, contribution, keep_r2=keep_r2)
        random = tuple(
            skill((turned >= threshold).astype(np.float32)) for threshold in found.thresholds
        )
        return found, random

    @torch.no_grad()
    def deletion(
        self, steps: Steps, maps: TrackMaps, *, share: float = 0.2, draws: int = 20, seed: int = 1
    ) -> Deletion:
        """Remove the most relevant displacements of each track, and as many at random.

        Parameters
        ----------
        steps : Steps
        maps : TrackMaps
            Of these.
        share : float
            Of the displacements, removed.
        draws : int
            Random shifts of the map along the track.
        seed : int
            Of these.
        """
        own = self.outputs(steps)
        columns = np.zeros((4, len(steps)))
        for i in range(len(steps)):
            part = slice(steps.offsets[i], steps.offsets[i + 1])
            x = torch.from_numpy(steps.values[part].T.copy())
            count = x.shape[1]
            ranked = np.argsort(-maps.contribution[part], kind="stable")
            keep = np.ones(count, np.float32)
            keep[ranked[: max(1, round(share * count))]] = 0
            rng = np.random.default_rng([seed, i])
            by = rng.integers(1, count, draws)
            keeps = np.stack([keep, *(np.roll(keep, int(shift)) for shift in by)])
            many = torch.from_numpy(np.repeat(keeps, _NOISE_DRAWS, axis=0))
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            kept = self.removal.kept(x[None].expand(len(many), -1, -1), many, generator)
            said = torch.stack(
                [self.regressor(piece) for _, piece in self._pieces(kept.to(self.device))]
            ).mean(0)
            lost = self._lost(torch.from_numpy(own[i]), said.cpu()).reshape(-1, _NOISE_DRAWS)
            top, *random = lost.mean(1).tolist()
            beaten = sum(one >= top for one in random)
            columns[:, i] = (
                top,
                np.mean(random) if random else np.nan,
                np.std(random) if random else np.nan,
                (beaten + 1) / (draws + 1),
            )
        return Deletion(*columns)

    def _lost(self, own: Tensor, said: Tensor) -> Tensor:
        """Return what each of several predictions, (k, outputs), lost against `own`."""
        if self.signal.kind == "category":
            best = int(own.argmax())
            lost: Tensor = own.softmax(0)[best] - said.softmax(1)[:, best]
            return lost
        return torch.as_tensor((said - own).square().mean(1).sqrt())

    def _batches(self, steps: Steps, most: int = 200_000) -> Iterator[tuple[Ints, Tensor]]:
        """Yield tracks of one length, and their displacements (tracks, 2, length)."""
        lengths = steps.lengths
        for count in np.unique(lengths):
            some = np.flatnonzero(lengths == count)
            size = max(1, most // int(count))
            for first in range(0, len(some), size):
                which = some[first : first + size]
                rows = steps.offsets[which][:, None] + np.arange(count)
                x = torch.from_numpy(steps.values[rows].transpose(0, 2, 1).copy())
                yield which, x.to(self.device)

    def _pieces(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield pieces of at most `longest` displacements that overlap by half or more."""
        count = x.shape[2]
        if count <= self.longest:
            yield 0, x
            return
        number = -(-2 * count // self.longest) - 1
        for start in np.linspace(0, count - self.longest, number).round().astype(int).tolist():
            yield start, x[:, :, start : start + self.longest]

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write it to a folder; see `spt_explain.xddpm.tracks.store.save`."""
        from spt_explain.xddpm.tracks import store

        return store.save(self, folder, overwrite=overwrite)

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> TrackRelevanceModel:
        """Read one from a folder; see `spt_explain.xddpm.tracks.store.load`."""
        from spt_explain.xddpm.tracks import store

        return store.load(folder, device=device)


def shifted(
    steps: Steps, values: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return values of each displacement, those of each track turned round by a random amount."""
    lengths = steps.lengths
    by = np.repeat((rng.random(len(steps)) * (lengths - 1)).astype(np.int64) + 1, lengths)
    starts = np.repeat(offsets_of(lengths)[:-1], lengths)
    within = np.arange(len(values)) - starts
    return values[starts + (within + by) % np.repeat(lengths, lengths)]
