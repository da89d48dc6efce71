"""How simulated particles are recorded: lengths, exponents, noise, blur, missed frames, units."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, Self, TypeAlias

from pydantic import PlainValidator, ValidationInfo, model_validator

from spt_explain.core.config import Options, setting
from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from spt_explain.diffusion.classes import DiffusionClass
    from spt_explain.tracks.runs import Floats, Ints

Range: TypeAlias = "float | str | tuple[float, float] | Span"
"""What a user gives for a number or a range: ``0.5``, ``"0.1-0.9"`` or ``(0.1, 0.9)``."""

MAX_POINTS = 1_000_000
"""Points of the longest track that is simulated."""
MAX_ROWS = 20_000_000
"""Positions that are simulated at a time; they take about 8 GB of memory."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*(?:(?:-|–|\.\.)\s*({_NUMBER}))?\s*")

MIN_ALPHA = 0.05
"""Smallest exponent; below it, waiting times leave what float32 can tell apart."""


class Span(NamedTuple):
    """A range from which one value is drawn for each track; one number where both are the same."""

    low: float
    high: float

    @classmethod
    def of(cls, value: Range, name: str) -> Span:
        """Make a range of what a user gives.

        Parameters
        ----------
        value : float, str, tuple of float or Span
            A number, ``"A-B"``, or a pair.
        name : str
            The option it is for, for messages: ``"noise"``.

        Raises
        ------
        SptError
            If it is no number or range of numbers that are 0 or more, or runs backwards.
        """
        if isinstance(value, str):
            found = _RANGE.fullmatch(value)
            if found is None:
                raise SptError(
                    f"{option(name, value)} was not understood: expected a number of 0 or more, as "
                    "in 0.5, or a range, as in 0.1-0.9.",
                    option=name,
                )
            span = cls(float(found[1]), float(found[2] or found[1]))
        elif isinstance(value, tuple):
            span = cls(float(value[0]), float(value[1]))
        else:
            span = cls(float(value), float(value))
        if not all(math.isfinite(end) and end >= 0 for end in span):
            raise SptError(
                f"{option(name)} is {span}: expected finite numbers of 0 or more.", option=name
            )
        if span.low > span.high:
            raise SptError(
                f"{option(name)} is {span}, which runs backwards: the smaller number comes first."
            )
        return span

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g}-{self.high:g}"


def _span(value: Range, info: ValidationInfo) -> Span:
    return Span.of(value, info.field_name or "")


_Span = Annotated[Span, PlainValidator(_span)]


class Recording(Options):
    """What a lab's recording of the particles looks like; ranges are drawn for each track.

    A range is given as a number, a pair or ``"A-B"``.

    Attributes
    ----------
    length : Span
        Points of a track from its first frame to its last; whole numbers, drawn uniformly.
    alpha : Span or None
        Anomalous exponent, drawn uniformly; None for the range of each class.
    noise : Span
        Localisation noise, 1/SNR: standard deviation of a position's error along x, in units of
        the standard deviation of one frame's displacement (one axis, √(2 D Δt)).
    anisotropy : Span
        Noise along y over noise along x.
    exposure : Span
        Share of the frame over which a position is averaged (motion blur), 0 to 1.
    missing : Span
        Probability that a frame is missed, below 1; the first and last point are always there.
    fill_missing : bool
        Whether missed frames are filled by straight lines, rather than left out of the table.
    immobile : float
        Share of the particles that don't move: noise around a fixed point, 0 to 1.
    diffusion_coefficient_um2_s : Span
        D in µm²/s; a range is drawn uniformly in its logarithm. The mean squared displacement
        from one frame to the next is 4 D Δt: its expectation, averaged over the track, before
        blur and noise. The scale of ATTM, CTRW and LW, which their law leaves open, is set for each
        track, given its diffusivities, its jumps or its speed.
    pixel_size_um : float
        Size of a pixel in µm.
    frame_interval_s : float
        Time between frames Δt in s.

    Raises
    ------
    SptError
        If a value can't be used; the message says what was expected.
    """

    heading: ClassVar[str] = "Recording"

    length: _Span = setting(
        Span(20, 200),
        "Points of a track, first frame to last; drawn uniformly.",
        metavar="A-B",
    )
    alpha: _Span | None = setting(
        None,
        "Anomalous exponent; drawn uniformly. Default: the class's range, 0.1-0.9 for Sub, 1.1-1.9 "
        "for Sup; always 1 for BM.",
        metavar="A-B",
    )
    noise: _Span = setting(
        Span(0, 0),
        "Localisation noise, 1/SNR: standard deviation of a position along x, in units of that of "
        "one frame's displacement along one axis, √(2 D Δt).",
        metavar="A-B",
    )
    anisotropy: _Span = setting(Span(1, 1), "Noise along y over noise along x.", metavar="A-B")
    exposure: _Span = setting(
        Span(0, 0),
        "Motion blur: share of the frame, 0 to 1, over which a position is averaged.",
        metavar="A-B",
    )
    missing: _Span = setting(
        Span(0, 0),
        "Share of frames missed, never the first or last of a track; the table lacks their rows.",
        metavar="A-B",
    )
    immobile: float = setting(
        0.0,
        "Share of particles, 0 to 1, that are noise around a fixed point (class 'immobile'); needs "
        "{noise}.",
        metavar="SHARE",
        ge=0,
        le=1,
    )
    diffusion_coefficient_um2_s: _Span = setting(
        Span(0.1, 0.1),
        "D in µm²/s; drawn uniformly in its logarithm. The mean squared displacement from one "
        "frame to the next is 4 D Δt for every class: its expectation, averaged over the track, "
        "before blur and noise; for ATTM, CTRW and LW given the track's diffusivities, jumps or "
        "speed.",
        metavar="A-B",
    )
    pixel_size_um: float = setting(
        0.1, "Size of a pixel in µm.", unit="µm", metavar="UM", ge=1e-3, le=100
    )
    frame_interval_s: float = setting(
        0.02, "Time between frames Δt in seconds.", unit="s", metavar="S", ge=1e-6, le=1e6
    )

    fill_missing: bool = setting(
        False,
        "Fill missed frames by straight lines, and mark them in a column 'filled'. Default: leave "
        "them out.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        low, high = self.length
        if low != int(low) or high != int(high) or low < 2 or high > MAX_POINTS:
            raise SptError(
                f"{option('length')} is {self.length}: expected whole numbers of points, from 2 to "
                f"{MAX_POINTS:,}, as in 20-200.",
                option="length",
            )
        for name, least, most, meaning in (
            ("noise", 0.0, 1e3, "the noise in units of a frame's displacement (1/SNR), 0 to 1000"),
            ("anisotropy", 1e-3, 1e3, "noise along y over noise along x, 0.001 to 1000"),
            ("exposure", 0.0, 1.0, "a share of the frame, 0 to 1"),
            ("missing", 0.0, 0.99, "a share of the frames, 0 to 0.99"),
            ("diffusion_coefficient_um2_s", 1e-12, 1e12, "a number above 0 (µm²/s)"),
        ):
            span = getattr(self, name)
            if not least <= span.low <= span.high <= most:
                raise SptError(f"{option(name)} is {span}: expected {meaning}.", option=name)
        if self.immobile and not self.noise.high:
            raise SptError(
                f"{option('immobile')} was given without noise: an immobile particle is noise "
                f"around a fixed point. Add {option('noise')}, as in {option('noise', '0.5')}.",
                code="conflict",
                option="immobile",
            )
        return self

    @property
    def step_um(self) -> float:
        """Largest standard deviation of one frame's displacement along one axis, in µm."""
        return math.sqrt(2 * self.diffusion_coefficient_um2_s.high * self.frame_interval_s)

    def describe(self) -> dict[str, float | str | bool]:
        """Return the settings as plain values, ranges as ``"A-B"``."""
        values = dict(self)
        values["alpha"] = self.alpha or "the range of each class"
        return {
            name: (value.low if value.low == value.high else str(value))
            if isinstance(value, Span)
            else value
            for name, value in values.items()
        }


def alpha_range(kind: DiffusionClass, wanted: Span | None) -> Span:
    """Return the exponents to draw from for one class.

    Parameters
    ----------
    kind : DiffusionClass
        The class.
    wanted : Span or None
        What the user asks for; by default the class's own range.

    Raises
    ------
    SptError
        If the class's model has no such exponent.
    """
    if wanted is None:
        return Span(kind.alpha_low, kind.alpha_high)
    if kind.alpha_high < 1:
        inside, said = wanted.low >= MIN_ALPHA and wanted.high < 1, f"{MIN_ALPHA} to below 1"
    elif kind.alpha_low > 1:
        inside, said = wanted.low > 1 and wanted.high < 2, "above 1 and below 2"
    else:
        inside, said = wanted == (1, 1), "exactly 1"
    if not inside:
        raise SptError(
            f"{option('alpha', wanted)} can't be had from {kind.name}: its exponents are {said}. "
            f"Leave {option('alpha')} out for {Span(kind.alpha_low, kind.alpha_high)}, or simulate "
            "one class at a time.",
            option="alpha",
            code="conflict",
        )
    return wanted


def draw(span: Span, n: int, rng: np.random.Generator, *, logarithmic: bool = False) -> Floats:
    """Draw `n` values from a range, uniformly in the value or its logarithm; float64, (n,).

    Values have 6 significant digits, so that a table can hold them as they were used.
    """
    import numpy as np

    u = rng.random(n)
    if span.low == span.high:
        return np.full(n, float(span.low))
    if logarithmic:
        values = span.low * (span.high / span.low) ** u
    else:
        values = span.low + (span.high - span.low) * u
    digits = 5 - np.floor(np.log10(np.maximum(values, 1e-300))).astype(int)
    scale = 10.0 ** np.clip(digits, 0, 18)
    drawn: Floats = np.clip(np.round(values * scale) / scale, span.low, span.high)
    return drawn


def draw_lengths(span: Span, n: int, rng: np.random.Generator) -> Ints:
    """Draw numbers of points uniformly, both ends included; int64, (n,)."""
    return rng.integers(int(span.low), int(span.high), n, endpoint=True)


def lost_frames(lengths: Ints, missing: Floats, rng: np.random.Generator) -> np.ndarray:
    """Decide which positions are missed, each by itself.

    Parameters
    ----------
    lengths : numpy.ndarray of int64, shape (m,)
        Points of each track.
    missing : numpy.ndarray of float64, shape (m,)
        Probability of missing a frame, for each track.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray of bool, shape (lengths.sum(),)
        Tracks one after the other; the first and the last point of each are never missed.
    """
    import numpy as np

    ends = np.cumsum(lengths)
    lost: np.ndarray = rng.random(int(ends[-1]) if len(ends) else 0) < np.repeat(missing, lengths)
    lost[ends - lengths] = False
    lost[ends - 1] = False
    return lost


def check_size(tracks: int, length: Span) -> None:
    """Refuse more than can be simulated at a time.

    Raises
    ------
    SptError
        If `tracks` is below 1, or there would be more than `MAX_ROWS` positions.
    """
    if tracks < 1:
        raise SptError(f"{option('tracks')} is {tracks}: expected 1 or more.", option="tracks")
    rows = tracks * sum(length) / 2
    if rows > MAX_ROWS:
        raise SptError(
            f"{tracks:,} tracks of {length} points are about {rows:,.0f} positions: at most "
            f"{MAX_ROWS:,} are simulated at a time. Lower {option('tracks')} or "
            f"{option('length')}, or simulate several files with different seeds.",
            option="tracks",
        )


def shares_to_counts(shares: Sequence[float], total: int) -> list[int]:
    """Split `total` in proportion to `shares`, by the largest remainder; sums to `total`."""
    exact = [total * share / sum(shares) for share in shares]
    counts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts
