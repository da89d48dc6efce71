"""How each stage of the network groups trajectories (Bae, Baek & Jeong, Fig. 6).

The mean over its nodes of each stage's output, one vector a trajectory, is drawn in two dimensions
by t-SNE (openTSNE; van der Maaten & Hinton 2008). As t-SNE keeps neighbours and little else, how
separate the classes are is measured in the space of the vectors themselves: what share of a track's
nearest neighbours is of each class, how many tracks' nearest neighbours are mostly of their own
(k-nearest-neighbour accuracy), and the silhouette (Rousseeuw 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.readers.wording import some
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.graph import BLOCKS
from spt_explain.studies.options import EmbeddingOptions
from spt_explain.studies.published import TSNE_TRACKS
from spt_explain.studies.record import Record, record_of, timed
from spt_explain.studies.sources import TrackSource, Watcher

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.training.labelled import LabelledTracks

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

TRACKS, LENGTH = EmbeddingOptions.simulated
SCORED = 10_000
"""Most tracks, a random choice, that neighbours and silhouettes are measured of."""
GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "block1": (("SubFBM",), ("SupFBM", "SupLW"), ("SubATTM", "SubCTRW", "SubSBM", "SupSBM", "BM")),
    "block2": (
        ("SubFBM",),
        ("SupFBM",),
        ("SupLW",),
        ("SubATTM",),
        ("SubCTRW",),
        ("SubSBM", "SupSBM", "BM"),
    ),
}
"""The clusters that the text of Sec. IV A sees in a block's output; in those of later blocks each
class is one. SubATTM is in two of the first block's, [SubATTM, SubCTRW] and [SubATTM, SubSBM,
SupSBM, BM], which are one here."""


@dataclass(frozen=True, eq=False)
class EmbeddingStudy:
    """What came out.

    Attributes
    ----------
    blocks : pandas.DataFrame
        A row a block: ``block, channels, n_tracks, n_scored, knn_accuracy`` and its interval,
        ``silhouette``, ``group_accuracy`` (the same of the paper's clusters of that block, which
        may hold several classes), ``n_groups``.
    classes : pandas.DataFrame
        A row a block and class: ``block, class, knn_accuracy, silhouette, n_scored``, and
        ``near_<class>``: the mean share of its tracks' nearest neighbours that are of each class.
    points : pandas.DataFrame
        A row a track: ``track, class, n_points``, then ``block1_1, block1_2`` … its place in the
        map of each block; empty if no maps were asked for.
    record : Record
        How it was made.
    """

    blocks: pd.DataFrame
    classes: pd.DataFrame
    points: pd.DataFrame
    record: Record

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"blocks": self.blocks, "classes": self.classes, "points": self.points}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words."""
        each = ", ".join(
            f"{100 * row['knn_accuracy']:.0f} % (silhouette {row['silhouette']:.2f})"
            for _, row in self.blocks.iterrows()
        ).replace("-", "−")
        return (f"Nearest neighbours of the same class, blocks 1 to {len(self.blocks)}: {each}.",)


def embedding(
    source: TrackSource | None = None, *, watcher: Watcher | None = None, **options: Any
) -> EmbeddingStudy:
    """Map tracks by the output of each block, and measure how separate the classes are.

    Parameters
    ----------
    source : TrackSource, optional
        Which tracks; 2000 simulated ones of 1000 points by default.
    watcher : Watcher, optional
        Told what happens.
    **options
        neighbours, perplexity, maps: see `EmbeddingOptions`; and of `Classifier`: weights, backend,
        device, batch_size, jobs. The result of t-SNE may differ between numbers of jobs; all cores
        for the network and one for t-SNE by default.

    Returns
    -------
    EmbeddingStudy

    Raises
    ------
    SptError
        For tracks, weights or options that can't be used, or if openTSNE or scikit-learn is not
        installed.
    """
    import pandas as pd

    _require_installed()
    watcher, source = watcher or Watcher(), source or TrackSource()
    wanted, network = EmbeddingOptions.split_from(options)
    neighbours, perplexity, jobs = wanted.neighbours, wanted.perplexity, network.get("jobs")
    classifier = Classifier(**network, taps=BLOCKS)
    classes = classifier.weights.architecture.classes
    seconds: dict[str, float] = {}
    opened = source.open(classes, tracks=TRACKS, length=LENGTH, watcher=watcher)
    watcher.ready(classifier, opened.words)
    labels, lengths = [], []
    vectors: dict[str, list[NDArray[np.float32]]] = {block: [] for block in BLOCKS}
    done = 0
    with timed(seconds, "network"):
        for batch in opened.batches():
            for block, values in pooled(classifier, batch).items():
                vectors[block].append(values)
            labels.append(batch.label)
            lengths.append(batch.length)
            done += len(batch)
            watcher.progress("looking at tracks", done, len(opened))
    label, length = np.concatenate(labels), np.concatenate(lengths)
    if len(np.unique(label)) < 2 or len(label) <= neighbours:
        raise SptError(
            f"found {some(len(label), 'track')}, classes: {len(np.unique(label))}; expected two "
            f"classes or more, and more than {neighbours} tracks ({option('neighbours')}).",
            option="neighbours",
        )
    rng = np.random.default_rng(source.seed)
    scored = np.sort(rng.permutation(len(label))[:SCORED])
    blocks, by_class = [], []
    points: dict[str, Any] = {
        "track": np.arange(len(label)),
        "class": np.asarray(classes, dtype=object)[label],
        "n_points": length,
    }
    for number, block in enumerate(BLOCKS):
        values = np.concatenate(vectors[block])
        with timed(seconds, "neighbours"):
            row, rows = _separation(block, values, label, scored, classes, neighbours)
        blocks.append({**row, "n_tracks": len(label)})
        by_class += rows
        if wanted.maps:
            with timed(seconds, "maps"):
                place = _tsne(values, perplexity, source.seed, jobs or 1)
            points[f"{block}_1"], points[f"{block}_2"] = place.T
        watcher.progress("mapping blocks", number + 1, len(BLOCKS))
    notes = list(opened.notes)
    if len(label) > SCORED:
        notes.append(f"Neighbours and silhouettes were measured of {SCORED:,} tracks, chosen at "
                     f"random, among all {len(label):,}.")  # fmt: skip
    notes.append(f"The paper's Fig. 6 has {TSNE_TRACKS:,} trajectories of its training set; these "
                 f"are {len(label):,} that the network never saw.")  # fmt: skip
    settings = {
        "neighbours": neighbours,
        "perplexity": min(perplexity, _most_perplexity(len(label))),
        "maps": wanted.maps,
        "seed": source.seed,
        "scored": len(scored),
    }
    record = record_of("embedding", classifier, data=opened.data, words=opened.words,
                       settings=settings, notes=tuple(notes), seconds=seconds)  # fmt: skip
    return EmbeddingStudy(
        pd.DataFrame(blocks),
        pd.DataFrame(by_class),
        pd.DataFrame(points) if wanted.maps else pd.DataFrame(),
        record,
    )


def pooled(classifier: Classifier, tracks: LabelledTracks) -> dict[str, NDArray[np.float32]]:
    """Return the mean of each block's output over its nodes, (m, channels) each.

    Parameters
    ----------
    classifier : Classifier
        With the blocks as taps.
    tracks : LabelledTracks

    Returns
    -------
    dict of str to numpy.ndarray
        Of masked inputs the mean over the nodes inside; of padded ones over all, as the network's
        own mean is. Of tracks in several windows, the mean over the windows.
    """
    shape = classifier.weights.architecture
    placed = classifier.place(tracks.offsets)
    sums = {b: np.zeros((len(tracks), w)) for b, w in zip(BLOCKS, shape.stage_widths, strict=True)}
    for part, inputs in classifier.inputs(tracks.positions, placed.starts, placed.stops):
        padded = inputs.shape[2]
        begin = padded - (placed.stops - placed.starts)[part] - shape.margin
        for stage, block in enumerate(BLOCKS):
            if not stage:
                taps = classifier.backend.tapped(inputs)[1]
            nodes = taps[block].shape[2]
            count = np.full(len(part), nodes)
            if shape.padding == "masked":
                count = nodes - np.maximum(begin, 0) // (4 * 2**stage)
            mean = taps[block].sum(axis=2, dtype=np.float64) / count[:, None]
            np.add.at(sums[block], placed.owner[part], mean)
    windows = np.bincount(placed.owner, minlength=len(tracks))[:, None]
    return {block: (total / windows).astype(np.float32) for block, total in sums.items()}


def _separation(
    block: str,
    values: NDArray[np.float32],
    label: Ints,
    scored: Ints,
    classes: tuple[str, ...],
    neighbours: int,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return how separate the classes are, of all tracks and class by class."""
    from sklearn.metrics import silhouette_samples
    from sklearn.neighbors import NearestNeighbors

    from spt_explain.studies.record import wilson

    search = NearestNeighbors(n_neighbors=neighbours + 1).fit(values)
    near = search.kneighbors(values[scored], return_distance=False)
    # without the track itself, wherever it stands among tracks at the same place
    near = np.take_along_axis(near, np.argsort(near == scored[:, None], 1, kind="stable"), 1)
    share = np.zeros((len(scored), len(classes)))
    for k in range(neighbours):
        share[np.arange(len(scored)), label[near[:, k]]] += 1 / neighbours
    own = label[scored]
    right = share.argmax(axis=1) == own
    far = np.full(len(scored), np.nan)
    if 1 < len(np.unique(own)) < len(own):
        far = silhouette_samples(values[scored], own)
    group = _group_of(block, classes)
    by_group = np.zeros((len(scored), int(group.max()) + 1))
    for k in range(len(classes)):
        by_group[:, group[k]] += share[:, k]
    low, high = wilson(int(right.sum()), len(right))
    row = {
        "block": block,
        "channels": values.shape[1],
        "n_scored": len(scored),
        "knn_accuracy": right.mean(),
        "knn_accuracy_low": low,
        "knn_accuracy_high": high,
        "silhouette": far.mean(),
        "group_accuracy": (by_group.argmax(axis=1) == group[own]).mean(),
        "n_groups": by_group.shape[1],
    }
    rows = []
    for k in np.unique(own):
        mine = own == k
        rows.append(
            {
                "block": block,
                "class": classes[k],
                "knn_accuracy": right[mine].mean(),
                "silhouette": far[mine].mean(),
                "n_scored": int(mine.sum()),
                **{f"near_{c}": share[mine, i].mean() for i, c in enumerate(classes)},
            }
        )
    return row, rows


def _group_of(block: str, classes: tuple[str, ...]) -> Ints:
    """Return which of the paper's clusters each class is in; a class of its own where in none."""
    groups = GROUPS.get(block, ())
    found = [next((i for i, g in enumerate(groups) if c in g), -1) for c in classes]
    new = len(groups)
    for i, one in enumerate(found):
        if one < 0:
            found[i], new = new, new + 1
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _most_perplexity(n: int) -> float:
    return max((n - 1) / 3, 1.0)


def _tsne(values: NDArray[np.float32], perplexity: float, seed: int, jobs: int) -> Floats:
    """Return each track's place in two dimensions, (m, 2)."""
    from openTSNE import TSNE

    found = TSNE(
        perplexity=min(perplexity, _most_perplexity(len(values))),
        initialization="pca",
        random_state=seed,
        n_jobs=jobs,
    ).fit(values.astype(np.float64))
    return np.asarray(found, np.float64)


def _require_installed() -> None:
    from importlib.util import find_spec

    for name, package in (("openTSNE", "openTSNE"), ("sklearn", "scikit-learn")):
        if find_spec(name) is None:
            raise SptError(
                f"this study needs {package}, which is not installed. "
                'Install it: pip install "spt-explain[studies]"',
                code="unavailable",
            )
