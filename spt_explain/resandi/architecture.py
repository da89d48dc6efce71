"""The shape of a classifier: what goes in, how wide it is, what comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from spt_explain.diffusion.classes import CLASS_NAMES

InputKind = Literal["positions", "positions+displacements"]
CHANNELS: dict[InputKind, int] = {"positions": 2, "positions+displacements": 4}


@dataclass(frozen=True)
class Architecture:
    """ResAnDi: a ResNet18 in one dimension (Bae, Baek & Jeong, Table I).

    Attributes
    ----------
    inputs : {"positions", "positions+displacements"}
        The published two channels, or those and two of displacements.
    width : int
        Channels of the first stage; they double at each of the three that follow. 64 as published.
    stem_kernel, kernel : int
        Kernel lengths of the first convolution and of all others: 35 and 15 as published.
    window : int
        Points of the input; shorter trajectories are padded before their start.
    classes : tuple of str
        Names of the outputs.
    """

    inputs: InputKind = "positions+displacements"
    width: int = 64
    stem_kernel: int = 35
    kernel: int = 15
    window: int = 1000
    classes: tuple[str, ...] = CLASS_NAMES

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return CHANNELS[self.inputs]

    @property
    def stage_widths(self) -> tuple[int, int, int, int]:
        """Channels of the four stages."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a card."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Return the architecture that `to_dict` described."""
        return cls(**{**values, "classes": tuple(values["classes"])})
