"""What this machine has: versions, devices and why each is or isn't used, weights, folders."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from spt_explain import __version__
from spt_explain.core.config import Options, setting
from spt_explain.errors import SptError

_LIBRARIES = (
    "torch",
    "onnxruntime-gpu",
    "onnxruntime",
    "onnx",
    "numpy",
    "pandas",
    "pyarrow",
    "lxml",
    "trackpy",
    "tifffile",
    "captum",
    "safetensors",
)


class DiagnosisOptions(Options):
    """How thoroughly a machine is examined.

    Attributes
    ----------
    verify : bool
        Run the default weights, and compare them with their reference.
    """

    verify: bool = setting(
        False,
        "Run the default weights on this machine and compare them with their reference, at every "
        "batch size that is used.",
    )


def diagnose(*, verify: bool = False) -> dict[str, Any]:
    """Return versions, devices, weights and folders as plain values.

    Parameters
    ----------
    verify : bool
        Run the default weights on the device that is used by default, and compare them with their
        reference at every batch shape.

    Returns
    -------
    dict
        ``version``, ``python``, ``platform``, ``libraries`` (name to version), ``devices`` (list of
        backend, device, usable, default, reason), ``weights`` (list of name, description, own,
        default, healthy, problem), ``verified`` (list of what, shapes, difference: what agreed
        with the reference before), ``verification`` (list of text and holds; empty unless asked
        for), ``folders`` (``data``, ``cache``, ``weights``, ``recipes``) and ``healthy``.
    """
    verification = _verification() if verify else []
    libraries = _libraries()
    devices, broken = _devices()
    weights = _weights()
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.platform()}, {os.cpu_count()} cores",
        "libraries": libraries,
        "devices": devices,
        "weights": weights,
        "verified": _verified(),
        "verification": verification,
        "folders": _folders(),
        "healthy": not broken
        and bool(weights)
        and all(w["healthy"] for w in weights)
        and all(one["holds"] for one in verification),
    }


def _verified() -> list[dict[str, Any]]:
    from spt_explain.resandi.backends.trusted import remembered

    return [
        {"what": what, "shapes": shapes, "difference": difference}
        for what, (shapes, difference) in remembered().items()
    ]


def _verification() -> list[dict[str, Any]]:
    from spt_explain.resandi.backends import TORCH_POINTS, load_backend
    from spt_explain.resandi.weights import find_weights

    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for points in (None, TORCH_POINTS - 1):  # on a GPU fewer points may go another way
        try:
            backend = load_backend(find_weights(), points=points)
            way = backend.device.description
            found = [] if way in seen else backend.verify()
        except SptError as error:
            found, way = [], str(error)
            rows += [] if way in seen else [{"text": way, "holds": False}]
        else:
            rows += [{"text": one.in_words(), "holds": one.holds} for one in found]
            rows += [{"text": note, "holds": True} for note in backend.notes if way not in seen]
        seen.add(way)
    return rows


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not name.startswith("onnxruntime"):
                found[name] = "missing: install spt-explain again"
    if not any(name.startswith("onnxruntime") for name in found):
        found["onnxruntime"] = "missing: install spt-explain again"
    return found


def _devices() -> tuple[list[dict[str, Any]], bool]:
    """Return every backend and device with its state, and whether a library failed to load."""
    from spt_explain.resandi.backends import TORCH_POINTS
    from spt_explain.resandi.backends import devices as backends

    rows: list[dict[str, Any]] = []
    broken = False
    try:
        usable, reason = backends.probe_onnx_cuda()
        rows.append(_device("onnx", "cuda", usable, reason or backends.NO_GPU))
        rows.append(_device("onnx", "cpu", True, ""))
    except ImportError as error:
        broken = True
        rows.append(_device("onnx", "cpu", False, f"ONNX Runtime does not load ({error})"))
    try:
        for kind, reason in (
            ("cuda", backends.why_not_torch_cuda()),
            ("mps", backends.why_not_torch_mps()),
            ("cpu", ""),
        ):
            rows.append(_device("torch", kind, not reason, reason))
    except (ImportError, OSError) as error:
        broken = True
        rows.append(_device("torch", "cpu", False, f"torch does not load ({error})"))
    # as `backends.load_backend` chooses: torch on an NVIDIA GPU, else ONNX Runtime
    usable_ways = {(row["backend"], row["device"]): row for row in rows if row["usable"]}
    if {("torch", "cuda"), ("onnx", "cuda")} <= usable_ways.keys():
        usable_ways["onnx", "cuda"]["below_points"] = TORCH_POINTS
    for way in (("torch", "cuda"), ("onnx", "cuda"), ("onnx", "cpu"), ("torch", "cpu")):
        if way in usable_ways:
            usable_ways[way]["default"] = True
            break
    return rows, broken


def _device(backend: str, device: str, usable: bool, reason: str) -> dict[str, Any]:
    return {
        "backend": backend,
        "device": device,
        "usable": usable,
        "default": False,
        "below_points": None,
        "reason": "" if usable else reason,
    }


def _weights() -> list[dict[str, Any]]:
    from spt_explain.resandi.weights import find_weights, own_names, shipped_names

    rows: list[dict[str, Any]] = []
    for kind, list_names in (("shipped", shipped_names), ("own", own_names)):
        try:
            names = list_names()
        except (SptError, FileNotFoundError) as error:
            rows.append(
                {
                    "name": "",
                    "description": f"no {kind} weights",
                    "own": kind == "own",
                    "default": False,
                    "healthy": False,
                    "problem": str(error),
                }
            )
            continue
        for index, name in enumerate(names):
            row = {
                "name": name,
                "description": name,
                "own": kind == "own",
                "default": kind == "shipped" and index == 0,
                "healthy": True,
                "problem": "",
            }
            try:
                weights = find_weights(name)
                row["description"] = weights.describe()
                weights.verify()
            except SptError as error:
                row |= {"healthy": False, "problem": str(error)}
            rows.append(row)
    return rows


def _folders() -> dict[str, str]:
    from spt_explain.resandi.backends.trusted import cache_folder
    from spt_explain.resandi.weights import data_folder
    from spt_explain.resources import shipped

    folders = {"cache": str(cache_folder())}
    try:
        folders["data"] = str(data_folder())
    except SptError as error:
        folders["data"] = str(error)
    for kind in ("weights", "recipes"):
        try:
            folders[kind] = str(shipped(kind))
        except FileNotFoundError as error:
            folders[kind] = str(error)
    return folders
