"""What a fit to tracks found, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

LEAST_LEAD = 0.03
"""Of R² over that with as many displacements at random places, for a map to say anything."""
MOST_RANK = 0.05
"""Share of random removals that may do as much as that of the most relevant."""
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
    if curve.r2[chosen] - fitted.random_r2[chosen] < LEAST_LEAD:
        lines.append(
            "BEWARE: displacements that the map calls relevant predict no better than others: the "
            "signal is everywhere alike, so that any part of a track will do, or the mask has not "
            "learnt where it is (more minutes, more tracks)."
        )
    if curve.excess > 0.03:
        lines.append(
            f"BEWARE: with some displacements removed {what} is {curve.excess:.2f} higher than "
            "with all: the mask may encode the signal."
        )
    return lines


def explained_in_words(table: pd.DataFrame, draws: int, share: float) -> list[str]:
    """Return what the check of each track says of all of them, a sentence each."""
    counts = table["check"].value_counts()
    passed, flat = int(counts.get("passed", 0)), int(counts.get("flat", 0))
    by_chance = len(table) * max(MOST_RANK, 1 / (draws + 1))
    lines = [
        f"Removing the most relevant {100 * share:.0f} % of the displacements changes what is "
        f"predicted of {passed:,} of {len(table):,} tracks more than removing as many elsewhere "
        f'does ("passed"; {by_chance:,.1f} would by chance); {flat:,} maps are flat.'
    ]
    if passed <= 2 * by_chance + 1:
        lines.append(
            "BEWARE: hardly more than by chance: don't read the maps of these tracks as where the "
            "signal is."
        )
    if "rho" not in table:
        return lines
    known = table["rho"].notna()
    if known.any():
        beyond = int((table.loc[known, "p"] <= MOST_RANK).sum())
        lines.append(
            f"Rank correlation with the classifier's map: median "
            f"{table.loc[known, 'rho'].median():.2f} over {int(known.sum()):,} tracks, beyond "
            f"chance in {beyond:,}."
        )
    return lines
