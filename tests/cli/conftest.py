import numpy as np
import pytest

from spt_explain.cli import main


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsysbinary, monkeypatch):
    """Run the command line in this process; return its exit code and what it printed."""

    def call(*arguments, stdin=None):
        if stdin is not None:
            import io
            import sys

            class Stdin:
                buffer = io.BytesIO(stdin)

            monkeypatch.setattr(sys, "stdin", Stdin)
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        captured = capsysbinary.readouterr()
        return Result(left.value.code or 0, captured.out.decode(), captured.err.decode())

    return call


def _write_csv(path, n_tracks=3, length=30, seed=0):
    """Write Brownian tracks with trackpy's columns."""
    rng = np.random.default_rng(seed)
    lines = ["y,x,mass,frame,particle"]
    for particle in range(n_tracks):
        for frame, (x, y) in enumerate(rng.normal(size=(length, 2)).cumsum(axis=0)):
            lines.append(f"{y:.4f},{x:.4f},100,{frame},{particle}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def write_csv():
    return _write_csv


@pytest.fixture
def tracks_csv(tmp_path):
    return _write_csv(tmp_path / "tracks.csv")
