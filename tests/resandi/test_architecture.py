import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.resandi.architecture import Architecture, alpha_quantiles

MASKED = Architecture(
    padding="masked", lengths=(64, 128, 256, 512, 1024), alpha_levels=(0.05, 0.5, 0.95)
)


@pytest.mark.parametrize(
    ("values", "channels", "outputs"),
    [
        ({"inputs": "positions"}, 2, 8),
        ({"inputs": "positions", "padding": "masked"}, 3, 8),
        ({}, 4, 8),
        ({"padding": "masked", "alpha_levels": (0.05, 0.5, 0.95)}, 5, 11),
        ({"noise_edges": (0.3, 0.6), "exposure_edges": (0.5,)}, 4, 8 * 6),
        ({"noise_edges": (0.3,), "alpha_levels": (0.05, 0.5, 0.95)}, 4, 8 * 2 + 3),
    ],
)
def test_channels_and_outputs(values, channels, outputs):
    architecture = Architecture(**values)
    assert (architecture.channels, architecture.outputs) == (channels, outputs)


def test_one_length_unless_said_otherwise():
    assert Architecture().lengths == (1000,)
    assert Architecture(window=64).lengths == (64,)


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=50), st.sampled_from([0, 1, 32, 64, 500])
)
def test_the_shortest_length_that_fits(n_points, margin):
    architecture = replace(MASKED, margin=margin)
    found = architecture.padded_length(np.asarray(n_points))
    own = [min(x for x in MASKED.lengths if x >= n) for n in n_points]
    # what the network was trained at, or a multiple of 128 that holds the margin as well
    fine = [128 * math.ceil((n + margin) / 128) for n in n_points]
    assert found.tolist() == [min(pair) for pair in zip(own, fine, strict=True)]
    assert (found >= n_points).all()
    assert set(found.tolist()) <= set(architecture.run_lengths)
    assert (Architecture().padded_length(np.asarray(n_points)) == 1000).all()


def test_every_length_that_is_run():
    assert MASKED.run_lengths == (64, 128, 256, 384, 512, 640, 768, 896, 1024)
    assert replace(MASKED, margin=64).run_lengths == MASKED.run_lengths
    assert replace(MASKED, lengths=(1024,)).run_lengths == tuple(range(128, 1025, 128))
    # the network's stride does not divide these: other lengths would put nodes elsewhere
    assert replace(MASKED, lengths=(100, 1024)).run_lengths == (100, 1024)
    assert replace(MASKED, lengths=(1000,)).run_lengths == (1000,)
    assert Architecture().run_lengths == (1000,)
    assert Architecture(window=64).run_lengths == (64,)


@pytest.mark.parametrize("margin", [0, 32, 64])
def test_a_finer_length_gives_the_same_outputs(fitted, walks, margin):
    architecture = Architecture(
        width=2, window=500, padding="masked", margin=margin, lengths=(32, 512),
        alpha_levels=(0.05, 0.5, 0.95),
    )  # fmt: skip
    network = fitted(architecture)
    n_points = np.arange(1, architecture.window + 1)
    padded = architecture.padded_length(n_points)
    own = np.where(n_points <= 32, 32, 512)
    assert (padded < own).mean() > 0.5
    for fine, trained in sorted({*zip(padded.tolist(), own.tolist(), strict=True)}):
        if fine == trained:
            continue
        lengths = n_points[(padded == fine) & (own == trained)]
        with torch.inference_mode():
            found, expected = (
                network(torch.from_numpy(walks(architecture, lengths, length))).numpy()
                for length in (fine, trained)
            )
        assert expected.std(axis=0).max() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lengths": (64, 128)}, "at least 1000"),
        ({"padding": "masked", "lengths": (1024, 64)}, "ascending"),
        ({"padding": "masked", "lengths": (64, 64, 1024)}, "ascending"),
        ({"lengths": (64, 1000)}, "masked padding"),
        ({"alpha_levels": (0.5,)}, "three or none"),
        ({"noise_edges": (0.5, 0.2)}, "ascending"),
        ({"exposure_edges": (0.0, 0.5)}, "above 0"),
    ],
)
def test_shapes_that_make_no_sense(values, words):
    with pytest.raises(ValueError, match=words):
        Architecture(**values)


@pytest.mark.parametrize("architecture", [Architecture(), MASKED])
def test_a_card_keeps_it(architecture):
    values = json.loads(json.dumps(architecture.to_dict()))
    assert Architecture.from_dict(values) == architecture


def test_conditions_are_told_by_their_middles():
    architecture = Architecture(noise_edges=(0.2, 0.6), exposure_edges=(0.1, 0.5))
    noise, exposure = architecture.condition_values()
    assert noise.tolist() == pytest.approx([0, 0, 0, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6])
    assert exposure.tolist() == pytest.approx([0, 0.3, 0.75] * 3)
    for none in Architecture().condition_values():
        assert none.tolist() == [0]
    noise, exposure = Architecture(noise_edges=(0.2,)).condition_values()
    assert (noise.tolist(), exposure.tolist()) == ([0, 0.2], [0, 0])


def test_cards_written_before_there_was_masked_padding_are_read():
    old = {
        "inputs": "positions", "width": 64, "stem_kernel": 35, "kernel": 15, "window": 1000,
        "classes": list(CLASS_NAMES),
    }  # fmt: skip
    assert Architecture.from_dict(old) == Architecture(inputs="positions")


@given(arrays(np.float32, (4, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_quantiles_of_alpha_are_in_order_and_within_what_is_possible(raw):
    low, median, high = alpha_quantiles(raw).T
    assert (low <= median).all()
    assert (median <= high).all()
    assert (low >= 0).all()
    assert (high <= 2).all()


def test_quantiles_of_alpha_are_the_softplus_of_the_outputs():
    found = alpha_quantiles(np.array([[-1.0, -0.2, -3.0]], np.float32))
    expected = [0.8 - np.log1p(np.exp(-1)), 0.8, 0.8 + np.log1p(np.exp(-3))]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
