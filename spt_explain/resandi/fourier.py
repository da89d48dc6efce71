"""Convolutions along time by the discrete Fourier transform, as three matrix products.

A direct convolution of 15 taps multiplies 15 times for each output, and in the last stages, of 2
to 64 nodes, mostly with zeros beyond the ends. By the convolution theorem the transform of the
output is the product of the transforms of input and kernel; with real numbers and three
multiplications for each complex one (Gauss), n nodes take about 3 n / 2 + 12 products in place of
15 n: four to nine times fewer. The transforms are short, so they are matrices themselves::

    y = synthesis @ ((analysis @ x) * (kernel @ w))

where ``*`` is, for each row, a product of (trajectories, channels in) with (channels in, channels
out). The result equals the direct convolution up to rounding. (Cooley, Lewis & Welch 1969,
doi:10.1109/TAU.1969.1162036, for the theorem; Winograd 1980 for bilinear algorithms of this form.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


MOST_NODES = 64
"""Longer series are cut into stretches, so that the transforms cost less than the products."""
STRETCH = 32
"""Outputs of each stretch; its inputs overlap with its neighbours' (overlap-save)."""


@dataclass(frozen=True, eq=False)
class Transforms:
    """Matrices of a convolution.

    Attributes
    ----------
    analysis : numpy.ndarray, shape (rows, inputs)
        Of the input.
    kernel : numpy.ndarray, shape (rows, 2 * reach + 1)
        Of the taps from ``-reach`` to ``reach``.
    synthesis : numpy.ndarray, shape (outputs, rows)
        Of the output.
    reach : int
        Taps on either side of the middle that can meet a node.
    halo : int
        Inputs before the first output, and behind the last. 0 where all beyond is zero; then fewer
        nodes take the first columns of `analysis` and the first rows of `synthesis`.
    """

    analysis: NDArray[np.float64]
    kernel: NDArray[np.float64]
    synthesis: NDArray[np.float64]
    reach: int
    halo: int


@cache
def transforms(nodes: int, taps: int, *, stretched: bool = True) -> Transforms:
    """Return the matrices of the correlation ``y[t] = Σ_d w[d] x[t + d]``.

    Parameters
    ----------
    nodes : int
        Length of input and output, zeros beyond.
    taps : int
        Length of the kernel, odd; its middle lies on the output's node.
    stretched : bool
        Above `MOST_NODES`, return the matrices of a stretch of `STRETCH` outputs.

    Returns
    -------
    Transforms
    """
    if stretched and nodes > MOST_NODES and taps > 1:
        outputs = STRETCH
        reach = halo = taps // 2
        size = outputs + 2 * halo  # outputs that wrap round the circle are not wanted
    else:
        outputs, halo = nodes, 0
        reach = min(taps // 2, nodes - 1)
        size = outputs + reach  # what wraps round the circle is zero
    at, offset = np.arange(outputs + 2 * halo), np.arange(-reach, reach + 1)
    wanted = slice(halo, halo + outputs)
    analysis: list[NDArray[np.float64]] = []
    kernel: list[NDArray[np.float64]] = []
    synthesis: list[NDArray[np.float64]] = []
    for frequency in range(size // 2 + 1):
        angle = 2 * np.pi * frequency / size
        cosine, sine = np.cos(angle * at), np.sin(angle * at)
        real, imaginary = np.cos(angle * offset), np.sin(angle * offset)
        if frequency == 0 or 2 * frequency == size:
            analysis.append(cosine)
            kernel.append(real)
            synthesis.append(cosine[wanted] / size)
            continue
        # (a + ib)(c + id), a, b of the input, c, d of the kernel:
        # k1 = c (a + b), k2 = a (d - c), k3 = b (c + d); the product is k1 - k3 + i (k1 + k2)
        analysis += [cosine - sine, cosine, -sine]
        kernel += [real, imaginary - real, real + imaginary]
        back = 2 / size * np.array([cosine - sine, -sine, -cosine])
        synthesis += list(back[:, wanted])
    return Transforms(np.array(analysis), np.array(kernel), np.array(synthesis).T, reach, halo)


def phases(taps: int, stride: int, reach: int) -> NDArray[np.int64]:
    """Return which taps each phase of a strided input meets.

    A convolution of stride 2 is the sum of one over the even nodes and one over the odd nodes, of
    stride 1 each.

    Parameters
    ----------
    taps : int
        Length of the kernel, odd; its middle lies on the output's node.
    stride : int
        1 or 2.
    reach : int
        See `Transforms`.

    Returns
    -------
    numpy.ndarray of int64, shape (stride, 2 * reach + 1)
        Index of a tap; `taps` where there is none.
    """
    offset = np.arange(-reach, reach + 1)
    return _within(stride * offset + np.arange(stride)[:, None] + taps // 2, taps)


def taps_between(nodes: int, stride: int, taps: int) -> NDArray[np.int64]:
    """Return which tap of a convolution lies between each input and each output.

    Parameters
    ----------
    nodes : int
        Of the input, zeros beyond.
    stride : int
        Nodes of the input for each of the output.
    taps : int
        Length of the kernel, odd; its middle lies on the output's node.

    Returns
    -------
    numpy.ndarray of int64, shape (nodes, outputs)
        Index of a tap; `taps` where there is none.
    """
    outputs = np.arange(-(-nodes // stride))
    return _within(np.arange(nodes)[:, None] - stride * outputs + taps // 2, taps)


def dense(kernel: NDArray[np.floating], stride: int, nodes: int) -> NDArray[np.floating]:
    """Return a convolution of a few nodes as one matrix.

    Parameters
    ----------
    kernel : numpy.ndarray, shape (channels out, channels in, taps)
        With an odd number of taps, the middle one on the output's node.
    stride, nodes
        See `taps_between`.

    Returns
    -------
    numpy.ndarray, shape (nodes * channels in, nodes out * channels out)
    """
    index = taps_between(nodes, stride, kernel.shape[2])
    found = by_tap(kernel)[index].transpose(0, 2, 1, 3)  # (nodes, in, nodes out, out)
    return found.reshape(nodes * kernel.shape[1], -1)


def by_tap(kernel: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a kernel as (taps + 1, channels in, channels out), the last tap zero: for none."""
    padded = np.concatenate([kernel, np.zeros_like(kernel[:, :, :1])], axis=2)
    return np.ascontiguousarray(padded.transpose(2, 1, 0))


def _within(index: NDArray[np.int64], taps: int) -> NDArray[np.int64]:
    return np.where((index >= 0) & (index < taps), index, taps)
