"""Methods that need a backward pass or many forward ones: earlier layers, and the input itself.

The last stage has a node for every 32 frames. Earlier stages have one for every 4, 8 and 16, and
the input one for each; their scores need the network's gradients (torch), or many passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from spt_explain.errors import SptError
from spt_explain.explain.options import Method
from spt_explain.explain.scores import Maps, log_weights
from spt_explain.resandi.graph import BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from numpy.typing import NDArray

    from spt_explain.explain.options import ScoreOf
    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.classifier import Classifier, WindowOutputs
    from spt_explain.resandi.network import ResAnDi
    from spt_explain.resandi.recording import Recording

METHODS: tuple[Method, ...] = get_args(Method)
LAYER_METHODS: tuple[Method, ...] = ("gradcam", "layercam")
STRIDES = dict(zip(BLOCKS, (4, 8, 16, 32), strict=True))
"""Frames of the input for each node of each block's output."""
_OCCLUDED_AT_ONCE = 64


def resolution(method: Method, layer: str, n_points: int) -> int:
    """Return the frames that one score covers."""
    if method in LAYER_METHODS:
        return STRIDES[layer]
    if method != "occlusion":
        return 1
    from spt_explain.explain.input_scores import occluded

    return occluded(n_points)[1]


def check_method(method: str, layer: str) -> None:
    """Refuse methods and layers that are not there.

    Raises
    ------
    SptError
    """
    if method not in METHODS:
        raise SptError(
            f"no method is called {method!r}; there are: {', '.join(METHODS)}.", code="not-found"
        )
    if method in LAYER_METHODS and layer not in BLOCKS:
        raise SptError(
            f"no layer is called {layer!r}; there are: {', '.join(BLOCKS)}.", code="not-found"
        )


def maps(
    classifier: Classifier,
    positions: NDArray[np.float64],
    ran: WindowOutputs,
    recording: Recording | None,
    target: NDArray[np.int64],
    against: NDArray[np.int64],
    *,
    method: Method,
    layer: str = "block4",
    of: ScoreOf = "log-odds",
    steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Maps]:
    """Return the scores of a layer's nodes, or of the input's frames.

    Parameters
    ----------
    classifier : Classifier
        Its weights; the network itself is run by torch, on the CPU or the GPU that torch finds.
    positions : numpy.ndarray, shape (n_points, 2)
    ran : WindowOutputs
        The windows.
    recording, target, against
        See `scores.grad_cam_maps`.
    method : {"input-x-gradient", "gradcam", "layercam", "integrated-gradients", "occlusion"}
        "input-x-gradient": Shrikumar et al. 2016, arXiv:1605.01713: the gradient times the distance
        from a particle that never moves. "gradcam": Selvaraju et al. 2017,
        doi:10.1109/ICCV.2017.74, at any block. "layercam": Jiang et al. 2021,
        doi:10.1109/TIP.2021.3089943: positive gradients, node by node. "integrated-gradients":
        Sundararajan et al. 2017, arXiv:1703.01365, from a particle that never moves. "occlusion":
        Zeiler & Fergus 2014, arXiv:1311.2901: the particle stands still for a tenth of the
        trajectory, which moves by half its length (Captum).
    layer : {"block1", "block2", "block3", "block4"}
        Of the first two.
    of : {"log-odds", "probability", "logit"}
        See `scores.ScoreOf`.
    steps : int, optional
        Of the integral; as many as its completeness needs by default.
    progress : callable, optional
        Called with windows done and their number.

    Returns
    -------
    list of Maps

    Raises
    ------
    SptError
        For a method or layer that is not there.
    """
    check_method(method, layer)
    import torch

    from spt_explain.resandi.backends.torch import Rounding

    device = "cuda" if classifier.backend.device.kind == "cuda" else "cpu"
    model = class_model(classifier, recording).to(device)
    shape = classifier.weights.architecture
    lengths = ran.stops - ran.starts
    padded = shape.padded_length(lengths)
    temperature = classifier.calibration.temperatures(lengths)
    target, against = target[ran.owner], against[ran.owner]
    found, done = [], 0
    for part, x in _inputs(classifier, positions, ran, device):
        if device == "cuda" and not _is_right(classifier, model, x):
            device, model = "cpu", model.cpu()
        x = x.to(device)
        scale = torch.from_numpy(temperature[part]).to(device, torch.float32)
        wanted = torch.from_numpy(target[part]).to(device)
        other = torch.from_numpy(against[part]).to(device)
        with Rounding(tf32=True):
            if method in LAYER_METHODS:
                score, contrast = _layer_scores(model, x, scale, wanted, other, method, layer, of)
            else:
                score, contrast = _input_scores(
                    model, x, scale, wanted, other, method, lengths[part], of, steps
                )
        stride = STRIDES[layer] if method in LAYER_METHODS else 1
        found.append(
            Maps(
                part,
                int(padded[part[0]]),
                stride,
                score.double().cpu().numpy(),
                contrast.double().cpu().numpy(),
            )
        )
        done += len(part)
        if progress is not None:
            progress(done, len(lengths))
    return found


def _inputs(
    classifier: Classifier, positions: NDArray[np.float64], ran: WindowOutputs, device: str
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Yield batches of windows: their indices, and their inputs, made where the network runs."""
    import torch

    if device == "cpu":
        for part, inputs in classifier.inputs(positions, ran.starts, ran.stops):
            yield part, torch.from_numpy(inputs)
        return
    from spt_explain.resandi.backends.torch import inputs_on_device

    architecture = classifier.weights.architecture
    path = torch.from_numpy(np.require(positions, None, ["C", "W"])).to(device)
    lengths = ran.stops - ran.starts
    for batch in classifier.batches(lengths):
        place = np.stack([ran.starts[batch.windows], lengths[batch.windows]])
        start, length = torch.from_numpy(place).to(device)
        x = inputs_on_device(path, start, length, batch.padded, architecture)
        yield batch.windows, x.contiguous()


def class_model(classifier: Classifier, recording: Recording | None, *, folded: bool = True) -> Any:
    """Return the network as a torch module that tells the classes' logits under a recording.

    Parameters
    ----------
    classifier : Classifier
    recording : Recording or None
    folded : bool
        Whether outputs are computed by `FoldedNetwork`, which is faster, or by the `ResAnDi`
        itself, whose layers can be looked at.

    Returns
    -------
    torch.nn.Module
        ``forward(x, temperature)`` gives (n, classes); ``network`` is the `ResAnDi`.
    """
    import torch

    from spt_explain.resandi.folded import FoldedNetwork
    from spt_explain.resandi.network import ResAnDi

    tensors = classifier.weights.load()

    class ClassLogits(torch.nn.Module):
        """The network, its temperature, and the recording's conditions."""

        extra: torch.Tensor

        def __init__(self, architecture: Architecture, extra: torch.Tensor) -> None:
            super().__init__()
            self.architecture = architecture
            self.register_buffer("extra", extra)
            self.folded: dict[tuple[int, str], FoldedNetwork] = {}
            self._plain: ResAnDi | None = None

        @property
        def network(self) -> ResAnDi:
            """The `ResAnDi`, made when it is needed: that takes a quarter of a second."""
            if self._plain is None:
                made = ResAnDi(self.architecture)
                made.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
                self._plain = made.requires_grad_(False).eval().to(self.extra.device)
            return self._plain

        def outputs(self, x: torch.Tensor) -> torch.Tensor:
            if not folded:
                plain: torch.Tensor = self.network(x)
                return plain
            key = (x.size(2), x.device.type)
            if key not in self.folded:
                made = FoldedNetwork.on(x.device.type, self.architecture, tensors, key[0])
                self.folded[key] = made
            outputs: torch.Tensor = self.folded[key](x)[0]
            return outputs

        def classes(self, outputs: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
            shape = self.architecture
            joint = outputs[:, : shape.n_logits] / temperature[:, None]
            joint = joint.view(len(joint), -1, shape.n_conditions) + self.extra
            return joint.logsumexp(2)

        def forward(self, x: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
            return self.classes(self.outputs(x), temperature)

    extra = torch.from_numpy(log_weights(classifier, recording)).float()
    return ClassLogits(classifier.weights.architecture, extra).eval()


def _is_right(classifier: Classifier, model: Any, x: torch.Tensor) -> bool:
    """Return whether the GPU computes a batch of this shape as the reference says; else note it."""
    import torch

    from spt_explain.resandi.backends.torch import Rounding

    def run(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode(False), torch.enable_grad(), Rounding(tf32=True):
            x = torch.from_numpy(inputs).to("cuda").requires_grad_()  # as scores are computed
            outputs: NDArray[np.float32] = model.outputs(x).detach().cpu().numpy()
        return outputs

    return classifier.backend.agrees(run, x.size(2), len(x), "gradients on cuda")


def explained(
    logits: torch.Tensor, target: torch.Tensor, against: torch.Tensor, of: ScoreOf
) -> torch.Tensor:
    """Return what is explained and the contrast, as (n, 2).

    The contrast is the difference of the two classes' probabilities where the score is of a
    probability, and of their logits otherwise: so that the two compare.
    """
    import torch

    own = logits.gather(1, target[:, None])
    contrast = own - logits.gather(1, against[:, None])
    if of == "probability":
        p = logits.softmax(1)
        own = p.gather(1, target[:, None])
        contrast = own - p.gather(1, against[:, None])
    elif of == "log-odds":
        own = own - logits.scatter(1, target[:, None], -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([own, contrast], 1)


def _layer_scores(
    model: Any,
    x: torch.Tensor,
    temperature: torch.Tensor,
    target: torch.Tensor,
    against: torch.Tensor,
    method: Method,
    layer: str,
    of: ScoreOf,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and contrast, (n, nodes) each, of a block's output."""
    import torch

    network: ResAnDi = model.network
    with torch.enable_grad():
        # the input, not the parameters, starts the graph
        stages = network.stage_features([x.clone().requires_grad_()])
        chosen, inside = stages[BLOCKS.index(layer)]
        outputs = network.outputs_of(*stages[-1])
        logits = model.classes(outputs, temperature)
        wanted = explained(logits, target, against, of)
        first = torch.autograd.grad(wanted[:, 0].sum(), chosen[0], retain_graph=True)[0]
        second = torch.autograd.grad(wanted[:, 1].sum(), chosen[0])[0]
    image = chosen[0].detach()
    mask = torch.ones_like(image[:, :1]) if inside[0] is None else inside[0].detach()
    found = []
    for gradient in (first, second):
        if method == "layercam":
            found.append((gradient.relu() * image * mask).sum(1))
        else:
            mean = (gradient * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True).clamp(min=1)
            found.append((mean * image * mask).sum(1))
    return found[0], found[1]


def _input_scores(
    model: Any,
    x: torch.Tensor,
    temperature: torch.Tensor,
    target: torch.Tensor,
    against: torch.Tensor,
    method: Method,
    lengths: NDArray[np.int64],
    of: ScoreOf,
    steps: int | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and contrast, (n, frames) each, of the input."""
    from spt_explain.explain.input_scores import (
        Inputs,
        input_x_gradient,
        integrated_gradients,
        occlusion,
    )

    def ask(inputs: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
        logits = model(inputs, temperature[rows])
        return explained(logits, target[rows], against[rows], of)

    masked = model.architecture.padding == "masked"
    batch = Inputs.of(x, lengths, masked=masked, ask=ask)
    if method == "input-x-gradient":
        return input_x_gradient(batch)
    if method == "integrated-gradients":
        return integrated_gradients(batch, steps)
    return occlusion(batch, lengths, _OCCLUDED_AT_ONCE)
