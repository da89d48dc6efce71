"""A training recipe: every number that makes a set of weights, read strictly from TOML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from spt_explain.recipe_file import RecipeFile, Strict
from spt_explain.resandi.architecture import Architecture

ALPHA_LEVELS = (0.05, 0.5, 0.95)


class NetworkRecipe(Strict):
    """Shape of the network; see `spt_explain.resandi.architecture.Architecture`."""

    inputs: Literal["positions", "positions+displacements"] = Field(
        "positions+displacements", description="Input series."
    )
    width: int = Field(64, gt=0, description="Channels of the first stage; 64 as published.")
    padding: Literal["start", "masked"] = Field(
        "masked", description="start as published, or masked, which allows several lengths."
    )
    margin: int = Field(
        0, ge=0, description="masked: points before a trajectory that feature maps may use."
    )
    window: int = Field(1000, ge=64, description="Most points of a trajectory.")
    lengths: tuple[int, ...] = Field(
        (64, 128, 256, 512, 1024), description="Points that inputs are padded to when it is used."
    )
    alpha: bool = Field(True, description="Whether it tells the anomalous exponent as well.")
    noise_edges: tuple[float, ...] = Field(
        (),
        description="Edges between levels of noise (1/SNR) that it tells jointly with the class.",
    )
    exposure_edges: tuple[float, ...] = Field(
        (), description="Edges between levels of exposure (share of the frame), likewise."
    )


class DataRecipe(Strict):
    """The trajectories that are simulated for training, and what a microscope does to them."""

    min_points: int = Field(10, ge=3, description="Shortest trajectory.")
    noise_max: float = Field(
        1.2, ge=0, description="Largest noise, in standard deviations of the displacement (1/SNR)."
    )
    noise_power: float = Field(
        1.0, gt=0, description="Noise is noise_max times a uniform number to this power."
    )
    clean_share: float = Field(0.25, ge=0, le=1, description="Share of them without noise.")
    anisotropy_share: float = Field(
        0.1, ge=0, le=1, description="Share whose noise differs between x and y."
    )
    anisotropy_max: float = Field(2.0, ge=1, description="Largest ratio of the two.")
    gap_share: float = Field(0.25, ge=0, le=1, description="Share that miss frames, filled.")
    gap_max: float = Field(0.15, ge=0, lt=1, description="Largest share of frames missed.")
    blur_share: float = Field(
        0.2, ge=0, le=1, description="Share with motion blur, over a share of the frame in 0…1."
    )
    pool_steps: int = Field(96, gt=0, description="Steps that trajectories are simulated for.")
    reuse: int = Field(3, gt=0, description="Times that each is used, turned and disturbed anew.")


class ScheduleRecipe(Strict):
    """How long, how fast, and how many at a time."""

    minutes: float = Field(8.0, gt=0, description="Training time; the rate is annealed over it.")
    steps: int | None = Field(None, gt=0, description="Steps, instead of minutes.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak rate of AdamW, annealed to 0.")
    weight_decay: float = Field(0.01, ge=0)
    warmup_share: float = Field(0.01, ge=0, lt=1, description="Share of the run that warms up.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    alpha_weight: float = Field(0.5, ge=0, description="Weight of the loss of the exponent.")


class FixedRecipe(Strict):
    """Training on a fixed data set in epochs, as the paper does; see `training.epochs`.

    The defaults are the published protocol (Bae, Baek & Jeong, supplement B; delta and the most
    epochs from the authors' code). The optimiser is Adam.
    """

    trajectories: int = Field(400_000, gt=0, description="Trajectories of the training set.")
    validation: int = Field(
        80_000, gt=0, description="Trajectories of the validation set; of a file, the same share."
    )
    batch_size: int = Field(64, gt=0, description="Trajectories of a step.")
    learning_rate: float = Field(1e-4, gt=0, description="Rate of Adam at the start.")
    halve_every: int = Field(10, gt=0, description="Epochs after which the rate is halved.")
    patience: int = Field(10, gt=0, description="Epochs without an improvement before it stops.")
    delta: float = Field(
        0.001, ge=0, description="Fall of the validation loss that counts as an improvement."
    )
    epochs: int = Field(100, gt=0, description="Most epochs.")
    minutes: float | None = Field(
        None,
        gt=0,
        description="Training time: the rate is annealed over it, and no lack of improvement stops "
        "it early; not more than the epochs either way.",
    )
    augment: Literal["none", "random", "gradcam"] = Field(
        "none",
        description="Which trajectories of each class are added a second time, transformed: none, "
        "some at random, or those of the highest mean Grad-CAM score.",
    )
    augment_share: float = Field(0.6, gt=0, le=1, description="Share of each class.")
    augment_by: tuple[Literal["rotation", "blur", "noise", "gaps"], ...] = Field(
        ("rotation",), min_length=1, description="What is done to each copy, one after the other."
    )
    augment_repeats: bool = Field(
        False, description="random: whether one trajectory may be taken several times."
    )
    augment_noise_max: float = Field(
        1.0, ge=0, description="Largest noise of a copy, in its displacements' deviation (1/SNR)."
    )
    augment_gap_max: float = Field(
        0.15, ge=0, lt=1, description="Largest share of frames a copy misses."
    )
    score_of: Literal["logit", "probability"] = Field(
        "logit", description="gradcam: the output whose gradient weighs the feature maps."
    )
    score_trajectories: int | None = Field(
        None,
        gt=0,
        description="gradcam: trajectories that the scoring network is trained on, those of the "
        "training set among them; the training set alone by default.",
    )
    bf16: bool = Field(False, description="Whether a GPU computes in bfloat16.")

    @model_validator(mode="after")
    def _fits(self) -> FixedRecipe:
        for name in ("trajectories", "validation", "score_trajectories"):
            value = getattr(self, name)
            if value is not None and value % 8:
                raise ValueError(f"{name} is {value}; expected a multiple of 8 classes")
        if self.score_trajectories is not None and self.score_trajectories < self.trajectories:
            raise ValueError(
                f"score_trajectories is {self.score_trajectories}; expected at least the "
                f"{self.trajectories} of the training set, which are among them"
            )
        if len(set(self.augment_by)) != len(self.augment_by):
            raise ValueError("augment_by names the same thing twice")
        return self

    def describe(self, *, simulated: bool = True) -> str:
        """Return what will be done, in one line; `simulated`: not with a file of the user's."""
        parts = []
        if simulated:
            parts.append(
                f"{self.trajectories:,} simulated trajectories, {self.validation:,} to validate"
            )
        if self.augment != "none":
            how = "at random" if self.augment == "random" else "by Grad-CAM score"
            parts.append(
                f"{100 * self.augment_share:g} % of them once more ({', '.join(self.augment_by)}), "
                f"chosen {how}"
            )
        if self.augment == "gradcam":
            parts.append("by a network that is trained first")
        end = f"at most {self.epochs} epochs"
        if self.minutes:
            end = f"{self.minutes:g} minutes or {self.epochs} epochs"
        parts.append(f"batches of {self.batch_size}, {end}")
        return "; ".join(parts)


class Recipe(RecipeFile):
    """Numbers of one training run; an unknown key in the file is an error."""

    name: str = Field(description="Name of the weights it makes.")
    seed: int = 20261122
    start: Literal["scratch", "shipped"] = Field(
        "scratch", description="From random parameters, or from shipped ones of the same shape."
    )
    network: NetworkRecipe = Field(default_factory=lambda: NetworkRecipe())
    data: DataRecipe = Field(default_factory=lambda: DataRecipe())
    schedule: ScheduleRecipe = Field(default_factory=lambda: ScheduleRecipe())
    batch: dict[int, int] = Field(
        {64: 256, 128: 192, 256: 256, 512: 320, 768: 288, 1024: 288},
        description="Trajectories of a step for each padded length; their lengths are uniform "
        "between the padded length before, less the margin, and this one, up to the window.",
    )
    fixed: FixedRecipe | None = Field(
        None, description="A fixed data set in epochs, instead of fresh trajectories without end."
    )

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        lengths = sorted(self.batch)
        if not lengths or lengths[-1] != self.network.lengths[-1]:
            raise ValueError(
                f"[batch] ends at {lengths[-1:]}; expected the longest of network.lengths, "
                f"{self.network.lengths[-1]}"
            )
        if lengths[0] <= self.data.min_points:
            raise ValueError("[batch] has a length that is not above data.min_points")
        if any(n < 8 or n % 8 for n in self.batch.values()):
            raise ValueError("[batch] needs multiples of 8 trajectories: eight classes alike")
        if self.network.padding == "start" and lengths != list(self.network.lengths):
            raise ValueError("padding = 'start' needs the same single length in [batch]")
        self.architecture  # noqa: B018 - raises where the network makes no sense
        return self

    @property
    def architecture(self) -> Architecture:
        """Shape of the network."""
        return Architecture(
            inputs=self.network.inputs,
            width=self.network.width,
            window=self.network.window,
            padding=self.network.padding,
            margin=self.network.margin,
            lengths=self.network.lengths,
            alpha_levels=ALPHA_LEVELS if self.network.alpha else (),
            noise_edges=self.network.noise_edges,
            exposure_edges=self.network.exposure_edges,
        )

    @property
    def batch_size(self) -> int:
        """Trajectories of a step."""
        return sum(self.batch.values())
