"""Movies of simulated particles: spots as a camera sees them, written as an ImageJ TIFF stack."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from spt_explain.core.config import Options, setting
from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from spt_explain.tracks.table import Tracks

    Frame = npt.NDArray[np.float64]

MAX_BYTES = 4_000_000_000
"""Pixels of a movie in bytes; an ImageJ TIFF holds no more (4 GiB with its metadata)."""
MAX_SIDE_PX = 8_192
"""Longest side of a frame; making one takes about 3 GB of memory then."""
_LARGEST = 65_535
_REACH = 5.0  # radii of a spot beyond which it holds less than 1e-6 of its light


class Optics(Options):
    """Microscope and camera.

    Attributes
    ----------
    spot_sigma_px : float
        Gaussian radius of a spot in px.
    photons : float
        Photons of a particle in each frame, on average.
    background : float
        Photons of the background in each pixel and frame, on average.
    read_noise : float
        Standard deviation of the camera's own noise, in photons.
    gain : float
        Grey values per photon.
    offset : float
        Grey value without light.
    """

    heading: ClassVar[str] = "Movie"

    spot_sigma_px: float = setting(
        1.3,
        "Movie: Gaussian radius of a spot in pixels.",
        unit="pixels",
        metavar="PX",
        ge=0.3,
        le=50,
    )
    photons: float = setting(
        500.0,
        "Movie: photons of a particle in each frame; Poisson-distributed.",
        unit="photons",
        metavar="N",
        ge=1,
        le=1e8,
    )
    background: float = setting(
        10.0,
        "Movie: photons of the background in each pixel and frame; Poisson-distributed.",
        unit="photons",
        metavar="N",
        ge=0,
        le=1e5,
    )
    read_noise: float = setting(
        1.5,
        "Movie: standard deviation of the camera's noise, in photons.",
        unit="photons",
        metavar="N",
        ge=0,
        le=1e4,
    )
    gain: float = setting(
        2.0,
        "Movie: grey values per photon.",
        unit="grey values per photon",
        metavar="G",
        ge=1e-3,
        le=1e4,
    )
    offset: float = setting(
        100.0,
        "Movie: grey value without light.",
        unit="grey values",
        metavar="GREY",
        ge=0,
        le=6e4,
    )

    @model_validator(mode="after")
    def _fits_16_bits(self) -> Self:
        if self.peak_grey > _LARGEST:
            raise SptError(
                f"the middle of a spot would have a grey value of {self.peak_grey:,.0f}: a 16-bit "
                f"movie holds {_LARGEST:,}. Lower {option('photons')}, {option('background')}, "
                f"{option('gain')} or {option('offset')}.",
                option="photons",
            )
        return self

    @property
    def peak_grey(self) -> float:
        """Grey value of the brightest pixel to be expected: 5 deviations above a spot's middle."""
        share = math.erf(0.5 / (math.sqrt(2) * self.spot_sigma_px)) ** 2
        photons = self.photons * share + self.background
        return self.offset + self.gain * (photons + 5 * math.sqrt(photons + self.read_noise**2))


def check_movie(n_frames: int, width_px: int, height_px: int) -> None:
    """Refuse a movie that is too large, before any work.

    Raises
    ------
    SptError
        If its frames are larger than `MAX_SIDE_PX`, or its pixels take more than `MAX_BYTES`.
    """
    size = 2 * n_frames * width_px * height_px
    mend = (
        f"Ask for fewer {option('tracks')}, a shorter {option('length')}, a smaller "
        f"{option('diffusion_coefficient_um2_s')} or a larger {option('pixel_size_um')}."
    )
    what = f"{n_frames:,} frames of {width_px:,} × {height_px:,} px"
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise SptError(
            f"the movie would need {what} to hold all tracks side by side: at most "
            f"{MAX_SIDE_PX:,} px a side are rendered. {mend}"
        )
    if size > MAX_BYTES:
        raise SptError(
            f"the movie would take {size / 1e9:,.1f} GB ({what}): an ImageJ TIFF holds at most "
            f"{MAX_BYTES / 1e9:g} GB. {mend}"
        )


def render_movie(
    tracks: Tracks,
    path: Path,
    width_px: int,
    height_px: int,
    optics: Optics | None = None,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Render tracks as a 16-bit ImageJ TIFF stack with pixel size and frame interval.

    A spot is a Gaussian integrated over each pixel; photons are Poisson-distributed, the camera
    adds normal noise. A particle without a position in a frame is not seen in it. Frames are made
    one at a time: memory does not grow with the length of the movie.

    Parameters
    ----------
    tracks : Tracks
        Positions; the middle of the first pixel is the origin. Rows that are ``filled`` are not
        seen. The pixel size must be known.
    path : pathlib.Path
        The file to write.
    width_px, height_px : int
        Size of a frame.
    optics : Optics, optional
        Microscope and camera.
    seed : int, optional
        What the random numbers begin with.
    progress : callable, optional
        Called with frames done and their number.

    Returns
    -------
    int
        Number of frames.

    Raises
    ------
    SptError
        If the movie is too large.
    """
    import numpy as np
    import tifffile

    optics = optics or Optics()
    pixel = tracks.calibration.pixel_size_um
    interval = tracks.calibration.frame_interval_s
    if pixel is None:
        raise ValueError("a movie needs the pixel size of its tracks")
    table = tracks.table
    if "filled" in table.columns:
        table = table[~table["filled"]]
    unit = pixel if tracks.calibration.length_unit == "um" else 1.0
    order = np.argsort(table["frame"].to_numpy(), kind="stable")
    frame = table["frame"].to_numpy()[order]
    spots = table[["x", "y"]].to_numpy()[order] / unit
    n_frames = int(frame.max()) + 1
    check_movie(n_frames, width_px, height_px)
    edges = np.searchsorted(frame, np.arange(n_frames + 1))
    rng = np.random.default_rng([len("movie"), seed])

    def frames() -> Iterator[npt.NDArray[np.uint16]]:
        for index in range(n_frames):
            here = spots[edges[index] : edges[index + 1]]
            light = expected_photons(here, width_px, height_px, optics)
            yield expose(light, optics, rng)
            if progress is not None:
                progress(index + 1, n_frames)

    metadata: dict[str, str | float] = {"axes": "TYX", "unit": "um"}
    if interval is not None:
        metadata |= {"finterval": interval, "tunit": "s", "fps": 1 / interval}
    tifffile.imwrite(
        path,
        frames(),
        shape=(n_frames, height_px, width_px),
        dtype=np.uint16,
        imagej=True,
        resolution=(1 / pixel, 1 / pixel),
        metadata=metadata,
    )
    return n_frames


def expected_photons(
    spots: npt.NDArray[np.float64], width_px: int, height_px: int, optics: Optics
) -> Frame:
    """Return the mean number of photons in each pixel of a frame.

    Parameters
    ----------
    spots : numpy.ndarray of float64, shape (n, 2)
        x and y of each spot in px; pixels are centred on whole numbers.
    width_px, height_px : int
        Size of the frame.
    optics : Optics
        Radius and brightness of the spots, and the background.

    Returns
    -------
    numpy.ndarray of float64, shape (height_px, width_px)
    """
    import numpy as np
    from scipy.special import ndtr

    reach = math.ceil(_REACH * optics.spot_sigma_px) + 1
    border = 2 * reach  # a spot outside may still shine into the frame
    patch = np.arange(-reach, reach + 1)
    light = np.full((height_px + 2 * border, width_px + 2 * border), float(optics.background))
    limit = np.array([width_px, height_px]) - 1 + reach
    spots = spots[((spots > -reach) & (spots < limit)).all(axis=1)]
    middle = np.round(spots).astype(np.int64)
    away = patch - (spots - middle)[..., None]  # (n, 2, patch)
    share = ndtr((away + 0.5) / optics.spot_sigma_px) - ndtr((away - 0.5) / optics.spot_sigma_px)
    at = middle[..., None] + patch + border
    np.add.at(
        light,
        (at[:, 1, :, None], at[:, 0, None, :]),
        optics.photons * share[:, 1, :, None] * share[:, 0, None, :],
    )
    return light[border:-border, border:-border]


def expose(light: Frame, optics: Optics, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Return what the camera reads where `light` photons are expected: 16-bit grey values."""
    import numpy as np

    photons = rng.poisson(light) + optics.read_noise * rng.standard_normal(light.shape)
    grey = np.rint(optics.offset + optics.gain * photons)
    return np.clip(grey, 0, _LARGEST).astype(np.uint16)
