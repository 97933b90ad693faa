"""The processes of a training: one, or those that `torchrun` has started.

Every process holds the whole model, reads its own rows of every batch, and takes the same step.
The first one, the main one, alone writes and speaks.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from uuid import uuid4

from anexa.errors import AnexaError, UsageError


@dataclass(frozen=True)
class DistributedContext:
    """A process among the others.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        launch: a name that all have in common which one command started, again after a process
            had died too, and no others; "" without `torchrun`.
        device: the one of this process's own among several; "" if it is alone.
    """

    rank: int = 0
    size: int = 1
    launch: str = ""
    device: str = ""

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def broadcast(self, *numbers: float) -> tuple[float, ...]:
        """The main process's numbers, in every process."""
        if self.size == 1:
            return numbers
        import torch
        from torch import distributed as dist

        cuda = dist.get_backend() == "nccl"
        tensor = torch.tensor(numbers, dtype=torch.float64, device="cuda" if cuda else "cpu")
        dist.broadcast(tensor, src=0)
        return tuple(tensor.tolist())

    def barrier(self) -> None:
        """Until all processes are here."""
        self.broadcast(0.0)


def join(engine: str, device: str) -> DistributedContext:
    """Meet the other processes that `torchrun` has started, if it has.

    Args:
        engine: the one asked for.
        device: as asked for; with "auto" or "cuda" each process takes a GPU of its own.

    Raises:
        UsageError: the engine computes in one process only, or the device is no one's own.
        AnexaError: there are not enough GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    # torchrun keeps one store for all attempts, so that what it knows outlives them.
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if size == 1 and not kept:
        return DistributedContext()
    own_device = _own_device(engine, device) if size > 1 else ""
    from torch import distributed as dist
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    rank = int(os.environ["RANK"])
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    shared = TCPStore(*address, world_size=size, is_master=rank == 0 and not kept)
    launch = ""
    if kept:  # whoever is first gives the launch its name; it stays
        launch = shared.compare_set("anexa launch", "", uuid4().hex).decode()
    world = DistributedContext(rank, size, launch, own_device)
    if size > 1:
        # Without a name of its own, an attempt would find the addresses of processes that have
        # died.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"attempt-{attempt}", shared)
        backend = "gloo" if own_device == "cpu" else "nccl"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    return world


def _own_device(engine: str, asked: str) -> str:
    """The device of this process, one of several; known to be there."""
    if engine not in ("torch", "auto"):
        raise UsageError(f"several processes need the torch engine, not {engine}")
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(f"several processes compute with --device cuda or cpu, not {asked}")
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "cpu" or (asked == "auto" and not gpus):
        return "cpu"
    rank, here = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    if here > gpus:
        raise AnexaError(
            f"{here} processes need {here} GPUs, and PyTorch finds that this computer has {gpus}: "
            "start as many as there are, or give --device cpu"
        )
    torch.cuda.set_device(rank)
    return f"cuda:{rank}"


def leave() -> None:
    """Part from the other processes, in good order.

    Whoever still holds what is shared with them, an engine say, must let go of it first: threads
    of PyTorch's that outlive this would find Python gone, and abort the process.
    """
    from torch import distributed as dist

    gc.collect()
    dist.barrier()
    dist.destroy_process_group()
    gc.collect()
