"""What the xDDPM paper reports (its Table 1), to stand beside ours.

Neither the data nor the evaluation behind it is public, its maps of baselines are clamped to
0.7 … 1, and nothing says how its IoU was thresholded: the numbers are no target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import option

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

CLIPS = (20, 32, 32)
"""Frames, height and width of the paper's clips of cells."""

METHODS = {
    "random": "Random",
    "gradient": "Gradient",
    "saliency": "Saliency",
    "guided-bp": "GuidedBP",
    "guided-cam": "GuidedCAM",
    "smoothgrad": "SmoothGrad",
    "guided-grad-cam": "GuidedGrad",
    "xddpm": "xDDPM (ours)",
}
"""Our names of the methods, and those in the paper."""

COLUMNS = (
    ("wetting", "area"),
    ("wetting", "circumference"),
    ("tension", "area"),
    ("tension", "circumference"),
)
TABLE_1 = {
    "random": (0.2389, 0.0315, 0.0717, 0.1338, 0.3297, 0.0094, 0.1744, 0.0467),
    "gradient": (0.2147, 0.0181, 0.0882, 0.0153, 0.5309, 0.0015, 0.2636, 0.0044),
    "saliency": (0.2811, 0.0290, 0.0892, 0.1252, 0.4896, 0.0151, 0.2414, 0.0308),
    "guided-bp": (0.1033, 0.0734, 0.0238, 0.1065, 0.0350, 0.0368, 0.1399, 0.0111),
    "guided-cam": (0.0601, 0.0199, 0.0221, 0.0980, 0.0399, 0.0081, 0.0734, 0.0085),
    "smoothgrad": (0.1755, 0.0049, 0.0612, 0.1677, 0.4691, 0.0211, 0.3503, 0.0451),
    "guided-grad-cam": (0.0723, 0.0290, 0.0350, 0.1017, 0.1272, 0.0114, 0.0514, 0.0392),
    "xddpm": (0.4590, 0.3114, 0.1197, 0.1713, 0.6689, 0.1638, 0.3699, 0.1312),
}
"""IoU and Sensitivity-n (half of the pixels) of each of `COLUMNS`."""
JELLYFISH = {
    "random": (0.0003, 0.2432),
    "gradient": (0.0064, 0.0051),
    "saliency": (0.0327, 0.1806),
    "guided-bp": (0.0033, 0.2021),
    "guided-cam": (0.0085, 0.1974),
    "smoothgrad": (0.0093, 0.0229),
    "guided-grad-cam": (0.0285, 0.2182),
    "xddpm": (0.3343, 0.3881),
}
"""The jellyfish's force: correlation with |∂S/∂p| and Sensitivity-n."""


def published_table() -> pd.DataFrame:
    """Return the cells' part of Table 1: ``movies, signal, method, iou, sensitivity_n``."""
    import pandas as pd

    rows = [
        {
            "movies": movies,
            "signal": signal,
            "method": method,
            "iou": values[2 * at],
            "sensitivity_n": values[2 * at + 1],
        }
        for at, (movies, signal) in enumerate(COLUMNS)
        for method, values in TABLE_1.items()
    ]
    return pd.DataFrame(rows)


def beside(
    kinds: Collection[str], signal: str, shape: Sequence[int]
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Return the paper's IoU and Sensitivity-n by method, and what is to be said of them.

    Parameters
    ----------
    kinds : collection of str
        Of the movies; other than one of the paper's, there is nothing.
    signal : str
    shape : sequence of int
        Of the clips that were measured.
    """
    at = next((i for i, one in enumerate(COLUMNS) if one == (*kinds, signal)), None)
    if at is None:
        return {}, [
            f"{option('published', True)}: the paper has tension and wetting, area and "
            "circumference; these movies are others."
        ]
    notes = []
    if tuple(shape) != CLIPS:
        theirs, ours = (" × ".join(map(str, one)) for one in (CLIPS, shape))
        notes.append(
            f"The paper's clips are {theirs} (frames, height, width), these are {ours}: compare "
            "with care."
        )
    return {name: (row[2 * at], row[2 * at + 1]) for name, row in TABLE_1.items()}, notes
