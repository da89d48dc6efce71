"""A set of weights put to the test: trajectories of known class, the network, the figures of merit.

`evaluate` is the command ``spt-explain evaluate`` without its files.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.resandi import DEFAULT_THRESHOLD
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.judging import Prediction
from spt_explain.training.evaluation import Evaluation, evaluate_predictions
from spt_explain.training.labelled import LABEL_COLUMN, LabelledTracks, join, read_labelled
from spt_explain.training.options import EvaluateOptions
from spt_explain.training.simulated import NOISE_LEVELS, TRACKS, Protocol, simulate_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spt_explain.readers.inputs import Input
    from spt_explain.tracks.quality import QualityPolicy

_PAPER_LENGTH = EvaluateOptions().length


@dataclass(frozen=True, eq=False)
class TestRun:
    """A finished test.

    Attributes
    ----------
    evaluation : Evaluation
        What came out.
    weights : dict
        Name, version and SHA-256 of the weights.
    device, backend : str
        What ran the network.
    data : dict
        Where the trajectories came from.
    settings : dict
        Everything else that decides the result.
    notes : tuple of str
        Sentences a user must know.
    published : bool
        Whether the paper's figures are of the same protocol.
    seconds : dict of str to float
        Time for ``data`` and ``network``.
    """

    __test__ = False  # not a test of pytest's

    evaluation: Evaluation
    weights: dict[str, Any]
    device: str
    backend: str
    data: dict[str, Any]
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    published: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


class Watcher:
    """What a caller may want to hear meanwhile; every method does nothing by default."""

    def read(self, tracks: LabelledTracks) -> None:
        """Report a file that was read."""

    def ready(self, classifier: Classifier, what: str) -> None:
        """Report the network, and in words what it is going to be tested on."""

    def progress(self, done: int, total: int) -> None:
        """Report trajectories done and their number."""


def evaluate(
    weights: str | None = None,
    data: Sequence[str | Path | Input] = (),
    *,
    label_column: str = LABEL_COLUMN,
    policy: QualityPolicy | None = None,
    reading: dict[str, Any] | None = None,
    tracks: int | None = None,
    noise: Sequence[float] | None = None,
    length: tuple[int, int] = _PAPER_LENGTH,
    even_lengths: bool = False,
    exposure: float = 0.0,
    missing: float = 0.0,
    seed: int = 1,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    jobs: int | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    watcher: Watcher | None = None,
) -> TestRun:
    """Test a set of weights on trajectories whose class is known.

    Parameters
    ----------
    weights : str, optional
        Name of the weights; the shipped default if not given.
    data : sequence of str, pathlib.Path or Input
        Files of labelled tracks (see `read_labelled`); simulated ones if there are none.
    label_column, policy, reading
        How to read them (see `read_labelled`).
    tracks : int, optional
        Trajectories at each noise level: simulated, `TRACKS` by default; of files, a random
        choice with the classes as even in number as can be, all by default.
    noise : sequence of float, optional
        Noise levels, in units of the displacement's standard deviation (1/SNR). Simulated: the
        paper's by default, 0, 0.1 … 1, each with trajectories of its own. Of files: added to
        every position, the same trajectories at each level; by default none is added.
    length, even_lengths, exposure, missing
        Of the simulated trajectories; see `Protocol`.
    seed : int
        Of simulation, choice and noise.
    backend, device, precision, batch_size, jobs, threshold
        See `Classifier`.
    watcher : Watcher, optional
        Told what happens.

    Returns
    -------
    TestRun

    Raises
    ------
    SptError
        For data, weights or options that can't be used.
    """
    watcher = watcher or Watcher()
    wanted = EvaluateOptions(
        tracks=tracks,
        noise=None if noise is None else tuple(noise),
        length=length,
        even_lengths=even_lengths,
        exposure=exposure,
        missing=missing,
        seed=seed,
    )
    levels = wanted.noise
    protocol = Protocol.taken_from(dict(wanted) | {"tracks": tracks or TRACKS})
    seconds = {"data": 0.0, "network": 0.0}
    clock = time.perf_counter()
    classifier = Classifier(
        weights,
        backend=backend,
        device=device,
        precision=precision,
        batch_size=batch_size,
        jobs=jobs,
        threshold=threshold,
    )
    classes = classifier.weights.architecture.classes
    files: LabelledTracks | None = None
    reports: list[dict[str, Any]] = []
    notes: tuple[str, ...] = ()
    if data:
        parts = []
        for name in data:
            one = read_labelled(
                name, label_column=label_column, classes=classes, policy=policy, reading=reading
            )
            watcher.read(one)
            parts.append(one)
        reports = [{**part.report, "tracks_tested": len(part)} for part in parts]
        files = join(parts)
        notes = files.notes
        if tracks is not None:
            files = files.subset(tracks, seed)
        if levels and np.isfinite(files.noise).any() and np.nanmax(files.noise) > 0:
            raise SptError(
                f"{option('noise')} adds noise to every position, and the data say that theirs "
                f"have some already (column noise). Leave {option('noise')} out, or the column.",
                code="conflict",
                option="noise",
            )
        plan: list[float | None] = list(levels) if levels else [None]
        each = len(files)
        if len(plan) > 1:
            notes = (
                *notes,
                "The same tracks were tested at every noise level: rows of all levels together "
                "count each track several times, and their intervals are too narrow.",
            )
    else:
        plan = list(levels or NOISE_LEVELS)
        each = protocol.per_class(len(classes)) * len(classes)
    total = each * len(plan)
    watcher.ready(classifier, _in_words(files, plan, each, protocol, len(classes)))

    def batches() -> Iterator[LabelledTracks]:
        for level in plan:
            if files is None:
                assert level is not None
                yield from simulate_test(protocol, level, classes=classes)
            else:
                yield files if level is None else files.with_noise(level, seed)

    predictions: list[Prediction] = []
    truth: list[tuple[Any, ...]] = []
    done = 0
    seconds["data"] += time.perf_counter() - clock
    clock = time.perf_counter()
    for batch in batches():
        seconds["data"] += time.perf_counter() - clock
        predictions.append(
            classifier.predict(
                batch.positions,
                batch.offsets,
                progress=_share_of(watcher, done, len(batch), total),
                seconds=seconds,
            )
        )
        truth.append((batch.label, batch.length, batch.alpha, batch.noise))
        done += len(batch)
        watcher.progress(done, total)
        clock = time.perf_counter()
    label, lengths, alpha, levels_of = (np.concatenate(c) for c in zip(*truth, strict=True))
    evaluation = evaluate_predictions(
        _joined(predictions), label, lengths, alpha, levels_of, classes=classes, threshold=threshold
    )
    found = classifier.weights
    return TestRun(
        evaluation=evaluation,
        weights={"name": found.name, "version": found.version, "sha256": found.sha256},
        device=classifier.backend.device.description,
        backend=classifier.backend_name,
        data={"files": reports} if files is not None else {"simulated": protocol.to_dict()},
        settings={
            "seed": seed,
            "tracks": tracks,
            "noise_levels": plan,
            "threshold": threshold,
            "batch_size": classifier.batch_size,
        },
        notes=notes,
        published=_is_published(files, protocol),
        seconds={key: round(value, 3) for key, value in seconds.items()},
    )


def _is_published(files: LabelledTracks | None, protocol: Protocol) -> bool:
    if files is None:
        return protocol.published
    archive = files.report.get("format") == "NumPy archive"
    lengths = files.length
    low, high = _PAPER_LENGTH
    return archive and bool(
        low <= lengths.min() < 20 and 900 < lengths.max() <= high and len(files) >= 80
    )


def _in_words(
    files: LabelledTracks | None,
    plan: Sequence[float | None],
    each: int,
    protocol: Protocol,
    n_classes: int,
) -> str:
    known = [level for level in plan if level is not None]
    said = f"1/SNR {known[0]:g}" if len(known) == 1 else ""
    if len(known) > 1:
        said = f"each of {len(known)} noise levels (1/SNR {known[0]:g} to {known[-1]:g})"
    if files is not None:
        return f"{each:,} labelled tracks" + (f" with noise added, at {said}" if said else "")
    low, high = protocol.length
    text = f"{each // n_classes:,} simulated tracks of each of {n_classes} classes at {said}, "
    text += f"{low}–{high} points" if low < high else f"{low} points"
    if protocol.even_lengths:
        text += " (as many in each length band)"
    if protocol.exposure:
        text += f", exposure {protocol.exposure:g} of the frame"
    if protocol.missing:
        text += f", {100 * protocol.missing:g} % of frames missing"
    return f"{text}; seed {protocol.seed}"


def _share_of(watcher: Watcher, before: int, n: int, total: int) -> Callable[[int, int], None]:
    """Turn windows of a batch into trajectories of the whole."""

    def report(done: int, windows: int) -> None:
        watcher.progress(before + n * done // max(windows, 1), total)

    return report


def _joined(parts: Sequence[Prediction]) -> Prediction:
    alphas = [part.alpha for part in parts if part.alpha is not None]
    return Prediction(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate(alphas) if len(alphas) == len(parts) else None,
        np.concatenate([part.windows for part in parts]),
    )
