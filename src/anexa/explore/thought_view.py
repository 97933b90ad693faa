"""The view of a thought: its tokens, its parts with their sources, and the heads behind them."""

from __future__ import annotations

from dataclasses import dataclass

from anexa.explore.digit_sources import Span


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
    """An operand of a line, and the tokens that it was copied from.

    Attributes:
        number: the operand.
        source: where the operand comes from: "question"; "line", the value of an earlier line; or
            "nowhere".
        tokens: tokens of the operand: index of the first, and index after the last.
        origin: tokens of its source, in the same form; None for "nowhere".
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
        tokens: tokens of the line: index of the first, and index after the last.
        true: whether the checker found the line true.
        error: a sentence about the first mistake; None if the line is true.
        operands: operands of the expression; empty if the line cannot be parsed.
    """

    text: str
    tokens: Span
    true: bool
    error: str | None
    operands: tuple[OperandView, ...]


@dataclass(frozen=True)
class SourceView:
    """A digit of a part of a line, and the earlier tokens that it was copied from.

    Attributes:
        role: part of the text that the digit belongs to, as in `DigitSource`.
        token: index of the token of the digit.
        origins: indices of the tokens that it was copied from.
    """

    role: str
    token: int
    origins: tuple[int, ...]


@dataclass(frozen=True)
class HeadMass:
    """The attention of a head from a part of a line to its sources.

    Attributes:
        layer: index of the layer.
        head: index of the head.
        mass: attention, from 0 to 1, that the token before a digit of the part pays to the tokens
            that the digit was copied from; mean over the digits that have a source.
        masses: the same attention for each digit in `PartView.sources`.
    """

    layer: int
    head: int
    mass: float
    masses: tuple[float, ...]


@dataclass(frozen=True)
class PartView:
    """A part of a line, its sources, and the heads that attend to them.

    Attributes:
        line: index of the line.
        kind: "expression", "fact", "value" or "remaining" (calculation).
        text: the part.
        tokens: tokens of the part: index of the first, and index after the last.
        true: whether the equation of a fact holds; whether all operands of an expression have a
            source; whether a value is the result of its expression; whether a remaining calculation
            is the one that remains.
        fits: whether a fact belongs at its position; whether a value has the digits of the facts;
            True for the other kinds.
        sources: the digits that have a source; empty if the part cannot be parsed.
        loss: sum of −log p of its tokens, in nats.
        heads: all heads, the one with the largest mass first; empty if there are no sources.
    """

    line: int
    kind: str
    text: str
    tokens: Span
    true: bool
    fits: bool
    sources: tuple[SourceView, ...]
    loss: float
    heads: tuple[HeadMass, ...]


@dataclass(frozen=True)
class HeadOff:
    """The thought of the model with one head switched off.

    Attributes:
        edit: the switch, as `parse_edit` reads it.
        layer: index of the layer.
        head: index of the head.
        losses: loss of each of `ThoughtView.parts` without the head, for the same tokens, in nats.
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
    """The answer to a question, token by token, with the parts of its lines.

    Attributes:
        question: the question, as the model reads it.
        thought: text between `<think>` and `</think>`; empty if the answer has no thought.
        answer: text after the thought.
        expected: correct answer; None if the phrasing of the question is not known.
        error: a sentence about the first mistake; None if the thought is true.
        tokens: tokens of the prompt and of the answer.
        num_prompt_tokens: number of tokens of the prompt.
        lines: the lines of the thought.
        parts: the parts of all lines.
        without: results with each of the strongest heads switched off; empty without sources.
    """

    question: str
    thought: str
    answer: str
    expected: str | None
    error: str | None
    tokens: tuple[ThoughtToken, ...]
    num_prompt_tokens: int
    lines: tuple[LineView, ...]
    parts: tuple[PartView, ...]
    without: tuple[HeadOff, ...]
