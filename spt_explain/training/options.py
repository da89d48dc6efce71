"""What a user may decide about training, and about the tracks that a network is tested on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import PlainValidator, ValidationInfo

from spt_explain.core.config import Options, Several, setting
from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Iterable

Augment = Literal["none", "random", "gradcam"]
File = str | Path
LONGEST = 100_000
"""Most points of a simulated track."""
MOST_NOISE = 1000.0
"""Largest noise that is added, 1/SNR."""

_POINTS = re.compile(r"\s*(\d{1,9})\s*(?:(?:-|–|\.\.)\s*(\d{1,9}))?\s*")


class Points(NamedTuple):
    """Fewest and most points of a track."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}" if self.low < self.high else f"{self.low}"


def _points(value: str | tuple[int, int], info: ValidationInfo) -> Points:
    """Take two numbers, ``"10-1000"`` or ``"1000"``."""
    name = info.field_name or ""
    found = _POINTS.fullmatch(value) if isinstance(value, str) else None
    try:
        low, high = (int(end) for end in ((found[1], found[2] or found[1]) if found else value))
    except (TypeError, ValueError):
        raise SptError(
            f"{option(name, value)} was not understood; expected one whole number of points, or "
            f"two with a hyphen between them, e.g. {option(name, '10-1000')}.",
            option=name,
        ) from None
    if not 2 <= low <= high <= LONGEST:
        raise SptError(
            f"{option(name, f'{low}-{high}')}: expected A-B with 2 ≤ A ≤ B ≤ {LONGEST:,} points, "
            f"e.g. {option(name, '20-50')}.",
            option=name,
        )
    return Points(low, high)


def _levels(value: str | Iterable[float], info: ValidationInfo) -> tuple[float, ...]:
    """Take numbers, or ``"0,0.5,1"``; return them in ascending order, each once."""
    name = info.field_name or ""
    try:
        given = value.split(",") if isinstance(value, str) else value
        levels = sorted({round(float(level), 6) + 0.0 for level in given})
    except (TypeError, ValueError):
        levels = [float("nan")]
    if not all(0 <= level <= MOST_NOISE for level in levels):
        said = value if isinstance(value, str) else ",".join(f"{level:g}" for level in levels)
        raise SptError(
            f"{option(name, said or repr(said))}: expected levels from 0 to {MOST_NOISE:g} with "
            "commas between them, in units of the displacement's standard deviation (1/SNR), e.g. "
            f"{option(name, '0,0.5,1')}.",
            option=name,
        )
    return tuple(levels)


PointRange = Annotated[tuple[int, int], PlainValidator(_points)]
Levels = Annotated[tuple[float, ...], PlainValidator(_levels)]


class LabelledOptions(Options):
    """Files of labelled tracks.

    Attributes
    ----------
    data : tuple of str or pathlib.Path
        Files, folders or globs; none for simulated tracks.
    label_column : str
        Column with the class names.
    columns : tuple of str
        Names of the other columns, ``"particle=Track,x=X"``.
    """

    heading: ClassVar[str] = "Tracks"

    data: Several[File] = setting(
        (),
        "Labelled tracks: any table that classify reads, with a column of class names; or an .npz "
        "of positions, offsets and label. May be given several times; a folder, a glob or - too. "
        "Default: simulated.",
        metavar="FILE",
    )
    label_column: str = setting("class", "Column of {data} with the class names.", metavar="NAME")
    columns: Several[str] = setting(
        (),
        "Column names of {data} (or numbers, from 1) for particle, frame, x, y or t. Default: "
        "found by name.",
        metavar="ROLE=NAME,…",
    )


class TestData(LabelledOptions):
    """Files of labelled tracks that a network is tested on; see `LabelledOptions`."""

    __test__: ClassVar[bool] = False  # not a test of pytest's

    data: Several[File] = setting(
        (),
        "Labelled tracks: any table that classify reads, with a column of class names and, if "
        "known, columns alpha and noise (1/SNR); or an .npz of positions, offsets and label. May "
        "be given several times; a folder, a glob or - too. Default: simulated by the paper's "
        "protocol.",
        metavar="FILE",
    )


class SimulatedOptions(Options):
    """How tracks of the eight classes are simulated.

    The defaults are those of Bae, Baek & Jeong: lengths uniform in 10–1000 points, exponents
    uniform in 0.1–0.9 (sub) and 1.1–1.9 (super), displacements of unit standard deviation per
    axis. Tracks without any motion are drawn again.

    Attributes
    ----------
    length : Points
        Fewest and most points; lengths are uniform between them.
    even_lengths : bool
        As many tracks in every band of lengths (10–19, 20–49, 50–99, 100–199, 200–399, 400–699,
        700–1000) instead.
    exposure : float
        Share of the frame that the shutter is open (motion blur).
    missing : float
        Probability that a frame is missed; missed frames are filled by lines, as `classify` does.
    seed : int
        Seed of everything.
    """

    heading: ClassVar[str] = "Tracks"

    length: PointRange = setting(
        Points(10, 1000), "Points of a simulated track, drawn uniformly.", metavar="A-B"
    )
    even_lengths: bool = setting(
        False,
        "Simulate as many tracks in each band of lengths (10-19, 20-49, 50-99, 100-199, 200-399, "
        "400-699, 700-1000 points), for errors that are alike in all bands.",
    )
    exposure: float = setting(
        0.0,
        "Motion blur of simulated tracks: share of the frame, 0 to 1, that the shutter is open.",
        metavar="SHARE",
        ge=0,
        le=1,
    )
    missing: float = setting(
        0.0,
        "Share of the frames of simulated tracks that are missed, and filled by lines.",
        metavar="SHARE",
        ge=0,
        lt=1,
    )
    seed: int = setting(1, "Seed of simulation, choice and noise.", metavar="N", ge=0, lt=2**63)


class EvaluateOptions(SimulatedOptions):
    """What a network is tested on.

    Attributes
    ----------
    tracks : int or None
        Tracks at each noise level: simulated, 1000 by default; of files, a random choice with the
        classes as even in number as can be, all by default.
    noise : tuple of float or None
        Noise levels, in units of the displacement's standard deviation (1/SNR). Simulated: the
        paper's by default, 0, 0.1 … 1, each with tracks of its own. Of files: added to every
        position, the same tracks at each level; by default none is added.
    length, even_lengths, exposure, missing, seed
        See `SimulatedOptions`.
    """

    tracks: int | None = setting(
        None,
        "Tracks at each noise level, the same number of each class. Default: 1000 simulated ones, "
        "11,000 at all levels together, which two CPU cores classify in two to three minutes; all "
        "of {data}.",
        metavar="N",
        ge=1,
    )
    noise: Levels | None = setting(
        None,
        "Localisation noise on every position, 1/SNR: its standard deviation in units of that of "
        "one displacement along one axis. Default: 0,0.1,…,1 (the paper's); none added to {data}.",
        metavar="LEVELS",
    )


class RetrainOptions(Options):
    """How weights are trained.

    Attributes
    ----------
    recipe : str, pathlib.Path or None
        Name of a recipe that ships, or a TOML file. None: ``default`` on a GPU and ``quick`` on
        the CPU, for five minutes.
    name : str or None
        Name of the weights; that in the recipe by default.
    augment : {"none", "random", "gradcam"} or None
        How a fixed data set is augmented; as the recipe says by default.
    minutes : float or None
        Training time, over which the learning rate is annealed.
    epochs : int or None
        Most epochs on a fixed data set.
    start : str, pathlib.Path or None
        ``"scratch"``, ``"shipped"`` or the name of weights; as the recipe says by default.
    data : tuple of str or pathlib.Path
        Labelled tracks to train on instead of simulated ones.
    label_column : str
        Their column of class names.
    device : {"auto", "cuda", "cpu"}
        Where the training runs.
    seed : int or None
        Seed of everything; that in the recipe by default.
    resume : bool
        Go on with the run of that name that was interrupted.
    """

    heading: ClassVar[str] = "Training"

    recipe: File | None = setting(
        None,
        "What to train and on what (TOML): default, small, quick, quick-augmented, resandi-paper, "
        "resandi-paper-random, resandi-paper-gradcam, or a file of yours. Default: default on a "
        "GPU, quick on the CPU, for 5 minutes.",
        metavar="NAME|FILE",
    )
    name: str | None = setting(
        None, "Name of the weights. Default: that in the recipe.", metavar="NAME"
    )
    augment: Augment | None = setting(
        None,
        "Recipes with a fixed data set: add a turned copy of 60 % of it, chosen at random or by "
        "mean Grad-CAM score. Default: as the recipe says.",
    )
    minutes: float | None = setting(
        None,
        "Training time. The learning rate is annealed over it, so it always ends in a finished "
        "network. Default: as the recipe says; 5 without a recipe.",
        metavar="M",
        gt=0,
        lt=1e6,
    )
    epochs: int | None = setting(
        None,
        "Recipes with a fixed data set: most passes over it. Default: as the recipe says.",
        metavar="N",
        ge=1,
    )
    start: File | None = setting(
        None,
        "Weights to begin with: the shipped ones of the recipe's shape, none, or those of a name. "
        "Default: as the recipe says.",
        metavar="shipped|scratch|NAME",
    )
    data: Several[File] = setting(
        (),
        "Labelled tracks to train on instead of simulated ones: a table with a column of class "
        "names.",
        metavar="FILE",
    )
    label_column: str = setting("class", "Column of {data} with the class names.", metavar="NAME")
    device: Literal["auto", "cuda", "cpu"] = setting(
        "auto",
        "Where it is trained. Several GPUs: torchrun {nproc_per_node:N} -m spt_explain retrain …",
    )
    seed: int | None = setting(None, "Of everything. Default: that in the recipe.", metavar="N")
    resume: bool = setting(False, "Go on with the run of that name that was interrupted.")


class MatchOptions(Options):
    """Recordings that simulated tracks are made like.

    Attributes
    ----------
    match : tuple of str or pathlib.Path
        Files, folders or globs.
    columns : tuple of str
        Names of their columns, ``"particle=Track,x=X"``.
    """

    heading: ClassVar[str] = "Training"

    match: Several[File] = setting(
        (),
        "Tracks of yours (any file, folder or glob that classify reads): simulated tracks get "
        "their lengths, gaps and noise. May be given several times.",
        metavar="FILE",
    )
    columns: Several[str] = setting(
        (),
        "Column names in {match} for particle, frame, x, y or t. Default: found by name.",
        metavar="ROLE=NAME,…",
    )
