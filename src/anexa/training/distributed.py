"""Distributed training: one process, or several that `torchrun` has started.

Training is data-parallel: every process computes the gradients of its share of each batch, and all
take the same optimizer step. An engine is given the whole batch and takes its share of it, so loop,
order of the data and checkpoint do not depend on the number of processes. Only the main process,
rank 0, writes files and prints; it also decides on the progress of the run and whether to stop.
"""

from __future__ import annotations

import gc
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING
from uuid import uuid4

from anexa.errors import AnexaError, UsageError, one_line, short_repr
from anexa.process import announce_if_slow

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

# Times in seconds.
RENDEZVOUS_TIMEOUT = 300.0  # until all processes have connected
STORE_TIMEOUT = 10.0  # for PyTorch to open the store of a process that can be reached
RETRY_INTERVAL = 0.05  # between two attempts to reach the main process, or to count the others


@dataclass(frozen=True)
class DistributedContext:
    """Rank, world size and device of this process.

    Attributes:
        rank: rank of this process, from 0.
        world_size: number of processes.
        launch: unique id of the `torchrun` command, the same in all processes and after a restart;
            "" without `torchrun`.
        device: device of this process, such as "cuda:0" or "cpu"; "" for a single process.
    """

    rank: int = 0
    world_size: int = 1
    launch: str = ""
    device: str = ""

    @property
    def is_main_process(self) -> bool:
        """Whether this is the main process (rank 0), which writes files and prints."""
        return self.rank == 0

    def broadcast(self, *numbers: float) -> tuple[float, ...]:
        """Send numbers from the main process to all processes.

        Must be called in every process, with equally many numbers. Without `torchrun` the numbers
        are returned as they are.

        Returns:
            The numbers that the main process passed, as float64 if there are several processes.
        """
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


def init_distributed(
    engine: str, device: str, timeout: float = RENDEZVOUS_TIMEOUT
) -> DistributedContext:
    """Initialize PyTorch's process group, if `torchrun` has started several processes.

    On GPUs, it also makes the process's own GPU the current one. Call `destroy_distributed` at the
    end if `world_size` is above 1.

    Args:
        engine: requested engine.
        device: requested device; with "auto" or "cuda" each process takes its own GPU.
        timeout: seconds to wait for the other processes to connect.

    Returns:
        Rank, world size and device of this process; the default context without `torchrun`.

    Raises:
        UsageError: if the engine or the device does not support several processes, or a variable
            of the environment that `torchrun` sets is missing or malformed.
        AnexaError: if PyTorch is not installed, there are fewer GPUs than processes, or the other
            processes do not connect in time.
    """
    size = _variable("WORLD_SIZE", 1, default=1)
    # torchrun keeps one store for all attempts, so that its entries survive a restart.
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if size == 1 and not kept:
        _variable("RANK", 0, 0, default=0)
        return DistributedContext()
    own_device = _own_device(engine, device) if size > 1 else ""
    rank = _variable("RANK", 0, size - 1)
    address = _text("MASTER_ADDR"), _variable("MASTER_PORT", 1, 65535)
    with _meeting_errors(address):
        store = _meet(size, address, rank == 0 and not kept, timeout)
        launch = ""
        if kept:  # the first process names the launch
            launch = store.compare_set("anexa launch", "", uuid4().hex).decode()
        if size > 1:
            from torch import distributed as dist
            from torch.distributed import PrefixStore  # type: ignore[attr-defined]

            # With a shared prefix, an attempt would find the addresses of processes that have died.
            own = PrefixStore(f"attempt-{_attempt()}", store)
            backend = "gloo" if own_device == "cpu" else "nccl"
            dist.init_process_group(backend, store=own, rank=rank, world_size=size)
    return DistributedContext(rank, size, launch, own_device)


def _text(name: str) -> str:
    """Return the value of an environment variable that `torchrun` sets.

    Raises:
        UsageError: if the variable is not set.
    """
    text = os.environ.get(name)
    if not text:
        raise UsageError(
            f"the environment variable WORLD_SIZE says that there are several processes, but "
            f"{name} is not set: start them with torchrun, or unset WORLD_SIZE"
        )
    return text


def _variable(
    name: str, lowest: int, highest: int | None = None, default: int | None = None
) -> int:
    """Return the number in an environment variable that `torchrun` sets.

    Args:
        name: name of the variable.
        lowest: smallest valid number.
        highest: largest valid number; None: no limit.
        default: number if the variable is not set; None: the variable is required.

    Raises:
        UsageError: if the variable is not a number in the range, or is not set and has no default.
    """
    if default is not None and not os.environ.get(name):
        return default
    text = _text(name)
    number = int(text) if re.fullmatch("[0-9]{1,9}", text) else -1
    if number < lowest or (highest is not None and number > highest):
        bounds = f"a whole number from {lowest} to {highest}"
        if highest is None:
            bounds = f"a whole number from {lowest} on"
        elif not highest:
            bounds = "0 where WORLD_SIZE is 1 or not set"
        raise UsageError(
            f"the environment variable {name} must be {bounds}, not {short_repr(text)}: start "
            f"several processes with torchrun, or unset {name}"
        )
    return number


def _attempt() -> str:
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


@contextmanager
def _meeting_errors(address: tuple[str, int]) -> Iterator[None]:
    """Context manager that turns PyTorch's errors about the other processes into one sentence.

    Args:
        address: address and port at which all processes meet.

    Raises:
        AnexaError: if the processes cannot connect.
    """
    try:
        yield
    except RuntimeError as error:
        reason = one_line(str(error).partition("\n")[0])
        raise AnexaError(
            f"the processes cannot connect to each other at {address[0]}:{address[1]} "
            "(MASTER_ADDR, MASTER_PORT): "
            f"{reason}"
        ) from error


def _meet(size: int, address: tuple[str, int], is_master: bool, timeout: float) -> Store:
    """Open the store of all processes, and wait until all have connected.

    PyTorch would wait without a word, and no signal could end it.

    Args:
        size: number of processes.
        address: address and port at which all processes meet.
        is_master: whether this process listens at the address.
        timeout: seconds to wait for the other processes.

    Returns:
        PyTorch's key-value store, which all processes share.

    Raises:
        AnexaError: if the main process cannot be reached, or not all processes come in time.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    where = f"{address[0]}:{address[1]} (MASTER_ADDR and MASTER_PORT)"
    deadline = time.monotonic() + timeout
    with announce_if_slow(f"waiting for the main process at {where}"):
        while not is_master and (reason := _unreachable(address)):
            if time.monotonic() > deadline:
                raise AnexaError(f"there is no main process at {where}: {reason}")
            time.sleep(RETRY_INTERVAL)
    store = TCPStore(
        "localhost" if is_master else address[0],
        address[1],
        world_size=size,
        is_master=is_master,
        wait_for_workers=False,
        timeout=timedelta(seconds=STORE_TIMEOUT),
    )
    key = f"anexa arrived {_attempt()}"
    store.add(key, 1)
    with announce_if_slow(f"waiting for all {size} processes (WORLD_SIZE) to come to {where}"):
        while (arrived := store.add(key, 0)) < size:
            if time.monotonic() > deadline:
                raise AnexaError(
                    f"{arrived} of {size} processes (WORLD_SIZE) have connected to {where} within "
                    f"{timeout:g} seconds: start the others, or unset WORLD_SIZE"
                )
            time.sleep(RETRY_INTERVAL)
    store.set_timeout(timedelta(seconds=timeout))
    return store


def _unreachable(address: tuple[str, int]) -> str | None:
    """Return why nothing can be reached at an address, as a clause; None if something can."""
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _own_device(engine: str, asked: str) -> str:
    """Choose the device of this process, one of several, and check that it exists.

    Args:
        engine: requested engine.
        asked: requested device; with "auto" or "cuda" each process takes its own GPU.
    """
    if engine not in ("torch", "auto"):
        raise UsageError(
            f"several processes need --engine torch, not {engine}: to train in one process, unset "
            "the environment variable WORLD_SIZE"
        )
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(f"several processes need --device cuda or cpu, not {asked}")
    if not find_spec("torch"):
        raise AnexaError("several processes need PyTorch: pip install 'anexa[torch]'")
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "cpu" or (asked == "auto" and not gpus):
        return "cpu"
    here = _variable("LOCAL_WORLD_SIZE", 1)
    rank = _variable("LOCAL_RANK", 0, here - 1)
    if here > gpus:
        raise AnexaError(
            f"{here} processes need {here} GPUs, but PyTorch finds {gpus} on this machine: start "
            "as many processes as there are GPUs, or use --device cpu"
        )
    torch.cuda.set_device(rank)
    return f"cuda:{rank}"


@contextmanager
def peer_errors(context: DistributedContext) -> Iterator[None]:
    """Context manager that turns PyTorch's error about another process that ended into a sentence.

    Args:
        context: rank, world size and device of this process.

    Raises:
        AnexaError: if the connection to another process of the run is lost.
    """
    try:
        yield
    except RuntimeError as error:
        if context.world_size == 1:
            raise
        from torch import distributed as dist

        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise AnexaError(
            f"process {context.rank} has lost the connection to another one of the "
            f"{context.world_size} processes, which may have ended: start all of them again; the "
            "last checkpoint is complete"
        ) from error


def destroy_distributed() -> None:
    """Wait for all processes, and shut down their process group.

    Every process of the group must call it, and must have dropped all references to shared
    objects, such as an engine: a thread of PyTorch that outlives the interpreter would abort the
    process.
    """
    from torch import distributed as dist

    gc.collect()
    dist.barrier()
    dist.destroy_process_group()
    gc.collect()
