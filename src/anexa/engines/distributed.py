"""Data-parallel training in several processes, with replicas or with shards of the weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank and the world size of this process; (0, 1) for a single process."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def wrap_model(network: nn.Module, sharded: bool) -> nn.Module:
    """Wrap a network for training, so that its gradients are averaged over all processes.

    Args:
        network: network with the same weights in every process.
        sharded: whether to shard weights, gradients and moments over the processes (FSDP2, Zhao et
            al., 2023); else each process holds a replica of everything (DDP, Li et al., 2020).

    Returns:
        The module to call in training: the network itself, changed in place, if it is sharded, or
        unchanged for a single process; else a `DistributedDataParallel` around it.
    """
    if rank_and_world_size()[1] == 1:
        return network
    if sharded:
        # In place: from now on the weights are shards, also after a forward pass without backward.
        fully_shard(network, reshard_after_forward=True)
        return network
    return DistributedDataParallel(network)


def no_sync(network: nn.Module) -> AbstractContextManager[None]:
    """Return a context manager in which gradients of replicas accumulate without synchronization.

    For a sharded network or a single process, it does nothing.

    Args:
        network: network that `wrap_model` returned.
    """
    if isinstance(network, DistributedDataParallel):
        return cast("AbstractContextManager[None]", network.no_sync())
    return nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """Gather the full tensor from its shards; every process must call this function.

    A tensor that is not sharded is returned unchanged.
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def distribute_like(tensor: Tensor, weight: Tensor) -> Tensor:
    """Shard a full tensor like a weight of its shape; if the weight is not sharded, return it."""
    if not isinstance(weight, DTensor):
        return tensor
    return distribute_tensor(tensor, weight.device_mesh, weight.placements)


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Return a tensor's mean over all processes, in its shape; every process must call this.

    With several processes, the tensor itself becomes the sum, in place.
    """
    _, count = rank_and_world_size()
    if count > 1:
        dist.all_reduce(tensor)
    return tensor / count


def seed_process(number: int) -> None:
    """Seed PyTorch's random numbers, with another seed in every process.

    Args:
        number: random seed, below 2³² and the same in all processes; 2³² · rank is added to it.
    """
    torch.manual_seed(number + (rank_and_world_size()[0] << 32))
