"""What every study keeps beside its tables: what it was made with and of."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spt_explain.resandi.classifier import Classifier


@dataclass(frozen=True)
class Record:
    """How a study was made.

    Attributes
    ----------
    study : str
        Its name.
    weights : dict
        Name, version and SHA-256 of the weights.
    backend, device : str
        What ran the network.
    data : dict
        Where the tracks came from.
    words : str
        What was studied, for people.
    settings : dict
        Everything else that decides the result.
    notes : tuple of str
        Sentences a user must know.
    seconds : dict of str to float
        Time for its parts.
    """

    study: str
    weights: dict[str, Any]
    backend: str
    device: str
    data: dict[str, Any]
    words: str
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def record_of(
    study: str,
    classifier: Classifier,
    *,
    data: dict[str, Any],
    words: str,
    settings: dict[str, Any],
    notes: tuple[str, ...] = (),
    seconds: dict[str, float] | None = None,
) -> Record:
    """Return the record of a study; arguments as the attributes of `Record`."""
    found = classifier.weights
    return Record(
        study=study,
        weights={"name": found.name, "version": found.version, "sha256": found.sha256},
        backend=classifier.backend_name,
        device=classifier.backend.device.description,
        data=data,
        words=words,
        settings={**settings, "batch_size": classifier.batch_size},
        notes=notes,
        seconds={key: round(value, 3) for key, value in (seconds or {}).items()},
    )


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the time that something takes."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a share, of 95 % by default; NaN of nothing."""
    if not n:
        return float("nan"), float("nan")
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * ((p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5) / (1 + z * z / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def mean_interval(values: NDArray[np.float64], z: float = 1.96) -> tuple[float, float, float]:
    """Return the mean of what is not NaN and its interval, of 95 % by default."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan"), float("nan")
    mean = float(known.mean())
    half = z * float(known.std(ddof=1)) / len(known) ** 0.5 if len(known) > 1 else float("nan")
    return mean, mean - half, mean + half
