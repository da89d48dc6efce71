import pytest

from spt_explain.resources import shipped
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
