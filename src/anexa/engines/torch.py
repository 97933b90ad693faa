"""Rung 4: PyTorch. The same function on tensors, with PyTorch's autograd."""

from __future__ import annotations

import math
import warnings
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from anexa.engines import distributed
from anexa.engines import kv_cache as caches
from anexa.engines.device import DeviceConfig, micro_batch_size, release_free_memory, use_threads
from anexa.engines.kv_cache import BLOCK, LayerDecodeCache, LayerKVCache
from anexa.engines.operations.torch import Starts, TorchOperations
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.torch import TorchOptimizer
from anexa.engines.protocol import Batch, BatchKVCache, KVCache, Logits, TrainStepOutput
from anexa.errors import AnexaError, AnexaWarning
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights

Result = TypeVar("Result")

# Products of fewer rows are added up in another order, and what is left over of vectors is computed
# by other functions; so a text would depend a little on how many others are read with it.
FEWEST = 4
VECTORS = 32  # numbers that a processor computes at once, at most

TRIM_INTERVAL = 50  # steps; it takes some milliseconds


class Network(nn.Module):
    """An architecture and its weights, in the form that PyTorch's compiler and wrappers take."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._config = config
        self._architecture = architecture(config)
        self._names = {name: name.replace(".", "/") for name in weights}  # a module has no dots
        for name, weight in weights.items():
            self.register_parameter(self._names[name], nn.Parameter(weight))

    def weights(self) -> dict[str, Tensor]:
        """The weights as they are now, by their own names."""
        return {name: cast(Tensor, getattr(self, key)) for name, key in self._names.items()}

    def forward(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor | None = None,
        divisor: float | Tensor = 1.0,
        dropout: float = 0.0,
        start: Starts = 0,
        kv_cache: Sequence[Any] | None = None,
    ) -> Tensor:
        """The logits (B, T, V), or with targets the sum of their losses, divided."""
        ops, weights = TorchOperations(dropout), self.weights()
        forward = self._architecture.forward
        logits_BTV = forward(ops, self._config, weights, tokens_BT, start, kv_cache)
        if targets_BT is None:
            return logits_BTV
        if logits_BTV.dtype == torch.bfloat16:  # in which a sum over V would lose too much
            logits_BTV = logits_BTV.float()
        return ops.cross_entropy(logits_BTV, targets_BT, divisor)


class TorchEngine:
    """An `anexa.engines.protocol.Engine` on tensors.

    Where PyTorch's distributed engine has been set up, a training step is shared: every process
    is given the whole batch, computes its own rows, and has the sum of all gradients.
    """

    name = "torch"

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        optimizer: OptimizerConfig,
        machine: DeviceConfig,
        seed: int = 0,
    ) -> None:
        use_threads(config)
        self.config = config
        self.dtype = "float64" if machine.dtype == "float64" else "float32"
        self._machine = machine
        self._kind = machine.device.partition(":")[0]
        self._dtype: torch.dtype = getattr(torch, self.dtype)
        self._product_dtype = torch.bfloat16 if machine.dtype == "bf16" else self._dtype
        self._rank, self._processes = distributed.processes()
        with self._whole_model():
            self._network = Network(config, {name: self._tensor(w) for name, w in weights.items()})
            self._training = distributed.wrap_model(self._network, machine.sharded)
        self._optimizer = TorchOptimizer(
            optimizer, config, self._network.weights(), self._product_dtype
        )
        self._dropout, self._seed, self._step = optimizer.dropout, seed, 0
        self._step_module: Callable[..., Tensor] = self._training
        if machine.compiled:
            self._step_module = torch.compile(self._training)
        self._tokens_at_once = micro_batch_size(config, machine) * config.block_size

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        """See `Engine`, here and below."""
        with torch.inference_mode():
            logits_BTV = self._network(self._tokens(tokens))
            return cast("list[list[float]]", logits_BTV[0].tolist())

    def loss(self, batch: Batch) -> float:
        def work() -> float:
            pieces = self._pieces(batch, slice(None))
            return sum(float(self._network(*piece).item()) for piece in pieces)

        # In the precision in which the model will be used. No `inference_mode`: parts of weights
        # are put together in memory that training uses too.
        with torch.no_grad():
            return self._fitting(work, batch)

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss = self._backward(batch).item()
        weights = self._network.weights()
        return loss, {name: _weight(cast(Tensor, w.grad)) for name, w in weights.items()}

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        loss = self._backward(batch, self._dropout)
        with self._whole_model():
            norm = self._optimizer.step(learning_rate)
        self._step += 1
        if self._step % TRIM_INTERVAL == 0:
            release_free_memory()
        return TrainStepOutput(*torch.stack((loss, norm.to(loss.dtype))).tolist())

    def new_kv_cache(self) -> KVCache:
        with _inference():
            return KVCache([LayerKVCache(*room, torch.cat) for room in self._room(1, BLOCK)])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        with _inference():
            logits_BTV = self._network(
                self._tokens(tokens), start=cache.length, kv_cache=cache.layers
            )
            cache.length += len(tokens)
            return cast("Sequence[float]", logits_BTV[0, -1].cpu().numpy())

    def new_batch_cache(self, most: int) -> BatchKVCache:
        return BatchKVCache(
            self._room(self._whole_rows(most), caches.round_up_to_block(self.config.block_size))
        )

    def add_sequence(self, rows: BatchKVCache, cache: KVCache) -> None:
        with _inference():
            caches.add_sequence(rows, cache)

    def remove_sequence(self, rows: BatchKVCache, row: int) -> None:
        with _inference():
            caches.remove_sequence(rows, row)

    def batch_next_logits(self, tokens: Sequence[int], rows: BatchKVCache) -> Logits:
        device, count = self._machine.device, len(tokens)
        more = self._whole_rows(count) - count  # rows that nobody is in
        lengths = (*rows.lengths, *[0] * more)
        with _inference():
            starts = torch.tensor(lengths, device=device)
            later = torch.arange(caches.num_keys(rows), device=device) > starts[:, None]
            mask_B11S = torch.zeros(later.shape, dtype=self._dtype, device=device)
            mask_B11S = mask_B11S.masked_fill_(later, -math.inf)[:, None, None]
            texts = torch.arange(count + more, device=device)
            kv_cache = [LayerDecodeCache(layer, texts, starts, mask_B11S) for layer in rows.layers]
            tokens_BT = torch.tensor([*tokens, *[0] * more], device=device)[:, None]
            logits_BTV = self._network(tokens_BT, start=lengths, kv_cache=kv_cache)
            rows.lengths = [length + 1 for length in rows.lengths]
            return cast("Logits", logits_BTV[:count, -1].cpu().numpy())

    def weights(self) -> Weights:
        return {name: _weight(w) for name, w in self._network.weights().items()}

    def optimizer_state(self) -> Weights:
        return {key: _weight(moment) for key, moment in self._optimizer.state().items()}

    def resume(self, state: Weights, step: int) -> None:
        self._step = step
        self._optimizer.resume({key: self._tensor(w) for key, w in state.items()}, step)

    def _backward(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """The loss; every weight's `grad` is its derivative in it."""
        return self._fitting(lambda: self._accumulate(batch, dropout), batch)

    def _fitting(self, work: Callable[[], Result], batch: Batch) -> Result:
        """Have work on a batch done, with fewer rows at once where memory is short.

        Raises:
            AnexaError: it is not enough for one row.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                rows = min(self._rows(batch.shape[1]), batch.shape[0] // self._processes)
                if rows == 1 or self._processes > 1:
                    lower = "--block-size, --n-embd or --n-layer" if rows == 1 else "--micro-batch"
                    raise AnexaError(
                        f"the memory of {self._machine.device} is not enough for {rows} "
                        f"row{'s' if rows > 1 else ''} of {batch.shape[1]} tokens at once: lower "
                        f"{lower}; the last checkpoint is whole"
                    ) from error
                self._tokens_at_once = rows // 2 * batch.shape[1]
            self._optimizer.zero_grad()
            if self._kind == "cuda":
                torch.cuda.empty_cache()

    @contextmanager
    def _whole_model(self) -> Iterator[None]:
        """What is done here takes memory for every weight.

        Raises:
            AnexaError: there is not enough.
        """
        try:
            yield
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            raise AnexaError(
                f"the memory of {self._machine.device} is not enough for this model: lower "
                "--n-embd or --n-layer"
            ) from error

    def _accumulate(self, batch: Batch, dropout: float) -> Tensor:
        pieces = self._pieces(batch, slice(self._rank, None, self._processes))
        self._optimizer.zero_grad()
        if dropout:  # a function of the seed and the step, so that trying again changes nothing
            distributed.seed(hash((self._seed, self._step)) & 0xFFFFFFFF)
        loss = torch.zeros((), dtype=self._dtype, device=self._machine.device)
        for number, (x_BT, y_BT, divisor) in enumerate(pieces, start=1):
            more = number < len(pieces)
            with distributed.no_sync(self._training) if more else nullcontext():
                with torch.autocast(
                    self._kind, torch.bfloat16, enabled=self._machine.dtype == "bf16"
                ):
                    # The processes' gradients are averaged, where their sum is wanted.
                    share = self._call(x_BT, y_BT, divisor / self._processes, dropout)
                share.backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        return distributed.mean(loss)

    def _call(self, *inputs: Any) -> Tensor:
        """The network as it is trained: compiled, unless the compiler turns out not to work."""
        try:
            share: Tensor = self._step_module(*inputs)
        except RuntimeError as error:
            if self._step_module is self._training or _out_of_memory(error):
                raise
            # Whatever else it is comes again without the compiler, or was the compiler's.
            self._step_module = self._training
            line = str(error).strip().partition("\n")[0]
            warnings.warn(
                f"training goes on without torch.compile, which failed: {line}", AnexaWarning, 2
            )
            share = self._training(*inputs)
        return share

    def _pieces(self, batch: Batch, own: slice) -> list[tuple[Tensor, Tensor, float | Tensor]]:
        """Split rows of a batch into micro-batches: inputs, targets and loss denominators."""
        device, rows = self._machine.device, self._rows(batch.shape[1])
        flat = (torch.frombuffer(a, dtype=torch.int64) for a in (batch.inputs, batch.targets))
        inputs_BT, targets_BT = (a.view(batch.shape).to(device) for a in flat)
        if not len(inputs_BT[own]):  # of more processes than rows: take part, and count for nothing
            return [(inputs_BT[:1], targets_BT[:1], math.inf)]
        pieces = zip(torch.split(inputs_BT[own], rows), torch.split(targets_BT[own], rows))
        if batch.sequence_weights is None:
            return [(x_BT, y_BT, float(batch.num_targets)) for x_BT, y_BT in pieces]
        divisors_B = torch.tensor(batch.loss_denominators, dtype=self._dtype, device=device)
        loss_denominators = torch.split(divisors_B[own, None], rows)
        return [(x_BT, y_BT, divisor) for (x_BT, y_BT), divisor in zip(pieces, loss_denominators)]

    def _rows(self, length: int) -> int:
        """How many rows of a length have room at once."""
        rows = max(1, self._tokens_at_once // length)
        return min(rows, self._machine.micro_batch or rows)

    def _whole_rows(self, count: int) -> int:
        """So many rows, or a few more; none of the numbers in them are left over of vectors."""
        whole = VECTORS // math.gcd(VECTORS, self.config.n_inner)
        return -(-max(count, FEWEST) // whole) * whole

    def _room(self, texts: int, places: int) -> list[tuple[Tensor, Tensor]]:
        """For each layer keys and values, (B, H, S, D), of so many tokens."""
        config, device = self.config, self._machine.device
        shape = (texts, config.n_kv_head, places, config.head_dim)
        rooms = torch.zeros((config.n_layer, 2, *shape), dtype=self._dtype, device=device)
        return [(keys, values) for keys, values in rooms]

    def _tokens(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor([list(tokens)], device=self._machine.device)

    def _tensor(self, weight: Weight) -> Tensor:
        """A copy of a weight, in the engine's precision, on its device."""
        kind = torch.float32 if weight.data.typecode == "f" else torch.float64
        flat = torch.frombuffer(weight.data, dtype=kind)
        return flat.view(weight.shape).to(self._machine.device, self._dtype, copy=True)


def _weight(tensor: Tensor) -> Weight:
    """A copy of a tensor, in the form that all engines understand."""
    code = "f" if tensor.dtype == torch.float32 else "d"
    data = distributed.full_tensor(tensor.detach()).cpu().contiguous().numpy().tobytes()
    return Weight(tuple(tensor.shape), array(code, data))


@contextmanager
def _inference() -> Iterator[None]:
    """What is done here has no gradients; of memory that is short it says what Python would."""
    try:
        with torch.inference_mode():
            yield
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        raise MemoryError(str(error)) from error


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether it is the memory: on a CPU PyTorch says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
