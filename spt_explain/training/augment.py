"""Augmentation of a fixed data set: which trajectories are added once more, and how transformed.

The paper adds copies of 60 % of the trajectories of each class, turned by random angles: those of
the highest mean Grad-CAM score, or some at random. Here a copy can also be blurred, noisy, or with
missing frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from spt_explain.diffusion.measurement import lose_frames
from spt_explain.resandi.gradcam import grad_cam
from spt_explain.training.batches import seeded
from spt_explain.training.dataset import from_padded, join_trajectories, shape_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.resandi.gradcam import ScoreOf
    from spt_explain.resandi.network import ResAnDi
    from spt_explain.training.dataset import Trajectories

Transformation = Literal["rotation", "blur", "noise", "gaps"]
_AT_ONCE = 512


def score(network: ResAnDi, trajectories: Trajectories, *, of: ScoreOf = "logit") -> torch.Tensor:
    """Return the Grad-CAM score of every trajectory for its true class.

    The network is one that was trained on these trajectories (and possibly on others), without
    augmentation: the paper trains first, then scores, and trains a new network. (The authors'
    scoring network was trained on 400,000 trajectories, 80,000 of which were scored.)

    Parameters
    ----------
    network : ResAnDi
        In evaluation mode, on the trajectories' device.
    trajectories : Trajectories
        What is scored.
    of : {"logit", "probability"}
        See `resandi.gradcam.grad_cam`.

    Returns
    -------
    torch.Tensor, shape (m,)
        Sum of the nodes' scores, on the CPU; it ranks as their mean does where all trajectories
        have the same number of nodes (see `GradCam.totals`).
    """
    scores = torch.empty(len(trajectories))
    architecture = network.architecture
    # batches of like length, so that the order within a batch is the order that went in
    for some in torch.split(trajectories.length.argsort(stable=True), _AT_ONCE):
        batch = shape_batch(trajectories, some, architecture)
        scores[some] = grad_cam(network, batch.groups, batch.label, of=of).totals().cpu()
    return scores


def choose(
    label: torch.Tensor,
    share: float,
    *,
    seed: int,
    scores: torch.Tensor | None = None,
    repeats: bool = False,
) -> torch.Tensor:
    """Choose the trajectories of each class that are added once more.

    Parameters
    ----------
    label : torch.Tensor, shape (m,)
        Classes.
    share : float
        Share of each class, rounded down.
    seed : int
        For a choice at random.
    scores : torch.Tensor, shape (m,), optional
        Take those of the highest score; at random by default.
    repeats : bool
        At random: whether one may be taken several times, as in the authors' code, where 60 % are
        about 45 % different ones.

    Returns
    -------
    torch.Tensor, shape (k,), int64
        Ascending, on the CPU.
    """
    label = label.cpu()
    generator = seeded("cpu", seed, "choose")
    chosen = []
    for one in sorted(set(label.tolist())):
        members = torch.nonzero(label == one)[:, 0]
        n = int(share * len(members) + 1e-9)
        if scores is not None:
            order = scores.cpu()[members].argsort(descending=True, stable=True)
        elif repeats:
            order = torch.randint(len(members), (n,), generator=generator)
        else:
            order = torch.randperm(len(members), generator=generator)
        chosen.append(members[order[:n]])
    return torch.cat(chosen).sort().values


def transformed(
    trajectories: Trajectories,
    index: torch.Tensor,
    by: Sequence[Transformation],
    *,
    seed: int,
    noise_max: float = 1.0,
    gap_max: float = 0.15,
) -> Trajectories:
    """Return transformed copies of some trajectories.

    Parameters
    ----------
    trajectories : Trajectories
        Originals.
    index : torch.Tensor, shape (k,), int64
        Which, on the CPU.
    by : sequence of {"rotation", "blur", "noise", "gaps"}
        What is done to each copy; always in this order, that of a recording. Rotation: by an angle
        uniform in 0…2π. Blur: see `blur`, by an exposure uniform in 0…1. Noise: Gaussian, its 1/SNR
        uniform in 0…`noise_max`. Gaps: a share of frames uniform in 0…`gap_max` is missed and
        filled by lines.
    seed : int
        Of everything.
    noise_max, gap_max : float
        Largest noise, and largest share of frames missed.

    Returns
    -------
    Trajectories
        In the order of `index`.
    """
    if not len(index):
        return trajectories.take(index)
    parts = []
    for start, some in enumerate(torch.split(index, trajectories.at_once())):
        generator = seeded(trajectories.device, seed, "transform", start)
        path, length = trajectories.padded(some)
        known = trajectories.known(some)
        uniform = torch.rand(4, len(some), generator=generator, device=path.device)
        if "rotation" in by:
            path = rotate(path, 2 * torch.pi * uniform[0])
        if "blur" in by:
            path = blur(path, length, uniform[1])
            # nobody knows the exposure of what was blurred twice
            known["exposure"] = torch.where(known["exposure"] == 0, uniform[1], torch.nan)
        if "noise" in by:
            sigma = noise_max * uniform[2]
            unit = displacement_scale(path, length)
            noise = torch.randn(path.shape, generator=generator, device=path.device)
            path = path + sigma[:, None, None] * unit * noise
            # noise that was there before widens the displacements that the new one is measured in
            before = known["noise"] ** 2
            known["noise"] = (before + sigma**2 * (1 + 2 * before)).sqrt()
        if "gaps" in by:
            path = lose_frames(path, length, gap_max * uniform[3], generator)
        parts.append(from_padded(path, length, **known))
    return join_trajectories(parts)


def rotate(path: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Turn positions (n, t, 2) about their first point by angles (n,) in radians."""
    first = path[:, :1]
    x, y = (path - first).unbind(-1)
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    return first + torch.stack([c * x - s * y, s * x + c * y], dim=-1)


def blur(path: torch.Tensor, length: torch.Tensor, exposure: torch.Tensor) -> torch.Tensor:
    """Blur given positions as if the shutter had been open for a share of each frame.

    Where the particle was between two frames is not in a recording, so the mean over the share e is
    taken along the line to the next position: x(t) + e/2 (x(t+1) − x(t)), a moving average of
    neighbouring frames; the last point stays. For free diffusion this smooths more than a real
    shutter does (displacements keep 1 − e + e²/2 of their variance instead of 1 − e/3), since
    the motion about the line is missing. Simulated trajectories are treated alike here; those that
    are simulated with blur (``data.blur_share``) have the exact law.

    Parameters
    ----------
    path : torch.Tensor, shape (n, t, 2)
        Positions.
    length : torch.Tensor, shape (n,)
        Points of each.
    exposure : torch.Tensor, shape (n,)
        e, in 0…1.

    Returns
    -------
    torch.Tensor, shape (n, t, 2)
    """
    frame = torch.arange(path.size(1) - 1, device=path.device)
    steps = path.diff(dim=1) * (frame < length[:, None] - 1)[..., None]
    moved = path[:, :-1] + exposure[:, None, None] / 2 * steps
    return torch.cat([moved, path[:, -1:]], dim=1)


def displacement_scale(path: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of the displacements per axis, the unit of 1/SNR.

    Parameters
    ----------
    path : torch.Tensor, shape (n, t, 2)
        Positions.
    length : torch.Tensor, shape (n,)
        Points of each.

    Returns
    -------
    torch.Tensor, shape (n, 1, 2)
        The root mean square where a trajectory flies straight along an axis, and the other axis'
        where it does not move along one.
    """
    frame = torch.arange(path.size(1) - 1, device=path.device)
    steps = path.diff(dim=1) * (frame < length[:, None] - 1)[..., None]
    count = (length - 1).clamp(min=1)[:, None, None]
    square = (steps**2).sum(1, keepdim=True) / count
    mean = steps.sum(1, keepdim=True) / count
    deviation = (square - mean**2).clamp(min=0).sqrt()
    scale = torch.where(deviation < 1e-3 * square.sqrt(), square.sqrt(), deviation)
    return torch.where(scale == 0, scale.flip(-1), scale)
