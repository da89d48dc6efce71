"""What a user may decide about each study, and about the tracks it is made of."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from pydantic import create_model

from spt_explain.core.config import Options, Several, setting
from spt_explain.explain.options import DRAWS, RESAMPLES, SHARE, ScoreOf
from spt_explain.studies.published import SENSITIVITY_THRESHOLD
from spt_explain.training.options import MOST_NOISE, PointRange, Points, SimulatedOptions

Explained = Literal["true", "predicted"]
"""Which class scores are for: the true one, as in the authors' program, or the network's verdict,
as in `explain`, which knows no other."""
ErasureProtocol = Literal["cut", "track", "paper"]
"""How a tenth of a track is erased; see `spt_explain.studies.protocols`."""
PROTOCOLS: tuple[ErasureProtocol, ...] = get_args(ErasureProtocol)
ErasedValue = Literal["corner", "origin"]
DEFAULT_PROTOCOLS: tuple[ErasureProtocol, ...] = ("cut", "paper")


def _tracks(default: str = "") -> Any:
    said = f"Tracks, the same number of each class.{default}"
    return setting(None, said, metavar="N", ge=1)


def _length(default: str = "") -> Any:
    said = f"Points of a simulated track, drawn uniformly.{default}"
    return setting(None, said, metavar="A-B")


class SourceOptions(SimulatedOptions):
    """Which tracks a study is made of.

    Attributes
    ----------
    tracks : int or None
        Simulated ones, the study's own number by default; of files, a random choice with the
        classes as even in number as can be, all by default.
    noise : float or None
        Localisation noise in units of the displacement's standard deviation (1/SNR): none by
        default. It is added to every position of files.
    length : Points or None
        Fewest and most points of simulated tracks; the study's own by default.
    even_lengths, exposure, missing
        Of simulated tracks; see `SimulatedOptions`.
    seed : int
        Seed of simulation, choice and noise.
    """

    tracks: int | None = _tracks()
    noise: float | None = setting(
        None,
        "Localisation noise on every position, 1/SNR: its standard deviation in units of that of "
        "one displacement along one axis. Default: none.",
        metavar="LEVEL",
        ge=0,
        le=MOST_NOISE,
    )
    length: PointRange | None = _length()  # type: ignore[assignment]  # or the study's own
    even_lengths: bool = setting(
        False,
        "Simulate as many tracks in each band of lengths (10-19, 20-49, 50-99, 100-199, 200-399, "
        "400-699, 700-1000 points).",
    )
    seed: int = setting(
        1,
        "Seed of simulation, choice, noise, and whatever else is drawn.",
        metavar="N",
        ge=0,
        lt=2**63,
    )


class TrackStudyOptions(Options):
    """What a user may decide about a study of tracks.

    Attributes
    ----------
    simulated : (int, Points)
        Number and points of the tracks that are simulated where nothing else is asked for.
    """

    heading: ClassVar[str] = "Study"
    simulated: ClassVar[tuple[int, Points]]

    @classmethod
    def source(cls) -> type[SourceOptions]:
        """Return the options of its tracks, which state their defaults."""
        tracks, length = cls.simulated
        number = f" Default: {tracks} simulated ones; all of {{data}}."
        return create_model(
            "SourceOptions",
            __base__=SourceOptions,
            tracks=(int | None, _tracks(number)),
            length=(PointRange | None, _length(f" Default: {length}.")),
        )


def _methods(default: str) -> Any:
    return setting(
        (),
        "Whose scores: input-x-gradient, gradcam:block1 … block4, layercam:block1 … block4, "
        "integrated-gradients, occlusion, or all. May be given several times. Default: "
        f"{default}.",
        metavar="METHOD",
    )


_EXPLAINED = (
    "Class that scores are for: the true one (the paper), or the network's verdict, as in explain."
)
_OF = "What scores are of."


class ScoreOptions(TrackStudyOptions):
    """Whose scores a study looks at.

    Attributes
    ----------
    methods : tuple of str or ScoreMethod
        ``gradcam:block1`` … ``block4``, ``layercam:…``, ``input-x-gradient``,
        ``integrated-gradients``, ``occlusion``, ``all``; Grad-CAM of the last block by default.
    explained : {"true", "predicted"}
        Which class scores are for.
    of : {"log-odds", "probability", "logit"}
        What they are of; the logit in the authors' program.
    """

    methods: Several[Any] = _methods("gradcam:block4")
    explained: Explained = setting("true", _EXPLAINED)
    of: ScoreOf = setting("logit", _OF)


class ErasureOptions(TrackStudyOptions):
    """How tenths of tracks are erased.

    Attributes
    ----------
    methods : tuple of str or ScoreMethod
        See `ScoreOptions`; all of them by default.
    explained : {"true", "predicted"} or None
        Which class scores are for; None for the predicted one for "cut", else the true one.
    of : {"log-odds", "probability", "logit"} or None
        What scores are of; None for log-odds for "cut", else the logit.
    protocols : tuple of {"cut", "track", "paper"}
        How to erase; see `spt_explain.studies.protocols`.
    value : {"corner", "origin"}
        Where erased positions lie; not for "cut".
    draws : int
        Random draws of the check of "cut"; 0 for no check.
    share : float
        Share of the frames that the check erases.
    """

    simulated: ClassVar[tuple[int, Points]] = (160, Points(10, 1000))

    methods: Several[Any] = _methods("all")
    explained: Explained | None = setting(
        None, f"{_EXPLAINED} Default: predicted for the protocol cut, else true."
    )
    of: ScoreOf | None = setting(None, f"{_OF} Default: log-odds for the protocol cut, else logit.")
    protocols: Several[ErasureProtocol] = setting(
        DEFAULT_PROTOCOLS,
        "cut: cut frames out and join the rest, as the check of explain does; paper: erase in the "
        "padded input, as the paper's program does; track: the same within trajectories alone. May "
        "be given several times.",
    )
    value: ErasedValue = setting(
        "corner",
        "Where erased positions lie (not for cut): the lowest point of both axes (the paper's "
        "program), or where the trajectory starts (the paper's text).",
    )
    draws: int = setting(
        DRAWS,
        "Random erasures of the check that decides how a method does (cut); 0 for no check.",
        metavar="N",
        ge=0,
    )
    share: float = setting(
        SHARE,
        "Share of the frames that it erases, above 0 and below 1.",
        metavar="SHARE",
        gt=0,
        lt=1,
    )


class SensitivityOptions(Options):
    """How the response of each node is measured.

    Attributes
    ----------
    every : int
        Change every so many frames.
    length : int
        Points of the track; at most the network's window.
    threshold : float
        Mean difference of a node's outputs that counts for ``above_threshold``.
    untrained : bool
        Measure an untrained network as well, as the authors' program does.
    seed : int
        Seed of its weights.
    """

    heading: ClassVar[str] = "Study"

    every: int = setting(
        1,
        "Change every so many frames: more is faster and coarser.",
        unit="frames",
        ge=1,
    )
    length: int = setting(1000, "Points of the trajectory.", unit="points", ge=2)
    threshold: float = setting(
        SENSITIVITY_THRESHOLD,
        "Mean change of a node's output that counts in the paper's measure.",
        metavar="CHANGE",
    )
    untrained: bool = setting(
        True,
        "Measure a network with random weights as well, as the paper's program does.",
    )
    seed: int = setting(1, "Seed of those weights.", metavar="N")


class EmbeddingOptions(TrackStudyOptions):
    """How tracks are mapped.

    Attributes
    ----------
    neighbours : int
        Nearest neighbours that are looked at.
    perplexity : float
        Of t-SNE: about how many neighbours count.
    maps : bool
        Make the maps; numbers alone are much faster.
    """

    simulated: ClassVar[tuple[int, Points]] = (2000, Points(1000, 1000))

    neighbours: int = setting(
        15, "Nearest neighbours of each track that are looked at.", metavar="K", ge=1
    )
    perplexity: float = setting(
        30.0, "Of t-SNE: about how many neighbours count.", metavar="N", ge=1
    )
    maps: bool = setting(True, "Make the maps, or the numbers alone.")


class CorrelationOptions(ScoreOptions):
    """How scores are correlated with statistics; also see `ScoreOptions`.

    Attributes
    ----------
    statistics : {"code", "paper"}
        As the authors' program computes them, which Fig. 7 shows, or as the equations say.
    resamples : int
        Bootstrap samples of the tracks, for the intervals; 0 for none.
    """

    simulated: ClassVar[tuple[int, Points]] = (400, Points(1000, 1000))

    statistics: Literal["code", "paper"] = setting(
        "code",
        "AC, CS, NG, SG and VD as the paper's program computes them, which Fig. 7 shows, or as its "
        "equations say.",
    )
    resamples: int = setting(
        RESAMPLES, "Bootstrap samples for the intervals; 0 for none.", metavar="N", ge=0
    )


class GalleryOptions(ScoreOptions):
    """Which tracks are drawn; also see `ScoreOptions`.

    With ``explained`` "predicted", remarks are of tracks told right alone.

    Attributes
    ----------
    samples : int
        Tracks of each class that are kept to be drawn: chosen at random from those told right.
    """

    simulated: ClassVar[tuple[int, Points]] = (400, Points(1000, 1000))

    samples: int = setting(
        3,
        "Tracks of each class that are drawn: chosen at random from those told right.",
        metavar="N",
        ge=0,
    )
