"""Grad-CAM without a backward pass: which nodes of the last stage speak for a class.

With global average pooling and one linear layer, the gradient of a logit with respect to a node of
the last stage's feature map k is the linear weight W_k over the number of nodes, the same for all
nodes, so the influence of the map (Bae, Baek & Jeong, Eq. 1) needs no backward pass, and the score
of node i is G_i = Σ_k a_k A_ik (Eq. 2). A probability's follows from the softmax:
∂p_c/∂z_j = p_c (δ_cj − p_j). Where the network tells classes under several conditions jointly, the
logit of a class is the logarithm of the sum of the exponentials of its joint logits.

A consequence: without conditions, the scores of a trajectory sum to the logit of its class less the
bias. Ranking trajectories by their mean Grad-CAM score of the logit is ranking them by that logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.resandi.network import ResAnDi

ScoreOf = Literal["logit", "probability"]


@dataclass(frozen=True)
class GradCam:
    """Scores of the nodes of the last stage.

    Attributes
    ----------
    scores : list of torch.Tensor, shape (n_i, nodes_i)
        By group of inputs; 0 in masked padding. Positive where a node speaks for the class.
    inside : list of torch.Tensor, shape (n_i, nodes_i), bool, or None
        Which nodes cover frames of the trajectory; None for padding that the network can't tell
        from a particle at rest, whose nodes have scores too.
    logits : torch.Tensor, shape (n, classes)
        What the network said of the classes.
    target : torch.Tensor, shape (n,)
        The class that was explained.
    """

    scores: list[torch.Tensor]
    inside: list[torch.Tensor | None]
    logits: torch.Tensor
    target: torch.Tensor

    def totals(self) -> torch.Tensor:
        """Return the sum of each trajectory's scores, shape (n,).

        Of the logit, without ReLU and without conditions, it is the logit less its bias. It ranks
        trajectories as the mean over nodes does where all have the same number of nodes, as in the
        published network; where they differ, the mean would favour short ones, since it divides by
        their number once more.
        """
        return torch.cat([scores.sum(1) for scores in self.scores])


@torch.no_grad()
def grad_cam(
    network: ResAnDi,
    groups: Sequence[torch.Tensor],
    target: torch.Tensor | None = None,
    *,
    against: torch.Tensor | None = None,
    of: ScoreOf = "logit",
    log_weights: torch.Tensor | None = None,
    relu: bool = False,
) -> GradCam:
    """Score the nodes of the last stage, one forward pass for all trajectories.

    Parameters
    ----------
    network : ResAnDi
        In evaluation mode.
    groups : sequence of torch.Tensor, shape (n_i, channels, length_i)
        Inputs, as for the network.
    target : torch.Tensor, shape (n,), optional
        Class to explain for each trajectory, in the order of the groups; the most probable one by
        default.
    against : torch.Tensor, shape (n,), optional
        Explain why `target` and not this class: the difference of their outputs.
    of : {"logit", "probability"}
        Which output: the logit, as in the authors' code, or the probability, as in the paper.
    log_weights : torch.Tensor, shape (conditions,), optional
        Added to the joint logits: what a recording has shown of its conditions.
    relu : bool
        Set negative scores to zero, as Selvaraju et al. (doi:10.1109/ICCV.2017.74) do and the
        authors do not.

    Returns
    -------
    GradCam

    Raises
    ------
    ValueError
        If the network is in training mode, where every pass changes its statistics.
    """
    if network.training:
        raise ValueError("the network is in training mode; call network.eval() first")
    maps, masks = network.features(groups)
    counts = [_count(image, mask) for image, mask in zip(maps, masks, strict=True)]
    means = [image.sum(2) / count for image, count in zip(maps, counts, strict=True)]
    shape = network.architecture
    joint = network.fc(torch.cat(means))[:, : shape.n_logits].float()
    joint = joint.view(len(joint), -1, shape.n_conditions)
    if log_weights is not None:
        joint = joint + log_weights
    logits = joint.logsumexp(2)
    if target is None:
        target = logits.argmax(1)
    # of a class's logit with respect to its joint logits: the conditions' shares within the class
    wanted = directions(logits, target, against, of)[..., None] * joint.softmax(2)
    weight = wanted.flatten(1) @ network.fc.weight[: shape.n_logits].float()
    scores = []
    parts = torch.split(weight, [len(image) for image in maps])
    for image, count, part in zip(maps, counts, parts, strict=True):
        scores.append(node_scores(image, part, count, relu=relu))
    inside = [None if mask is None else mask[:, 0] > 0 for mask in masks]
    return GradCam(scores, inside, logits, target)


def directions(
    logits: torch.Tensor,
    target: torch.Tensor,
    against: torch.Tensor | None = None,
    of: ScoreOf = "logit",
) -> torch.Tensor:
    """Return the derivative of what is explained with respect to the classes' logits.

    Parameters
    ----------
    logits : torch.Tensor, shape (n, classes)
    target, against, of
        As for `grad_cam`.

    Returns
    -------
    torch.Tensor, shape (n, classes)
    """
    wanted = torch.nn.functional.one_hot(target, logits.size(1)).to(logits.dtype)
    if against is not None:
        wanted = wanted - torch.nn.functional.one_hot(against, logits.size(1))
    if of == "logit":
        return wanted
    p = logits.softmax(1)
    return p * (wanted - (p * wanted).sum(1, keepdim=True))


def node_scores(
    maps: torch.Tensor, weight: torch.Tensor, count: torch.Tensor | float, *, relu: bool = False
) -> torch.Tensor:
    """Return the scores of nodes from feature maps of any origin (torch, or ONNX Runtime).

    Parameters
    ----------
    maps : torch.Tensor, shape (n, channels, nodes)
        Outputs of the last stage; 0 in masked padding.
    weight : torch.Tensor, shape (n, channels)
        Derivative of what is explained with respect to the pooled maps: `directions` (and the
        conditions' shares within each class) times the linear layer's weights.
    count : torch.Tensor, shape (n, 1), or float
        Nodes that the pooling divides by.
    relu : bool
        Set negative scores to zero.

    Returns
    -------
    torch.Tensor, shape (n, nodes)
    """
    scores = torch.einsum("nkt,nk->nt", maps.float(), weight / count)
    return scores.relu() if relu else scores


def _count(maps: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the nodes that the pooling divides by, shape (n, 1)."""
    if mask is None:
        return torch.full((len(maps), 1), float(maps.size(2)), device=maps.device)
    return mask.sum(2).clamp(min=1)
