import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.graph import BLOCKS, TAPS, build_model

LENGTHS = (64, 128, 256, 512, 1024)
ALPHA = (0.05, 0.5, 0.95)


def _model(network, **keys):
    tensors = {k: v.numpy() for k, v in network.state_dict().items()}
    return build_model(network.architecture, tensors, **keys)


def _session(network, **keys):
    return ort.InferenceSession(_model(network, **keys), providers=["CPUExecutionProvider"])


def _compare(session, network, inputs, **tolerance):
    found = session.run(["outputs"], {"trajectories": inputs})[0]
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs)).numpy()
    assert found.dtype == np.float32
    assert expected.std(axis=0).max() > 0.01 or len(expected) == 1  # not all alike
    np.testing.assert_allclose(found, expected, **tolerance)


@pytest.mark.parametrize("inputs", ["positions", "positions+displacements"])
@pytest.mark.parametrize("window", [1000, 128, 63])
def test_graph_computes_what_the_network_computes(fitted, walks, inputs, window):
    network = fitted(Architecture(inputs=inputs, width=8, window=window))
    session = _session(network)
    for n in (5, 1, 9):  # batches of any size through the same session
        lengths = np.linspace(2, window, n).astype(int)
        x = walks(network.architecture, lengths, window)
        _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", ["positions", "positions+displacements"])
def test_every_padded_length_and_batch_through_one_session(fitted, walks, inputs):
    architecture = Architecture(
        inputs=inputs, width=8, padding="masked", lengths=LENGTHS, alpha_levels=ALPHA
    )
    network = fitted(architecture)
    session = _session(network)
    for padded in (256, 64, 1024, 128, 512, 64):
        for n in (4, 1, 3):
            lengths = np.linspace(1, padded, n + 1).astype(int)[1:]
            x = walks(architecture, lengths, padded)
            _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [70, 99])
def test_masked_lengths_that_the_stride_does_not_divide(fitted, walks, length):
    architecture = Architecture(width=8, window=length, padding="masked", lengths=(length,))
    network = fitted(architecture)
    x = walks(architecture, np.array([2, 33, 50, length]), length)
    _compare(_session(network), network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["start", "masked"])
def test_half_precision_is_close(fitted, walks, padding):
    lengths = (128,) if padding == "start" else (64, 128)
    architecture = Architecture(
        width=8, window=128, padding=padding, lengths=lengths, alpha_levels=ALPHA
    )
    network = fitted(architecture)
    session = _session(network, half=True)
    for padded in lengths:
        x = walks(architecture, np.array([5, 20, 60]), padded)
        _compare(session, network, x, rtol=0, atol=0.01)
        found = session.run(["outputs"], {"trajectories": x})[0]
        single = _session(network).run(["outputs"], {"trajectories": x})[0]
        assert not np.array_equal(found, single)
    model = onnx.load_from_string(_model(network, half=True))
    kinds = {i.data_type for i in model.graph.initializer if i.name.endswith("weight")}
    assert kinds == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("padding", ["start", "masked"])
def test_the_model_is_valid_and_names_its_shapes(fitted, padding):
    lengths = (128,) if padding == "start" else (64, 128)
    network = fitted(
        Architecture(width=8, window=128, padding=padding, lengths=lengths, alpha_levels=ALPHA)
    )
    model = onnx.load_from_string(_model(network))
    onnx.checker.check_model(model, full_check=True)
    (given,) = model.graph.input
    shape = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    assert shape == (["batch", 4, 128] if padding == "start" else ["batch", 5, "time"])
    (out,) = model.graph.output
    assert [d.dim_param or d.dim_value for d in out.type.tensor_type.shape.dim] == ["batch", 11]


@pytest.mark.parametrize("padding", ["masked", "start"])
def test_taps_are_the_networks_maps_and_what_nodes_add(fitted, walks, padding):
    architecture = Architecture(width=4, alpha_levels=ALPHA)
    if padding == "masked":
        architecture = Architecture(
            width=4, padding=padding, margin=32, lengths=LENGTHS, alpha_levels=ALPHA,
            noise_edges=(0.5,),
        )  # fmt: skip
    network = fitted(architecture)
    session = _session(network, taps=TAPS)
    padded = architecture.lengths[0] if padding == "start" else 256
    inputs = walks(architecture, np.array([10, 33, 100, 200]), padded)
    outputs, *taps = session.run(["outputs", *TAPS], {"trajectories": inputs})
    found = dict(zip(TAPS, taps, strict=True))
    with torch.inference_mode():
        stages = network.stage_features([torch.from_numpy(inputs)])
    for name, (maps, _) in zip(BLOCKS, stages, strict=True):
        assert maps[0].abs().max() > 0.01
        np.testing.assert_allclose(found[name], maps[0].numpy(), rtol=1e-3, atol=1e-4)
    logits = outputs[:, : architecture.n_logits]
    bias = network.fc.bias.detach().numpy()[: architecture.n_logits]
    np.testing.assert_allclose(found["nodes"].sum(2) + bias, logits, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        outputs, session.run(["outputs"], {"trajectories": inputs})[0], atol=1e-6
    )


def test_a_tap_that_is_not_there_is_refused(fitted):
    with pytest.raises(ValueError, match="block5"):
        _model(fitted(Architecture(width=4)), taps=["block5"])


# --- convolutions by Fourier transform


def _fourier(network, longest, **keys):
    session = _session(network, longest=longest, **keys)
    kinds = [
        node.op_type for node in onnx.load_from_string(_model(network, longest=longest)).graph.node
    ]
    assert kinds.count("Conv") == 1  # the stem alone
    return session


@pytest.mark.parametrize("margin", [0, 32, 64])
@pytest.mark.parametrize("longest", [64, 256, 1024])
def test_fourier_gives_what_the_network_gives_at_every_length(fitted, walks, longest, margin):
    architecture = Architecture(
        width=4, padding="masked", margin=margin, lengths=LENGTHS, alpha_levels=ALPHA
    )
    network = fitted(architecture)
    session = _fourier(network, longest)
    # a model for 64 frames takes no others: in its last stages it is one matrix
    every = range(32, longest + 1, 32) if longest > 128 else [longest]
    for i, padded in enumerate(every):
        n = 1 + i % 9
        lengths = np.linspace(1, padded, n + 1).astype(int)[1:]
        x = walks(architecture, lengths, padded)
        _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("longest", [128, 512])
def test_fourier_batches_of_every_size_through_one_session(fitted, walks, longest):
    network = fitted(Architecture(width=4, padding="masked", lengths=LENGTHS, alpha_levels=ALPHA))
    session = _fourier(network, longest)
    for n in (1, 9, 2, 8, 3, 7, 4, 6, 5):
        lengths = np.linspace(2, longest, n + 1).astype(int)[1:]
        x = walks(network.architecture, lengths, longest)
        _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("longest", [128, 1024])
def test_fourier_without_a_mask_where_all_is_inside(fitted, walks, longest):
    architecture = Architecture(
        width=4, padding="masked", margin=64, lengths=LENGTHS, alpha_levels=ALPHA
    )
    network = fitted(architecture)
    session = _fourier(network, longest, masked=False, taps=TAPS)
    x = walks(architecture, np.linspace(longest - 64, min(longest, 1000), 4).astype(int), longest)
    _compare(session, network, x, rtol=1e-4, atol=1e-4)
    _compare_taps(session, network, x)


@pytest.mark.parametrize("window", [1000, 250, 99, 8])
def test_fourier_with_start_padding(fitted, walks, window):
    network = fitted(Architecture(width=4, window=window, alpha_levels=ALPHA))
    session = _fourier(network, window, taps=TAPS)
    for n in range(1, 10):
        lengths = np.linspace(1, window, n + 1).astype(int)[1:]
        _compare(session, network, walks(network.architecture, lengths, window), atol=1e-4)
    _compare_taps(session, network, walks(network.architecture, [2, window], window))


@pytest.mark.parametrize("kernel", [1, 3, 33])
def test_fourier_with_other_kernels(fitted, walks, kernel):
    architecture = Architecture(
        width=4, kernel=kernel, padding="masked", lengths=LENGTHS, alpha_levels=ALPHA
    )
    network = fitted(architecture)
    session = _fourier(network, 512)
    for padded in (32, 384, 512):
        x = walks(architecture, np.array([padded // 2, padded]), padded)
        _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padded", [64, 96, 224, 256])
def test_fourier_taps_are_the_networks_maps(fitted, walks, padded):
    architecture = Architecture(
        width=4, padding="masked", margin=32, lengths=LENGTHS, alpha_levels=ALPHA,
        noise_edges=(0.5,),
    )  # fmt: skip
    network = fitted(architecture)
    session = _fourier(network, 256, taps=TAPS)
    _compare_taps(session, network, walks(architecture, np.array([1, 10, 33, padded]), padded))


def test_the_fourier_model_is_valid(fitted):
    network = fitted(Architecture(width=4, padding="masked", lengths=LENGTHS, alpha_levels=ALPHA))
    for longest in (64, 1024):
        model = onnx.load_from_string(_model(network, longest=longest, taps=TAPS))
        onnx.checker.check_model(model, full_check=True)


def _compare_taps(session, network, inputs):
    outputs, *taps = session.run(["outputs", *TAPS], {"trajectories": inputs})
    found = dict(zip(TAPS, taps, strict=True))
    with torch.inference_mode():
        stages = network.stage_features([torch.from_numpy(inputs)])
    for name, (maps, _) in zip(BLOCKS, stages, strict=True):
        assert maps[0].abs().max() > 0.01
        np.testing.assert_allclose(found[name], maps[0].numpy(), rtol=1e-3, atol=1e-4)
    n = network.architecture.n_logits
    bias = network.fc.bias.detach().numpy()[:n]
    np.testing.assert_allclose(found["nodes"].sum(2) + bias, outputs[:, :n], rtol=1e-3, atol=1e-3)
