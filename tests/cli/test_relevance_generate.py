import json

import numpy as np
import pytest
import tifffile

from spt_explain.cli.relevance.generate import command
from spt_explain.errors import SptError
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal

RECIPE = """
width = 8
multipliers = [1, 2]
layers = 1
attention = false
timesteps = 10
batch = 2
steps = 2
"""


def call(*arguments):
    return command.main([str(a) for a in arguments], standalone_mode=False)


@pytest.fixture
def home(tmp_path):
    shape = Shape(outputs=1, width=4, mask_width=4)
    model = RelevanceModel(
        Regressor(shape).eval(),
        MaskNetwork(shape).eval(),
        Bottleneck(),
        Scale(0.0, 1.0),
        Signal.fit(np.arange(3.0), ("area",)),
        2,
        (8, 8),
    )
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_fit_and_generate(home, tmp_path, capsys):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 99, (6, 8, 8)).astype(np.uint8)
        tifffile.imwrite(tmp_path / f"m{i}.tif", pixels, imagej=True, metadata={"axes": "TYX"})
    recipe, out = tmp_path / "g.toml", tmp_path / "samples"
    recipe.write_text(RECIPE)
    code = call("--model", home, "--movies", tmp_path / "m*.tif", "--recipe", recipe, "-n", 2,
                "--device", "cpu", "-o", out, "--json")  # fmt: skip
    said = capsys.readouterr()
    assert code == 0
    assert json.loads(said.out)["n"] == 2
    assert "generator: w, width 8" in said.err
    assert "2 samples in" in said.err
    assert (out / "mask-0002.tif").exists()
    assert call("--model", home, "-n", 1, "-o", tmp_path / "again", "--device", "cpu", "-q") == 0
    assert not capsys.readouterr().err


def test_no_generator(home, tmp_path):
    with pytest.raises(SptError, match="movies=MOVIES"):
        call("--model", home, "-o", tmp_path / "s")


def test_help_says_what_it_does(capsys):
    call("--help")
    said = capsys.readouterr().out
    for word in ("Example:", "--sampler", "--steps", "1000", "default: 64"):
        assert word in said
