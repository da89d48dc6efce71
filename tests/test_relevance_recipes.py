import pytest

from spt_explain.errors import SptError
from spt_explain.report.relevance_files import find_generator_recipe, find_recipe
from spt_explain.report.relevance_recipe import OF_GENERATOR, recipe_text
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


def test_the_generators_recipe_names_every_number_with_its_default():
    path = FOLDER.parent / "relevance-generator" / "default.toml"
    expected = recipe_text(GeneratorRecipe(), OF_GENERATOR)
    assert path.read_text(encoding="utf-8") == expected, "write it anew with recipe_text"
    assert find_generator_recipe("default") == find_generator_recipe(None) == GeneratorRecipe()
    for key in GeneratorRecipe.model_fields:
        assert f"\n{key} = " in expected or f"\n# {key} = (nothing)" in expected


def test_recipes_of_models_and_of_generators_are_not_mixed_up():
    for path in (FOLDER / "default.toml", FOLDER / "ablations" / "minus-M.toml"):
        with pytest.raises(SptError, match="recipe of a relevance model") as said:
            find_generator_recipe(path)
        assert len(str(said.value).splitlines()) == 1
    for name in ("generator", "relevance-generator/default", "../relevance-generator/default"):
        with pytest.raises(SptError, match="no recipe of a relevance model is called"):
            find_recipe(name)
    with pytest.raises(SptError):
        find_recipe(FOLDER.parent / "relevance-generator" / "default.toml")
