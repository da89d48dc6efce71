from collections.abc import Callable

import numpy as np
import pytest
import torch

DrawDisc = Callable[..., torch.Tensor]


def _disc(
    size: int, radius: float, width: float, middle: tuple[float, float] | None = None
) -> torch.Tensor:
    """Return a round cell in equilibrium as a phase field of shape (1, 1, size, size)."""
    row, column = middle or ((size - 1) / 2, (size - 1) / 2)
    y, x = np.mgrid[:size, :size]
    away = np.hypot(y - row, x - column)
    return torch.tensor(1 / (1 + np.exp((away - radius) / width)), dtype=torch.float32)[None, None]


@pytest.fixture(scope="session")
def disc() -> DrawDisc:
    return _disc
