"""The classifier as an ONNX graph, built in memory from weights: no second file to keep in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture

NODES = "nodes"
BLOCKS = ("block1", "block2", "block3", "block4")
TAPS = (NODES, *BLOCKS)
"""What a model gives beside its outputs, if asked: what each node of the last stage adds to each
logit, and the feature maps of the four stages ("convolutional blocks" in the paper)."""
OPSET = 17
IR_VERSION = 8
_BATCH_NORM_EPS = 1e-5
_ONNX_TYPES: dict[type[np.floating], int] = {np.float32: 1, np.float16: 10}
"""`onnx.TensorProto`'s numbers, which its file format fixes."""


def build_model(
    architecture: Architecture,
    tensors: dict[str, NDArray[np.float32]],
    *,
    half: bool = False,
    taps: Sequence[str] = (),
) -> bytes:
    """Return a serialised ONNX model.

    Batch normalisation is folded into the convolutions. Input ``trajectories``, float32,
    (batch, channels, time), where time may be any of the architecture's lengths; output
    ``outputs``, float32, (batch, outputs).

    Parameters
    ----------
    architecture : Architecture
        Shape of the network.
    tensors : dict of str to numpy.ndarray
        Parameters and running statistics by their torch names (`network.ResAnDi`).
    half : bool
        Compute in float16.
    taps : sequence of str
        Some of `TAPS`, as further outputs of that name. ``nodes``, float32, (batch, logits, nodes):
        summed over nodes it gives the logits less their biases, so any Grad-CAM score of the last
        stage is a weighted sum of it. ``block1`` … ``block4``, float32, (batch, channels, nodes):
        zero in masked padding.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        For a tap that is not there.
    """
    from onnx import TensorProto, helper

    if unknown := set(taps) - set(TAPS):
        raise ValueError(f"no tap is called {', '.join(sorted(unknown))}; there are {TAPS}")
    builder = _Builder(tensors, np.float16 if half else np.float32)
    time = architecture.lengths[0] if len(architecture.lengths) == 1 else "time"
    inputs = [
        helper.make_tensor_value_info(
            "trajectories", TensorProto.FLOAT, ["batch", architecture.channels, time]
        )
    ]
    outputs = [
        helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", architecture.outputs])
    ]
    builder.constant("height_axis", np.asarray([2], np.int64))
    x = builder.node("Unsqueeze", ["trajectories", "height_axis"])
    if half:
        x = builder.node("Cast", [x], to=TensorProto.FLOAT16)
    inside = ""
    if architecture.padding == "masked":
        last = architecture.channels - 1
        bounds = {"mask_from": last, "mask_to": last + 1, "channel_axis": 1}
        names = [builder.constant(k, np.asarray([v], np.int64)) for k, v in bounds.items()]
        inside = builder.node("Slice", [x, *names])
        if architecture.margin:
            inside = builder.node(
                "MaxPool",
                [inside],
                kernel_shape=[1, architecture.margin + 1],
                strides=[1, 1],
                pads=[0, 0, 0, architecture.margin],
            )
    x = builder.convolution(x, "conv1", "bn1", architecture.stem_kernel, 2)
    inside = builder.halved(inside)
    x = builder.masked(builder.node("Relu", [x]), inside)
    x = builder.node("MaxPool", [x], kernel_shape=[1, 3], strides=[1, 2], pads=[0, 1, 0, 1])
    inside = builder.halved(inside)
    x = builder.masked(x, inside)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            x, inside = builder.block(
                x, inside, f"stages.{stage}.{block}", architecture.kernel, stride
            )
        if BLOCKS[stage] in taps:
            builder.tap(x, BLOCKS[stage])
    weight, bias = builder.tensor("fc.weight"), builder.tensor("fc.bias")
    if NODES in taps:
        kernel = tensors["fc.weight"][: architecture.n_logits, :, None, None]
        named = builder.constant("nodes.weight", kernel.astype(builder.dtype))
        each = builder.node("Conv", [x, named], kernel_shape=[1, 1])
        covered = inside or builder.constant("one", np.ones((1, 1, 1, 1), builder.dtype))
        # of all nodes, those that count: their number is the share times the number of all
        share = builder.node("GlobalAveragePool", [covered])
        number = builder.constant("three", np.asarray([3], np.int64))
        number = builder.node("Gather", [builder.node("Shape", [x]), number])
        number = builder.node("Cast", [number], to=builder.kind)
        builder.tap(builder.node("Div", [each, builder.node("Mul", [share, number])]), NODES)
    x = builder.node("GlobalAveragePool", [x])
    if inside:
        x = builder.node("Div", [x, builder.node("GlobalAveragePool", [inside])])
    x = builder.node("Flatten", [x])
    x = builder.node("Gemm", [x, weight, bias], transB=1)
    if half:
        builder.node("Cast", [x], output="outputs", to=TensorProto.FLOAT)
    else:
        builder.node("Identity", [x], output="outputs")
    sizes = dict(zip(BLOCKS, architecture.stage_widths, strict=True))
    sizes[NODES] = architecture.n_logits
    outputs += [
        helper.make_tensor_value_info(tap, TensorProto.FLOAT, ["batch", sizes[tap], f"{tap}_time"])
        for tap in taps
    ]
    graph = helper.make_graph(builder.nodes, "resandi", inputs, outputs, builder.initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="spt-explain"
    )
    model.ir_version = IR_VERSION
    serialised: bytes = model.SerializeToString()
    return serialised


class _Builder:
    """Collects nodes and initialisers; every node has one output, named by a running number."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], dtype: type[np.floating]) -> None:
        self.tensors = tensors
        self.dtype = dtype
        self.kind = _ONNX_TYPES[dtype]
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def node(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def tap(self, x: str, name: str) -> None:
        """Make maps, (batch, channels, 1, time), an output in float32 without their height."""
        flat = self.node("Squeeze", [x, "height_axis"])
        self.node("Cast", [flat], output=name, to=_ONNX_TYPES[np.float32])

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def tensor(self, name: str) -> str:
        return self.constant(name, self.tensors[name].astype(self.dtype))

    def convolution(self, x: str, conv: str, norm: str, kernel: int, stride: int) -> str:
        t = self.tensors
        gain = t[f"{norm}.weight"] / np.sqrt(t[f"{norm}.running_var"] + _BATCH_NORM_EPS)
        weight = t[f"{conv}.weight"] * gain[:, None, None, None]
        bias = t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * gain
        return self.node(
            "Conv",
            [
                x,
                self.constant(f"{conv}.weight", weight.astype(self.dtype)),
                self.constant(f"{conv}.bias", bias.astype(self.dtype)),
            ],
            kernel_shape=[1, kernel],
            strides=[1, stride],
            pads=[0, kernel // 2, 0, kernel // 2],
        )

    def halved(self, inside: str) -> str:
        """Return the mask of nodes at twice the spacing: inside if either of their two is."""
        if not inside:
            return ""
        return self.node(
            "MaxPool", [inside], kernel_shape=[1, 2], strides=[1, 2], pads=[0, 0, 0, 0], ceil_mode=1
        )

    def masked(self, x: str, inside: str) -> str:
        """Return `x` with zeros in the padding."""
        return self.node("Mul", [x, inside]) if inside else x

    def block(self, x: str, inside: str, name: str, kernel: int, stride: int) -> tuple[str, str]:
        shortcut = x
        if f"{name}.downsample.0.weight" in self.tensors:
            shortcut = self.convolution(
                x, f"{name}.downsample.0", f"{name}.downsample.1", 1, stride
            )
        y = self.convolution(x, f"{name}.conv1", f"{name}.bn1", kernel, stride)
        if stride != 1:
            inside = self.halved(inside)
        y = self.masked(self.node("Relu", [y]), inside)
        y = self.convolution(y, f"{name}.conv2", f"{name}.bn2", kernel, 1)
        y = self.node("Relu", [self.node("Add", [y, shortcut])])
        return self.masked(y, inside), inside
