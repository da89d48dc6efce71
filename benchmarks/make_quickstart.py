"""Write `recipes/quickstart.csv`: simulated tracks like a lab's, with gaps, noise and short tracks.

    python benchmarks/make_quickstart.py

Four tracks of every class (60 to 400 points) and eight short ones, positions in µm
(0.08 µm a step), localisation noise of a third of a step, 3 % of frames missing; one immobile bead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from spt_explain.diffusion.classes import CLASSES
from spt_explain.diffusion.simulate import simulate_steps

STEP_UM = 0.08


def main() -> None:
    rng = np.random.default_rng(12)
    generator = torch.Generator().manual_seed(12)
    tables = []
    particle = 0
    for index, kind in enumerate(CLASSES):
        low, high = max(kind.alpha_low, 0.3), kind.alpha_high
        for length in (*rng.integers(60, 400, 4), int(rng.integers(4, 16))):
            alpha = torch.tensor([float(rng.uniform(low, high))])
            while True:
                steps = simulate_steps(index, 1, int(length), generator=generator, alpha=alpha)[0]
                path = np.vstack([np.zeros(2), steps[0].double().numpy().cumsum(0)])
                scale = np.diff(path, axis=0).std()
                if scale > 0:
                    break
            path = path / scale + rng.normal(0, 1 / 3, path.shape)
            frame = np.arange(len(path)) + int(rng.integers(0, 40))
            keep = (rng.random(len(path)) > 0.03) | (np.arange(len(path)) == 0)
            tables.append(_table(particle, frame[keep], STEP_UM * path[keep], rng))
            particle += 1
    bead = rng.normal(0, 1 / 3, (120, 2))
    tables.append(_table(particle, np.arange(120), STEP_UM * bead, rng))
    table = pd.concat(tables).sort_values(["frame", "particle"], kind="stable")
    path = Path(__file__).resolve().parents[1] / "recipes" / "quickstart.csv"
    table.to_csv(path, index=False, float_format="%.4f")
    print(f"{table['particle'].nunique()} tracks, {len(table)} points → {path}")


def _table(particle: int, frame: np.ndarray, xy: np.ndarray, rng: np.random.Generator):
    x, y = (xy + rng.uniform(0, 40, 2)).T
    return pd.DataFrame({"particle": particle, "frame": frame, "x [µm]": x, "y [µm]": y})


if __name__ == "__main__":
    main()
