import hashlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import spt_explain  # noqa: F401 - before any test imports ONNX Runtime: it switches telemetry off

# No test is timed; in CI the examples are the same each time, so that a run can be repeated.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# A shell's background job ignores Ctrl-C, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each process that a test starts would compile the package again, for a second or two.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Workers side by side that take all cores each wait for one another; before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# a developer's own weights, and what was found of this machine before, are no part of any test
os.environ["SPT_EXPLAIN_DATA"] = tempfile.mkdtemp(prefix="spt-explain-tests-")
os.environ["SPT_EXPLAIN_CACHE"] = tempfile.mkdtemp(prefix="spt-explain-tests-cache-")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def _shared(kind: str) -> Path:
    folder = SHARED / kind
    if not folder.is_dir():
        pytest.skip(f"no folder of real files at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_tracks() -> Path:
    """The folder of real track files from other people's programs; skips where it is absent."""
    return _shared("tracks")


@pytest.fixture(scope="session")
def shared_stacks() -> Path:
    """The folder of real movies; skips where it is absent."""
    return _shared("stacks")


@pytest.fixture(scope="session")
def _sessions() -> dict[Any, Any]:
    return {}


@pytest.fixture(autouse=True)
def kept_sessions(_sessions: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ONNX Runtime's session of each network started once: it takes half a second.

    Commands and functions that are called in this process would start it again for each test. The
    tests of the network itself start their own (`resandi/conftest.py`).
    """
    from spt_explain.resandi.backends.onnx import OnnxRunner
    from spt_explain.threads import core_count

    start = OnnxRunner._start

    def once(runner: OnnxRunner, longest: int | None) -> Any:
        network = hashlib.sha1(usedforsecurity=False)
        for name, values in runner._tensors.items():
            network.update(name.encode() + values.tobytes())
        key = (
            network.digest(), runner.architecture, runner._kind, runner.precision, runner._taps,
            runner._jobs or core_count(), longest,
        )  # fmt: skip
        if key not in _sessions:
            while len(_sessions) > 20:
                _sessions.pop(next(iter(_sessions)))
            _sessions[key] = start(runner, longest)
        return _sessions[key]

    monkeypatch.setattr(OnnxRunner, "_start", once)
