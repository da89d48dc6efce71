"""Whether a card and tensors make a network: checked before weights from elsewhere are taken."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

COUNTER = "num_batches_tracked"
"""torch counts batches under this name; no prediction depends on it and it is not stored."""
_SCALE = ".scale"
_FLOATS = ("F32", "F16")


def check_card(card: Any, source: str) -> Architecture:
    """Check what the program reads of a card; unknown keys are welcome.

    Parameters
    ----------
    card : object
        What was read as a card.
    source : str
        What to call it in errors.

    Returns
    -------
    Architecture
        Shape of the network it describes.

    Raises
    ------
    SptError
        If it is no card, lacks a version, or describes no network.
    """
    if not isinstance(card, dict):
        raise SptError(
            f"{source} is not a card of weights: expected a JSON object.", code="wrong-kind"
        )
    version = card.get("version")
    if not isinstance(version, str) or not version.isprintable() or not 0 < len(version) <= 40:
        raise SptError(
            f'{source} gives no version; expected a short text, such as "version": "1.0".'
        )
    accuracy = card.get("accuracy", {})
    by_noise = accuracy.get("by_noise", {}) if isinstance(accuracy, dict) else None
    if not isinstance(by_noise, dict) or not all(_is_share(v) for v in by_noise.values()):
        raise SptError(f"{source}: accuracy is not shares (0 to 1) by noise, as cards have it.")
    values = card.get("architecture")
    if not isinstance(values, dict):
        raise SptError(f"{source} does not describe the network: it has no 'architecture'.")
    from spt_explain.resandi.backends.reference import from_card

    try:
        Calibration.from_card(card)
    except ValueError as error:
        raise SptError(f"{source}: {error}.") from error
    try:
        architecture = Architecture.from_dict(values)
    except SptError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise SptError(
            f"{source} describes a network that this version of spt-explain does not know "
            f"({error}). If a newer version made it, update spt-explain.",
            code="wrong-kind",
        ) from error
    try:
        from_card(card, architecture)
    except ValueError as error:
        raise SptError(f"{source}: {error}.") from error
    return architecture


def expected_shapes(architecture: Architecture, source: str) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a network's tensors; nothing is allocated.

    Raises
    ------
    SptError
        If no network has that architecture.
    """
    try:
        return _shapes(architecture)
    except SptError:
        raise
    except (
        TypeError, KeyError, ValueError, AttributeError, RuntimeError, ArithmeticError, LookupError
    ) as error:  # fmt: skip
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise SptError(
            f"{source} describes a network that can't be built ({said}).", code="wrong-kind"
        ) from error


@lru_cache(maxsize=8)  # weights are checked before they are written, and as they were written
def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    import torch

    from spt_explain.resandi.network import ResAnDi

    with torch.device("meta"):
        network = ResAnDi(architecture)
    return {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if not name.endswith(COUNTER)
    }


def check_tensors(
    tensors: Mapping[str, NDArray[np.generic]], architecture: Architecture, source: str
) -> None:
    """Check names, shapes and values of float tensors against an architecture.

    Raises
    ------
    SptError
        If one is missing, superfluous, of another shape, or not finite.
    """
    found = {name: np.shape(value) for name, value in tensors.items()}
    _compare(found, expected_shapes(architecture, source), source)
    for name, value in tensors.items():
        _check_values(name, np.asarray(value), source)


def check_files(paths: Iterable[Path], architecture: Architecture, source: str) -> None:
    """Check stored tensors (float, or int8 with scales) against an architecture.

    Headers are compared before any value is read.

    Raises
    ------
    SptError
        If a file is not safetensors, or its tensors don't fit.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    scales: dict[str, tuple[int, ...]] = {}
    paths = list(paths)
    expected = expected_shapes(architecture, source)
    for path in paths:
        try:
            with safe_open(path, framework="np") as file:
                names = list(file.keys())
                parts = {name: file.get_slice(name) for name in names}
                headers = {n: (p.get_dtype(), tuple(p.get_shape())) for n, p in parts.items()}
        except (SafetensorError, OSError, ValueError) as error:
            raise SptError(
                f"{source}: {path.name} is not a whole safetensors file ({error}).",
                code="wrong-kind",
            ) from error
        for name, (dtype, shape) in headers.items():
            if name in shapes:
                raise SptError(f"{source} has the tensor {name!r:.80} twice.")
            shapes[name] = shape
            if dtype == "I8" and name in expected:
                scales[name + _SCALE] = shape[:1]
            elif dtype not in _FLOATS:
                raise SptError(
                    f"{source}: the tensor {name!r:.80} holds {dtype}; expected float32, float16, "
                    "or int8 with a scale.",
                    code="wrong-kind",
                )
    _compare(shapes, expected | scales, source)
    for path in paths:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                value = file.get_tensor(name)
                if value.dtype != np.int8:
                    _check_values(name, value, source)


def _compare(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], source: str
) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise SptError(
            f"{source} lacks {len(missing)} of the {len(expected)} tensors of the network on its "
            f"card, such as {missing[0]}. It is incomplete, or the card is another network's.",
            code="unreadable",
        )
    extra = [name for name in found if name not in expected]
    if extra:
        raise SptError(
            f"{source} has {len(extra)} tensors that the network on its card has no place for, "
            f"such as {extra[0]!r:.80}."
        )
    for name, shape in found.items():
        if shape != expected[name]:
            raise SptError(
                f"{source}: the tensor {name} has the shape {shape}; the network on its card has "
                f"{expected[name]}."
            )


def _check_values(name: str, value: NDArray[Any], source: str) -> None:
    with np.errstate(over="ignore"):  # float64 beyond float32 is what is looked for
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise SptError(
            f"{source}: the tensor {name} holds values that are not finite numbers.",
            code="wrong-kind",
        )
    if name.endswith(("running_var", _SCALE)) and (value < 0).any():
        raise SptError(
            f"{source}: the tensor {name} holds negative values; expected none.", code="wrong-kind"
        )


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
