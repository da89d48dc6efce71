import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spt_explain.errors import SptError
from spt_explain.xddpm.scale import Scale


def _discs(share, background=100.0, bright=300.0, noise=5.0, seed=1):
    rng = np.random.default_rng(seed)
    clips = np.full((4, 3, 40, 40), background)
    clips[..., : round(40 * share)] = bright
    return clips + rng.normal(0, noise, clips.shape)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_fluorescence_is_zero_in_the_background_whatever_the_cells_cover(share):
    scale = Scale.fit(_discs(share), "fluorescence")
    assert scale.reference == pytest.approx(100, abs=1)
    assert scale.spread == pytest.approx(200, rel=0.1)


def test_field_is_zero_at_its_mean():
    rng = np.random.default_rng(2)
    field = 7 + 3 * np.sin(rng.uniform(0, 2 * np.pi, (5, 4, 30, 30)))
    scale = Scale.fit(field, "field")
    assert scale.reference == pytest.approx(7, abs=0.1)
    assert scale.spread == pytest.approx(3, rel=0.02)


def test_a_few_bright_spots_on_an_even_ground():
    clips = np.zeros((1, 4, 50, 50))
    clips[0, :, 10, 10] = 1000
    assert Scale.fit(clips).spread == pytest.approx(1000)


@given(arrays(np.float32, (2, 3, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_invert_undoes_apply(clips):
    scale = Scale(reference=12.5, spread=80.0)
    np.testing.assert_allclose(scale.invert(scale.apply(clips)), clips, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("clips", "said"),
    [(np.full((1, 2, 3, 3), 7), "alike"), (np.full((1, 2, 3, 3), np.nan), "finite")],
)
def test_what_has_no_scale(clips, said):
    for kind in ("fluorescence", "field"):
        with pytest.raises(SptError, match=said):
            Scale.fit(clips, kind)


def test_whole_numbers_of_a_camera():
    scale = Scale.fit(_discs(0.3).astype(np.uint16))
    assert scale.apply(np.array([100], np.uint16))[0] == pytest.approx(0, abs=0.02)
