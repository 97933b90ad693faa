"""The processes of a training: one, or those that `torchrun` has started.

Every process holds the whole model, reads its own rows of every batch, and takes the same step.
The first one, the main one, alone writes and speaks.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass

from anexa.errors import UsageError


@dataclass(frozen=True)
class World:
    """A process among the others.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        restarts: how often `torchrun` has begun again, because a process had died.
    """

    rank: int = 0
    size: int = 1
    restarts: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def agree(self, *numbers: float) -> tuple[float, ...]:
        """The main process's numbers, in every process."""
        if self.size == 1:
            return numbers
        import torch
        from torch import distributed as dist

        cuda = dist.get_backend() == "nccl"
        tensor = torch.tensor(numbers, dtype=torch.float64, device="cuda" if cuda else "cpu")
        dist.broadcast(tensor, src=0)
        return tuple(tensor.tolist())

    def wait(self) -> None:
        """Until all processes are here."""
        self.agree(0.0)


def join(engine: str, device: str) -> tuple[World, str]:
    """Meet the other processes that `torchrun` has started, if it has; and this one's device.

    Args:
        engine: the one asked for.
        device: as asked for; with "auto" or "cuda" each process takes a GPU of its own.

    Raises:
        UsageError: the engine computes in one process only.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if size == 1:
        return World(restarts=restarts), device
    if engine not in ("torch", "auto"):
        raise UsageError(f"several processes need the torch engine, not {engine}")
    import torch
    from torch import distributed as dist
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    if device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    elif device == "auto":
        device = "cpu"
    world = World(int(os.environ["RANK"]), size, restarts)
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    ours = world.main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    # torchrun keeps one store for all attempts: without a name of its own, this one would find
    # the addresses of processes that have died.
    shared = TCPStore(*address, world_size=size, is_master=ours)
    store = PrefixStore(f"attempt-{restarts}", shared)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, store=store, rank=world.rank, world_size=size)
    return world, device


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
