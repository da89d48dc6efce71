import numpy as np
import pytest
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.folded import DIRECT_STAGES, FOURIER_FROM, FoldedNetwork
from spt_explain.resandi.graph import BLOCKS, TAPS
from spt_explain.resandi.windows import softmax

ALPHA = (0.05, 0.5, 0.95)
LENGTHS = (64, 128, 256, 512, 1024)


def _masked(margin=0, lengths=LENGTHS, **values):
    return Architecture(
        width=4, padding="masked", margin=margin, lengths=lengths, alpha_levels=ALPHA,
        window=min(1000, lengths[-1]), **values,
    )  # fmt: skip


def _lengths_at(architecture, padded, n=5):
    """Points of n windows that are padded to a length, from the shortest to the longest."""
    points = np.arange(1, architecture.window + 1)
    points = points[architecture.padded_length(points) == padded]
    return np.linspace(points[0], points[-1], n).astype(int)


def _check(folded, network, inputs, shortest=1, taps=TAPS):
    """Compare outputs and taps with the network that was trained."""
    x = torch.from_numpy(inputs)
    with torch.inference_mode():
        found, maps = folded(x, shortest, taps)
        expected = network(x)
        stages = network.stage_features([x])
    assert expected.numpy().std(0).max() > 0.01 or len(x) == 1  # not all alike
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert set(maps) == set(taps)
    for name, (stage, _) in zip(BLOCKS, stages, strict=True):
        if name in taps:
            np.testing.assert_allclose(maps[name], stage[0], rtol=1e-3, atol=1e-4)
    if "nodes" in taps:
        n = network.architecture.n_logits
        logits = maps["nodes"].sum(2) + network.fc.bias.detach()[:n]
        np.testing.assert_allclose(logits, expected[:, :n], rtol=1e-3, atol=1e-3)
    return found


@pytest.mark.parametrize("margin", [0, 32, 64])
def test_every_run_length_gives_what_the_network_gives(fitted, tensors_of, walks, margin):
    architecture = _masked(margin)
    network = fitted(architecture)
    tensors = tensors_of(network)
    for padded in architecture.run_lengths:
        folded = FoldedNetwork(architecture, tensors, padded).eval()
        assert folded.direct == (DIRECT_STAGES if padded >= FOURIER_FROM else 4)
        lengths = _lengths_at(architecture, padded)
        inputs = walks(architecture, lengths, padded)
        plain = _check(folded, network, inputs)
        # masks as short as the shortest window allows
        closer = _check(folded, network, inputs, shortest=int(lengths.min()))
        np.testing.assert_allclose(closer, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("direct", range(5))
@pytest.mark.parametrize(
    ("architecture", "padded"),
    [
        (Architecture(width=4, alpha_levels=ALPHA), 1000),  # 250, 125, 63, 32 nodes
        (Architecture(width=4, window=99, inputs="positions"), 99),
        (_masked(16, (99,)), 99),
        (_masked(0, (70,)), 70),
        (_masked(32, noise_edges=(0.5,)), 256),
        (_masked(0, (40,)), 40),  # one or two nodes in the last stage
        (_masked(0, (5,)), 5),
    ],
)
def test_every_number_of_direct_stages(fitted, tensors_of, walks, architecture, padded, direct):
    network = fitted(architecture)
    folded = FoldedNetwork(architecture, tensors_of(network), padded, direct=direct).eval()
    most = min(padded, architecture.window)
    for lengths in ([2, most // 2, most], [most], [1, 2, 3, most]):
        _check(folded, network, walks(architecture, lengths, padded))


def test_taps_are_those_asked_for_and_not_overwritten(fitted, tensors_of, walks):
    architecture = _masked()
    network = fitted(architecture)
    inputs = walks(architecture, [300, 200, 270], 512)
    for direct in (0, 2, 4):
        folded = FoldedNetwork(architecture, tensors_of(network), 512, direct=direct).eval()
        for taps in ((), ("nodes",), ("block1",), ("block2", "block4")):
            _check(folded, network, inputs, taps=taps)
            _check(folded, network, inputs[:1], taps=taps)  # a batch of one has other strides


def test_inputs_are_left_as_they_are(fitted, tensors_of, walks):
    architecture = _masked()
    folded = FoldedNetwork(architecture, tensors_of(fitted(architecture)), 64, direct=0).eval()
    inputs = torch.from_numpy(walks(architecture, [3, 60], 64))
    before = inputs.clone()
    with torch.inference_mode():
        first = folded(inputs)[0]
        again = folded(inputs)[0]
    assert torch.equal(inputs, before)
    assert torch.equal(first, again)


@pytest.mark.parametrize("direct", [0, 2, 4])
@pytest.mark.parametrize(
    ("architecture", "padded", "lengths"),
    [
        (_masked(32), 512, [130, 257, 400, 512]),
        (_masked(0, (99,)), 99, [3, 50, 99]),
        # the padding of "start" is one value: which of equal nodes a pool takes is free
        (Architecture(width=4), 1000, [1000, 1000]),
    ],
)
def test_gradients_are_those_of_the_network(
    fitted, tensors_of, walks, architecture, padded, lengths, direct
):
    network = fitted(architecture)
    folded = FoldedNetwork(architecture, tensors_of(network), padded, direct=direct).eval()
    inputs = walks(architecture, lengths, padded)
    series = inputs.shape[1] - (architecture.padding == "masked")

    def gradient(run):
        x = torch.from_numpy(inputs).requires_grad_()
        outputs = run(x)
        picked = outputs[torch.arange(len(x)), outputs.argmax(1)].sum() + outputs[:, 0].sum()
        return torch.autograd.grad(picked, x)[0][:, :series].numpy()

    expected = gradient(network)
    found = gradient(lambda x: folded(x, min(lengths))[0])
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("direct", [0, 2, 4])
def test_float16_is_close(fitted, tensors_of, walks, direct):
    architecture = _masked(32)
    network = fitted(architecture)
    folded = FoldedNetwork(architecture, tensors_of(network), 512, direct=direct).eval()
    folded.to_layout("cpu", torch.float16)
    inputs = torch.from_numpy(walks(architecture, [130, 257, 400, 512], 512))
    with torch.inference_mode():
        try:
            found, maps = folded(inputs.half(), 130, TAPS)
        except RuntimeError as error:
            pytest.skip(f"this torch has no float16 on this processor: {error}")
        expected = network(inputs)
    assert found.dtype == torch.float32
    assert {one.dtype for one in maps.values()} == {torch.float32}
    n = architecture.n_logits
    off = np.abs(softmax(found.numpy()[:, :n]) - softmax(expected.numpy()[:, :n]))
    assert 0 < off.max() < 0.02
