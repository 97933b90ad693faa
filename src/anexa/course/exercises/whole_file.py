"""Chapter 8: lines of `microgpt.py`, its number of weights, and its loss."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

import microgpt
from anexa.course import first_names
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask

TOLERANCE = 1e-12  # Question.tolerance of the losses

# Lines of `microgpt.py`: what a line does, and text in it that no other line has.
LINES = {
    "adds up the paths of the chain rule": "grads[child] += grad",
    "keeps softmax from an overflow": "max_logit = max(",
    "stores what later tokens compare their queries with": "keys.append(",
    "decides how much each head looks at each earlier token": "probs = softmax([dot(q[head]",
    "adds what attention has found to the residual stream": "zip(linear(heads, ",
    "sets the negative numbers of the neurons to 0": "[xi.relu() for",
    "makes the residual stream into a score for each token": 'yield linear(x, w["lm_head"])',
    "makes later steps of the training smaller": "rate = LEARNING_RATE",
    "changes a weight": "p.data -= rate",
    "sees that a new name is at its end": "if token == model.bos:",
    "gives the beginning and end of a name a number": "self.bos = len(self.chars)",
    "turns a name into tokens for the training": "tokens = [model.bos, *map(",
    "makes the model bolder or more careful when it writes": "logit / temperature for logit",
    "compares what the model says with what really came": "losses = [-softmax(z)[target]",
    "joins what a token is and where it stands": "x = rmsnorm([t + p for",
}

_WHY_LINES = (
    "Look for the part first: autograd, model, training or inference. Then read each line of the "
    "function, and ask what would be different without it."
)
_WHY_PARAMETERS = (
    "Count each matrix, rows times columns: wte, wpe and lm_head once, then for each layer four "
    "of attention and two of the neurons."
)
_WHY_LOSS = (
    "The loss is the mean of −log(probability of the next token), over all predictions from bos to "
    "the last letter."
)
_FROM_0 = "Lines are counted from 1."
_ANOTHER_ORDER = "The lines are right, but in another order than the sentences."
_NO_BOS = "There is one token more than letters: bos, which has a row in wte and one in lm_head."
_NO_HEAD = "The matrix lm_head is missing: it gives every token its score."
_NO_POSITIONS = "The matrix wpe is missing: a row for each position of the context."
_THREE = "Attention has four matrices in a layer: query, key, value, and attn_wo for its output."
_ONE_NEURON_MATRIX = "The neurons have two matrices in a layer: one there, and one back."
_AS_WIDE = "There are four times as many neurons as the vector is wide."
_ONE_LAYER = "Each layer has matrices of its own: this counts those of one layer."
_START = "The first letter is a prediction, too: the text begins with bos."
_END = "The end is a prediction, too: the text ends with bos."
_NOT_MOVED = (
    "The target is the token that comes next. Here the model is asked for the token that it has "
    "just read, which it need not guess."
)
_SUM = "This is the sum: divide it by the number of predictions."
_COUNT = (
    "The model reads no more tokens than its context: divide by the number of predictions that it "
    "has made, not by those of the whole text."
)
_NO_MINUS = "The logarithm of a probability is negative, and a loss is its opposite."
_NO_LOG = "This is the mean of the probabilities: the logarithm is missing."
_NO_TARGET = (
    "gpt yields logits after the last bos, too, but nothing comes after it: leave them out."
)
_VALUE = "The result is a Value, which remembers how it was computed: its number is .data."


def ask_model(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file; `loss` is given a model with random weights.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call != "loss":
        return ask(names, call, arguments)
    letters, seed, text = arguments
    return ask(names, call, (microgpt.Model([letters], Random(seed)), text))


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw what four lines of the file do, as a text, and the question for their line numbers."""
    found = rng.sample(sorted(LINES), 4)
    source = inspect.getsource(microgpt)
    right = [source[: source.index(LINES[what])].count("\n") + 1 for what in found]
    mistakes = (
        Mistake(_FROM_0, [number - 1 for number in right]),
        Mistake(_ANOTHER_ORDER, sorted(right)),
    )
    question = Question(BY_HAND, (), right, _WHY_LINES, mistakes=mistakes)
    sentences = [f"{i}. the line that {what}" for i, what in enumerate(found, start=1)]
    return "\n".join([*sentences, "line numbers: ?"]), question


def questions(rng: Random) -> list[Question]:
    """Draw the questions: the size of two models, and the loss of texts."""
    sizes = [_draw_size(rng, layers) for layers in (1, 3)]
    names = [name for name in first_names() if 3 <= len(name) <= 4 and len(set(name)) > 2]
    long = "".join(rng.sample(names, 7))
    texts = [rng.choice(names), long[: microgpt.BLOCK_SIZE + 3]]
    return [
        *[_parameters(*size) for size in sizes],
        *[_loss("".join(sorted(set(long + text))), rng.randrange(1000), text) for text in texts],
    ]


def _draw_size(rng: Random, layers: int) -> tuple[int, int, int, int]:
    """Draw letters, width, layers and context, such that each mistake gives another number."""
    while True:
        size = rng.randrange(5, 40), rng.choice([8, 12, 20]), layers, rng.randrange(5, 30)
        wrong = [number for _, number in _wrong_sizes(*size)]
        if len({*wrong, _size(*size)}) == len(wrong) + (layers > 1):
            return size


def _wrong_sizes(letters: int, width: int, layers: int, context: int) -> list[tuple[str, int]]:
    right, square = _size(letters, width, layers, context), width * width
    return [
        (_NO_BOS, right - 2 * width),
        (_NO_BOS, right - width),
        (_NO_HEAD, right - (letters + 1) * width),
        (_NO_POSITIONS, right - context * width),
        (_THREE, right - layers * square),
        (_ONE_NEURON_MATRIX, right - layers * 4 * square),
        (_AS_WIDE, right - layers * 6 * square),
        (_ONE_LAYER, right - (layers - 1) * 12 * square),
    ]


@cache
def _size(letters: int, width: int, layers: int, context: int) -> int:
    """Return the number of weights of the model of `microgpt.py` with other constants."""
    constants = f"= {layers}, {microgpt.N_HEAD}, {width}, {context}"
    source, count = re.subn(
        r"(?<=^N_LAYER, N_HEAD, N_EMBD, BLOCK_SIZE )= \d+, \d+, \d+, \d+",
        constants,
        inspect.getsource(microgpt),
        flags=re.MULTILINE,
    )
    assert count == 1
    names: dict[str, Any] = {"__name__": "microgpt"}
    exec(source, names)
    alphabet = "".join(chr(0x100 + i) for i in range(letters))
    return len(names["Model"]([alphabet], Random(0)).parameters)


def _parameters(letters: int, width: int, layers: int, context: int) -> Question:
    size = letters, width, layers, context
    right = _size(*size)
    mistakes = tuple(Mistake(why, wrong) for why, wrong in _wrong_sizes(*size) if wrong != right)
    label = f"parameters(letters={letters}, width={width}, layers={layers}, context={context})"
    return Question("parameters", size, right, _WHY_PARAMETERS, mistakes=mistakes, label=label)


@cache
def _loss(letters: str, seed: int, text: str) -> Question:
    model = microgpt.Model([letters], Random(seed))
    tokens = [model.bos, *map(model.chars.index, text), model.bos]
    p = [[q.data for q in microgpt.softmax(z)] for z in microgpt.gpt(model, tokens)]
    targets = tokens[1 : len(p) + 1]
    losses = _losses(p, targets)
    wrong = [
        (_NOT_MOVED, _mean(_losses(p, tokens))),
        (_NOT_MOVED, _mean(_losses(p, tokens[:-1]))),
        (_SUM, sum(losses)),
        (_NO_MINUS, -_mean(losses)),
        (_NO_LOG, _mean([row[target] for row, target in zip(p, targets)])),
    ]
    if len(tokens) - 1 > len(p):
        wrong.append((_COUNT, sum(losses) / (len(tokens) - 1)))
        wrong.append((_COUNT, sum(losses) / len(text)))
    else:
        without_bos = microgpt.gpt(model, tokens[1:])
        q = [[q.data for q in microgpt.softmax(z)] for z in without_bos]
        wrong += [(_START, _mean(_losses(q, tokens[2:]))), (_END, _mean(losses[:-1]))]
    mistakes = [Mistake(why, result) for why, result in wrong]
    [right] = microgpt.train(model, [text], steps=1)  # at last, as it changes the model
    mistakes.append(Mistake(_VALUE, raises="TypeError", message="is a Value"))
    mistakes.append(Mistake(_NO_TARGET, raises="IndexError"))
    label = f"loss(model, {text!r})"
    arguments = (letters, seed, text)
    return Question("loss", arguments, right, _WHY_LOSS, TOLERANCE, tuple(mistakes), label)


def _losses(probabilities: list[list[float]], targets: list[int]) -> list[float]:
    return [-math.log(row[target]) for row, target in zip(probabilities, targets)]


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


EXERCISE = Exercise(by_hand, questions, ask_model)
