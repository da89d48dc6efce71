"""The seven methods that the xDDPM paper compares with, on one frozen regressor, by Captum.

Textbook definitions are the default. The paper's own (its Eqs. 24–30) differ: "Saliency" is
integrated gradients, "GuidedBP" the positive part of the plain gradient, and "GuidedCAM" and
"GuidedGrad" have neither a guided pass nor a class activation map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import checked_clips
from spt_explain.xddpm.evaluate.floors import random_maps
from spt_explain.xddpm.options import Definition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from spt_explain.xddpm.evaluate.modules import Output

Baseline = Literal[
    "random", "gradient", "saliency", "guided-bp", "guided-cam", "smoothgrad", "guided-grad-cam"
]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
PUBLISHED_CLAMP = (0.7, 1.0)
"""To which the paper clamps its baselines' masks, which leaves little of them."""


@dataclass(frozen=True)
class BaselineOptions:
    """How baselines are computed.

    Attributes
    ----------
    definition : {"textbook", "paper"}
        "textbook": gradient ∂S/∂x; saliency |∂S/∂x| (Simonyan et al. 2013, arXiv:1312.6034);
        guided-bp (Springenberg et al. 2014, arXiv:1412.6806); guided-cam is Grad-CAM (Selvaraju et
        al. 2017, doi:10.1109/ICCV.2017.74), whom the paper cites for it; smoothgrad, the mean
        gradient under noise (Smilkov et al. 2017, arXiv:1706.03825); guided-grad-cam, Grad-CAM
        times guided-bp. "paper": Eqs. 24–30. random is the same in both.
    output : int or "sum"
        The value of a signal to explain, or the sum of all (a signal for each frame, say).
    layer : str, optional
        For Grad-CAM, a module's dotted name. Without it, the last one to run whose output still
        has pixels.
    interpolation : {"trilinear", "nearest"}
        From that layer's pixels to the clip's.
    sigma : float
        SmoothGrad's noise, as a share of each clip's range.
    samples : int
        SmoothGrad's.
    steps : int
        Of the integral of Eq. 30.
    second : torch.nn.Module, optional
        U_θ of Eq. 29, the denoising network; without it, the regressor's factor is squared.
    clamp : (float, float), optional
        Limits to which maps are clamped; `PUBLISHED_CLAMP` in the paper.
    """

    definition: Definition = "textbook"
    output: Output = "sum"
    layer: str | None = None
    interpolation: Literal["trilinear", "nearest"] = "trilinear"
    sigma: float = 0.15
    samples: int = 50
    steps: int = 32
    second: nn.Module | None = None
    clamp: tuple[float, float] | None = None


def baseline_maps(
    network: nn.Module,
    clips: ArrayLike,
    method: Baseline,
    options: BaselineOptions | None = None,
    *,
    seed: int = 0,
    batch: int = 32,
) -> NDArray[np.float32]:
    """Return one method's maps.

    Parameters
    ----------
    network : torch.nn.Module
        The regressor, clips (batch, frames, height, width) to (batch, values), on the device where
        it is to run. It is put into evaluation for the time, and its weights don't change.
    clips : array_like, shape (videos, frames, height, width)
        On the regressor's scale.
    method : str
        One of `BASELINES`.
    options : BaselineOptions, optional
    seed : int
        Of random maps and SmoothGrad's noise; each video has its own, whatever the batch.
    batch : int
        Clips at once.

    Returns
    -------
    numpy.ndarray, shape of the clips
        Signed where the method is.

    Raises
    ------
    SptError
        For options that don't exist, and for guided methods on a network that they are no good
        for (`guided.check_relu`).
    """
    videos, chosen = checked_clips(clips), options or BaselineOptions()
    _check(method, chosen)
    if method == "random":
        found = random_maps(videos.shape, seed)
    else:
        found = np.concatenate(list(_attributed(network, videos, method, chosen, seed, batch)))
    if not np.isfinite(found).all():
        raise SptError(f"{method}: the gradients are no numbers; is the regressor trained?")
    if chosen.clamp is None:
        return found
    low, high = chosen.clamp
    return np.clip(found, low, high).astype(np.float32)


def all_baselines(
    network: nn.Module,
    clips: ArrayLike,
    options: BaselineOptions | None = None,
    *,
    methods: Sequence[Baseline] = BASELINES,
    seed: int = 0,
    batch: int = 32,
) -> dict[str, NDArray[np.float32]]:
    """Return the maps of several methods by name (`baseline_maps`).

    Raises
    ------
    SptError
    """
    return {
        each: baseline_maps(network, clips, each, options, seed=seed, batch=batch)
        for each in methods
    }


def last_spatial_layer(network: nn.Module, clips: torch.Tensor) -> nn.Module:
    """Return the last module without parts to run whose output still has pixels.

    Raises
    ------
    SptError
        If there is none.
    """
    import torch

    ran: list[nn.Module] = []

    def note(module: nn.Module, _: object, told: object) -> None:
        if isinstance(told, torch.Tensor) and told.ndim in (4, 5) and min(told.shape[-2:]) > 1:
            ran.append(module)

    parts = [each for each in network.modules() if not list(each.children())]
    hooks = [each.register_forward_hook(note) for each in parts]
    try:
        with torch.no_grad():
            network(clips[:1])
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise SptError("Grad-CAM needs a layer with pixels, and this network has none.")
    return ran[-1]


def _check(method: str, options: BaselineOptions) -> None:
    if method not in BASELINES:
        raise SptError(
            f"no baseline is called {method!r}; there are: {', '.join(BASELINES)}.",
            code="not-found",
        )
    if options.definition not in DEFINITIONS:
        raise SptError(
            f"no definition is called {options.definition!r}; there are: {', '.join(DEFINITIONS)}.",
            code="not-found",
        )
    if options.samples < 1 or options.steps < 1 or not options.sigma > 0:
        raise SptError("samples and steps must be at least 1, and sigma above 0.")


def _attributed(
    network: nn.Module,
    videos: NDArray[np.float32],
    method: Baseline,
    options: BaselineOptions,
    seed: int,
    batch: int,
) -> Iterator[NDArray[np.float32]]:
    import torch

    from spt_explain.xddpm.evaluate.modules import OneValue

    model = OneValue(network, options.output)
    parameter = next(network.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    modes = {each: each.training for each in model.modules()}
    model.eval()
    try:
        _check_output(network, torch.from_numpy(videos[:1]).to(device), options.output)
        for start in range(0, len(videos), batch):
            x = torch.from_numpy(videos[start : start + batch]).to(device).requires_grad_()
            if method == "smoothgrad":
                found = _smooth(model, x, options, seed, start)
            else:
                found = _METHODS[options.definition][method](model, x, options)
            yield found.detach().float().cpu().numpy()
    finally:
        for module, mode in modes.items():
            module.training = mode


def _check_output(network: nn.Module, clip: torch.Tensor, output: Output) -> None:
    import torch

    if output == "sum":
        return
    with torch.no_grad():
        values = network(clip).reshape(1, -1).shape[1]
    if not isinstance(output, int) or not 0 <= output < values:
        raise SptError(
            f"the regressor tells {values} values; there is none of number {output} "
            "(they are counted from 0).",
            code="not-found",
        )


def _gradient(model: nn.Module, x: torch.Tensor, _: BaselineOptions) -> Any:
    from captum.attr import Saliency

    return Saliency(model).attribute(x, abs=False)


def _saliency(model: nn.Module, x: torch.Tensor, _: BaselineOptions) -> Any:
    from captum.attr import Saliency

    return Saliency(model).attribute(x, abs=True)


def _guided(model: nn.Module, x: torch.Tensor, _: BaselineOptions) -> Any:
    from spt_explain.xddpm.evaluate.guided import guided_backprop

    return guided_backprop(model, x)


def _grad_cam(model: nn.Module, x: torch.Tensor, options: BaselineOptions) -> Any:
    """Grad-CAM, brought to the clip's pixels and frames."""
    from captum.attr import LayerGradCam
    from torch.nn import functional

    cam = LayerGradCam(model, _layer(model, x, options)).attribute(x, relu_attributions=True)
    clips, frames, height, width = x.shape
    if cam.ndim not in (4, 5) or len(cam) not in (clips, clips * frames):
        raise SptError(
            f"Grad-CAM: the layer gives {tuple(cam.shape)} for clips {tuple(x.shape)}; "
            "it needs one with pixels, for clips or frames."
        )
    # (clips, 1, h, w), (clips · frames, 1, h, w) or (clips, 1, t, h, w)
    cam = cam.reshape(clips, 1, -1, *cam.shape[-2:])
    align = {} if options.interpolation == "nearest" else {"align_corners": False}
    size = (frames, height, width)
    return functional.interpolate(cam, size=size, mode=options.interpolation, **align)[:, 0]


def _guided_grad_cam(model: nn.Module, x: torch.Tensor, options: BaselineOptions) -> Any:
    # Captum's own takes layers of the input's number of axes only
    return _grad_cam(model, x, options) * _guided(model, x, options)


def _smooth(
    model: nn.Module, x: torch.Tensor, options: BaselineOptions, seed: int, first: int
) -> torch.Tensor:
    """SmoothGrad: textbook and Eq. 27 are one."""
    import torch
    from captum.attr import NoiseTunnel, Saliency

    tunnel = NoiseTunnel(Saliency(model))
    devices = [x.device] if x.device.type == "cuda" else []
    found = []
    # Captum draws from torch's own numbers: each video's begin anew, and all are put back
    with torch.random.fork_rng(devices=devices):
        for at, clip in enumerate(x.detach()):
            state = np.random.SeedSequence((seed, first + at)).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(state >> np.uint64(1)))
            spread = options.sigma * float(clip.max() - clip.min())
            one = tunnel.attribute(
                clip[None],
                nt_type="smoothgrad",
                nt_samples=options.samples,
                nt_samples_batch_size=min(options.samples, 50),
                stdevs=spread,
                abs=False,
            )
            found.append(one)
    return torch.cat(found)


def _positive(model: nn.Module, x: torch.Tensor, options: BaselineOptions) -> Any:
    """Eqs. 25 and 26."""
    return _gradient(model, x, options).relu()


def _gradient_times_output(model: nn.Module, x: torch.Tensor, _: BaselineOptions) -> Any:
    """Eq. 28: ReLU(∂U/∂x ⊙ U). A regressor's U is one number for each clip."""
    import torch

    with torch.enable_grad():
        inside = x.detach().clone().requires_grad_()
        told = model(inside)
        (slope,) = torch.autograd.grad(told.sum(), inside)
    factor = told.detach()
    return (slope * factor.reshape(*factor.shape, *[1] * (x.ndim - factor.ndim))).relu()


def _two_networks(model: nn.Module, x: torch.Tensor, options: BaselineOptions) -> Any:
    """Eq. 29."""
    first = _gradient_times_output(model, x, options)
    if options.second is None:
        return first.square()
    return first * _gradient_times_output(options.second, x, options)


def _integrated(model: nn.Module, x: torch.Tensor, options: BaselineOptions) -> Any:
    """Eq. 30: integrated gradients from a clip that is its own mean everywhere."""
    from captum.attr import IntegratedGradients

    mean = x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x)
    return IntegratedGradients(model).attribute(
        x, baselines=mean, n_steps=options.steps, internal_batch_size=max(64, len(x))
    )


def _layer(model: nn.Module, x: torch.Tensor, options: BaselineOptions) -> nn.Module:
    if options.layer is None:
        return last_spatial_layer(model, x)
    try:
        return model.get_submodule(f"regressor.{options.layer}")
    except AttributeError:
        raise SptError(
            f"the regressor has no layer that is called {options.layer!r}.", code="not-found"
        ) from None


_METHODS: dict[Definition, dict[str, Callable[[Any, Any, BaselineOptions], Any]]] = {
    "textbook": {
        "gradient": _gradient,
        "saliency": _saliency,
        "guided-bp": _guided,
        "guided-cam": _grad_cam,
        "guided-grad-cam": _guided_grad_cam,
    },
    "paper": {
        "gradient": _gradient,
        "saliency": _integrated,
        "guided-bp": _positive,
        "guided-cam": _gradient_times_output,
        "guided-grad-cam": _two_networks,
    },
}
