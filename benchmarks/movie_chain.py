"""Class accuracy from pixels against class accuracy from true positions.

    python benchmarks/movie_chain.py                       # 240 tracks, minutes on one core
    python benchmarks/movie_chain.py --photons 250 --search-range 4 8 16 --memory 0 2

Labelled tracks of the eight classes are laid out and rendered as `simulate --movie` does, tracked
with `track_movie`, and classified with the default weights. Each true track is judged by the
tracked one that has most of its points:

- *whole*: that one holds at least 90 % of the true track's points and nine tenths of its points are
  this particle's; *broken*: several hold it; *merged*: it holds another particle's points, too;
- accuracy of the true tracks, of the true positions in the frames of the tracked ones (what is lost
  by breaking), and from pixels (what is lost by the positions). Tracks that come out too short to
  classify count as wrong in the last two, unless said otherwise.

Links that are missing although both spots were found are told by their reason: the particle moved
further than the search range, or the linker chose otherwise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from movie_truth import links, match, radius_for

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.population import simulate_recording
from spt_explain.diffusion.recording import Recording
from spt_explain.errors import SptError
from spt_explain.movies import TrackingSettings, track_movie
from spt_explain.movies.render import Optics, render_movie
from spt_explain.resandi.classifier import Classifier
from spt_explain.tracks.table import Source, Tracks

WHOLE = 0.9


def named(classifier: Classifier, tracks: Tracks) -> pd.Series:
    """Return the likeliest class of each particle, by its longest segment."""
    try:
        table = classifier.classify(tracks).table
    except SptError:
        return pd.Series(dtype=object)
    chances = table[[f"p_{name}" for name in CLASS_NAMES]].to_numpy(np.float64)
    known = np.isfinite(chances).all(axis=1)
    best = np.array(CLASS_NAMES, dtype=object)[np.nan_to_num(chances).argmax(axis=1)]
    table = table.assign(best=np.where(known, best, table["status"]))
    table = table.sort_values("n_points", kind="stable").drop_duplicates("particle", keep="last")
    return table.set_index("particle")["best"].sort_index()


def pieces(truth: pd.DataFrame, of: np.ndarray, tracked: pd.DataFrame) -> pd.DataFrame:
    """Return for each true particle the tracked one with most of its points, and how they agree.

    Columns ``particle``, ``tracked`` (-1: none), ``share`` of the true points in it, ``pure``
    (share of its matched points that are this particle's), ``pieces`` (tracked ones of two points
    or more).
    """
    good = of >= 0
    pairs = pd.DataFrame(
        {
            "particle": truth["particle"].to_numpy()[of[good]],
            "tracked": tracked["particle"].to_numpy()[good],
        }
    )
    counts = pairs.value_counts().rename("n").reset_index()
    size = truth.groupby("particle").size()
    total = counts.groupby("tracked")["n"].sum()
    main = counts.sort_values("n", kind="stable").drop_duplicates("particle", keep="last")
    main = main.assign(
        share=main["n"] / main["particle"].map(size), pure=main["n"] / main["tracked"].map(total)
    )
    main = main.set_index("particle").reindex(size.index)
    several = counts[counts["n"] >= 2].groupby("particle").size()
    result = main.assign(
        tracked=main["tracked"].fillna(-1).astype(np.int64),
        pieces=several.reindex(size.index).fillna(0).astype(np.int64),
    ).fillna({"share": 0.0, "pure": 0.0})
    return result.drop(columns="n").reset_index()


def lost_links(
    truth: pd.DataFrame, of: np.ndarray, tracked: pd.DataFrame, reach: float
) -> pd.DataFrame:
    """Return the true links whose ends were both found but not joined: particle, step, far."""
    spot = np.full(len(truth), -1, dtype=np.int64)
    spot[of[of >= 0]] = np.flatnonzero(of >= 0)
    first, second = links(truth)
    a, b = spot[first], spot[second]
    name = tracked["particle"].to_numpy()
    lost = (a >= 0) & (b >= 0) & (name[a] != name[b])
    xy = tracked[["x", "y"]].to_numpy()
    step = np.hypot(*(xy[b] - xy[a])[lost].T)
    return pd.DataFrame(
        {
            "particle": truth["particle"].to_numpy()[first][lost],
            "step": step,
            "far": step > reach,
        }
    )


def report(
    classifier: Classifier,
    simulated: Tracks,
    label: pd.Series,
    true_class: pd.Series,
    path: Path,
    settings: TrackingSettings,
    radius: float,
) -> dict[str, Any]:
    """Track the movie with these settings, classify, and print what came of it."""
    pixel = simulated.calibration.pixel_size_um or 1.0
    started = time.perf_counter()
    try:
        result = track_movie(path, settings, jobs=1)
    except SptError as error:
        print(f"  {error}")
        return {}
    used, tracks = result.settings, result.tracks
    print(
        f"diameter {used.diameter} px, minmass {used.minmass:g}, search range "
        f"{used.search_range:g} px, memory {used.memory}: {tracks.n_tracks} tracks of "
        f"{len(tracks.table):,} spots ({time.perf_counter() - started:.0f} s)"
    )
    truth = simulated.table[["particle", "frame", "x", "y"]].copy()
    truth[["x", "y"]] /= pixel
    table = tracks.table[["particle", "frame", "x", "y"]].reset_index(drop=True)
    found = table.assign(x=table["x"] / pixel, y=table["y"] / pixel)
    n_frames = int(max(truth["frame"].max(), found["frame"].max())) + 1
    of = match(truth, found, radius, n_frames)
    main = pieces(truth, of, found).set_index("particle")
    lost = lost_links(truth, of, found, float(used.search_range or np.inf))

    # The true positions in the frames of each tracked track, under the tracked one's number.
    rows = np.flatnonzero(of >= 0)
    same = simulated.table.iloc[of[rows]][["particle", "frame", "x", "y"]].reset_index(drop=True)
    same["tracked"] = table["particle"].to_numpy()[rows]
    same = same[main["tracked"].loc[same["particle"]].to_numpy() == same["tracked"].to_numpy()]
    source = Source("cut", "simulated tracks", (), {})
    same = same.sort_values(["particle", "frame"], ignore_index=True).drop(columns="tracked")
    cut = Tracks(same, simulated.calibration, source)
    by_pixels = main["tracked"].map(named(classifier, tracks)).fillna("too short")
    by_cut = named(classifier, cut).reindex(main.index).fillna("too short")
    away = found[["x", "y"]].to_numpy()[rows] - truth[["x", "y"]].to_numpy()[of[rows]]
    figures = pd.DataFrame(
        {
            "class": label,
            "found": main["share"] > 0,
            "whole": (main["share"] >= WHOLE) & (main["pure"] >= WHOLE),
            "broken": main["pieces"] > 1,
            "merged": (main["pure"] < WHOLE) & (main["share"] > 0),
            "classified": by_pixels.isin(CLASS_NAMES),
            "true tracks": true_class == label,
            "true, cut": by_cut == label,
            "pixels": by_pixels == label,
        }
    )
    n_links = len(links(truth)[0])
    missed = len(truth) - len(rows)
    far, longest = int(lost["far"].sum()), lost["step"].max() if len(lost) else 0.0
    print(
        f"  {100 * missed / len(truth):.2f} % of the positions not found, {len(found) - len(rows)} "
        f"spots of no particle, error {np.sqrt((away**2).mean()):.2f} px a axis; "
        f"{len(lost)} of {n_links:,} links lost between found spots: {far} moved further than the "
        f"range (longest {longest:.1f} px), {len(lost) - far} linked otherwise"
    )
    shares = 100 * figures.groupby("class").mean()
    shares.loc["all"] = 100 * figures.drop(columns="class").mean()
    steps = label.loc[lost["particle"][lost["far"]]].value_counts()
    shares["far steps"] = steps.reindex(shares.index).fillna(0)
    shares.loc["all", "far steps"] = lost["far"].sum()
    print(shares.round(1).to_string())
    kept = figures[figures["whole"]]
    print(
        f"  of the {len(kept)} whole ones: {100 * kept['true tracks'].mean():.1f} % from true "
        f"positions, {100 * kept['pixels'].mean():.1f} % from pixels\n",
        flush=True,
    )
    return {str(name): value for name, value in shares.loc["all"].items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=240)
    parser.add_argument("--kind", default="all")
    parser.add_argument("--length", default="50-200")
    parser.add_argument("--diffusion-coefficient-um2-s", default=None)
    parser.add_argument("--photons", type=float, default=Optics.photons)
    parser.add_argument("--spot-sigma-px", type=float, default=Optics.spot_sigma_px)
    parser.add_argument("--search-range", type=float, nargs="*", default=[], help="tried, too (px)")
    parser.add_argument("--memory", type=int, nargs="*", default=[], help="tried, too")
    parser.add_argument("--weights")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("python " + " ".join(sys.argv))
    wanted = {"length": options.length}
    if options.diffusion_coefficient_um2_s:
        wanted["diffusion_coefficient_um2_s"] = options.diffusion_coefficient_um2_s
    recording = Recording.of(**wanted)
    simulated = simulate_recording(options.kind, options.tracks, recording, seed=options.seed)
    optics = Optics(photons=options.photons, spot_sigma_px=options.spot_sigma_px)
    classifier = Classifier(options.weights)
    tracks, field = simulated.tracks, simulated.field
    print(f"{classifier.weights.describe()}; {options.tracks} tracks of {options.length} points")
    label = tracks.table.groupby("particle")["class"].first()
    true_class = named(classifier, tracks).reindex(label.index).fillna("too short")
    print(f"accuracy from true positions: {100 * (true_class == label).mean():.1f} %")
    tried = [TrackingSettings()]
    tried += [TrackingSettings(search_range=r) for r in options.search_range]
    tried += [TrackingSettings(memory=m) for m in options.memory]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.tif"
        n = render_movie(tracks, path, field.width_px, field.height_px, optics, seed=options.seed)
        print(f"movie of {n} frames of {field.width_px} × {field.height_px} px\n")
        for settings in tried:
            report(
                classifier, tracks, label, true_class, path, settings,
                radius_for(optics.spot_sigma_px),
            )  # fmt: skip


if __name__ == "__main__":
    main()
