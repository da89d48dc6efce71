"""Detections and links of rendered movies: automatic parameters against the best of a grid.

    python benchmarks/tracking.py                 # the table of one seed, minutes on one core
    python benchmarks/tracking.py --seeds 5 -o tracking.json
    python benchmarks/tracking.py --scenes density --densities 2 --photons 500

For every scene: F1 of detections and of links (benchmarks/movie_truth.py says what counts) with
`track_stack` as it is, and with the best that is found, the truth in hand, over diameter, least
mass and search range, for detections and for links each on its own. All else (band-pass, linking)
is the same code. Low signal, high density and long steps lie beyond what any choice can track: the
figure of merit is the difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from movie_truth import (
    PIXEL_UM,
    Scene,
    make_movie,
    match,
    radius_for,
    score_links,
    score_spots,
    side_for,
)

from spt_explain import movies
from spt_explain.errors import SptError
from spt_explain.movies import locate
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import Parameters
from spt_explain.movies.render import Optics
from spt_explain.movies.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

DIAMETERS = (5, 7, 9, 11)
MASSES = np.geomspace(0.08, 1.6, 20)
"""Least masses tried, in units of the median mass of the spots that are particles."""
RANGES = (0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0)
"""Search ranges tried, in units of the root mean square displacement in truth, at least 1 px."""
MASSES_LINKED = 3
"""Of each diameter, as many of the best masses are linked."""
POINTS = 3.0


def auto(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the tracks (px) with automatic parameters, and these."""
    tracked = movies.track_movie(path, jobs=1)
    settings, table = tracked.settings, tracked.tracks.table
    table = table[["particle", "frame", "x", "y"]].copy()
    table[["x", "y"]] /= PIXEL_UM
    return table, {
        "diameter": settings.diameter,
        "minmass": settings.minmass,
        "search_range": settings.search_range,
    }


def grid(path: Path, truth: pd.DataFrame, scene: Scene) -> dict[str, dict[str, Any]]:
    """Return the best F1 of detections and of links, each with its parameters."""
    best: dict[str, dict[str, Any]] = {"spots": {"f1": -1.0}, "links": {"f1": -1.0}}
    radius = radius_for(scene.optics.spot_sigma_px)
    with Stack(path) as stack:
        frames = [stack.frame(i) for i in range(stack.n_frames)]
    for diameter in DIAMETERS:
        found = []
        for i, frame in enumerate(frames):
            spots = find_spots(band_pass(frame, diameter), diameter, 0.0, engine="numba")
            found.append(spots.assign(frame=i))
        every = pd.concat(found, ignore_index=True)
        of = match(truth, every, radius, scene.frames)
        if not (of >= 0).any():
            continue
        typical = float(every["mass"][of >= 0].median())
        tried = []
        for mass in typical * MASSES:
            spots = every[every["mass"] >= mass].reset_index(drop=True)
            if len(spots) == 0:
                continue
            of = match(truth, spots, radius, scene.frames)
            f1 = score_spots(truth, spots, of, scene.side_px).f1
            tried.append((f1, mass, spots, of))
            if f1 > best["spots"]["f1"]:
                best["spots"] = {"f1": f1, "diameter": diameter, "minmass": float(mass)}
        tried.sort(key=lambda t: -t[0])
        for _, mass, spots, _ in tried[:MASSES_LINKED]:
            for ratio in RANGES:
                reach = max(1.0, ratio * scene.step_px)
                parameters = Parameters(diameter, mass, reach, 0, False, 0.0, False)
                try:
                    linked = locate.link(spots, parameters, path.name)
                except SptError:
                    break  # too dense for this range, and any larger one
                of = match(truth, linked, radius, scene.frames)
                f1 = score_links(truth, linked, of, scene.side_px).f1
                if f1 > best["links"]["f1"]:
                    best["links"] = {
                        "f1": f1,
                        "diameter": diameter,
                        "minmass": float(mass),
                        "search_range": reach,
                    }
    return best


def measure(scene: Scene, cache: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the figures of one scene."""
    key = repr(scene)
    path = folder / "movie.tif"
    truth = make_movie(scene, path)
    radius = radius_for(scene.optics.spot_sigma_px)
    started = time.perf_counter()
    try:
        tracks, used = auto(path)
        of = match(truth, tracks, radius, scene.frames)
        spots = score_spots(truth, tracks, of, scene.side_px)
        links = score_links(truth, tracks, of, scene.side_px)
        found = {
            "spots": spots.f1,
            "links": links.f1,
            "missed": spots.missed / max(spots.missed + spots.right, 1),
            "wrong": spots.wrong / max(spots.wrong + spots.right, 1),
            **used,
        }
    except SptError as error:
        found = {"spots": 0.0, "links": 0.0, "error": str(error)}
    found["seconds"] = time.perf_counter() - started
    if key not in cache:
        cache[key] = grid(path, truth, scene)
    return {"auto": found, "best": cache[key]}


def scenes(options: argparse.Namespace) -> Iterator[Scene]:
    """Yield the scenes asked for: density × photons, × step, × spot size."""
    chosen = set()
    base_step, base_sigma, base_photons = 1.5, 1.3, 500.0
    for name in options.scenes:
        for density in options.densities:
            axes = {
                "photons": [(p, base_step, base_sigma) for p in options.photons],
                "step": [(base_photons, s, base_sigma) for s in options.steps],
                "sigma": [(p, base_step, s) for s in options.sigmas for p in options.photons],
                "all": [
                    (p, st, s)
                    for s in options.sigmas
                    for st in options.steps
                    for p in options.photons
                ],
            }
            for photons, step, sigma in axes[name]:
                if (density, photons, step, sigma) in chosen:
                    continue
                chosen.add((density, photons, step, sigma))
                yield Scene(
                    density,
                    Optics(spot_sigma_px=sigma, photons=photons),
                    step,
                    options.frames,
                    side_for(density, options.side),
                    options.lifetime,
                )


def line(scene: Scene, rows: list[dict[str, Any]]) -> str:
    """Return a row of the table: means over the seeds, parameters of the first."""

    def mean(*keys: str) -> float:
        values = []
        for row in rows:
            value: Any = row
            for k in keys:
                value = value[k]
            values.append(value)
        return float(np.mean(values))

    a, b = rows[0]["auto"], rows[0]["best"]
    spots, links = mean("auto", "spots"), mean("auto", "links")
    spots_best, links_best = mean("best", "spots", "f1"), mean("best", "links", "f1")
    marks = "".join(
        mark
        for mark, less in (("d", spots_best - spots), ("l", links_best - links))
        if less > POINTS
    )
    used = (
        a["error"][:40]
        if "error" in a
        else f"{a['diameter']} {a['minmass']:.0f} {a['search_range']:.1f}"
    )
    best = "/".join(f"{b[k].get('diameter')} {b[k].get('minmass', 0):.0f}" for k in b)
    return (
        f"| {scene.density:g} | {scene.optics.photons:g} | {scene.peak_snr:.1f} "
        f"| {scene.optics.spot_sigma_px:g} | {scene.step_px:g} "
        f"| {spots:.1f} | {spots_best:.1f} | {links:.1f} | {links_best:.1f} | {marks} "
        f"| {100 * a.get('missed', 1):.0f}/{100 * a.get('wrong', 0):.0f} | {used} "
        f"| {best} {b['links'].get('search_range', 0):.1f} |"
    )


HEAD = (
    "| per 100 × 100 px | photons | peak SNR | sigma | step | spots auto | best | links auto "
    "| best | > 3 | % missed/wrong | auto: diameter minmass range | best: spots/links range |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scenes", nargs="*", default=["photons", "step", "sigma"],
        choices=["photons", "step", "sigma", "all"],
    )  # fmt: skip
    parser.add_argument("--densities", type=float, nargs="*", default=[0.5, 2, 5, 10])
    parser.add_argument("--photons", type=float, nargs="*", default=[100, 250, 500, 1500])
    parser.add_argument("--steps", type=float, nargs="*", default=[0.5, 1.5, 3.0])
    parser.add_argument("--sigmas", type=float, nargs="*", default=[1.0, 1.3, 2.0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--side", type=int, default=160, help="least side of a frame in px")
    parser.add_argument("--lifetime", type=float, default=100.0, help="frames until bleached")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="JSON of the grid's best, used again")
    parser.add_argument("-o", "--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    print("python " + " ".join(sys.argv))
    cache: dict[str, Any] = {}
    if options.cache and options.cache.is_file():
        cache = json.loads(options.cache.read_text())
    report: list[dict[str, Any]] = []
    started = time.perf_counter()
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        for scene in scenes(options):
            rows = []
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                rows.append(measure(replace(scene, seed=seed), cache, Path(name)))
            print(line(scene, rows), flush=True)
            report.append({"scene": repr(scene), "rows": rows})
            if options.cache:
                options.cache.write_text(json.dumps(cache, indent=1) + "\n")
    for kind in ("spots", "links"):
        less = np.array(
            [np.mean([r["best"][kind]["f1"] - r["auto"][kind] for r in c["rows"]]) for c in report]
        )
        print(
            f"{kind}: {(less > POINTS).sum()} of {len(less)} scenes more than {POINTS:g} points "
            f"below the best; mean {less.mean():.2f}, worst {less.max():.1f}"
        )
    print(f"{time.perf_counter() - started:.0f} s")
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
