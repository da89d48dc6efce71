"""The classifier as an ONNX graph, built in memory from weights: no second file to keep in step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.resandi.fourier import STRETCH, by_tap, dense, phases, transforms
from spt_explain.threads import import_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture

NODES = "nodes"
BLOCKS = ("block1", "block2", "block3", "block4")
TAPS = (NODES, *BLOCKS)
"""What a model gives beside its outputs, if asked: what each node of the last stage adds to each
logit, and the feature maps of the four stages ("convolutional blocks" in the paper)."""
DENSE_NODES = 4
"""Nodes up to which a Fourier model has one matrix product in place of a convolution."""
OPSET = 17
IR_VERSION = 8
BATCH_NORM_EPS = 1e-5
_ONNX_TYPES: dict[type[np.floating], int] = {np.float32: 1, np.float16: 10}
"""`onnx.TensorProto`'s numbers, which its file format fixes."""


def build_model(
    architecture: Architecture,
    tensors: dict[str, NDArray[np.float32]],
    *,
    half: bool = False,
    taps: Sequence[str] = (),
    longest: int | None = None,
    masked: bool = True,
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
    longest : int, optional
        Convolve by short Fourier transforms (`spt_explain.resandi.fourier`), for padded lengths up
        to this one: the same result with several times fewer multiplications, and a model that
        takes longer to load. Up to 128 it is the only length; other lengths must be multiples of
        32.
    masked : bool
        With masked padding, whether any trajectory has padding beyond its margin. Without, its
        maps are not masked, which saves time.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        For a tap that is not there.
    """
    import_whole("onnx")
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
    if architecture.padding == "masked" and masked:
        inside = builder.inside(x, architecture)
    x = builder.convolution(x, "conv1", "bn1", architecture.stem_kernel, 2)
    inside = builder.halved(inside)
    x = builder.masked(builder.node("Relu", [x]), inside)
    x = builder.node("MaxPool", [x], kernel_shape=[1, 3], strides=[1, 2], pads=[0, 1, 0, 1])
    inside = builder.halved(inside)
    x = builder.masked(x, inside)
    layout: _Images | _Series | _Rows = _Images(builder)
    if longest is not None:
        layout = _Series(builder, math.ceil(longest / 4))
    x = layout.enter(x)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            if isinstance(layout, _Series) and math.ceil(layout.longest / stride) <= DENSE_NODES:
                layout = _Rows(builder, layout.longest)
                x = layout.enter(x)
            x, inside = layout.block(
                x, inside, f"stages.{stage}.{block}", architecture.kernel, stride
            )
        if BLOCKS[stage] in taps:
            layout.tap(x, BLOCKS[stage])
    if NODES in taps:
        layout.nodes(x, inside, tensors["fc.weight"][: architecture.n_logits])
    x = layout.pooled(x, inside)
    x = builder.node("Gemm", [x, builder.tensor("fc.weight"), builder.tensor("fc.bias")], transB=1)
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


def folded(
    tensors: Mapping[str, NDArray[np.float32]], conv: str, norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a convolution with its batch normalisation as one.

    Parameters
    ----------
    tensors : mapping of str to numpy.ndarray
        Parameters and running statistics by their torch names.
    conv, norm : str
        Names of the two.

    Returns
    -------
    kernel : numpy.ndarray, shape (channels out, channels in, taps)
    bias : numpy.ndarray, shape (channels out,)
    """
    gain = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + BATCH_NORM_EPS)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * gain
    return tensors[f"{conv}.weight"][:, :, 0] * gain[:, None, None], bias


class _Builder:
    """Collects nodes and initialisers; every node has one output, named by a running number."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], dtype: type[np.floating]) -> None:
        self.tensors = tensors
        self.dtype = dtype
        self.kind = _ONNX_TYPES[dtype]
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.constants: dict[tuple[int, ...], str] = {}

    def node(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def numbers(self, *values: int) -> str:
        """Return a constant of whole numbers: a shape, axes, bounds of a slice."""
        if values not in self.constants:
            name = f"numbers{len(self.constants)}"
            self.constants[values] = self.constant(name, np.asarray(values, np.int64))
        return self.constants[values]

    def tensor(self, name: str) -> str:
        return self.constant(name, self.tensors[name].astype(self.dtype))

    def inside(self, x: str, architecture: Architecture) -> str:
        """Return the mask, (batch, 1, 1, time), of trajectories and their margin."""
        last = architecture.channels - 1
        bounds = [self.numbers(last), self.numbers(last + 1), self.numbers(1)]
        inside = self.node("Slice", [x, *bounds])
        if not architecture.margin:
            return inside
        return self.node(
            "MaxPool",
            [inside],
            kernel_shape=[1, architecture.margin + 1],
            strides=[1, 1],
            pads=[0, 0, 0, architecture.margin],
        )

    def convolution(self, x: str, conv: str, norm: str, kernel: int, stride: int) -> str:
        weight, bias = folded(self.tensors, conv, norm)
        return self.node(
            "Conv",
            [
                x,
                self.constant(f"{conv}.weight", weight[:, :, None].astype(self.dtype)),
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

    def output(self, x: str, name: str) -> None:
        """Make a value an output in float32."""
        self.node("Cast", [x], output=name, to=_ONNX_TYPES[np.float32])


class _Images:
    """Maps as images of height 1, (batch, channels, 1, nodes); direct convolutions."""

    def __init__(self, builder: _Builder) -> None:
        self.builder = builder

    def enter(self, x: str) -> str:
        """Return the first maps in this layout."""
        return x

    def block(self, x: str, inside: str, name: str, kernel: int, stride: int) -> tuple[str, str]:
        """Return maps and mask behind a residual block."""
        builder, shortcut = self.builder, x
        if f"{name}.downsample.0.weight" in builder.tensors:
            shortcut = builder.convolution(
                x, f"{name}.downsample.0", f"{name}.downsample.1", 1, stride
            )
        y = builder.convolution(x, f"{name}.conv1", f"{name}.bn1", kernel, stride)
        if stride != 1:
            inside = builder.halved(inside)
        y = builder.masked(builder.node("Relu", [y]), inside)
        y = builder.convolution(y, f"{name}.conv2", f"{name}.bn2", kernel, 1)
        y = builder.node("Relu", [builder.node("Add", [y, shortcut])])
        return builder.masked(y, inside), inside

    def tap(self, x: str, name: str) -> None:
        """Make maps an output, (batch, channels, nodes)."""
        self.builder.output(self.builder.node("Squeeze", [x, "height_axis"]), name)

    def nodes(self, x: str, inside: str, weight: NDArray[np.float32]) -> None:
        """Make what each node adds to each logit an output."""
        builder = self.builder
        named = builder.constant("nodes.weight", weight[:, :, None, None].astype(builder.dtype))
        each = builder.node("Conv", [x, named], kernel_shape=[1, 1])
        covered = inside or builder.constant("one", np.ones((1, 1, 1, 1), builder.dtype))
        # of all nodes, those that count: their number is the share times the number of all
        share = builder.node("GlobalAveragePool", [covered])
        number = builder.node("Gather", [builder.node("Shape", [x]), builder.numbers(3)])
        number = builder.node("Cast", [number], to=builder.kind)
        scaled = builder.node("Div", [each, builder.node("Mul", [share, number])])
        self.tap(scaled, NODES)

    def pooled(self, x: str, inside: str) -> str:
        """Return the mean over the nodes that count, (batch, channels)."""
        builder = self.builder
        x = builder.node("GlobalAveragePool", [x])
        if inside:
            x = builder.node("Div", [x, builder.node("GlobalAveragePool", [inside])])
        return builder.node("Flatten", [x])


class _Series:
    """Maps with time first, (nodes, batch, channels); convolutions by Fourier transform.

    Time comes first so that the transforms are products of a small matrix with all maps at once.
    Masks stay (batch, 1, 1, nodes), where pooling halves them.

    Parameters
    ----------
    builder : _Builder
    nodes : int
        Of the first stage, at the longest padded length.
    """

    def __init__(self, builder: _Builder, nodes: int) -> None:
        self.builder = builder
        self.longest = nodes
        self.matrices: dict[tuple[int, int, int], tuple[str, str]] = {}

    def enter(self, x: str) -> str:
        """Return the first maps in this layout."""
        return self.builder.node(
            "Transpose", [self.builder.node("Squeeze", [x, "height_axis"])], perm=[2, 0, 1]
        )

    def block(self, x: str, inside: str, name: str, kernel: int, stride: int) -> tuple[str, str]:
        """Return maps and mask behind a residual block."""
        builder = self.builder
        if stride == 2 and self.longest % 2:
            zeros = builder.numbers(0, 0, 0, 1, 0, 0)
            x = builder.node("Pad", [x, zeros])
        shortcut = x
        if f"{name}.downsample.0.weight" in builder.tensors:
            shortcut = self._shortcut(x, name, stride)
        y = self._convolution(x, f"{name}.conv1", f"{name}.bn1", kernel, stride)
        if stride != 1:
            inside = builder.halved(inside)
            self.longest = -(-self.longest // 2)
        series = inside and builder.node(
            "Squeeze", [builder.node("Transpose", [inside], perm=[3, 0, 1, 2]), builder.numbers(3)]
        )
        y = builder.masked(builder.node("Relu", [y]), series)
        y = self._convolution(y, f"{name}.conv2", f"{name}.bn2", kernel, 1)
        y = builder.node("Relu", [builder.node("Add", [y, shortcut])])
        return builder.masked(y, series), inside

    def _shortcut(self, x: str, name: str, stride: int) -> str:
        builder = self.builder
        if stride == 2:
            bounds = [builder.numbers(value) for value in (0, np.iinfo(np.int64).max, 0, 2)]
            x = builder.node("Slice", [x, *bounds])
        weight, bias = folded(builder.tensors, f"{name}.downsample.0", f"{name}.downsample.1")
        kernel = builder.constant(f"{name}.downsample", weight[:, :, 0].T.astype(builder.dtype))
        x = builder.node("MatMul", [x, kernel])
        return builder.node(
            "Add", [x, builder.constant(f"{name}.downsample.bias", bias.astype(builder.dtype))]
        )

    def _convolution(self, x: str, conv: str, norm: str, kernel: int, stride: int) -> str:
        builder = self.builder
        nodes = -(-self.longest // stride)
        matrices = transforms(nodes, kernel)
        rows = len(matrices.analysis)
        weight, bias = folded(builder.tensors, conv, norm)
        channels_out, channels_in = weight.shape[:2]
        # the kernel's transform is left to ONNX Runtime, which does it as it loads the model
        index = phases(kernel, stride, matrices.reach)
        flat = by_tap(weight)[index.T].reshape(index.shape[1], -1)
        transform = builder.constant(f"{conv}.transform", matrices.kernel.astype(builder.dtype))
        taps = builder.constant(f"{conv}.weight", flat.astype(builder.dtype))
        weight_shape = builder.numbers(rows * stride, channels_in, channels_out)
        weights = builder.node("Reshape", [builder.node("MatMul", [transform, taps]), weight_shape])
        analysis, synthesis = self._transforms(nodes, kernel, stride)
        shape = builder.node("Shape", [x], start=0, end=1)
        count = builder.node("Div", [shape, builder.numbers(stride)]) if stride > 1 else shape
        flat_shape = builder.node("Concat", [count, builder.numbers(-1)], axis=0)
        x = builder.node("Reshape", [x, flat_shape])
        stretches: tuple[int, ...] = ()
        if matrices.halo:
            x, stretches = self._stretches(x, count, matrices.halo, nodes), (-1,)
        else:
            first = [builder.numbers(0), count]
            analysis = builder.node("Slice", [analysis, *first, builder.numbers(1)])
            synthesis = builder.node("Slice", [synthesis, *first, builder.numbers(0)])
        x = builder.node("MatMul", [analysis, x])
        # -1 stands for the batch, which only one of the two shapes can leave open
        if stretches:
            batch = builder.node("Shape", [x], start=0, end=1)
            rest = builder.numbers(rows * stride, -1, channels_in)
            x = builder.node("Reshape", [x, builder.node("Concat", [batch, rest], axis=0)])
        else:
            x = builder.node("Reshape", [x, builder.numbers(rows * stride, -1, channels_in)])
        x = builder.node("MatMul", [x, weights])
        if stretches:
            rest = builder.numbers(rows * stride, -1)
            x = builder.node("Reshape", [x, builder.node("Concat", [batch, rest], axis=0)])
            x = builder.node("MatMul", [synthesis, x])
            x = builder.node("Flatten", [x], axis=2)
            first = [builder.numbers(0), count, builder.numbers(0)]
            x = builder.node("Slice", [x, *first])
        else:
            x = builder.node("Reshape", [x, builder.numbers(rows * stride, -1)])
            x = builder.node("MatMul", [synthesis, x])
        x = builder.node("Reshape", [x, builder.numbers(0, -1, channels_out)])
        return builder.node(
            "Add", [x, builder.constant(f"{conv}.bias", bias.astype(builder.dtype))]
        )

    def _stretches(self, x: str, count: str, halo: int, nodes: int) -> str:
        """Return overlapping stretches, (stretches, inputs, all else), of flat maps."""
        builder = self.builder
        most = -(-nodes // STRETCH)
        rows = np.arange(most)[:, None] * STRETCH + np.arange(STRETCH + 2 * halo)
        index = builder.constant(f"stretches{len(builder.nodes)}", rows.astype(np.int64))
        number = builder.node("Add", [count, builder.numbers(STRETCH - 1)])
        number = builder.node("Div", [number, builder.numbers(STRETCH)])
        some = builder.node("Slice", [index, builder.numbers(0), number, builder.numbers(0)])
        padded = builder.node("Pad", [x, builder.numbers(halo, 0, halo + STRETCH, 0)])
        return builder.node("Gather", [padded, some], axis=0)

    def _transforms(self, nodes: int, kernel: int, stride: int) -> tuple[str, str]:
        """Return the names of the two matrices; those of both phases of a stride are alike."""
        key = (nodes, kernel, stride)
        if key not in self.matrices:
            found, builder = transforms(nodes, kernel), self.builder
            name = "_".join(map(str, key))
            synthesis = np.repeat(found.synthesis, stride, axis=1)
            self.matrices[key] = (
                builder.constant(f"analysis_{name}", found.analysis.astype(builder.dtype)),
                builder.constant(f"synthesis_{name}", synthesis.astype(builder.dtype)),
            )
        return self.matrices[key]

    def tap(self, x: str, name: str) -> None:
        """Make maps an output, (batch, channels, nodes)."""
        self.builder.output(self.builder.node("Transpose", [x], perm=[1, 2, 0]), name)

    def nodes(self, x: str, inside: str, weight: NDArray[np.float32]) -> None:
        """Make what each node adds to each logit an output."""
        builder = self.builder
        named = builder.constant("nodes.weight", weight.T.astype(builder.dtype))
        each = builder.node("MatMul", [x, named])
        if inside:
            count = builder.node("ReduceSum", [inside, builder.numbers(1, 2, 3)], keepdims=0)
            count = builder.node("Unsqueeze", [count, builder.numbers(0, 2)])
        else:
            shape = builder.node("Shape", [x], start=0, end=1)
            count = builder.node("Cast", [shape], to=builder.kind)
        self.tap(builder.node("Div", [each, count]), NODES)

    def pooled(self, x: str, inside: str) -> str:
        """Return the mean over the nodes that count, (batch, channels)."""
        builder = self.builder
        if not inside:
            return builder.node("ReduceMean", [x], axes=[0], keepdims=0)
        count = builder.node("ReduceSum", [inside, builder.numbers(2, 3)], keepdims=0)
        total = builder.node("ReduceSum", [x, builder.numbers(0)], keepdims=0)
        return builder.node("Div", [total, count])


class _Rows:
    """Maps of a few nodes, (batch, nodes * channels); a convolution is one matrix product.

    Parameters
    ----------
    builder : _Builder
    nodes : int
        At the longest padded length, which is then the only one: others have more nodes by 4.
    """

    def __init__(self, builder: _Builder, nodes: int) -> None:
        self.builder = builder
        self.count = nodes

    def enter(self, x: str) -> str:
        """Return maps of `_Series` in this layout."""
        x = self.builder.node("Transpose", [x], perm=[1, 0, 2])
        return self.builder.node("Flatten", [x], axis=1)

    def block(
        self,
        x: str,
        inside: str,
        name: str,
        kernel: int,  # noqa: ARG002 - as of the other layouts
        stride: int,
    ) -> tuple[str, str]:
        """Return maps and mask behind a residual block."""
        builder, shortcut = self.builder, x
        if f"{name}.downsample.0.weight" in builder.tensors:
            shortcut = self._product(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        y = builder.node("Relu", [self._product(x, f"{name}.conv1", f"{name}.bn1", stride)])
        if stride != 1:
            inside = builder.halved(inside)
            self.count = math.ceil(self.count / stride)
        y = self._masked(y, inside)
        y = self._product(y, f"{name}.conv2", f"{name}.bn2", 1)
        y = builder.node("Relu", [builder.node("Add", [y, shortcut])])
        return self._masked(y, inside), inside

    def _product(self, x: str, conv: str, norm: str, stride: int) -> str:
        builder = self.builder
        weight, bias = folded(builder.tensors, conv, norm)
        matrix = dense(weight, stride, self.count)
        tiled = np.tile(bias, matrix.shape[1] // len(bias))
        return builder.node(
            "Gemm",
            [
                x,
                builder.constant(f"{conv}.matrix", matrix.astype(builder.dtype)),
                builder.constant(f"{conv}.bias", tiled.astype(builder.dtype)),
            ],
        )

    def _nodes_apart(self, x: str) -> str:
        return self.builder.node("Reshape", [x, self.builder.numbers(0, self.count, -1)])

    def _masked(self, x: str, inside: str) -> str:
        if not inside:
            return x
        builder = self.builder
        keep = builder.node("Reshape", [inside, builder.numbers(0, self.count, 1)])
        return builder.node("Flatten", [builder.node("Mul", [self._nodes_apart(x), keep])], axis=1)

    def tap(self, x: str, name: str) -> None:
        """Make maps an output, (batch, channels, nodes)."""
        builder = self.builder
        builder.output(builder.node("Transpose", [self._nodes_apart(x)], perm=[0, 2, 1]), name)

    def nodes(self, x: str, inside: str, weight: NDArray[np.float32]) -> None:
        """Make what each node adds to each logit an output."""
        builder = self.builder
        named = builder.constant("nodes.weight", weight.T.astype(builder.dtype))
        each = builder.node("MatMul", [self._nodes_apart(x), named])
        count = builder.constant("nodes.count", np.full((1, 1, 1), self.count, builder.dtype))
        if inside:
            count = builder.node("ReduceSum", [inside, builder.numbers(1, 2, 3)], keepdims=0)
            count = builder.node("Unsqueeze", [count, builder.numbers(1, 2)])
        each = builder.node("Div", [each, count])
        builder.output(builder.node("Transpose", [each], perm=[0, 2, 1]), NODES)

    def pooled(self, x: str, inside: str) -> str:
        """Return the mean over the nodes that count, (batch, channels)."""
        builder = self.builder
        if not inside:
            return builder.node("ReduceMean", [self._nodes_apart(x)], axes=[1], keepdims=0)
        count = builder.node("ReduceSum", [inside, builder.numbers(2, 3)], keepdims=0)
        total = builder.node("ReduceSum", [self._nodes_apart(x), builder.numbers(1)], keepdims=0)
        return builder.node("Div", [total, count])
