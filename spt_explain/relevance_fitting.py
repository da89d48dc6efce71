"""Relevance models: fitted to movies and a signal (``spt-explain relevance fit``)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.config import takes
from spt_explain.errors import SptError, option, printable
from spt_explain.report.folders import refuse_folder
from spt_explain.report.provenance import made_by
from spt_explain.report.relevance_files import (
    CARD,
    GENERATOR_CARD,
    GENERATOR_CHECKPOINT,
    SIDECAR,
    RelevanceListener,
    find_generator_recipe,
    find_recipe,
    read_sidecar,
    torch_version,
    write_json,
    write_text,
)
from spt_explain.training.processes import pick_device
from spt_explain.xddpm.options import ClipOptions, RelevanceFitOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spt_explain.report.relevance_checks import Check
    from spt_explain.xddpm.examples import Examples
    from spt_explain.xddpm.generator.recipe import GeneratorRecipe
    from spt_explain.xddpm.model import RelevanceModel
    from spt_explain.xddpm.recipe import RelevanceRecipe

CHECKPOINT = "fit.checkpoint"
PROBE_STEPS = 200
"""Steps of the fresh regressors that look whether the mask is a code."""
_FILES = re.compile(
    r"\.?(?:fit\.(?:json|checkpoint)|checks\.(?:txt|json)|sufficiency\.png|relevance(?:-[0-9a-f]+)?"
    r"\.(?:json|safetensors)|generator\S*\.(?:json|safetensors|checkpoint))(?:\.part)?"
)


@dataclass
class RelevanceFit:
    """A fitted model and what was found on the way.

    Attributes
    ----------
    model : RelevanceModel
    folder : pathlib.Path
        Where it was written.
    checks : list of Check
    notes : list of str
        What was assumed.
    document : dict
        All of it, as in ``fit.json``.
    """

    model: RelevanceModel
    folder: Path
    checks: list[Check]
    notes: list[str]
    document: dict[str, Any] = field(repr=False)


@takes(RelevanceFitOptions)
def fit_relevance(
    movies: str | Path | Sequence[str | Path],
    signal: str | Path,
    output: str | Path = "model",
    *,
    overwrite: bool = False,
    command: Sequence[str] = (),
    listener: RelevanceListener | None = None,
    **options: Any,
) -> RelevanceFit:
    """Fit a model that says which pixels of movies carry a signal, and write it to a folder.

    The regressor comes first, with a control whose signal is shuffled: where the signal can't be
    predicted from movies held out, that is said and nothing follows.

    Parameters
    ----------
    movies : str, pathlib.Path or sequence of them
        Files, folders or patterns.
    signal : str or pathlib.Path
        A table (CSV, TSV, parquet) with a row for each movie, or each of its frames, or
        ``TABLE:COLUMN``; or what is measured from the movies: one of `MEASURED`.
    output : str or pathlib.Path
        Folder of the model.
    overwrite : bool
        Replace the model in `output`.
    command : sequence of str
        The command line, for the provenance.
    listener : RelevanceListener, optional
        Told what happens.
    **options
        Of `RelevanceFitOptions`.

    Raises
    ------
    SptError
        If something can't be read or used, or the signal can't be predicted.
    KeyboardInterrupt
        After an interruption; the fit can be resumed.
    """
    from spt_explain.report.relevance_checks import checks_of_clips, checks_of_fit, in_words
    from spt_explain.xddpm.fit import fit
    from spt_explain.xddpm.model import RelevanceModel

    told = listener or RelevanceListener()
    names = [str(one) for one in ([movies] if isinstance(movies, str | Path) else movies)]
    folder = Path(output)
    asked = RelevanceFitOptions(**options)
    generator, resume = asked.generator, asked.resume
    plan, source = find_recipe(asked.recipe)
    plan = _changed(plan, minutes=asked.minutes, seed=asked.seed)
    where = pick_device(asked.device)
    of_generator = _generator_recipe(asked.generator_recipe, asked.generator_minutes, plan.seed)
    resumed = _may_fit(folder, names, resume=resume, overwrite=overwrite, generator=generator)
    only_generator = resumed and not (folder / CHECKPOINT).exists()
    if generator or only_generator:
        from spt_explain.xddpm.generator.network import insist_on_diffusers

        insist_on_diffusers()
    settings: dict[str, Any] = {name: getattr(asked, name) for name in ClipOptions.model_fields} | {
        "per": _asked(plan, "per", asked.per),
        "kind": _asked(plan, "kind", asked.kind),
    }
    examples = _gathered(names, signal, settings, plan.seed, told)
    plan, examples = _turned(plan, examples, signal, names)
    told.gathered(examples)
    if only_generator:
        model = RelevanceModel.load(folder, device=where)
        if model.cutting != examples.layout:
            raise SptError(
                "clips are cut otherwise here than those that the model was fitted to: give the "
                f"options of that fit ({option('tile')}, {option('frames')}, {option('stride')}, "
                f"{option('bin')}, {option('channel')}, {option('z')}).",
                option="tile",
            )
        _fit_generator(model, examples, folder, where, of_generator, True, told)
        return RelevanceFit(model, folder, [], list(examples.notes), read_sidecar(folder))
    plan = plan.model_copy(
        update={"data": plan.data.model_copy(update={"per": examples.per, "kind": examples.kind})}
    )
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    if not resumed:
        for left in (CHECKPOINT, GENERATOR_CHECKPOINT):  # the latter is of a mask that was before
            (folder / left).unlink(missing_ok=True)
    told.started(plan, source, where, resumed)
    started = time.monotonic()
    try:
        fitted = fit(
            examples.clips, examples.values, examples.groups, plan, names=tuple(examples.names),
            device=where, checkpoint=checkpoint, resume=resumed, report=told.fitting,
        )  # fmt: skip
    except SptError as error:
        # A fit that failed by itself would fail again; one that can't be gone on with is kept.
        if not resumed or error.exit_code == 1:
            checkpoint.unlink(missing_ok=True)
            if made or not any(folder.iterdir()):
                folder.rmdir()
        raise
    assert fitted is not None
    assert fitted.fitted is not None
    model = fitted
    model.layout = examples.layout
    told.stage("checking")
    out = np.isin(np.asarray(examples.groups, dtype=str), fitted.fitted.held_out)
    held = np.flatnonzero(out)
    checks = checks_of_fit(fitted.fitted, kind=model.signal.kind)
    checks += checks_of_clips(
        model, examples.clips[held], np.asarray(examples.values)[held],
        [examples.groups[i] for i in held], seed=plan.seed, ask_r2=False, probe_steps=PROBE_STEPS,
    )  # fmt: skip
    notes = [str(note) for note in examples.notes]
    document = made_by(
        {
            "movies": list(examples.sources),
            "cwd": printable(str(Path.cwd())),
            "held_out_by": examples.held_out_by,
            "signal": _source(signal, names),
            "signal_names": list(model.signal.names),
            "settings": {**settings, "per": examples.per, "kind": examples.kind},
            "layout": examples.layout.to_dict(),
            "clips": {
                "in_all": len(examples.clips), "held_out": len(held),
                "shape": list(examples.clips.shape[1:]),
                "movies_or_fields": len(set(map(str, examples.groups))),
                "held_out_names": list(fitted.fitted.held_out),
            },
            "recipe_source": printable(source),
            "recipe": plan.model_dump(mode="json"),
            "device": where,
            "seconds": round(time.monotonic() - started, 1),
            "found": _found(model),
            "checks": [check.to_dict() for check in checks],
            "notes": notes,
            "torch": torch_version(),
        },
        command=command,
    )  # fmt: skip
    told.stage("writing")
    if generator:
        (folder / GENERATOR_CARD).unlink(missing_ok=True)
    model.save(folder, overwrite=overwrite or resumed)
    write_text(folder / "checks.txt", "\n".join(in_words(checks)) + "\n")
    write_json(folder / "checks.json", [check.to_dict() for check in checks])
    write_json(folder / SIDECAR, document)
    _draw_sufficiency(folder, model)
    checkpoint.unlink(missing_ok=True)
    if generator:
        _fit_generator(model, examples, folder, where, of_generator, resume, told)
    return RelevanceFit(model, folder, checks, notes, document)


def _changed(plan: RelevanceRecipe, *, minutes: float | None, seed: int | None) -> RelevanceRecipe:
    """Return a recipe with the numbers that options give; minutes replace numbers of steps."""
    if minutes is not None:
        timed = {"minutes": minutes, "regressor_steps": None, "mask_steps": None}
        plan = plan.model_copy(update={"schedule": plan.schedule.model_copy(update=timed)})
    if seed is not None:
        plan = plan.model_copy(update={"seed": seed})
    return plan


def _turned(
    plan: RelevanceRecipe, examples: Examples, signal: str | Path, movies: Sequence[str]
) -> tuple[RelevanceRecipe, Examples]:
    """Let clips be turned where nothing else is said and the signal is measured from the movie.

    An area, an outline, an intensity, a number of spots and a diffusion coefficient stay the same.
    """
    from spt_explain.xddpm.signal_source import signal_source

    own = plan.regressor
    measured = signal_source(signal, movies).measured
    if measured is None or "flips" in own.model_fields_set:
        return plan, examples
    plan = plan.model_copy(update={"regressor": own.model_copy(update={"flips": True})})
    note = f"Clips are turned and mirrored, as {measured} stays the same (recipe: flips)."
    return plan, replace(examples, notes=(*examples.notes, note))


def _asked(plan: RelevanceRecipe, name: str, given: str) -> str:
    """Return what the option says, else what the recipe's file says, else auto."""
    if given == "auto" and name in plan.data.model_fields_set:
        return str(getattr(plan.data, name))
    return given


def _may_fit(
    folder: Path, inputs: Sequence[str], *, resume: bool, overwrite: bool, generator: bool
) -> bool:
    """Check where the model goes, before any work; return whether there is a fit to go on with."""
    finished, begun = (folder / CARD).exists(), (folder / CHECKPOINT).exists()
    lacking = generator and not (folder / GENERATOR_CARD).exists()
    if resume and finished and not begun:
        if lacking or (folder / GENERATOR_CHECKPOINT).exists():
            return True
        if generator:
            raise SptError(
                f"{folder} holds a finished model and its generator: there is nothing to go on "
                "with.",
                code="conflict",
            )
    if finished and not overwrite:
        raise SptError(
            f"{folder} holds a model already. Add {option('overwrite', True)}, or name another "
            f"folder with {option('output')}.",
            code="exists",
            option="overwrite",
        )
    if begun and not finished and not (resume or overwrite):
        raise SptError(
            f"{folder} holds an unfinished fit. Go on with it by {option('resume', True)}, or "
            f"start anew with {option('overwrite', True)}.",
            code="exists",
            option="resume",
        )
    ours = [Path(one) for one in inputs if Path(one).exists()]
    refuse_folder(
        folder, ours, overwrite=overwrite or resume, ours=lambda n: bool(_FILES.fullmatch(n))
    )
    return resume and begun


def _gathered(
    names: Sequence[str],
    signal: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    told: RelevanceListener,
) -> Examples:
    from spt_explain.xddpm.examples import gather

    return gather(names, signal, **settings, seed=seed, progress=told.gathering)


def _source(signal: str | Path, movies: Sequence[str]) -> dict[str, Any]:
    """Return where a signal comes from, so that it is found again from another folder."""
    from spt_explain.xddpm.signal_source import signal_source

    found = signal_source(signal, movies)
    if found.measured is not None:
        return {"measured": found.measured}
    assert found.path is not None
    return {"table": printable(str(found.path.absolute())), "columns": list(found.columns)}


def _found(model: RelevanceModel) -> dict[str, Any]:
    fitted = model.fitted
    assert fitted is not None
    return {
        "r2": fitted.r2, "shuffled_r2": fitted.shuffled_r2, "train_r2": fitted.train_r2,
        "mean_mask": fitted.mean_mask, "regressor_steps": fitted.regressor_steps,
        "seconds": round(fitted.seconds, 1),
        "sufficient_share": fitted.curve.share, "threshold": fitted.curve.threshold,
        "encoding_excess": fitted.curve.excess,
    }  # fmt: skip


def _draw_sufficiency(folder: Path, model: RelevanceModel) -> None:
    from spt_explain.report.relevance_figures import sufficiency_figure
    from spt_explain.report.style import house_style, save_figure

    assert model.fitted is not None
    score = "R²" if model.signal.kind == "number" else "McFadden's R²"
    with house_style():
        figure = sufficiency_figure(model.fitted.curve, score=score)
        save_figure(figure, folder, "sufficiency", ("png",))


def _fit_generator(
    model: RelevanceModel,
    examples: Examples,
    folder: Path,
    device: str,
    recipe: GeneratorRecipe,
    resume: bool,
    told: RelevanceListener,
) -> None:
    from spt_explain.xddpm.generator.fit import fit_generator, notes_on

    checkpoint = folder / GENERATOR_CHECKPOINT
    if not resume:
        checkpoint.unlink(missing_ok=True)
    told.stage("fitting the generator")
    for note in notes_on(len(examples.clips), device):
        told.stage(note)
    made = fit_generator(
        model, examples.clips, recipe.for_device(device), device=device, groups=examples.groups,
        checkpoint=checkpoint, resume=resume, report=told.generating,
    )  # fmt: skip
    assert made is not None
    made.save(folder, overwrite=True)
    checkpoint.unlink(missing_ok=True)


def _generator_recipe(
    recipe: str | Path | GeneratorRecipe | None, minutes: float | None, seed: int
) -> GeneratorRecipe:
    from spt_explain.xddpm.generator.recipe import GeneratorRecipe

    plan = GeneratorRecipe(seed=seed) if recipe is None else find_generator_recipe(recipe)
    if minutes is None:
        return plan
    return plan.model_copy(update={"minutes": minutes, "steps": None})
