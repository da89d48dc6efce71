"""The statistics of Bae, Baek & Jeong in windows of tracks: AC, CS, NG, SG and VD (Eqs. 3–8).

Δ is the displacement along an axis from one frame to the next and Δ′ the one after it; κₖ is the
k-th cumulant over the window, or over the i-th of n subintervals of it where it has an i:

== === ============================================================ ===========================
AC (3) (⟨Δ Δ′⟩ − ⟨Δ⟩²) / κ₂(Δ), mean of both axes                   memory from step to step
CS (4) AC × √κ₂(θ/π), θ (5) the turn from a step to the next        memory with, without turns
NG (6) abs. of the mean over axes and i of κ₄ᵢ(Δ) / κ₂ᵢ(Δ)²         steps that are not Gaussian
SG (7) √κ₂((Δ′ + ε)/(Δ + ε)), the larger of both axes, × NG         sudden changes of size
VD (8) (√κ₂ₙ − √κ₂₁) / √κ₂, mean of both axes, / n, × NG            size that grows or falls
== === ============================================================ ===========================

Cumulants are those of the sample itself: κ₂ is the mean square less the squared mean, κ₄ is the
fourth central moment less 3 κ₂².

What the paper leaves open, and what is taken here:

- n: 4, as in the authors' program, the subintervals as equal as whole steps allow.
- The unit of ε = 1e-6: the root mean square of the track's steps (the paper scales tracks to unit
  variance); in the authors' program the extent of the track along the axis.
- What the horizontal line, min-max normalisation to 0…1, goes over: the windows of one track, as in
  the authors' program. The text has it beside Eqs. 4 and 5, so √κ₂(θ/π) is normalised; the program
  normalises NG and √κ₂ of the ratio of Eq. 7 as well. `min_max` chooses.
- The brackets of Eq. 6 are taken for those of an absolute value, as in the program. Otherwise NG, a
  little below 0 in samples of Gaussian steps, would turn the signs that the text gives for VD.

The variant ``"code"`` is what the authors' program computes. Beside the differences above: all
steps are in units of the track's extent along the axis, which also changes the turns; AC is the
correlation of the steps but the last with the steps but the first; absolute values stand in the
ratio of Eq. 7; VD is the ratio of the axes' means. And where the equations have no value, there
are these: AC of an axis without motion 1; 0 for the fourth cumulant of a subinterval without
motion, for a turn from or to a step of no length, for VD without motion, and for a part that is the
same in all windows of a track.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from spt_explain.tracks.runs import offsets_of, run_starts

if TYPE_CHECKING:
    from collections.abc import Collection

    from spt_explain.tracks.runs import Floats, Ints

STATISTICS = ("AC", "CS", "NG", "SG", "VD")
Variant = Literal["paper", "code"]
Part = Literal["turn", "NG", "ratio"]
"""What can be min-max scaled over the windows of a track: √κ₂(θ/π), NG, and √κ₂ of the ratio."""

SUBINTERVALS = 4
EPSILON = 1e-6
REST = 1e-3
"""Steps whose standard deviation is below this share of their root mean square do not vary."""
FEWEST_STEPS = 4
"""Steps that a subinterval needs: the fourth cumulant of fewer is the same whatever they are."""
MIN_MAX: dict[Variant, tuple[Part, ...]] = {"paper": ("turn",), "code": get_args(Part)}
_FEWEST = 3
"""Steps of a window that has statistics at all: two turns."""


@dataclass(frozen=True, eq=False)
class _Spans:
    """Runs of rows that may overlap."""

    starts: Ints
    stops: Ints

    @cached_property
    def counts(self) -> Ints:
        return np.asarray(np.maximum(self.stops - self.starts, 0))

    @cached_property
    def _edges(self) -> Ints:
        return np.stack([self.starts, np.maximum(self.stops, self.starts)], axis=1).ravel()

    @cached_property
    def _end(self) -> int:
        return int(self._edges.max(initial=0))

    def sums(self, values: Floats) -> Floats:
        """Return the sum of each run, without the cancellation of differences of running totals."""
        if self._end >= len(values):  # a run may stop beyond the last row
            values = np.append(values, 0.0)
        return np.where(self.counts > 0, np.add.reduceat(values, self._edges)[::2], 0.0)

    def part(self, i: int, n: int) -> _Spans:
        """Return the i-th of n parts of each run."""
        return _Spans(self.starts + self.counts * i // n, self.starts + self.counts * (i + 1) // n)

    def but_last(self) -> _Spans:
        return _Spans(self.starts, self.stops - 1)

    def but_first(self) -> _Spans:
        return _Spans(self.starts + 1, self.stops)


def window_statistics(
    positions: Floats,
    starts: Ints,
    stops: Ints,
    track: Ints,
    *,
    variant: Variant = "paper",
    subintervals: int = SUBINTERVALS,
    epsilon: float = EPSILON,
    min_max: Collection[Part] | None = None,
    rest: float = REST,
    fewest_steps: int = FEWEST_STEPS,
) -> dict[str, Floats]:
    """Compute the five statistics in windows of many tracks at once.

    Parameters
    ----------
    positions : numpy.ndarray, shape (n_points, 2)
        x and y of the tracks in consecutive frames, in any unit; the statistics have none.
    starts, stops : numpy.ndarray of int64, shape (w,)
        Window *i* is ``positions[starts[i]:stops[i]]``. Windows may overlap; fastest where
        `starts` ascends.
    track : numpy.ndarray of int64, shape (w,)
        Which track each window is of; the windows of a track follow one another.
    variant : {"paper", "code"}
        The paper's equations, or what the authors' program computes; see this module.
    subintervals : int
        n of Eqs. 6 and 8.
    epsilon : float
        ε of Eq. 7.
    min_max : collection of {"turn", "NG", "ratio"}, optional
        What is min-max scaled over the windows of each track: the first for ``"paper"``, all for
        ``"code"`` by default.
    rest : float
        Steps whose standard deviation is below this share of their root mean square count as
        steps that don't vary (straight flights, up to the rounding of their positions).
    fewest_steps : int
        Steps that a subinterval needs in Eqs. 6 and 8, in the variant ``"paper"``.

    Returns
    -------
    dict of str to numpy.ndarray, shape (w,)
        ``AC, CS, NG, SG, VD``. Axes and subintervals whose steps don't vary are left out of the
        means. NaN where none is left (a particle at rest, or one in straight flight), where there
        are fewer than three steps or than are needed, and for what is scaled where the windows of
        the track don't differ. The variant ``"code"`` has the numbers that this module lists.

    Raises
    ------
    ValueError
        For arrays that don't fit together, unknown names, or numbers out of range.
    """
    _check(positions, starts, stops, track, variant, subintervals, epsilon)
    scaled = set(MIN_MAX[variant] if min_max is None else min_max)
    if unknown := scaled - set(get_args(Part)):
        raise ValueError(f"min_max names {min(unknown)!r}; expected some of {get_args(Part)}")
    if not len(starts):
        return {name: np.zeros(0) for name in STATISTICS}
    code = variant == "code"
    first = np.flatnonzero(run_starts(track))
    with np.errstate(all="ignore"):  # divisions by no motion, positions near 1e308: NaN
        axes, steps = _steps(positions, starts, stops, first, by_axis=code)
        parts_of_steps = [steps.part(i, subintervals) for i in range(subintervals)]
        sums = [_Sums.of(axis, parts_of_steps) for axis in axes]
        spread = [
            np.sqrt(_variance(one.total(1), one.total(2), steps.counts, rest)) for one in sums
        ]
        few = 1 if code else fewest_steps
        parts: dict[Part, Floats] = {
            "turn": _turns(axes, steps, code=code),
            "NG": np.abs(_excess(sums, parts_of_steps, rest, few, code=code)),
            "ratio": _ratios(axes, steps, epsilon, code=code),
        }
        for name in scaled:
            parts[name] = _min_max(parts[name], first, flat=0.0 if code else np.nan)
        ac = _autocorrelation(axes, sums, spread, steps, code=code)
        vd = _growth(sums, spread, parts_of_steps, few, code=code)
        found = {
            "AC": ac,
            "CS": ac * parts["turn"],
            "NG": parts["NG"],
            "SG": parts["ratio"] * parts["NG"],
            "VD": vd * parts["NG"],
        }
    enough = steps.counts >= _FEWEST
    return {k: np.where(enough & np.isfinite(v), v, np.nan) for k, v in found.items()}


def _check(
    positions: Floats,
    starts: Ints,
    stops: Ints,
    track: Ints,
    variant: str,
    subintervals: int,
    epsilon: float,
) -> None:
    if variant not in get_args(Variant):
        raise ValueError(f"variant is {variant!r}; expected one of {get_args(Variant)}")
    if subintervals < 1:
        raise ValueError(f"subintervals is {subintervals}; expected at least 1")
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}; expected a number above 0")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"positions have the shape {positions.shape}; expected (n, 2)")
    if not starts.shape == stops.shape == track.shape:
        raise ValueError("starts, stops and track: expected one of each for every window")
    if len(starts) and not (starts.min() >= 0 and stops.max() <= len(positions)):
        raise ValueError(f"windows reach beyond the {len(positions)} positions")
    if (stops <= starts).any():
        raise ValueError("windows: expected at least one position in each")


def _steps(
    positions: Floats, starts: Ints, stops: Ints, first: Ints, *, by_axis: bool
) -> tuple[list[Floats], _Spans]:
    """Return the steps of each axis in the unit of their track, and those of each window."""
    begin = np.minimum.reduceat(starts, first)
    length = np.maximum.reduceat(stops, first) - begin
    offsets = offsets_of(length)
    shift = offsets[:-1] - begin
    points = positions[np.arange(offsets[-1]) - np.repeat(shift, length)]
    edges = offsets[:-1]
    steps = np.diff(points, axis=0, append=points[-1:])
    steps[offsets[1:] - 1] = 0.0  # from one track to the next
    if by_axis:
        unit = np.maximum.reduceat(points, edges) - np.minimum.reduceat(points, edges)
    else:
        unit = np.maximum.reduceat(np.abs(steps), edges).max(axis=1, keepdims=True)
        unit = np.where(unit > 0, unit, 1.0)
        square = ((steps / np.repeat(unit, length, axis=0)) ** 2).sum(axis=1)
        mean = np.add.reduceat(square, edges) / np.maximum(length - 1, 1) / 2
        unit = unit * np.sqrt(mean)[:, None]
    steps /= np.repeat(np.where(unit > 0, unit, 1.0), length, axis=0)
    moved = np.repeat(shift, np.diff(first, append=len(starts)))
    spans = _Spans(starts + moved, stops + moved - 1)
    return [np.ascontiguousarray(steps[:, axis]) for axis in range(2)], spans


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of the powers of an axis's steps: 1 to 4, over each part of each window."""

    powers: list[list[Floats]]

    @classmethod
    def of(cls, steps: Floats, parts: list[_Spans]) -> _Sums:
        square = steps * steps
        # numpy's ** 3 takes ten times as long
        powers = [steps, square, square * steps, square * square]
        return cls([[part.sums(power) for part in parts] for power in powers])

    def of_part(self, i: int) -> list[Floats]:
        """Return the sums of all powers over the i-th parts."""
        return [power[i] for power in self.powers]

    def total(self, power: int) -> Floats:
        """Return the sums over the windows, which the parts make up."""
        return np.asarray(sum(self.powers[power - 1]))


def _variance(total: Floats, total_square: Floats, n: Floats | Ints, rest: float) -> Floats:
    """Return κ₂ of sums of n values and of their squares, 0 where the values don't vary."""
    square = total_square / n
    variance = square - (total / n) ** 2
    return np.where(variance > rest**2 * square, variance, 0.0)


def _autocorrelation(
    axes: list[Floats], sums: list[_Sums], spread: list[Floats], steps: _Spans, *, code: bool
) -> Floats:
    """Return AC, Eq. 3."""
    pairs, n = steps.but_last(), steps.counts
    found = []
    for axis, own, deviation in zip(axes, sums, spread, strict=True):
        product = pairs.sums(axis[:-1] * axis[1:])
        mean = own.total(1) / n
        if not code:
            found.append((product / (n - 1) - mean**2) / _not_zero(deviation) ** 2)
            continue
        halves = [(half.sums(axis), half.sums(axis**2)) for half in (pairs, steps.but_first())]
        centred = [square - 2 * mean * total + (n - 1) * mean**2 for total, square in halves]
        above = product - mean * (halves[0][0] + halves[1][0]) + (n - 1) * mean**2
        below = np.sqrt(np.maximum(centred[0], 0) * np.maximum(centred[1], 0))
        found.append(np.where((deviation > 0) & (below > 0), above / below, 1.0))
    return _mean(found)


def _turns(axes: list[Floats], steps: _Spans, *, code: bool) -> Floats:
    """Return √κ₂(θ/π), Eqs. 4 and 5; the arc cosine as an angle between two vectors."""
    x, y = axes
    across = np.abs(x[:-1] * y[1:] - y[:-1] * x[1:])
    along = x[:-1] * x[1:] + y[:-1] * y[1:]
    turn = np.arctan2(across, along) / np.pi
    moves = (x != 0) | (y != 0)
    known = (moves[:-1] & moves[1:]).astype(np.float64)
    pairs = steps.but_last()
    n = pairs.counts if code else pairs.sums(known)
    n = np.where(n > 1, n, np.nan)
    turn *= known
    return np.sqrt(np.maximum(pairs.sums(turn**2) / n - (pairs.sums(turn) / n) ** 2, 0.0))


def _excess(sums: list[_Sums], parts: list[_Spans], rest: float, few: int, *, code: bool) -> Floats:
    """Return the mean of κ₄/κ₂² over axes and subintervals, Eq. 6."""
    found = []
    for axis in sums:
        for i, part in enumerate(parts):
            n = np.where(part.counts >= few, part.counts, np.nan)
            m1, m2, m3, m4 = (total / n for total in axis.of_part(i))
            variance = m2 - m1**2
            fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
            varies = variance > rest**2 * m2
            none = np.where(np.isnan(n), np.nan, 0.0 if code else np.nan)
            found.append(np.where(varies, fourth / variance**2 - 3, none))
    return _mean(found)


def _ratios(axes: list[Floats], steps: _Spans, epsilon: float, *, code: bool) -> Floats:
    """Return √κ₂ of the ratio of neighbouring steps, the larger of both axes; Eq. 7."""
    pairs = steps.but_last()
    n = np.where(pairs.counts > 1, pairs.counts, np.nan)
    found = []
    for axis in axes:
        below = axis[:-1] + epsilon
        ratio = (
            (np.abs(axis[1:]) + epsilon) / np.abs(below) if code else (axis[1:] + epsilon) / below
        )
        mean = pairs.sums(ratio) / n
        found.append(np.sqrt(np.maximum(pairs.sums(ratio**2) / n - mean**2, 0.0)))
    return np.maximum(*found)


def _growth(
    sums: list[_Sums], spread: list[Floats], parts: list[_Spans], few: int, *, code: bool
) -> Floats:
    """Return Eq. 8 without NG."""
    subintervals = len(parts)
    enough = np.minimum(parts[-1].counts, parts[0].counts) >= few
    rise = []
    for axis in sums:
        ends = []
        for i in (0, -1):
            total, square = axis.of_part(i)[:2]
            ends.append(np.sqrt(_variance(total, square, parts[i].counts, 0.0)))
        rise.append(np.where(enough, ends[1] - ends[0], np.nan))
    if code:
        deviation = (spread[0] + spread[1]) / 2
        mean = (rise[0] + rise[1]) / 2
        return np.where(deviation > 0, mean / subintervals / deviation, 0.0 * mean)
    return _mean([r / _not_zero(s) for r, s in zip(rise, spread, strict=True)]) / subintervals


def _min_max(values: Floats, first: Ints, *, flat: float) -> Floats:
    """Scale to 0…1 over the windows of each track; `flat` where they don't differ."""
    low, high = np.fmin.reduceat(values, first), np.fmax.reduceat(values, first)
    counts = np.diff(first, append=len(values))
    low, extent = np.repeat(low, counts), np.repeat(high - low, counts)
    return np.where(extent > 0, (values - low) / extent, np.where(np.isnan(values), np.nan, flat))


def _not_zero(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _mean(columns: list[Floats]) -> Floats:
    """Return the mean of what is not NaN."""
    stacked = np.stack(columns)
    known = np.isfinite(stacked)
    return np.asarray(np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0))
