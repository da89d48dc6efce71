"""What a fit to tracks found, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

WHAT_IS_REMOVED = {
    "brownian": "a removed frame holds a step of Brownian motion of the track's own scale; what "
    "follows is moved, not changed",
    "rest": "in a removed frame the particle stays where it is, but for a little noise; what "
    "follows is moved, not changed",
}


def in_words(model: TrackRelevanceModel) -> list[str]:
    """Return what a fit found and how far to believe it, a sentence each."""
    fitted, signal = model.fitted, model.signal
    if fitted is None:
        return []
    what = "R²" if signal.kind == "number" else "McFadden's R²"
    right = "" if fitted.accuracy is None else f", {100 * fitted.accuracy:.0f} % right"
    curve = fitted.curve
    chosen = curve.chosen
    lines = [
        f"{signal.names[0]} is predicted with {what} {fitted.r2:.2f} on {fitted.held_out}{right}; "
        f"with the signal shuffled {fitted.shuffled_r2:.2f}.",
        f"With the most relevant {100 * curve.share:.0f} % of the displacements {what} is "
        f"{curve.r2[chosen]:.2f}, with as many at random places {fitted.random_r2[chosen]:.2f}; "
        f"with none {fitted.removed_r2:.2f}.",
        f"Removed: {WHAT_IS_REMOVED[model.removal.removed]}.",
    ]
    lead = max(a - b for a, b in zip(curve.r2, fitted.random_r2, strict=True))
    if lead < 0.03:
        lines.append(
            "BEWARE: displacements that the map calls relevant predict no better than others: the "
            "signal is everywhere alike, or the mask has not learnt where it is (more minutes)."
        )
    if curve.excess > 0.03:
        lines.append(
            f"BEWARE: with some displacements removed {what} is {curve.excess:.2f} higher than "
            "with all: the mask may encode the signal."
        )
    return lines
