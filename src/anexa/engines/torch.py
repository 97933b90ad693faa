"""Rung 5: PyTorch tensors, with PyTorch's autograd, on CPU, CUDA and MPS."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anexa.engines import distributed
from anexa.engines.batch import Batch, TokenPositions
from anexa.engines.compiler import CompiledModule, is_out_of_memory
from anexa.engines.device import (
    DeviceConfig,
    micro_batch_size,
    release_free_memory,
    set_num_threads,
)
from anexa.engines.kv_cache import AnyLayerCache, ArrayDecoder
from anexa.engines.operations.headless import HeadlessOperations
from anexa.engines.operations.torch import TorchOperations
from anexa.engines.operations.torch_decode import TorchDecodeOperations
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.torch import TorchOptimizer
from anexa.engines.protocol import TrainStepOutput
from anexa.errors import OutOfMemoryError
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations
from anexa.model.weights import Weight, Weights

Result = TypeVar("Result")

RELEASE_INTERVAL = 50  # steps between releases of free memory, each of some milliseconds


class Network(nn.Module):
    """The model as an `nn.Module`, for `torch.compile`, DDP and FSDP.

    Args:
        config: architecture and sizes of the model.
        weights: tensors by the name of the weight, which the parameters share.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._config = config
        self._architecture = get_architecture(config)
        # Names of parameters must not contain dots.
        self._names = {name: name.replace(".", "/") for name in weights}
        for name, weight in weights.items():
            self.register_parameter(self._names[name], nn.Parameter(weight))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights by their names in the checkpoint."""
        return {name: cast(Tensor, getattr(self, key)) for name, key in self._names.items()}

    def forward(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor | None = None,
        loss_denominator: float | Tensor = 1.0,
        positions: TokenPositions | Tensor = 0,
        dropout: float = 0.0,
        kv_cache: Sequence[Any] | None = None,
        ops: Operations[Tensor] | None = None,
    ) -> Tensor:
        """Compute the logits, or, if there are targets, the loss.

        Args:
            tokens_BT: token ids.
            targets_BT: ids of the tokens to predict; `IGNORE_INDEX` for a token without a loss.
                None: compute the logits.
            loss_denominator: divisor of the summed loss: a number, or one per sequence, (B, 1).
            positions: positions of the tokens, as in `Operations.positions`, or a tensor, (B, T);
                default: 0, 1, 2, … in each sequence.
            dropout: fraction of activations that are set to 0; default: 0. Ignored with `ops`.
            kv_cache: KV cache of each layer, to which the tokens are appended; None: no cache.
            ops: implementation of the operations; default: `TorchOperations`.

        Returns:
            Logits, (B, T, V), or the loss, a scalar: the sum over the targets, divided by
            `loss_denominator`.
        """
        ops, weights = ops or TorchOperations(dropout), self.weights()
        forward = self._architecture.forward
        logits_BTV = forward(ops, self._config, weights, tokens_BT, positions, kv_cache)
        if targets_BT is None:
            return logits_BTV
        if logits_BTV.dtype == torch.bfloat16:  # not precise enough for the softmax over V
            logits_BTV = logits_BTV.float()
        return ops.cross_entropy(logits_BTV, targets_BT, loss_denominator)


class TorchEngine(ArrayDecoder):
    """Engine and batch engine on PyTorch tensors; `Engine` and `BatchEngine` document its methods.

    Creating an engine sets PyTorch's number of threads for the process: see `set_num_threads`.

    If `torch.distributed` is initialized, training is data-parallel: every process receives the
    whole batch, computes the gradients of its share of the sequences, and gets the sum over all
    processes.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name, which are copied; those of a mapped file may be shared until the
            first training step.
        optimizer: configuration of the optimizer.
        device_config: device and precision.
        seed: random seed of dropout.

    Raises:
        OutOfMemoryError: if the memory of the device is not enough for the model.
    """

    name = "torch"
    _concatenate = staticmethod(torch.cat)

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        optimizer: OptimizerConfig,
        device_config: DeviceConfig,
        seed: int = 0,
    ) -> None:
        set_num_threads(config)
        self.config = config
        self.dtype = "float64" if device_config.dtype == "float64" else "float32"
        self._device_config = device_config
        self._kind = device_config.device.partition(":")[0]
        self._dtype: torch.dtype = getattr(torch, self.dtype)
        self._product_dtype = torch.bfloat16 if device_config.dtype == "bf16" else self._dtype
        self._rank, self._world_size = distributed.rank_and_world_size()
        self._shares_memory = self._world_size == 1  # until the first training step
        with self._whole_model_memory():
            self._network = Network(
                config,
                {n: self._tensor(w, copy=not self._shares_memory) for n, w in weights.items()},
            )
            trainable = optimizer.trainable(config)
            for name, weight in self._network.weights().items():
                weight.requires_grad_(name in trainable)
            self._training = distributed.wrap_model(self._network, device_config.shard)
        self._optimizer = TorchOptimizer(
            optimizer, config, self._network.weights(), self._product_dtype
        )
        self._dropout, self._seed, self._step = optimizer.dropout, seed, 0
        self._compiled = CompiledModule(self._training) if device_config.compile else None
        self._tokens_per_micro_batch = micro_batch_size(config, device_config) * config.block_size

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        with self._inference():
            logits_BTV = self._network(self._from_numpy(np.array([tokens], np.int64)))
            return cast("list[list[float]]", logits_BTV[0].tolist())

    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]:
        head_VC = self._network.weights()[get_architecture(self.config).head(self.config)]
        ops = HeadlessOperations(TorchOperations(), head_VC).ops
        with self._inference():
            x_BTC = self._network(self._from_numpy(np.array([tokens], np.int64)), ops=ops)
            return cast("list[list[float]]", x_BTC[0].tolist())

    def loss(self, batch: Batch) -> float:
        def work() -> float:
            micro_batches = self._micro_batches(batch, slice(None))
            return sum(float(self._network(*arguments).item()) for arguments in micro_batches)

        # Without autocast: in the precision in which the model will be used. Not `inference_mode`:
        # gathered shards of weights live in memory that training uses as well.
        with torch.no_grad():
            return self._fit_in_memory(work, batch)

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss = self._backward(batch).item()
        weights = self._network.weights().items()
        with self._whole_model_memory():
            return loss, {n: _weight(cast(Tensor, w.grad)) for n, w in weights if w.requires_grad}

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        self._own_weights()
        loss = self._backward(batch, self._dropout)
        with self._whole_model_memory():
            norm = self._optimizer.step(learning_rate)
        self._step += 1
        if self._step % RELEASE_INTERVAL == 0:
            release_free_memory()
        return TrainStepOutput(*torch.stack((loss, norm.to(loss.dtype))).tolist())

    def weights(self) -> Weights:
        with self._whole_model_memory():
            return {name: _weight(w) for name, w in self._network.weights().items()}

    def optimizer_state(self) -> Weights:
        with self._whole_model_memory():
            return {key: _weight(moment) for key, moment in self._optimizer.state().items()}

    def load_optimizer_state(self, state: Weights, step: int) -> None:
        self._step = step
        with self._whole_model_memory():
            self._optimizer.load_state({key: self._tensor(w) for key, w in state.items()}, step)

    def _backward(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Compute the loss of a batch, and set `grad` of every trainable weight."""
        return self._fit_in_memory(lambda: self._accumulate(batch, dropout), batch)

    def _fit_in_memory(self, work: Callable[[], Result], batch: Batch) -> Result:
        """Call a function; when memory runs out, halve the micro-batches and call it again.

        Args:
            work: function that computes the batch in micro-batches.
            batch: token sequences and targets, for the error message.

        Returns:
            The result of `work`.

        Raises:
            OutOfMemoryError: if the memory is too small for micro-batches of one sequence, or, with
                several processes, for the first size.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                length = batch.shape[1]
                size = min(self._micro_batch_size(length), batch.shape[0] // self._world_size)
                if size == 1 or self._world_size > 1:
                    lower = "--block-size, --n-embd or --n-layer" if size == 1 else "--micro-batch"
                    sequences = f"{size} sequence{'s' if size > 1 else ''}"
                    raise OutOfMemoryError(
                        f"the memory of {self._device_config.device} is not enough for "
                        f"{sequences} of {length} tokens at once: lower {lower}"
                    ) from error
                self._tokens_per_micro_batch = size // 2 * length
            self._optimizer.zero_grad()
            if self._kind == "cuda":
                torch.cuda.empty_cache()

    @contextmanager
    def _whole_model_memory(self) -> Iterator[None]:
        """Context manager of an allocation for the whole model, of the same size for any batch.

        Raises:
            OutOfMemoryError: if the memory is too small.
        """
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"the memory of {self._device_config.device} is not enough for this model: lower "
                "--n-embd or --n-layer"
            ) from error

    def _accumulate(self, batch: Batch, dropout: float) -> Tensor:
        """Add up the gradients of this process's micro-batches.

        Returns:
            The loss of the whole batch, a scalar.
        """
        micro_batches = self._micro_batches(batch, slice(self._rank, None, self._world_size))
        self._optimizer.zero_grad()
        if dropout:  # seeded by seed and step, so that a retry drops the same activations
            distributed.seed_process(hash((self._seed, self._step)) & 0xFFFFFFFF)
        loss = torch.zeros((), dtype=self._dtype, device=self._device_config.device)
        for number, (x_BT, y_BT, loss_denominator, positions) in enumerate(micro_batches, start=1):
            is_last = number == len(micro_batches)
            # The processes average their gradients, but the sum is wanted.
            denominator = loss_denominator / self._world_size
            inputs = (x_BT, y_BT, denominator, positions, dropout)
            with nullcontext() if is_last else distributed.no_sync(self._training):
                if self._compiled:
                    loss += self._compiled.run(self._forward_backward, *inputs)
                else:
                    loss += self._forward_backward(self._training, *inputs)
        return distributed.mean_over_processes(loss)

    def _forward_backward(self, module: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Compute the loss of a micro-batch, and add its gradients to those of the weights."""
        with torch.autocast(
            self._kind, torch.bfloat16, enabled=self._device_config.dtype == "bf16"
        ):
            loss = module(*inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _micro_batches(
        self, batch: Batch, own: slice
    ) -> list[tuple[Tensor, Tensor, float | Tensor, int | Tensor]]:
        """Split the sequences of this process into micro-batches.

        Args:
            batch: token sequences and targets of all processes.
            own: slice of the sequences that this process computes.

        Returns:
            For each micro-batch the inputs, the targets, the loss denominators and the positions.
        """
        device, size = self._device_config.device, self._micro_batch_size(batch.shape[1])
        inputs_BT, targets_BT = (
            _to_tensor(numbers, batch.shape).to(device) for numbers in (batch.inputs, batch.targets)
        )
        # More processes than sequences: this one takes part with a loss of 0.
        if not len(inputs_BT[own]):
            return [(inputs_BT[:1], targets_BT[:1], math.inf, 0)]
        inputs, targets = (torch.split(x_BT[own], size) for x_BT in (inputs_BT, targets_BT))
        denominators: Sequence[float | Tensor] = [float(batch.num_targets)] * len(inputs)
        if batch.sequence_weights is not None:
            divisors_B = torch.tensor(batch.loss_denominators, dtype=self._dtype, device=device)
            denominators = torch.split(divisors_B[own, None], size)
        positions: Sequence[int | Tensor] = [0] * len(inputs)
        if batch.positions is not None:
            positions = torch.split(_to_tensor(batch.positions, batch.shape)[own], size)
        return list(zip(inputs, targets, denominators, positions))

    def _micro_batch_size(self, length: int) -> int:
        """Return the number of sequences of `length` tokens in a micro-batch."""
        size = max(1, self._tokens_per_micro_batch // length)
        return min(size, self._device_config.micro_batch or size)

    def _cached_logits(
        self,
        tokens_BT: Tensor,
        positions: TokenPositions,
        kv_cache: Sequence[AnyLayerCache],
        in_batch: bool,
    ) -> Tensor:
        ops = TorchDecodeOperations() if in_batch and self._kind == "cpu" else None
        network = self._network
        return cast(Tensor, network(tokens_BT, positions=positions, kv_cache=kv_cache, ops=ops))

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Context manager of inference without gradients.

        Raises:
            MemoryError: if the memory is too small, in place of PyTorch's own error.
        """
        try:
            with torch.inference_mode():
                yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from error

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device_config.device)

    def _from_numpy(self, x: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(x).to(self._device_config.device)

    def _to_numpy(self, x: Tensor) -> npt.NDArray[Any]:
        return x.cpu().numpy()

    def _tensor(self, weight: Weight, copy: bool = True) -> Tensor:
        """Return a weight on the device, in the engine's precision.

        Args:
            weight: weight in the file's precision.
            copy: whether a weight in a mapped file is copied; others always are.
        """
        dtype = torch.float32 if weight.typecode == "f" else torch.float64
        flat = torch.frombuffer(weight.data, dtype=dtype).view(weight.shape)
        copy = copy or not isinstance(weight.data, memoryview)
        return flat.to(self._device_config.device, self._dtype, copy=copy)

    def _own_weights(self) -> None:
        """Copy the weights that are in mapped files to memory, before they are changed."""
        if self._shares_memory:
            with self._whole_model_memory():
                for weight in self._network.parameters():
                    if weight.requires_grad:
                        weight.data = weight.data.clone()
            self._shares_memory = False


def _to_tensor(numbers: array[int], shape: tuple[int, int]) -> Tensor:
    """Return the numbers as a matrix on the CPU, without a copy."""
    return torch.frombuffer(numbers, dtype=torch.int64).view(shape)


def _weight(tensor: Tensor) -> Weight:
    """Copy a tensor into a `Weight`."""
    code = "f" if tensor.dtype == torch.float32 else "d"
    data = distributed.full_tensor(tensor.detach()).cpu().contiguous().numpy().tobytes()
    return Weight(tuple(tensor.shape), array(code, data))
