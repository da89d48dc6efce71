"""The parameters of locating and linking, and their estimation from the movie itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    from scipy.spatial import KDTree

    Frame = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parameters:
    """How spots are found and joined, each value with its reason.

    Attributes
    ----------
    diameter : int
        Odd diameter of the mask around a spot, in px.
    minmass : float
        Least brightness of a spot, summed over the mask after the band-pass, in grey values.
    search_range : float
        Largest move between two frames, in px.
    memory : int
        Frames a spot may be gone and still be the same particle.
    dark : bool
        Whether spots are darker than what is around them.
    peak : float
        Least height of a spot after the band-pass, in grey values; saves time, changes nothing.
    adaptive : bool
        Whether `search_range` may shrink locally where spots are too dense to be linked with it.
    lone_mass : float
        Least brightness of a spot that is linked to no other, as `minmass`.
    reasons : mapping of str to str
        Why ``diameter``, ``minmass``, ``search_range``, ``memory`` and ``dark`` are what they are.
    """

    diameter: int
    minmass: float
    search_range: float
    memory: int
    dark: bool
    peak: float
    adaptive: bool
    lone_mass: float = 0.0
    reasons: Mapping[str, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Return a sentence for each parameter, with its reason."""
        said = [
            f"diameter {self.diameter} px ({self.reasons.get('diameter', 'given')}).",
            f"minmass {self.minmass:g} ({self.reasons.get('minmass', 'given')}).",
            f"search range {self.search_range:g} px ({self.reasons.get('search_range', 'given')}).",
        ]
        if self.memory or "memory" in self.reasons:
            frames = "frame" if self.memory == 1 else "frames"
            said.append(f"memory {self.memory} {frames} ({self.reasons.get('memory', 'given')}).")
        if self.lone_mass:
            said.insert(
                2,
                f"spots that link to none need a mass of {self.lone_mass:g} "
                f"({self.reasons.get('lone_mass', 'given')}).",
            )
        if self.dark:
            why = self.reasons.get("dark", "given")
            said.insert(0, f"dark spots on a brighter background were tracked ({why}).")
        return said


@dataclass(frozen=True)
class EstimationSettings:
    """What the estimation itself depends on.

    Attributes
    ----------
    n_pairs : int
        Pairs of consecutive frames, spread over the movie, that are looked at.
    max_sample_pixels : int
        Pixels of all those frames together are kept below this, at least one pair.
    max_scale_pixels : int
        The same for the estimation of the spot size, which is the slowest step.
    scales_px : tuple of float
        Gaussian radii tried for the spot size.
    clear_sigmas : float
        A blob counts for the spot size if its response stands this many noise deviations out.
    fallback_diameter : int
        Used where fewer than `min_blobs` stand out.
    min_blobs : int
        See `fallback_diameter`.
    sure_blobs : int
        Where fewer stand out, links between frames choose among `diameters`, too.
    diameters : tuple of int
        See `sure_blobs`; in px.
    diameter_tolerance : float
        See `sure_blobs`: the diameter that the spots' size tells is left only for one that serves
        the links better by this share.
    dark_over_bright : float
        Spots are taken as dark if dark blobs together are this much stronger than bright ones.
    noise_sigmas : float
        Spots that are linked to no other, and `minmass` where links can't tell, lie this many
        deviations above the mean mass of peaks of pure noise.
    noise_levels : tuple of float
        The same for what is tried for `minmass`: the links between frames choose.
    level_tolerance : float
        Of levels that serve the links nearly as well as the best one, less this share, the
        highest is taken.
    noise_peak : float
        In the frames looked at, peaks lower than this many deviations are not even tried.
    noise_free : float
        A movie whose noise is below this fraction of its brightest spot is taken as rendered or
        cleaned, without noise of its own; `minmass` is then `clean_mass` of its brighter spots.
    clean_mass : float
        See `noise_free`.
    range_margin : float
        `search_range` is this times the largest move that is likelier real than chance.
    chance_quantile : float
        The margin ends where this fraction of chance neighbours is nearer: beyond, neighbours
        are confused (Crocker and Grier 1996, doi:10.1006/jcis.1996.0217).
    min_moves : int
        With fewer moves the range is guessed.
    fallback_range_of_frame : float
        The guess, as a fraction of the shorter side of a frame.
    min_search_range_px : float
        `search_range` is at least this.
    """

    n_pairs: int = 8
    max_sample_pixels: int = 1 << 24
    max_scale_pixels: int = 1 << 20
    scales_px: tuple[float, ...] = (1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0, 4.8, 5.7, 6.7, 8.0)
    clear_sigmas: float = 6.0
    fallback_diameter: int = 7
    min_blobs: int = 5
    sure_blobs: int = 20
    diameters: tuple[int, ...] = (5, 7, 9, 11)
    diameter_tolerance: float = 0.1
    dark_over_bright: float = 1.5
    noise_sigmas: float = 5.0
    noise_levels: tuple[float, ...] = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0)
    level_tolerance: float = 0.01
    noise_peak: float = 2.0
    noise_free: float = 1e-3
    clean_mass: float = 0.1
    range_margin: float = 1.5
    chance_quantile: float = 0.2
    min_moves: int = 5
    fallback_range_of_frame: float = 0.05
    min_search_range_px: float = 2.0


def estimate_size(frames: Sequence[Frame], settings: EstimationSettings) -> tuple[float, int, bool]:
    """Estimate the radius of the spots, and whether they are dark.

    Blobs are maxima over place and scale of the scale-normalised Laplacian of Gaussian, whose
    response to a Gaussian spot is largest at the spot's own radius (Lindeberg 1998,
    doi:10.1023/A:1008045108935). Those that stand out of the noise vote by their strength.

    Parameters
    ----------
    frames : sequence of numpy.ndarray, shape (height, width)
        Frames spread over the movie.
    settings : EstimationSettings
        Scales, and what stands out.

    Returns
    -------
    sigma : float
        Gaussian radius of the spots in px (nan where too few stand out).
    n_blobs : int
        Blobs of that polarity that stood out.
    dark : bool
        Whether dark blobs together are the stronger ones.
    """
    import numpy as np
    from scipy import ndimage

    scales = np.asarray(settings.scales_px)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for frame in frames:
        stack = np.stack(
            [-(s**2) * ndimage.gaussian_laplace(frame, s, mode="nearest") for s in scales]
        )
        noise = np.array([deviation(response) for response in stack])
        noise = np.maximum(noise, settings.noise_free * np.abs(stack).max())
        for dark, blobs in found.items():
            response = -stack if dark else stack
            peaks = response == ndimage.maximum_filter(response, size=3)
            scale, y, x = np.nonzero(peaks & (response > 0))
            height = response[scale, y, x]
            # At the largest scale nothing says that the response would not grow further.
            clear = (height > settings.clear_sigmas * noise[scale]) & (scale < len(scales) - 1)
            blobs += zip(scales[scale[clear]], height[clear], strict=True)
    power = {dark: sum(height**2 for _, height in blobs) for dark, blobs in found.items()}
    dark = power[True] > settings.dark_over_bright * power[False]
    chosen = np.array(found[dark]).reshape(-1, 2)
    if len(chosen) < settings.min_blobs:
        return float("nan"), len(chosen), dark and len(chosen) > 0
    order = np.argsort(chosen[:, 0], kind="stable")
    weight = np.cumsum(chosen[order, 1])
    middle = int(np.searchsorted(weight, weight[-1] / 2))
    return float(chosen[order[middle], 0]), len(chosen), dark


def diameter_for(sigma: float) -> int:
    """Return the odd mask diameter in px for spots of Gaussian radius `sigma`.

    A mask of about 2.2 radii to each side has the least error on rendered spots: smaller ones pull
    positions to the middle of a pixel, larger ones take up noise.
    """
    return 2 * max(2, round(2 * sigma + 0.4)) + 1


def estimate_range(
    positions: Sequence[npt.NDArray[np.float64]],
    pairs: Sequence[tuple[int, int]],
    shape: tuple[int, int],
    settings: EstimationSettings,
) -> tuple[float, str]:
    """Estimate the search range from moves between consecutive frames.

    The distances of mutual nearest neighbours in two consecutive frames are compared with those
    after mirroring the second frame, which are chance. The largest move that is likelier real
    than chance is where the two cumulated counts are furthest apart.

    Parameters
    ----------
    positions : sequence of numpy.ndarray, shape (n, 2)
        Spots of each frame looked at, in px.
    pairs : sequence of (int, int)
        Which of them are consecutive.
    shape : tuple of int
        Height and width of a frame.
    settings : EstimationSettings
        Margins.

    Returns
    -------
    search_range : float
        In px, rounded to 0.1 px.
    reason : str
        How it came about.
    """
    return range_of_moves(*moves_and_chance(positions, pairs, shape), shape, settings)


def range_of_moves(
    real: npt.NDArray[np.float64],
    chance: npt.NDArray[np.float64],
    shape: tuple[int, int],
    settings: EstimationSettings,
) -> tuple[float, str]:
    """Return the search range as `estimate_range` does, from the moves of `moves_and_chance`."""
    import numpy as np

    moves = np.sort(real)
    if len(moves) < settings.min_moves:
        value = max(min(shape) * settings.fallback_range_of_frame, settings.min_search_range_px)
        return round(value, 1), (
            f"a guess from the size of a frame: only {len(moves)} moves could be measured"
        )
    random = np.sort(chance)
    excess = np.arange(1, len(moves) + 1) - np.searchsorted(random, moves, side="right") / 3
    largest = float(moves[int(np.argmax(excess))])
    wanted = max(settings.range_margin * largest, settings.min_search_range_px)
    reason = f"{settings.range_margin:g} × {largest:.1f} px, the largest move that is not chance"
    most = max(float(np.quantile(random, settings.chance_quantile)), largest)
    if wanted <= most:
        return round(wanted, 1), reason
    return round(most, 1), (
        f"the largest move that is not chance is {largest:.1f} px; spots are too dense for more"
    )


def moves_and_chance(
    positions: Sequence[npt.NDArray[np.float64]],
    pairs: Sequence[tuple[int, int]],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return distances of mutual nearest neighbours in two frames, and those that are chance.

    Parameters
    ----------
    positions : sequence of numpy.ndarray, shape (n, 2)
        Row and column of the spots of each frame, in px.
    pairs : sequence of (int, int)
        Which frames are compared.
    shape : tuple of int
        Height and width of a frame.

    Returns
    -------
    real, chance : numpy.ndarray
        In px; `chance` with the second frame mirrored in three ways, so three times as many.
    """
    import numpy as np
    from scipy.spatial import KDTree

    real, chance = [np.empty(0)], [np.empty(0)]
    limit = np.array(shape) - 1.0
    for i, j in pairs:
        a, b = positions[i], positions[j]
        if len(a) == 0 or len(b) == 0:
            continue
        tree = KDTree(a)
        real.append(_mutual(tree, b))
        for flip in ((True, False), (False, True), (True, True)):
            chance.append(_mutual(tree, np.where(flip, limit - b, b)))
    return np.concatenate(real), np.concatenate(chance)


def _mutual(tree: KDTree, b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distances of points of a tree and others that are each other's nearest."""
    import numpy as np
    from scipy.spatial import KDTree

    distance, forward = KDTree(b).query(tree.data)
    _, backward = tree.query(b)
    both = backward[forward] == np.arange(tree.n)
    nearest: npt.NDArray[np.float64] = np.asarray(distance)[both]
    return nearest


def deviation(values: npt.NDArray[np.floating[Any]]) -> float:
    """Return the standard deviation of `values` as outliers don't change it (1.4826 × MAD)."""
    import numpy as np

    return float(1.4826 * np.median(np.abs(values - np.median(values))))
