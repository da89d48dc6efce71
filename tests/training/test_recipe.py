import pytest

from spt_explain.errors import SptError
from spt_explain.resandi.weights import find_weights
from spt_explain.resources import shipped
from spt_explain.training.recipe import Recipe


def test_shipped_recipes_are_what_the_shipped_weights_were_made_with():
    for file in ("default.toml", "published-inputs.toml"):
        recipe = Recipe.load(shipped("recipes") / file)
        card = find_weights(recipe.name).card
        assert card["recipe"] == {"file": file, **recipe.model_dump()}
        assert card["seed"] == recipe.seed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "a"\nnoize_max = 1.0', "noize_max"),
        ('name = "a"\nbatch_size = 0', "batch_size"),
        ('name = "a"\ninputs = "pictures"', "inputs"),
        ("noise_max = 1.0", "name"),
        ("name = ", "not valid TOML"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path, text, words):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(SptError, match=words):
        Recipe.load(path)


def test_a_missing_recipe(tmp_path):
    with pytest.raises(SptError, match="was not found"):
        Recipe.load(tmp_path / "none.toml")
