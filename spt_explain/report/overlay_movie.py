"""Tracks over their movie, as a movie: GIF, or MP4 where ffmpeg is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError
from spt_explain.movies.stack import Stack
from spt_explain.report.movie_canvas import Canvas
from spt_explain.report.placing import check_colour_by, contrast, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd
    from PIL import Image as PILImage

    Picture = PILImage.Image

MovieFormat = Literal["gif", "mp4"]
FORMATS = ("gif", "mp4")
FPS, TAIL, SIDE_PX = 10.0, 20, 640
MOST_FRAMES_GIF = 500
"""A GIF of more frames leaves some out: it is held in memory whole, and grows too large to open."""
MOST_FPS_GIF = 50.0
"""Browsers slow down GIFs that are faster."""
_SAMPLED = 20  # frames that the contrast is taken from


def overlay_movie(
    stack_path: str | Path,
    frames: pd.DataFrame,
    tracks: pd.DataFrame,
    out: str | Path,
    *,
    unit: str,
    classes: Sequence[str] = (),
    fmt: MovieFormat | None = None,
    fps: float = FPS,
    tail: int | None = TAIL,
    colour_by: str = "score",
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    dark: bool = False,
    side_px: int = SIDE_PX,
    most_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write a movie with the tracks drawn over it; it appears whole or not at all.

    Each particle is ringed, and its last positions are a line. Colours and greys are those of
    `overlay_projection`. The movie is read one frame at a time.

    Parameters
    ----------
    stack_path : str or pathlib.Path
        The movie, any stack that `track_stack` reads.
    frames, tracks : pandas.DataFrame
        The tables of the explained tracks of this movie.
    out : str or pathlib.Path
        File to write; replaced if it is there.
    unit : str
        Unit of the positions: ``"µm"`` or ``"pixel"``.
    classes : sequence of str
        All classes, in the order of the network.
    fmt : {"gif", "mp4"}, optional
        Kind of movie; by default what `out` ends with. MP4 needs the program ffmpeg.
    fps : float
        Frames shown in a second.
    tail : int or None
        Length of the lines in frames; None for all of the track so far.
    colour_by : {"class", "score"}
        What the colours mean.
    pixel_size_um, frame_interval_s : float, optional
        Size of the movie's pixels in µm and its time between frames in s, where its metadata don't
        say.
    override_units : bool, optional
        Let the two above replace what the metadata say.
    dark : bool, optional
        Whether spots are darker than the background.
    side_px : int
        About how long the longer side is; small movies are enlarged by whole numbers.
    most_frames : int, optional
        Every second frame, or third …, is shown where there are more; by default
        `MOST_FRAMES_GIF` for GIFs, and no limit for MP4.
    progress : callable, optional
        Called with the number of frames done and the number of frames.

    Returns
    -------
    tuple of str
        What a user should know: frames left out, tracks outside of the movie.

    Raises
    ------
    SptError
        If an option can't be used, the movie can't be read, its pixel size is needed and not
        known, no track lies in it, ffmpeg is not there or fails, or the file can't be written.
    """
    out = Path(out)
    kind = fmt or out.suffix.lower().lstrip(".")
    _check(kind, out, fps, tail, side_px, most_frames)
    check_colour_by(colour_by)
    program = find_ffmpeg(out) if kind == "mp4" else ""
    with Stack(stack_path) as stack:
        scene = place(
            stack, frames, tracks, unit=unit, pixel_size_um=pixel_size_um,
            frame_interval_s=frame_interval_s, override_units=override_units,
        )  # fmt: skip
        most = most_frames or (MOST_FRAMES_GIF if kind == "gif" else stack.n_frames)
        every = -(-stack.n_frames // most)
        shown = range(0, stack.n_frames, every)
        sample = np.unique(np.linspace(0, stack.n_frames - 1, _SAMPLED).astype(int))
        ends = contrast(np.stack([_thinned(stack.frame(int(i))) for i in sample]), dark=dark)
        canvas = Canvas(
            scene, (stack.width, stack.height), ends, classes=classes, colour_by=colour_by,
            tail=tail, dark=dark, side_px=side_px,
        )  # fmt: skip

        def drawn() -> Iterator[Picture]:
            for done, index in enumerate(shown, start=1):
                yield canvas.draw(stack.frame(index), index)
                if progress:
                    progress(done, len(shown))

        with atomic_file(out, option="output") as part:
            if kind == "gif":
                write_gif(part, drawn(), canvas.palette(), fps)
            else:
                write_mp4(part, drawn(), canvas.size, fps, program, out)
    notes = scene.notes
    if every > 1:
        notes = (*notes, f"{out.name} shows every {_ordinal(every)} of {stack.n_frames:,} frames.")
    return notes


def _check(
    kind: str, out: Path, fps: float, tail: int | None, side_px: int, most_frames: int | None
) -> None:
    if kind not in FORMATS:
        raise SptError(
            f"a movie as {kind or 'a file without ending'!r} ({out.name}): expected a name that "
            f"ends in {' or '.join(f'.{fmt}' for fmt in FORMATS)}."
        )
    highest = MOST_FPS_GIF if kind == "gif" else 1000.0
    if not 0.1 <= fps <= highest:
        raise SptError(
            f"{fps:g} frames a second: expected 0.1 to {highest:g} for a {kind.upper()}."
        )
    if tail is not None and tail < 1:
        raise SptError(f"tails of {tail} frames: expected at least 1.")
    if not 64 <= side_px <= 4096:
        raise SptError(f"a movie of {side_px} pixels: expected 64 to 4096 on its longer side.")
    if most_frames is not None and most_frames < 1:
        raise SptError(f"a movie of at most {most_frames} frames: expected 1 or more.")


def find_ffmpeg(out: Path) -> str:
    """Return the program that writes MP4.

    Raises
    ------
    SptError
        If it is not there.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise SptError(
            "an MP4 needs the program ffmpeg, which was not found: install it, or write "
            f"{out.with_suffix('.gif').name} instead.",
            code="unavailable",
        )
    return program


def _thinned(frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return enough of a frame's pixels to know its contrast."""
    step = max(1, max(frame.shape) // 512)
    return frame[::step, ::step].astype(np.float32)


def write_gif(part: Path, pictures: Iterator[Picture], palette: Picture, fps: float) -> None:
    """Write pictures of one size as a GIF that repeats, in the colours of a palette.

    Parameters
    ----------
    part : pathlib.Path
        File to write.
    pictures : iterator of PIL.Image.Image
        At least one.
    palette : PIL.Image.Image
        Mode P.
    fps : float
        Frames shown in a second.
    """
    from PIL import Image

    flat = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    first = next(flat)
    hundredths = max(2, round(100 / fps))
    with part.open("wb") as stream:
        first.save(
            stream, format="GIF", save_all=True, append_images=flat, duration=10 * hundredths,
            loop=0, optimize=False,
        )  # fmt: skip


def write_mp4(
    part: Path, pictures: Iterator[Picture], size: tuple[int, int], fps: float, program: str,
    out: Path,
) -> None:  # fmt: skip
    """Hand pictures to ffmpeg; H.264 in the colours that every player shows.

    Parameters
    ----------
    part : pathlib.Path
        File to write.
    pictures : iterator of PIL.Image.Image
        Mode RGB.
    size : tuple of int
        Their width and height, both even.
    fps : float
        Frames shown in a second.
    program : str
        From `find_ffmpeg`.
    out : pathlib.Path
        What the file will be called, for errors.

    Raises
    ------
    SptError
        If ffmpeg fails.
    """
    command = [
        program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-", "-an", "-c:v", "libx264",
        "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart", "-f", "mp4", str(part),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert process.stdin is not None
        broken = False
        try:
            for picture in pictures:
                process.stdin.write(picture.tobytes())
        except BrokenPipeError:
            broken = True
        except BaseException:
            process.kill()
            raise
        finally:
            try:
                process.stdin.close()
            except BrokenPipeError:
                broken = True
            process.wait()
        if process.returncode or broken or not part.exists():
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1].strip() if lines else f"exit code {process.returncode}"
            raise SptError(
                f"ffmpeg could not write {out.name} ({reason}). "
                f"Write {out.with_suffix('.gif').name} instead, or install a complete ffmpeg.",
                exit_code=1,
                code="unwritable",
            )


def _ordinal(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
