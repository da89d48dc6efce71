"""Recipes: numbers that a user may change, read strictly from TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from spt_explain.errors import SptError, option
from spt_explain.resources import shipped


class Strict(BaseModel):
    """Values whose names are all known and whose numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RecipeFile(Strict):
    """Numbers of one run; an unknown key in the file is an error."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a recipe from a TOML file.

        Raises
        ------
        SptError
            If the file is missing, not TOML, or holds unknown keys or values out of range.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError as error:
            raise SptError(
                f"{path} was not found: expected a recipe (TOML).", code="not-found"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SptError(f"{path} is not valid TOML: {error}.", code="unreadable") from error
        return cls.of(values, str(path))

    @classmethod
    def of(cls, values: object, source: str) -> Self:
        """Check values that came from `source`.

        Raises
        ------
        SptError
            If there are unknown keys or values out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SptError(f"{source}: {first_fault(error)}.") from error


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong, behind the name of its key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return (f"{key}: " if key else "") + first["msg"].removeprefix("Value error, ")


def recipe_names(folder: str = "") -> list[str]:
    """Return the names of the recipes that ship, in a folder of them, then those below it.

    Parameters
    ----------
    folder : str, optional
        Of a kind of recipe; by default those of `retrain`, which are in none.
    """
    home = shipped("recipes") / folder
    found = home.rglob("*.toml") if folder else home.glob("*.toml")
    names = (path.relative_to(home).with_suffix("").as_posix() for path in found)
    return sorted(names, key=lambda name: ("/" in name, name))


def find_recipe_file(recipe: str | Path, folder: str = "", what: str = "recipe") -> Path:
    """Return the file of a recipe that ships, or of a lab's own.

    Parameters
    ----------
    recipe : str or pathlib.Path
        Its name, or a file.
    folder : str, optional
        As in `recipe_names`.
    what : str, optional
        As an error calls it: "recipe of a generator".

    Raises
    ------
    SptError
        If there is neither.
    """
    text, names = str(recipe), recipe_names(folder)
    own = Path(text)
    if text in names:
        return shipped("recipes") / folder / f"{text}.toml"
    if own.is_dir():
        raise SptError(
            f"{option('recipe', text)} is a folder; expected a recipe (TOML).", option="recipe"
        )
    if own.is_file():
        return own
    if own.suffix:
        raise SptError(
            f"{text} was not found: expected a recipe (TOML), or one of the recipes that ship: "
            f"{', '.join(names)}.",
            code="not-found",
        )
    raise SptError(
        f"no {what} is called {text!r}, and there is no such file; recipes that ship: "
        f"{', '.join(names)}.",
        code="not-found",
    )
