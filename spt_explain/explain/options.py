"""What can be asked of an explanation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from spt_explain.core.config import Options, setting
from spt_explain.errors import SptError, option

Method = Literal["input-x-gradient", "gradcam", "layercam", "integrated-gradients", "occlusion"]
Layer = Literal["block1", "block2", "block3", "block4"]
ScoreOf = Literal["log-odds", "probability", "logit"]
"""What a score is of. "probability": the explained class's, as in the paper's Eq. 1. "log-odds":
the same divided by p (1 − p), so that scores of a track of probability 0.9999 have the size of
others' and add up; the ranking within a track is the same. "logit": as in the authors' code, which
does not ask what speaks for the other classes."""
Erasure = Literal["cut", "rest", "line"]
"""How frames are erased: cut out and the rest joined, the particle at rest, or a straight line."""

LAST = "block4"
"""The last stage, where the paper's Grad-CAM is computed."""
SHARE, DRAWS, SEED = 0.2, 20, 1
"""Share of the frames that the check erases, its most random erasures, and their seed."""
RESAMPLES = 500
"""Bootstrap samples of the tracks, for the intervals of correlations."""
FEWEST_DRAWS = 19
"""Random erasures; with fewer, what passes the check is noted to mean little."""


class ExplainOptions(Options):
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
        What the score is of; see `ScoreOf`.
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

    heading: ClassVar[str] = "Explanation"

    method: Method | Literal["auto"] = setting(
        "auto",
        "auto: the finest that passes the check at the track's length (input-x-gradient, a score "
        "for each frame). gradcam: at the speed of classify, a score for every 32 frames.",
    )
    layer: Layer = setting(
        LAST, "Of gradcam and layercam: a score for every 4, 8, 16 or 32 frames."
    )
    class_name: str = setting(
        "", "Class to explain. Default: each track's most probable one.", metavar="CLASS"
    )
    against: str = setting(
        "",
        "Class of the contrast (column score_contrast). Default: the most probable other one.",
        metavar="CLASS",
    )
    of: ScoreOf = setting(
        "log-odds",
        "What a score is of: the class's log-odds, its probability (the paper's Eq. 1; the same "
        "ranking within a track), or its logit (the authors' code).",
    )
    draws: int = setting(
        DRAWS,
        "Most random erasures that each explanation is checked against, fewer where the case is "
        "clear; 0 for no check, which is twice as fast.",
        metavar="N",
        ge=0,
    )
    share: float = setting(
        SHARE,
        "Share of a track's frames that the check erases.",
        metavar="SHARE",
        gt=0,
        lt=1,
    )
    erase: Erasure = setting(
        "cut",
        "How the check erases frames: cut them out and join the rest, let the particle rest, or "
        "draw a straight line.",
    )
    seed: int = setting(SEED, "Of the check.", metavar="N", ge=0)

    @model_validator(mode="after")
    def _layer_of_a_method(self) -> ExplainOptions:
        if self.method == "auto" and self.layer != LAST:
            raise SptError(
                f"the layer is {self.layer!r} and the method 'auto', which chooses its own; "
                "expected a layer with 'gradcam' or 'layercam' only.",
                code="conflict",
                option="layer",
            )
        return self

    def notes(self) -> list[str]:
        """Return what to know of results that are got in this way."""
        if not 0 < self.draws < FEWEST_DRAWS:
            return []
        return [
            f"{option('draws')} is {self.draws}: of maps that point nowhere, 1 in {self.draws + 1} "
            f"passes such a check by chance. Expected {FEWEST_DRAWS} or more."
        ]
