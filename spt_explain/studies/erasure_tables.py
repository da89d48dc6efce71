"""The tables of the study of erasure: accuracy by decile, and which method wins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.studies.options import PROTOCOLS
from spt_explain.studies.protocols import PARTS
from spt_explain.studies.published import DECILES_ERASED, RANDOM_ERASED
from spt_explain.studies.record import mean_interval, wilson
from spt_explain.studies.scoring import PAPER_METHOD
from spt_explain.training.evaluation import LENGTH_EDGES, length_bands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.studies.options import ErasureProtocol

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

RANDOM = "random"
"""The method that ranks at random."""
ALL = "all"
"""What the column ``points`` says of all lengths together."""


@dataclass
class Tally:
    """What one method did to each track, batch by batch.

    Attributes
    ----------
    correct : list of numpy.ndarray, shape (m, 10)
        Whether each track is told right with each tenth erased.
    by_chance : list of numpy.ndarray, shape (m, 10)
        With as much erased at random; only "cut".
    top, random, passed : list of numpy.ndarray, shape (m,)
        Loss of probability in the check, of the top frames and at random, and whether it was
        passed; NaN where there was none; only "cut".
    erased, padding : list of numpy.ndarray, shape (m, 10)
        Frames of the input that are erased, and those of them that lie before the trajectory; only
        "paper".
    """

    correct: list[Bools] = field(default_factory=list)
    by_chance: list[Bools] = field(default_factory=list)
    top: list[Floats] = field(default_factory=list)
    random: list[Floats] = field(default_factory=list)
    passed: list[Floats] = field(default_factory=list)
    erased: list[Ints] = field(default_factory=list)
    padding: list[Ints] = field(default_factory=list)


def tables(
    length: Ints,
    whole: Bools,
    tallies: Mapping[tuple[ErasureProtocol, str], Tally],
    *,
    comparable: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of deciles and methods; see `erasure.ErasureStudy`.

    Parameters
    ----------
    length : numpy.ndarray, shape (m,)
        Points of each track.
    whole : numpy.ndarray, shape (m,)
        Whether each is told right with nothing erased.
    tallies : mapping
        By protocol and method; `RANDOM` is a method of all protocols but "cut".
    comparable : bool
        Whether the tracks are those of the paper's protocol.
    """
    import pandas as pd

    bands: list[tuple[str, int, int | None, Bools]] = [(ALL, 0, None, np.ones(len(length), bool))]
    for low, high in length_bands(LENGTH_EDGES):
        inside = (length >= low) & (length <= (high if high is not None else length.max()))
        if inside.any() and not inside.all():
            bands.append((f"{low}–{high}" if high is not None else f"≥ {low}", low, high, inside))
    correct = {key: np.concatenate(tally.correct) for key, tally in tallies.items()}
    deciles, methods = [], []
    order = sorted(tallies, key=lambda key: (PROTOCOLS.index(key[0]), key[1] == RANDOM))
    for protocol, method in order:
        tally = tallies[protocol, method]
        by_chance = np.concatenate(tally.by_chance) if tally.by_chance else None
        if by_chance is None:
            by_chance = correct[protocol, RANDOM]
        published = comparable and protocol == "paper" and method == PAPER_METHOD.name
        for name, low, high, inside in bands:
            right, chance = correct[protocol, method][inside], by_chance[inside]
            n = int(inside.sum())
            for part in range(PARTS):
                ends = wilson(int(right[:, part].sum()), n)
                deciles.append(
                    {
                        "protocol": protocol,
                        "method": method,
                        "points": name,
                        "decile": part + 1,
                        "accuracy": right[:, part].mean(),
                        "accuracy_low": ends[0],
                        "accuracy_high": ends[1],
                        "random": chance[:, part].mean(),
                        "padding": _padding(tally, inside, part),
                        "n_tracks": n,
                        "published": DECILES_ERASED[part] if published and name == ALL else np.nan,
                        "published_random": (
                            np.mean(RANDOM_ERASED) if published and name == ALL else np.nan
                        ),
                    }
                )
            mean = right.mean(axis=0)
            difference = mean_interval(right[:, 0].astype(float) - right[:, -1])
            row: dict[str, Any] = {
                "protocol": protocol,
                "method": method,
                "points": name,
                "min_points": low,
                "max_points": high,
                "n_tracks": n,
                "accuracy": whole[inside].mean(),
                "lowest": mean[0],
                "highest": mean[-1],
                **dict(zip(_ends("difference"), difference, strict=True)),
                "random": chance.mean(),
                "falls": int((np.diff(mean) < 0).sum()),
            }
            row |= _checked(tally, inside)
            methods.append(row)
    table = pd.DataFrame(methods)
    return pd.DataFrame(deciles), _with_winner(table, tallies, correct, bands)


def _padding(tally: Tally, inside: Bools, part: int) -> float:
    """Return the share of what a decile erases that is padding; NaN of other protocols."""
    if not tally.erased:
        return float("nan")
    erased, padding = (np.concatenate(v)[inside, part].sum() for v in (tally.erased, tally.padding))
    return float(padding / erased) if erased else float("nan")


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _checked(tally: Tally, inside: Bools) -> dict[str, Any]:
    """Return what the check of "cut" says of the tracks of a band."""
    nothing = dict.fromkeys(("loss_top", "loss_random", *_ends("gain")), np.nan)
    if not tally.top:
        return {**nothing, "n_checked": 0, "passed": np.nan}
    top, random, passed = (
        np.concatenate(v)[inside] for v in (tally.top, tally.random, tally.passed)
    )
    known = np.isfinite(top)
    if not known.any():
        return {**nothing, "n_checked": 0, "passed": np.nan}
    return {
        "loss_top": top[known].mean(),
        "loss_random": random[known].mean(),
        **dict(zip(_ends("gain"), mean_interval(top - random), strict=True)),
        "n_checked": int(known.sum()),
        "passed": passed[known].mean(),
    }


def _with_winner(
    table: pd.DataFrame,
    tallies: Mapping[tuple[ErasureProtocol, str], Tally],
    correct: dict[tuple[ErasureProtocol, str], Bools],
    bands: Sequence[tuple[str, int, int | None, Bools]],
) -> pd.DataFrame:
    """Say which method is best in each protocol and band, and how far behind the others are."""
    each: dict[tuple[ErasureProtocol, str], Floats] = {}
    for key, tally in tallies.items():
        top = np.concatenate(tally.top) if tally.top else np.zeros(0)
        if np.isfinite(top).any():
            each[key] = top - np.concatenate(tally.random)
        else:
            each[key] = correct[key][:, 0].astype(float) - correct[key][:, -1]
    inside = {name: mask for name, _, _, mask in bands}
    columns: dict[str, list[Any]] = {name: [] for name in (*_ends("behind"), "best", "as_good")}
    for row in table.to_dict("records"):
        protocol, method = row["protocol"], row["method"]
        mask = inside[str(row["points"])]
        rivals = [m for p, m in each if p == protocol and m != RANDOM]
        mean = {m: float(np.nanmean(each[protocol, m][mask])) for m in rivals
                if np.isfinite(each[protocol, m][mask]).any()}  # fmt: skip
        best = max(mean, key=mean.__getitem__, default="")
        if method == RANDOM or method not in mean or len(mean) < 2:
            behind = (np.nan, np.nan, np.nan)
        else:
            behind = mean_interval(each[protocol, best][mask] - each[protocol, method][mask])
        for name, value in zip(_ends("behind"), behind, strict=True):
            columns[name].append(value)
        columns["best"].append(method == best and len(mean) > 1)
        columns["as_good"].append(bool(np.isfinite(behind[0]) and behind[1] <= 0))
    return table.assign(**columns)
