"""A recipe of a relevance model: every number of a fit, read strictly from TOML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spt_explain.recipe_file import RecipeFile, Strict


class DataRecipe(Strict):
    """What clips and signal are."""

    scale: Literal["fluorescence", "field"] = Field(
        "fluorescence",
        description="Where 0 is: the background, or the mean of a field that swings about it.",
    )
    percentile: float = Field(99.5, gt=50, le=100, description="Share of pixels up to 1, in %.")
    per: Literal["clip", "frame"] = Field("clip", description="What has one set of values.")
    kind: Literal["number", "category"] = Field("number", description="What the signal is.")
    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of clips held out, whole movies or fields."
    )


class RegressorRecipe(Strict):
    """The regressor, which is the decoder of the mask too."""

    width: int = Field(8, ge=1, le=512, description="Channels at full resolution.")
    coordinates: bool = Field(True, description="Whether it sees where and when a pixel is.")
    norm: Literal["batch", "group"] = Field(
        "batch",
        description="By statistics of the training clips, or of each clip itself; with the latter, "
        "all that is bright in a clip takes part in each prediction.",
    )
    augment: Literal["none", "noise", "masks", "both"] = Field(
        "noise",
        description="What is done to the clips: noise up to that of the bottleneck and beyond, "
        "random masks (a regressor for Sensitivity-n), or both.",
    )
    noise_max: float = Field(
        0.5, ge=0, description="Largest standard deviation of that noise, in scaled units."
    )
    flips: bool = Field(
        False,
        description="Whether clips are mirrored and turned by chance, and maps are means over all "
        "mirrored and turned copies: for signals that stay the same then, as an area does and a "
        "force does not.",
    )
    learning_rate: float = Field(2e-3, gt=0, description="Peak rate of AdamW.")
    control_share: float = Field(
        0.5, gt=0, le=1, description="Steps of the control with shuffled signal, as a share."
    )
    min_r2: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Least R² on held-out clips, and least lead over the shuffled signal.",
    )


class MaskRecipe(Strict):
    """The mask and what bounds it."""

    bottleneck: Literal["fixed", "iba", "paper"] = Field("fixed", description="See bottleneck.py.")
    noise: float = Field(0.1, gt=0, description="s₀² of the fixed bottleneck, in scaled units.")
    width: int = Field(8, ge=1, le=512, description="Channels at full resolution.")
    opening: float = Field(0.8, gt=0, lt=1, description="M everywhere at the start.")
    price: float = Field(0.5, ge=0, description="Weight of mean(M²).")
    kl: float = Field(0.05, ge=0, description="Weight of the mean information of a pixel, nats.")
    sign: Literal["mended", "printed"] = Field(
        "mended", description="Sign of that term; as printed it has no lower bound (an ablation)."
    )
    keep_r2: float | None = Field(
        0.95,
        gt=0,
        le=1,
        description="Share of the regressor's own R² that the mask has to keep; none: weight of "
        "the prediction fixed at beta.",
    )
    beta: float = Field(
        0.3, ge=0, description="Weight of the prediction: at the start, or fixed without keep_r2."
    )
    control_rate: float = Field(
        0.05, gt=0, le=1, description="Largest step of the logarithm of that weight."
    )
    thaw: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Rate of the regressor beside the mask, as a share of its own; 0: frozen. So "
        "it learns to do without what carries nothing but was of use, as a yardstick or to tell "
        "objects apart; else that would stay in the mask.",
    )
    anchor: bool = Field(
        True, description="thaw: whether it is shown whole clips too, lest it collapse."
    )
    learning_rate: float = Field(0.015, gt=0, description="Peak rate of AdamW.")


class JudgeRecipe(Strict):
    """A copy of the regressor that learns to see clips with pixels missing.

    Of most clips those of least contribution, of the others random ones. It tells how much of the
    signal is left in some of the pixels: the sufficiency curve.
    """

    share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Steps, as a share of the regressor's; 0: the regressor judges.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Peak rate of AdamW.")


class ScheduleRecipe(Strict):
    """How long, how fast, and how many at a time."""

    minutes: float = Field(10.0, gt=0, description="Time of the whole fit.")
    regressor_steps: int | None = Field(None, gt=0, description="Steps, instead of minutes.")
    mask_steps: int | None = Field(None, gt=0, description="Steps, instead of minutes.")
    regressor_share: float = Field(
        0.4, gt=0, lt=1, description="Share of the minutes for the regressor and its control."
    )
    batch: int = Field(16, gt=0, description="Clips of a step.")
    weight_decay: float = Field(0.01, ge=0)
    warmup_share: float = Field(0.02, ge=0, lt=1, description="Share of a stage that warms up.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class RelevanceRecipe(RecipeFile):
    """Numbers of one fit; an unknown key in the file is an error."""

    name: str = "relevance"
    seed: int = Field(20261122, ge=0, lt=2**63)
    data: DataRecipe = Field(default_factory=lambda: DataRecipe())
    regressor: RegressorRecipe = Field(default_factory=lambda: RegressorRecipe())
    mask: MaskRecipe = Field(default_factory=lambda: MaskRecipe())
    judge: JudgeRecipe = Field(default_factory=lambda: JudgeRecipe())
    schedule: ScheduleRecipe = Field(default_factory=lambda: ScheduleRecipe())
