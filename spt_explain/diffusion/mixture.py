"""Which classes are simulated, and in which proportion: ``SubFBM:0.3,BM:0.7``."""

from __future__ import annotations

import difflib
import math

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError, option


def parse_mixture(text: str) -> dict[str, float]:
    """Read which classes are wanted, and their shares.

    Parameters
    ----------
    text : str
        ``"all"``, a class, or several with or without shares, e.g. ``"SubFBM,BM"`` or
        ``"SubFBM:0.3,BM:0.7"``; upper and lower case alike. Shares are relative to each other.

    Returns
    -------
    dict of str to float
        Class names in the order given, to shares that sum to 1.

    Raises
    ------
    SptError
        If a name is no class, a share no number above 0, some have shares and others not, or a
        class is named twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if [part.lower() for part in parts] == ["all"]:
        parts = list(CLASS_NAMES)
    shares: dict[str, float | None] = {}
    for part in parts:
        word, colon, share = part.partition(":")
        name = _class_named(word.strip())
        if name in shares:
            raise SptError(f"{name} is named twice in {text!r}: name each class once.")
        shares[name] = _share(part, share) if colon else None
    given = [share for share in shares.values() if share is not None]
    if given and len(given) < len(shares):
        lacking = next(name for name, share in shares.items() if share is None)
        raise SptError(
            f"{text!r} gives some classes a share and not {lacking}: give one to each, as in "
            "SubFBM:0.3,BM:0.7, or to none."
        )
    total = sum(given) or len(shares)
    return {name: (1.0 if share is None else share) / total for name, share in shares.items()}


def _class_named(word: str) -> str:
    for name in CLASS_NAMES:
        if name.lower() == word.lower():
            return name
    if word.lower() == "immobile":
        raise SptError(
            f"immobile particles come with {option('immobile', 'SHARE')}, beside a class or all.",
            code="conflict",
            option="immobile",
        )
    near = difflib.get_close_matches(
        word.lower(), [name.lower() for name in (*CLASS_NAMES, "all")], n=1
    )
    meant = next((n for n in (*CLASS_NAMES, "all") if near and n.lower() == near[0]), None)
    shown = f"{word[:40]!r}" if word else "an empty name"
    raise SptError(
        f"{shown} is no class: expected {', '.join(CLASS_NAMES)}, or all."
        + (f"\nDid you mean {meant}?" if meant else "")
    )


def _share(part: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise SptError(
            f"{part[:60]!r} was not understood: the share of a class is a number above 0, as in "
            "SubFBM:0.3.",
            code="wrong-kind",
        )
    return value
