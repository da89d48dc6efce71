from __future__ import annotations

import numpy as np
import pytest

from spt_explain.xddpm.tracks.fit import fit
from spt_explain.xddpm.tracks.labels import SignalTracks
from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe


def planted(tracks, steps, seed):
    """Brownian tracks, of which a stretch is persistent as much as the signal says."""
    rng = np.random.default_rng(seed)
    positions, values, truth = [], [], []
    for _ in range(tracks):
        rho = rng.uniform(0, 0.95)
        size = int(rng.integers(steps // 4, steps // 2))
        start = int(rng.integers(0, steps - size + 1))
        x = rng.normal(size=(steps, 2))
        for t in range(start + 1, start + size):
            x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * x[t]
        positions.append(np.concatenate([[[0, 0]], np.cumsum(x, 0)]))
        values.append(repr(rho))
        mask = np.zeros(steps, bool)
        mask[start : start + size] = True
        truth.append(mask)
    names = tuple(f"track {i}" for i in range(tracks))
    offsets = np.arange(tracks + 1) * (steps + 1)
    signal = np.array(values, dtype=object)
    return SignalTracks(np.concatenate(positions), offsets, signal, ("rho",), names), truth


def recipe(regressor_steps=8, mask_steps=6, /, **parts):
    values = {
        "schedule": {"regressor_steps": regressor_steps, "mask_steps": mask_steps, "batch": 16},
        "regressor": {"width": 8, "depth": 3, "min_r2": 0.0, **parts.pop("regressor", {})},
        "mask": {"width": 8, **parts.pop("mask", {})},
        **parts,
    }
    return TrackRelevanceRecipe.model_validate(values)


@pytest.fixture(scope="session")
def some_tracks():
    return planted(60, 24, 3)[0]


@pytest.fixture(scope="session")
def small_model(some_tracks):
    """A model that has hardly learnt: for all that needs no knowledge."""
    import spt_explain.xddpm.tracks.run as run

    before = run.TrackRun._insist_on_prediction
    run.TrackRun._insist_on_prediction = lambda self: None
    try:
        return fit(some_tracks, recipe())
    finally:
        run.TrackRun._insist_on_prediction = before


@pytest.fixture(scope="session")
def make_planted():
    return planted


@pytest.fixture(scope="session")
def make_recipe():
    return recipe
