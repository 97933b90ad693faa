"""A network among several processes: copies of it, or its parts."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


def processes() -> tuple[int, int]:
    """The number of this process, and how many there are; 0 and 1 where it is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def wrap_model(network: nn.Module, sharded: bool) -> nn.Module:
    """The network as it is to be called in training, so that gradients are those of all processes.

    Args:
        network: the same in every process.
        sharded: whether each process keeps only its part of weights, gradients and moments (FSDP2,
            Zhao et al., 2023), which come together for a step's products; else each keeps all
            (DDP, Li et al., 2020).
    """
    if processes()[1] == 1:
        return network
    if sharded:
        # In place: its weights are parts from now on, after a forward alone too.
        fully_shard(network, reshard_after_forward=True)
        return network
    return DistributedDataParallel(network)


def no_sync(network: nn.Module) -> AbstractContextManager[None]:
    """While this lasts, copies do not tell each other their gradients: more will come."""
    if isinstance(network, DistributedDataParallel):
        return cast("AbstractContextManager[None]", network.no_sync())
    return nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may have a part; all processes must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def distribute_like(tensor: Tensor, weight: Tensor) -> Tensor:
    """A whole tensor, in parts if the weight is."""
    if not isinstance(weight, DTensor):
        return tensor
    return distribute_tensor(tensor, weight.device_mesh, weight.placements)


def mean(tensor: Tensor) -> Tensor:
    """The mean over the processes, in all of them."""
    _, count = processes()
    if count > 1:
        dist.all_reduce(tensor)
    return tensor / count


def seed(number: int) -> None:
    """Begin the random numbers of this process, which are its own, at a number."""
    torch.manual_seed(number + (processes()[0] << 32))
