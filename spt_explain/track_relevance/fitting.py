"""``relevance fit`` of tracks as a function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError, option
from spt_explain.track_relevance.inputs import find_recipe
from spt_explain.track_relevance.words import WHAT_IS_REMOVED, in_words
from spt_explain.training.processes import pick_device

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spt_explain.tracks import QualityPolicy
    from spt_explain.xddpm.state import RelevanceProgress
    from spt_explain.xddpm.tracks.labels import SignalTracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

CHECKPOINT = "fit.safetensors"
FIT_SIDECAR = "fit.json"


@dataclass(frozen=True)
class TrackFit:
    """What a fit gave.

    Attributes
    ----------
    model : TrackRelevanceModel or None
        None if it is not finished: go on with ``resume=True``.
    folder : pathlib.Path or None
    document : dict
        What was done and found.
    notes : tuple of str
    """

    model: TrackRelevanceModel | None
    folder: Path | None
    document: dict[str, Any]
    notes: tuple[str, ...] = ()


def fit_track_relevance(
    tracks: Sequence[str | Path] | str | Path | SignalTracks | None = None,
    signal: str = "class",
    output: str | Path | None = None,
    *,
    signal_file: str | Path | None = None,
    kind: Literal["auto", "number", "category"] = "auto",
    recipe: TrackRelevanceRecipe | str | Path | None = None,
    simulate_tracks: int = 4000,
    length: tuple[int, int] = (30, 200),
    noise: float = 0.0,
    policy: QualityPolicy | None = None,
    reading: Mapping[str, Any] | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    stop_after_s: float = math.inf,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    command: Sequence[str] = (),
    began: Callable[[SignalTracks, TrackRelevanceRecipe, str], None] = lambda *_: None,
    report: Callable[[RelevanceProgress], None] = lambda _: None,
) -> TrackFit:
    """Fit a model that says which frames of a track carry a signal.

    Parameters
    ----------
    tracks : sequence of paths, path, SignalTracks, optional
        Tables of tracks with a column of the signal; tracks are simulated if nothing is given.
    signal : str
        The column: ``class``, ``alpha``, or one of the user's, such as a condition; of a
        `signal_file` "" for its only one.
    output : str or pathlib.Path, optional
        Folder of the model, and of the checkpoint.
    signal_file : str or pathlib.Path, optional
        A table that holds the signal of each track instead, such as verdicts.
    kind : {"auto", "number", "category"}
        What the signal is; auto: text, or fewer than six whole numbers, is a category.
    recipe : TrackRelevanceRecipe, str or path, optional
        Every number of the fit; the name of a shipped one, or a file.
    simulate_tracks, length, noise
        Of simulated tracks: number, fewest and most points, 1/SNR.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.
    reading : mapping, optional
        Keyword arguments of `read_tracks`.
    seed, minutes : optional
        Instead of the recipe's.
    stop_after_s : float
        Leave after about so many seconds; go on with `resume`.
    resume, overwrite : bool
    device : {"auto", "cuda", "cpu"}
    command : sequence of str
        The command line, for the provenance.
    began : callable
        Told the tracks, the recipe and the device, before the fit.
    report : callable
        Told how it goes on.

    Returns
    -------
    TrackFit

    Raises
    ------
    SptError
        If the tracks can't be read, or the signal can't be predicted from tracks held out.
    """
    from spt_explain.report.provenance import made_by
    from spt_explain.xddpm.tracks.fit import fit
    from spt_explain.xddpm.tracks.labels import SignalTracks, read_signal_tracks, simulated
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe
    from spt_explain.xddpm.tracks.store import CARD

    folder = None if output is None else Path(output)
    if folder is not None:
        _check_model_folder(folder, CARD, overwrite=overwrite, resume=resume)
    recipe = find_recipe(recipe).with_schedule(seed=seed, minutes=minutes)
    if kind != "auto":
        values = recipe.model_dump()
        values["data"]["kind"] = kind
        recipe = TrackRelevanceRecipe.of(values, option("kind"))
    if tracks is None:
        given = simulated(
            signal, tracks=simulate_tracks, length=length, noise=noise, seed=recipe.seed
        )
    elif isinstance(tracks, SignalTracks):
        given = tracks
    else:
        names = [tracks] if isinstance(tracks, (str, Path)) else list(tracks)
        given = read_signal_tracks(
            names, signal, signal_file=signal_file, policy=policy, reading=reading
        )
    where = pick_device(device)
    began(given, recipe, where)
    model = fit(
        given,
        recipe,
        device=where,
        checkpoint=None if folder is None else folder / CHECKPOINT,
        resume=resume,
        stop_after_s=stop_after_s,
        report=report,
    )
    said: dict[str, Any] = {
        "tracks": len(given),
        "signal": given.names[0],
        "source": given.report,
        "notes": list(given.notes),
        "recipe": recipe.model_dump(),
        "removed": WHAT_IS_REMOVED[recipe.mask.removed],
        "device": where,
        "finished": model is not None,
    }
    if model is not None and model.fitted is not None:
        found = dict(vars(model.fitted))
        found["curve"] = model.fitted.curve.to_dict()
        said["found"] = {k: v for k, v in found.items() if k not in ("recipe", "source")}
        said["in_words"] = in_words(model)
    document = made_by(said, command=command)
    if folder is not None and model is not None:
        import json

        model.save(folder, overwrite=overwrite or resume)
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        with atomic_file(folder / FIT_SIDECAR, option="output", single_writer=True) as part:
            part.write_bytes((text + "\n").encode(errors="replace"))
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return TrackFit(model, folder, document, given.notes)


def _check_model_folder(folder: Path, card: str, *, overwrite: bool, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise SptError(
            f"the output {folder} is a file; expected a folder. Change {option('output')}.",
            code="wrong-kind",
            option="output",
        )
    if (folder / card).exists() and not (overwrite or resume):
        raise SptError(
            f"{folder} holds a model already. Add {option('overwrite', True)}, or name another "
            "folder.",
            code="exists",
            option="overwrite",
        )
    if (folder / "relevance.json").exists():
        raise SptError(
            f"{folder} holds a model of movies; expected an empty folder or a new one. Change "
            f"{option('output')}.",
            code="wrong-kind",
            option="output",
        )
    if (folder / CHECKPOINT).exists() and not (overwrite or resume):
        raise SptError(
            f"{folder} holds a fit that was interrupted. Go on with {option('resume', True)}, or "
            f"start anew with {option('overwrite', True)}.",
            code="exists",
            option="resume",
        )
    if not folder.absolute().parent.is_dir():
        raise SptError(
            f"the folder {folder.absolute().parent} for the output is not there. Create it, or "
            f"give another one with {option('output')}.",
            code="not-found",
            option="output",
        )
