"""The pictures and the page of explanations on disk, drawn from their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from spt_explain.explain.reasons import Reasons

KEYS = ["file", "particle", "segment"]
TABLES = ("tracks", "frames", "windows", "correlations", "timeline")
"""What is written of `Reasons`, a file each."""
SIDECAR = "reasons.json"
"""How they were made."""
NAMES = r"contact-sheet\.\w+|track-[\w-]+\.\w+|movie\.(?:png|svg|pdf|gif|mp4)"
"""Names of what this module draws, as a regular expression."""

if TYPE_CHECKING:
    Progress = Callable[[str, int, int], None]


def draw_tracks(
    folder: Path,
    reasons: Reasons,
    *,
    formats: Sequence[str],
    picks: int,
    every: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Draw a contact sheet, and a figure of each track that is picked for it.

    Parameters
    ----------
    folder : pathlib.Path
        Where to.
    reasons : Reasons
        Of one file.
    formats : sequence of str
        "png", "svg", "pdf".
    picks : int
        Most typical, doubtful and surprising tracks of each class; see `pick_tracks`.
    every : bool
        Draw every track, and no contact sheet.
    jobs : int, optional
        Processes at most; by default as many as there are cores for this process.
    progress : callable, optional
        Called with "drawing", figures done, and their number.

    Returns
    -------
    int
        Tracks drawn.
    """
    from spt_explain.report.figure_processes import Drawing, draw_all
    from spt_explain.report.picks import pick_tracks

    tracks = reasons.tracks
    picked = None if every else pick_tracks(tracks, picks)
    chosen = tracks
    if picked is not None:
        wanted = set(map(tuple, picked[KEYS].to_numpy().tolist()))
        chosen = tracks[[tuple(row) in wanted for row in tracks[KEYS].to_numpy().tolist()]]
    frames, windows = _by_key(reasons.frames), _by_key(reasons.windows)
    timeline = _by_key(reasons.timeline)
    pieces = tracks["particle"].value_counts()
    options: dict[str, Any] = {
        "unit": reasons.unit,
        "frame_interval_s": reasons.frame_interval_s,
        "classes": reasons.classes,
    }
    if "share" in reasons.settings:
        options["share"] = reasons.settings["share"]

    def drawings() -> Iterator[Drawing]:
        for _, track in chosen.iterrows():
            key = tuple(track[KEYS].tolist())
            tables = (
                frames[key],
                windows.get(key, reasons.windows[:0]),
                timeline.get(key, reasons.timeline[:0]),
            )
            piece = f"-{key[2]}" if pieces[key[1]] > 1 else ""
            whole = bool(pieces[key[1]] == 1)
            yield Drawing(f"track-{key[1]}{piece}", track, tables, {**options, "whole": whole})

    def draw_sheet() -> None:
        from spt_explain.report.contact_sheet import contact_sheet
        from spt_explain.report.style import house_style, save_figure

        with house_style():
            sheet = contact_sheet(tracks, reasons.frames, unit=reasons.unit, picks=picked)
            save_figure(sheet, folder, "contact-sheet", formats)

    done = draw_all(
        drawings(),
        len(chosen),
        folder,
        tuple(formats),
        jobs=jobs,
        meanwhile=None if picked is None else draw_sheet,
    )
    for number in done:
        if progress is not None:
            progress("drawing", number, len(chosen))
    return len(chosen)


def _by_key(table: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    if not len(table):
        return {}
    return {tuple(key): rows for key, rows in table.groupby(KEYS, sort=False)}


def draw_movie(
    folder: Path,
    reasons: Reasons,
    stack: Path,
    *,
    formats: Sequence[str],
    animate: str = "",
    pixel_size_um: float | None = None,
    override_units: bool = False,
    progress: Progress | None = None,
) -> None:
    """Draw the scores on the movie that was tracked.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; the files are called ``movie``.
    reasons : Reasons
        Of one file.
    stack : pathlib.Path
        The movie.
    formats : sequence of str
        Of the projection: "png", "svg", "pdf".
    animate : str
        Also "gif" or "mp4".
    pixel_size_um : float, optional
        Of the movie, where it does not say.
    override_units : bool
        Let it replace what the movie says.
    progress : callable, optional
        Called with "reading the movie", frames done, and their number.

    Raises
    ------
    SptError
        See `overlay_projection` and `overlay_movie`.
    """
    from spt_explain.report.overlay import overlay_projection
    from spt_explain.report.overlay_movie import overlay_movie
    from spt_explain.report.placing import in_movie
    from spt_explain.report.style import house_style, save_figure

    options: dict[str, Any] = {
        "unit": reasons.unit,
        "classes": reasons.classes,
        "colour_by": "score",
        "pixel_size_um": pixel_size_um,
        "override_units": override_units,
    }
    frames = reasons.frames
    if reasons.verdicts is not None:
        tracks = reasons.verdicts.tracks
        frames = in_movie(frames, tracks)
        options["dark"] = "dark_spots" in tracks.source.counts
    if progress is not None:
        options["progress"] = lambda done, total: progress("reading the movie", done, total)
    with house_style():
        figure = overlay_projection(stack, frames, reasons.tracks, **options)
        save_figure(figure, folder, "movie", formats)
    if animate:
        out = folder / f"movie.{animate}"
        overlay_movie(stack, frames, reasons.tracks, out, **options)


def joined(all_of: Sequence[Reasons]) -> Reasons:
    """Return the explanations of several files, by the same network, as one.

    Correlations are those over the windows of all files.
    """
    import pandas as pd

    from spt_explain.explain.correlation import correlations
    from spt_explain.explain.reasons import Reasons

    first = all_of[0]
    if len(all_of) == 1:
        return first
    units = {reasons.unit for reasons in all_of}
    intervals = {reasons.frame_interval_s for reasons in all_of}
    tables = {}
    for name in TABLES:
        some = [getattr(reasons, name) for reasons in all_of if len(getattr(reasons, name))]
        tables[name] = pd.concat(some, ignore_index=True) if some else getattr(first, name)
    if len(tables["windows"]):
        tables["correlations"] = correlations(tables["windows"], tables["tracks"])
    return Reasons(
        **tables,
        classes=first.classes,
        unit=units.pop() if len(units) == 1 else "file's unit",
        frame_interval_s=intervals.pop() if len(intervals) == 1 else None,
        settings=first.settings,
    )


def fractions(all_of: Sequence[Reasons], weights: str) -> pd.DataFrame:
    """Return the fractions of the classes: of all files together, and if there are several of each.

    Parameters
    ----------
    all_of : sequence of Reasons
        One for each file, with their verdicts.
    weights : str
        Name of the weights.
    """
    import pandas as pd

    from spt_explain.resandi.populations import populations

    tables = [reasons.verdicts.table for reasons in all_of if reasons.verdicts is not None]
    if len(tables) == 1:
        return populations(tables[0], weights=weights)
    verdicts = pd.concat(tables, ignore_index=True)
    together = populations(verdicts, weights=weights)
    together.insert(0, "file", f"all {len(tables)} files")
    return pd.concat([together, populations(verdicts, "file", weights=weights)], ignore_index=True)
