"""What every way of running the network has in common: batches of windows in, outputs out."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.resandi.backends.devices import first_line
from spt_explain.resandi.inputs import build_inputs
from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.backends.devices import Device

Precision = Literal["float32", "tf32", "float16"]
PRECISIONS: tuple[Precision, ...] = ("float16", "tf32", "float32")
"""Of the multiplications; sums are in float32 in all of them."""
AHEAD = 2


class OutOfMemoryError(RuntimeError):
    """The device has too little memory for a batch of this size."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Stretches of positions that the network judges.

    Attributes
    ----------
    positions : numpy.ndarray, shape (n_points, 2)
        x and y of many trajectories, one after the other, in any unit.
    starts, stops : numpy.ndarray, shape (n,)
        Rows of the stretches.
    tapped : bool
        Whether the runner's taps are wanted as well.
    """

    positions: NDArray[np.float64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    tapped: bool = True

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Points of each window, (n,)."""
        return self.stops - self.starts

    def inputs(
        self, index: NDArray[np.int64], padded: int, architecture: Architecture
    ) -> NDArray[np.float32]:
        """Return the network's inputs for some windows; see `build_inputs`."""
        return build_inputs(
            self.positions,
            self.starts[index],
            self.stops[index],
            window=padded,
            kind=architecture.inputs,
            padding=architecture.padding,
        )


@dataclass(frozen=True, eq=False)
class Part:
    """Windows that are run as one batch.

    Attributes
    ----------
    windows : numpy.ndarray of int64, shape (m,)
        Which.
    padded : int
        Length they are padded to, in frames.
    size : int
        Rows of the batch, at least m; those beyond repeat the last window.
    """

    windows: NDArray[np.int64]
    padded: int
    size: int


@dataclass(frozen=True, eq=False)
class Output:
    """What the network gives for a batch.

    Attributes
    ----------
    outputs : numpy.ndarray, shape (n, outputs)
        See `Architecture.outputs`.
    taps : dict of str to numpy.ndarray
        By name what was asked for beside them (`graph.TAPS`).
    """

    outputs: NDArray[np.float32]
    taps: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def head(self, n: int) -> Output:
        """Return the first `n` rows."""
        return Output(self.outputs[:n], {name: values[:n] for name, values in self.taps.items()})


class Runner(Protocol):
    """One way of running the network: a library on a device in a precision.

    Attributes
    ----------
    device : Device
    precision : {"float32", "tf32", "float16"}
    versions : str
        Libraries and driver that the results depend on.
    batch_size : int
        Windows of full length at a time.
    fixed : bool
        Whether batches have one size, filled up where fewer windows are left, as a GPU wants; else
        what is left goes in batches of powers of two.
    """

    device: Device
    precision: Precision
    versions: str
    batch_size: int
    fixed: bool

    def expect(self, points: dict[int, int]) -> None:
        """Hear how many points are to come, by padded length, to prepare for as many."""
        ...

    def variant(self, padded: int) -> str:
        """Return what else the results depend on, at a padded length."""
        ...

    def run(self, inputs: NDArray[np.float32], *, tapped: bool = True) -> Output:
        """Run the network on inputs, (n, channels, padded); `tapped` as for `Windows`.

        Raises
        ------
        OutOfMemoryError
        SptError
            For any other failure.
        """
        ...

    def stream(self, windows: Windows, parts: Sequence[Part]) -> Iterator[tuple[Part, Output]]:
        """Run the network on parts of many windows, in their order."""
        ...


def rows_at(batch_size: int, architecture: Architecture, padded: int) -> int:
    """Return the rows of a full batch: in proportion to the length, multiples of 64 if large."""
    rows = max(1, batch_size * architecture.lengths[-1] // padded)
    return rows if rows < 256 else rows // 64 * 64


def plan(lengths: NDArray[np.int64], runner: Runner, architecture: Architecture) -> list[Part]:
    """Return the batches of windows of these lengths, by padded length."""
    padded = architecture.padded_length(lengths)
    # windows alike in length lie together: what masks reach is as short as can be
    order = np.argsort(padded, kind="stable")
    ends = np.flatnonzero(np.diff(padded[order], append=-1)) + 1
    parts = []
    for first, last in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        rows, length = order[first:last], int(padded[order[first]])
        full = rows_at(runner.batch_size, architecture, length)
        at = 0
        for size in _sizes(len(rows), full, fixed=runner.fixed):
            parts.append(Part(rows[at : at + size], length, size))
            at += size
    return parts


def _sizes(n: int, full: int, *, fixed: bool) -> list[int]:
    if fixed:
        return [full] * -(-n // full)
    left = n % full
    return [full] * (n // full) + [1 << bit for bit in reversed(range(64)) if left >> bit & 1]


def prepared(
    windows: Windows, parts: Sequence[Part], architecture: Architecture, threads: int = AHEAD
) -> Iterator[tuple[Part, NDArray[np.float32]]]:
    """Yield the inputs of batches; the next ones are prepared while the network works."""

    def prepare(part: Part) -> NDArray[np.float32]:
        return windows.inputs(part.windows, part.padded, architecture)

    with contextlib.closing(in_order(prepare, parts, jobs=threads, ahead=threads + 1)) as made:
        yield from zip(parts, made, strict=True)


def filled(inputs: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return inputs with as many rows as a batch has; those beyond repeat the last."""
    if len(inputs) == size:
        return inputs
    return np.concatenate([inputs, np.repeat(inputs[-1:], size - len(inputs), axis=0)])


def stream_of(
    run: Callable[..., Output],
    windows: Windows,
    parts: Sequence[Part],
    architecture: Architecture,
    threads: int = AHEAD,
) -> Iterator[tuple[Part, Output]]:
    """Run batches whose inputs are made by threads of the CPU, one after the other."""
    for part, inputs in prepared(windows, parts, architecture, threads):
        found = run(filled(inputs, part.size), tapped=windows.tapped)
        yield part, found.head(len(part.windows))


@contextlib.contextmanager
def failing_as(device: Device) -> Iterator[None]:
    """Turn what a library raises while the network runs into one line with a remedy."""
    try:
        yield
    except Exception as error:
        text = first_line(error)
        if device.kind != "cpu" and "memory" in text.lower():
            raise OutOfMemoryError(text) from error
        elsewhere = "" if device.kind == "cpu" else f", or {option('device', 'cpu')}"
        raise SptError(
            f"the network failed on {device.description}: {text}\n"
            f"If memory ran out, give a smaller {option('batch_size')} (e.g. 16){elsewhere}.",
            exit_code=1,
            code="unavailable",
            option="batch_size",
        ) from error
