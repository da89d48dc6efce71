"""Time and memory of reading a large CSV of tracks, beside pyarrow alone.

Writes a table ``particle,frame,x,y,mass`` of 10 million rows (about 500 MB) twice, sorted by
particle (as most programs do) and by frame (as trackpy does), into a temporary folder, and reads
each with ``pyarrow.csv.read_csv`` and with ``spt_explain.readers.read_tracks``. Each reading runs
in a process of its own, so that peak memory (resident set size) is its own; the time is that of
the call alone, the median of several, taken in turns.

Run from the repository root::

    python benchmarks/read_csv.py            # 10 million rows
    python benchmarks/read_csv.py 1000000 5  # rows, repeats

What must hold: ratio (time of pyarrow / time of read_tracks) at least 0.5, peak below 3 GB.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 10_000_000
REPEATS = 5
POINTS = 100
"""Points in each track."""


def write(path: Path, rows: int, by_frame: bool) -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(0)
    tracks = rows // POINTS
    particle, frame = np.divmod(np.arange(tracks * POINTS), POINTS)
    if by_frame:
        frame, particle = np.divmod(np.arange(tracks * POINTS), tracks)
    csv.write_csv(
        pa.table(
            {
                "particle": particle,
                "frame": frame,
                "x": rng.uniform(0, 512, len(frame)),
                "y": rng.uniform(0, 512, len(frame)),
                "mass": rng.uniform(100, 1000, len(frame)).round(3),
            }
        ),
        path,
    )


def read(reader: str, path: str) -> None:
    """Read once and print seconds and peak memory in MB; runs in a process of its own."""
    import resource

    if reader == "pyarrow":
        from pyarrow import csv

        start = time.perf_counter()
        rows = csv.read_csv(path).num_rows
    else:
        import pandas as pd  # noqa: F401 - loading it is not reading
        import pyarrow.csv  # noqa: F401

        from spt_explain.readers import read_tracks

        start = time.perf_counter()
        rows = len(read_tracks(path).table)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{seconds} {peak} {rows}\n")


def measure(path: Path, repeats: int) -> dict[str, tuple[float, float]]:
    """Return the median time and the highest peak of both, read in turns."""
    found: dict[str, list[list[float]]] = {"pyarrow": [], "read_tracks": []}
    for _ in range(repeats):
        for reader, rows in found.items():
            command = [sys.executable, __file__, "--read", reader, str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append([float(word) for word in answer.split()])
    return {
        reader: (statistics.median(row[0] for row in rows), max(row[1] for row in rows))
        for reader, rows in found.items()
    }


def main() -> None:
    if sys.argv[1:2] == ["--read"]:
        read(*sys.argv[2:4])
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else REPEATS
    with tempfile.TemporaryDirectory() as folder:
        for order in ("particle", "frame"):
            path = Path(folder) / f"by_{order}.csv"
            write(path, rows, by_frame=order == "frame")
            found = measure(path, repeats)
            (arrow, arrow_peak), (ours, peak) = found["pyarrow"], found["read_tracks"]
            sys.stdout.write(
                f"{rows:,} rows by {order}, {path.stat().st_size / 1e6:.0f} MB: "
                f"pyarrow {arrow:.2f} s, peak {arrow_peak:.0f} MB; "
                f"read_tracks {ours:.2f} s, peak {peak:.0f} MB; ratio {arrow / ours:.2f}\n"
            )
            path.unlink()


if __name__ == "__main__":
    main()
