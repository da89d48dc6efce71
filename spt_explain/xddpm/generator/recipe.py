"""A recipe of a generator: every number of its fit, read strictly from TOML."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from spt_explain.errors import SptError
from spt_explain.recipe_file import RecipeFile

Objective = Literal["w", "eps-mask", "plain"]
BetaSchedule = Literal["linear", "cosine"]
Output = Literal["v", "eps"]


class GeneratorRecipe(RecipeFile):
    """Numbers of one fit; an unknown key in the file is an error."""

    name: str = "generator"
    seed: int = Field(20261122, ge=0, lt=2**63, description="Of the fit, not of samples.")
    objective: Objective = Field(
        "w",
        description="w: a plain DDPM of W = M x + √(1 - M²) noise. eps-mask: of x, with the target "
        "M ε of Eq. 4. plain: of x, without mask.",
    )
    output: Output = Field(
        "v",
        description="What the U-Net gives, and what its error is measured in. v: ε = √(1 - ᾱ) x_t "
        "+ √ᾱ v, so that 0 is right where nothing is relevant, and early steps, which decide how "
        "much there is of the signal, count as much as late ones; eps: ε itself, always so with "
        "eps-mask.",
    )
    width: int | None = Field(
        None, ge=8, le=512, multiple_of=8, description="Channels; none: 64 on a GPU, 16 on a CPU."
    )
    multipliers: tuple[int, ...] = Field(
        (1, 2, 4, 8), min_length=1, max_length=6, description="Of the width, for each halving."
    )
    layers: int = Field(2, ge=1, le=8, description="Residual blocks of each resolution.")
    attention: bool = Field(True, description="Whether the coarsest resolution has attention.")
    timesteps: int = Field(1000, ge=10, le=10_000, description="T, steps of the chain.")
    schedule: BetaSchedule = Field("linear", description="Of β: 1e-4 to 0.02, or cosine.")
    flips: bool | None = Field(
        None,
        description="Whether clips are turned by quarters and mirrored at random; none: as in the "
        "fit of the model.",
    )
    batch: int | None = Field(None, gt=0, description="Clips; none: 64 on a GPU, 16 on a CPU.")
    minutes: float = Field(20.0, gt=0, description="Time of the fit.")
    steps: int | None = Field(None, gt=0, description="Steps, instead of minutes.")
    learning_rate: float = Field(2e-4, gt=0, description="Of AdamW, its most.")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW.")
    warmup_steps: int = Field(200, ge=0, description="Steps over which the rate rises.")
    decay_share: float = Field(
        0.3, ge=0, le=1, description="Last share of the fit, in which the rate falls to zero."
    )
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    ema: float = Field(0.999, ge=0, lt=1, description="Decay of the averaged parameters.")
    mask_weight: float = Field(0.1, ge=0, description="Weight of the mask's cross-entropy.")
    mask_share: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of each batch that the mask alone is learnt from, at the chain's end: "
        "there it is read of samples.",
    )
    validation: float = Field(0.1, gt=0, lt=1, description="Share of clips or movies held out.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the U-Net; auto: bfloat16 on a GPU that has it."
    )

    @classmethod
    def of(cls, values: object, source: str) -> Self:
        """Check values that came from `source`.

        Raises
        ------
        SptError
            If there are unknown keys or values out of range, or it is a recipe of a model.
        """
        if isinstance(values, dict) and any(isinstance(one, dict) for one in values.values()):
            raise SptError(
                f"{source} is a recipe of a relevance model (it has sections); expected one of a "
                "generator, such as the one that ships: relevance-generator/default.toml.",
                code="wrong-kind",
            )
        return super().of(values, source)

    def for_device(self, device: str) -> GeneratorRecipe:
        """Return it with what the device decides: width, batch and precision."""
        gpu = device.startswith("cuda")
        precision = self.precision
        if precision == "auto":
            precision = "float32"
            if gpu:
                import torch

                precision = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return self.model_copy(
            update={
                "output": "eps" if self.objective == "eps-mask" else self.output,
                "width": self.width or (64 if gpu else 16),
                "batch": self.batch or (64 if gpu else 16),
                "precision": precision,
            }
        )
