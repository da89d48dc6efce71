"""Recipes: numbers that a user may change, read strictly from TOML."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from pathlib import Path


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
            raise SptError(f"{path} was not found: expected a recipe (TOML).") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SptError(f"{path} is not valid TOML: {error}.") from error
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
