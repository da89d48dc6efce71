"""Whether maps depend on the seed (they should not) and on the weights (they should)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import checked_maps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray
    from torch import nn


@dataclass(frozen=True, eq=False)
class SeedStability:
    """How alike the maps of several seeds are.

    Attributes
    ----------
    pairs : list of (int, int)
        Of seeds, counted from 0.
    correlations : numpy.ndarray, shape (pairs, videos)
        Spearman's, over a video's pixels; NaN where a map is the same everywhere.
    mean : float
        Over all of them.
    """

    pairs: list[tuple[int, int]]
    correlations: NDArray[np.float64]
    mean: float


def rank_correlation(maps: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return Spearman's correlation of two maps of each video, over its pixels.

    Returns
    -------
    numpy.ndarray, shape (videos,)
        NaN where a map is the same everywhere.

    Raises
    ------
    SptError
    """
    like = np.asarray(others)
    return _correlated(*(_ranks(checked_maps(each, like, "maps")) for each in (maps, like)))


def seed_stability(maps: Sequence[ArrayLike]) -> SeedStability:
    """Compare the maps that runs with several seeds drew of the same videos.

    Parameters
    ----------
    maps : sequence of array_like, shape (videos, frames, height, width)
        One for each seed, two or more.

    Raises
    ------
    SptError
    """
    if len(maps) < 2:
        raise SptError(f"stability over seeds needs the maps of two seeds; there are {len(maps)}.")
    like = np.asarray(maps[0])
    ranks = [_ranks(checked_maps(each, like, "maps")) for each in maps]
    pairs = list(combinations(range(len(maps)), 2))
    found = np.stack([_correlated(ranks[a], ranks[b]) for a, b in pairs])
    known = np.isfinite(found)
    return SeedStability(pairs, found, float(found[known].mean()) if known.any() else np.nan)


def randomisation_check(
    network: nn.Module,
    attribute: Callable[[nn.Module], ArrayLike],
    *,
    cascade: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw the weights anew, from the output to the input, and see what is left of the maps.

    Adebayo et al. 2018, arXiv:1810.03292: a map that stays as it is although the network knows
    nothing any more shows the clip (its edges, its brightness), not the network.

    Parameters
    ----------
    network : torch.nn.Module
        It is copied; it does not change. Layers are taken in the order in which they were
        registered, the last first.
    attribute : callable
        A network in, maps (videos, frames, height, width) out.
    cascade : bool
        Whether layers stay random as further ones join them; otherwise one at a time.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row for each layer: ``layer`` (its name), ``n_random`` (layers that are random),
        ``spearman`` (with the maps of the network as it was, mean over videos), ``spearman_abs``
        (of absolute values, as signs may turn over) and ``n_videos`` (with a value). NaN where a
        map is the same everywhere: nothing is left of it.

    Raises
    ------
    SptError
        If the network has no weights.
    """
    import copy

    import pandas as pd
    import torch

    names = [name for name, part in network.named_modules() if any(True for _ in _own(part))][::-1]
    if not names:
        raise SptError("the network has no weights to draw anew.")
    before = np.asarray(attribute(network), np.float64)
    rows = []
    changed = copy.deepcopy(network)
    for at, name in enumerate(names):
        if not cascade:
            changed = copy.deepcopy(network)
        with torch.random.fork_rng(devices=_cuda(network)):
            torch.manual_seed(seed + at)
            _draw_anew(changed.get_submodule(name))
        after = np.asarray(attribute(changed), np.float64)
        signed = rank_correlation(after, before)
        sizes = rank_correlation(np.abs(after), np.abs(before))
        known = np.isfinite(signed)
        rows.append(
            {
                "layer": name or "(network)",
                "n_random": at + 1 if cascade else 1,
                "spearman": float(signed[known].mean()) if known.any() else np.nan,
                "spearman_abs": float(np.nanmean(sizes)) if np.isfinite(sizes).any() else np.nan,
                "n_videos": int(known.sum()),
            }
        )
    return pd.DataFrame(rows)


def _own(part: nn.Module) -> Any:
    return part.parameters(recurse=False)


def _cuda(network: nn.Module) -> list[Any]:
    return sorted({each.device for each in network.parameters() if each.is_cuda}, key=str)


def _draw_anew(part: nn.Module) -> None:
    import torch

    reset: Any = getattr(part, "reset_parameters", None)
    if reset is not None:
        reset()
        return
    with torch.no_grad():
        for each in _own(part):
            # a module without a way to begin anew keeps its values, in another order
            order = torch.randperm(each.numel()).to(each.device)
            each.copy_(each.flatten()[order].reshape(each.shape))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=1), np.float64)


def _correlated(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    below = np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum(axis=1))
    above = (x * y).sum(axis=1)
    return np.asarray(np.divide(above, below, out=np.full(len(a), np.nan), where=below > 0))
