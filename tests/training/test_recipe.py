import json

import pytest

from spt_explain.errors import SptError
from spt_explain.resandi.weights import find_weights, shipped_names
from spt_explain.resources import shipped
from spt_explain.training.recipe import ALPHA_LEVELS, Recipe

MADE_WITH = {
    "resandi-robust": "default.toml",
    "resandi-positions": "published-inputs.toml",
    "resandi-small": "small.toml",
}
PLAIN = 'name = "a"\n'


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_weights_were_made_with_a_shipped_recipe(name):
    recipe = Recipe.load(shipped("recipes") / MADE_WITH[name])
    card = find_weights(name).card
    assert find_weights(name).architecture == recipe.architecture
    if card["started_from"] != "scratch":
        pytest.skip("went on from earlier weights, as the card says")
    made = {k: v for k, v in card["recipe"].items() if k not in ("file", "source", "name")}
    assert Recipe(name=recipe.name, **made) == recipe
    assert card["seed"] == recipe.seed


def _recipes():
    return sorted(shipped("recipes").glob("*.toml"))


@pytest.mark.parametrize("path", _recipes(), ids=lambda p: p.stem)
def test_every_shipped_recipe_is_valid_and_comes_back_from_json(path):
    recipe = Recipe.load(path)
    again = Recipe(**json.loads(json.dumps(recipe.model_dump(mode="json"))))
    assert again == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_no_recipe_makes_weights_of_a_shipped_name():
    """They could not be installed."""
    names = {Recipe.load(path).name for path in _recipes()}
    assert names
    assert not names & set(shipped_names())


def test_the_default_is_what_the_project_ships(tmp_path):
    recipe = Recipe.load(shipped("recipes") / "default.toml")
    shape = recipe.architecture
    assert (shape.inputs, shape.width, shape.padding) == ("positions+displacements", 64, "masked")
    assert shape.lengths == (64, 128, 256, 512, 1024)
    assert shape.window == 1000
    assert shape.alpha_levels == ALPHA_LEVELS
    assert recipe.batch_size == sum(recipe.batch.values())
    plain = Recipe.load(shipped("recipes") / "published-inputs.toml").architecture
    assert (plain.inputs, plain.width, plain.padding) == ("positions", 64, "start")
    assert (plain.lengths, plain.outputs, plain.channels) == ((1000,), 8, 2)


def test_defaults_make_a_recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(PLAIN)
    recipe = Recipe.load(path)
    assert recipe == Recipe(name="a")
    assert recipe.architecture.channels == 5
    path.write_text(PLAIN + "[schedule]\nminutes = 2\n[batch]\n1024 = 8\n")
    changed = Recipe.load(path)
    assert changed.schedule.minutes == 2
    assert changed.batch == {1024: 8}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLAIN + "noize_max = 1.0", "noize_max"),
        (PLAIN + "[data]\nnoize_max = 1.0", "data.noize_max"),
        (PLAIN + "[network]\nwidht = 3", "network.widht"),
        (PLAIN + "[schedule]\nminutes = 0", "schedule.minutes"),
        (PLAIN + "[data]\nclean_share = 1.5", "data.clean_share"),
        (PLAIN + "[data]\ngap_max = 1.0", "data.gap_max"),
        (PLAIN + '[network]\ninputs = "pictures"', "network.inputs"),
        (PLAIN + '[network]\npadding = "end"', "network.padding"),
        (PLAIN + "[network]\nwidth = 0", "network.width"),
        (PLAIN + "[network]\nlengths = [128, 64, 1024]", "ascending"),
        (PLAIN + "[network]\nlengths = [64, 512]\n[batch]\n512 = 8", "at least 1000"),
        (PLAIN + "[batch]\n64 = 8", "1024"),
        (PLAIN + "[batch]\n1024 = 12", "multiples of 8"),
        (PLAIN + "[batch]\n1024 = 0", "multiples of 8"),
        (PLAIN + "[batch]\n8 = 8\n1024 = 8", "min_points"),
        (PLAIN + "[batch]\nlong = 8", "batch"),
        (PLAIN + "batch = {}", r"\[batch\]"),
        (
            PLAIN + '[network]\npadding = "start"\nlengths = [1000]\n[batch]\n64 = 8\n1000 = 8',
            "single length",
        ),
        (
            PLAIN + '[network]\npadding = "start"\nlengths = [64, 1024]\n[batch]\n64 = 8\n1024 = 8',
            "masked padding",
        ),
        ("[data]\nnoise_max = 1.0", "name"),
        ("name = ", "not valid TOML"),
        (PLAIN + "name = 'b'", "not valid TOML"),
    ],
)
def test_mistakes_in_a_recipe_are_one_line_that_names_them(tmp_path, text, words):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(SptError, match=words) as caught:
        Recipe.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    assert "pydantic" not in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00n", b"\x00\x01\x02", b'name = "\xe9"'])
def test_a_file_that_is_no_text_is_one_line(tmp_path, content):
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(SptError, match="not valid TOML") as caught:
        Recipe.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_recipe(tmp_path):
    with pytest.raises(SptError, match="was not found"):
        Recipe.load(tmp_path / "none.toml")
    with pytest.raises(SptError, match=str(tmp_path)):
        Recipe.load(tmp_path)  # a folder
