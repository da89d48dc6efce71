"""How good relevance maps are (``spt-explain relevance evaluate``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.config import takes
from spt_explain.errors import SptError, option, printable
from spt_explain.relevance_test_clips import gather_test, kinds_of, not_fitted, parted, true_pixels
from spt_explain.report.provenance import made_by
from spt_explain.report.relevance_evaluation import check_folder, write_evaluation
from spt_explain.report.relevance_files import RelevanceListener, model_folder
from spt_explain.training.processes import pick_device
from spt_explain.xddpm.options import RelevanceEvaluateOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spt_explain.xddpm.evaluate.measure import Videos
    from spt_explain.xddpm.evaluate.table import Candidate, Comparison
    from spt_explain.xddpm.evaluate.yardstick import Yardstick
    from spt_explain.xddpm.model import RelevanceModel
    from spt_explain.xddpm.options import Definition

METHOD, NATS = "xddpm", "xddpm (information)"
FEW_CLIPS = 100
"""Of those measured; with fewer the user is told."""
LEAST_TO_FIT = 60
"""Clips that the regressor with pixels missing is fitted to, at least."""
LEAST_R2 = 0.3
"""Of that regressor; below this the user is told."""


@dataclass
class RelevanceEvaluation:
    """What came out.

    Attributes
    ----------
    comparison : Comparison
        Methods, baselines, floors and the ceiling, with all measures.
    models : list of dict
        Of each model: R² on the clips measured, share and IoU of its sufficient pixels, whether
        its mask encodes the signal.
    stability : float
        Mean rank correlation of the maps of several models; NaN with one.
    notes : list of str
    folder : pathlib.Path
    files : list of pathlib.Path
    document : dict
        All of it, as in ``evaluation.json``.
    """

    comparison: Comparison
    models: list[dict[str, Any]]
    stability: float
    notes: list[str]
    folder: Path
    files: list[Path]
    document: dict[str, Any] = field(repr=False)


@takes(RelevanceEvaluateOptions)
def evaluate_relevance(
    model: str | Path | Sequence[str | Path],
    movies: str | Path | Sequence[str | Path],
    output: str | Path = "relevance.evaluation",
    *,
    overwrite: bool = False,
    command: Sequence[str] = (),
    listener: RelevanceListener | None = None,
    **options: Any,
) -> RelevanceEvaluation:
    """Measure the maps of models beside those of other methods, on movies not fitted to.

    Half of the movies are for choosing (thresholds, the regressor with pixels missing), the other
    half for measuring.

    Parameters
    ----------
    model : str, pathlib.Path or sequence of them
        Folders of models; several are seeds of one fit.
    movies : str, pathlib.Path or sequence of them
        A folder that ``spt-explain simulate`` wrote, whose true pixels are known, or any movies.
    output : str or pathlib.Path
        Folder of the results.
    overwrite : bool
    command : sequence of str
        The command line, for the provenance.
    listener : RelevanceListener, optional
    **options
        Of `RelevanceEvaluateOptions`.

    Raises
    ------
    SptError
        If something can't be read or used, or nothing is left to measure.
    """
    from spt_explain.xddpm.evaluate.measure import Videos
    from spt_explain.xddpm.evaluate.published import beside
    from spt_explain.xddpm.evaluate.table import compare

    told = listener or RelevanceListener()
    asked = RelevanceEvaluateOptions(**options)
    signal, truth, yardstick, seed = asked.signal, asked.truth, asked.yardstick, asked.seed
    places = [model_folder(Path(m)) for m in _listed(model)]
    if not places:
        raise SptError(
            f"no model was named; expected {option('model', 'FOLDER')}, once or several times.",
            code="not-found",
            option="model",
        )
    if len({place.resolve() for place in places}) < len(places):
        raise SptError(
            f"a model was named twice; expected each {option('model')} once: they are seeds.",
            code="conflict",
            option="model",
        )
    names, folder = [str(one) for one in _listed(movies)], Path(output)
    check_folder(folder, [Path(n) for n in names if Path(n).exists()], overwrite=overwrite)
    if truth is not None and not Path(truth).is_dir():
        raise SptError(
            f"{option('truth', truth)} is no folder: expected masks with the movies' names.",
            option="truth",
        )
    if yardstick is not None:
        model_folder(Path(yardstick))
    where = pick_device(asked.device)
    models = _loaded(places, where)
    first = models[0]
    examples, column = gather_test(first, places[0], names, signal, asked.most_clips, seed, told)
    notes = [str(note) for note in examples.notes]
    left = not_fitted(examples, places, models, notes)
    choosing, testing = parted(examples, left, seed)
    true = true_pixels(examples, names, column, truth, np.concatenate([choosing, testing]), notes)
    cell = None
    if true is not None and truth is None and kinds_of(names) <= {"tension", "wetting"}:
        both = np.concatenate([choosing, testing])
        cell = true if column == "area" else true_pixels(examples, names, "area", None, both, notes)
    if len(testing) < FEW_CLIPS:
        notes.append(
            f"{len(testing)} clips are measured: {FEW_CLIPS} and more give means to ±0.01."
        )
    n = len(choosing)
    chosen = np.concatenate([choosing, testing])
    clips, values = examples.clips[chosen], np.asarray(examples.values)[chosen]
    validation, test = (
        Videos(
            first.scale.apply(clips[part]),
            None if true is None else true[part],
            None if cell is None else cell[part],
        )
        for part in (slice(0, n), slice(n, None))
    )
    told.stage("maps")
    candidates = _candidates(models, clips, n, asked.baselines, asked.definition, seed, told)
    measuring = _yardstick(
        first, yardstick, values[:n], validation, asked.yardstick_steps, seed, where, notes, told
    )
    told.stage("measuring")
    comparison = None
    if measuring is not None or true is not None:
        comparison = compare(
            validation,
            test,
            candidates,
            predict=None if measuring is None else measuring.predict,
            n_subsets=asked.subsets,
            curves=asked.curves,
            seed=seed,
            progress=told.looking,
        )
    comparison = _with_own(
        comparison, models, clips[n:], test, candidates, asked.subsets, seed, told
    )
    said = [
        _said(each, place, clips[n:], values[n:], None if true is None else true[n:])
        for each, place in zip(models, places, strict=True)
    ]
    if asked.encoding:
        told.stage("reading the signal from masks alone")
        _encodings(said, models, clips, values, true, seed, where, notes)
    stability = _stability([np.asarray(one) for one in candidates[METHOD].test])
    paper: dict[str, tuple[float, float]] = {}
    if asked.published:
        paper, said_of_it = beside(kinds_of(names), column, clips.shape[1:])
        notes += said_of_it
    document = made_by(
        {
            "models": said,
            "movies": list(examples.sources),
            "signal": printable(column),
            "clips": {
                "to choose": n, "measured": len(testing), "shape": list(clips.shape[1:])
            },
            "true_pixels": true is not None,
            "yardstick": None if measuring is None else {
                "r2": measuring.r2, "r2_half": measuring.r2_half,
                "from": "fitted here" if yardstick is None else printable(str(yardstick)),
            },
            "settings": {
                "baselines": asked.baselines, "definition": asked.definition,
                "subsets": asked.subsets, "curves": asked.curves, "seed": seed, "device": where,
            },
            "seeds_spearman": stability,
            "notes": notes,
            "table": comparison.table.to_dict("records"),
        },
        command=command,
    )  # fmt: skip
    told.stage("writing")
    files = write_evaluation(
        folder, comparison, document, paper=paper, notes=notes, formats=asked.formats
    )
    return RelevanceEvaluation(comparison, said, stability, notes, folder, files, document)


def _listed(given: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [given] if isinstance(given, str | Path) else list(given)


def _loaded(places: Sequence[Path], device: str) -> list[RelevanceModel]:
    from spt_explain.xddpm.model import RelevanceModel

    models = [RelevanceModel.load(place, device=device) for place in places]
    first = models[0]
    for other, place in zip(models[1:], places[1:], strict=True):
        for what, one, two in (
            ("signal", first.signal.names, other.signal.names),
            ("kind of signal", first.signal.kind, other.signal.kind),
            ("clips", (first.frames, *first.size), (other.frames, *other.size)),
            ("cutting", first.cutting, other.cutting),
        ):
            if one != two:
                raise SptError(
                    f"the models {places[0]} and {place} have not the same {what}; expected seeds "
                    "of one fit. Evaluate them one by one."
                )
    return models


def _candidates(
    models: Sequence[RelevanceModel],
    clips: NDArray[np.float32],
    n: int,
    baselines: bool,
    definition: Definition,
    seed: int,
    told: RelevanceListener,
) -> dict[str, Candidate]:
    """Return the maps of all methods; each model is a seed, also of the baselines."""
    from spt_explain.xddpm.evaluate.baselines import BASELINES, BaselineOptions, baseline_maps
    from spt_explain.xddpm.evaluate.table import Candidate

    found: dict[str, list[NDArray[np.float32]]] = {}
    options = BaselineOptions(definition=definition)
    total, done = len(models) * (1 + (len(BASELINES) if baselines else 0)), 0
    for at, model in enumerate(models):
        x = model.scale.apply(clips)
        maps = model.maps_of_scaled(x)
        found.setdefault(METHOD, []).append(maps.contribution)
        found.setdefault(NATS, []).append(maps.information)
        told.looking(done := done + 1, total)
        for name in BASELINES if baselines else ():
            one = baseline_maps(model.regressor, x, name, options, seed=seed + at)
            found.setdefault(name, []).append(one)
            told.looking(done := done + 1, total)
    return {
        name: Candidate(
            [m[:n] for m in maps],
            [m[n:] for m in maps],
            "method" if name in (METHOD, NATS) else "baseline",
        )
        for name, maps in found.items()
    }


def _yardstick(
    model: RelevanceModel,
    given: str | Path | None,
    values: NDArray[np.generic],
    validation: Videos,
    steps: int,
    seed: int,
    device: str,
    notes: list[str],
    told: RelevanceListener,
) -> Yardstick | None:
    """Return the regressor that is asked about missing pixels; none where there is no good one."""
    from spt_explain.xddpm.evaluate.yardstick import Yardstick, fit_yardstick
    from spt_explain.xddpm.model import RelevanceModel

    if given is not None:
        other = RelevanceModel.load(model_folder(Path(given)), device=device)
        if (other.frames, *other.size) != (model.frames, *model.size):
            raise SptError(
                f"the clips of {option('yardstick', given)} have another size than those of the "
                "model.",
                option="yardstick",
            )
        if other.scale != model.scale:
            notes.append("The yardstick scales pixels in its own way, close to the model's.")
        fitted = other.fitted
        return Yardstick(other.regressor, np.nan if fitted is None else fitted.r2, np.nan)
    targets = model.signal.encode(values)
    known = np.isfinite(targets).all(axis=1)
    if model.signal.kind == "category" or known.sum() < LEAST_TO_FIT:
        why = (
            "the signal is a category"
            if model.signal.kind == "category"
            else f"{int(known.sum())} clips are too few (of {LEAST_TO_FIT} at least)"
        )
        notes.append(
            f"Nothing was measured with a regressor fitted with pixels missing: {why}. Fit one "
            f"with {option('recipe', 'yardstick')} and give it with {option('yardstick')}."
        )
        return None
    told.stage("fitting a regressor with pixels missing")
    cut = max(int(0.8 * known.sum()), 1)
    x, y = validation.clips[known], targets[known]
    found = fit_yardstick(
        x[:cut],
        y[:cut],
        per_frame=model.signal.per == "frame",
        held_out=(x[cut:], y[cut:]),
        steps=steps,
        seed=seed,
        device=device,
        report=told.probing,
    )
    if not found.r2_half >= LEAST_R2:
        notes.append(
            f"The regressor fitted with pixels missing has R² {found.r2_half:.2f} with half of "
            "them missing: sensitivity_n, insertion and deletion tell little. Give more movies, or "
            f"one that was fitted to more with {option('yardstick')}."
        )
    return found


def _with_own(
    comparison: Comparison | None,
    models: Sequence[RelevanceModel],
    clips: NDArray[np.float32],
    test: Videos,
    candidates: dict[str, Candidate],
    subsets: int,
    seed: int,
    told: RelevanceListener,
) -> Comparison:
    """Add Sensitivity-n as the paper takes it: asked of each model's own regressor."""
    from spt_explain.xddpm.evaluate.floors import CEILING, floors
    from spt_explain.xddpm.evaluate.probes import as_predict
    from spt_explain.xddpm.evaluate.sensitivity import sensitivity_n
    from spt_explain.xddpm.evaluate.table import comparison as table_of

    beside: dict[str, NDArray[np.generic]] = {
        f"floor: {name}": each
        for name, each in floors(test.clips, test.truth, cell=test.cell, seed=seed).items()
    }
    if test.truth is not None:
        beside[CEILING] = test.truth
    roles = {name: each.role for name, each in candidates.items()}
    roles |= {name: "ceiling" if name == CEILING else "floor" for name in beside}
    values: dict[str, dict[str, Any]] = dict(comparison.values) if comparison else {}
    thresholds = dict(comparison.thresholds) if comparison else {name: [] for name in roles}
    own: dict[str, list[NDArray[np.float64]]] = {}
    for at, model in enumerate(models):
        maps = {name: each.test[at] for name, each in candidates.items()} | beside
        x = model.scale.apply(clips)
        found = sensitivity_n(
            as_predict(model.regressor), x, maps, 0.0, n_subsets=subsets, seed=seed
        )
        for name, each in found.items():
            own.setdefault(name, []).append(each[:, 0])
        told.looking(at + 1, len(models))
    for name, seeds in own.items():
        values[name] = {**values.get(name, {}), "sensitivity_own": np.stack(seeds)}
    settings = comparison.settings if comparison else {"seed": float(seed)}
    return table_of(values, thresholds, roles, settings)


def _said(
    model: RelevanceModel,
    place: Path,
    clips: NDArray[np.float32],
    values: NDArray[np.generic],
    truth: NDArray[np.bool_] | None,
) -> dict[str, Any]:
    from spt_explain.xddpm.evaluate.overlap import iou

    said: dict[str, Any] = {"folder": printable(str(place)), "name": model.name}
    said["r2"] = model.r2(clips, values)
    if model.fitted is not None:
        curve = model.fitted.curve
        maps = model.maps(clips).contribution
        said |= {"fitted_r2": model.fitted.r2, "sufficient_share": curve.share}
        said |= {"threshold": curve.threshold, "encoding_excess": curve.excess}
        if truth is not None:
            said["iou_sufficient"] = float(iou(maps >= curve.threshold, truth).mean())
            said["iou_half"] = float(iou(maps >= 0.5, truth).mean())
    return said


def _encodings(
    said: list[dict[str, Any]],
    models: Sequence[RelevanceModel],
    clips: NDArray[np.float32],
    values: NDArray[np.generic],
    truth: NDArray[np.bool_] | None,
    seed: int,
    device: str,
    notes: list[str],
) -> None:
    """Add whether masks alone tell the signal."""
    from spt_explain.xddpm.evaluate.probes import encoding_check

    first = models[0]
    targets = first.signal.encode(values)
    known = np.isfinite(targets).all(axis=1)
    if first.signal.kind == "category" or known.sum() < LEAST_TO_FIT:
        notes.append("Whether masks alone tell the signal was not looked at: too few clips, or a "
                     "category.")  # fmt: skip
        return
    for one, model in zip(said, models, strict=True):
        found = encoding_check(
            model.maps(clips[known]).contribution,
            model.scale.apply(clips[known]),
            targets[known],
            0.0,
            truth=None if truth is None else truth[known],
            seed=seed,
            steps=300,
            device=device,
        )
        one["encoding"] = vars(found) | {"encodes": found.encodes()}
        if found.encodes():
            notes.append(
                f"BEWARE: the masks of {one['folder']} alone tell the signal (R² "
                f"{found.r2_map:.2f}): they may encode it rather than point at it."
            )


def _stability(maps: Sequence[NDArray[np.float32]]) -> float:
    from spt_explain.xddpm.evaluate.stability import seed_stability

    return seed_stability(maps).mean if len(maps) > 1 else float("nan")
