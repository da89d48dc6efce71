"""Several GPUs: one process each, started by ``torchrun``, gradients averaged (DDP)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Processes:
    """Which process this is among those that train one network.

    Attributes
    ----------
    rank, count : int
        Number of this process, and how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_environment(cls) -> Processes:
        """Join the processes that ``torchrun`` started, or be the only one."""
        import torch
        from torch import distributed

        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    def begin_alike(self, network: nn.Module) -> None:
        """Give the network of every process the parameters and statistics of the first's."""
        if self.count == 1:
            return
        from torch import distributed

        for values in network.state_dict().values():
            first = values.detach().contiguous()
            distributed.broadcast(first, src=0)
            values.copy_(first)

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients over the processes, after each backward pass.

        As `torch.nn.parallel.DistributedDataParallel` does, but in one exchange: its hooks keep the
        forward and backward pass from being one CUDA graph, and launching their many small kernels
        one by one costs more than a second GPU gains (67,000 against 104,000 trajectories/s).
        """
        if self.count == 1:
            return
        import torch
        from torch import distributed

        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        together = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(together)
        together /= self.count
        parts = torch.split(together, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, parts, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def agree(self, value: float) -> float:
        """Return the first process's value, in all of them."""
        if self.count == 1:
            return value
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return float(values[0])

    def any(self, fact: bool) -> bool:
        """Return whether a fact holds in any of the processes."""
        if self.count == 1:
            return fact
        from torch import distributed

        facts = [fact] * self.count
        distributed.all_gather_object(facts, fact)
        return any(facts)


def pick_device(device: str) -> str:
    """Return the torch device that fits, simulations and relevance models run on.

    Parameters
    ----------
    device : {"auto", "cuda", "cpu"}

    Raises
    ------
    SptError
        If it can't be used.
    """
    from spt_explain.resandi.backends.devices import why_not_torch_cuda

    if device not in ("auto", "cuda", "cpu"):
        raise SptError(
            f"{option('device', device)}: this runs on cuda or cpu; leave it out for either.",
            code="conflict",
            option="device",
        )
    if device == "cpu":
        return device
    why_not = why_not_torch_cuda()
    if device == "cuda" and why_not:
        raise SptError(
            f"{option('device', 'cuda')}: torch can't use it here: {why_not}. Leave it out, or see "
            "spt-explain doctor.",
            code="unavailable",
            option="device",
        )
    return local_device("cpu" if why_not else "cuda")


def local_device(device: str) -> str:
    """Return the GPU of this process under ``torchrun``, or `device` as it is."""
    rank = os.environ.get("LOCAL_RANK")
    if device != "cuda" or rank is None:
        return device
    import torch

    torch.cuda.set_device(int(rank))
    return f"cuda:{rank}"
