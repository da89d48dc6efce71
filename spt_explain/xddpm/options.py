"""What a user may decide about relevance models: fitting, explaining, generating, evaluating."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from spt_explain.core.config import Options, setting
from spt_explain.tracks.units import UnitOptions
from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.recipe import RelevanceRecipe

Definition = Literal["textbook", "paper"]
Sampler = Literal["dpm-solver", "ddim", "ddpm", "paper", "clip"]
Device = Literal["auto", "cuda", "cpu"]
FigureFormat = Literal["png", "svg", "pdf"]

GENERATOR_CLIPS = 4096
"""Clips that a generator learns from, at most: it gains from more than a map does."""
_DEVICE = "Where the networks run; auto takes the GPU if it can be used."


class MovieOptions(UnitOptions):
    """How movies are read.

    Attributes
    ----------
    channel : int or None
        Which channel is read, counted from 1; see `spt_explain.movies.stack.Stack`.
    z : {"max", "mean"}, int or None
        What is made of planes of depth.
    """

    heading: ClassVar[str] = "Movies"

    channel: int | None = setting(
        None,
        "Which channel is read, counted from 1 as in Fiji. Default: the first; for explain, that "
        "of the fit.",
        metavar="N",
        ge=1,
    )
    z: Literal["max", "mean"] | Annotated[int, Field(ge=1)] | None = setting(
        None,
        "Of several planes of depth: the brightest value, the mean, or one plane, counted from 1. "
        "Default: max; for explain, that of the fit.",
        expects="max, mean or the number of a plane, from 1",
    )


class ClipOptions(MovieOptions):
    """How clips are cut from movies, and what their signal is.

    Attributes
    ----------
    tile : int or None
        Side of the tiles that frames are cut into, px after binning; 0 for whole frames. None: 32
        for a measured signal (whole frames where two tiles don't fit side by side), whole frames
        for one from a table.
    frames : int
        Frames of a clip.
    stride : int or None
        Frames from the start of a clip to that of the next. None: clips don't overlap, unless they
        would be few.
    bin : int or "auto"
        Squares of so many pixels a side are averaged to one; "auto": tiles are not binned, whole
        frames are to at most 64 px a side.
    per : {"auto", "clip", "frame"}
        What has one set of values; "auto": frames where the signal has one for each. With "clip",
        the mean (of categories the most frequent) over the clip is taken.
    kind : {"auto", "number", "category"}
        What the signal is; "auto": a table's column of text is a category.
    most_clips : int
        Clips at most; evenly from all movies, and no more than a quarter with nothing in them.
    """

    heading: ClassVar[str] = "Signal and clips"

    tile: int | None = setting(
        None,
        "Side of the tiles that frames are cut into; 0: whole frames. Default: 32 for a measured "
        "signal; whole frames for a table, as its values belong to whole frames.",
        unit="pixels",
        metavar="PX",
        ge=0,
    )
    frames: int = setting(20, "Frames of a clip.", unit="frames", metavar="N", ge=1)
    stride: int | None = setting(
        None,
        "Frames from the start of a clip to that of the next. Default: clips don't overlap, unless "
        "they would be few.",
        unit="frames",
        metavar="N",
        ge=1,
    )
    bin: Literal["auto"] | Annotated[int, Field(ge=1)] = setting(
        "auto",
        "Squares of N × N pixels are averaged to one. auto: whole frames to 64 px a side at most, "
        "tiles not at all.",
    )
    per: Literal["auto", "clip", "frame"] = setting(
        "auto", "Whether each clip or each frame has a value. auto: as the signal comes."
    )
    kind: Literal["auto", "number", "category"] = setting(
        "auto", "What the signal is. auto: text is a category."
    )
    most_clips: int = setting(
        1024,
        "Clips that are learnt from; more are thinned out evenly.",
        unit="clips",
        metavar="N",
        ge=2,
    )


class RelevanceFitOptions(ClipOptions):
    """How a relevance model is fitted.

    Attributes
    ----------
    recipe : str, pathlib.Path, RelevanceRecipe or None
        Name of a shipped recipe, a TOML file, or a recipe; None for the shipped ``default``.
    minutes : float or None
        Time of the fit, instead of the recipe's.
    generator : bool
        Whether the diffusion model is fitted as well, after the mask.
    generator_recipe : str, pathlib.Path, GeneratorRecipe or None
        Its recipe.
    generator_minutes : float or None
        Time of its fit, instead of the recipe's.
    device : {"auto", "cuda", "cpu"}
        Where the networks run.
    seed : int or None
        Instead of the recipe's.
    resume : bool
        Go on with the unfinished fit in the output folder.
    """

    heading: ClassVar[str] = "Fit"

    recipe: str | Path | RelevanceRecipe | None = setting(
        None,
        "Every number of the fit (TOML): the name of a recipe that ships, or a file of yours. "
        "Default: default.",
        metavar="NAME|FILE",
    )
    minutes: float | None = setting(
        None,
        "Time of the fit; the learning rate is annealed over it. Default: as the recipe says.",
        unit="minutes",
        metavar="M",
        gt=0,
    )
    generator: bool = setting(False, "Also fit the diffusion model, for generate.")
    generator_recipe: str | Path | GeneratorRecipe | None = setting(
        None, "Its numbers (TOML). Default: default.", metavar="NAME|FILE"
    )
    generator_minutes: float | None = setting(
        None,
        "Time of its fit. Default: as its recipe says (20); hours on a CPU for good samples.",
        unit="minutes",
        metavar="M",
        gt=0,
    )
    device: Device = setting("auto", _DEVICE)
    seed: int | None = setting(
        None, "Of everything. Default: that in the recipe.", metavar="N", ge=0, le=2**63 - 1
    )
    resume: bool = setting(False, "Go on with the fit in the output folder that was interrupted.")


class RelevanceExplainOptions(MovieOptions):
    """What is asked of a relevance model about a movie.

    Attributes
    ----------
    signal : str or pathlib.Path
        A table with the signal of this movie, or what is measured from it; ``"auto"``: what the
        model was fitted to, where that can be measured; ``"none"``.
    overlap : float
        Least share that neighbouring tiles have in common, from 0 to 0.9.
    batch_size : int
        Tiles at a time.
    plot : bool
        Whether figures are drawn.
    figure_formats : tuple of {"png", "svg", "pdf"}
        Of the figures.
    animation : {"gif", "mp4", "none"}
        Kind of the animated overlay; MP4 needs the program ffmpeg.
    device : {"auto", "cuda", "cpu"}
        Where the networks run.
    seed : int
        Of what the checks draw.
    """

    heading: ClassVar[str] = "Relevance"

    signal: str | Path = setting(
        "auto",
        "The signal of this movie, to set beside the prediction: as for fit. auto: what the model "
        "was fitted to, where this movie has it.",
        metavar="auto|none|FILE|area|…",
    )
    overlap: float = setting(
        0.5,
        "Least share that neighbouring tiles have in common, 0 to 0.9, in space and time. Less is "
        "faster.",
        metavar="SHARE",
        ge=0,
        le=0.9,
    )
    batch_size: int = setting(32, "Tiles at a time.", unit="tiles", metavar="N", ge=1)
    plot: bool = setting(True, "Draw figures, or only tables.", off="no_plot")
    figure_formats: tuple[FigureFormat, ...] = setting(
        ("png",), "Format of the figures; may be given several times."
    )
    animation: Literal["gif", "mp4", "none"] = setting(
        "gif", "Kind of the animated overlay; mp4 needs the program ffmpeg."
    )
    device: Device = setting("auto", _DEVICE)
    seed: int = setting(0, "Of what the checks draw.", metavar="N", ge=0)


class RelevanceGenerateOptions(Options):
    """How samples are drawn, and the generator is fitted first where movies are given.

    Attributes
    ----------
    n : int
        Number of samples.
    sampler : str or None
        None: dpm-solver, or ddpm for a generator with the objective eps-mask. "paper" and "clip"
        are Eq. 11 of the paper as printed, and with its estimate clipped; for comparison.
    steps : int or None
        Of the sampler; None: 100 for dpm-solver and ddim, all of the chain otherwise.
    recipe : str, pathlib.Path, GeneratorRecipe or None
        Of the fit.
    minutes : float or None
        Of the fit, instead of the recipe's.
    most_clips : int
        Clips that it learns from; more are thinned out evenly.
    resume : bool
        Go on with an unfinished fit of the generator.
    device : {"auto", "cuda", "cpu"}
        Where the networks run.
    batch_size : int
        Samples at a time.
    seed : int
        Of the samples.
    plot : bool
        Whether a sheet of some samples is drawn (``samples.png``).
    """

    heading: ClassVar[str] = "Samples"

    n: int = setting(64, "Number of samples.", unit="samples", metavar="N", ge=1, le=9_999)
    sampler: Sampler | None = setting(
        None,
        "dpm-solver: DPM-Solver++, deterministic. ddim: the same of the first order. ddpm: "
        "ancestral. paper, clip: Eq. 11 of the paper as printed, or clipped; for comparison. "
        "Default: dpm-solver, or ddpm for the objective eps-mask.",
    )
    steps: int | None = setting(
        None,
        "Steps of the sampler. Default: 100 for dpm-solver and ddim, else the chain's (1000).",
        unit="steps",
        metavar="N",
        ge=1,
    )
    recipe: str | Path | GeneratorRecipe | None = setting(
        None,
        "Numbers of that fit (TOML): the name of a recipe that ships, or a file of yours. Default: "
        "default; 62 M parameters on a GPU, 4 M on a CPU.",
        metavar="NAME|FILE",
    )
    minutes: float | None = setting(
        None, "Time of that fit. Default: the recipe's (20).", unit="minutes", metavar="M", gt=0
    )
    most_clips: int = setting(
        GENERATOR_CLIPS,
        "Clips that it learns from; more are thinned out evenly.",
        unit="clips",
        metavar="N",
        ge=2,
    )
    resume: bool = setting(False, "Go on with a fit that was interrupted.")
    device: Device = setting("auto", _DEVICE)
    batch_size: int = setting(
        64, "Samples at a time.", unit="samples", metavar="N", ge=1, le=100_000
    )
    seed: int = setting(
        1,
        "Of the samples; that of the fit is in the recipe.",
        metavar="N",
        ge=0,
        le=2**63 - 1,
    )
    plot: bool = setting(False, "Also draw a sheet of some samples.")


class RelevanceEvaluateOptions(Options):
    """What is measured of relevance maps, beside what.

    Attributes
    ----------
    signal : str, pathlib.Path or None
        As for ``fit``; None: what the model was fitted to, from the table beside the movies.
    truth : str, pathlib.Path or None
        Folder of masks with the movies' names, not 0 where a pixel carries the signal; None: what
        ``simulate`` put beside the movies.
    baselines : bool
        Whether the seven methods of the paper are measured as well, on the models' regressors.
    definition : {"textbook", "paper"}
        Of the baselines; see `spt_explain.xddpm.evaluate.baselines`.
    yardstick : str, pathlib.Path or None
        A model fitted with the recipe ``yardstick``, for ``sensitivity_n``, insertion and deletion;
        None: such a regressor is fitted here.
    yardstick_steps : int
        Steps of that fit.
    subsets : int
        Random sets of pixels of each clip, for Sensitivity-n.
    curves : bool
        Whether pixels are inserted and deleted.
    encoding : bool
        Whether to test if masks alone predict the signal.
    published : bool
        Put the paper's Table 1 beside it, where movies and signal are its own.
    most_clips : int
        Clips at most; more are thinned out evenly.
    formats : tuple of {"png", "svg", "pdf"}
        Of the figure; none: no figure.
    device : {"auto", "cuda", "cpu"}
        Where the networks run.
    seed : int
        Of what is drawn.
    """

    heading: ClassVar[str] = "Evaluation"

    signal: str | Path | None = setting(
        None,
        "As for fit. Default: what the model was fitted to, from a table beside the movies.",
        metavar="FILE|FILE:COLUMN|area|…",
    )
    truth: str | Path | None = setting(
        None,
        "Masks with the movies' names, not 0 where a pixel carries the signal. Default: what "
        "spt-explain simulate put beside the movies; without it what needs no truth is measured.",
        metavar="FOLDER",
    )
    baselines: bool = setting(
        True,
        "Measure the seven methods of the paper as well, on the models' regressors.",
        off="no_baselines",
    )
    definition: Definition = setting(
        "textbook", "Of these methods: as in the literature, or Eqs. 24-30 of the paper."
    )
    yardstick: str | Path | None = setting(
        None,
        "A model fitted with {recipe:yardstick}, which is asked about missing pixels. Default: "
        "such a regressor is fitted here, to half of the movies (of 120 at least).",
        metavar="FOLDER",
    )
    yardstick_steps: int = setting(1500, "Steps of that fit.", unit="steps", metavar="N", ge=1)
    subsets: int = setting(
        200,
        "Random sets of half of the pixels of each clip, for Sensitivity-n.",
        unit="sets",
        metavar="N",
        ge=3,
    )
    curves: bool = setting(True, "Insert and delete pixels.", off="no_curves")
    encoding: bool = setting(True, "Test if masks alone predict the signal.", off="no_encoding")
    published: bool = setting(
        False,
        "Put the paper's Table 1 beside it (tension and wetting, area and circumference).",
    )
    most_clips: int = setting(
        400,
        "Clips at most, half of them to choose thresholds by; more are thinned out evenly.",
        unit="clips",
        metavar="N",
        ge=8,
    )
    formats: tuple[FigureFormat, ...] = setting(
        ("png", "svg"), "Format of the figures; may be given several times."
    )
    device: Device = setting("auto", _DEVICE)
    seed: int = setting(
        0,
        "Of what is drawn: halves of the movies, sets of pixels, noise.",
        metavar="N",
        ge=0,
    )
