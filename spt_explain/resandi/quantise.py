"""Weights as they are stored: int8 for each output channel of a convolution, in safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.core.files import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KEEP_BELOW = 65_536
"""Kernels with fewer values than this stay float32: they cost nothing, and the first one sees
positions, whose offset makes its rounding count."""
SHARD_BYTES = 15 * 1024 * 1024
_SCALE = ".scale"


def quantise(tensors: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    """Round large kernels to int8 with one scale for each output channel; the rest stays float32.

    A tensor of at least two axes and `KEEP_BELOW` values becomes ``name`` (int8) and
    ``name.scale`` (float32, one for each first index): value = int8 × scale.
    """
    out: dict[str, NDArray[np.generic]] = {}
    for name, tensor in tensors.items():
        # safetensors writes memory as it lies, and kernels trained channels-last lie in another
        # order than their shape says
        value = np.ascontiguousarray(tensor, np.float32)
        if value.ndim < 2 or value.size < KEEP_BELOW:
            out[name] = value
            continue
        axes = tuple(range(1, value.ndim))
        scale = np.abs(value).max(axis=axes) / 127
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        shaped = scale.reshape(-1, *([1] * (value.ndim - 1)))
        out[name] = np.clip(np.rint(value / shaped), -127, 127).astype(np.int8)
        out[name + _SCALE] = scale
    return out


def dequantise(tensors: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """Undo `quantise`, up to its rounding."""
    out: dict[str, NDArray[np.float32]] = {}
    for name, value in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        if value.dtype == np.int8:
            scale = np.asarray(tensors[name + _SCALE], np.float32)
            shaped = scale.reshape(-1, *([1] * (value.ndim - 1)))
            out[name] = value.astype(np.float32) * shaped
        else:
            out[name] = np.asarray(value, np.float32)
    return out


def write_weights(tensors: dict[str, NDArray[np.float32]], folder: Path, name: str) -> list[Path]:
    """Quantise and write ``NAME-0000i-of-0000n.safetensors``, none larger than 15 MiB.

    Parameters
    ----------
    tensors : dict of str to numpy.ndarray
        The network's parameters and running statistics by their torch names.
    folder : pathlib.Path
        Where to write.
    name : str
        Name of the weights.

    Returns
    -------
    list of pathlib.Path
        The files, in order. Each appears whole.

    Raises
    ------
    SptError
        If the disk is full or the folder can't be written to.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    shards: list[dict[str, NDArray[np.generic]]] = [{}]
    size = 0
    for key, value in quantise(tensors).items():
        if shards[-1] and size + value.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][key] = value
        size += value.nbytes
    files = []
    for index, shard in enumerate(shards, 1):
        path = folder / f"{name}-{index:05d}-of-{len(shards):05d}.safetensors"
        with atomic_file(path, errors=(OSError, SafetensorError), single_writer=True) as part:
            save_file(shard, part)
        files.append(path)
    return files
