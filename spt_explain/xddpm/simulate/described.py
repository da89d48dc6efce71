"""What can be set for a kind of movies, in words: from the class's own documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from spt_explain.xddpm.simulate.kinds import KINDS
from spt_explain.xddpm.simulate.settings import CHOICES

if TYPE_CHECKING:
    from spt_explain.xddpm.simulate.settings import Chosen

SIGNALS = {
    "area": "pixels of the cell (phase at least 0.5), in px",
    "circumference": "pixels of the cell with a background 8-neighbour (or the length of its "
    "outline: setting circumference), in px",
    "intensity": "light of what carries the signal: of the cell's pixels, or of the mobile spots",
    "count": "number of mobile spots",
    "msd-d": "diffusion of the mobile spots: mean squared displacement between frames over 4, in "
    "px² per frame",
    "force-x": "force of the frame's pressure on the body, along columns (right is positive)",
    "force-y": "force of the frame's pressure on the body, along rows (down is positive)",
    "momentum-x": "whole force of the flow on the wings, friction too, along columns; not from the "
    "frame's pixels",
    "momentum-y": "the same along rows",
}
"""What the columns of the tables mean."""

SIGNALS_OF = {
    "tension": ("area", "circumference"),
    "wetting": ("area", "circumference"),
    "spots": ("count", "intensity", "msd-d"),
    "two-cells": ("area", "circumference", "intensity"),
    "textured": ("area", "circumference"),
    "some-frames": ("area", "intensity"),
    "pressure": ("force-x", "force-y"),
    "jellyfish": ("force-x", "momentum-x"),
}
"""Signals of each kind; jellyfish with headings other than 0 have force-y and momentum-y too."""


@dataclass(frozen=True)
class Described:
    """One setting.

    Attributes
    ----------
    name : str
    default : object
        A number, a pair (least and greatest), a word, or None.
    choices : tuple of str
        Words to choose from; empty for numbers.
    limits : tuple of (float, float), optional
        Least and greatest value that can be used.
    text : str
        What it is, in a sentence or two.
    """

    name: str
    default: Any
    choices: tuple[str, ...]
    limits: tuple[float, float] | None
    text: str

    @property
    def shown(self) -> str:
        """The default as one would type it."""
        if self.default is None:
            return "by the number of frames"
        if isinstance(self.default, tuple):
            low, high = self.default
            return f"{low:g}" if low == high else f"{low:g}..{high:g}"
        return self.default if isinstance(self.default, str) else f"{self.default:g}"

    @property
    def possible(self) -> str:
        """What may be given."""
        if self.choices:
            return " or ".join(self.choices)
        if self.limits is None:
            return "a frame, from 0"
        low, high = self.limits
        whole = "whole, " if self.whole else ""
        return f"{whole}{low:g} to {high:g}"

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        pair = self.default if isinstance(self.default, tuple) else (self.default,)
        return all(isinstance(value, int) for value in pair)

    @property
    def drawn(self) -> bool:
        """Whether each movie draws its own value between two."""
        return isinstance(self.default, tuple)


def summary(kind: str) -> str:
    """Return what a kind of movies is, in a sentence."""
    return (KINDS[kind].__doc__ or "").strip().split("\n")[0]


def described(kind: str) -> list[Described]:
    """Return the settings of a kind, in the order of their definition."""
    chosen = KINDS[kind]
    texts: dict[str, str] = {}
    for base in reversed(chosen.__mro__):
        texts |= _texts(base)
    return [
        Described(
            f.name,
            f.default,
            CHOICES.get(f.name, ()),
            chosen.limits.get(f.name),
            texts.get(f.name, ""),
        )
        for f in fields(chosen)
    ]


def _texts(chosen: type[Chosen] | type) -> dict[str, str]:
    """Return the texts of the section Attributes of a NumPy-style docstring, by name."""
    document = chosen.__dict__.get("__doc__") or ""
    _, _, section = document.partition("Attributes\n    ----------\n")
    texts = {}
    for entry in re.split(r"^    (?=\S)", section, flags=re.MULTILINE):
        head, _, text = entry.partition("\n")
        for name in head.partition(" : ")[0].split(", "):
            texts[name.strip()] = " ".join(text.replace("``", "").split())
    return texts
