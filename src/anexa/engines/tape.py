"""Reverse-mode differentiation over whole operations, for engines that have no autograd.

The tape has an entry for each operation (`Linear`, `Attention`), in the order of execution, so it
needs no topological sort. PyTorch's autograd records a graph of functions of its own instead, whose
gradients are built in; `recording=False` is its `torch.inference_mode`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeAlias, cast, get_origin

from anexa.model.operations import Operations, Tensor


# Not an ABC: in Python 3.10 the keyword `name` would be taken for a parameter of its metaclass.
class Operation(Generic[Tensor]):
    """A differentiable operation, as `torch.autograd.Function`: `forward`, and a `backward`.

    After `class Linear(Operation[Array], name="linear")`, the class computes the method `linear` of
    `anexa.model.operations.Operations`. Its `forward` has the parameters of that method: first the
    tensors, positional only, then the settings, which have no gradient.

    Attributes:
        name: name of the method; empty in a base class of several operations.
    """

    name: ClassVar[str] = ""

    def __init_subclass__(cls, name: str = "") -> None:
        super().__init_subclass__()
        cls.name = name or cls.name

    @abstractmethod
    def forward(self, *tensors: Any, **settings: Any) -> Any:
        """Compute the output, or a tuple of outputs, and keep on `self` what `backward` needs."""

    @abstractmethod
    def backward(self, *grads: Any) -> tuple[Tensor, ...]:
        """Compute the gradients of the input tensors from those of the outputs.

        Args:
            grads: dL/d(output) for each output of `forward`, in its shape.

        Returns:
            dL/d(input) for each tensor that `forward` received, in order; none for an optional
            tensor that was None.
        """


AnyOperation: TypeAlias = type[Operation[Any]]  # class of an operation on tensors of any type


def operations_of(module: ModuleType) -> list[AnyOperation]:
    """List the operations in a module: the subclasses of `Operation` with a `name`."""
    # On Python 3.10 an alias such as list[int] is an instance of `type`, and has an origin.
    values = vars(module).values()
    classes = [value for value in values if isinstance(value, type) and not get_origin(value)]
    return [cls for cls in classes if issubclass(cls, Operation) and cls.name]


@dataclass
class TapeEntry(Generic[Tensor]):
    """An entry of the tape: an operation that was applied.

    Attributes:
        operation: the operation, with what its `backward` needs.
        inputs: input tensors.
        outputs: output tensors; several only for `split`.
    """

    operation: Operation[Tensor]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Tape(Generic[Tensor]):
    """A gradient tape: applies operations, records them, and backpropagates through the records.

    An engine makes a subclass of its operations, which become methods: after
    `class ArrayTape(Tape[Array], operations=[Linear])`, `tape.linear(x, weight)` applies `Linear`.

    Attributes:
        operations: the class of each operation, by the name of the operation.
        recording: whether applied operations are recorded; False for inference.
        records: the applied operations, in order.
    """

    operations: ClassVar[dict[str, AnyOperation]] = {}

    def __init_subclass__(cls, operations: Iterable[AnyOperation]) -> None:
        super().__init_subclass__()
        new = {operation.name: operation for operation in operations}
        cls.operations = cls.operations | new
        for name, operation in new.items():
            setattr(cls, name, _as_method(operation))

    def __init__(self, recording: bool = True) -> None:
        self.recording = recording
        self.entries: list[TapeEntry[Tensor]] = []

    @property
    def ops(self) -> Operations[Tensor]:
        """The tape itself, typed as `Operations` for an architecture's `forward`.

        The type checker cannot see the methods that `__init_subclass__` adds;
        `tests/engines/test_operations.py` compares them with the protocol.
        """
        return cast("Operations[Tensor]", self)

    def dropout(self, x: Tensor, /) -> Tensor:
        """Return x, of any shape, unchanged: only the torch engine has dropout."""
        return x

    def backward(self, loss: Tensor, loss_grad: Tensor) -> dict[int, Tensor]:
        """Compute the gradients of all tensors, from the last record to the first.

        The tape and its records stay as they are.

        Args:
            loss: the output on this tape to differentiate; every output on the tape must lead to
                it.
            loss_grad: gradient of the loss with respect to itself, 1 as a tensor.

        Returns:
            dL/dt for every tensor t on the tape, by `id(t)`. The tape keeps its tensors alive, so
            no other object gets one of these ids.

        Raises:
            KeyError: if an output on the tape does not lead to the loss.
        """
        grads = {id(loss): loss_grad}
        for record in reversed(self.entries):
            output_grads = [grads[id(output)] for output in record.outputs]
            input_grads = record.operation.backward(*output_grads)
            for tensor, grad in zip(record.inputs, input_grads):
                if id(tensor) in grads:  # used more than once, as a tied table: gradients add up
                    grad = self.operations["add"]().forward(grads[id(tensor)], grad)
                grads[id(tensor)] = grad
        return grads


def _as_method(operation_type: AnyOperation) -> Callable[..., Any]:
    """Create the method of a tape that applies an operation and records it."""
    num_tensors = operation_type.forward.__code__.co_posonlyargcount - 1  # all but `self`

    def apply(tape: Tape[Any], *args: Any, **settings: Any) -> Any:
        operation = operation_type()
        output = operation.forward(*args, **settings)
        if tape.recording:
            inputs = tuple([tensor for tensor in args[:num_tensors] if tensor is not None])
            outputs = output if isinstance(output, tuple) else (output,)
            tape.entries.append(TapeEntry(operation, inputs, outputs))
        return output

    return apply
