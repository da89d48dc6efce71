"""What a relevance model says of a movie (``spt-explain relevance explain``)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.config import takes
from spt_explain.core.files import atomic_folder
from spt_explain.errors import SptError, option, printable
from spt_explain.report.folders import refuse_folder
from spt_explain.report.provenance import made_by
from spt_explain.report.relevance_files import (
    RelevanceListener,
    model_folder,
    read_sidecar,
    torch_version,
    write_json,
    write_text,
)
from spt_explain.training.processes import pick_device
from spt_explain.xddpm.options import RelevanceExplainOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.movies.sequence import Movie
    from spt_explain.movies.stack import Stack
    from spt_explain.report.relevance_checks import Check
    from spt_explain.report.relevance_known import Known
    from spt_explain.report.relevance_stream import MovieLook
    from spt_explain.xddpm.model import RelevanceModel
    from spt_explain.xddpm.sufficiency import Curve

COLUMNS = {
    "frame": "from 0",
    "time_s": "where the frame interval is known",
    "relevance": "mean contribution of the frame's pixels, 0 to 1",
    "share_relevant": "share of the pixels whose contribution reaches the threshold",
    "information_nats": "nats that pass of the frame, all pixels together",
    "brightness": "mean grey value",
    "brightness_relevant": "mean grey value weighted by the contribution",
    "predicted_NAME": "the signal as predicted (categories: their probability), mean over tiles, "
    "blended over the clips that hold the frame",
    "measured_NAME": "the signal as measured or given, where it is known",
}
_FILES = re.compile(
    r"(?:relevance|information)\.tif|(?:explain|checks)\.json|checks\.txt|time-course\.csv"
    r"|overlay\.(?:gif|mp4)|(?:overlay|time-course|sufficiency)\.(?:png|svg|pdf)"
)
_SAMPLED, _LEAST_CURVE, _MOST_CURVE = 20, 8, 48
"""Frames that the contrast is taken from; fewest and most clips of a sufficiency curve."""


@dataclass
class Explained:
    """What a model says of a movie.

    Attributes
    ----------
    name : str
        The movie.
    folder : pathlib.Path
    files : list of pathlib.Path
    table : pandas.DataFrame
        The time course, a row for each frame; see `COLUMNS`.
    checks : list of Check
    notes : list of str
    document : dict
        As in ``explain.json``.
    """

    name: str
    folder: Path
    files: list[Path]
    table: pd.DataFrame
    checks: list[Check]
    notes: list[str]
    document: dict[str, Any] = field(repr=False)


@takes(RelevanceExplainOptions)
def explain_relevance(
    movie: str | Path | Movie,
    model: str | Path | RelevanceModel,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    command: Sequence[str] = (),
    listener: RelevanceListener | None = None,
    **options: Any,
) -> Explained:
    """Say which pixels of a movie carry the signal, and when; maps, figures and checks.

    The movie is read frame by frame: memory does not grow with its length.

    Parameters
    ----------
    movie : str, pathlib.Path or Movie
        Of any size and length.
    model : str, pathlib.Path or RelevanceModel
        What `fit_relevance` wrote, or returned.
    output : str or pathlib.Path, optional
        Folder of the results; by default the movie's name with ``.relevance``, beside it.
    overwrite : bool
        Replace the folder of results.
    command : sequence of str
        The command line, for the provenance.
    listener : RelevanceListener, optional
        Told what happens.
    **options
        Of `RelevanceExplainOptions`.

    Raises
    ------
    SptError
        If the movie or the model can't be read or used.
    """
    from spt_explain.movies.calibration import settle
    from spt_explain.movies.stack import Stack
    from spt_explain.report.relevance_checks import (
        check_of_scale,
        checks_of_clips,
        checks_of_fit,
        in_words,
    )
    from spt_explain.report.relevance_known import known_signal, refuse_signal
    from spt_explain.report.relevance_maps import map_files, units_of
    from spt_explain.report.relevance_stream import MovieLook
    from spt_explain.xddpm.model import RelevanceModel

    told = listener or RelevanceListener()
    asked = RelevanceExplainOptions(**options)
    signal, seed, plot, animation = asked.signal, asked.seed, asked.plot, asked.animation
    _check_animation(animation)
    one = _one_movie(movie)
    folder = Path(output) if output is not None else default_folder(one.name)
    refuse_folder(
        folder, [Path(one.name)], overwrite=overwrite, ours=lambda n: bool(_FILES.fullmatch(n))
    )
    fit_said: dict[str, Any] = {}
    if not isinstance(model, RelevanceModel):
        home = model_folder(Path(model))
        fit_said = {**read_sidecar(home), "folder": str(home.absolute())}
        model = RelevanceModel.load(home, device=pick_device(asked.device))
    if model.fitted is None:
        raise SptError("the model has no sufficiency curve; fit it again.")
    cutting = model.cutting
    channel = cutting.channel if asked.channel is None else asked.channel
    z = cutting.z if asked.z is None else asked.z
    began = time.monotonic()
    with (
        Stack(one.source, channel=channel, z=z) as stack,
        atomic_folder(folder, option="output") as part,
    ):
        calibration, notes = settle(
            stack.units, pixel_size_um=asked.pixel_size_um,
            frame_interval_s=asked.frame_interval_s, override_units=asked.override_units,
        )  # fmt: skip
        pixel, step = calibration.pixel_size_um, calibration.frame_interval_s
        refuse_signal(one, model, stack.n_frames, signal, calibration)
        look = MovieLook(model, stack, overlap=asked.overlap, batch=asked.batch_size)
        with map_files(part, look.shape, units_of(stack, pixel, step)) as files:
            for first, maps in look.run(told.looking):
                here = slice(first, first + len(maps.contribution))
                files["relevance"][here] = maps.contribution
                files["information"][here] = maps.information
            told.stage("checking")
            known = known_signal(one, look, signal, fit_said, calibration)
            table = look.table()
            if step:
                table.insert(1, "time_s", table["frame"] * step)
            for name, values in known.course.items():
                table[f"measured_{name}"] = values
            checks = checks_of_fit(model.fitted, kind=model.signal.kind)
            checks.append(check_of_scale(model, np.stack(look.clips)))
            checks += checks_of_clips(model, np.stack(look.clips), known.signal, seed=seed)
            if plot:
                told.stage("drawing")
                notes += _draw_movie(
                    part, stack, files["relevance"], table, model, look, known, one.name,
                    pixel, step, asked.figure_formats, animation, told,
                )  # fmt: skip
        notes = [*stack.notes, *notes, *known.notes, *_remarks(look, fit_said, one)]
        if model.note:
            notes.insert(0, model.note)
        document = made_by(
            {
                "movie": printable(one.name),
                "format": stack.format, "axes": stack.axes,
                "shape": list(look.shape),
                "pixel_size_um": pixel, "frame_interval_s": step,
                "channel": channel, "z": z,
                "model": {
                    "folder": printable(str(fit_said.get("folder", ""))), "name": model.name,
                    "layout": cutting.to_dict(), "signal": model.signal.to_dict(),
                    "threshold": model.threshold,
                },
                "settings": {
                    "signal": known.source, "overlap": asked.overlap,
                    "batch_size": asked.batch_size, "seed": seed, "plot": plot,
                    "figure_formats": list(asked.figure_formats),
                    "animation": animation, "device": str(model.device),
                },
                "found": _in_movie(table),
                "checks": [check.to_dict() for check in checks],
                "notes": [printable(note) for note in notes],
                "columns": COLUMNS,
                "seconds": round(time.monotonic() - began, 1),
                "torch": torch_version(),
            },
            command=command,
        )  # fmt: skip
        data = table.to_csv(index=False, float_format="%.7g", lineterminator="\n")
        write_text(part / "time-course.csv", data)
        write_text(part / "checks.txt", "\n".join(in_words(checks)) + "\n")
        write_json(part / "checks.json", [check.to_dict() for check in checks])
        write_json(part / "explain.json", document)
        written = sorted(path.name for path in part.iterdir())
    files_there = [folder / name for name in written]
    return Explained(one.name, folder, files_there, table, checks, notes, document)


def default_folder(name: str) -> Path:
    """Return where the results of a movie go where nothing else is said: beside it."""
    path = Path(name)
    stem = path.name
    for ending in (".ome.tiff", ".ome.tif", path.suffix):
        if ending and stem.lower().endswith(ending.lower()) and path.is_file():
            stem = stem[: -len(ending)]
            break
    return path.with_name(f"{stem or path.name}.relevance")


def _check_animation(animation: str) -> None:
    if animation == "mp4":
        import shutil

        if shutil.which("ffmpeg") is None:
            raise SptError(
                "an MP4 needs the program ffmpeg, which was not found: install it, or give "
                f"{option('animation', 'gif')}.",
                code="unavailable",
                option="animation",
            )


def _one_movie(movie: str | Path | Movie) -> Movie:
    from spt_explain.movies.sequence import Movie, find_movies

    if isinstance(movie, Movie):
        return movie
    found = find_movies([str(movie)])
    if len(found) != 1:
        raise SptError(
            f"{movie} holds {len(found)} movies; expected one. Give one by name.", code="wrong-kind"
        )
    return found[0]


def _draw_movie(
    part: Path,
    stack: Stack,
    relevance: NDArray[np.float32],
    table: pd.DataFrame,
    model: RelevanceModel,
    look: MovieLook,
    known: Known,
    name: str,
    pixel: float | None,
    step: float | None,
    formats: Sequence[str],
    animation: str,
    told: RelevanceListener,
) -> list[str]:
    """Draw the figures and the animation; return what a user should know of them."""
    from spt_explain.report.placing import contrast, stands_out_dark
    from spt_explain.report.relevance_figures import (
        Shown,
        frames_to_show,
        overlay_figure,
        sufficiency_figure,
        time_course_figure,
        top_of,
    )
    from spt_explain.report.relevance_movie import relevance_movie
    from spt_explain.report.style import house_style, save_figure

    assert model.fitted is not None
    chosen = frames_to_show(table["relevance"].to_numpy())
    shown = [Shown(i, stack.frame(i), np.asarray(relevance[i])) for i in chosen]
    score = "R²" if model.signal.kind == "number" else "McFadden's R²"
    with house_style():
        figures = {
            "overlay": overlay_figure(
                shown, threshold=model.threshold, pixel_size_um=pixel, frame_interval_s=step,
                title=f"{Path(name).name}: relevance for {', '.join(model.signal.names)}",
            ),
            "time-course": time_course_figure(
                table, look.columns, threshold=model.threshold, per=model.signal.per
            ),
            "sufficiency": sufficiency_figure(
                model.fitted.curve, _movie_curve(model, look, known), score=score
            ),
        }  # fmt: skip
        for title, figure in figures.items():
            save_figure(figure, part, title, formats)
    if animation == "none":
        return []
    some = np.unique(np.linspace(0, stack.n_frames - 1, _SAMPLED).astype(int))
    thin = max(1, max(stack.height, stack.width) // 512)
    sample = np.stack([stack.frame(int(i))[::thin, ::thin] for i in some])
    top = top_of(np.stack([relevance[i, ::thin, ::thin] for i in some]))
    dark = stands_out_dark(sample)
    return list(
        relevance_movie(
            part / f"overlay.{animation}", stack.frame, lambda i: relevance[i], stack.n_frames,
            ends=contrast(sample, dark=dark), top=top, dark=dark, frame_interval_s=step,
            progress=told.drawing,
        )
    )  # fmt: skip


def _movie_curve(model: RelevanceModel, look: MovieLook, known: Known) -> Curve | None:
    """Return the sufficiency curve of this movie, where its signal is known and varies."""
    if known.signal is None or len(look.clips) < _LEAST_CURVE:
        return None
    assert model.fitted is not None
    some = np.linspace(0, len(look.clips) - 1, min(_MOST_CURVE, len(look.clips))).round()
    chosen = some.astype(int)
    try:
        return model.sufficiency(
            np.stack([look.clips[i] for i in chosen]), np.asarray(known.signal)[chosen],
            keep_r2=model.fitted.curve.keep_r2,
        )  # fmt: skip
    except SptError:
        return None


def _movies_of(fit_said: dict[str, Any]) -> list[str]:
    """Return the full names of the movies that a model was fitted to, as far as they are said."""
    said = fit_said.get("movies")
    rows = said if isinstance(said, list) else []
    names = [str(row.get("name", "")) for row in rows if isinstance(row, dict)]
    home = str(fit_said.get("cwd", ""))
    return [str((Path(home) / name).absolute()) for name in names]


def _in_movie(table: pd.DataFrame) -> dict[str, Any]:
    best = int(table["relevance"].to_numpy().argmax())
    told = [str(name) for name in table.columns if str(name).startswith("predicted_")]
    return {
        "predicted_mean": {n.removeprefix("predicted_"): float(table[n].mean()) for n in told},
        "relevance": float(table["relevance"].mean()),
        "share_relevant": float(table["share_relevant"].mean()),
        "information_nats_a_frame": float(table["information_nats"].mean()),
        "most_relevant_frame": int(table["frame"].iloc[best]),
    }


def _remarks(look: MovieLook, fit_said: dict[str, Any], movie: Movie) -> list[str]:
    """Return what a user should know of this movie beside this model."""
    model, stack = look.model, look.stack
    notes = []
    if stack.n_frames < model.frames:
        notes.append(
            f"The movie has {stack.n_frames} frames and the model's clips {model.frames}: it was "
            "filled up with background, and what is predicted of it may be off."
        )
    size = model.cutting.size_of(stack.height, stack.width)
    if any(n < t for n, t in zip(size, model.size, strict=True)):
        notes.append(
            f"The movie's frames, {size[0]} × {size[1]} px after binning, are smaller than the "
            f"model's, {model.size[0]} × {model.size[1]}: they were filled up with background."
        )
    elif model.cutting.tile is None and look.n_tiles > 1:
        notes.append(
            f"The model was fitted to whole frames of {model.size[0]} × {model.size[1]} px after "
            f"binning, this movie has {size[0]} × {size[1]}: it was cut into tiles, and what is "
            "predicted is their mean."
        )
    if look.model.signal.per == "clip":
        notes.append(
            f"The signal belongs to clips of {model.frames} frames: what is predicted for a frame "
            "is the mean of the clips that hold it."
        )
    if stack.n_not_finite:
        notes.append(
            f"{stack.n_not_finite:,} pixels were no number; they were set to their frame's median."
        )
    own = str(Path(movie.name).absolute())
    if own in _movies_of(fit_said):
        notes.append(
            "The model was fitted to this movie: how well it predicts it is no test of the model."
        )
    return notes
