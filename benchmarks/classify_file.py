"""Where the time goes when `classify` meets a large file, and how much memory it takes.

    python benchmarks/classify_file.py --tracks 100000

Writes a trackpy-like CSV of Brownian tracks (lengths geometric above 10 points, mean 40), runs
`spt-explain classify` on it in a process of its own and prints every named second of its main
thread, rows and tracks, and the most memory that the process held. What other threads did at the
same time is in no second; what is left is the end of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHUNK_TRACKS = 100_000


def write_tracks(path: Path, n_tracks: int, seed: int) -> int:
    """Write the file; return its number of rows."""
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(seed)
    rows = 0
    with path.open("wb") as stream:
        for start in range(0, n_tracks, CHUNK_TRACKS):
            n = min(CHUNK_TRACKS, n_tracks - start)
            lengths = np.minimum(10 + rng.geometric(1 / 30, n), 2000)
            particle = np.repeat(np.arange(start, start + n), lengths)
            first = np.repeat(np.cumsum(lengths) - lengths, lengths)
            xy = np.round(rng.normal(size=(len(particle), 2)).cumsum(0), 5)
            table = pa.table(
                {
                    "y": xy[:, 0],
                    "x": xy[:, 1],
                    "mass": np.full(len(particle), 100.0),
                    "frame": np.arange(len(particle)) - first,
                    "particle": particle,
                }
            )
            csv.write_csv(table, stream, csv.WriteOptions(include_header=start == 0))
            rows += len(particle)
    return rows


def peak_memory_of_children() -> float | None:
    """Return the most memory that a process that has ended held, in GiB; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("options", nargs="*", help="further options for classify, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.csv"
        rows = write_tracks(path, options.tracks, options.seed)
        command = [
            sys.executable,
            "-c",
            "from spt_explain.cli import main; main()",
            "classify",
            str(path),
            "--json",
            *options.options,
        ]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - started
        print(done.stderr)
        if done.returncode:
            sys.exit(done.returncode)
        (file,) = json.loads(done.stdout)["files"]
    seconds = file["seconds"]
    print(
        f"{file['tracks']:,} tracks, {rows:,} rows in, {file['rows']:,} verdicts out: "
        f"{wall:.2f} s in all"
    )
    for name, value in {**seconds, "end of the process": wall - sum(seconds.values())}.items():
        print(f"  {name:<22} {value:6.2f} s")
    memory = peak_memory_of_children()
    if memory is not None:
        print(f"  {'most memory':<22} {memory:6.2f} GiB")


if __name__ == "__main__":
    main()
