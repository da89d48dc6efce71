"""Numbers and text as TrackMate reads them from its XML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_JAVA = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def java(value: float) -> str:
    """Return a number in digits that give it back, as Java reads it."""
    return javas([value])[0]


def javas(values: Floats | list[float]) -> list[str]:
    """Return numbers in digits that give them back, as Java reads them."""
    listed = values if isinstance(values, list) else values.tolist()
    return [_JAVA.get(word, word) for word in map(repr, map(float, listed))]


def shorts(values: Floats) -> list[str]:
    """Return numbers that TrackMate can compute again, in seven digits."""
    return [_JAVA.get(word, word) for word in [f"{value:.7g}" for value in values.tolist()]]


def attributes(values: Mapping[str, object]) -> str:
    """Return attributes of an element."""
    return " ".join(f"{key}={quoted(str(value))}" for key, value in values.items())


def quoted(text: str) -> str:
    """Return the value of an attribute; what XML can't hold is replaced."""
    return quoteattr(_ILLEGAL.sub("\ufffd", text))


def plain(text: str) -> str:
    """Return the text of an element; what XML can't hold is replaced."""
    return escape(_ILLEGAL.sub("\ufffd", text))
