"""A recipe of a relevance model of tracks: every number of a fit, read strictly from TOML."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError

from spt_explain.errors import SptError, option
from spt_explain.recipe_file import RecipeFile, Strict
from spt_explain.xddpm.recipe import ScheduleRecipe


class TrackDataRecipe(Strict):
    """What tracks and signal are."""

    scale: Literal["track", "axis", "all"] = Field(
        "track",
        description="What a displacement of 1 is: the root mean square of the track's own, or of "
        "its own along each axis (as the classifier takes them), or of all tracks to train on, "
        "which keeps their sizes: for signals such as D.",
    )
    kind: Literal["auto", "number", "category"] = Field("auto", description="What the signal is.")
    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of tracks held out; whole files where there are more."
    )
    longest: int = Field(
        1000, ge=16, le=4096, description="Displacements seen at a time; more are cut in pieces."
    )


class TrackRegressorRecipe(Strict):
    """The regressor, which is the decoder of the mask too."""

    width: int = Field(32, ge=4, le=512, description="Channels.")
    depth: int = Field(5, ge=1, le=9, description="Blocks; each sees twice as far as the last.")
    augment: Literal["none", "noise", "masks", "both"] = Field(
        "both",
        description="What is done to the tracks: all displacements partly removed, or stretches "
        "of random length wholly, or half of the tracks each.",
    )
    whole: float = Field(0.25, ge=0, le=1, description="Share of tracks that is left whole.")
    rotate: bool = Field(
        True, description="Whether tracks are turned and mirrored at random while training."
    )
    learning_rate: float = Field(2e-3, gt=0, description="Peak rate of AdamW.")
    control_share: float = Field(
        0.3, gt=0, le=1, description="Steps of the control with shuffled signal, as a share."
    )
    min_r2: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Least R² on held-out tracks, and least lead over the shuffled signal; of "
        "categories McFadden's.",
    )


class TrackMaskRecipe(Strict):
    """The mask and what bounds it."""

    network: Literal["dilated", "unet1d"] = Field(
        "dilated", description="What draws it: our own network, or UNet1DModel of diffusers."
    )
    removed: Literal["brownian", "rest"] = Field(
        "brownian",
        description="What a removed frame holds: a step of Brownian motion of the same scale, so "
        "that a rest is something too; or no step at all but for a little noise.",
    )
    kind: Literal["soft", "gates"] = Field(
        "soft",
        description="Whether M of a displacement is mixed with what a removed one holds, or it is "
        "wholly kept or removed, with probability M.",
    )
    noise: float = Field(0.1, gt=0, description="rest: variance of that noise, in scaled units.")
    width: int = Field(32, ge=8, le=512, description="Channels; a multiple of 32 for unet1d.")
    time: bool = Field(
        False,
        description="Whether what draws it is told where in the track a displacement is. Then it "
        "may keep the first half of each track, say, where all of it is alike.",
    )
    opening: float = Field(0.5, gt=0, lt=1, description="M everywhere at the start.")
    kl: float = Field(0.0, ge=0, description="Weight of the mean information of a frame, nats.")
    keep_r2: float = Field(
        0.8, gt=0, le=1, description="Share of the regressor's own R² that the mask has to keep."
    )
    control_rate: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Largest step of the mask's level, in logits; it falls while the prediction "
        "allows.",
    )
    learning_rate: float = Field(5e-3, gt=0, description="Peak rate of AdamW.")


class TrackScheduleRecipe(ScheduleRecipe):
    """How long, how fast, and how many at a time."""

    regressor_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the minutes for the regressor and its control."
    )
    batch: int = Field(32, gt=0, description="Tracks of a step, of about the same length.")


class TrackRelevanceRecipe(RecipeFile):
    """Numbers of one fit; an unknown key in the file is an error."""

    name: str = "track-relevance"
    seed: int = Field(20261122, ge=0, lt=2**63)
    data: TrackDataRecipe = Field(default_factory=lambda: TrackDataRecipe())
    regressor: TrackRegressorRecipe = Field(default_factory=lambda: TrackRegressorRecipe())
    mask: TrackMaskRecipe = Field(default_factory=lambda: TrackMaskRecipe())
    schedule: TrackScheduleRecipe = Field(default_factory=lambda: TrackScheduleRecipe())

    @classmethod
    def of(cls, values: object, source: str) -> Self:
        """Check values that came from `source`.

        Raises
        ------
        SptError
            If there are unknown keys or values out of range, or it is a recipe for movies.
        """
        try:
            return super().of(values, source)
        except SptError as error:
            if not _is_for_movies(values):
                raise
            raise SptError(
                f"{source} is a recipe for movies; expected one for tracks, such as the one that "
                "ships: track-relevance/default.toml.",
                code="wrong-kind",
            ) from error

    def with_schedule(
        self, *, seed: int | None = None, minutes: float | None = None
    ) -> TrackRelevanceRecipe:
        """Return the recipe with another seed or time; a time replaces numbers of steps.

        Raises
        ------
        SptError
            If one is out of range.
        """
        values = self.model_dump()
        if seed is not None:
            values["seed"] = seed
        if minutes is not None:
            values["schedule"] |= {"minutes": minutes, "regressor_steps": None, "mask_steps": None}
        return self.of(values, f"{option('seed')}, {option('minutes')}")


def _is_for_movies(values: object) -> bool:
    from spt_explain.xddpm.recipe import RelevanceRecipe

    try:
        RelevanceRecipe.model_validate(values)
    except ValidationError:
        return False
    return True
