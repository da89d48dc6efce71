"""Many simulated movies, block by block: a folder that can be stopped and gone on with.

While it is made, the folder has another name, and a file in it says how many blocks are there: it
is replaced, whole, after each block, so that whatever ends the program costs one block at most.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_file, replace_folder, report_unwritable
from spt_explain.diffusion.population import check_seed
from spt_explain.errors import SptError, option
from spt_explain.xddpm.simulate import files
from spt_explain.xddpm.simulate.kinds import SIZES, checked, simulate
from spt_explain.xddpm.simulate.settings import Jellyfish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spt_explain.xddpm.simulate.labelled import Labelled
    from spt_explain.xddpm.simulate.settings import Chosen

PROGRESS = "unfinished.json"
ROWS = "rows"
"""Folder of the blocks' tables, until all are there."""
MOST_MOVIES = 256
"""Largest number of movies of a block."""
_PIXELS = 1 << 24
"""Largest number of pixels of a block of several movies."""
_CELL_STEPS = 16 * 128**2 * 400
"""The same of a flow's cells times its steps: some ten seconds' work for a CPU."""
_BYTES_PER_PIXEL = 6  # a 32-bit pixel and two masks


@dataclass(frozen=True)
class Written:
    """What is on disk.

    Attributes
    ----------
    folder : pathlib.Path
        The folder, finished or not.
    done, movies : int
        Movies that are there, and that there will be.
    made : dict
        All that is needed to simulate the same again.
    made_now : int
        Movies of this run.
    """

    folder: Path
    done: int
    movies: int
    made: dict[str, Any]
    made_now: int

    @property
    def finished(self) -> bool:
        """Whether all movies are there."""
        return self.done == self.movies


def unfinished_folder(folder: Path) -> Path:
    """Return where a folder is while it is made."""
    return folder.with_name(f".{folder.name}.unfinished")


def movies_of_a_block(chosen: Chosen, frames: int, size: int) -> int:
    """Return how many movies make a block; it is part of what a seed gives."""
    most = min(MOST_MOVIES, _PIXELS // (frames * size**2))
    if isinstance(chosen, Jellyfish):
        cells = (-(-chosen.grid // size) * size) ** 2
        steps = (chosen.settle + frames * chosen.frame_interval) * chosen.steps
        most = min(most, int(_CELL_STEPS / (cells * steps)))
    return max(1, most)


def write_movies(
    kind: str,
    n: int,
    folder: str | Path,
    *,
    frames: int = 20,
    size: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool = False,
    stop_after_s: float = math.inf,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Simulate movies into a folder as `files.write_labelled` makes it, block by block.

    The movies of block b are those of `simulate` with ``block=b``; the first block holds what
    `simulate` gives without.

    Parameters
    ----------
    kind, n, frames, size, seed, settings, device
        As `simulate`; `n` is not bounded by memory.
    folder : str or pathlib.Path
        The folder to make; the one above it must exist.
    overwrite : bool
        Whether a folder of simulated movies, or an unfinished one, is replaced.
    resume : bool
        Whether an unfinished folder of the same movies is gone on with, and a finished one left as
        it is.
    stop_after_s : float
        Time after which no further block is begun; the first always is.
    provenance : mapping, optional
        What the folder's settings say beside what was simulated.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    Written

    Raises
    ------
    SptError
        As `simulate`; if the folder exists, the disk is too small, or there are unfinished movies
        and neither `overwrite` nor `resume`, or other ones and `resume`.
    """
    started = time.monotonic()
    folder = Path(folder)
    chosen = checked(kind, n, frames=frames, size=size, settings=settings)
    size = SIZES[kind] if size is None else size
    drawn = check_seed(seed)
    made = {
        "kind": kind, "n": n, "frames": frames, "size": size, "seed": drawn,
        "movies_of_a_block": movies_of_a_block(chosen, frames, size), "settings": asdict(chosen),
    }  # fmt: skip
    made = json.loads(json.dumps(made))
    part = unfinished_folder(folder)
    if resume and not part.exists() and (folder / files.SETTINGS).exists():
        found = _read(folder / files.SETTINGS)
        _insist_on_same(found, made, seed, folder)
        return Written(folder, n, n, found, 0)
    files.check_target(folder, overwrite=overwrite)
    done = 0
    if part.exists() and resume:
        found = _read(part / PROGRESS)
        _insist_on_same(found.get("made", {}), made, seed, part)
        made, done = found["made"], _blocks_done(found, part)
    elif part.exists() and not overwrite:
        raise SptError(
            f"there is an unfinished simulation for {folder}. Go on with it "
            f"({option('resume', True)}), or start anew ({option('overwrite', True)}).",
            code="exists",
            option="resume",
        )
    each = made["movies_of_a_block"]
    _insist_on_space(part, (n - done * each) * frames * size**2 * _BYTES_PER_PIXEL)
    names = files.movie_names(n)
    blocks = -(-n // each)
    first = done
    with report_unwritable(folder):
        try:
            if not done:
                shutil.rmtree(part, ignore_errors=True)
                (part / ROWS).mkdir(parents=True)
                _save(part / PROGRESS, {"blocks": 0, "made": made})
            while done < blocks and (done == first or time.monotonic() - started < stop_after_s):
                begin = done * each
                some = names[begin : begin + each]
                labelled = simulate(
                    kind, len(some), frames=frames, size=size, seed=made["seed"], block=done,
                    settings=made["settings"], device=device, progress=_shifted(progress, begin, n),
                )  # fmt: skip
                _write_block(labelled, part, some, done)
                done += 1
                made["signals"] = list(labelled.signals)
                _save(part / PROGRESS, {"blocks": done, "made": made})
            if done == blocks:
                _finish(part, folder, {**(provenance or {}), **made}, blocks)
        finally:
            if not done:
                shutil.rmtree(part, ignore_errors=True)
    there = min(done * each, n)
    where = folder if done == blocks else part
    return Written(where, there, n, made, there - min(first * each, n))


def _shifted(
    progress: Callable[[int, int], None] | None, begin: int, n: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(begin + done, n)


def _write_block(labelled: Labelled, part: Path, names: list[str], number: int) -> None:
    files.write_stacks(labelled, part, names)
    rows = part / ROWS / f"{number:06d}"
    rows.mkdir(exist_ok=True)
    files.write_tables(labelled, rows, names)


def _save(path: Path, values: dict[str, Any]) -> None:
    """Write a file atomically."""
    with atomic_file(path, single_writer=True) as part:
        part.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _finish(part: Path, folder: Path, settings: dict[str, Any], blocks: int) -> None:
    """Join the tables, and give the folder its name."""
    for file in (files.PER_MOVIE, files.PER_FRAME):
        tables = [part / ROWS / f"{number:06d}" / file for number in range(blocks)]
        if not tables[0].exists():
            continue
        with (part / file).open("w", newline="", encoding="utf-8") as joined:
            for i, table in enumerate(tables):
                with table.open(newline="", encoding="utf-8") as stream:
                    header = stream.readline()
                    if not i:
                        joined.write(header)
                    shutil.copyfileobj(stream, joined)
    files.write_settings(settings, part)
    replace_folder(part, folder)
    # Only now: without them, what was left unfinished here could not be gone on with.
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / ROWS)
        (folder / PROGRESS).unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no settings")
        return values
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:80]
        raise SptError(
            f"{path} can't be read ({reason}): there is nothing to go on with. Start anew, with "
            f"{option('overwrite', True)} instead of {option('resume', True)}.",
            code="unreadable",
            option="overwrite",
        ) from error


def _blocks_done(found: dict[str, Any], part: Path) -> int:
    done, each = found.get("blocks"), found["made"].get("movies_of_a_block")
    if isinstance(done, int) and done >= 0 and isinstance(each, int) and each > 0:
        blocks = [part / ROWS / f"{number:06d}" for number in range(min(done, 10_000_000))]
        if all(block.is_dir() for block in blocks):
            return done
    raise SptError(
        f"{part} is damaged: it doesn't hold the blocks it should. Start anew, with "
        f"{option('overwrite', True)} instead of {option('resume', True)}.",
        code="unreadable",
        option="overwrite",
    )


def _insist_on_same(found: Any, wanted: dict[str, Any], seed: int | None, where: Path) -> None:
    """Raise unless these are the same movies; any seed will do if none was given."""
    found = found if isinstance(found, dict) else {}
    for key, value in wanted.items():
        there = found.get(key)
        if key == "movies_of_a_block":  # those it was begun with are kept
            continue
        if there == value or (key == "seed" and seed is None and isinstance(there, int)):
            continue
        if key == "settings" and isinstance(there, dict):
            key = next(k for k in {**value, **there} if there.get(k) != value.get(k))
            there, value = there.get(key), wanted["settings"].get(key)
        name = "number of movies" if key == "n" else key
        raise SptError(
            f"{where} holds other movies: their {name} is {there}, not {value}. "
            "Give the options they were begun with, or another folder.",
            code="wrong-kind",
        )


def _insist_on_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.absolute().parent).free
    if needed > free:
        raise SptError(
            f"the movies need about {needed / 1e9:,.1f} GB, and the disk of {part.parent} has "
            f"{free / 1e9:,.1f} GB left. Make fewer or smaller ones, or choose another folder.",
            code="unwritable",
        )
