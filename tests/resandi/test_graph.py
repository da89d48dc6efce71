import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.graph import BLOCKS, TAPS, build_model
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.network import BatchNorm, ResAnDi

LENGTHS = (64, 128, 256, 512, 1024)
ALPHA = (0.05, 0.5, 0.95)


def _network(architecture):
    """A network as training leaves it: its normalisations fit its inputs, and do something."""
    torch.manual_seed(0)
    network = ResAnDi(architecture).train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
        for padded in architecture.lengths:
            lengths = np.linspace(2, min(padded, architecture.window), 20).astype(int)
            network(torch.from_numpy(_inputs(architecture, lengths, padded)))
    return network.eval()


def _model(network, **keys):
    tensors = {k: v.numpy() for k, v in network.state_dict().items()}
    return build_model(network.architecture, tensors, **keys)


def _session(network, **keys):
    return ort.InferenceSession(_model(network, **keys), providers=["CPUExecutionProvider"])


def _inputs(architecture, lengths, padded):
    rng = np.random.default_rng(1)
    stops = np.cumsum(lengths)
    return build_inputs(
        rng.normal(size=(stops[-1], 2)).cumsum(0),
        stops - lengths,
        stops,
        window=padded,
        kind=architecture.inputs,
        padding=architecture.padding,
    )


def _compare(session, network, inputs, **tolerance):
    found = session.run(["outputs"], {"trajectories": inputs})[0]
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs)).numpy()
    assert found.dtype == np.float32
    assert expected.std(axis=0).max() > 0.01 or len(expected) == 1  # not all alike
    np.testing.assert_allclose(found, expected, **tolerance)


@pytest.mark.parametrize("inputs", ["positions", "positions+displacements"])
@pytest.mark.parametrize("window", [1000, 128, 63])
def test_graph_computes_what_the_network_computes(inputs, window):
    network = _network(Architecture(inputs=inputs, width=8, window=window))
    session = _session(network)
    for n in (5, 1, 9):  # batches of any size through the same session
        lengths = np.linspace(2, window, n).astype(int)
        x = _inputs(network.architecture, lengths, window)
        _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", ["positions", "positions+displacements"])
def test_every_padded_length_and_batch_through_one_session(inputs):
    architecture = Architecture(
        inputs=inputs, width=8, padding="masked", lengths=LENGTHS, alpha_levels=ALPHA
    )
    network = _network(architecture)
    session = _session(network)
    for padded in (256, 64, 1024, 128, 512, 64):
        for n in (4, 1, 3):
            lengths = np.linspace(1, padded, n + 1).astype(int)[1:]
            x = _inputs(architecture, lengths, padded)
            _compare(session, network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [70, 99])
def test_masked_lengths_that_the_stride_does_not_divide(length):
    architecture = Architecture(width=8, window=length, padding="masked", lengths=(length,))
    network = _network(architecture)
    x = _inputs(architecture, np.array([2, 33, 50, length]), length)
    _compare(_session(network), network, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["start", "masked"])
def test_half_precision_is_close(padding):
    lengths = (128,) if padding == "start" else (64, 128)
    architecture = Architecture(
        width=8, window=128, padding=padding, lengths=lengths, alpha_levels=ALPHA
    )
    network = _network(architecture)
    session = _session(network, half=True)
    for padded in lengths:
        x = _inputs(architecture, np.array([5, 20, 60]), padded)
        _compare(session, network, x, rtol=0, atol=0.01)
        found = session.run(["outputs"], {"trajectories": x})[0]
        single = _session(network).run(["outputs"], {"trajectories": x})[0]
        assert not np.array_equal(found, single)
    model = onnx.load_from_string(_model(network, half=True))
    kinds = {i.data_type for i in model.graph.initializer if i.name.endswith("weight")}
    assert kinds == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("padding", ["start", "masked"])
def test_the_model_is_valid_and_names_its_shapes(padding):
    lengths = (128,) if padding == "start" else (64, 128)
    network = _network(
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
def test_taps_are_the_networks_maps_and_what_nodes_add(padding):
    architecture = Architecture(width=4, alpha_levels=ALPHA)
    if padding == "masked":
        architecture = Architecture(
            width=4, padding=padding, margin=32, lengths=LENGTHS, alpha_levels=ALPHA,
            noise_edges=(0.5,),
        )  # fmt: skip
    network = _network(architecture)
    session = _session(network, taps=TAPS)
    padded = architecture.lengths[0] if padding == "start" else 256
    inputs = _inputs(architecture, np.array([10, 33, 100, 200]), padded)
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


def test_a_tap_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="block5"):
        _model(_network(Architecture(width=4)), taps=["block5"])
