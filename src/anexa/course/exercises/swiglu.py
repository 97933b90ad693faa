"""Chapter 11: an operation and its gradient, compared with those of the engine `lists`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask

Vector = list[float]
Forward = Callable[[Vector, Vector], Vector]  # function like `forward`
Backward = Callable[[Vector, Vector, Vector], Sequence[Vector]]  # function like `backward`

TOLERANCE = 1e-12  # Question.tolerance of most questions
ANNA = [10, 0, 5, 5, 0, 10]  # token ids that the small Llama is trained on
# Question.why, here and below.
WHY = "Each number is a · σ(a) · b: the gate a decides how much of b comes through."
WHY_GRADIENT = (
    "The gradient of a is g · b times the slope of a · σ(a), which has the two terms σ(a) and "
    "a · σ(a) · (1 − σ(a)). That of b is g · a · σ(a). A wrong slope bends every step a little."
)
WHY_MODEL = (
    "Single calls were right, and in the model they are not: the gradients must depend on "
    "nothing but the arguments of the call."
)


class ChangedInput(Exception):
    """Raised if a function of the reader has changed its arguments."""


def forward(a: Vector, b: Vector) -> Vector:
    """Compute SwiGLU, a · σ(a) · b, by the engine `lists`."""
    from anexa.engines.operations.lists import SwiGLU

    return list(map(float, SwiGLU().forward([a], [b])[0]))


def backward(a: Vector, b: Vector, g: Vector) -> tuple[Vector, Vector]:
    """Compute the gradients of a and b from that of the output, g, by the engine `lists`."""
    from anexa.engines.operations.lists import SwiGLU

    operation = SwiGLU()
    operation.forward([a], [b])
    da, db = operation.backward([g])
    return list(map(float, da[0])), list(map(float, db[0]))


def ask_operation(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file; "model" computes a model with its functions.

    Raises:
        ChangedInput: if a function has changed its arguments.
        MissingName: if the file does not define a name that the question needs.
    """
    if call == BY_HAND:
        return ask(names, call, arguments)

    def checked(name: str, *vectors: Vector) -> Any:
        given = copy.deepcopy(vectors)
        result = ask(names, name, given)
        if given != vectors:
            raise ChangedInput(f"{name} has changed a list that it was given")
        return result

    if call == "model":
        return model_gradients(
            lambda a, b: list(checked("swiglu", a, b)),
            lambda a, b, g: list(map(list, checked("swiglu_gradient", a, b, g))),
        )
    if call == "swiglu_gradient":
        checked("swiglu", *arguments[:2])  # in a training, it always comes first
    return checked(call, *arguments)


def model_gradients(forward: Forward, backward: Backward) -> dict[str, Any]:
    """Compute loss and gradients of a Llama of two layers in `lists`, with two functions as SwiGLU.

    Returns:
        The number "loss", in nats per token, and for each weight before SwiGLU "the gradient of
        NAME", a matrix, from the last layer to the first.
    """
    from anexa.engines.lists import ListsTape
    from anexa.engines.nested import nest
    from anexa.engines.tape import Operation
    from anexa.engines.verification import example_model_and_batch
    from anexa.model.architectures import get_architecture

    class SwiGLU(Operation[Any], name="swiglu"):
        def forward(self, gate: Any, up: Any, /) -> Any:
            self.gate, self.up = gate, up
            return [forward(a, b) for a, b in zip(gate, up)]

        def backward(self, grad: Any) -> tuple[Any, ...]:
            rows = [backward(a, b, g) for a, b, g in zip(self.gate, self.up, grad)]
            return [da for da, _ in rows], [db for _, db in rows]

    class ReadersTape(ListsTape, operations=[SwiGLU]):
        pass

    config, weights, _ = example_model_and_batch("llama")
    nested = {name: nest(weight.data, weight.shape) for name, weight in weights.items()}
    tape = ReadersTape()
    logits = get_architecture(config).forward(tape.ops, config, nested, ANNA[:-1], 0, None)
    loss: Any = tape.ops.cross_entropy(logits, ANNA[1:], loss_denominator=len(ANNA) - 1)
    gradients, found = tape.backward(loss, [1.0]), {"loss": loss[0]}
    for layer in reversed(range(config.n_layer)):
        for kind in ("gate_proj", "up_proj"):
            name = f"model.layers.{layer}.mlp.{kind}.weight"
            found[f"the gradient of {name}"] = gradients[id(nested[name])]
    return found


def sigma(a: float) -> float:
    """Compute the logistic function, σ(a) = 1 / (1 + e^−a)."""
    from anexa.engines.operations.lists import logistic

    return logistic(a)


_EXCHANGED = (
    "The gradients are exchanged: the first one is that of a. With both the wrong way round, each "
    "weight learns what another one should."
)
_GATE = "The gate is a, not b: σ is taken of a."
_OVERFLOW = (
    "e to the power of a large number is larger than any number that a float can have. Compute σ "
    "from a power of a negative number: 1 / (1 + e⁻ᵃ) if a is positive, and eᵃ / (1 + eᵃ) if not."
)
_CHANGED = "The inputs still belong to others, such as another operation: make new lists."
_ONE = "There are two inputs, and each of them has a gradient: return two lists."

# What is computed in place of a · σ(a) · b, with s = σ(a).
_WRONG_OUTPUTS: list[tuple[str, Callable[[float, float, float], float]]] = [
    ("This is σ(a) · b: the a before σ is missing.", lambda _a, b, s: s * b),
    ("This is a · σ(a): it has to be multiplied by b.", lambda a, _b, s: a * s),
    (_GATE, lambda a, b, _s: b * sigma(b) * a),
    ("σ has the wrong sign: it is 1 / (1 + e⁻ᵃ), with a minus.", lambda a, b, s: a * (1 - s) * b),
    ("This is ReLU, which cuts off. SwiGLU bends instead.", lambda a, b, _s: max(0.0, a) * b),
    ("These are the numbers without the gate.", lambda a, b, _s: a * b),
]

# Wrong gradients of a, without g and b; and wrong gradients of b, without g.
_WRONG_SLOPES: list[tuple[str, Callable[[float, float], float]]] = [
    (
        "This takes σ(a) for a constant. a is in it as well: the product rule has two terms.",
        lambda _a, s: s,
    ),
    (
        "Of the two terms of the product rule, σ(a) by itself is missing.",
        lambda a, s: a * s * (1 - s),
    ),
    ("This is the slope of σ(a), and not that of a · σ(a).", lambda _a, s: s * (1 - s)),
    ("The slope of σ(a) is σ(a) · (1 − σ(a)), with a minus.", lambda a, s: s + a * s * (1 + s)),
    ("The slope of σ(a) has two factors: σ(a) and 1 − σ(a).", lambda a, s: s + a * (1 - s)),
]
_WRONG_UP: list[tuple[str, Callable[[float, float], float]]] = [
    ("In the gradient of b, the factor a is missing.", lambda _a, s: s),
    ("In the gradient of b, the factor σ(a) is missing.", lambda a, _s: a),
]


def wrong_gradients(a: Vector, b: Vector, g: Vector) -> list[tuple[str, Any]]:
    """Return pairs of a sentence about a typical mistake, and the gradients that it leads to."""
    da, db = backward(a, b, g)
    rows = [(ai, bi, gi, sigma(ai)) for ai, bi, gi in zip(a, b, g)]
    no_g = [list(one) for one in backward(a, b, [1.0] * len(g))]
    slopes = backward(a, [1.0] * len(b), g)[0]
    found: list[tuple[str, Any]] = [
        ("g is missing: it is the gradient of y, and the chain rule multiplies by it.", no_g),
        ("In the gradient of a, the factor b is missing.", [slopes, db]),
        (_EXCHANGED, [db, da]),
        (_GATE, [list(one) for one in backward(b, a, g)[::-1]]),
        (_ONE, da),
    ]
    for why, slope in _WRONG_SLOPES:
        found.append((why, [[gi * bi * slope(ai, s) for ai, bi, gi, s in rows], db]))
    for why, slope in _WRONG_UP:
        found.append((why, [da, [gi * slope(ai, s) for ai, _, gi, s in rows]]))
    return found


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a, b and g, as a text, and the question for y and the gradients of a and b."""
    a = rng.choice([-2.0, -1.0, 1.0, 2.0])
    b, g = (rng.choice([-3.0, -2.0, 2.0, 3.0]) for _ in "bg")
    [y], ([da], [db]) = forward([a], [b]), backward([a], [b], [g])
    mistakes = [
        Mistake(why, [y, *(number for [number] in wrong)])
        for why, wrong in wrong_gradients([a], [b], [g])
        if why != _ONE
    ]
    mistakes += [Mistake(why, [wrong(a, b, sigma(a)), da, db]) for why, wrong in _WRONG_OUTPUTS]
    right = [round(number, 4) for number in (y, da, db)]
    text = f"a = {a:g}, b = {b:g}, g = {g:g}\ny, gradient of a, gradient of b: ?"
    return text, Question(BY_HAND, (), right, WHY_GRADIENT, 0.006, tuple(mistakes))


def questions(rng: Random) -> list[Question]:
    """Draw the questions: the operation, its gradient, large numbers, and a whole model."""

    def vector(count: int) -> Vector:
        return [rng.choice([-1, 1]) * round(rng.uniform(0.2, 2.5), 3) for _ in range(count)]

    large = [-1000.0, 1000.0, -rng.randrange(710, 800)]
    return [
        _forward(vector(1), vector(1)),
        _forward(vector(4), vector(4)),
        _forward(large, vector(3)),
        _backward(vector(1), vector(1), vector(1)),
        _backward(vector(4), vector(4), vector(4)),
        _backward(large, vector(3), vector(3)),
        _model(),
    ]


def _forward(a: Vector, b: Vector) -> Question:
    wrong = [
        Mistake(why, [output(ai, bi, sigma(ai)) for ai, bi in zip(a, b)])
        for why, output in _WRONG_OUTPUTS
    ]
    return Question("swiglu", (a, b), forward(a, b), WHY, TOLERANCE, (*wrong, *_RAISED))


def _backward(a: Vector, b: Vector, g: Vector) -> Question:
    right = [list(one) for one in backward(a, b, g)]
    wrong = [Mistake(why, result) for why, result in wrong_gradients(a, b, g) if result != right]
    arguments, mistakes = (a, b, g), (*wrong, *_RAISED)
    return Question("swiglu_gradient", arguments, right, WHY_GRADIENT, TOLERANCE, mistakes)


def _model() -> Question:
    right = model_gradients(forward, backward)
    label = "the gradients of a model with your SwiGLU in it"
    return Question("model", (), right, WHY_MODEL, 1e-9, _RAISED, label)


_RAISED = (
    Mistake(_OVERFLOW, raises="OverflowError"),
    Mistake(_CHANGED, raises="ChangedInput"),
)

EXERCISE = Exercise(by_hand, questions, ask_operation)
