"""Signals that are measured from the movie itself: of any rectangle of each frame.

Each signal is a sum over pixels, so that a tile has its share of what the whole frame has:

``area``
    Pixels that belong to a cell; see `spt_explain.xddpm.foreground`.
``circumference``
    Length of the outline of the cells, the integral of |∇φ| with φ the cell smoothed over 1 px.
    Where the frame cuts a cell there is no outline.
``intensity``
    Grey values above the background, summed over the pixels of the cells (where none stand out
    from the background, over all).
``spots``
    Number of spots, located as ``spt-explain track`` does.
``msd-d``
    Diffusion coefficient of the tracks: a quarter of the slope of the mean squared displacement
    from one to two frames, (⟨d²⟩ + 2⟨d·d′⟩) / 4, to which the localisation error adds nothing
    (Vestergaard et al. 2014, doi:10.1103/PhysRevE.89.022726). One value for each clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError, option, printable
from spt_explain.movies.settings import TrackingSettings
from spt_explain.xddpm.foreground import SAMPLE_FRAMES, Foreground, find_foreground

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.movies.parameters import Parameters
    from spt_explain.movies.stack import Stack
    from spt_explain.tracks.table import Calibration

    Image = NDArray[np.float64]
    Ints = NDArray[np.int64]

MEASURED = ("area", "circumference", "intensity", "spots", "msd-d")
"""Signals that can be measured."""
OF_CELLS = ("area", "circumference", "intensity")
LEAST_STEPS = 5
"""Pairs of steps in a clip below which its diffusion coefficient is not known."""
MOST_SAMPLED = 5
"""Movies that the parameters of spots are estimated from."""
ALIKE = 3.0
"""Movies whose cells or spots differ in brightness by more than this are measured each by its own
levels, all others by the same."""


@dataclass(frozen=True)
class MeasureSettings:
    """What a user may say about how signals are measured; None: found from the movie.

    Attributes
    ----------
    threshold : float or None
        Grey value that divides cell and background.
    dark : bool or None
        Whether cells are darker than the background; None: where no bright cell stands out in any
        movie, or nearly all of the frame is bright.
    tracking : TrackingSettings
        How spots are located and linked.
    """

    threshold: float | None = None
    dark: bool | None = None
    tracking: TrackingSettings = field(default_factory=TrackingSettings)


def unit_of(signal: str, pixel_size_um: float | None, frame_interval_s: float | None) -> str:
    """Return the unit that a signal is in, "" for a number without one."""
    if signal == "area":
        return "µm²" if pixel_size_um else "px²"
    if signal == "circumference":
        return "µm" if pixel_size_um else "px"
    if signal == "msd-d":
        return "µm²/s" if pixel_size_um and frame_interval_s else "px²/frame"
    return "grey values" if signal == "intensity" else ""


def in_units(signal: str, calibration: Calibration, unit: str) -> float:
    """Return what a value in px and frames is multiplied by to have that unit."""
    size, interval = calibration.pixel_size_um, calibration.frame_interval_s
    if "µm" not in unit:
        return 1.0
    assert size is not None
    if signal == "msd-d":
        assert interval is not None
        return size**2 / interval
    return size**2 if signal == "area" else size


class Measurement:
    """A signal of one movie: what each pixel of a frame adds to it.

    Parameters
    ----------
    signal : str
        One of `MEASURED`.
    foreground : Foreground, optional
        For signals of cells.
    spots : pandas.DataFrame, optional
        For the others: ``frame``, ``y``, ``x`` in px, and for ``msd-d`` ``particle``, sorted by
        it and by frame.
    """

    def __init__(
        self,
        signal: str,
        *,
        foreground: Foreground | None = None,
        spots: pd.DataFrame | None = None,
    ) -> None:
        self.signal = signal
        self.foreground = foreground
        if spots is not None:
            columns = ("frame", "y", "x", "particle") if signal == "msd-d" else ("frame", "y", "x")
            rows = [spots[name].to_numpy() for name in columns]
            self._events = _steps(*rows) if signal == "msd-d" else _positions(*rows)

    @property
    def per_clip(self) -> bool:
        """Whether there is one value for each clip, not for each frame."""
        return self.signal == "msd-d"

    @property
    def needs_pixels(self) -> bool:
        """Whether frames have to be read for it."""
        return self.signal in OF_CELLS

    def sums(self, index: int, frame: Image | None, shape: tuple[int, int], cuts: Ints) -> Image:
        """Return the sums over rectangles of frame `index`, (rectangles, 2).

        Parameters
        ----------
        index : int
            Number of the frame.
        frame : numpy.ndarray, shape (height, width), or None
            Its grey values, if they are needed.
        shape : tuple of int
            Its height and width.
        cuts : numpy.ndarray of int, shape (rectangles, 4)
            First row, row after the last, first column, column after the last.

        Returns
        -------
        numpy.ndarray
            Of ``msd-d`` the sum over pairs of steps and their number; else the sum, and 1.
        """
        result = np.ones((len(cuts), 2))
        if self.needs_pixels:
            assert frame is not None
            result[:, 0] = _over(self._image(frame), cuts)
            return result
        at = slice(*np.searchsorted(self._events[:, 0], (index, index + 1)))
        _, y, x, value = self._events[at].T
        counts, sums = np.zeros(shape), np.zeros(shape)
        pixel = tuple(
            np.clip(np.round(v).astype(int), 0, n - 1) for v, n in zip((y, x), shape, strict=True)
        )
        np.add.at(counts, pixel, 1)
        if self.signal == "spots":
            result[:, 0] = _over(counts, cuts)
            return result
        np.add.at(sums, pixel, value)
        result[:, 0], result[:, 1] = _over(sums, cuts), _over(counts, cuts)
        return result

    def of_clip(self, sums: Image) -> Image:
        """Return the values of clips from the sums of their frames.

        Parameters
        ----------
        sums : numpy.ndarray, shape (clips, frames, 2)
            From `sums`.

        Returns
        -------
        numpy.ndarray, shape (clips, frames, 1) or (clips, 1)
            In px and frames; NaN where not known.
        """
        if not self.per_clip:
            return sums[..., :1]
        # A pair of steps reaches one frame to either side.
        inner = sums[:, 1:-1].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            d = inner[:, 0] / inner[:, 1] / 4
        return np.where(inner[:, 1] >= LEAST_STEPS, d, np.nan)[:, None]

    def _image(self, frame: Image) -> Image:
        assert self.foreground is not None
        cell = self.foreground.cell(frame)
        if self.signal == "area":
            return cell.astype(np.float64)
        if self.signal == "intensity":
            sign = -1 if self.foreground.dark else 1
            return np.where(cell, sign * frame - self.foreground.background, 0.0)
        return outline(cell)


def outline(cell: NDArray[np.bool_]) -> Image:
    """Return the length of outline in each pixel, in px: |∇φ|, φ the cell smoothed over 1 px."""
    from scipy import ndimage

    phase = ndimage.gaussian_filter(cell.astype(np.float64), 1.0, mode="nearest")
    padded = np.pad(phase, 1, mode="edge")
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    return np.asarray(np.hypot(down, across))


def _over(image: Image, cuts: Ints) -> Image:
    """Return sums over rectangles, from the sums over all that begin in the corner."""
    corner = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    np.cumsum(np.cumsum(image, axis=0), axis=1, out=corner[1:, 1:])
    top, bottom, left, right = cuts.T
    total = corner[bottom, right] - corner[top, right] - corner[bottom, left] + corner[top, left]
    return np.asarray(total)


def _positions(frame: Image, y: Image, x: Image) -> Image:
    events = np.stack([frame, y, x, np.ones(len(y))], axis=1).astype(np.float64)
    return events[np.argsort(events[:, 0], kind="stable")]


def _steps(frame: Image, y: Image, x: Image, particle: Image) -> Image:
    """Return frame and place of the middle of each pair of steps, and |d|² + 2 d·d′ there."""
    if len(frame) < 3:
        return np.zeros((0, 4))
    together = (particle[2:] == particle[:-2]) & (frame[2:] - frame[:-2] == 2)
    together &= frame[1:-1] - frame[:-2] == 1
    first = np.stack([y[1:-1] - y[:-2], x[1:-1] - x[:-2]])
    second = np.stack([y[2:] - y[1:-1], x[2:] - x[1:-1]])
    value = ((first**2 + second**2) / 2 + 2 * first * second).sum(axis=0)
    events = np.stack([frame[1:-1], y[1:-1], x[1:-1], value], axis=1)[together]
    return np.asarray(events[np.argsort(events[:, 0], kind="stable")], np.float64)


def prepare(
    signal: str,
    opened: Sequence[Callable[[], Stack]],
    settings: MeasureSettings | None = None,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Measurement], list[str]]:
    """Look at each movie for what a signal is measured with: levels of grey, or spots.

    Parameters
    ----------
    signal : str
        One of `MEASURED`.
    opened : sequence of callable
        Each opens a movie.
    settings : MeasureSettings, optional
    jobs : int, optional
        Processes at most, to locate spots.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    measurements : list of Measurement
        One for each movie.
    notes : list of str

    Raises
    ------
    SptError
        If nothing stands out of the background in any movie, or there are no spots.
    """
    settings = settings or MeasureSettings()
    tell = progress or (lambda _done, _total: None)
    if signal in OF_CELLS:
        return _prepare_cells(signal, opened, settings, tell)
    return _prepare_spots(signal, opened, settings, jobs, tell)


def _prepare_cells(
    signal: str,
    opened: Sequence[Callable[[], Stack]],
    settings: MeasureSettings,
    tell: Callable[[int, int], None],
) -> tuple[list[Measurement], list[str]]:
    polarities = (False, True) if settings.dark is None else (settings.dark,)
    tried: dict[bool, list[Foreground | None]] = {which: [] for which in polarities}
    middles: list[float] = []
    names: list[str] = []
    for done, opener in enumerate(opened, 1):
        with opener() as stack:
            at = np.unique(np.linspace(0, stack.n_frames - 1, SAMPLE_FRAMES).round().astype(int))
            frames = [stack.frame(int(i)) for i in at]
            names.append(printable(stack.name))
        middles.append(float(np.median(frames)))
        for which, each in tried.items():
            one = find_foreground(frames, dark=which, threshold=settings.threshold)
            # Where nearly all is bright, cells are the dark rest.
            both = settings.dark is None and settings.threshold is None
            each.append(None if one is None or (both and one.fills(frames)) else one)
        tell(done, len(opened))
    dark = next((which for which, each in tried.items() if any(each)), None)
    if dark is None and signal == "intensity":
        note = (
            f"No cell stands out from the background in {names[0]}: the intensity is that of all "
            "pixels, above the median grey value of the movie."
        )
        everywhere = [Foreground(middle, -np.inf, 0.0) for middle in middles]
        return [Measurement(signal, foreground=one) for one in everywhere], [note]
    if dark is None:
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        raise SptError(
            f"no cell stands out from the background in {names[0]}{more}, so its {signal} can't be "
            f"measured. For spots there are {option('signal', 'spots')} and msd-d; or check "
            f"{option('channel')}, or measure it with another program and give "
            f"{option('signal', 'FILE')}.",
            option="signal",
        )
    found = tried[dark]
    there = [one for one in found if one is not None]
    notes = []
    if dark and settings.dark is None:
        notes.append(
            "Cells are taken to be darker than the background, which is most of the frame."
        )
    blank = [name for name, one in zip(names, found, strict=True) if one is None]
    if blank:
        notes.append(
            f"In {len(blank):,} of {len(names):,} movies nothing stands out from the background "
            f"({blank[0]}): they are measured with the levels of the others."
        )
    height = float(np.median([one.threshold - one.background for one in there]))
    smoothing = max(one.smoothing for one in there)
    sign = -1 if dark else 1
    levels = [
        one or Foreground(sign * middle, sign * middle + height, smoothing, dark)
        for one, middle in zip(found, middles, strict=True)
    ]
    first = next(i for i, one in enumerate(found) if one is not None)
    common = _common(there, height)
    if common is not None and len(opened) > 1:
        levels = [one if own is None else common for one, own in zip(levels, found, strict=True)]
        notes.append(f"In all movies {common.in_words()}.")
    else:
        notes.append(f"{names[first]}: {levels[first].in_words()}.")
    return [Measurement(signal, foreground=one) for one in levels], notes


def _common(there: Sequence[Foreground], height: float) -> Foreground | None:
    """Return levels for all movies if theirs are alike, so that a cell is the same in each."""
    backgrounds = np.asarray([one.background for one in there])
    heights = np.asarray([one.threshold - one.background for one in there])
    alike = np.ptp(backgrounds) < height and heights.max() < ALIKE * heights.min()
    if not alike:
        return None
    low = float(np.median(backgrounds))
    return replace(
        there[0],
        background=low,
        threshold=low + height,
        smoothing=max(one.smoothing for one in there),
    )


def _prepare_spots(
    signal: str,
    opened: Sequence[Callable[[], Stack]],
    settings: MeasureSettings,
    jobs: int | None,
    tell: Callable[[int, int], None],
) -> tuple[list[Measurement], list[str]]:
    from spt_explain.movies import locate
    from spt_explain.movies.estimate import estimate
    from spt_explain.movies.parallel import locate_movie
    from spt_explain.movies.quiet import silence

    wanted, notes, spots_of_one = _alike(opened, settings.tracking)
    made: list[Measurement] = []
    empty: list[str] = []
    for done, opener in enumerate(opened, 1):
        with opener() as stack, silence():
            try:
                parameters = estimate(stack, wanted)
                table, _ = locate_movie(stack, parameters, jobs=jobs)
            except SptError:
                if len(opened) == 1:
                    raise
                empty.append(printable(stack.name))
                made.append(Measurement(signal, spots=_no_spots()))
                continue
            try:
                any_memory = wanted.memory is None
                linked, _ = locate.link_movie(table, parameters, stack, any_memory=any_memory)
                table, _ = locate.drop_lone(linked, parameters.lone_mass)
            except SptError:
                if signal == "msd-d":
                    raise
        made.append(Measurement(signal, spots=table))
        tell(done, len(opened))
    if len(empty) == len(opened):
        raise SptError(
            f"there are no spots in {empty[0]} and {len(empty) - 1:,} more movies, so {signal} "
            f"can't be measured. Check {option('channel')}, or give {option('signal', 'FILE')}.",
            option="channel",
        )
    if empty:
        notes.append(f"There are no spots in {len(empty):,} of {len(opened):,} movies: {empty[0]}.")
    return made, [*notes, *([spots_of_one] if spots_of_one else [])]


def _alike(
    opened: Sequence[Callable[[], Stack]], given: TrackingSettings
) -> tuple[TrackingSettings, list[str], str]:
    """Return settings for all movies, so that a spot is the same in each, where that can be."""
    from spt_explain.movies.estimate import estimate
    from spt_explain.movies.quiet import silence

    at = np.unique(np.linspace(0, len(opened) - 1, MOST_SAMPLED).round().astype(int))
    found: list[Parameters] = []
    for i in at:
        with opened[int(i)]() as stack, silence():
            try:
                found.append(estimate(stack, given))
            except SptError:
                if len(opened) == 1:
                    raise
    if not found:
        return given, [], ""
    masses = [one.minmass for one in found]
    if min(masses) <= 0 or max(masses) / min(masses) > ALIKE:
        note = "Spots differ in brightness from movie to movie: each has its own least brightness."
        return given, [note], ""
    middle = sorted(found, key=lambda one: one.minmass)[len(found) // 2]
    wanted = given.changed(
        diameter=middle.diameter,
        minmass=middle.minmass,
        search_range=max(one.search_range for one in found),
        dark=middle.dark,
        peak=middle.peak,
        lone_mass=middle.lone_mass,
        adaptive=middle.adaptive,
    )
    said = f"Spots: diameter {wanted.diameter} px, least brightness {wanted.minmass:g}, "
    return wanted, [], f"{said}search range {wanted.search_range:g} px, in all movies."


def _no_spots() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: np.empty(0) for name in ("frame", "y", "x", "particle")})
