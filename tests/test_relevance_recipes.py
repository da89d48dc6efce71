import importlib.util
from pathlib import Path

import pytest

from spt_explain.report.relevance_files import find_generator_recipe
from spt_explain.resources import shipped
from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.recipe import RelevanceRecipe

FOLDER = shipped("recipes") / "relevance"
ABLATIONS = sorted((FOLDER / "ablations").glob("*.toml"))
DEFAULT = RelevanceRecipe().model_dump()


def _changed(recipe):
    return {
        (part, key)
        for part in ("data", "regressor", "mask", "schedule")
        for key, value in recipe.model_dump()[part].items()
        if value != DEFAULT[part][key]
    }


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_changes_one_thing(path):
    recipe = RelevanceRecipe.load(path)
    assert recipe.name == path.stem
    assert len({part for part, _ in _changed(recipe)}) <= 1
    assert ("schedule", "minutes") not in _changed(recipe)


def test_the_papers_four_are_there():
    assert {"minus-M", "minus-I1", "minus-I2", "minus-VIB"} <= {path.stem for path in ABLATIONS}
    both = _changed(RelevanceRecipe.load(FOLDER / "ablations" / "minus-VIB.toml"))
    one = _changed(RelevanceRecipe.load(FOLDER / "ablations" / "minus-I1.toml"))
    two = _changed(RelevanceRecipe.load(FOLDER / "ablations" / "minus-I2.toml"))
    assert both == one | two


@pytest.mark.parametrize("name", ["table-1", "yardstick"])
def test_others_can_be_read(name):
    assert RelevanceRecipe.load(FOLDER / f"{name}.toml").name == name


def _written():
    """Return what tools/write_recipes.py writes."""
    path = Path(__file__).parents[1] / "tools" / "write_recipes.py"
    spec = importlib.util.spec_from_file_location("write_recipes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.shipped()


def test_the_shipped_recipes_name_every_number_with_its_default():
    written = _written()
    assert len(written) == 3
    for path, expected in written.items():
        assert path.read_text(encoding="utf-8") == expected, "run tools/write_recipes.py"
    (text,) = (t for path, t in written.items() if path.parent.name == "relevance-generator")
    for key in GeneratorRecipe.model_fields:
        assert f"\n{key} = " in text or f"\n# {key} = (nothing)" in text


def test_the_default_recipe_is_that_of_none():
    assert find_generator_recipe("default") == find_generator_recipe(None) == GeneratorRecipe()
