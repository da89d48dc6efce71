"""Which statistics the scores go with, class by class (Bae, Baek & Jeong, Fig. 7).

Each track has 32 windows; their scores are compared with AC, CS, NG, SG and VD of the same windows
(`explain.windows`, `explain.correlation`). The score of a window is the mean of its frames' scores
("window"), or that of the node of the same number, as in the authors' program ("node"): its 32
nodes are 31 frames apart and its windows 25, so at the ends of a track the two lie up to 97 frames
from one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from spt_explain.diffusion.statistics import STATISTICS, Variant
from spt_explain.errors import SptError
from spt_explain.explain.correlation import correlations
from spt_explain.explain.published import MENTIONED, SPEARMAN
from spt_explain.explain.windows import KEYS, window_table
from spt_explain.readers.wording import some
from spt_explain.studies.options import CorrelationOptions
from spt_explain.studies.record import Record, record_of, timed
from spt_explain.studies.scoring import PAPER_METHOD, ScoreMethod, Scorer, parse_methods
from spt_explain.studies.sources import TrackSource, Watcher

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.explain.scores import Maps
    from spt_explain.studies.scoring import Seen

Pairing = Literal["window", "node"]
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)
TRACKS, LENGTH = CorrelationOptions.simulated
NODES_AND_WINDOWS = 32
CLEAR = 0.1
"""Coefficients of at least this size have a sign; the paper's text speaks of no smaller ones but
that of SubATTM with SG, −0.07."""


@dataclass(frozen=True, eq=False)
class CorrelationStudy:
    """What came out.

    Attributes
    ----------
    correlations : pandas.DataFrame
        A row for each method, pairing, class, variant ("pooled" as published: all windows of a
        class; "within": each track's own coefficient, averaged) and statistic: ``method, pairing,
        class, variant, statistic``, Pearson's and Spearman's coefficients and their intervals,
        ``n_windows, n_tracks, published`` (Pearson, Fig. 7), ``published_spearman`` (where the
        authors' files say something else than Fig. 7), ``mentioned`` (the sign that the text speaks
        of, 0 for none) and ``agrees`` ("yes", "no": signs of ours and of the published one where
        that is clear or mentioned, "" elsewhere).
    record : Record
        How it was made.
    """

    correlations: pd.DataFrame
    record: Record

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"correlations": self.correlations}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words."""
        out = []
        table = self.correlations
        for (method, pairing, variant), part in table.groupby(
            ["method", "pairing", "variant"], sort=False
        ):
            said = part[part["agrees"] != ""]
            if len(said):
                right = int((said["agrees"] == "yes").sum())
                wrong = said[said["agrees"] == "no"]
                names = ", ".join(f"{r['class']} {r['statistic']}" for _, r in wrong.iterrows())
                out.append(
                    f"{method}, {pairing} scores, {variant}: {right} of {len(said)} signs that the "
                    f"paper reports are the same{f'; others: {names}' if names else ''}."
                )
        return tuple(out)


def correlation(
    source: TrackSource | None = None, *, watcher: Watcher | None = None, **options: Any
) -> CorrelationStudy:
    """Correlate scores with the paper's statistics in windows of tracks.

    Parameters
    ----------
    source : TrackSource, optional
        Which tracks; 400 simulated ones of 1000 points by default.
    watcher : Watcher, optional
        Told what happens.
    **options
        methods, explained, of, statistics, resamples: see `CorrelationOptions`; and of
        `Classifier`: weights, backend, device, batch_size, jobs.

    Returns
    -------
    CorrelationStudy

    Raises
    ------
    SptError
        For tracks, weights or options that can't be used, or if no track is long enough.
    """
    import pandas as pd

    watcher, source = watcher or Watcher(), source or TrackSource()
    wanted, network = CorrelationOptions.split_from(options)
    explained, of, statistics = wanted.explained, wanted.of, wanted.statistics
    chosen = parse_methods(wanted.methods, (PAPER_METHOD,))
    scorer = Scorer(**network)
    seconds: dict[str, float] = {}
    opened = source.open(scorer.classes, tracks=TRACKS, length=LENGTH, watcher=watcher)
    watcher.ready(scorer.classifier, opened.words)
    scorer.settle(opened)
    parts: list[pd.DataFrame] = []
    labels: list[NDArray[np.int64]] = []
    first = steps = 0
    with timed(seconds, "scores and statistics"):
        for batch in opened.batches():
            seen = scorer.examine(batch)
            windows = None
            for how in chosen:
                said = watcher.part("scoring", steps, len(batch), len(opened) * len(chosen))
                found = seen.maps(how, explained, of, said)
                windows = _windows(seen, found, how, first, opened.name, statistics, windows)
                parts.append(windows)
                steps += len(batch)
                watcher.progress("scoring", steps, len(opened) * len(chosen))
            first += len(batch)
            target = seen.target(explained)
            labels.append(np.where(target == batch.label, batch.label, -1))
    label = np.concatenate(labels)
    names = np.array([*scorer.classes, None], dtype=object)
    tracks = pd.DataFrame(
        {
            "file": opened.name,
            "particle": np.arange(len(label)),
            "segment": 0,
            "class": names[label],
        }
    )
    table = pd.concat(parts, ignore_index=True)
    if not len(table):
        raise SptError("no track is long enough for windows: expected 87 points or more.")
    rows = []
    with timed(seconds, "correlations"):
        for how in chosen:
            own = table[table["method"] == how.name]
            for pairing in PAIRINGS:
                score = "score" if pairing == "window" else "node_score"
                if own[score].notna().any():
                    one = correlations(
                        own, tracks, score=score, resamples=wanted.resamples, seed=source.seed
                    )
                    one.insert(0, "method", how.name)
                    one.insert(1, "pairing", pairing)
                    rows.append(one)
    notes = list(opened.notes)
    short = len(label) - len(table[["particle"]].drop_duplicates())
    if short:
        notes.append(f"{some(short, 'track')} too short for windows (below 87 points): left out.")
    settings = {"methods": [one.name for one in chosen], "explained": explained, "of": of,
                "statistics": statistics, "resamples": wanted.resamples,
                "seed": source.seed}  # fmt: skip
    record = record_of("correlation", scorer.classifier, data=opened.data, words=opened.words,
                       settings=settings, notes=tuple(notes), seconds=seconds)  # fmt: skip
    return CorrelationStudy(_beside(pd.concat(rows, ignore_index=True)), record)


def _windows(
    seen: Seen,
    found: list[Maps],
    how: ScoreMethod,
    first: int,
    name: str,
    statistics: Variant,
    before: pd.DataFrame | None,
) -> pd.DataFrame:
    """Return the windows of a batch: scores and, unless `before` has them, statistics."""
    import pandas as pd

    scores, offsets = seen.frames(found), seen.tracks.offsets
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    frames = pd.DataFrame(
        {
            "file": name,
            "particle": owner + first,
            "segment": 0,
            "frame": np.arange(len(owner)) - offsets[:-1][owner],
            "x": seen.tracks.positions[:, 0],
            "y": seen.tracks.positions[:, 1],
            "score": scores.score,
        }
    )
    if before is None:
        table = window_table(frames, variant=statistics)
    else:
        from spt_explain.explain.windows import window_means

        start = offsets[before["particle"].to_numpy() - first]
        table = before.assign(
            score=window_means(
                scores.score,
                start + before["first_frame"].to_numpy(),
                start + before["last_frame"].to_numpy() + 1,
            )
        )
    table["node_score"] = _node_scores(seen, found, table, first)
    table["method"] = how.name
    kept = [*KEYS, "method", "window", "first_frame", "last_frame", "score", "node_score"]
    return table[[*kept, *STATISTICS]]


def _node_scores(
    seen: Seen, found: list[Maps], table: pd.DataFrame, first: int
) -> NDArray[np.float64]:
    """Return the score of the node of each window's number; NaN where there are not 32 of both."""
    track = table["particle"].to_numpy() - first
    window = table["window"].to_numpy()
    nodes = np.full((len(seen.tracks), NODES_AND_WINDOWS), np.nan)
    alone = np.bincount(seen.ran.owner, minlength=len(seen.tracks)) == 1
    for one in found:
        if one.scores.shape[1] == NODES_AND_WINDOWS:
            which = seen.ran.owner[one.windows]
            # only tracks that fill the input have all of the nodes
            full = alone[which] & (seen.tracks.length[which] > one.padded - one.stride)
            nodes[which[full]] = one.scores[full]
    many = np.bincount(track, minlength=len(seen.tracks))[track] == NODES_AND_WINDOWS
    return np.where(many, nodes[track, np.minimum(window, NODES_AND_WINDOWS - 1)], np.nan)


def _beside(table: pd.DataFrame) -> pd.DataFrame:
    """Add what the paper says."""
    rows = table.to_dict("records")
    spearman = [SPEARMAN.get(r["class"], {}).get(r["statistic"], np.nan) for r in rows]
    mentioned = [MENTIONED.get(r["class"], {}).get(r["statistic"], 0) for r in rows]
    agrees = []
    for row, rank, sign in zip(rows, spearman, mentioned, strict=True):
        kind, published = "pearson", row["published"]
        if np.isfinite(rank) and round(published, 2) == 0:  # shown by ranks alone
            kind, published = "spearman", rank
        told = np.isfinite(published) and (abs(published) >= CLEAR or sign)
        agrees.append(("yes" if row[kind] * published > 0 else "no") if told else "")
    return table.assign(published_spearman=spearman, mentioned=mentioned, agrees=agrees)
