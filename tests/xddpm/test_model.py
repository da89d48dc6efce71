import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.layout import Layout
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal


class _Known(MaskNetwork):
    """A mask that is open where the pixel is bright."""

    def forward(self, clips):
        return 20 * (clips - 0.5), torch.zeros_like(clips)


@pytest.fixture
def model():
    torch.manual_seed(1)
    shape = Shape(outputs=1, width=4, mask_width=4)
    return RelevanceModel(
        regressor=Regressor(shape).eval(),
        masker=_Known(shape),
        bottleneck=Bottleneck("fixed", 0.1),
        scale=Scale(100.0, 50.0),
        signal=Signal.fit(np.arange(10.0)),
        frames=4,
        size=(16, 16),
    )


def _movie(*shape, seed=1):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.3, 150, 100).astype(np.uint16)


@pytest.mark.parametrize("shape", [(4, 16, 16), (11, 50, 37), (2, 5, 40), (1, 1, 1)])
def test_a_movie_of_any_size_is_explained_pixel_by_pixel(model, shape):
    movie = _movie(*shape)
    maps = model.explain(movie)
    assert maps.contribution.shape == maps.information.shape == shape
    bright = movie == 150
    assert (maps.contribution[bright] > 0.999).all()
    assert (maps.contribution[~bright] < 0.001).all()
    # ½ M² x̃² / s₀² with M = x̃ = 1
    np.testing.assert_allclose(maps.information[bright], 0.5 / 0.1, rtol=1e-3)
    np.testing.assert_allclose(maps.information[~bright], 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 32, 32), (9, 33, 45), (2, 3, 5)])
def test_binned_maps_come_back_to_the_pixels_of_the_movie(model, shape):
    model.layout = Layout(None, 4, 4, 2)
    squares = _movie(shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
    movie = squares.repeat(2, 1).repeat(2, 2)[:, : shape[1], : shape[2]]
    maps = model.explain(movie)
    assert maps.contribution.shape == maps.information.shape == shape
    bright = movie == 150
    assert (maps.contribution[bright] > 0.999).all()
    assert (maps.contribution[~bright] < 0.001).all()
    # the nats of a square are shared by its pixels
    total = 0.5 / 0.1 * (squares == 150).sum()
    assert maps.information.sum() == pytest.approx(total, rel=1e-3)


def test_one_tile_is_the_same_as_a_clip(model):
    movie = _movie(4, 16, 16)
    np.testing.assert_allclose(
        model.explain(movie).contribution, model.maps(movie[None]).contribution[0], atol=1e-6
    )


def test_a_symmetric_model_s_map_turns_with_the_clip(model):
    model.masker = MaskNetwork(model.regressor.shape).eval()
    clips = _movie(3, 4, 16, 16)
    turned = np.ascontiguousarray(clips.transpose(0, 1, 3, 2)[..., ::-1])

    def apart():
        whole, other = model.maps(clips), model.maps(turned)
        return [
            float(np.abs(one.transpose(0, 1, 3, 2)[..., ::-1] - two).max())
            for one, two in (
                (whole.contribution, other.contribution),
                (whole.information, other.information),
            )
        ]

    before = model.maps(clips)
    assert min(apart()) > 1e-3
    model.symmetric = True
    assert max(apart()) < 1e-5
    copies = [
        np.rot90(model_map, -k, (2, 3))
        for k in range(4)
        for model_map in [_single(model, np.ascontiguousarray(np.rot90(clips, k, (2, 3))))]
    ]
    flipped = np.ascontiguousarray(clips[..., ::-1])
    copies += [
        np.rot90(model_map, -k, (2, 3))[..., ::-1]
        for k in range(4)
        for model_map in [_single(model, np.ascontiguousarray(np.rot90(flipped, k, (2, 3))))]
    ]
    np.testing.assert_allclose(model.maps(clips).contribution, np.mean(copies, 0), atol=1e-6)
    assert np.abs(model.maps(clips).contribution - before.contribution).max() > 1e-4


def _single(model, clips):
    with torch.no_grad():
        raw, _ = model.masker(torch.from_numpy(model.scale.apply(clips)))
    return torch.sigmoid(raw).numpy()


def test_predictions_are_in_the_signal_s_units(model):
    clips = _movie(7, 4, 16, 16)
    outputs = model.regressor(torch.from_numpy(model.scale.apply(clips))).detach().numpy()
    values = np.arange(10.0)
    expected = outputs * values.std() + values.mean()
    np.testing.assert_allclose(model.predict(clips, batch=3), expected, rtol=1e-4, atol=1e-4)


class _ReadsDim(torch.nn.Module):
    """Reads the sum of a clip that is dimmed by M = 0.5, and nothing of a clip that is not."""

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, clips):
        told = 2 * clips.mean((1, 2, 3))[:, None]
        return torch.where(clips.amax((1, 2, 3))[:, None] < 0.6, told, torch.zeros_like(told))


def test_the_curve_asks_what_is_read_of_the_clip_behind_the_mask(model):
    rng = np.random.default_rng(3)
    scaled = np.zeros((40, 4, 16, 16), np.float32)
    scaled[:, :, 4:8, 4:8] = rng.uniform(0.7, 1.0, (40, 1, 1, 1))
    relevance = np.zeros_like(scaled)
    relevance[:, :, 4:8, 4:8] = 0.5
    targets = scaled.mean((1, 2, 3))[:, None]
    model.regressor = _ReadsDim()
    of_own = model.curve_of_scaled(scaled, targets, relevance)
    of_other = model.curve_of_scaled(scaled, targets, relevance, own=False)
    assert of_own.share == pytest.approx(16 / 256)
    assert of_own.r2[0] == pytest.approx(1, abs=1e-5)
    assert of_other.r2[0] < 0.5


def test_clips_and_movies_that_can_t_be_used(model):
    with pytest.raises(SptError, match=r"expected \(clips, 4, 16, 16\)"):
        model.predict(np.zeros((3, 5, 16, 16)))
    with pytest.raises(SptError, match="finite"):
        model.maps(np.full((1, 4, 16, 16), np.inf))
    with pytest.raises(SptError, match="expected \\(frames, height, width\\)"):
        model.explain(np.zeros((16, 16)))
    with pytest.raises(SptError, match="finite"):
        model.explain(np.full((4, 16, 16), np.nan))
    with pytest.raises(SptError, match="sufficiency"):
        _ = model.threshold
