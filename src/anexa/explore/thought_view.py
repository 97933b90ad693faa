"""The view of a thought, the reasoning of a model before its answer.

It has the tokens, the facts (equations for one column of digits each) with their sources, the
tokens that they were copied from, and the attention heads behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

from anexa.explore.fact_sources import Span


@dataclass(frozen=True)
class ThoughtToken:
    """A token of the prompt or of the answer.

    Attributes:
        id: token id.
        text: text of the token, as one printable line.
        special: whether it is no piece of text, such as `<think>`.
    """

    id: int
    text: str
    special: bool


@dataclass(frozen=True)
class OperandView:
    """An operand of a line of a thought, and the tokens that it was copied from.

    Attributes:
        number: the operand.
        source: "question", "part" (one digit of a number of the question), "line" or "nowhere".
        tokens: tokens of the operand: index of the first, and index after the last.
        origin: tokens of its source, in the same form; None for "nowhere".
    """

    number: int
    source: str
    tokens: Span
    origin: Span | None


@dataclass(frozen=True)
class LineView:
    """A line of a thought: one calculation, with the checker's verdict.

    Attributes:
        text: text of the line.
        tokens: tokens of the line: index of the first, and index after the last.
        true: whether the checker found the line true.
        error: a sentence about the first mistake; None if the line is true.
        operands: operands of the expression.
    """

    text: str
    tokens: Span
    true: bool
    error: str | None
    operands: tuple[OperandView, ...]


@dataclass(frozen=True)
class SourceView:
    """A digit of a fact (the equation for one column of digits), and the tokens it was copied from.

    Attributes:
        role: "first" or "second" for the digit of an operand, "carry" for the carry or the borrow.
        token: index of the token of the digit.
        places: indices of the tokens that it was copied from.
    """

    role: str
    token: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class HeadMass:
    """Attention that a head pays from a fact to its sources, the tokens that it was copied from.

    Attributes:
        layer: index of the layer.
        head: index of the head.
        mass: attention, from 0 to 1, that the token before a digit of the fact pays to the tokens
            that the digit was copied from; mean over the digits that have a source.
        masses: the same attention for each source of the fact.
    """

    layer: int
    head: int
    mass: float
    masses: tuple[float, ...]


@dataclass(frozen=True)
class FactView:
    """A fact, the equation for one column of digits, with its sources and the heads that see them.

    Attributes:
        line: index of the line.
        text: text of the equation, such as 8+6+0=14.
        tokens: tokens of the fact: index of the first, and index after the last.
        true: whether the equation holds.
        fits: whether the fact has the digits of its column and the carry of the previous column.
        sources: the digits that have a source; empty if the fact cannot be parsed.
        loss: sum of −log p of its tokens, in nats.
        heads: all heads, the one with the largest mass first; empty if there are no sources.
    """

    line: int
    text: str
    tokens: Span
    true: bool
    fits: bool
    sources: tuple[SourceView, ...]
    loss: float
    heads: tuple[HeadMass, ...]


@dataclass(frozen=True)
class HeadOff:
    """The effect of switching off one attention head on the thought of the model.

    Attributes:
        edit: the switch, as `parse_edit` reads it.
        layer: index of the layer.
        head: index of the head.
        losses: loss of each fact without the head, as in `FactView.loss`, for the same tokens.
        written: thought and answer that the model generates without the head; None if they were
            not computed.
    """

    edit: str
    layer: int
    head: int
    losses: tuple[float, ...]
    written: tuple[str, str] | None


@dataclass(frozen=True)
class ThoughtView:
    """The answer to a question, token by token, with its facts.

    Attributes:
        question: the question, as the model reads it.
        thought: text between `<think>` and `</think>`; empty if the answer has no thought.
        answer: text after the thought.
        expected: correct answer; None if the phrasing of the question is not known.
        error: a sentence about the first mistake; None if the thought is true.
        tokens: tokens of the prompt and of the answer.
        num_prompt_tokens: number of tokens of the prompt.
        lines: the lines of the thought.
        facts: the facts of all lines.
        without: results with each of the strongest heads switched off.
    """

    question: str
    thought: str
    answer: str
    expected: str | None
    error: str | None
    tokens: tuple[ThoughtToken, ...]
    num_prompt_tokens: int
    lines: tuple[LineView, ...]
    facts: tuple[FactView, ...]
    without: tuple[HeadOff, ...]
