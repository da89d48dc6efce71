from pathlib import Path

import pytest

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
