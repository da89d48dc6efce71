"""How a network's probabilities spread: what each says of class and noise together.

The probabilities of the network are right over the noise it was trained on, all levels mixed. In
one recording the noise is what it is, and a network that can't see it in a short track mistakes,
say, noise for anti-persistence. Many tracks together do show it. So the probabilities and the
length are turned, by multinomial logistic regression fitted to simulated trajectories
(`spt_explain.training.confusions`), into the probability of every pair of class and noise level,
both uniform beforehand. `spt_explain.resandi.populations` finds shares of both from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CARD_KEY = "confusions"
_LEAST = 1e-5
LENGTHS = (10, 500)
"""Points of the trajectories that it is fitted to; others count as the nearer of the two."""
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Confusions:
    """Coefficients of the regression.

    Attributes
    ----------
    noise : tuple of float
        Noise levels, 1/SNR: standard deviation of a position's error in units of a displacement's.
    coefficients : numpy.ndarray, shape (features, classes · levels)
        Of `features`; columns by class, then level.
    systematic : float
        Standard deviation of what is left of the deviation of a fraction when tracks are many:
        the part of the error that no number of tracks takes away.
    """

    noise: tuple[float, ...]
    coefficients: NDArray[np.float64]
    systematic: float = 0.0

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Confusions | None:
        """Return what a card says under ``confusions``; None if it says nothing.

        Raises
        ------
        SptError
            If what it says can't be used.
        """
        values = card.get(CARD_KEY)
        if values is None:
            return None
        try:
            noise = tuple(float(v) for v in values["noise"])
            coefficients = np.array(values["coefficients"], dtype=np.float64)
            systematic = float(values["systematic"])
            n_classes = len(card["architecture"]["classes"])
        except (TypeError, KeyError, ValueError) as error:
            raise SptError(
                f"the weights' card: {CARD_KEY!r} can't be read ({error}).", code="unreadable"
            ) from error
        shape = (3 + 4 * n_classes, n_classes * len(noise))
        if not noise or coefficients.shape != shape or not np.isfinite(coefficients).all():
            raise SptError(
                f"the weights' card: {CARD_KEY!r} has {coefficients.shape} coefficients; expected "
                f"{shape} finite numbers, for {n_classes} classes and {len(noise)} noise levels."
            )
        return cls(noise, coefficients, systematic)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a card."""
        rows = [[float(f"{v:.{_DIGITS}g}") for v in row] for row in self.coefficients]
        return {"noise": list(self.noise), "systematic": self.systematic, "coefficients": rows}

    def joint(
        self, probabilities: NDArray[np.float64], n_points: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Return the probability of every pair of class and noise level.

        Parameters
        ----------
        probabilities : numpy.ndarray, shape (n, classes)
            The network's.
        n_points : numpy.ndarray, shape (n,)
            Points of the trajectories.

        Returns
        -------
        numpy.ndarray, shape (n, classes, levels)
            Sums to 1 for each trajectory.
        """
        score = features(probabilities, n_points) @ self.coefficients
        score -= score.max(axis=1, keepdims=True, initial=-np.inf)
        np.exp(score, out=score)
        score /= score.sum(axis=1, keepdims=True)
        return score.reshape(len(score), probabilities.shape[1], len(self.noise))


def features(
    probabilities: NDArray[np.float64], n_points: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return what the regression is linear in, shape (n, 3 + 4 · classes).

    1, u, u², p, log p, (log p)²/10 and u log p, where u is the logarithm of the length, 0 at 30
    points, and p at least 10⁻⁵.
    """
    p = np.clip(probabilities, _LEAST, 1)
    log_p = np.log(p)
    u = np.log(np.clip(n_points, *LENGTHS) / 30)[:, None]
    return np.concatenate([np.ones_like(u), u, u**2, p, log_p, log_p**2 / 10, u * log_p], axis=1)
