import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.resandi.fourier import MOST_NODES, STRETCH, dense, phases, transforms


def _products(matrices, x, kernels):
    """The three products, summed over the phases of a strided input."""
    rows = sum(
        (matrices.analysis[:, : x.shape[1]] @ phase) * (matrices.kernel @ kernel)
        for phase, kernel in zip(x, kernels, strict=True)
    )
    return matrices.synthesis @ rows


def _convolution(x, weight, stride, nodes, *, stretched):
    """What the matrices for `nodes` outputs make of x, which may be shorter."""
    matrices = transforms(nodes, len(weight), stretched=stretched)
    kernels = np.append(weight, 0)[phases(len(weight), stride, matrices.reach)]
    outputs = -(-len(x) // stride)
    x = np.pad(x, (0, outputs * stride - len(x))).reshape(outputs, stride).T
    if not matrices.halo:
        return _products(matrices, x, kernels)[:outputs]
    padded = np.pad(x, ((0, 0), (matrices.halo, matrices.halo + STRETCH)))
    size = STRETCH + 2 * matrices.halo
    parts = [
        _products(matrices, padded[:, at : at + size], kernels) for at in range(0, outputs, STRETCH)
    ]
    return np.concatenate(parts)[:outputs]


def _direct(x, weight, stride):
    return np.correlate(np.pad(x, len(weight) // 2), weight, "valid")[::stride]


@given(
    st.integers(1, 150),
    st.integers(0, 20),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_the_three_products_are_the_direct_convolution(nodes, half, stride, stretched, odd, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=nodes * stride - (odd and stride == 2))
    weight = rng.normal(size=2 * half + 1)
    found = _convolution(x, weight, stride, nodes, stretched=stretched)
    np.testing.assert_allclose(found, _direct(x, weight, stride), rtol=0, atol=1e-10)


@given(st.integers(1, 130), st.data(), st.sampled_from([1, 2]), st.booleans())
def test_matrices_of_more_nodes_serve_fewer(most, data, stride, stretched):
    fewer = data.draw(st.integers(1, most))
    rng = np.random.default_rng(most)
    x, weight = rng.normal(size=fewer * stride), rng.normal(size=15)
    found = _convolution(x, weight, stride, most, stretched=stretched)
    np.testing.assert_allclose(found, _direct(x, weight, stride), rtol=0, atol=1e-10)


@given(st.integers(1, 12), st.integers(0, 9), st.sampled_from([1, 2]), st.integers(0, 2**32 - 1))
def test_one_matrix_is_the_direct_convolution_of_a_few_nodes(nodes, half, stride, seed):
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(nodes, 3)), rng.normal(size=(4, 3, 2 * half + 1))
    found = (x.ravel() @ dense(kernel, stride, nodes)).reshape(-1, 4)
    direct = sum(
        np.stack([_direct(x[:, i], kernel[o, i], stride) for o in range(4)], axis=1)
        for i in range(3)
    )
    np.testing.assert_allclose(found, direct, rtol=0, atol=1e-10)


@pytest.mark.parametrize("nodes", [8, 16, 32, 64])
def test_short_series_take_few_products(nodes):
    rows = len(transforms(nodes, 15).analysis)
    assert rows <= 3 * nodes / 2 + 12 < 15 * nodes / 2


def test_long_series_are_cut_into_stretches_of_one_size():
    for nodes in (MOST_NODES + 1, 200, 256):
        matrices = transforms(nodes, 15)
        assert matrices.halo == 7
        assert matrices.synthesis.shape[0] == STRETCH
    assert transforms(MOST_NODES, 15).halo == 0
    assert transforms(256, 15, stretched=False).halo == 0


@given(
    st.integers(1, 12), st.integers(0, 20), st.sampled_from([1, 2]), st.integers(1, 3),
    st.integers(1, 3), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_one_matrix_is_the_direct_convolution(nodes, half, stride, channels_in, channels_out, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(nodes, channels_in))
    kernel = rng.normal(size=(channels_out, channels_in, 2 * half + 1)).astype(np.float32)
    found = (x.ravel() @ dense(kernel, stride, nodes)).reshape(-1, channels_out)
    for c in range(channels_out):
        expected = sum(_direct(x[:, i], kernel[c, i], stride) for i in range(channels_in))
        np.testing.assert_allclose(found[:, c], expected, rtol=0, atol=1e-10)
