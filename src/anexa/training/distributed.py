"""Distributed training: one process, or several that `torchrun` has started.

Training is data-parallel: every process computes the gradients of its share of each batch, and all
take the same optimizer step. Only the main process, rank 0, writes files and prints.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from uuid import uuid4

from anexa.errors import AnexaError, UsageError


@dataclass(frozen=True)
class DistributedContext:
    """Rank, world size and device of this process.

    Attributes:
        rank: rank of this process, from 0.
        world_size: number of processes.
        launch: unique id of the `torchrun` command, the same in all processes and after a restart;
            "" without `torchrun`.
        device: device of this process; "" for a single process.
    """

    rank: int = 0
    world_size: int = 1
    launch: str = ""
    device: str = ""

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which writes files and prints."""
        return self.rank == 0

    def broadcast(self, *numbers: float) -> tuple[float, ...]:
        """Return the main process's numbers in every process."""
        if self.world_size == 1:
            return numbers
        import torch
        from torch import distributed as dist

        cuda = dist.get_backend() == "nccl"
        tensor = torch.tensor(numbers, dtype=torch.float64, device="cuda" if cuda else "cpu")
        dist.broadcast(tensor, src=0)
        return tuple(tensor.tolist())

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        self.broadcast(0.0)


def init_distributed(engine: str, device: str) -> DistributedContext:
    """Initialize PyTorch's process group, if `torchrun` has started several processes.

    Args:
        engine: requested engine.
        device: requested device; with "auto" or "cuda" each process takes its own GPU.

    Raises:
        UsageError: if the engine or the device does not support several processes.
        AnexaError: if there are fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    # torchrun keeps one store for all attempts, so that its entries survive a restart.
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
    if kept:  # the first process to come sets the id of the launch
        launch = shared.compare_set("anexa launch", "", uuid4().hex).decode()
    context = DistributedContext(rank, size, launch, own_device)
    if size > 1:
        # A prefix per attempt, so that a restart does not find addresses of dead processes.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"attempt-{attempt}", shared)
        backend = "gloo" if own_device == "cpu" else "nccl"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    return context


def _own_device(engine: str, asked: str) -> str:
    """Choose the device of this process, one of several, and make sure that it exists."""
    if engine not in ("torch", "auto"):
        raise UsageError(f"several processes need --engine torch, not {engine}")
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(f"several processes need --device cuda or cpu, not {asked}")
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "cpu" or (asked == "auto" and not gpus):
        return "cpu"
    rank, here = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    if here > gpus:
        raise AnexaError(
            f"{here} processes need {here} GPUs, but PyTorch finds {gpus} on this machine: start "
            "as many processes as there are GPUs, or use --device cpu"
        )
    torch.cuda.set_device(rank)
    return f"cuda:{rank}"


def destroy_distributed() -> None:
    """Shut down the process group.

    The caller must have dropped all references to shared objects, such as an engine: a thread of
    PyTorch that outlives the interpreter would abort the process.
    """
    from torch import distributed as dist

    gc.collect()
    dist.barrier()
    dist.destroy_process_group()
    gc.collect()
