"""A text as a model reads it: the loss of each token, and what the model would have said instead.

The logit lens (nostalgebraist, 2020) shows what each layer would have said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anexa.engines.batch import IGNORE_INDEX
from anexa.engines.operations.arrays import softmax
from anexa.errors import UsageError
from anexa.explore import norm_rules, rules
from anexa.explore.code import operation_of
from anexa.explore.rule import Array
from anexa.explore.trace import LOGITS, LOSS, Trace, TraceNode
from anexa.model.tokenizer import Tokenizer
from anexa.names import counted, shown


@dataclass(frozen=True)
class Candidate:
    """A candidate for the next token at a position.

    Attributes:
        id: token id.
        text: text of the token, as one printable line.
        probability: probability of the token at the position.
    """

    id: int
    text: str
    probability: float


@dataclass(frozen=True)
class ReadToken:
    """A token of a text, and how it was predicted from the tokens before it.

    Attributes:
        id: token id.
        text: text of the token, as one printable line.
        special: whether it is no piece of text, such as `<think>`.
        loss: −log p in nats; None if the loss of the batch does not count this token.
        probability: probability p of the token after the tokens before it; None for the first
            token, which is not predicted.
        rank: 1 + number of likelier tokens; None for the first token.
        candidates: the likeliest tokens at this position, the likeliest first; like `lens`, empty
            for the first token.
        lens: the token that the residual stream predicts after the embeddings and after each layer.
        lens_probabilities: the probability of this token by each prediction of `lens`.
    """

    id: int
    text: str
    special: bool
    loss: float | None = None
    probability: float | None = None
    rank: int | None = None
    candidates: tuple[Candidate, ...] = ()
    lens: tuple[Candidate, ...] = ()
    lens_probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A sequence of a batch as the model reads it.

    Attributes:
        tokens: its tokens, the first one and the last target included.
        loss: loss of the whole batch: the mean over all tokens that count, in nats.
    """

    tokens: tuple[ReadToken, ...]
    loss: float


def read_sequence(trace: Trace, tokenizer: Tokenizer, top: int = 5, sequence: int = 0) -> Reading:
    """Read how the model predicted each token of a sequence of a batch.

    Args:
        trace: computation of the batch.
        tokenizer: tokenizer of the model.
        top: number of candidates for each token; default: 5.
        sequence: index of the sequence in the batch; default: the first.

    Returns:
        The tokens with their losses and candidates, and the mean loss of the batch.

    Raises:
        UsageError: if the batch has no such sequence.
    """
    if not 0 <= sequence < trace.batch.shape[0]:
        count = counted(trace.batch.shape[0], "sequence")
        raise UsageError(f"there is no sequence {sequence}: the batch has {count}, from 0")
    inputs_T, targets_T = (
        np.frombuffer(tokens, np.int64).reshape(trace.batch.shape)[sequence]
        for tokens in (trace.batch.inputs, trace.batch.targets)
    )
    counted_T = targets_T != IGNORE_INDEX
    length = int(np.flatnonzero(counted_T)[-1]) + 1 if counted_T.any() else 0  # padding is cut
    came_T = np.where(counted_T, targets_T, np.append(inputs_T[1:], 0))[:length]
    positions_T = np.arange(length)

    logits_TV = trace.values[LOGITS][sequence, :length]
    log_sum_T = trace.values[f"{LOSS}.log_sum"][sequence, :length]
    p_TV = trace.values[f"{LOSS}.probabilities"][sequence, :length]
    came_logits_T = logits_TV[positions_T, came_T]
    losses_T = log_sum_T - came_logits_T
    ranks_T = 1 + (logits_TV > came_logits_T[:, None]).sum(axis=-1)
    best_TK = np.argsort(-logits_TV, axis=-1, kind="stable")[:, :top]
    lens_LT = [_lens_candidates(z[sequence, :length], came_T, tokenizer) for z in logit_lens(trace)]

    first = int(inputs_T[0])
    tokens = [ReadToken(first, token_text(tokenizer, first), is_special(tokenizer, first))]
    for t, came in enumerate(came_T.tolist()):
        token = ReadToken(
            came,
            token_text(tokenizer, came),
            is_special(tokenizer, came),
            float(losses_T[t]) if counted_T[t] else None,
            float(p_TV[t, came]),
            int(ranks_T[t]),
            tuple(_candidate(tokenizer, v, p_TV[t, v]) for v in best_TK[t].tolist()),
            tuple(layer[t][0] for layer in lens_LT),
            tuple(layer[t][1] for layer in lens_LT),
        )
        tokens.append(token)
    return Reading(tuple(tokens), float(trace.values[LOSS]))


def logit_lens(trace: Trace) -> Iterator[Array]:
    """Compute the logits of the residual stream after the embeddings and after each layer.

    The residual stream goes through what follows the last layer, computed by the engine's own
    operations: the final norm, where the architecture has one, and the output head.

    Args:
        trace: computation of a batch.

    Yields:
        Logits, (B, T, V), 1 + the number of layers times; the last ones are the model's own.
    """
    head: list[TraceNode] = []
    name = LOGITS
    while not isinstance(trace.nodes[name].rule, rules.Add):
        head.insert(0, trace.nodes[name])
        name = trace.nodes[name].inputs[0]
    stream = [name]
    while isinstance(trace.nodes[name].rule, rules.Add):
        name = trace.nodes[name].inputs[0]
        stream.insert(0, name)
    for name in stream[::2]:  # a layer adds twice: attention and MLP
        x_BTC = trace.values[name]
        for node in head:
            x_BTC = _apply(trace, node, x_BTC)
        yield x_BTC


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    r"""Return the text of a token as one printable line: `\n`, `\xc3`, `<|endoftext|>`.

    Bytes that are a part of a character are escaped, and a token without text is shown by its name,
    or by its id if only the model has it.
    """
    data = tokenizer.token_bytes(token_id)
    name = tokenizer.id_to_token(token_id)
    text = data.decode(errors="backslashreplace") or name or f"<{token_id}>"
    return shown(text)


def is_special(tokenizer: Tokenizer, token_id: int) -> bool:
    """Return whether a token is no piece of text: an added token, such as `<think>`, or empty."""
    name = tokenizer.id_to_token(token_id)
    return name in tokenizer.added_tokens or not tokenizer.token_bytes(token_id)


def _apply(trace: Trace, node: TraceNode, x_BTC: Array) -> Array:
    """Apply the operation of a node to another input, with the same weights."""
    settings = {}
    if isinstance(node.rule, norm_rules.Norm):
        deviation = trace.nodes[node.auxiliaries[0]].rule
        assert isinstance(deviation, norm_rules.Deviation)
        settings["eps"] = deviation.eps
    weights = [trace.values[name] for name in node.inputs[1:]]
    y: Array = operation_of(node.rule)().forward(x_BTC, *weights, **settings)
    return y


def _lens_candidates(
    logits_TV: Array, came_T: Array, tokenizer: Tokenizer
) -> list[tuple[Candidate, float]]:
    """Find the likeliest token at each position, and the probability of the token that came.

    Args:
        logits_TV: logits at each position.
        came_T: id of the token that came.
        tokenizer: tokenizer of the model.

    Returns:
        For each token the likeliest candidate, and the probability of the token that came.
    """
    p_TV = softmax(logits_TV)
    best_T = p_TV.argmax(axis=-1)
    return [
        (_candidate(tokenizer, int(best), p_V[best]), float(p_V[came]))
        for p_V, best, came in zip(p_TV, best_T, came_T)
    ]


def _candidate(tokenizer: Tokenizer, token_id: int, probability: float) -> Candidate:
    return Candidate(token_id, token_text(tokenizer, token_id), float(probability))
