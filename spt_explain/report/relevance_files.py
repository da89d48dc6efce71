"""Files around a relevance model: its recipe, its folder, how it was made, what a caller hears."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError, command, printable
from spt_explain.resources import shipped

if TYPE_CHECKING:
    from pathlib import Path

    from spt_explain.xddpm.examples import Examples
    from spt_explain.xddpm.generator.recipe import GeneratorRecipe
    from spt_explain.xddpm.generator.run import GeneratorProgress
    from spt_explain.xddpm.recipe import RelevanceRecipe
    from spt_explain.xddpm.state import RelevanceProgress

CARD, SIDECAR = "relevance.json", "fit.json"
TRACK_CARD, GENERATOR_CARD = "track-relevance.json", "generator.json"
GENERATOR_CHECKPOINT = "generator.checkpoint"
_MOST_BYTES = 64 * 2**20


class RelevanceListener:
    """What a caller may want to hear; every method does nothing by default."""

    def gathering(self, what: str, done: int, total: int) -> None:
        """Report movies that were opened and measured, and frames that were read."""

    def gathered(self, examples: Examples) -> None:
        """Report what there is to learn from, before the fit."""

    def started(self, recipe: RelevanceRecipe, source: str, device: str, resumed: bool) -> None:
        """Report how it will be fitted, on what."""

    def fitting(self, progress: RelevanceProgress) -> None:
        """Report how far the fit has come."""

    def generating(self, progress: GeneratorProgress) -> None:
        """Report how far the fit of the generator has come."""

    def stage(self, what: str) -> None:
        """Report what is done now."""

    def probing(self, done: int, total: int) -> None:
        """Report steps of the fit of a regressor that measures maps."""

    def looking(self, done: int, total: int) -> None:
        """Report frames of a movie that were looked at."""

    def drawing(self, done: int, total: int) -> None:
        """Report frames of the animation that were drawn."""


def find_recipe(recipe: str | Path | RelevanceRecipe | None) -> tuple[RelevanceRecipe, str]:
    """Return a recipe by the name of a shipped one, or from a file, and where it is from.

    Raises
    ------
    SptError
        If there is none of that name, or it can't be used.
    """
    from spt_explain.recipe_file import find_recipe_file
    from spt_explain.xddpm.recipe import RelevanceRecipe

    if isinstance(recipe, RelevanceRecipe):
        return recipe, "given"
    text = "default" if recipe is None else str(recipe)
    if text == "default":
        return RelevanceRecipe(), text  # the shipped file shows the same numbers
    path = find_recipe_file(text, "relevance", "recipe of a relevance model")
    return RelevanceRecipe.load(path), text


def find_generator_recipe(recipe: str | Path | GeneratorRecipe | None) -> GeneratorRecipe:
    """Return a generator's recipe by the name of a shipped one, or from a file.

    Raises
    ------
    SptError
        If there is none of that name, or it can't be used.
    """
    from spt_explain.recipe_file import find_recipe_file
    from spt_explain.xddpm.generator.recipe import GeneratorRecipe

    if recipe is None:
        return GeneratorRecipe()
    if isinstance(recipe, GeneratorRecipe):
        return recipe
    path = find_recipe_file(recipe, "relevance-generator", "recipe of a generator")
    return GeneratorRecipe.load(path)


def shipped_models() -> dict[str, Path]:
    """Return the folders of the models that ship, by name."""
    return {card.parent.name: card.parent for card in shipped("weights").glob(f"*/{CARD}")}


def model_folder(model: Path, *, own: bool = False) -> Path:
    """Return the folder of a model that was named by its folder or its card, or ships.

    Parameters
    ----------
    model : pathlib.Path
    own : bool
        Whether it is to be the caller's own, since something is added to it.

    Raises
    ------
    SptError
        If there is none.
    """
    folder = model.parent if model.name == CARD and model.is_file() else model
    ships = {} if own else shipped_models()
    if str(model) in ships and not (folder / CARD).is_file():
        return ships[str(model)]
    if not folder.exists():
        names = f", or the name of one that ships: {', '.join(sorted(ships))}" if ships else ""
        raise SptError(
            f"{model} was not found: expected the folder of a model that `spt-explain relevance "
            f"fit` wrote{names}.",
            code="not-found",
        )
    if not folder.is_dir():
        raise SptError(
            f"{model} is a file; expected the folder of a model that `spt-explain relevance fit` "
            "wrote.",
            code="wrong-kind",
        )
    if (folder / TRACK_CARD).is_file() and not (folder / CARD).is_file():
        raise SptError(
            f"{folder} holds a model that was fitted to tracks, and movies were given. Give "
            "tracks, or fit a model to movies: "
            f"{command('relevance fit', 'MOVIES', signal='FILE')}.",
            code="wrong-kind",
        )
    if not (folder / CARD).is_file():
        raise SptError(
            f"the folder {folder} holds no model ({CARD}): expected one that `spt-explain "
            "relevance fit` finished.",
            code="no-data",
        )
    return folder


def read_sidecar(folder: Path) -> dict[str, Any]:
    """Return what ``fit.json`` says of how a model was made; nothing where there is none."""
    path = folder / SIDECAR
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def write_text(path: Path, text: str) -> None:
    """Write a text atomically; see `atomic_file`."""
    with atomic_file(path, single_writer=True) as part:
        part.write_bytes(printable(text).encode())


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON, atomically; see `atomic_file`."""
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n")


def torch_version() -> str:
    """Return torch's version, for the provenance."""
    import torch

    return str(torch.__version__)
