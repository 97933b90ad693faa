"""The view of a thought: its tokens, its facts with their sources, and the heads behind them."""

from __future__ import annotations

from dataclasses import dataclass

from anexa.explore.fact_sources import Span


@dataclass(frozen=True)
class ThoughtToken:
    """A token of the prompt or of the answer.

    Attributes:
        id: token id.
        text: its text, as in `token_text`.
        special: whether it is special, as in `is_special`.
    """

    id: int
    text: str
    special: bool


@dataclass(frozen=True)
class OperandView:
    """An operand of a line, and where its number stands before.

    Attributes:
        number: the operand.
        source: "question", "part" (one digit of a number of the question), "line" or "nowhere".
        tokens: tokens of the operand: the first one, and the one after the last.
        origin: tokens of its source; None for "nowhere".
    """

    number: int
    source: str
    tokens: Span
    origin: Span | None


@dataclass(frozen=True)
class LineView:
    """A line of the thought.

    Attributes:
        text: the line.
        tokens: its tokens: the first one, and the one after the last.
        true: whether the checker finds it true.
        error: the first mistake, as a sentence; None if there is none.
        operands: the operands of its expression.
    """

    text: str
    tokens: Span
    true: bool
    error: str | None
    operands: tuple[OperandView, ...]


@dataclass(frozen=True)
class SourceView:
    """A digit of a fact and the tokens where it stands before.

    Attributes:
        role: "first" or "second" for the digit of an operand, "carry" for the carry or the borrow.
        token: index of the token of the digit.
        places: indices of the tokens where it stands before.
    """

    role: str
    token: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class HeadMass:
    """The attention of a head from a fact to its sources.

    Attributes:
        layer: index of the layer.
        head: index of the head.
        mass: from 0 to 1: the attention from where a digit of the fact is predicted to the places
            where it stands before, on average over its digits that have a source.
        masses: this attention for each source of the fact.
    """

    layer: int
    head: int
    mass: float
    masses: tuple[float, ...]


@dataclass(frozen=True)
class FactView:
    """A fact, its sources, and the heads that look at them.

    Attributes:
        line: index of the line.
        text: the equation.
        tokens: its tokens: the first one, and the one after the last.
        true: whether the equation holds.
        fits: whether its digits are those of the column, and its carry that of the column before.
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
    """The model without a head.

    Attributes:
        edit: the switch, as `parse_edit` reads it.
        layer: index of the layer.
        head: index of the head.
        losses: the loss of each fact, as `FactView.loss`, when the tokens stay the same.
        written: the thought and the answer that the model writes without the head; None: it was not
            asked.
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
        thought: the text between `<think>` and `</think>`; empty if there is none.
        answer: the text after it.
        expected: correct answer; None if the phrasing of the question is not known.
        error: the first mistake, as a sentence; None if there is none.
        tokens: tokens of the prompt and of the answer.
        num_prompt_tokens: number of tokens of the prompt.
        lines: the lines of the thought.
        facts: the facts of all lines.
        without: the model without each of the strongest heads.
    """

    question: str
    thought: str
    answer: str
    expected: int | None
    error: str | None
    tokens: tuple[ThoughtToken, ...]
    num_prompt_tokens: int
    lines: tuple[LineView, ...]
    facts: tuple[FactView, ...]
    without: tuple[HeadOff, ...]
