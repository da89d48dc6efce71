"""What can be asked of an explanation, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index as as_integer
from typing import Any, Literal, get_args

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.explain import erasure
from spt_explain.explain.methods import Method, check_method
from spt_explain.explain.scores import ScoreOf
from spt_explain.resandi.graph import BLOCKS

LAST = BLOCKS[-1]
FEWEST_DRAWS = 19
"""Random erasures; with fewer, what passes the check is noted to mean little."""


@dataclass(frozen=True)
class How:
    """What is asked for.

    Attributes
    ----------
    method : str
        "auto", "input-x-gradient", "gradcam", "layercam", "integrated-gradients" or "occlusion".
        See `explain.methods.maps`; "auto" takes `AUTO`'s.
    layer : str
        ``block1`` … ``block4``, for "gradcam" and "layercam".
    class_name : str
        Class to explain; empty for each track's most probable one.
    against : str
        Class of the contrast; empty for the most probable of the others.
    of : {"log-odds", "probability", "logit"}
        What the score is of; see `explain.scores.ScoreOf`.
    draws : int
        Most random erasures of the check; 0 for no check.
    share : float
        Of the frames, erased.
    erase : {"cut", "rest", "line"}
        How; see `explain.erasure.erase`.
    seed : int
        Of the draws.

    Raises
    ------
    SptError
        For what is none of these.
    """

    method: Method | Literal["auto"] = "auto"
    layer: str = LAST
    class_name: str = ""
    against: str = ""
    of: ScoreOf = "log-odds"
    draws: int = erasure.DRAWS
    share: float = erasure.SHARE
    erase: erasure.Erasure = "cut"
    seed: int = erasure.SEED

    def __post_init__(self) -> None:
        if self.method != "auto":
            check_method(self.method, self.layer)
        elif self.layer != LAST:
            raise SptError(
                f"the layer is {self.layer!r} and the method 'auto', which chooses its own; "
                "expected a layer with 'gradcam' or 'layercam' only."
            )
        for name, value, known in (
            ("of", self.of, get_args(ScoreOf)),
            ("erase", self.erase, get_args(erasure.Erasure)),
        ):
            if value not in known:
                raise SptError(
                    f"{option(name)} is {value!r}; expected one of {_or(known)}.", option=name
                )
        _check_whole("draws", self.draws, "0 (no check) or more")
        _check_whole("seed", self.seed, "0 or more")
        if not (isinstance(self.share, (int, float, np.number)) and 0 < self.share < 1):
            raise SptError(
                f"{option('share')} is {self.share!r}; expected a share of the frames, above 0 and "
                "below 1.",
                option="share",
            )

    def notes(self) -> list[str]:
        """Return what to know of results that are got in this way."""
        if not 0 < self.draws < FEWEST_DRAWS:
            return []
        return [
            f"{option('draws')} is {self.draws}: of maps that point nowhere, 1 in {self.draws + 1} "
            f"passes such a check by chance. Expected {FEWEST_DRAWS} or more."
        ]


def _check_whole(name: str, value: Any, expected: str) -> None:
    try:
        fine = not isinstance(value, bool) and as_integer(value) >= 0
    except TypeError:
        fine = False
    if not fine:
        raise SptError(f"{option(name)} is {value!r}; expected {expected}.", option=name)


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
