"""Static localisation error of spots: copies of a movie's own mean spot, located again in it.

An error propagated through the centroid by formula (Savin and Doyle 2005,
doi:10.1529/biophysj.104.042457; trackpy's ``ep``) takes noise as the same everywhere, and leaves
out that negative values are cut off and that the mask sits on whole pixels: on rendered movies it
is wrong by factors of 0.2 to 2.7. Copies put where a movie shows no spot are located as spots are,
and their true places are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import EstimationSettings, deviation
from spt_explain.movies.profile import fit_profile, measure_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.parameters import Parameters
    from spt_explain.movies.profile import Profile
    from spt_explain.movies.stack import Stack

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PrecisionSettings:
    """What the measurement depends on.

    Attributes
    ----------
    n_frames : int
        Frames, spread over the movie, that are looked at.
    max_sample_pixels : int
        Pixels of all those frames together are kept below this, at least one frame.
    n_spots : int
        Spots at most that the mean spot is taken from.
    max_cell_pixels : int
        Pixels of all those spots together, and of all copies, are kept below this.
    min_spots : int
        With fewer there is no estimate.
    n_copies : int
        Copies at most, for each brightness.
    min_copies : int
        With fewer copies found again, a brightness does not count.
    n_levels : int
        Brightnesses tried.
    quantiles : (float, float)
        They span these quantiles of the movie's spots, and `margin` times more.
    margin : float
        See `quantiles`.
    clearance : float
        Spots and copies are used where the next spot is this many diameters away.
    seed : int
        Of the places of the copies and of their noise.
    """

    n_frames: int = 24
    max_sample_pixels: int = 1 << 24
    n_spots: int = 1_000
    max_cell_pixels: int = 1 << 20
    min_spots: int = 30
    n_copies: int = 400
    min_copies: int = 30
    n_levels: int = 6
    quantiles: tuple[float, float] = (0.02, 0.98)
    margin: float = 1.25
    clearance: float = 1.5
    seed: int = 0


@dataclass(frozen=True)
class Precision:
    """Static localisation error of a spot, per axis, by its mass.

    The error's square is `floor_px` squared, plus a part that falls with the mass (photons of the
    spot), plus one that falls with its square (noise of the background).

    Attributes
    ----------
    floor_px : float
        Error of the brightest spots, from the sub-pixel bias, in px.
    mass : float
        Median mass of the spots it was measured at, in grey values.
    spot_px, background_px : float
        Errors from the photons of a spot of that mass, and from the background, in px.
    sigma_px : float
        Gaussian radius of the mean spot.
    gain : float
        Grey values per photon, as measured; 0 where spots are too dim to tell.
    n_spots, n_copies : int
        Spots that the mean spot was taken from, and copies of each brightness.
    """

    floor_px: float
    mass: float
    spot_px: float
    background_px: float
    sigma_px: float
    gain: float
    n_spots: int
    n_copies: int

    def __call__(self, mass: npt.ArrayLike) -> Floats:
        """Return the error of spots of these masses (grey values) in px."""
        import numpy as np

        values = np.asarray(mass, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(values > 0, self.mass / values, np.nan)
        square = self.floor_px**2 + self.spot_px**2 * ratio + (self.background_px * ratio) ** 2
        error: Floats = np.sqrt(square)
        return error


def static_error(
    stack: Stack,
    parameters: Parameters,
    spots: pd.DataFrame,
    settings: PrecisionSettings | None = None,
) -> tuple[Floats | None, str]:
    """Estimate the static localisation error of every spot.

    Parameters
    ----------
    stack, parameters, spots, settings
        As for `measure_precision`.

    Returns
    -------
    error_px : numpy.ndarray, shape (n,), or None
        Standard deviation of each position's error, per axis, in px, from its mass; None where it
        can't be known.
    note : str
        A sentence: how large it is and how it was found, or why it is not known.
    """
    import numpy as np

    precision, note = measure_precision(stack, parameters, spots, settings)
    if precision is None:
        return None, note
    error = precision(spots["mass"].to_numpy())
    note = (
        f"Static localisation error {np.nanmedian(error):.2g} px per axis for the median spot, "
        f"from {precision.n_copies} copies of the mean spot of {precision.n_spots} located again "
        "in empty places of the movie."
    )
    return error, note


def measure_precision(
    stack: Stack,
    parameters: Parameters,
    spots: pd.DataFrame,
    settings: PrecisionSettings | None = None,
) -> tuple[Precision | None, str]:
    """Measure the static localisation error against mass on a sample of frames.

    The mean spot is taken from the movie, copied with its noise of photons into places without
    a spot, at many brightnesses and places within a pixel, and located as spots are. Motion
    during the exposure is not part of this error.

    Parameters
    ----------
    stack : Stack
        The movie.
    parameters : Parameters
        Diameter, least mass, polarity and least height that `spots` were found with.
    spots : pandas.DataFrame
        Columns ``frame``, ``y``, ``x`` (px) and ``mass`` (grey values).
    settings : PrecisionSettings, optional
        Sizes of the samples.

    Returns
    -------
    precision : Precision or None
        None where it can't be known.
    note : str
        Why it is not known, else empty.
    """
    import numpy as np

    settings = settings or PrecisionSettings()
    rng = np.random.default_rng(settings.seed)
    diameter, half = parameters.diameter, parameters.diameter
    most = settings.max_cell_pixels // (2 * half + 1) ** 2
    n_spots, n_copies = min(settings.n_spots, most), min(settings.n_copies, most)
    shown, offsets, empty, noisy = [], [], [], False
    for number in _numbers(spots, stack.height * stack.width, settings):
        frame = stack.frame(int(number))
        band = band_pass(frame, diameter, dark=parameters.dark).astype(np.float64)
        noisy |= deviation(band) > EstimationSettings().noise_free * float(band.max())
        yx = spots.loc[spots["frame"] == number, ["y", "x"]].to_numpy(np.float64)
        alone = yx[_alone(yx, yx, settings.clearance * diameter, itself=True)]
        alone = rng.permutation(alone[_within(alone, frame.shape, half)])[:n_spots]
        shown.append(_patches(-frame if parameters.dark else frame, alone, half))
        offsets.append(alone - alone.round())
        places = _grid(frame.shape, half, rng)
        places = places[_alone(places, yx, settings.clearance * diameter)]
        empty.append(_patches(band, rng.permutation(places)[:n_copies], half))
    unknown = "Static localisation error not known: "
    n_alone, n_empty = sum(map(len, shown)), sum(map(len, empty))
    if n_alone < settings.min_spots:
        return None, (
            f"{unknown}only {n_alone} spots that stand alone in the {len(shown)} frames looked at "
            f"(at least {settings.min_spots} needed)."
        )
    if not noisy:
        return None, f"{unknown}the movie has no noise of its own to measure it by."
    if n_empty < settings.min_copies:
        return None, (
            f"{unknown}spots are so dense that only {n_empty} empty places were found in the "
            f"{len(shown)} frames looked at (at least {settings.min_copies} needed)."
        )
    chosen = rng.permutation(n_alone)[:n_spots]
    radius = diameter // 2 + 1
    sample = fit_profile(np.concatenate(shown)[chosen], np.concatenate(offsets)[chosen], radius)
    if sample is None:
        return None, f"{unknown}the spots have no shape in common."
    _, gain = measure_noise(sample, radius)
    cells = np.concatenate(empty)[rng.permutation(n_empty)[:n_copies]]
    masses = spots["mass"].to_numpy()
    found = _locate_copies(cells, sample.profile, gain, masses, parameters, settings, rng)
    if not found:
        return None, f"{unknown}spots are too dim: copies of them were not found again."
    middle = float(np.median(masses))
    mass, error = np.array(found).T
    parts = _fit(middle / mass, error)
    return Precision(
        parts[0], middle, parts[1], parts[2], sample.profile.sigma, gain, len(chosen), len(cells)
    ), ""


def _numbers(spots: pd.DataFrame, n_pixels: int, settings: PrecisionSettings) -> Ints:
    """Return the numbers of frames to look at, spread over those that hold spots."""
    import numpy as np

    frames = np.unique(spots["frame"].to_numpy())
    most = int(np.clip(settings.max_sample_pixels // n_pixels, 1, settings.n_frames))
    which = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    numbers: Ints = frames[which]
    return numbers


def _alone(places: Floats, spots: Floats, distance: float, *, itself: bool = False) -> Bools:
    """Return whether each place has no spot within `distance` (but `itself`)."""
    import numpy as np
    from scipy.spatial import KDTree

    rank = 2 if itself else 1
    if len(spots) < rank or not len(places):
        return np.ones(len(places), dtype=bool)
    near, _ = KDTree(spots).query(places, k=[rank])
    return np.asarray(near[:, 0] >= distance)


def _within(places: Floats, shape: tuple[int, ...], half: int) -> Bools:
    """Return whether the square about each place lies in the frame."""
    import numpy as np

    pixel = places.round()
    return np.asarray(((pixel >= half) & (pixel < np.array(shape) - half)).all(axis=1))


def _grid(shape: tuple[int, ...], half: int, rng: np.random.Generator) -> Floats:
    """Return the middles of squares side by side that fit into a frame."""
    import numpy as np

    side = 2 * half + 1
    axes = [
        np.arange(half + rng.integers(n % side + 1), n - half, side, dtype=np.float64)
        for n in shape
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    return np.column_stack([y.ravel(), x.ravel()])


def _patches(frame: Floats, places: Floats, half: int) -> Floats:
    """Cut the squares about places out of a frame."""
    import numpy as np

    reach = np.arange(-half, half + 1)
    y, x = places.round().astype(np.int64).T
    cut: Floats = frame[y[:, None, None] + reach[:, None], x[:, None, None] + reach]
    return cut


def _mosaic(cells: Floats, columns: int) -> Floats:
    """Lay squares side by side; the last row is filled up with zeros."""
    import numpy as np

    n, side, _ = cells.shape
    rows = -(-n // columns)
    full = np.zeros((rows * columns, side, side))
    full[:n] = cells
    laid: Floats = full.reshape(rows, columns, side, side).swapaxes(1, 2)
    return laid.reshape(rows * side, columns * side)


def _locate_copies(
    cells: Floats,
    profile: Profile,
    gain: float,
    masses: Floats,
    parameters: Parameters,
    settings: PrecisionSettings,
    rng: np.random.Generator,
) -> list[tuple[float, float]]:
    """Return mass and error of copies put into `cells`, for each brightness with enough found."""
    import numpy as np
    from scipy.spatial import KDTree

    diameter, half = parameters.diameter, cells.shape[1] // 2
    columns = int(np.ceil(np.sqrt(len(cells))))
    corner = np.stack(np.divmod(np.arange(len(cells)), columns), axis=1) * (2 * half + 1)
    ground = _mosaic(cells, columns)

    def draw() -> Floats:
        return rng.uniform(-0.5, 0.5, (len(cells), 2))

    clean = band_pass(_mosaic(profile.image(draw(), half), columns), diameter)
    unit = find_spots(clean, diameter, 0.0, peak=0.3 * float(clean.max()))["mass"].median()
    low, high = np.quantile(masses, settings.quantiles)
    if not (unit > 0 and low > 0):
        return []
    results = []
    for mass in np.geomspace(low / settings.margin, high * settings.margin, settings.n_levels):
        offsets = draw()
        light = mass / unit * profile.image(offsets, half)
        light += rng.normal(size=light.shape) * np.sqrt(gain * np.clip(light, 0, None))
        # The band-pass is linear: that of the sum is the sum of both.
        band = (ground + band_pass(_mosaic(light, columns), diameter)).astype(np.float32)
        spots = find_spots(band, diameter, parameters.minmass, peak=parameters.peak)
        if not len(spots):
            continue
        there = spots[["y", "x"]].to_numpy()
        away, which = KDTree(there).query(corner + half + offsets)
        near = away < diameter / 2
        if near.sum() < settings.min_copies:
            continue
        error = (there[which] - corner - half - offsets)[near]
        seen = float(spots["mass"].to_numpy()[which[near]].mean())
        results.append((seen, float(np.sqrt(np.mean(error**2)))))
    return results


def _fit(ratio: Floats, error: Floats) -> Sequence[float]:
    """Return the parts of the error that don't depend on 1/mass, go with its root, and with it."""
    import numpy as np
    from scipy.optimize import nnls

    powers = np.stack([np.ones_like(ratio), ratio, ratio**2], axis=1)
    squares, _ = nnls(powers / error[:, None] ** 2, np.ones(len(ratio)))
    return [float(value) for value in np.sqrt(squares)]
