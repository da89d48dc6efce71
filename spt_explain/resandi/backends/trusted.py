"""No device is trusted unseen: what runs the network is compared with the reference first.

A library may compute wrongly at some sizes only. (cuDNN 9.19 does: its float32 convolution of
(2048, 64, 1, 128) with 15 taps is off by 17 in one row of 64.) So before a batch of a size and
padded length runs for the first time, the reference windows fill a batch of just that shape, and
every row must agree with the outputs on the card of the weights. Where one does not, the next way
of running the network is taken, and that is said. What was found is remembered by device, driver,
library versions, weights and shape, so that it costs a batch once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError, command
from spt_explain.resandi.backends.devices import first_line
from spt_explain.resandi.backends.reference import (
    KEY,
    compute_reference,
    difference,
    from_card,
    reference_windows,
    to_card,
)
from spt_explain.resandi.backends.runner import (
    OutOfMemoryError,
    Output,
    Part,
    Windows,
    plan,
    rows_at,
)
from spt_explain.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.backends.devices import Device
    from spt_explain.resandi.backends.runner import Precision, Runner
    from spt_explain.resandi.weights import Weights

TOLERANCE: dict[Precision, float] = {"float32": 5e-4, "tf32": 1e-2, "float16": 1e-2}
"""Largest difference of a probability from the reference that is taken as rounding. Measured over
80,000 trajectories: see the table of devices in the documentation."""
CACHE = "verified.json"
CACHE_VARIABLE = "SPT_EXPLAIN_CACHE"
"""Environment variable that names the folder for what can be found out again."""
_MOST_REMEMBERED = 2000
_BLOCK = 64
"""Rows after which the reference windows move on by one. A window whose class is certain hides
small errors; errors that come back in each block of rows are then seen with the other windows."""
_FEWEST_ROWS = 16
"""Windows of full length at a time, below which a device that runs out of memory is given up."""


@dataclass(frozen=True)
class Candidate:
    """One way of running the network that may be tried.

    Attributes
    ----------
    name : str
        For people: library, device, precision.
    start : callable
        Makes the runner, for a batch size or its own (None).
    batch_size : int or None
        Windows of full length at a time.
    kind : str
        Kind of its device (`Device`).
    """

    name: str
    start: Callable[[int | None], Runner]
    batch_size: int | None = None
    kind: str = ""


@dataclass(frozen=True, eq=False)
class _Repeated(Windows):
    """A few windows many times: the CPU makes the inputs of each once for all rows of a batch."""

    few: Windows = field(kw_only=True)
    which: NDArray[np.int64] = field(kw_only=True)

    @classmethod
    def of(cls, few: Windows, which: NDArray[np.int64]) -> _Repeated:
        return cls(few.positions, few.starts[which], few.stops[which], few=few, which=which)

    def inputs(
        self, index: NDArray[np.int64], padded: int, architecture: Architecture
    ) -> NDArray[np.float32]:
        made = self.few.inputs(np.arange(len(self.few.starts)), padded, architecture)
        return made[self.which[index]]


@dataclass(frozen=True)
class Verification:
    """How a batch shape compared with the reference.

    Attributes
    ----------
    name : str
        What was compared: library, device, precision.
    padded, size : int
        Length in frames, and rows of the batch.
    wrong : int
        Rows off by more than the tolerance.
    difference : float
        Largest difference of a probability, or half of that of α; NaN for outputs that are no
        numbers.
    tolerance : float
        What counts as rounding.
    remembered : bool
        Whether that was found earlier.
    """

    name: str
    padded: int
    size: int
    wrong: int
    difference: float
    tolerance: float
    remembered: bool = False

    @property
    def holds(self) -> bool:
        """Whether the shape can be trusted."""
        return self.wrong == 0

    def in_words(self) -> str:
        """Return what was found, in one line."""
        where = f"{self.name}, {self.size:,} windows of {self.padded} frames"
        if self.holds:
            return f"{where}: off by at most {self.difference:.1e} (allowed: {self.tolerance:g})"
        return (
            f"{where}: {self.wrong:,} WRONG, by up to {self.difference:.2g} "
            f"(allowed: {self.tolerance:g})"
        )


class TrustedBackend:
    """Runs the network in the first of several ways that agrees with the reference.

    Parameters
    ----------
    weights : Weights
        What is run.
    candidates : sequence of Candidate
        In the order they are tried; the first must start.
    first : Runner, optional
        The first of them, started already.

    Attributes
    ----------
    notes : list of str
        What is to be said: which way was given up, why, and what is used instead.
    """

    def __init__(
        self, weights: Weights, candidates: Sequence[Candidate], first: Runner | None = None
    ) -> None:
        self.weights = weights
        self.architecture = weights.architecture
        self.notes: list[str] = []
        self._candidates = list(candidates)
        self._runner = first or self._candidates[0].start(self._candidates[0].batch_size)
        self._trusted: set[tuple[int, int, str]] = set()
        self._reference: dict[int, NDArray[np.float32]] | None = None
        self._windows: dict[int, Windows] = {}
        self._memory = _Memory()
        self._others: dict[tuple[int, int, str], bool] = {}

    @property
    def device(self) -> Device:
        """Where the network runs."""
        return self._runner.device

    @property
    def precision(self) -> Precision:
        """Precision of the multiplications."""
        return self._runner.precision

    @property
    def batch_size(self) -> int:
        """Windows of full length at a time."""
        return self._runner.batch_size

    def stream(
        self,
        positions: NDArray[np.float64],
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
        *,
        tapped: bool = True,
    ) -> Iterator[tuple[NDArray[np.int64], Output]]:
        """Run the network on windows, batch by batch.

        Parameters
        ----------
        positions : numpy.ndarray, shape (n_points, 2)
            x and y of many trajectories, one after the other, in any unit.
        starts, stops : numpy.ndarray, shape (n,)
            Rows of the windows, none longer than the architecture's.
        tapped : bool
            Whether the taps are wanted as well.

        Yields
        ------
        index : numpy.ndarray of int64, shape (m,)
            Which windows; each comes once, in an order of the backend's own.
        output : Output
            Of those.

        Raises
        ------
        SptError
            If no way is left that runs and agrees with the reference.
        """
        left = np.arange(len(starts))
        while len(left):
            windows = Windows(positions, starts[left], stops[left], tapped)
            parts = self._planned(windows.lengths)
            done = np.zeros(len(left), bool)
            try:
                for part, output in self._runner.stream(windows, parts):
                    done[part.windows] = True
                    yield left[part.windows], output
            except OutOfMemoryError as error:
                self._smaller(str(error))
            left = left[~done]

    def run(self, inputs: NDArray[np.float32]) -> Output:
        """Run the network on inputs of one's own, (n, channels, padded), at any length.

        Lengths that tracks are padded to are compared with the reference as in `stream`.
        """
        found: list[Output] = []
        at, size = 0, max(1, len(inputs))
        while at < len(inputs) or not found:
            runner = self._runner
            try:
                if inputs.shape[2] in self.architecture.run_lengths and len(inputs):
                    shape = inputs.shape[2], min(size, len(inputs) - at)
                    failed = self._first_failing({shape})
                    if failed is not None:
                        self._next(_wrong(failed))
                        continue
                found.append(runner.run(inputs[at : at + size]))
                at += size
            except OutOfMemoryError as error:
                self._smaller(str(error))
                size = max(1, size // 2) if self._runner is runner else max(1, len(inputs) - at)
        if len(found) == 1:
            return found[0]
        taps = {k: np.concatenate([one.taps[k] for one in found]) for k in found[0].taps}
        return Output(np.concatenate([one.outputs for one in found]), taps)

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's (n, outputs) of (n, channels, padded length) inputs."""
        return self.run(inputs).outputs

    def tapped(
        self, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the outputs, and by name what was asked for beside them (`graph.TAPS`)."""
        found = self.run(inputs)
        return found.outputs, found.taps

    def verify(self) -> list[Verification]:
        """Compare a full batch of every length with the reference anew.

        Returns
        -------
        list of Verification
            One for each padded length; where one fails, further ones of what is used instead.

        Raises
        ------
        SptError
            If no way is left that agrees with the reference.
        """
        found: list[Verification] = []
        while True:
            rows = {
                padded: rows_at(self.batch_size, self.architecture, padded)
                for padded in self.architecture.run_lengths
            }
            try:
                self._runner.expect({padded: padded * size for padded, size in rows.items()})
                found += [self._compare(*shape, anew=True) for shape in rows.items()]
            except OutOfMemoryError as error:
                self._smaller(str(error))
                continue
            except SptError as error:
                self._failed(error)
                continue
            self._memory.keep()
            failed = [one for one in found[-len(rows) :] if not one.holds]
            if not failed:
                return found
            self._next(_wrong(failed[0]))

    def agrees(
        self,
        run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        padded: int,
        size: int,
        name: str,
    ) -> bool:
        """Return whether another way to the outputs agrees with the reference; else note it.

        Parameters
        ----------
        run : callable
            Returns outputs, (n, outputs), of inputs, (n, channels, padded).
        padded, size : int
            Shape of its batches.
        name : str
            What it is, for the note; looked at once for each shape.
        """
        key = (padded, size, name)
        if key not in self._others:
            windows, expected = self._batch(padded, size)
            inputs = windows.inputs(np.arange(size), padded, self.architecture)
            off = difference(run(inputs), expected, self.architecture)
            wrong = int((~(off <= TOLERANCE["tf32"])).sum())
            self._others[key] = wrong == 0
            if wrong:
                found = Verification(name, padded, size, wrong, float(off.max()), TOLERANCE["tf32"])
                self.notes.append(f"{name} {_wrong(found)}: the CPU is used instead.")
        return self._others[key]

    def _planned(self, lengths: NDArray[np.int64]) -> list[Part]:
        """Return batches of shapes that can be trusted, whichever way that takes."""
        while True:
            parts = plan(lengths, self._runner, self.architecture)
            points: dict[int, int] = {}
            for part in parts:
                points[part.padded] = points.get(part.padded, 0) + part.padded * part.size
            try:
                self._runner.expect(points)
                failed = self._first_failing({(part.padded, part.size) for part in parts})
            except OutOfMemoryError as error:
                self._smaller(str(error))
                continue
            except SptError as error:
                self._failed(error)
                continue
            if failed is None:
                return parts
            self._next(_wrong(failed))

    def _first_failing(self, shapes: set[tuple[int, int]]) -> Verification | None:
        for padded, size in sorted(shapes):
            key = (padded, size, self._runner.variant(padded))
            if key in self._trusted:
                continue
            found = self._compare(padded, size)
            if not found.holds:
                self._memory.keep()
                return found
            self._trusted.add(key)
        self._memory.keep()
        return None

    def _compare(self, padded: int, size: int, *, anew: bool = False) -> Verification:
        runner = self._runner
        tolerance = TOLERANCE[runner.precision]
        key = self._key(padded, size)
        known = None if anew else self._memory.get(key)
        name = self._candidates[0].name
        if known is not None and known <= tolerance:
            return Verification(name, padded, size, 0, known, tolerance, remembered=True)
        windows, expected = self._batch(padded, size)
        part = Part(np.arange(size), padded, size)
        ((_, output),) = runner.stream(windows, [part])
        off = difference(output.outputs, expected, self.architecture)
        wrong = int((~(off <= tolerance)).sum())
        found = Verification(name, padded, size, wrong, float(off.max()), tolerance)
        if found.holds:
            about = f"{runner.device.description}, weights {self.weights.name}"
            self._memory.put(key, found.difference, about)
        else:
            self._memory.forget(key)
        return found

    def _key(self, padded: int, size: int) -> str:
        runner = self._runner
        parts = (
            __version__, runner.device.description, runner.versions, runner.precision,
            runner.variant(padded), self.weights.sha256, padded, size,
            *getattr(runner, "_taps", ()),
        )  # fmt: skip
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]

    def _batch(self, padded: int, size: int) -> tuple[Windows, NDArray[np.float32]]:
        """Return reference windows that fill a batch, and the outputs of each row."""
        if self._reference is None:
            self._windows = reference_windows(self.architecture)
            self._reference = reference_of(self.weights)
        windows, expected = self._windows[padded], self._reference[padded]
        # libraries work on rows in blocks of powers of two: each place in a block meets each window
        row = np.arange(size)
        index = (row + row // _BLOCK) % len(expected)
        return _Repeated.of(windows, index), expected[index]

    def _smaller(self, why: str) -> None:
        """Go on with half the batch, or in the next way where that is small already."""
        half = self._runner.batch_size // 2
        if half < _FEWEST_ROWS:
            self._next(f"ran out of memory ({why})")
            return
        self._runner.batch_size = half
        self.notes.append(
            f"{self._candidates[0].name} ran out of memory: batches of {half} windows from here on."
        )

    def _failed(self, error: SptError) -> None:
        """Take the next way where the present one does not run; where it is the last, say why."""
        if len(self._candidates) == 1:
            raise error
        self._next(f"failed ({first_line(error)})")

    def _next(self, why: str) -> None:
        """Give up the present way, and take the next one that starts."""
        given_up = self._candidates.pop(0).name
        while self._candidates:
            try:
                self._runner = self._candidates[0].start(self._candidates[0].batch_size)
            except SptError:
                self._candidates.pop(0)
                continue
            self._trusted.clear()
            self.notes.append(f"{given_up} {why}: {self._candidates[0].name} is used instead.")
            return
        raise SptError(
            f"{given_up} {why}, and there is no other way left to run the network here. Send what "
            f"{command('doctor', verify=True)} prints to the developers.",
            exit_code=1,
        )


def _wrong(failed: Verification) -> str:
    return (
        f"gives wrong outputs for {failed.wrong:,} of {failed.size:,} test inputs of "
        f"{failed.padded} frames (off by up to {failed.difference:.2g} in a probability; rounding "
        f"is below {failed.tolerance:g})"
    )


def reference_of(weights: Weights) -> dict[int, NDArray[np.float32]]:
    """Return the reference outputs of weights: from their card, or computed once and kept.

    Raises
    ------
    SptError
        If the card holds something else.
    """
    try:
        found = from_card(weights.card, weights.architecture)
    except ValueError as error:
        raise SptError(f"the card of the weights {weights.name} can't be used: {error}.") from error
    if found is None:
        path = cache_folder() / f"reference-{weights.sha256[:32]}.json"
        # a file that is damaged, or not there, costs no more than computing it
        with contextlib.suppress(OSError, ValueError, RecursionError):
            found = from_card({KEY: json.loads(path.read_text())}, weights.architecture)
    if found is None:
        found = compute_reference(weights.architecture, weights.load())
        _write(path, json.dumps(to_card(found)))
    return found


def cache_folder() -> Path:
    """Return the folder for what can be found out again: the system's, or ``SPT_EXPLAIN_CACHE``."""
    given = os.environ.get(CACHE_VARIABLE, "").strip()
    if given:
        return Path(os.path.expanduser(given)).absolute()  # noqa: PTH111 - never raises
    import platformdirs

    return Path(platformdirs.user_cache_dir("spt-explain", appauthor=False))


def remembered() -> dict[str, tuple[int, float]]:
    """Return what was verified on this machine before.

    Returns
    -------
    dict of str to tuple of (int, float)
        By device and weights: batch shapes, and the largest difference of a probability.
    """
    found: dict[str, tuple[int, float]] = {}
    for off, about in _read(cache_folder() / CACHE).values():
        number, most = found.get(about, (0, 0.0))
        found[about] = (number + 1, max(most, off))
    return found


class _Memory:
    """Which shapes were found to hold, in a file of the user's cache; best effort."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, str]] | None = None
        self._new: dict[str, tuple[float, str]] = {}
        self._gone: set[str] = set()

    def get(self, key: str) -> float | None:
        known = self._all().get(key)
        return None if known is None else known[0]

    def put(self, key: str, difference: float, about: str) -> None:
        self._all()[key] = self._new[key] = (difference, about)

    def forget(self, key: str) -> None:
        if self._all().pop(key, None) is not None:
            self._gone.add(key)
        self._new.pop(key, None)

    def keep(self) -> None:
        """Write what is new."""
        if not self._new and not self._gone:
            return
        known = {**_read(cache_folder() / CACHE), **self._new}
        for key in self._gone - self._new.keys():
            known.pop(key, None)
        for key in list(known)[: max(0, len(known) - _MOST_REMEMBERED)]:
            del known[key]
        _write(cache_folder() / CACHE, json.dumps(known, indent=0))
        self._new, self._gone = {}, set()

    def _all(self) -> dict[str, tuple[float, str]]:
        if self._known is None:
            self._known = _read(cache_folder() / CACHE)
        return self._known


def _read(path: Path) -> dict[str, tuple[float, str]]:
    """Return what the cache holds, by key the difference, and of what; nothing if damaged."""
    try:
        values: Any = json.loads(path.read_text())
        return {str(key): (float(off), str(about)) for key, (off, about) in values.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _write(path: Path, text: str) -> None:
    """Write a file of the cache atomically; where that can't be, do without."""
    with contextlib.suppress(OSError, SptError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as part:
            part.write_text(text)
