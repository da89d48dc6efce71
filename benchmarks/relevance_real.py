"""Show 6 of issue 6: a real movie with a signal measured from it, whose true pixels are known.

    python benchmarks/relevance_real.py cut bulk-water-brownian.tif tiles/
    spt-explain relevance fit tiles/ --signal tiles/dark.csv --recipe recipe.toml -o model/
    spt-explain relevance explain bulk-water-brownian.tif --model model/ --plot
    python benchmarks/relevance_real.py measure model/ tiles/

The movie is cut into tiles of 32 px, each a movie of its own; the signal is the number of pixels
darker than a grey value in each frame, as a lab might count what is in focus. Those pixels are the
truth. `measure` asks the tiles that the fit held out: thresholds are chosen on half of their clips,
IoU and average precision are those of the other half. It ends with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

SIDE, DARKER = 32, 142
TABLE = "dark.csv"


def cut(movie: Path, folder: Path) -> None:
    """Write tiles, and the table of the signal."""
    import pandas as pd

    frames = tifffile.imread(movie)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for y in range(0, frames.shape[1] - SIDE + 1, SIDE):
        for x in range(0, frames.shape[2] - SIDE + 1, SIDE):
            tile, name = frames[:, y : y + SIDE, x : x + SIDE], f"tile-{y:03d}-{x:03d}.tif"
            tifffile.imwrite(folder / name, tile, metadata={"axes": "TYX"})
            rows += [(name, t, int((frame < DARKER).sum())) for t, frame in enumerate(tile)]
    table = pd.DataFrame(rows, columns=["movie", "frame", "dark"])
    table.to_csv(folder / TABLE, index=False)
    print(f"{len(table) // len(frames)} tiles, {(frames < DARKER).mean():.1%} of the pixels dark")


def measure(model_folder: Path, tiles: Path) -> None:
    """Print how well maps find the dark pixels of tiles held out."""
    from spt_explain.xddpm.evaluate.baselines import all_baselines
    from spt_explain.xddpm.model import RelevanceModel

    model = RelevanceModel.load(model_folder)
    assert model.fitted is not None
    movies = [tifffile.imread(tiles / Path(name).name) for name in model.fitted.held_out]
    clips = np.stack(
        [
            movie[i : i + model.frames]
            for movie in movies
            for i in range(0, len(movie) - model.frames + 1, model.frames)
        ]
    ).astype(np.float32)
    truth = clips < DARKER
    scaled = model.scale.apply(clips)
    maps = model.maps_of_scaled(scaled)
    found = {"M": maps.contribution, "information": maps.information, "darkness": -clips}
    found |= all_baselines(model.regressor, scaled, seed=0)
    told = {name: score(np.asarray(each, np.float32), truth) for name, each in found.items()}
    for name, (overlap, precision) in told.items():
        print(f"{name:24} IoU {overlap:.2f}  average precision {precision:.2f}")
    whole: dict[str, Any] = {
        "clips": len(clips),
        "truth": float(truth.mean()),
        "r2": model.fitted.r2,
        "share": model.fitted.curve.share,
        "M": float(maps.contribution[truth].mean()),
        "M elsewhere": float(maps.contribution[~truth].mean()),
        "iou_sufficient": overlap_of(maps.contribution >= model.threshold, truth),
        "scores": told,
    }
    print(json.dumps(whole))


def overlap_of(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean IoU of the clips in which there is anything."""
    union = (one | other).sum((1, 2, 3))
    there = union > 0
    return float(((one & other).sum((1, 2, 3))[there] / union[there]).mean())


def score(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return IoU, its threshold chosen on every other clip, and average precision."""
    from sklearn.metrics import average_precision_score

    chosen = np.arange(len(scores)) % 2 == 0
    shares = np.concatenate([np.linspace(0.5, 0.95, 10), np.linspace(0.955, 0.999, 23)])
    tried = np.unique(np.quantile(scores[chosen], shares))
    best = max(tried, key=lambda tau: overlap_of(scores[chosen] >= tau, truth[chosen]))
    return (
        overlap_of(scores[~chosen] >= best, truth[~chosen]),
        float(average_precision_score(truth[~chosen].ravel(), scores[~chosen].ravel())),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    cutting = verbs.add_parser("cut", help="tiles of a movie, and the signal")
    cutting.add_argument("movie", type=Path)
    cutting.add_argument("tiles", type=Path)
    measuring = verbs.add_parser("measure", help="maps against the dark pixels")
    measuring.add_argument("model", type=Path)
    measuring.add_argument("tiles", type=Path)
    options = parser.parse_args()
    if options.verb == "cut":
        cut(options.movie, options.tiles)
    else:
        measure(options.model, options.tiles)


if __name__ == "__main__":
    main()
