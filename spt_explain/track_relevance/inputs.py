"""What is given to fits and explanations of tracks: tables, models, recipes, a device."""

from __future__ import annotations

from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, command, option
from spt_explain.report.relevance_files import CARD as MOVIE_CARD
from spt_explain.report.relevance_files import TRACK_CARD, shipped_models
from spt_explain.training.processes import pick_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.xddpm.tracks.model import TrackRelevanceModel
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

RECIPES = "track-relevance"
"""Folder of those that ship."""
TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".xml", ".npz", ".mdf")
"""Endings of tables of tracks, which no movie has."""


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


def find_tables(names: Sequence[str]) -> list[str] | None:
    """Return the tables of tracks among files, folders and globs; None where these are movies.

    A folder or glob in which there is a movie is one of movies: tables beside them hold signals.

    Raises
    ------
    SptError
        If a file that is called as a table is called is not there.
    """
    from spt_explain.movies.sequence import find_movies
    from spt_explain.readers.folders import find_inputs

    tables: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_file() or (path.suffix.lower() in TABLES and not has_magic(name)):
            if not path.exists():
                find_inputs([name])  # says what is there instead
            if path.suffix.lower() not in TABLES and not looks_like_tracks(path):
                return None
            if path.suffix.lower() in TABLES and _is_stack(path):
                return None
            tables.append(name)
            continue
        try:
            find_movies([name])
        except SptError:
            pass
        else:
            return None
        try:
            found = [one.name for one in find_inputs([name]) if looks_like_tracks(one.name)]
        except SptError:
            return None
        if not found:
            return None
        tables += found
    return list(dict.fromkeys(tables))


def _is_stack(path: Path) -> bool:
    from spt_explain.movies import is_stack
    from spt_explain.readers.inputs import Input

    try:
        return is_stack(Input.of(path).head)
    except SptError:
        return False


def split_signal(text: str) -> tuple[str, Path | None]:
    """Return the column of a signal, "" for the only one, and the table it is in.

    Parameters
    ----------
    text : str
        A column of the tracks' own table, FILE, or FILE:COLUMN.

    Raises
    ------
    SptError
        If it is empty, or a file that is not there.
    """
    before, _, after = text.rpartition(":")
    if not text.strip():
        raise SptError(
            "no signal was named: expected a column of the tracks' table, such as class or alpha, "
            f"or another table ({option('signal', 'FILE')}).",
            code="not-found",
            option="signal",
        )
    if Path(text).is_file():
        return "", Path(text)
    if before and after.strip() and Path(before).is_file():
        return after.strip(), Path(before)
    if Path(text).suffix.lower() in TABLES:
        raise SptError(
            f"{text} was not found: expected a table with the signal of each track.",
            code="not-found",
        )
    return text, None


def load_model(model: str | Path, device: str = "auto") -> TrackRelevanceModel:
    """Read a model of tracks.

    Raises
    ------
    SptError
        If there is none, it is one of movies, or is damaged.
    """
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

    folder = Path(model)
    of_movies = (folder / MOVIE_CARD).is_file() or str(model) in shipped_models()
    if not is_track_model(folder) and of_movies:
        raise SptError(
            f"{folder} holds a model that was fitted to movies, and tracks were given. Give a "
            "movie, or fit a model to tracks: "
            f"{command('relevance fit', 'TRACKS', signal='class')}.",
            code="wrong-kind",
        )
    return TrackRelevanceModel.load(folder, device=pick_device(device))


def is_track_model(folder: str | Path) -> bool:
    """Return whether a folder holds a model that was fitted to tracks."""
    return (Path(folder) / TRACK_CARD).is_file()


def find_recipe(recipe: TrackRelevanceRecipe | str | Path | None) -> TrackRelevanceRecipe:
    """Return a recipe by the name of a shipped one, or from a file; by default as they ship.

    Raises
    ------
    SptError
        If there is none of that name, or it can't be used.
    """
    from spt_explain.recipe_file import find_recipe_file
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

    if isinstance(recipe, TrackRelevanceRecipe):
        return recipe
    if recipe is None or str(recipe) == "default":
        return TrackRelevanceRecipe()  # the shipped file shows the same numbers
    return TrackRelevanceRecipe.load(find_recipe_file(recipe, RECIPES, "recipe for tracks"))
