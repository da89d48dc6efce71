import numpy as np
import pytest
import torch

from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.layout import Layout
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal

FRAMES, SIDE = 3, 10


def _model(seed=1):
    torch.manual_seed(seed)
    shape = Shape(outputs=1, width=4, mask_width=4)
    masker = MaskNetwork(shape).eval()
    masker.start_at(0.0)
    return RelevanceModel(
        regressor=Regressor(shape).eval(),
        masker=masker,
        bottleneck=Bottleneck(),
        scale=Scale(100.0, 50.0),
        signal=Signal.fit(np.arange(4.0), ("area",)),
        frames=FRAMES,
        size=(SIDE, SIDE),
        layout=Layout(None, FRAMES, FRAMES, 1),
    )


@pytest.fixture
def make_model():
    return _model


@pytest.fixture
def model():
    return _model()


@pytest.fixture
def clips():
    rng = np.random.default_rng(2)
    return rng.normal(120, 30, (12, FRAMES, SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def recipe():
    return GeneratorRecipe(
        width=8, multipliers=(1, 2), layers=1, attention=False, timesteps=20, batch=4, steps=6
    )
