"""The shape of a classifier: what goes in, how wide it is, what comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

InputKind = Literal["positions", "positions+displacements"]
PaddingKind = Literal["start", "masked"]
_STRIDE = 32
"""Frames of the input for each node of the last stage."""
_FINE = 128
"""Step of the lengths that trajectories are padded to to be judged: fine enough that little is
wasted on padding, and few enough lengths that batches are full."""
SERIES: dict[InputKind, int] = {"positions": 2, "positions+displacements": 4}
"""Time series that a trajectory is turned into, of each kind of input."""


@dataclass(frozen=True)
class Architecture:
    """ResAnDi: a ResNet18 in one dimension (Bae, Baek & Jeong, Table I).

    Attributes
    ----------
    inputs : {"positions", "positions+displacements"}
        The published two channels, or those and two of displacements.
    width : int
        Channels of the first stage; they double at each of the three that follow. 64 as published.
    stem_kernel, kernel : int
        Kernel lengths of the first convolution and of all others: 35 and 15 as published.
    window : int
        Most points of the input; longer trajectories are cut into windows.
    padding : {"start", "masked"}
        What lies before a trajectory that is shorter than its input. "start": its starting point,
        which the network sees as a particle at rest, as published; the output depends on how much
        there is of it, so `lengths` must be the window alone. "masked": zeros, marked by one more
        channel, and feature maps are kept at zero there, so the output does not depend on how
        much there is beyond the `margin`.
    margin : int
        Masked padding: points before a trajectory where feature maps are kept as well. Without
        them, all that a short trajectory shows must pass through one or two nodes.
    lengths : tuple of int
        Lengths that inputs are padded to, the shortest that fits; ascending, the last at least the
        window. Multiples of 32, the network's stride, give exactly the same output whichever of
        them is taken, if they hold trajectory and margin.
    alpha_levels : tuple of float
        Levels of the quantiles of the anomalous exponent that are told as well, ascending, the
        middle one the median; empty for none.
    noise_edges, exposure_edges : tuple of float
        Edges between levels of noise (1/SNR) and of exposure (share of the frame) that are told
        jointly with the class; empty for none. See `spt_explain.resandi.recording`.
    classes : tuple of str
        Names of the classes.
    """

    inputs: InputKind = "positions+displacements"
    width: int = 64
    stem_kernel: int = 35
    kernel: int = 15
    window: int = 1000
    padding: PaddingKind = "start"
    margin: int = 0
    lengths: tuple[int, ...] = ()
    alpha_levels: tuple[float, ...] = ()
    noise_edges: tuple[float, ...] = ()
    exposure_edges: tuple[float, ...] = ()
    classes: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
        lengths = self.lengths or (self.window,)
        object.__setattr__(self, "lengths", lengths)
        if list(lengths) != sorted(set(lengths)) or lengths[-1] < self.window:
            raise ValueError(
                f"lengths are {lengths}; expected them ascending, the last at least {self.window}"
            )
        if self.padding == "start" and len(lengths) > 1:
            raise ValueError("several lengths need masked padding")
        if self.margin < 0 or (self.margin and self.padding == "start"):
            raise ValueError(f"margin is {self.margin}; expected none, or masked padding")
        if len(self.alpha_levels) not in (0, 3):
            raise ValueError(f"{len(self.alpha_levels)} levels of alpha; expected three or none")
        for edges in (self.noise_edges, self.exposure_edges):
            if list(edges) != sorted(set(edges)) or any(edge <= 0 for edge in edges):
                raise ValueError(f"edges are {edges}; expected them ascending, above 0")

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return SERIES[self.inputs] + (self.padding == "masked")

    @property
    def outputs(self) -> int:
        """Number of outputs: `n_logits`, then what `alpha_quantiles` takes."""
        return self.n_logits + len(self.alpha_levels)

    @property
    def n_conditions(self) -> int:
        """Number of conditions: levels of noise times levels of exposure."""
        return (len(self.noise_edges) + 1) * (len(self.exposure_edges) + 1)

    @property
    def n_logits(self) -> int:
        """Number of logits: of each class under each condition, the conditions running fastest."""
        return len(self.classes) * self.n_conditions

    def condition_values(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middle of each condition's noise and exposure, (conditions,) each.

        The lowest level of each is taken as none, the highest of the noise as its lower edge.
        """
        noise = np.array([0.0, *_middles(self.noise_edges)])
        exposure = np.array([0.0, *_middles((*self.exposure_edges, 1.0))])[
            : len(self.exposure_edges) + 1
        ]
        return np.repeat(noise, len(exposure)), np.tile(exposure, len(noise))

    @property
    def stage_widths(self) -> tuple[int, int, int, int]:
        """Channels of the four stages."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width

    def padded_length(self, n_points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the length that trajectories of `n_points` points are padded to to be judged.

        The shortest of `lengths` that fits; with masked padding, a shorter multiple of `_FINE` if
        that holds the trajectory and its margin, which gives exactly the same output.
        """
        lengths = np.asarray(self.lengths, np.int64)
        found: NDArray[np.int64] = lengths[np.searchsorted(lengths, n_points)]
        if self._is_fine:
            found = np.minimum(found, -(-(n_points + self.margin) // _FINE) * _FINE)
        return found

    @property
    def run_lengths(self) -> tuple[int, ...]:
        """Every length that trajectories are padded to to be judged, ascending."""
        return tuple(np.unique(self.padded_length(np.arange(1, self.window + 1))).tolist())

    @property
    def _is_fine(self) -> bool:
        # lengths that the network's stride divides see the same nodes wherever padding begins
        return self.padding == "masked" and all(length % _STRIDE == 0 for length in self.lengths)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a card."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Return the architecture that `to_dict` described."""
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**plain)


def _middles(edges: tuple[float, ...]) -> list[float]:
    """Return the middles between neighbouring edges, and the last edge."""
    return [(a + b) / 2 for a, b in pairwise(edges)] + list(edges[-1:])


def alpha_quantiles(raw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ordered quantiles of α from the network's last three outputs.

    Parameters
    ----------
    raw : numpy.ndarray, shape (n, 3)
        Distance downwards, median, distance upwards; distances before the softplus that makes
        them positive, the median as α − 1.

    Returns
    -------
    numpy.ndarray, shape (n, 3)
        Low, median and high, within 0…2.
    """
    raw = raw.astype(np.float64)
    median = raw[:, 1] + 1
    down, up = np.logaddexp(0, raw[:, 0]), np.logaddexp(0, raw[:, 2])
    return np.asarray(np.clip(np.stack([median - down, median, median + up], axis=1), 0, 2))
