"""Which parts of tracks of each class score high (Bae, Baek & Jeong, Fig. S5 and section E).

A few tracks of each class are drawn in the paper's layout, coloured by their scores; and the seven
remarks that the paper makes on its samples are measured over many tracks (`explain.remarks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.explain.motion import Settings
from spt_explain.explain.remarks import COLUMNS, remarks
from spt_explain.studies.options import GalleryOptions
from spt_explain.studies.record import Record, record_of, timed
from spt_explain.studies.scoring import PAPER_METHOD, ScoreMethod, Scorer, parse_methods
from spt_explain.studies.sources import TrackSource, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.explain.options import ScoreOf
    from spt_explain.studies.options import Explained
    from spt_explain.training.labelled import LabelledTracks

TRACKS, LENGTH = GalleryOptions.simulated
POINTS_AT_ONCE = 500_000
"""Points that are scored at a time; all of one class are measured together."""
MOST_TRACKS = 2500
"""Tracks of each class, a random choice, that are measured at most."""


@dataclass(frozen=True, eq=False)
class GalleryStudy:
    """What came out.

    Attributes
    ----------
    remarks : pandas.DataFrame
        A row for each method and measure: ``method``, then the columns of
        `explain.remarks.remarks`: ``class, remark, measure, kind, value, low, high, chance, holds,
        n_tracks, sentence``.
    samples : pandas.DataFrame
        A row a frame of the tracks that are drawn: ``method, class, sample, track, frame, x, y,
        score``.
    record : Record
        How it was made.
    """

    remarks: pd.DataFrame
    samples: pd.DataFrame
    record: Record

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"remarks": self.remarks, "samples": self.samples}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words."""
        out = []
        for method in dict.fromkeys(self.remarks["method"]):
            part = self.remarks[self.remarks["method"] == method]
            first = part.drop_duplicates("class")
            out.append(f"{method}: {int(first['holds'].sum())} of {len(first)} remarks hold.")
            for _, row in part.iterrows():
                word = "holds" if row["holds"] else "does not hold"
                out.append(f"  {row['class']}, {word}: {row['sentence']}.")
        return tuple(out)


def gallery(
    source: TrackSource | None = None,
    *,
    remark_settings: Settings | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> GalleryStudy:
    """Draw samples of each class by their scores, and measure the paper's remarks on them.

    Parameters
    ----------
    source : TrackSource, optional
        Which tracks; 400 simulated ones of 1000 points by default.
    remark_settings : Settings, optional
        Numbers of the remarks; their seed is that of the tracks by default.
    watcher : Watcher, optional
        Told what happens.
    **options
        methods, explained, of, samples: see `GalleryOptions`; and of `Classifier`: weights,
        backend, device, batch_size, jobs.

    Returns
    -------
    GalleryStudy

    Raises
    ------
    SptError
        For tracks, weights or options that can't be used.
    """
    import pandas as pd

    watcher, source = watcher or Watcher(), source or TrackSource()
    wanted, network = GalleryOptions.split_from(options)
    explained, of = wanted.explained, wanted.of
    chosen = parse_methods(wanted.methods, (PAPER_METHOD,))
    settings = remark_settings or Settings(seed=source.seed)
    scorer = Scorer(**network)
    seconds: dict[str, float] = {}
    opened = source.open(scorer.classes, tracks=TRACKS, length=LENGTH, watcher=watcher)
    watcher.ready(scorer.classifier, opened.words)
    scorer.settle(opened)
    found: dict[str, list[pd.DataFrame]] = {one.name: [] for one in chosen}
    drawn: dict[str, list[pd.DataFrame]] = {one.name: [] for one in chosen}
    done = left_out = 0
    for label, tracks in opened.by_class():
        name = scorer.classes[label]
        n = len(tracks)
        if n > MOST_TRACKS:
            left_out += n - MOST_TRACKS
            tracks = tracks.subset(MOST_TRACKS, source.seed)
        with timed(seconds, "scores"):
            said = watcher.part("scoring", done, n, len(opened))
            score, target, correct = _scores(scorer, tracks, chosen, explained, of, said)
        kept = _sample(correct, wanted.samples, source.seed + label)
        for how in chosen:
            frames = _frames(tracks, score[how.name], opened.name)
            told = pd.DataFrame(
                {
                    "file": opened.name,
                    "particle": np.arange(len(tracks)),
                    "segment": 0,
                    "class": name,
                    "explained": np.asarray(scorer.classes, dtype=object)[target],
                }
            )
            with timed(seconds, "remarks"):
                found[how.name].append(remarks(frames, told, settings=settings))
            for number, i in enumerate(kept):
                some = frames.iloc[tracks.offsets[i] : tracks.offsets[i + 1]]
                drawn[how.name].append(
                    pd.DataFrame(
                        {
                            "method": how.name,
                            "class": name,
                            "sample": number,
                            "track": i,
                            **{c: some[c].to_numpy() for c in ("frame", "x", "y", "score")},
                        }
                    )
                )
        done += n
        watcher.progress("scoring", done, len(opened))
    tables: list[pd.DataFrame] = []
    for method, per_class in found.items():
        filled = [part for part in per_class if len(part)]  # Brownian motion has no remark
        joined = (
            pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=[*COLUMNS])
        )
        joined.insert(0, "method", method)
        tables.append(joined)
    notes = opened.notes
    if left_out:
        notes += (f"{MOST_TRACKS:,} tracks of a class at most are measured, chosen at random; "
                  f"{left_out:,} were left out.",)  # fmt: skip
    every = [one for parts in drawn.values() for one in parts]
    record = record_of(
        "gallery", scorer.classifier, data=opened.data, words=opened.words,
        settings={"methods": [one.name for one in chosen], "explained": explained, "of": of,
                  "samples": wanted.samples, "seed": source.seed},
        notes=notes, seconds=seconds,
    )  # fmt: skip
    return GalleryStudy(
        pd.concat(tables, ignore_index=True),
        pd.concat(every, ignore_index=True) if every else pd.DataFrame(),
        record,
    )


def _scores(
    scorer: Scorer,
    tracks: LabelledTracks,
    chosen: Sequence[ScoreMethod],
    explained: Explained,
    of: ScoreOf,
    said: Callable[[int, int], None],
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], NDArray[np.bool_]]:
    """Return each method's score of every frame, the class they are for, and who is told right."""
    from spt_explain.studies.sources import split

    score: dict[str, list[NDArray[np.float64]]] = {one.name: [] for one in chosen}
    targets, right = [], []
    done, total = 0, len(tracks) * len(chosen)
    for part in split(tracks, POINTS_AT_ONCE):
        seen = scorer.examine(part)
        for how in chosen:
            score[how.name].append(seen.frames(seen.maps(how, explained, of)).score)
            done += len(part)
            said(done, total)
        targets.append(seen.target(explained))
        right.append(seen.correct)
    joined = {name: np.concatenate(parts) for name, parts in score.items()}
    return joined, np.concatenate(targets), np.concatenate(right)


def _sample(correct: NDArray[np.bool_], n: int, seed: int) -> NDArray[np.int64]:
    """Return a random choice of tracks told right; others where those are too few."""
    order = np.random.default_rng(seed).permutation(len(correct))
    order = order[np.argsort(~correct[order], kind="stable")]
    return np.sort(order[:n])


def _frames(tracks: LabelledTracks, score: NDArray[np.float64], name: str) -> pd.DataFrame:
    import pandas as pd

    owner = np.repeat(np.arange(len(tracks)), tracks.length)
    return pd.DataFrame(
        {
            "file": pd.Categorical([name]).take(np.zeros(len(owner), np.int64)),
            "particle": owner,
            "segment": 0,
            "frame": np.arange(len(owner)) - tracks.offsets[:-1][owner],
            "x": tracks.positions[:, 0],
            "y": tracks.positions[:, 1],
            "score": score,
        }
    )
