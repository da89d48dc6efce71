import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.tracks.network import TrackMask, TrackRegressor, TrackShape


@pytest.mark.parametrize("count", [8, 9, 31, 200])
def test_any_length(count):
    shape = TrackShape(3, width=8, depth=2, mask_width=8)
    x = torch.randn(4, 2, count)
    assert TrackRegressor(shape)(x).shape == (4, 3)
    assert TrackMask(shape)(x).shape == (4, count)


def test_raw_mask_is_spread_about_the_level():
    mask = TrackMask(TrackShape(1, width=8, depth=2, mask_width=8))
    mask.level.fill_(-2.0)
    raw = mask(torch.randn(64, 2, 50))
    assert raw.mean().item() == pytest.approx(-2, abs=0.01)
    assert raw.std().item() == pytest.approx(3, abs=0.05)


def test_the_same_whatever_else_is_in_the_batch():
    shape = TrackShape(2, width=8, depth=2, mask_width=8)
    x = torch.randn(5, 2, 20)
    for network in (TrackRegressor(shape).eval(), TrackMask(shape).eval()):
        torch.testing.assert_close(network(x)[:1], network(x[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [8, 16, 27])
def test_unet1d(count):
    shape = TrackShape(1, width=8, depth=2, mask="unet1d", mask_width=32)
    try:
        import diffusers  # noqa: F401
    except ImportError:
        with pytest.raises(SptError, match="needs the package diffusers"):
            TrackMask(shape)
        return
    raw = TrackMask(shape)(torch.randn(3, 2, count))
    assert raw.shape == (3, count)
    raw.square().mean().backward()


def test_unet1d_has_heads_of_32_channels():
    pytest.importorskip("diffusers")
    with pytest.raises(SptError, match="expected a multiple of 32"):
        TrackMask(TrackShape(1, mask="unet1d", mask_width=40))


def test_a_mask_does_not_know_where_in_the_track_it_is():
    """Else a signal that is everywhere alike is found in the first half of each track."""
    torch.manual_seed(0)
    steps = torch.randn(2, 2, 40)
    by_where = {}
    for told in (False, True):
        mask = TrackMask(TrackShape(outputs=1, width=8, depth=3, mask_width=8, mask_time=told))
        turned = mask.eval()(steps.roll(7, 2))
        by_where[told] = float((turned - mask(steps).roll(7, 1)).detach().abs().max())
    assert by_where[False] < 1e-4
    assert by_where[True] > 1e-2
    short = torch.randn(1, 2, 8)
    deep = TrackMask(TrackShape(outputs=1, width=8, depth=5, mask_width=8)).eval()
    assert deep(short).shape == (1, 8)
