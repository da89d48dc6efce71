"""What is lost when parts of a trajectory are erased by their score (Bae, Baek & Jeong, Figs. 2–3).

Each method ranks the parts of a trajectory; each tenth of them is erased in turn, and the network
is asked again. Where scores point at what a verdict rests on, accuracy falls from the lowest tenth
erased to the highest. `spt_explain.studies.protocols` says what erasing is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.explain import erasure as erasing
from spt_explain.readers.wording import some
from spt_explain.studies.erasure_tables import ALL, RANDOM, Tally, tables
from spt_explain.studies.options import ErasureOptions
from spt_explain.studies.protocols import (
    PARTS,
    SUBINTERVALS,
    ask_erased,
    erased_frames,
    on_input,
    on_track,
    padded_parts,
    parts_of,
    subinterval_parts,
)
from spt_explain.studies.record import Record, record_of, timed
from spt_explain.studies.scoring import (
    ALL_METHODS,
    PAPER_METHOD,
    Scorer,
    parse_methods,
)
from spt_explain.studies.sources import TrackSource, Watcher

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.explain.options import ScoreOf
    from spt_explain.explain.scores import FrameScores
    from spt_explain.studies.options import ErasureProtocol, Explained
    from spt_explain.studies.scoring import Seen

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

TRACKS, LENGTH = ErasureOptions.simulated
EXPLAINED: dict[ErasureProtocol, Explained] = {
    "cut": "predicted", "track": "true", "paper": "true"
}  # fmt: skip
OF: dict[ErasureProtocol, ScoreOf] = {"cut": "log-odds", "track": "logit", "paper": "logit"}
"""Which class scores are for, and what of it, where nothing else is asked for: as `explain` does,
and as the authors' program does."""
EXAMPLES = 4


@dataclass(frozen=True, eq=False)
class ErasureStudy:
    """What came out.

    Attributes
    ----------
    deciles : pandas.DataFrame
        A row for each protocol, method, length band and decile: ``protocol, method, points,
        decile`` (1 the lowest scores), ``accuracy, accuracy_low, accuracy_high, random, padding``
        (share of what is erased that lies before the trajectory; of "paper"), ``n_tracks,
        published, published_random`` (the paper's, where they can be compared).
    methods : pandas.DataFrame
        A row for each protocol, method and length band: ``protocol, method, points, min_points,
        max_points, n_tracks, accuracy`` (nothing erased), ``lowest, highest, difference`` (of the
        accuracies with the lowest and the highest decile erased) and its interval, ``random``,
        ``falls`` (in how many of the nine steps from decile to decile accuracy falls), ``loss_top,
        loss_random, gain`` (of the explained class's probability, mean, with the top fifth of the
        frames cut out by score and at random, and their difference) and its interval, ``n_checked,
        passed`` (share that passes the check of `explain`; NaN but for "cut"), ``behind`` (the best
        method of this protocol and band, in `gain`, or in `difference` without it) and its paired
        interval, ``best``, ``as_good`` (the interval holds 0).
    examples : pandas.DataFrame
        A row a frame of a few trajectories: ``track, class, frame, x, y, score, by_score,
        at_random`` (whether it is erased; Fig. 2).
    record : Record
        How it was made.
    """

    deciles: pd.DataFrame
    methods: pd.DataFrame
    examples: pd.DataFrame
    record: Record

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"methods": self.methods, "deciles": self.deciles, "examples": self.examples}

    def overall(self, protocol: str) -> pd.DataFrame:
        """Return the methods of a protocol over all lengths, the best first."""
        table = self.methods
        chosen = table[(table["protocol"] == protocol) & (table["points"] == ALL)]
        return chosen.sort_values("behind", kind="stable", na_position="last")

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words."""
        out = []
        for protocol in dict.fromkeys(self.methods["protocol"]):
            chosen = self.overall(protocol)
            chosen = chosen[chosen["method"] != RANDOM]
            if len(chosen) < 2 or not chosen["best"].any():
                continue
            first, second = chosen.iloc[0], chosen.iloc[1]
            ends = f"{100 * second['behind_low']:.1f}–{100 * second['behind_high']:.1f}"
            what = "loss of probability" if np.isfinite(first["gain"]) else "difference"
            said = f"{100 * second['behind']:.1f} points of {what} behind"
            chance = ", which may be chance" if second["as_good"] else ""
            out.append(
                f"{protocol}: {first['method']} wins; next is {second['method']}, {said} "
                f"({ends.replace('-', '−')}{chance})."
            )
            bands = self.methods[
                (self.methods["protocol"] == protocol)
                & self.methods["best"]
                & (self.methods["points"] != ALL)
            ]
            if len(bands) > 1:
                bands = bands.sort_values("min_points")
                said = "; ".join(f"{r['points']}: {r['method']}" for _, r in bands.iterrows())
                out.append(f"{protocol}, best by length in points: {said}.")
        padding = self.deciles[self.deciles["points"] == ALL].dropna(subset=["padding"])
        for method, part in padding.groupby("method", sort=False):
            share = part.sort_values("decile")["padding"].to_numpy()
            if method == PAPER_METHOD.name and share.max() > 0:
                out.append(
                    f"paper: of what {method!s} erases, {100 * share[0]:.0f} % lies before the "
                    f"trajectory in the lowest decile and {100 * share[-1]:.0f} % in the highest; "
                    "the protocol track erases within trajectories alone."
                )
        return tuple(out)


def erasure(
    source: TrackSource | None = None, *, watcher: Watcher | None = None, **options: Any
) -> ErasureStudy:
    """Erase each tenth of tracks by the scores of each method, and ask the network again.

    Parameters
    ----------
    source : TrackSource, optional
        Which tracks; 160 simulated ones of 10–1000 points by default.
    watcher : Watcher, optional
        Told what happens.
    **options
        methods, protocols, explained, of, value, draws, share: see `ErasureOptions`; and of
        `Classifier`: weights, backend, device, batch_size, jobs.

    Returns
    -------
    ErasureStudy

    Raises
    ------
    SptError
        For tracks, weights or options that can't be used, or if no track has 10 points.
    """
    watcher, source = watcher or Watcher(), source or TrackSource()
    wanted, network = ErasureOptions.split_from(options)
    chosen = parse_methods(wanted.methods, ALL_METHODS)
    wanted = wanted.changed(methods=chosen, protocols=dict.fromkeys(wanted.protocols))
    seconds: dict[str, float] = {}
    scorer = Scorer(**network)
    opened = source.open(scorer.classes, tracks=TRACKS, length=LENGTH, watcher=watcher)
    watcher.ready(scorer.classifier, opened.words)
    scorer.settle(opened)
    work = _Work(scorer, wanted, source.seed, watcher, len(opened))
    with timed(seconds, "all"):
        for batch in opened.batches():
            long_enough = np.flatnonzero(batch.length >= PARTS)
            if len(long_enough):
                work.add(scorer.examine(batch.take(long_enough)))
            work.done += len(batch)
    if not work.length:
        raise SptError(f"no track has {PARTS} points, of which each tenth could be erased.")
    notes = list(opened.notes)
    left_out = len(opened) - sum(map(len, work.length))
    if left_out:
        notes.append(f"{some(left_out, 'track')} shorter than {PARTS} points: left out.")
    comparable = opened.protocol is not None and opened.protocol.published and not opened.noise
    whole = np.concatenate(work.whole)
    deciles, table = tables(np.concatenate(work.length), whole, work.tallies, comparable=comparable)
    settings = {
        "methods": [one.name for one in chosen],
        "protocols": list(work.protocols),
        "explained": {p: work.explained_by(p) for p in work.protocols},
        "of": {p: work.of_by(p) for p in work.protocols},
        "erased_value": wanted.value,
        "draws": wanted.draws,
        "share": wanted.share,
        "seed": source.seed,
    }
    record = record_of(
        "erasure", scorer.classifier, data=opened.data, words=opened.words, settings=settings,
        notes=tuple(notes), seconds=seconds,
    )  # fmt: skip
    return ErasureStudy(deciles, table, work.example_table(), record)


class _Work:
    """Erases batch after batch, and remembers."""

    def __init__(
        self,
        scorer: Scorer,
        wanted: ErasureOptions,
        seed: int,
        watcher: Watcher,
        n_tracks: int,
    ) -> None:
        self.scorer, self.protocols, self.methods = scorer, wanted.protocols, wanted.methods
        self.explained, self.of, self.value = wanted.explained, wanted.of, wanted.value
        self.draws, self.share, self.seed = wanted.draws, wanted.share, seed
        self.watcher, self.n_tracks = watcher, n_tracks
        self.rng = np.random.default_rng(seed)
        self.full = scorer.classifier.weights.architecture.lengths[-1]
        self.done = 0
        self.length: list[Ints] = []
        self.whole: list[Bools] = []
        self.tallies: dict[tuple[ErasureProtocol, str], Tally] = {}
        self.examples: list[pd.DataFrame] = []

    def explained_by(self, protocol: ErasureProtocol) -> Explained:
        return self.explained or EXPLAINED[protocol]

    def of_by(self, protocol: ErasureProtocol) -> ScoreOf:
        return self.of or OF[protocol]

    def add(self, seen: Seen) -> None:
        """Erase the tracks of a batch."""
        self.length.append(seen.tracks.length)
        self.whole.append(seen.correct)
        steps = len(self.methods) * len(self.protocols)
        steps += sum(p != "cut" for p in self.protocols)
        taken = 0

        def step() -> None:
            nonlocal taken
            taken += 1
            done = self.done + len(seen.tracks) * taken // steps
            self.watcher.progress("erasing", done, self.n_tracks)

        for protocol in self.protocols:
            if protocol != "cut":
                tally = self.tallies.setdefault((protocol, RANDOM), Tally())
                self._erase(seen, protocol, self._random(seen, protocol), tally)
                step()
        for how in self.methods:
            kinds: dict[tuple[Explained, ScoreOf], list[ErasureProtocol]] = {}
            for protocol in self.protocols:
                kinds.setdefault((self.explained_by(protocol), self.of_by(protocol)), []).append(
                    protocol
                )
            for (explained, of), same in kinds.items():
                found = seen.maps(how, explained, of)
                scores = seen.frames(found)
                if not self.examples:
                    self.examples.append(self._examples(seen, scores))
                for protocol in same:
                    tally = self.tallies.setdefault((protocol, how.name), Tally())
                    parts = parts_of(
                        protocol, scores, seen.tracks.offsets, found, seen.ran, self.full
                    )
                    if protocol == "cut":
                        self._cut(seen, scores, parts, seen.target(explained), tally)
                    else:
                        self._erase(seen, protocol, parts, tally)
                    step()

    def _random(self, seen: Seen, protocol: ErasureProtocol) -> Ints:
        """Return deciles of random scores."""
        if protocol == "track":
            score = self.rng.random(len(seen.tracks.positions))
            return subinterval_parts(score, score, seen.tracks.offsets)
        return padded_parts(self.rng.random((len(seen.ran.starts), SUBINTERVALS)), self.full)

    def _erase(self, seen: Seen, protocol: ErasureProtocol, parts: Ints, tally: Tally) -> None:
        """Erase each decile in the input."""
        right = []
        for part in range(PARTS):
            if protocol == "track":
                gone = on_track(parts == part, seen.ran)
            else:
                gone = on_input(parts, part, self.full)
            said = ask_erased(
                self.scorer.plain, seen.tracks.positions, seen.ran, seen.prediction.recording,
                gone, self.value,
            )  # fmt: skip
            right.append(said == seen.tracks.label)
        tally.correct.append(np.stack(right, axis=1))
        if protocol == "paper":
            erased, padding = erased_frames(parts, seen.ran, self.full)
            tally.erased.append(erased)
            tally.padding.append(padding)

    def _cut(
        self, seen: Seen, scores: FrameScores, parts: Ints, target: Ints, tally: Tally
    ) -> None:
        """Cut each decile out, and as many frames at random; and check the top."""
        tracks, recording = seen.tracks, seen.prediction.recording
        right: tuple[list[Bools], list[Bools]] = ([], [])
        for part in range(PARTS):
            mask = parts == part
            for where, gone in zip(
                right, (mask, erasing.shifted(mask, tracks.offsets, self.rng)), strict=True
            ):
                path, bounds = erasing.erase(tracks.positions, tracks.offsets, gone, "cut")
                said = self.scorer.plain.predict(path, bounds, recording=recording)
                where.append(said.probabilities.argmax(axis=1) == tracks.label)
        tally.correct.append(np.stack(right[0], axis=1))
        tally.by_chance.append(np.stack(right[1], axis=1))
        own = seen.prediction.probabilities[np.arange(len(tracks)), target]
        check = erasing.check(
            self.scorer.plain, tracks.positions, tracks.offsets, scores.score, target, own,
            recording, then=scores.smooth, share=self.share, draws=self.draws, seed=self.seed,
            stop_early=False,
        )  # fmt: skip
        tally.top.append(check.top)
        tally.random.append(check.random)
        passed = (check.verdicts() == erasing.PASSED).astype(np.float64)
        passed[np.isnan(check.top)] = np.nan
        tally.passed.append(passed)

    def _examples(self, seen: Seen, scores: FrameScores) -> pd.DataFrame:
        """Return a few tracks with what is erased by score and at random (Fig. 2)."""
        import pandas as pd

        tracks, rng = seen.tracks, np.random.default_rng(self.seed)
        order = rng.permutation(np.flatnonzero(seen.correct & (tracks.length >= SUBINTERVALS)))
        each = [order[tracks.label[order] == k][:1] for k in dict.fromkeys(tracks.label[order])]
        each.sort(key=lambda one: -int(tracks.length[one[0]]))
        parts = subinterval_parts(scores.score, scores.smooth, tracks.offsets)
        chance = rng.random(len(tracks.positions))
        random = subinterval_parts(chance, chance, tracks.offsets)
        rows = []
        for number, (i,) in enumerate(each[:EXAMPLES]):
            own = slice(int(tracks.offsets[i]), int(tracks.offsets[i + 1]))
            x, y = tracks.positions[own].T
            rows.append(
                pd.DataFrame(
                    {
                        "track": number,
                        "class": self.scorer.classes[tracks.label[i]],
                        "method": self.methods[0].name,
                        "frame": np.arange(len(x)),
                        "x": x,
                        "y": y,
                        "score": scores.score[own],
                        "by_score": parts[own] == PARTS - 1,
                        "at_random": random[own] == PARTS - 1,
                    }
                )
            )
        return pd.concat(rows) if rows else pd.DataFrame()

    def example_table(self) -> pd.DataFrame:
        import pandas as pd

        return self.examples[0].reset_index(drop=True) if self.examples else pd.DataFrame()
