"""The decision of the erasure check: when the random draws so far are enough.

The full test passes a map if no more than `allowed` of the random draws cost as much as its own
frames. Most maps need fewer draws:

- Once more than `allowed` do, the map has failed: exactly the verdict of the full test.
- From 19 to 38 draws, where none may, a map passes early if its loss lies far above what the draws
  so far let expect of the next one, and fails if it lies hardly above: see `excess` and `LOOKS`.

Measured by ``benchmarks/explanation_check.py`` with torch (H200, float32): share of
maps that pass the full test of 20 draws and this one, and its mean number of draws, on 1,920
simulated tracks of all classes and 1/SNR 0, 0.3 and 1 in each row, with the default weights and
method and other seeds than the thresholds were chosen with. "Nowhere" is the map moved round its
track by a random number of frames.

========== ============ ============ ===== ============= ============= =====
points     map, full    map          draws nowhere, full nowhere       draws
========== ============ ============ ===== ============= ============= =====
10–30      39.9 ± 2.2 % 35.0 ± 2.1 % 3.8   6.2 ± 1.1 %   5.3 ± 1.0 %   1.9
30–100     54.8 ± 2.2 % 57.3 ± 2.2 % 4.2   4.8 ± 1.0 %   5.5 ± 1.0 %   1.9
100–300    68.2 ± 2.1 % 68.7 ± 2.1 % 3.3   3.9 ± 0.9 %   4.7 ± 1.0 %   1.9
300–1000   75.9 ± 1.9 % 74.3 ± 2.0 % 3.0   4.2 ± 0.9 %   4.3 ± 0.9 %   1.9
all        59.7 ± 1.1 % 58.8 ± 1.1 % 3.6   4.8 ± 0.5 %   4.9 ± 0.5 %   1.9
========== ============ ============ ===== ============= ============= =====

With `resandi-small` 59.0 % for 59.9 % and 3.8 % for 4.4 % (2,880 tracks). The thresholds hold for
losses of the size that these networks show: of a network whose random losses have a standard
deviation of 3.5 in log-odds, three times as much, 12 % of such maps would pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_LOSS = 1e-6
"""Losses of probability below this are rounding in float32."""
MOST_FALSE = 0.05
"""Share of maps that point nowhere which may pass."""
LOOKS: tuple[tuple[int, float, float], ...] = (
    (1, 0.9, 4.2),
    (2, 1.1, 3.5),
    (4, 1.4, 2.9),
    (8, 1.7, 2.1),
)
"""Numbers of draws after which it is decided; a map whose `excess` is below the second value fails,
above the third it passes. What is open after the last gets all draws, and the rank decides."""
PRIOR_LOSS, PRIOR_DRAWS = 0.6, 1.0
"""What a random draw costs in log-odds, and how many draws that counts as."""
PRIOR_SPREAD, SPREAD_BY_LOG_ODDS, SPREAD_DRAWS = 0.6, 0.2, 4.0
"""Its standard deviation for a class of probability a half, how much more that is for each unit of
log-odds above (up to `MOST_LOG_ODDS`), and how many draws it counts as."""
MOST_LOG_ODDS = 6.0
_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Plan:
    """After which draws it is decided, and how.

    Attributes
    ----------
    looks : tuple of int
        Numbers of draws, ascending; the last is the most.
    allowed : int
        Draws that may cost as much as the map's own frames.
    bounds : tuple of (float, float)
        Of `excess`, for the first looks: below the first a map fails, above the second it passes.
    """

    looks: tuple[int, ...]
    allowed: int
    bounds: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, draws: int, *, stop_early: bool = True) -> Plan:
        """Return the plan of a check of at most so many draws.

        The share of maps that point nowhere and pass is at most `MOST_FALSE`, by the rank of the
        loss among those of the random draws (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585): of
        20 draws none may cost as much, of 39 one. Of fewer than 19 none may, and more of such maps
        pass. The map's own frames must cost at least `LEAST_LOSS`.

        Parameters
        ----------
        draws : int
        stop_early : bool
            Without, all draws are used.
        """
        allowed = max(int(MOST_FALSE * (draws + 1) + 1e-9) - 1, 0)
        if not stop_early:
            return cls((draws,), allowed)
        looks = [look for look, *_ in LOOKS if look < draws] + [draws]
        calibrated = allowed == 0 and MOST_FALSE * (draws + 1) >= 1
        bounds = tuple((low, high) for _, low, high in LOOKS) if calibrated else ()
        return cls(tuple(looks), allowed, bounds)

    def decide(
        self, look: int, losses: NDArray[np.float64], probability: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which maps have passed, and which have failed.

        Parameters
        ----------
        look : int
            Which of the looks.
        losses : numpy.ndarray, shape (draws so far + 1, m)
            Of probability: of the map's own frames, then of the draws.
        probability : numpy.ndarray, shape (m,)
            Of the whole trajectories.

        Returns
        -------
        passed, failed : numpy.ndarray, shape (m,), bool
        """
        top, chance = losses[0], losses[1:]
        failed = (chance >= top).sum(axis=0) > self.allowed
        failed |= top < LEAST_LOSS
        if look == len(self.looks) - 1:
            return ~failed, failed
        passed = np.zeros(len(top), bool)
        if look < len(self.bounds):
            low, high = self.bounds[look]
            beyond = excess(losses, probability)
            passed = ~failed & (beyond > high)
            failed |= beyond < low
        return passed, failed


def excess(losses: NDArray[np.float64], probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the loss of the map's own frames lies above the next random one.

    In standard deviations of the prediction from the draws so far, in log-odds, where losses of
    sure and doubtful verdicts compare. Few draws tell little of their spread, so it is shrunk
    towards what is usual (normal-inverse-gamma prior; Gelman et al., Bayesian Data Analysis, 3.3).

    Parameters
    ----------
    losses, probability
        As for `Plan.decide`.

    Returns
    -------
    numpy.ndarray, shape (m,)
    """
    whole = _log_odds(probability)
    lost = whole - _log_odds(probability - losses)
    top, chance = lost[0], lost[1:]
    n, mean = len(chance), chance.mean(axis=0)
    sure = np.clip(whole, 0, MOST_LOG_ODDS)
    usual = PRIOR_SPREAD + SPREAD_BY_LOG_ODDS * sure
    expected = (PRIOR_DRAWS * PRIOR_LOSS + n * mean) / (PRIOR_DRAWS + n)
    variance = SPREAD_DRAWS * usual**2 + ((chance - mean) ** 2).sum(axis=0)
    variance += PRIOR_DRAWS * n / (PRIOR_DRAWS + n) * (mean - PRIOR_LOSS) ** 2
    variance /= SPREAD_DRAWS + n
    found: NDArray[np.float64] = (top - expected) / np.sqrt(variance * (1 + 1 / (PRIOR_DRAWS + n)))
    return found


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    found: NDArray[np.float64] = np.log(p / (1 - p))
    return found
