"""What is given to fits and explanations of tracks: tables, models, recipes, a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.resources import shipped

if TYPE_CHECKING:
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

RECIPES = "track-relevance"
"""Folder of those that ship."""


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


def find_recipe(recipe: TrackRelevanceRecipe | str | Path | None) -> TrackRelevanceRecipe:
    """Return a recipe by the name of a shipped one, or from a file; by default as they ship.

    Raises
    ------
    SptError
        If there is none of that name, or it can't be used.
    """
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

    if isinstance(recipe, TrackRelevanceRecipe):
        return recipe
    if recipe is None or (str(recipe) == "default" and not Path(recipe).is_file()):
        return TrackRelevanceRecipe()  # the shipped file shows the same numbers
    folder = shipped("recipes") / RECIPES
    own = Path(recipe)
    names = sorted(path.stem for path in folder.glob("*.toml"))
    if str(recipe) in names:
        return TrackRelevanceRecipe.load(folder / f"{recipe}.toml")
    if own.is_dir():
        raise SptError(f"--recipe {own} is a folder; expected a recipe (TOML).")
    if own.is_file():
        return TrackRelevanceRecipe.load(own)
    raise SptError(
        f"no recipe for tracks is called {str(recipe)!r}, and there is no such file; recipes that "
        f"ship: {', '.join(names)}."
    )


def pick_device(wanted: str) -> str:
    """Return the torch device that networks run on.

    Raises
    ------
    SptError
        If it can't be used.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SptError(
            "--device cuda: this machine has no GPU that can be used; expected one. Give "
            "--device cpu."
        )
    return wanted
