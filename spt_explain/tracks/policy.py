"""What a user may decide about gaps, branches, short and immobile tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from spt_explain.errors import SptError, option

GapRule = Literal["fill", "split", "keep", "drop"]
BranchRule = Literal["skip", "split"]


@dataclass(frozen=True)
class QualityPolicy:
    """The stated policy; `dataclasses.asdict` gives it for a sidecar file.

    Attributes
    ----------
    min_length : int
        Fewest points, after gaps were treated, of a segment that is classified; at least 2.
    gaps : {"fill", "split", "keep", "drop"}
        "fill": gaps of up to `max_gap` missing frames are filled by linear interpolation, and
        tracks are split at longer ones. "split": split at every gap. "keep": consecutive points
        are taken as consecutive frames. "drop": tracks with a gap are left out.
    max_gap : int
        Longest gap, in missing frames, that "fill" fills; 0 fills none; at most a million.
    branches : {"skip", "split"}
        "skip": tracks that split or merge are left out. "split": they are cut at their branch
        points into unbranched pieces, where the file has the links between its points.
    flag_immobile : bool
        Whether to flag segments that look like localisation noise around a fixed point.
        Segments that don't move at all are flagged in any case, as nothing can be classified.
    immobile_miss : float
        Share of noise-only tracks that the flag misses when they are long (more are missed below
        16 points; see `spt_explain.tracks.immobile`).
    immobile_guard : float
        Factor on the limit that keeps short Brownian tracks from being flagged; a larger one
        flags fewer short tracks, 0 switches the guard off.
    immobile_min_points : int
        Fewest observed points of a segment that may be flagged; at least 3.
    every : int or None
        Judge tracks by every so many-th frame, averaged over the ways to begin; each then needs so
        many times `min_length` points. None: by every frame, but where the tracks come from a
        movie that shows motion faithfully over more frames only (`Tracks.faithful_every`).

    Raises
    ------
    SptError
        If a value is outside what is listed above.
    """

    min_length: int = 10
    gaps: GapRule = "fill"
    max_gap: int = 2
    branches: BranchRule = "skip"
    flag_immobile: bool = True
    immobile_miss: float = 0.04
    immobile_guard: float = 1.0
    immobile_min_points: int = 8
    every: int | None = None

    def __post_init__(self) -> None:
        _whole("min_length", self.min_length, least=2, what="points")
        _whole("max_gap", self.max_gap, least=0, what="missing frames", most=1_000_000)
        _whole("immobile_min_points", self.immobile_min_points, least=3, what="points")
        if self.every is not None:
            _whole("every", self.every, least=1, what="frames", most=1_000)
        _one_of("gaps", self.gaps, get_args(GapRule))
        _one_of("branches", self.branches, get_args(BranchRule))
        if not isinstance(self.flag_immobile, bool):
            raise SptError(f"flag_immobile {self.flag_immobile!r}: expected true or false.")
        if not (_is_number(self.immobile_miss) and 0 < self.immobile_miss < 0.5):
            raise SptError(
                f"immobile_miss {self.immobile_miss!r}: expected a number between 0 and 0.5."
            )
        if not (_is_number(self.immobile_guard) and 0 <= self.immobile_guard < float("inf")):
            raise SptError(
                f"immobile_guard {self.immobile_guard!r}: expected a number, 0 or larger."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(name: str, value: Any, *, least: int, what: str, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most:,}"
        raise SptError(
            f"{option(name, value)}: expected a whole number of {what}, {allowed}.", option=name
        )


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SptError(f"{option(name, value)}: expected one of {', '.join(choices)}.", option=name)
