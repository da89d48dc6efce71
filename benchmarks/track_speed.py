"""Frames per second and peak memory of `track` beside plain `trackpy.batch` and `trackpy.link`.

    python benchmarks/track_speed.py                        # 2,000 frames of 512 × 512: minutes
    python benchmarks/track_speed.py --frames 200 --side 256

One movie with known truth is rendered; every program runs on the whole of it and on its first
quarter (for the growth of memory), in a process of its own, one after another, several times; the
fastest of each counts. All are given the same diameter, minmass and search range, but for "ours,
automatic", which estimates them as it does by default. Time is that of the whole process, imports
and compiling included. Memory is the largest proportional set size (what is shared counted once)
of the process and its children, sampled from /proc (Linux only).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

PROGRAMS = {
    "trackpy, frame by frame, 1 process": {"kind": "trackpy", "lazy": True, "processes": 1},
    "trackpy, frame by frame, all cores": {"kind": "trackpy", "lazy": True, "processes": "auto"},
    "trackpy, whole array, all cores": {"kind": "trackpy", "lazy": False, "processes": "auto"},
    "ours, parameters given, 1 thread": {"kind": "ours", "given": True, "jobs": 1},
    "ours, parameters given": {"kind": "ours", "given": True, "jobs": None},
    "ours, automatic": {"kind": "ours", "given": False, "jobs": None},
}
WITHIN_PX = 1.0


def render(path: Path, n_frames: int, side: int, n_particles: int) -> None:
    """Write a movie of particles that diffuse and turn back at the border, and where they are."""
    from spt_explain.movies.render import render_movie
    from spt_explain.tracks import Calibration, Source, Tracks

    rng = np.random.default_rng(7)
    room = side - 20.0
    path_px = rng.uniform(0, room, (n_particles, 2)) + np.cumsum(
        rng.normal(0, 1.0, (n_frames, n_particles, 2)), axis=0
    )
    path_px = 10 + room - np.abs(path_px % (2 * room) - room)
    table = pd.DataFrame(path_px.reshape(-1, 2), columns=["x", "y"])
    table.insert(0, "frame", np.repeat(np.arange(n_frames), n_particles))
    table.insert(0, "particle", np.tile(np.arange(n_particles), n_frames))
    calibration = Calibration(pixel_size_um=0.1, frame_interval_s=0.02)
    render_movie(Tracks(table, calibration, Source("made", "random walks")), path, side, side)
    np.save(path.with_suffix(".npy"), path_px)


def quarter(path: Path) -> Path:
    """Write the first quarter of a movie."""
    import tifffile

    start = path.with_name(f"{path.stem}-quarter.tif")
    if not start.exists():
        movie = tifffile.memmap(path, mode="r")
        tifffile.imwrite(start, movie[: len(movie) // 4], imagej=True, metadata={"axes": "TYX"})
    return start


class Frames:
    """The frames of a movie in one block, read one at a time, as `pims` gives them."""

    def __init__(self, path: Path) -> None:
        import tifffile

        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            self.path, self.offset = path, series.dataoffset
            self.dtype = np.dtype(tif.byteorder + series.dtype.char)
            self.n, *self.shape = series.shape

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < self.n:
            raise IndexError(index)
        count = int(np.prod(self.shape))
        offset = self.offset + index * count * self.dtype.itemsize
        image = np.fromfile(self.path, self.dtype, count, offset=offset)
        return image.reshape(self.shape).astype(self.dtype.newbyteorder("="))


def run_trackpy(path: Path, how: dict[str, object], given: dict[str, float]) -> pd.DataFrame:
    """Track as trackpy's own walk-through does."""
    import tifffile
    import trackpy

    trackpy.quiet()
    frames = Frames(path) if how["lazy"] else tifffile.imread(path)
    spots = trackpy.batch(
        frames, int(given["diameter"]), minmass=given["minmass"], processes=how["processes"]
    )
    linked = trackpy.link(spots, given["search_range"])
    return linked[["particle", "frame", "x", "y"]]


def run_ours(path: Path, how: dict[str, object], given: dict[str, float]) -> pd.DataFrame:
    """Track with this package."""
    from spt_explain.movies import track_movie
    from spt_explain.movies.settings import TrackingSettings

    settings = TrackingSettings()
    if how["given"]:
        settings = TrackingSettings(
            diameter=int(given["diameter"]),
            minmass=given["minmass"],
            search_range=given["search_range"],
            peak=given["peak"],
            memory=0,
            dark=False,
        )
    table = track_movie(path, settings, jobs=how["jobs"]).tracks.table  # type: ignore[arg-type]
    return table[["particle", "frame"]].assign(x=table["x_px"], y=table["y_px"])


def child(order: dict[str, object]) -> None:
    """Run one program in this process and write what it found."""
    path, how, given = Path(str(order["movie"])), order["how"], order["given"]
    run = run_trackpy if how["kind"] == "trackpy" else run_ours  # type: ignore[index]
    table = run(path, how, given)  # type: ignore[arg-type]
    np.save(str(order["out"]), table.to_numpy(dtype=float))


def family(root: int) -> list[int]:
    """Return the numbers of a process and all that it started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
        except OSError:
            continue
    found, wave = [], [root]
    while wave:
        found += wave
        wave = [c for p in wave for c in children.get(p, [])]
    return found


def memory_of(root: int) -> float:
    """Return the proportional set size of a process and all that it started, in MB."""
    total = 0
    for pid in family(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


def measure(movie: Path, how: dict[str, object], given: dict[str, float]) -> dict[str, object]:
    """Run one program in a process of its own; return seconds, MB and what it found."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.npy"
        order = {"movie": str(movie), "how": how, "given": given, "out": str(out)}
        started, peak = time.perf_counter(), 0.0
        process = subprocess.Popen([sys.executable, __file__, "--child", json.dumps(order)])
        ended = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not ended.wait(0.1):
                peak = max(peak, memory_of(process.pid))

        sampler = threading.Thread(target=sample)
        if Path("/proc/self/smaps_rollup").exists():
            sampler.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        ended.set()
        if sampler.is_alive():
            sampler.join()
        if code:
            raise SystemExit(f"{how} failed")
        return {"seconds": seconds, "mb": peak, "found": np.load(out)}


def score(found: np.ndarray, truth: np.ndarray) -> tuple[float, int]:
    """Return F1 of the detections within `WITHIN_PX`, and the number of tracks."""
    from scipy.spatial import KDTree

    hits = 0
    for frame in range(len(truth)):
        here = found[found[:, 1] == frame, 2:]
        if len(here):
            near, index = KDTree(truth[frame]).query(here)
            hits += len(np.unique(index[near < WITHIN_PX]))
    return 2 * hits / (len(found) + truth.shape[0] * truth.shape[1]), len(np.unique(found[:, 0]))


def estimated(path: Path) -> dict[str, float]:
    """Return the parameters that this package finds for a movie."""
    from spt_explain.movies.estimate import estimate
    from spt_explain.movies.stack import Stack

    with Stack(path) as stack:
        found = estimate(stack)
    names = ("diameter", "minmass", "search_range", "peak")
    return {name: getattr(found, name) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--particles", type=int, default=75)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the movie is kept for another run")
    parser.add_argument("--only", nargs="*", default=[""], help="programs whose name has these")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        movie = folder / f"{options.frames}x{options.side}x{options.particles}.tif"
        if not movie.exists():
            render(movie, options.frames, options.side, options.particles)
        truth = np.load(movie.with_suffix(".npy"))
        start = quarter(movie)
        given = estimated(movie)
        print(f"{movie.name}, {movie.stat().st_size / 1e6:,.0f} MB;", given)
        chosen = {n: h for n, h in PROGRAMS.items() if any(part in n for part in options.only)}
        runs: dict[str, list[dict[str, object]]] = {name: [] for name in chosen}
        short: dict[str, dict[str, object]] = {}
        for _ in range(options.repeats):
            for name, how in chosen.items():
                runs[name].append(measure(movie, how, given))
        for name, how in chosen.items():
            short[name] = measure(start, how, given)
        report(runs, short, truth)


def report(
    runs: dict[str, list[dict[str, object]]],
    short: dict[str, dict[str, object]],
    truth: np.ndarray,
) -> None:
    """Print a line for each program, and how many times faster than each trackpy ours is."""
    print(f"{'':36}{'s':>7}{'frames/s':>10}{'MB':>7}{'MB, quarter':>13}{'F1':>7}{'tracks':>8}")
    best = {name: min(float(r["seconds"]) for r in runs[name]) for name in runs}  # type: ignore[arg-type]
    for name, seconds in best.items():
        found = runs[name][0]["found"]
        f1, n_tracks = score(found, truth)  # type: ignore[arg-type]
        peak = max(float(r["mb"]) for r in runs[name])  # type: ignore[arg-type]
        print(
            f"{name:36}{seconds:7.1f}{len(truth) / seconds:10.1f}{peak:7.0f}"
            f"{short[name]['mb']:13.0f}{f1:7.3f}{n_tracks:8}"
        )
    for ours in (name for name in best if name.startswith("ours")):
        ratios = [f"{best[n] / best[ours]:.2f}" for n in best if n.startswith("trackpy")]
        print(f"{ours}: {', '.join(ratios)} times as fast as trackpy in the order above")


if __name__ == "__main__":
    main()
