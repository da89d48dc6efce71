"""Samples that hold only what carries the signal (``spt-explain relevance generate``)."""

from __future__ import annotations

import json
import math
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
    GENERATOR_CARD,
    GENERATOR_CHECKPOINT,
    find_generator_recipe,
    model_folder,
    read_sidecar,
    torch_version,
)
from spt_explain.training.processes import pick_device
from spt_explain.xddpm.options import GENERATOR_CLIPS, RelevanceGenerateOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spt_explain.report.relevance_maps import MapUnits
    from spt_explain.xddpm.generator.generator import Generator, Samples
    from spt_explain.xddpm.generator.recipe import GeneratorRecipe
    from spt_explain.xddpm.generator.run import GeneratorProgress
    from spt_explain.xddpm.model import RelevanceModel
    from spt_explain.xddpm.options import Sampler

SIDECAR = "generate.json"
_FURTHER_OPEN = 0.1
"""Mean M of samples above that of movies: the generator's fault, not the mask's."""
_FILES = re.compile(r"(?:sample|mask)-\d{4}\.tif|generate\.json|samples\.png")


class GenerationListener:
    """What a caller may want to hear; every method does nothing by default."""

    def gathering(self, what: str, done: int, total: int) -> None:
        """Report movies that were opened, and frames that were read."""

    def started(self, recipe: GeneratorRecipe, clips: int, device: str, resumed: bool) -> None:
        """Report how a generator will be fitted, on what."""

    def fitting(self, progress: GeneratorProgress) -> None:
        """Report how far the fit has come."""

    def note(self, text: str) -> None:
        """Report what a user should know."""

    def sampling(self, done: int, total: int) -> None:
        """Report steps of the sampler, over all batches."""


@dataclass
class Generated:
    """Samples and where they are.

    Attributes
    ----------
    samples : Samples
    folder : pathlib.Path
    files : list of pathlib.Path
    notes : list of str
    document : dict
        All of it, as in ``generate.json``.
    """

    samples: Samples = field(repr=False)
    folder: Path
    files: list[Path] = field(repr=False)
    notes: list[str]
    document: dict[str, Any] = field(repr=False)


@takes(RelevanceGenerateOptions)
def generate_relevance(
    model: str | Path = "model",
    output: str | Path = "samples",
    *,
    movies: str | Path | Sequence[str | Path] = (),
    overwrite: bool = False,
    command: Sequence[str] = (),
    listener: GenerationListener | None = None,
    **options: Any,
) -> Generated:
    """Draw samples from a model's generator and write them as TIFF, with their predicted masks.

    In a sample W, pixels that carry the signal look like those of movies; all others are noise.

    Parameters
    ----------
    model : str or pathlib.Path
        Folder of a model that ``relevance fit`` wrote.
    output : str or pathlib.Path
        Folder of the samples; it appears whole or not at all.
    movies : optional
        Files, folders or patterns: a generator is fitted to them first and kept beside the model.
    overwrite : bool
        Replace the samples in `output`, and with `movies` the generator.
    command : sequence of str
        The command line, for the provenance.
    listener : GenerationListener, optional
    **options
        Of `RelevanceGenerateOptions`.

    Returns
    -------
    Generated

    Raises
    ------
    SptError
        If something can't be read or used, or there is no generator.
    KeyboardInterrupt
        After an interruption; a fit can be resumed.
    """
    from spt_explain.xddpm.generator.generator import Generator
    from spt_explain.xddpm.generator.network import insist_on_diffusers
    from spt_explain.xddpm.generator.quality import noise_quality
    from spt_explain.xddpm.model import RelevanceModel

    told = listener or GenerationListener()
    asked = RelevanceGenerateOptions(**options)
    _check_movies(asked, bool(movies))
    resume = asked.resume
    folder, home = Path(output), model_folder(Path(model), own=True)
    names = [str(one) for one in ([movies] if isinstance(movies, str | Path) else movies)]
    refuse_folder(folder, [home], overwrite=overwrite, ours=lambda s: bool(_FILES.fullmatch(s)))
    insist_on_diffusers()
    where = pick_device(asked.device)
    relevance = RelevanceModel.load(home, device=where)
    done = (
        resume and (home / GENERATOR_CARD).exists() and not (home / GENERATOR_CHECKPOINT).exists()
    )
    if names and not done:
        plan = _plan(asked.recipe, asked.minutes)
        generator = _fitted(
            relevance, home, names, plan, where, asked.most_clips, resume, overwrite, told
        )
    else:
        if done:
            told.note("The generator's fit was finished: it is sampled as it is.")
        generator = Generator.load(home, device=where)
        _insist_same(generator, relevance, home)
    chosen, taken = generator.checked(asked.sampler, asked.steps)
    notes = _notes(generator, chosen, taken)
    for note in notes:
        told.note(note)
    started = time.monotonic()
    samples = generator.generate(
        asked.n,
        seed=asked.seed,
        steps=taken,
        sampler=chosen,
        batch=asked.batch_size,
        progress=told.sampling,
    )
    seconds = time.monotonic() - started
    noise = noise_quality(samples.standard, samples.masks)
    if not noise.share and generator.objective != "plain":
        notes.append(_all_relevant(samples.masks, relevance))
        told.note(notes[-1])
    trained = generator.trained
    document = made_by(
        {
            "model": printable(str(home.absolute())),
            "generator": {
                "name": generator.name,
                "objective": generator.objective,
                "schedule": generator.schedule,
                "timesteps": generator.timesteps,
                "steps": None if trained is None else trained.steps,
                "seconds": None if trained is None else trained.seconds,
                "held_out_loss": None if trained is None else trained.loss,
                "recipe": None if trained is None else trained.recipe,
            },
            "n": asked.n, "sampler": chosen, "steps": taken, "seed": asked.seed,
            "shape": list(samples.w.shape[1:]),
            "scale": {
                "pixels_of_noise": "mean and standard deviation of irrelevant pixels, in the "
                "units of the movies' pixels",
                "mean": generator.range.middle, "std": generator.range.half,
            },
            "irrelevant_pixels": {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in vars(noise).items()
            },
            "device": where, "seconds": round(seconds, 1), "notes": notes,
            "torch": torch_version(),
        },
        command=command,
    )  # fmt: skip
    files = _write(folder, samples, document, _units(home, relevance), plot=asked.plot)
    return Generated(samples, folder, files, notes, document)


def _check_movies(asked: RelevanceGenerateOptions, with_movies: bool) -> None:
    """Refuse options of the generator's fit where there are no movies to fit it to."""
    given = [
        name
        for name, there in (
            (option("recipe"), asked.recipe is not None),
            (option("minutes"), asked.minutes is not None),
            (option("resume", True), asked.resume),
        )
        if there
    ]
    if given and not with_movies:
        raise SptError(
            f"{given[0]} is for the fit of a generator; give {option('movies')} too.",
            code="conflict",
            option="movies",
        )


def _plan(recipe: str | Path | GeneratorRecipe | None, minutes: float | None) -> GeneratorRecipe:
    plan = find_generator_recipe(recipe)
    if minutes is None:
        return plan
    return plan.model_copy(update={"minutes": minutes, "steps": None})


def _fitted(
    relevance: RelevanceModel,
    home: Path,
    names: Sequence[str],
    plan: GeneratorRecipe,
    device: str,
    most_clips: int,
    resume: bool,
    overwrite: bool,
    told: GenerationListener,
) -> Generator:
    """Fit a generator to movies and keep it in the model's folder."""
    from spt_explain.xddpm.generator.fit import fit_generator, notes_on

    checkpoint = home / GENERATOR_CHECKPOINT
    if (home / GENERATOR_CARD).exists() and not (overwrite or resume):
        raise SptError(
            f"{home} holds a generator already. Leave {option('movies')} out to sample it, or add "
            f"{option('overwrite', True)} to fit it anew.",
            code="exists",
            option="movies",
        )
    if checkpoint.exists() and not (overwrite or resume):
        raise SptError(
            f"{home} holds an unfinished fit of a generator. Go on with it by "
            f"{option('resume', True)}, or start anew with {option('overwrite', True)}.",
            code="exists",
            option="resume",
        )
    if not resume:
        checkpoint.unlink(missing_ok=True)
    clips, groups = clips_of(relevance, names, most_clips=most_clips, listener=told)
    plan = plan.for_device(device)
    told.started(plan, len(clips), device, resume and checkpoint.exists())
    for note in notes_on(len(clips), device):
        told.note(note)
    made = fit_generator(
        relevance, clips, plan, device=device, groups=groups, checkpoint=checkpoint,
        resume=resume, report=told.fitting,
    )  # fmt: skip
    assert made is not None
    made.save(home, overwrite=True)
    checkpoint.unlink(missing_ok=True)
    return made


def clips_of(
    relevance: RelevanceModel,
    movies: Sequence[str],
    *,
    most_clips: int = GENERATOR_CLIPS,
    listener: GenerationListener | None = None,
) -> tuple[NDArray[np.float32], list[str]]:
    """Return clips of movies, cut as those were that a model was fitted on, and their movies.

    Raises
    ------
    SptError
        If there are no movies, or they are too short or too small.
    """
    from spt_explain.xddpm.clips import find_films, plan_places, read_clips

    told, layout = listener or GenerationListener(), relevance.cutting
    films, notes = find_films(
        movies,
        channel=layout.channel,
        z=layout.z,
        progress=lambda done, total: told.gathering("movies opened", done, total),
    )
    for note in notes:
        told.note(note)
    for film in films:
        found = layout.size_of(film.height, film.width)
        small = any(have < want for have, want in zip(found, relevance.size, strict=True))
        large = layout.tile is None and any(
            have > want for have, want in zip(found, relevance.size, strict=True)
        )
        if small or large:
            raise SptError(
                f"{printable(film.name)} has frames of {film.width} × {film.height} px; the model "
                f"was fitted to {'tiles' if layout.tile else 'whole frames'} of "
                f"{relevance.size[1] * layout.bin} × {relevance.size[0] * layout.bin} px. Give the "
                "movies that it was fitted to, or some like them."
            )
    places, layout, _ = plan_places(films, layout, stride=layout.stride, most=most_clips)
    if len(places) > most_clips:
        chosen = np.linspace(0, len(places) - 1, most_clips).round().astype(np.int64)
        places = places.take(np.unique(chosen))
    size = (relevance.size[0], relevance.size[1])
    clips = read_clips(
        films,
        places,
        layout,
        size,
        progress=lambda done, total: told.gathering("frames read", done, total),
    )
    return clips, [places.groups[i] for i in places.group]


def _insist_same(generator: Generator, relevance: RelevanceModel, home: Path) -> None:
    """Refuse a generator that was fitted beside another mask."""
    from spt_explain.xddpm.generator.run import digest_of

    shape = (relevance.frames, *relevance.size)
    if (generator.frames, *generator.size) != shape or (
        generator.trained is not None and generator.trained.model != digest_of(relevance)
    ):
        raise SptError(
            f"the generator in {home} belongs to another model: the model was fitted anew since. "
            f"Fit the generator again: {option('movies', 'MOVIES')} {option('overwrite', True)}.",
            code="conflict",
            option="movies",
        )


def _notes(generator: Generator, sampler: Sampler, steps: int) -> list[str]:
    from spt_explain.xddpm.generator.sampler import default_sampler, expected_std

    notes = []
    if sampler in ("paper", "clip"):
        spread = expected_std(
            sampler, generator.objective, generator.schedule, generator.timesteps, steps
        )
        what = (
            "Eq. 11 as printed" if sampler == "paper" else "Eq. 11 with its estimate of x₀ clipped"
        )
        notes.append(
            f"{option('sampler', sampler)} ({what}): irrelevant pixels end with a standard "
            f"deviation of about {spread:.3g}, not 1. For samples take "
            f"{default_sampler(generator.objective)}."
        )
    if generator.objective == "plain":
        notes.append("This generator was fitted without a mask: all pixels count as relevant.")
    return notes


def _all_relevant(masks: NDArray[np.float32], relevance: RelevanceModel) -> str:
    """Say that no pixel of samples is irrelevant, and what mends it."""
    from spt_explain.xddpm.generator.quality import IRRELEVANT

    said = (
        f"No pixel of the samples is irrelevant (M of at most {IRRELEVANT:g}; the median is "
        f"{float(np.median(masks)):.2f})"
    )
    fitted = relevance.fitted
    if fitted is not None and masks.mean() > fitted.mean_mask + _FURTHER_OPEN:
        return (
            f"{said}; their mean M is {float(masks.mean()):.2f}, that of movies "
            f"{fitted.mean_mask:.2f}: the generator has learnt too little. Train it for more "
            "minutes."
        )
    return (
        f"{said}: the mask is open everywhere. Fit the model for longer, or with a higher "
        "mask.price."
    )


def _units(home: Path, relevance: RelevanceModel) -> MapUnits:
    """Return pixel size and frame interval, where all movies of the fit had the same."""
    from spt_explain.report.relevance_maps import MapUnits

    movies = read_sidecar(home).get("movies")
    found: list[float | None] = []
    for name in ("pixel_size_um", "frame_interval_s"):
        values = {
            one.get(name) if isinstance(one, dict) else None
            for one in (movies if isinstance(movies, list) else [])
        }
        value = values.pop() if len(values) == 1 else None
        found.append(float(value) if isinstance(value, int | float) and value > 0 else None)
    pixel = None if found[0] is None else found[0] * relevance.cutting.bin
    return MapUnits(pixel, found[1], False, {})


def _write(
    folder: Path, samples: Samples, document: dict[str, Any], units: MapUnits, *, plot: bool
) -> list[Path]:
    from spt_explain.report.relevance_samples import samples_figure, write_samples

    with atomic_folder(folder, option="output") as part:
        write_samples(part, samples.w, samples.masks, units)
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
        (part / SIDECAR).write_bytes(text.encode())
        if plot:
            from spt_explain.report.style import house_style, save_figure

            with house_style():
                save_figure(samples_figure(samples.w, samples.masks), part, "samples", ("png",))
        names = sorted(path.name for path in part.iterdir())
    return [folder / name for name in names]
