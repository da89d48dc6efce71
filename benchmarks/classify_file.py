"""Where the time goes when `classify` meets a large file: reading, inputs, network, writing.

    python benchmarks/classify_file.py --tracks 100000

Writes a trackpy-like CSV of Brownian tracks (lengths geometric above 10 points, mean 40), runs
`spt-explain classify` on it in a process of its own and prints the split of the seconds.
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


def write_tracks(path: Path, n_tracks: int, seed: int) -> int:
    """Write the file; return its number of rows."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    lengths = np.minimum(10 + rng.geometric(1 / 30, n_tracks), 2000)
    particle = np.repeat(np.arange(n_tracks), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    frame = np.arange(len(particle)) - first
    xy = rng.normal(size=(len(particle), 2)).cumsum(0)
    table = pd.DataFrame(
        {"y": xy[:, 0], "x": xy[:, 1], "mass": 100.0, "frame": frame, "particle": particle}
    )
    table.to_csv(path, index=False, float_format="%.5f")
    return len(table)


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
        seconds = json.loads(done.stdout)["files"][0]["seconds"]
    rest = wall - sum(seconds.values())
    print(f"{options.tracks:,} tracks, {rows:,} rows: {wall:.2f} s in all")
    for name, value in {**seconds, "start-up and the rest": rest}.items():
        print(f"  {name:<22} {value:6.2f} s")


if __name__ == "__main__":
    main()
