"""Several GPUs: one process each, started by ``torchrun``, gradients averaged (DDP)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    def wrap(self, network: nn.Module, device: str) -> nn.Module:
        """Return the network with its gradients averaged over the processes."""
        if self.count == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        # each process keeps the running statistics of its own trajectories; they are alike
        ids = [int(device.split(":")[1])] if device.startswith("cuda:") else None
        return DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)

    def agree(self, value: float) -> float:
        """Return the first process's value, in all of them."""
        if self.count == 1:
            return value
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return float(values[0])


def local_device(device: str) -> str:
    """Return the GPU of this process under ``torchrun``, or `device` as it is."""
    rank = os.environ.get("LOCAL_RANK")
    if device != "cuda" or rank is None:
        return device
    import torch

    torch.cuda.set_device(int(rank))
    return f"cuda:{rank}"
