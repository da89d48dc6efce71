"""Rendered movies whose truth is known, and how well spots and links agree with it.

Particles move in a field of constant size, somewhat larger than the frame: they come in and leave
over its borders, as in a real field of view, and where one bleaches another appears elsewhere, so
that the density stays what was asked for. Paths come from the simulators of `spt-explain simulate`,
the picture from its camera.

A detection is right if it lies within `radius_for` of a particle; each particle counts once
(assignment with the most pairs, then the least distance). A link is right if its two ends are the
same particle in consecutive frames. Particles and detections within `BORDER_PX` of the frame's
edge are left out of the count: trackpy needs room for a whole mask there, so how many are lost
depends on the size of the frame only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from spt_explain.diffusion.population import simulate_recording
from spt_explain.diffusion.recording import Recording, Span
from spt_explain.movies.render import Optics, render_movie
from spt_explain.tracks.table import Calibration, Source, Tracks

if TYPE_CHECKING:
    from pathlib import Path

PIXEL_UM = 0.1
INTERVAL_S = 0.05
BORDER_PX = 6.0
"""The margin of the largest mask tried (11 px)."""
_OUTSIDE_PX = 15.0
_FAR = 1e6


@dataclass(frozen=True)
class Scene:
    """What a movie shows.

    Attributes
    ----------
    density : float
        Particles on 100 × 100 px.
    optics : Optics
        Spots and camera.
    step_px : float
        Root mean square displacement from one frame to the next (in two dimensions).
    frames, side_px : int
        Size of the movie.
    lifetime : float
        Mean number of frames until a particle bleaches and another appears elsewhere; inf: never.
    spread : float
        Standard deviation of the logarithm of a particle's brightness; 0: all alike.
    kind : str
        Class of motion, or a mixture; see `simulate_recording`.
    seed : int
        Of everything.
    """

    density: float
    optics: Optics
    step_px: float = 1.5
    frames: int = 50
    side_px: int = 160
    lifetime: float = 100.0
    kind: str = "BM"
    seed: int = 0

    @property
    def peak_snr(self) -> float:
        """Light of a spot in its middle pixel over the deviation of that pixel."""
        from math import erf, sqrt

        o = self.optics
        signal = o.photons * erf(0.5 / (sqrt(2) * o.spot_sigma_px)) ** 2
        return signal / sqrt(signal + o.background + o.read_noise**2)


def side_for(density: float, least: int = 160, particles: float = 8.0, most: int = 320) -> int:
    """Return the side of a frame in px that shows about `particles` or more."""
    return int(np.clip(np.ceil(100 * np.sqrt(particles / density)), least, most))


def radius_for(sigma_px: float) -> float:
    """Return how far a detection may lie from its particle, in px.

    One pixel, or the spot's own radius where that is larger: the error of the best estimator is
    0.4 px in the worst scene at a radius of 1.3 px (100 photons on 10), and 0.8 px at 2 px; at ten
    particles on 100 × 100 px a random place lies within it by a chance of 0.3 % and 1.3 %.
    """
    return max(1.0, sigma_px)


def make_truth(scene: Scene) -> pd.DataFrame:
    """Return where every particle is: columns particle, frame, x, y (px), also outside the frame.

    The field is a torus `_OUTSIDE_PX` wider than the frame on every side, so that a particle that
    leaves it on one side and comes back on the other is never seen to jump; it is another one then.
    """
    rng = np.random.default_rng([scene.seed, 7])
    field = scene.side_px + 2 * _OUTSIDE_PX
    n = max(1, round(scene.density * field**2 / 1e4))
    ends = rng.exponential(scene.lifetime, n) if np.isfinite(scene.lifetime) else np.full(n, np.inf)
    recording = Recording(
        length=Span(scene.frames, scene.frames),
        diffusion_coefficient_um2_s=Span(*2 * [(scene.step_px * PIXEL_UM) ** 2 / (4 * INTERVAL_S)]),
        pixel_size_um=PIXEL_UM,
        frame_interval_s=INTERVAL_S,
    )
    paths = simulate_recording(scene.kind, n, recording, seed=scene.seed).tracks.table
    xy = paths[["x", "y"]].to_numpy().reshape(n, scene.frames, 2) / PIXEL_UM
    place = rng.uniform(0, field, (n, 1, 2))
    bleached = np.zeros((n, scene.frames), dtype=np.int64)
    moved = np.repeat(place, scene.frames, axis=1)
    for i, end in enumerate(ends):
        start = end
        while start < scene.frames:
            first = int(np.ceil(start))
            bleached[i, first:] += 1
            moved[i, first:] = rng.uniform(0, field, 2)
            start += rng.exponential(scene.lifetime)
    inside = xy - xy[:, :1] + moved
    turns = np.floor(inside / field).astype(np.int64)
    table = pd.DataFrame(
        {
            "slot": np.repeat(np.arange(n), scene.frames),
            "frame": np.tile(np.arange(scene.frames), n),
            "life": bleached.ravel(),
            "turn_x": turns[..., 0].ravel(),
            "turn_y": turns[..., 1].ravel(),
            "x": (inside - turns * field)[..., 0].ravel() - _OUTSIDE_PX,
            "y": (inside - turns * field)[..., 1].ravel() - _OUTSIDE_PX,
        }
    )
    one = ["slot", "life", "turn_x", "turn_y"]
    table["particle"] = table.groupby(one, sort=False).ngroup()
    return table[["particle", "frame", "x", "y"]].reset_index(drop=True)


def make_movie(scene: Scene, path: Path) -> pd.DataFrame:
    """Render a scene as a TIFF, and return its truth."""
    truth = make_truth(scene)
    table = truth.assign(x=truth["x"] * PIXEL_UM, y=truth["y"] * PIXEL_UM)
    calibration = Calibration("um", "simulated", INTERVAL_S, "simulated", PIXEL_UM)
    tracks = Tracks(table, calibration, Source("scene", "simulated tracks", (), {}))
    render_movie(tracks, path, scene.side_px, scene.side_px, scene.optics, seed=scene.seed)
    return truth


def match(truth: pd.DataFrame, spots: pd.DataFrame, radius: float, n_frames: int) -> np.ndarray:
    """Return for each spot the row of `truth` it is, or -1.

    Parameters
    ----------
    truth, spots : pandas.DataFrame
        Columns frame, x, y (px).
    radius : float
        Largest distance in px.
    n_frames : int
        Frames of the movie.
    """
    of = np.full(len(spots), -1, dtype=np.int64)
    by_truth, by_spot = _by_frame(truth, n_frames), _by_frame(spots, n_frames)
    a, b = truth[["x", "y"]].to_numpy(), spots[["x", "y"]].to_numpy()
    for here, there in zip(by_truth, by_spot, strict=True):
        if len(here) == 0 or len(there) == 0:
            continue
        distance = np.hypot(*(a[here, None] - b[None, there]).transpose(2, 0, 1))
        near = distance <= radius
        rows, columns = near.any(axis=1), near.any(axis=0)
        here, there = here[rows], there[columns]
        if len(here) == 0:
            continue
        cost = np.where(near, distance, _FAR)[np.ix_(rows, columns)]
        i, j = linear_sum_assignment(cost)
        good = cost[i, j] < _FAR
        of[there[j[good]]] = here[i[good]]
    return of


def inside(table: pd.DataFrame, side_px: int) -> np.ndarray:
    """Return which rows count: those off the border of the frame."""
    xy = table[["x", "y"]].to_numpy()
    off = (xy >= BORDER_PX) & (xy <= side_px - 1 - BORDER_PX)
    within: np.ndarray = off[:, 0] & off[:, 1]
    return within


@dataclass(frozen=True)
class Score:
    """Right, missed and wrong."""

    right: int
    missed: int
    wrong: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent."""
        total = 2 * self.right + self.missed + self.wrong
        return 200.0 * self.right / total if total else float("nan")


def score_spots(truth: pd.DataFrame, spots: pd.DataFrame, of: np.ndarray, side_px: int) -> Score:
    """Return how many particles were seen; `of` is what `match` returned."""
    counted = inside(truth, side_px)
    right = int(counted[of[of >= 0]].sum())
    wrong = int((inside(spots, side_px) & (of < 0)).sum())
    return Score(right, int(counted.sum()) - right, wrong)


def score_links(truth: pd.DataFrame, tracks: pd.DataFrame, of: np.ndarray, side_px: int) -> Score:
    """Return how many links between consecutive frames are right; `tracks` has particle, too."""
    counted = inside(truth, side_px)
    first, second = links(truth)
    wanted = int((counted[first] & counted[second]).sum())
    particle = truth["particle"].to_numpy()
    start, end = links(tracks)
    where = inside(tracks, side_px)
    matched = of >= 0
    where[matched] = counted[of[matched]]
    a, b = of[start], of[end]
    good = (a >= 0) & (b >= 0) & (particle[a] == particle[b])
    both = where[start] & where[end]
    right = int((good & both).sum())
    return Score(right, wanted - right, int((both & ~good).sum()))


def links(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows at both ends of each link between consecutive frames."""
    particle, frame = table["particle"].to_numpy(), table["frame"].to_numpy()
    order = np.lexsort((frame, particle))
    first, second = order[:-1], order[1:]
    joined = (particle[first] == particle[second]) & (frame[second] == frame[first] + 1)
    return first[joined], second[joined]


def _by_frame(table: pd.DataFrame, n_frames: int) -> list[np.ndarray]:
    frame = table["frame"].to_numpy()
    order = np.argsort(frame, kind="stable")
    return np.split(order, np.searchsorted(frame[order], np.arange(1, n_frames)))
