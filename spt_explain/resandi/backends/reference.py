"""What the network must give: fixed windows, and their outputs in float64 from the CPU.

The windows are made from numbers that NumPy promises never to change (`numpy.random.RandomState`).
Their outputs are computed with the network as it is trained (`network.ResAnDi`), by torch in
float64, once, and stored on the card of the weights. Any device, library, precision and batch is
compared with them before it is used (`backends.trusted`).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.resandi.architecture import alpha_quantiles
from spt_explain.resandi.backends.runner import Windows
from spt_explain.resandi.windows import softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture

KEY = "reference"
"""Of the card."""
VERSION = 1
"""Of the windows: another number makes stored outputs others'."""
PER_LENGTH = 8
_SEED = 20261130


def reference_windows(architecture: Architecture) -> dict[int, Windows]:
    """Return a few windows for each padded length, of motions that differ.

    Returns
    -------
    dict of int to Windows
        `PER_LENGTH` windows by padded length; the shortest (of 10 points or more) and the longest
        that have it are there.
    """
    found = {}
    for padded in architecture.run_lengths:
        fitting = np.arange(1, architecture.window + 1)
        fitting = fitting[architecture.padded_length(fitting) == padded]
        fitting = fitting[fitting >= min(10, fitting[-1])]  # fewer points show little
        lengths = np.linspace(fitting[0], fitting[-1], PER_LENGTH).astype(np.int64)
        stops = np.cumsum(lengths)
        random = np.random.RandomState(_SEED + padded)
        paths = [_path(random, kind, int(n)) for kind, n in enumerate(lengths)]
        found[padded] = Windows(np.concatenate(paths), stops - lengths, stops)
    return found


def _path(random: np.random.RandomState, kind: int, n: int) -> NDArray[np.float64]:
    """Return a path of n positions that moves in one of eight ways."""
    steps, share = random.standard_normal((n, 2)), np.arange(n)[:, None] / n
    if kind == 1:  # rests
        steps *= random.random_sample((n, 1)) < 0.2
    elif kind == 2:  # turns back
        steps[1:] -= 0.7 * steps[:-1].copy()
    elif kind == 3:  # slows down
        steps *= 0.1 + (1 - share) ** 2
    elif kind == 4:  # goes on
        steps = np.cumsum(steps, axis=0) - 0.9 * np.cumsum(steps, axis=0).mean(axis=0)
    elif kind == 5:  # flies straight, turns now and then
        steps = np.repeat(steps[::7], 7, axis=0)[:n] + 0.1 * steps
    elif kind == 6:  # speeds up
        steps *= 0.1 + share**2
    elif kind == 7:  # is hard to see
        return np.cumsum(steps, axis=0) + 2 * random.standard_normal((n, 2))
    path: NDArray[np.float64] = np.cumsum(steps, axis=0)
    return path


def compute_reference(
    architecture: Architecture, tensors: Mapping[str, NDArray[np.float32]]
) -> dict[int, NDArray[np.float32]]:
    """Return the outputs of the reference windows, by torch in float64 on the CPU.

    Returns
    -------
    dict of int to numpy.ndarray, shape (PER_LENGTH, outputs)
        By padded length; rounded to float32.
    """
    import torch

    from spt_explain.resandi.network import ResAnDi

    network = ResAnDi(architecture)
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in tensors.items()})
    network = network.double().eval()
    found = {}
    with torch.inference_mode():
        for padded, windows in reference_windows(architecture).items():
            inputs = windows.inputs(np.arange(PER_LENGTH), padded, architecture)
            outputs = network(torch.from_numpy(inputs).double())
            found[padded] = outputs.numpy().astype(np.float32)
    return found


def to_card(outputs: Mapping[int, NDArray[np.float32]]) -> dict[str, Any]:
    """Return what a card holds under `KEY`: float32, little-endian, in base64."""
    return {
        "version": VERSION,
        "windows": PER_LENGTH,
        "outputs": {
            str(padded): base64.b64encode(values.astype("<f4").tobytes()).decode()
            for padded, values in outputs.items()
        },
    }


def from_card(
    card: Mapping[str, Any], architecture: Architecture
) -> dict[int, NDArray[np.float32]] | None:
    """Return the outputs that a card holds; None if it holds none, or those of other windows.

    Raises
    ------
    ValueError
        If what it holds can't be read.
    """
    stored = card.get(KEY)
    if stored is None:
        return None
    try:
        if stored["version"] != VERSION or stored["windows"] != PER_LENGTH:
            return None
        found = {
            int(padded): np.frombuffer(base64.b64decode(text), "<f4")
            .reshape(PER_LENGTH, architecture.outputs)
            .astype(np.float32)
            for padded, text in stored["outputs"].items()
        }
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{KEY}: expected outputs of {PER_LENGTH} windows by length") from error
    if not all(np.isfinite(values).all() for values in found.values()):
        raise ValueError(f"{KEY}: some outputs are not finite numbers")
    return found if set(found) == set(architecture.run_lengths) else None


def difference(
    found: NDArray[np.floating], expected: NDArray[np.floating], architecture: Architecture
) -> NDArray[np.float64]:
    """Return how far outputs are off, for each row: of a probability, or half of that of α.

    Parameters
    ----------
    found, expected : numpy.ndarray, shape (n, outputs)

    Returns
    -------
    numpy.ndarray, shape (n,)
        NaN where an output is not a finite number.
    """
    off = np.full(len(found), np.nan)
    finite = np.isfinite(found).all(axis=1) & np.isfinite(expected).all(axis=1)
    found, expected = found[finite], expected[finite]
    n = architecture.n_logits
    both = [
        softmax(values[:, :n]).reshape(len(values), len(architecture.classes), -1).sum(axis=2)
        for values in (found, expected)
    ]
    most: NDArray[np.float64] = np.abs(both[0] - both[1]).max(axis=1)
    if architecture.alpha_levels:
        alpha = [alpha_quantiles(values[:, n:]) for values in (found, expected)]
        most = np.maximum(most, np.abs(alpha[0] - alpha[1]).max(axis=1) / 2)
    off[finite] = most
    return off
