import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.recipe import RelevanceRecipe


def test_a_recipe_is_read_from_toml(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\nseed = 4\n[mask]\nbottleneck = "iba"\nprice = 0.2\n')
    recipe = RelevanceRecipe.load(path)
    assert (recipe.name, recipe.seed) == ("x", 4)
    assert (recipe.mask.bottleneck, recipe.mask.price) == ("iba", 0.2)
    assert RelevanceRecipe.of(recipe.model_dump(), "card") == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mask]\nprise = 1\n", "mask.prise"),
        ("[mask]\nkeep_r2 = 1.5\n", "mask.keep_r2"),
        ('[mask]\nbottleneck = "x"\n', "mask.bottleneck"),
        ("[schedule]\nminutes = 0\n", "schedule.minutes"),
        ("[schedule]\nminutes = nan\n", "schedule.minutes"),
        ("[mask]\nprice = inf\n", "mask.price"),
        ("seed = -1\n", "seed"),
        ("mask = 3\n", "mask"),
        ("[[", "not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(tmp_path, text, said):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(SptError, match=said) as error:
        RelevanceRecipe.load(path)
    assert "\n" not in str(error.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(SptError, match="not found"):
        RelevanceRecipe.load(tmp_path / "none.toml")
    (tmp_path / "junk.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SptError, match="not valid TOML"):
        RelevanceRecipe.load(tmp_path / "junk.toml")
