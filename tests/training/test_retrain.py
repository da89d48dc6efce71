import json
import signal

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.recipe_file import find_recipe_file, recipe_names
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.weights import find_weights
from spt_explain.training.recipe import Recipe
from spt_explain.training.retrain import Listener, retrain

TINY = """
name = "tiny"
[network]
width = 4
lengths = [64, 1024]
noise_edges = [0.05]
exposure_edges = [0.001]
[data]
pool_steps = 4
[schedule]
steps = 6
[batch]
64 = 16
1024 = 8
"""
FIXED = """
name = "tiny-fixed"
[network]
inputs = "positions"
padding = "start"
lengths = [1000]
alpha = false
width = 4
[fixed]
trajectories = 32
validation = 16
batch_size = 16
epochs = 1
[batch]
1000 = 8
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("spt_explain.training.retrain.CALIBRATION_TRACKS", {"cpu": 240})
    monkeypatch.setattr("spt_explain.training.retrain.TEST_TRACKS", 16)
    return tmp_path


@pytest.fixture
def recipe(home):
    path = home / "tiny.toml"
    path.write_text(TINY)
    return path


class _Interrupter(Listener):
    """Presses Ctrl-C after some steps."""

    def __init__(self, step):
        self.step = step

    def progress(self, progress):
        if progress.step >= self.step:
            signal.raise_signal(signal.SIGINT)


def _arrays(name):
    return find_weights(name).load()


def test_weights_are_installed_calibrated_tested_and_used(recipe, home):
    said = []

    class Said(Listener):
        def started(self, plan):
            said.append(plan.recipe.name)

        def stage(self, what):
            said.append(what)

    weights = retrain(recipe, name="mine", device="cpu", listener=Said())
    assert said == ["mine", "rounding", "calibrating", "testing"]
    card = find_weights("mine").card
    assert card["recipe"]["schedule"]["steps"] == 6
    assert card["trained"]["steps"] == 6
    assert card["trained"]["samples"] == 6 * 24
    assert set(card["accuracy"]["by_noise"]) == {"0.0", "0.5", "1.0"}
    assert len(card["condition_shares"]) == 4
    assert sum(card["condition_shares"]) == pytest.approx(1, abs=1e-3)
    assert card["calibration"]["temperature"]
    assert weights.sha256 == find_weights("mine").sha256
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(90, 2)).cumsum(0)
    found = Classifier("mine", device="cpu").predict(positions, np.array([0, 30, 90]))
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    assert (found.alpha[:, 0] <= found.alpha[:, 1]).all()
    assert found.recording is not None
    assert not list((home / "data" / "training").iterdir())


def test_an_interrupted_run_goes_on_to_the_same_result(recipe, monkeypatch):
    monkeypatch.setattr("spt_explain.training.retrain.REPORT_EVERY_S", 0.0)
    retrain(recipe, name="straight", device="cpu", seed=5)
    with pytest.raises(KeyboardInterrupt):
        retrain(recipe, name="broken", device="cpu", seed=5, listener=_Interrupter(3))
    with pytest.raises(SptError, match="was interrupted: give resume=True"):
        retrain(recipe, name="broken", device="cpu", seed=5)
    with pytest.raises(SptError, match=r"begun with another recipe.*seed"):
        retrain(recipe, name="broken", device="cpu", seed=6, resume=True)
    retrain(recipe, name="broken", device="cpu", seed=5, resume=True)
    straight, broken = _arrays("straight"), _arrays("broken")
    for key, value in straight.items():
        np.testing.assert_array_equal(value, broken[key], err_msg=key)


def test_a_run_begins_with_other_weights(recipe):
    retrain(recipe, name="first", device="cpu")
    retrain(recipe, name="second", start="first", device="cpu")
    assert find_weights("second").card["started_from"].startswith("first 1.0")
    with pytest.raises(SptError, match="another shape"):
        retrain(recipe, name="third", start="resandi-positions", device="cpu")
    with pytest.raises(SptError, match="no shipped weights have the shape"):
        retrain(recipe, name="third", start="shipped", device="cpu")


def test_a_fixed_data_set_is_trained_on(home):
    path = home / "fixed.toml"
    path.write_text(FIXED)
    retrain(path, device="cpu", augment="random")
    card = find_weights("tiny-fixed").card
    assert card["recipe"]["fixed"]["augment"] == "random"
    assert card["trained"]["samples"] > 0


def test_what_can_t_be_is_refused_before_any_work(recipe, home):
    refused = [
        ({"minutes": 0}, "minutes=0: expected a number, above 0"),
        ({"epochs": 0}, "epochs=0: expected a whole number, 1 or more"),
        ({"epochs": 3}, "epochs= counts passes"),
        ({"augment": "gradcam"}, "has no data set to augment"),
        ({"data": ["x.csv"]}, "has no data set to augment"),
        ({"name": "../up"}, "name"),
        ({"name": "resandi-robust"}, "resandi-robust"),
        ({"resume": True}, "there is no unfinished run"),
        ({"start": "nothing"}, "no weights are called 'nothing'"),
        ({"device": "mps"}, "device='mps': expected one of auto, cuda, cpu"),
    ]
    for options, message in refused:
        with pytest.raises(SptError, match=message):
            retrain(recipe, **{"device": "cpu"} | options)
    for name, message in (("nope", "recipes that ship"), (str(home), "is a folder")):
        with pytest.raises(SptError, match=message):
            retrain(name, device="cpu")
    assert not (home / "data" / "training").exists()


def test_every_shipped_recipe_loads_and_takes_a_name_of_its_own():
    shipped = ("resandi-robust", "resandi-positions", "resandi-small")
    names = recipe_names()
    assert {"default", "small", "quick"} <= set(names)
    for name in names:
        recipe = Recipe.load(find_recipe_file(name))
        assert recipe.name not in shipped
        json.loads(recipe.model_dump_json())
