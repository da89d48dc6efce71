"""Tracks instead of movies: ``relevance fit`` and ``relevance explain`` as functions."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from spt_explain.explain.methods import Method
    from spt_explain.tracks import QualityPolicy, Tracks
    from spt_explain.xddpm.state import Progress
    from spt_explain.xddpm.tracks.labels import SignalTracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

CHECKPOINT = "fit.safetensors"
SIDECAR = "relevance.json"
FIT_SIDECAR = "fit.json"
PASSED, FAILED, FLAT = "passed", "failed", "flat"
LEAST_SPREAD = 0.02
"""Standard deviation of the contribution along a track below which its map says nothing."""
MOST_RANK = 0.05

WHAT_IS_REMOVED = {
    "brownian": "a removed frame holds a step of Brownian motion of the track's own scale; what "
    "follows is moved, not changed",
    "rest": "in a removed frame the particle stays where it is, but for a little noise; what "
    "follows is moved, not changed",
}


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


@dataclass(frozen=True)
class TrackRelevance:
    """Which frames of each track carry the signal.

    Attributes
    ----------
    tracks : pandas.DataFrame
        A row a track or segment: ``file, particle, segment, n_points, predicted`` (and its
        ``probability``, of categories, not calibrated), ``contribution`` (mean M),
        ``information_nats`` (sum), ``relevant`` (share of displacements at or above the
        threshold), ``loss_top``, ``loss_random``, ``loss_random_sd``, ``check`` ("passed": the most
        relevant fifth costs more than the same map shifted along the track does; "flat"), and
        beside the network's own map ``class``, ``agrees``, ``rho``, ``p``.
    frames : pandas.DataFrame
        A row a frame: ``file, particle, segment, frame, x, y, contribution, information_nats,
        relevant, score`` (of the classifier's map), ``filled``. Values are of the displacement that
        leads to the frame; the first of a track has none.
    document : dict
        Settings and what was found.
    folder : pathlib.Path or None
        Where they were written.
    files : list of pathlib.Path
    """

    tracks: pd.DataFrame
    frames: pd.DataFrame
    document: dict[str, Any]
    folder: Path | None = None
    files: list[Path] = field(default_factory=list)


def looks_like_tracks(path: str | Path) -> bool:
    """Return whether a file holds tracks (text, XML, gzip or .npz of them), and is no movie.

    Only its first bytes are looked at: a table without positions is refused when it is read.
    """
    from spt_explain.movies import is_stack
    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import layout_of

    if Path(path).suffix.lower() in (".toml", ".json", ".safetensors"):
        return False
    try:
        source = Input.of(path)
        head = source.head
        if is_stack(head):
            return False
        if head.startswith(b"PK\x03\x04"):
            return b".npy" in head[:200]
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<TrackMate", b"<Tracks", b"MTrackJ")):
            return True
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
            return b"<TrackMate" in head or b"<Tracks" in head
        return layout_of(source).width >= 3
    except SptError:
        return False


def is_track_model(folder: str | Path) -> bool:
    """Return whether a folder holds a model that was fitted to tracks."""
    from spt_explain.xddpm.tracks.store import CARD

    return (Path(folder) / CARD).is_file()


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
    report: Callable[[Progress], None] = lambda _: None,
) -> TrackFit:
    """Fit a model that says which frames of a track carry a signal.

    Parameters
    ----------
    tracks : sequence of paths, path, SignalTracks, optional
        Tables of tracks with a column of the signal; tracks are simulated if nothing is given.
    signal : str
        The column: ``class``, ``alpha``, or one of the user's, such as a condition.
    output : str or pathlib.Path, optional
        Folder of the model, and of the checkpoint.
    signal_file : str or pathlib.Path, optional
        A table that holds the signal of each track instead, such as verdicts.
    kind : {"auto", "number", "category"}
        What the signal is; auto: text, or fewer than six whole numbers, is a category.
    recipe : TrackRelevanceRecipe or path, optional
        Every number of the fit.
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
    if recipe is None:
        recipe = TrackRelevanceRecipe()
    elif not isinstance(recipe, TrackRelevanceRecipe):
        recipe = TrackRelevanceRecipe.load(Path(recipe))
    recipe = recipe.with_schedule(seed=seed, minutes=minutes)
    if kind != "auto":
        values = recipe.model_dump()
        values["data"]["kind"] = kind
        recipe = TrackRelevanceRecipe.of(values, "--kind")
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
    where = _device(device)
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
        (folder / FIT_SIDECAR).write_bytes((text + "\n").encode(errors="replace"))
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return TrackFit(model, folder, document, given.notes)


def in_words(model: TrackRelevanceModel) -> list[str]:
    """Return what a fit found and how far to believe it, a sentence each."""
    fitted, signal = model.fitted, model.signal
    if fitted is None:
        return []
    what = "R²" if signal.kind == "number" else "McFadden's R²"
    right = "" if fitted.accuracy is None else f", {100 * fitted.accuracy:.0f} % right"
    curve = fitted.curve
    chosen = curve.chosen
    lines = [
        f"{signal.names[0]} is predicted with {what} {fitted.r2:.2f} on {fitted.held_out}{right}; "
        f"with the signal shuffled {fitted.shuffled_r2:.2f}.",
        f"With the most relevant {100 * curve.share:.0f} % of the displacements {what} is "
        f"{curve.r2[chosen]:.2f}, with as many at random places {fitted.random_r2[chosen]:.2f}; "
        f"with none {fitted.removed_r2:.2f}.",
        f"Removed: {WHAT_IS_REMOVED[model.removal.removed]}.",
    ]
    lead = max(a - b for a, b in zip(curve.r2, fitted.random_r2, strict=True))
    if lead < 0.03:
        lines.append(
            "BEWARE: displacements that the map calls relevant predict no better than others: the "
            "signal is everywhere alike, or the mask has not learnt where it is (more minutes)."
        )
    if curve.excess > 0.03:
        lines.append(
            f"BEWARE: with some displacements removed {what} is {curve.excess:.2f} higher than "
            "with all: the mask may encode the signal."
        )
    return lines


def explain_track_relevance(
    tracks: Tracks | str | Path,
    model: TrackRelevanceModel | str | Path,
    output: str | Path | None = None,
    *,
    method: Method | Literal["none"] = "gradcam",
    layer: str = "block4",
    weights: str | None = None,
    policy: QualityPolicy | None = None,
    reading: Mapping[str, Any] | None = None,
    draws: int = 20,
    share: float = 0.2,
    seed: int = 1,
    only: Sequence[int] = (),
    picks: int = 6,
    formats: Sequence[str] = ("png",),
    device: str = "auto",
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> TrackRelevance:
    """Say which frames of each track carry the signal, beside the classifier's Grad-CAM.

    Parameters
    ----------
    tracks : Tracks, str or pathlib.Path
        What `read_tracks` returned, or a file for it.
    model : TrackRelevanceModel or path
        What `fit_track_relevance` made.
    output : str or pathlib.Path, optional
        Folder of the results; nothing is written if not given.
    method : {"gradcam", "layercam", "integrated-gradients", "occlusion", "none"}
        What is laid beside it: a map of the classifier that ``explain`` knows, or nothing.
    layer : {"block1", "block2", "block3", "block4"}
        Of "gradcam" and "layercam".
    weights : str, optional
        Of the classifier.
    policy : QualityPolicy, optional
    reading : mapping, optional
        Keyword arguments of `read_tracks`.
    draws, share, seed
        Of the check: random shifts, share of displacements removed, seed.
    only : sequence of int
        Particles; all by default.
    picks : int
        Tracks with a figure of their own; all those of `only`.
    formats : sequence of str
        Of the figures; none for no figures.
    device : {"auto", "cuda", "cpu"}
    overwrite : bool
    command : sequence of str
    progress : callable, optional
        Called with what is done, how much of it, and of how much.

    Returns
    -------
    TrackRelevance

    Raises
    ------
    SptError
        If the tracks can't be read or none can be explained, or the model is of other units.
    """
    from spt_explain.api import read_tracks
    from spt_explain.report.folders import refuse_folder, write_results
    from spt_explain.report.provenance import made_by
    from spt_explain.report.style import FIGURE_FORMATS
    from spt_explain.tracks import QualityPolicy, Tracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

    wrong = [one for one in formats if one not in FIGURE_FORMATS]
    if wrong:
        raise SptError(f"figure format {wrong[0]!r}: expected one of {', '.join(FIGURE_FORMATS)}.")
    if not 0 < share < 1:
        raise SptError(f"--share is {share!r}; expected a share of the frames, between 0 and 1.")
    if draws < 1:
        raise SptError(f"--draws is {draws}; expected at least 1.")
    folder = None if output is None else Path(output)
    if folder is not None:
        inputs = [Path(tracks)] if isinstance(tracks, (str, Path)) else []
        refuse_folder(folder, inputs, overwrite=overwrite, ours=_ours)
    if not isinstance(model, TrackRelevanceModel):
        model = TrackRelevanceModel.load(Path(model), device=_device(device))
    if not isinstance(tracks, Tracks):
        tracks = read_tracks(tracks, **dict(reading or {}))
    policy = policy or QualityPolicy()
    unit = tracks.calibration.length_unit
    if model.unit and model.unit != unit:
        words = {"um": "µm", "px": "pixels"}
        raise SptError(
            f"{tracks.source.name} is in {words[unit]}, and the model was fitted to tracks in "
            f"{words[model.unit]}; expected the same unit. Give --pixel-size-um."
        )
    table, frames = _segments(tracks, policy, only)
    found = _relevance(table, frames, model, share, draws, seed, progress)
    if method != "none":
        from spt_explain.api import explain

        reasons = explain(
            tracks,
            policy=policy,
            method=method,
            layer=layer,
            weights=weights,
            device=device,
            draws=0,
            only=only,
            statistics=False,
            timeline=False,
            progress=progress,
        )
        _beside(table, frames, reasons.tracks, reasons.frames, model)
    said = {
        **tracks.describe(),
        "model": model.name,
        "signal": model.signal.names[0],
        "removed": WHAT_IS_REMOVED[model.removal.removed],
        "settings": {
            "method": method,
            "layer": layer,
            "weights": weights,
            "policy": asdict(policy),
            "draws": draws,
            "share": share,
            "seed": seed,
            "only": list(only),
        },
        "found": {**found, **_likeness_in_numbers(table)},
        "fit": in_words(model),
    }
    document = made_by(said, command=command)
    result = TrackRelevance(table, frames, document)
    if folder is None:
        return result

    def figures() -> dict[str, Callable[[], Figure]]:
        from spt_explain.report.track_relevance import draw_fit, draw_track, pick_tracks

        chosen = pick_tracks(table, len(table) if only else picks)
        drawn: dict[str, Callable[[], Figure]] = {}
        for row in chosen:
            one: Any = table.loc[row]
            name = f"track-{one['particle']}" + (f"-{one['segment']}" if one["segment"] else "")
            drawn[name] = partial(
                draw_track, one, frames, unit=unit, method=method, threshold=model.threshold
            )
        if model.fitted is not None:
            fitted = model.fitted
            drawn["sufficiency"] = lambda: draw_fit(
                fitted.curve.kept, fitted.curve.r2, fitted.random_r2, fitted.curve.chosen,
                rho=table["rho"].to_numpy(np.float64) if "rho" in table else None,
            )  # fmt: skip
        return drawn

    files = write_results(
        folder, SIDECAR, document, {"tracks": table, "frames": frames}, figures, formats=formats
    )
    return TrackRelevance(table, frames, document, folder, files)


def _segments(
    tracks: Tracks, policy: QualityPolicy, only: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each segment that can be explained, and one for each of its frames."""
    import pandas as pd

    from spt_explain.tracks import apply_policy
    from spt_explain.tracks.quality import require_some
    from spt_explain.xddpm.tracks.steps import FEWEST_STEPS

    segments = apply_policy(tracks, policy)
    require_some(segments, tracks)
    chosen = segments.summary[segments.summary["segment_id"] >= 0].sort_values("segment_id")
    lengths = np.diff(segments.offsets)
    use = lengths > FEWEST_STEPS
    if only:
        missing = sorted(set(only) - set(chosen["particle"].tolist()))
        if missing:
            raise SptError(
                f"{tracks.source.name} has no particle {missing[0]} that can be explained; "
                "expected numbers of its particle column."
            )
        use &= chosen["particle"].isin(list(only)).to_numpy()
    if not use.any():
        raise SptError(
            f"{tracks.source.name}: all tracks are shorter than {FEWEST_STEPS + 1} points; "
            "expected longer ones."
        )
    rows = np.repeat(use, lengths)
    table = pd.DataFrame(
        {
            "file": tracks.source.name,
            "particle": chosen["particle"].to_numpy(np.int64)[use],
            "segment": chosen["segment"].to_numpy(np.int64)[use],
            "n_points": lengths[use],
        }
    )
    points = segments.points[rows]
    keys = np.repeat(np.arange(len(table)), lengths[use])
    frames = table[["file", "particle", "segment"]].take(keys).reset_index(drop=True)
    for name in ("frame", "x", "y"):
        frames[name] = points[name].to_numpy()
    frames["filled"] = points["interpolated"].to_numpy()
    return table, frames


def _relevance(
    table: pd.DataFrame,
    frames: pd.DataFrame,
    model: TrackRelevanceModel,
    share: float,
    draws: int,
    seed: int,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, Any]:
    """Add what the model says to both tables, and return it in short."""
    from spt_explain.tracks.runs import offsets_of, run_sums

    lengths = table["n_points"].to_numpy(np.int64)
    offsets = offsets_of(lengths)
    if progress is not None:
        progress("relevance", 0, len(table))
    steps = model.steps(frames[["x", "y"]].to_numpy(np.float64), offsets)
    said = model.predict(steps)
    if model.signal.kind == "category":
        names = np.asarray(model.signal.categories, dtype=object)
        table["predicted"] = names[said.argmax(1)]
        table["probability"] = said.max(1).astype(np.float64)
    else:
        table["predicted"] = said[:, 0].astype(np.float64)
    maps = model.maps(steps)
    starts = steps.offsets[:-1]
    count = steps.lengths
    contribution = maps.contribution.astype(np.float64)
    mean = run_sums(contribution, starts) / count
    spread = np.sqrt(np.maximum(run_sums(contribution**2, starts) / count - mean**2, 0))
    relevant = maps.contribution >= model.threshold if model.fitted else maps.contribution >= 0.5
    table["contribution"] = mean
    table["information_nats"] = run_sums(maps.information.astype(np.float64), starts)
    table["relevant"] = run_sums(relevant, starts) / count
    if progress is not None:
        progress("checking", 0, len(table))
    deletion = model.deletion(steps, maps, share=share, draws=draws, seed=seed)
    table["loss_top"], table["loss_random"] = deletion.top, deletion.random
    table["loss_random_sd"] = deletion.random_sd
    check = np.where(deletion.rank <= max(MOST_RANK, 1 / (draws + 1)), PASSED, FAILED)
    check = np.where(deletion.top > 0.01, check, FAILED).astype(object)
    check[spread < LEAST_SPREAD] = FLAT
    table["check"] = check
    inside = np.ones(len(frames), dtype=bool)
    inside[offsets[:-1]] = False
    for name, values in (("contribution", contribution), ("information_nats", maps.information)):
        column = np.full(len(frames), np.nan)
        column[inside] = values
        frames[name] = column
    flags = np.zeros(len(frames), dtype=bool)
    flags[inside] = relevant
    frames["relevant"] = flags
    frames["filled"] = frames.pop("filled")
    if progress is not None:
        progress("checking", len(table), len(table))
    return {
        "tracks": len(table),
        "contribution": float(contribution.mean()),
        "checks": {word: int((check == word).sum()) for word in (PASSED, FAILED, FLAT)},
    }


def _beside(
    table: pd.DataFrame,
    frames: pd.DataFrame,
    reason_tracks: pd.DataFrame,
    reason_frames: pd.DataFrame,
    model: TrackRelevanceModel,
) -> None:
    """Add the classifier's class and scores to both tables, and their rank correlation."""
    from spt_explain.tracks.runs import offsets_of
    from spt_explain.xddpm.tracks.compare import likeness

    keys = ["particle", "segment"]
    scores = reason_frames[[*keys, "frame", "score"]]
    merged = frames[[*keys, "frame"]].merge(scores, on=[*keys, "frame"], how="left", validate="1:1")
    frames["score"] = merged["score"].to_numpy(np.float64)
    verdicts = table[keys].merge(
        reason_tracks[[*keys, "explained", "probability", "remark"]], on=keys, how="left"
    )
    table["class"] = verdicts["explained"].to_numpy(dtype=object)
    table["class_probability"] = verdicts["probability"].to_numpy(np.float64)
    if set(model.signal.categories) & set(table["class"].dropna()):
        table["agrees"] = table["class"].to_numpy() == table["predicted"].to_numpy()
    offsets = offsets_of(table["n_points"].to_numpy(np.int64))
    contribution, score = frames["contribution"].to_numpy(), frames["score"].to_numpy()
    found = []
    for i in range(len(table)):
        part = slice(offsets[i], offsets[i + 1])
        found.append(likeness(contribution[part], score[part]))
    table["rho"] = [one.rho for one in found]
    table["p"] = [one.p for one in found]
    table["remark"] = verdicts["remark"].fillna("").to_numpy(dtype=object)


def _likeness_in_numbers(table: pd.DataFrame) -> dict[str, Any]:
    if "rho" not in table:
        return {}
    rho = table["rho"].to_numpy(np.float64)
    known = np.isfinite(rho)
    return {
        "rho_median": float(np.median(rho[known])) if known.any() else None,
        "rho_tracks": int(known.sum()),
        "rho_beyond_chance": int((table["p"].to_numpy(np.float64)[known] <= MOST_RANK).sum()),
    }


def _check_model_folder(folder: Path, card: str, *, overwrite: bool, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise SptError(f"the output {folder} is a file; expected a folder. Change -o.")
    if (folder / card).exists() and not (overwrite or resume):
        raise SptError(f"{folder} holds a model already. Add --overwrite, or name another folder.")
    if (folder / "relevance.json").exists():
        raise SptError(
            f"{folder} holds a model of movies; expected an empty folder or a new one. Change -o."
        )
    if (folder / CHECKPOINT).exists() and not (overwrite or resume):
        raise SptError(
            f"{folder} holds a fit that was interrupted. Go on with --resume, or start anew with "
            "--overwrite."
        )
    if not folder.absolute().parent.is_dir():
        raise SptError(
            f"the folder {folder.absolute().parent} for the output is not there. Create it, or "
            "give another one with -o."
        )


def _ours(name: str) -> bool:
    stem, _, ending = name.rpartition(".")
    if name == SIDECAR or name in ("tracks.csv", "frames.csv"):
        return True
    figure = ending in ("png", "svg", "pdf")
    return figure and (stem == "sufficiency" or stem.startswith("track-"))


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SptError(
            "--device cuda: this machine has no GPU that can be used; expected one. Give "
            "--device cpu."
        )
    return wanted
