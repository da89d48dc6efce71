from collections.abc import Callable

import numpy as np
import pytest

Render = Callable[..., tuple[np.ndarray, np.ndarray]]


def _render(
    *,
    n_frames: int = 20,
    side: int = 128,
    sigma: float = 1.5,
    height: float = 100.0,
    noise: float = 10.0,
    step: float = 0.7,
    spacing: float = 24.0,
    dark: bool = False,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a movie of Gaussian spots that diffuse about a grid, and the true (frame, y, x)."""
    rng = np.random.default_rng(seed)
    grid = np.arange(spacing / 2, side - spacing / 3, spacing)
    home = np.array([(y, x) for y in grid for x in grid])
    walk = np.cumsum(rng.normal(0, step, (n_frames, *home.shape)), axis=0)
    limit = spacing / 4
    truth = home + limit - np.abs((walk + limit) % (4 * limit) - 2 * limit)
    y, x = np.mgrid[:side, :side]
    movie = 300.0 + rng.normal(0, noise, (n_frames, side, side))
    for frame, spots in zip(movie, truth, strict=True):
        for v, u in spots:
            spot = height * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * sigma**2))
            frame += -spot if dark else spot
    return np.clip(movie, 0, 65535).round().astype(np.uint16), truth


@pytest.fixture(scope="session")
def render() -> Render:
    return _render
