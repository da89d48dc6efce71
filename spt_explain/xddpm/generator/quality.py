"""How good samples are: irrelevant pixels, the signal in relevant ones, nearest neighbours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spt_explain.xddpm.generator.generator import Range, Samples
    from spt_explain.xddpm.model import RelevanceModel

IRRELEVANT = 0.1
"""Largest M of a pixel that counts as irrelevant."""
_MOST_PIXELS = 1_000_000
_CHUNK = 256


@dataclass(frozen=True)
class Noise:
    """Irrelevant pixels of samples, in the generator's units, against N(0, 1).

    Attributes
    ----------
    share : float
        Of all pixels.
    mean, std : float
    ks : float
        Kolmogorov-Smirnov distance, 0 to 1.
    """

    share: float
    mean: float
    std: float
    ks: float


@dataclass(frozen=True)
class SignalDistance:
    """The distribution of a signal in samples against that in data.

    Attributes
    ----------
    w1 : float
        Wasserstein-1 distance over the standard deviation of the data; of several values, the
        mean.
    each : tuple of float
        Of each value.
    samples_mean, samples_std, data_mean, data_std : float
        Of all values together.
    """

    w1: float
    each: tuple[float, ...]
    samples_mean: float
    samples_std: float
    data_mean: float
    data_std: float


@dataclass(frozen=True)
class Neighbours:
    """Distances of samples to the nearest clip that was trained on.

    Attributes
    ----------
    samples, held_out : float
        Median of the distances of samples, and of clips held out; root mean square a pixel.
    ratio : float
        The former over the latter: far below 1, samples repeat what was trained on.
    copies : float
        Share of samples nearer than the nearest 1 % of clips held out; about 0.01 by chance.
    """

    samples: float
    held_out: float
    ratio: float
    copies: float


@dataclass(frozen=True)
class Quality:
    """All three."""

    noise: Noise
    signal: SignalDistance
    neighbours: Neighbours

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def noise_quality(
    standard: NDArray[np.float32], masks: NDArray[np.float32], *, most: float = IRRELEVANT
) -> Noise:
    """Measure the pixels with M of at most `most`.

    Parameters
    ----------
    standard, masks : numpy.ndarray, same shape
        W in the generator's units, and M.
    most : float
    """
    from scipy import stats

    chosen = standard[masks <= most].astype(np.float64)
    share = chosen.size / standard.size
    if chosen.size < 2:
        return Noise(share, float("nan"), float("nan"), float("nan"))
    few = chosen[:: max(1, chosen.size // _MOST_PIXELS)]
    distance = float(stats.kstest(few, "norm", mode="asymp").statistic)
    return Noise(share, float(chosen.mean()), float(chosen.std()), distance)


def signal_distance(samples: NDArray[np.floating], data: NDArray[np.floating]) -> SignalDistance:
    """Compare the distribution of each value, (clips, values) or (clips,)."""
    from scipy import stats

    one = np.asarray(samples, np.float64).reshape(len(samples), -1)
    other = np.asarray(data, np.float64).reshape(len(data), -1)
    each = []
    for a, b in zip(one.T, other.T, strict=True):
        b = b[np.isfinite(b)]
        spread = b.std() if b.size else 0.0
        each.append(
            float(stats.wasserstein_distance(a, b) / spread) if spread > 0 else float("nan")
        )
    return SignalDistance(
        float(np.mean(each)),
        tuple(each),
        float(one.mean()),
        float(one.std()),
        float(np.nanmean(other)),
        float(np.nanstd(other)),
    )


def neighbours(
    samples: NDArray[np.float32], train: NDArray[np.float32], held_out: NDArray[np.float32]
) -> Neighbours:
    """Compare distances to the nearest training clip; all of the same pixels, (clips, …)."""
    own, other = nearest(samples, train), nearest(held_out, train)
    usual = float(np.median(other))
    return Neighbours(
        float(np.median(own)),
        usual,
        float(np.median(own)) / usual if usual > 0 else float("nan"),
        float((own < np.quantile(other, 0.01)).mean()),
    )


def nearest(clips: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distance of each clip to the nearest of others, root mean square a pixel."""
    flat = among.reshape(len(among), -1).astype(np.float32)
    lengths = (flat.astype(np.float64) ** 2).sum(1)
    found = []
    for i in range(0, len(clips), _CHUNK):
        part = clips[i : i + _CHUNK].reshape(-1, flat.shape[1]).astype(np.float32)
        own = (part.astype(np.float64) ** 2).sum(1)
        squares = own[:, None] + lengths - 2 * (part @ flat.T).astype(np.float64)
        found.append(np.sqrt(np.maximum(squares.min(1), 0) / flat.shape[1]))
    return np.concatenate(found)


def quality(
    model: RelevanceModel,
    samples: Samples,
    train: NDArray[np.generic],
    held_out: NDArray[np.generic],
    *,
    most: float = IRRELEVANT,
    through: Range | None = None,
) -> Quality:
    """Measure samples against clips.

    The signal is what the model's regressor reads from relevant pixels alone: of samples from
    m̂ ⊙ W̃, of clips held out from M ⊙ x̃, or from M ⊙ W̃ with the W that the diffusion is to learn
    (`through`): what the noise in half-relevant pixels does to the reading is then in both.
    Neighbours are compared in M ⊙ x̃, so that the noise between does not hide a copy.

    Parameters
    ----------
    model : RelevanceModel
    samples : Samples
    train, held_out : numpy.ndarray, shape (clips, frames, height, width)
        Clips that the generator was trained on, and clips it was not, in pixel values.
    most : float
        Largest M of an irrelevant pixel.
    through : Range, optional
        The generator's, of the objective w.
    """
    kept = samples.masks * model.scale.apply(samples.w)
    masks = [model.maps(clips).contribution for clips in (train, held_out)]
    masked = [
        mask * model.scale.apply(clips)
        for mask, clips in zip(masks, (train, held_out), strict=True)
    ]
    read = masked[1]
    if through is not None:
        w = through.invert(replaced(through.apply(held_out), masks[1], seed=len(held_out)))
        read = masks[1] * model.scale.apply(w)
    outputs = [model.signal.decode(model.outputs_of_scaled(part)) for part in (kept, read)]
    return Quality(
        noise_quality(samples.standard, samples.masks, most=most),
        signal_distance(outputs[0], outputs[1]),
        neighbours(kept, masked[0], masked[1]),
    )


def replaced(
    u: NDArray[np.float32], mask: NDArray[np.float32], *, seed: int
) -> NDArray[np.float32]:
    """Return W of clips in the generator's units.

    Parameters
    ----------
    u, mask : numpy.ndarray of float32, shape (clips, frames, height, width)
        Clips in those units, and M.
    seed : int
        Of the noise in the place of what is irrelevant.
    """
    import torch

    from spt_explain.xddpm.generator.objective import irrelevant_replaced

    noise = np.random.default_rng(seed).standard_normal(mask.shape, np.float32)
    made = irrelevant_replaced(*(torch.from_numpy(each) for each in (u, mask, noise)))
    return np.asarray(made.numpy())
