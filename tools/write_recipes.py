"""Write the default recipes of relevance models, with what each number means.

python tools/write_recipes.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.recipe import RelevanceRecipe
from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

if TYPE_CHECKING:
    from spt_explain.recipe_file import RecipeFile

_WIDTH = 96
_BY_SIGNAL = {
    ("data", "per"): "as the signal comes",
    ("data", "kind"): "as the signal comes",
    ("regressor", "flips"): "true where the signal is measured from the movie",
}
"""What depends on the signal where a recipe does not say it, and how."""
CHANGE = "Change a copy and give it with --recipe FILE"
LEFT_OUT = "what is left out stays as it is here."
HEADS = {
    "relevance": f"""\
Every number of a fit with its default: spt-explain relevance fit MOVIES --signal FILE
{CHANGE}; {LEFT_OUT}
""",
    "relevance-generator": f"""\
Every number of a generator's fit with its default: spt-explain relevance generate --movies MOVIES
{CHANGE}, or to relevance fit --generator with
--generator-recipe FILE; {LEFT_OUT}
""",
    "track-relevance": f"""\
Every number of a fit to tracks with its default: spt-explain relevance fit TRACKS --signal class
{CHANGE}; {LEFT_OUT}
""",
}
"""What each shipped recipe begins with, by its folder."""


def shipped() -> dict[Path, str]:
    """Return the text of each default recipe, by its path."""
    recipes: dict[str, RecipeFile] = {
        "relevance": RelevanceRecipe(),
        "relevance-generator": GeneratorRecipe(),
        "track-relevance": TrackRelevanceRecipe(),
    }
    root = Path(__file__).parents[1] / "recipes"
    return {
        root / kind / "default.toml": recipe_text(recipe, HEADS[kind])
        for kind, recipe in recipes.items()
    }


def recipe_text(recipe: RecipeFile, head: str) -> str:
    """Return a recipe as TOML with a comment on each number.

    Numbers that are nothing (TOML has no word for it) are comments themselves.

    Parameters
    ----------
    recipe : RecipeFile
    head : str
        What the file begins with.
    """
    lines = [f"# {line}".rstrip() for line in head.strip().splitlines()]
    sections = []
    for name, info in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, BaseModel):
            sections.append((name, value))
        else:
            lines += _entry(name, value, info.description)
    for name, section in sections:
        lines += ["", f"[{name}]"]
        for key, info in type(section).model_fields.items():
            left = None if key in section.model_fields_set else _BY_SIGNAL.get((name, key))
            lines += _entry(key, getattr(section, key), info.description, left=left)
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any, description: str | None, *, left: str | None = None) -> list[str]:
    lines = [f"# {line}" for line in textwrap.wrap(description or "", _WIDTH)]
    if value is None:
        return [*lines, f"# {name} = (nothing)"]
    if left is not None:
        return [*lines, f"# {name} = {_value(value)}  (left out: {left})"]
    return [*lines, f"{name} = {_value(value)}"]


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    for path, text in shipped().items():
        path.write_text(text, encoding="utf-8")
