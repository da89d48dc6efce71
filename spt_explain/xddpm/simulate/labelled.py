"""Simulated movies with the signals that go with them and the pixels that carry each signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Clips = npt.NDArray[np.float32]
    Signal = npt.NDArray[np.float32]
    Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Movies of which all is known.

    Attributes
    ----------
    clips : numpy.ndarray of float32, shape (n, T, H, W)
        The movies.
    signals : dict of str to numpy.ndarray of float32, shape (n,) or (n, T)
        One number per movie, or one per frame.
    truth : dict of str to numpy.ndarray of bool, shape (n, T, H, W)
        The pixels that carry the signal of that name; of a signal with one number per frame, the
        pixels of frame t carry the number of frame t. Arrays may be shared between signals.
    settings : dict
        All that is needed to simulate the same again.
    """

    clips: Clips
    signals: dict[str, Signal]
    truth: dict[str, Truth]
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        n_frames = self.clips.shape[:2]
        for name, signal in self.signals.items():
            if signal.shape not in (n_frames, n_frames[:1]):
                raise ValueError(f"signal {name} has shape {signal.shape}, clips {n_frames}")
            if self.truth[name].shape != self.clips.shape:
                raise ValueError(f"truth of {name} has shape {self.truth[name].shape}")

    def __len__(self) -> int:
        return len(self.clips)

    def take(self, index: npt.NDArray[np.intp] | slice) -> Labelled:
        """Return the movies of `index` with their signals and their truth."""
        same: dict[int, Truth] = {}
        for mask in self.truth.values():
            if id(mask) not in same:
                same[id(mask)] = mask[index]
        return Labelled(
            self.clips[index],
            {name: signal[index] for name, signal in self.signals.items()},
            {name: same[id(mask)] for name, mask in self.truth.items()},
            self.settings,
        )
