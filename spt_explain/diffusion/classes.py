"""The eight mechanisms that are told apart, in the order of every table and network output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DiffusionClass:
    """One mechanism of diffusion.

    Attributes
    ----------
    name : str
        The name in tables, e.g. ``"SubFBM"``.
    model : str
        The simulator: ``"attm"``, ``"ctrw"``, ``"fbm"``, ``"sbm"``, ``"lw"`` or ``"bm"``.
    alpha_low, alpha_high : float
        Range of the anomalous exponent α in training and in the test protocol of Bae et al.
        (both 1 for Brownian motion).
    description : str
        What it means, for people.
    """

    name: str
    model: str
    alpha_low: float
    alpha_high: float
    description: str


CLASSES: tuple[DiffusionClass, ...] = (
    DiffusionClass("SubATTM", "attm", 0.1, 0.9, "annealed transient time motion"),
    DiffusionClass("SubCTRW", "ctrw", 0.1, 0.9, "continuous-time random walk (trapping)"),
    DiffusionClass("SubFBM", "fbm", 0.1, 0.9, "subdiffusive fractional Brownian motion"),
    DiffusionClass("SubSBM", "sbm", 0.1, 0.9, "scaled Brownian motion, slowing down"),
    DiffusionClass("SupFBM", "fbm", 1.1, 1.9, "superdiffusive fractional Brownian motion"),
    DiffusionClass("SupLW", "lw", 1.1, 1.9, "Lévy walk"),
    DiffusionClass("SupSBM", "sbm", 1.1, 1.9, "scaled Brownian motion, speeding up"),
    DiffusionClass("BM", "bm", 1.0, 1.0, "Brownian motion"),
)
"""The classes, in the order of the published network's outputs."""

CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)
