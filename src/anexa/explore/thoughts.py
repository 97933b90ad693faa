"""Analysis of a chain of thought: where each part was copied from, and by which attention heads.

The parts of a line are its expression, its facts, its value and, in a calculation with several
operations, the calculation that remains. A fact is an equation about one or two digits, such as
A:8+6+0=14 (digit + digit + carry). The sources of a part are the earlier tokens that its digits
were copied from. The attention heads that attend most to these sources are switched off one at a
time, to measure how the loss of each part changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Sequence
from itertools import accumulate

import numpy as np

from anexa.engines.batch import Batch
from anexa.engines.numpy import NumpyEngine
from anexa.engines.optimizers import OptimizerConfig
from anexa.explore.digit_sources import Span
from anexa.explore.part_locations import LineLocation, PartLocation, locate_numbers, locate_parts
from anexa.explore.reading import is_special, token_text
from anexa.explore.rule import Array
from anexa.explore.switches import Edit, apply_edits
from anexa.explore.thought_view import (
    HeadMass,
    HeadOff,
    LineView,
    OperandView,
    PartView,
    SourceView,
    ThoughtToken,
    ThoughtView,
)
from anexa.explore.trace import LOGITS, Trace, trace_batch
from anexa.generation.language_model import LanguageModel
from anexa.generation.offline import generate_batch
from anexa.generation.text_stream import Prompt
from anexa.model.chat_format import THINK, normalize_messages, split_answer
from anexa.model.config import ModelConfig
from anexa.model.place_marks import mark_places
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weights
from anexa.thinking.checker import ThoughtLine, ThoughtReport, check
from anexa.thinking.questions import parse_question

NUM_HEADS_PER_PART = 3  # heads that are switched off for each part: those with the largest mass
NUM_ANSWERS_WITHOUT_HEAD = 6  # strongest heads without which the answer is also generated again


def read_thought(
    model: LanguageModel, question: str, edits: Sequence[Edit] = ()
) -> Generator[float, None, ThoughtView]:
    """Answer a question by greedy decoding, and trace each part of the thought to its sources.

    All computations use the engine `numpy` in float64.

    Args:
        model: a chat model; without a thought in its answer, there are no parts.
        question: text of the user message.
        edits: edits of the weights, such as heads to switch off, applied before the question is
            answered.

    Yields:
        Progress as a fraction, from 0 to 1.

    Returns:
        The answer with its parts, sources and heads, as the return value of the generator.

    Raises:
        AnexaError: if the model has no chat template, or the question is too long.
        UsageError: if the question is empty, or an edit names a head or weight that does not exist.
    """
    config, tokenizer = model.engine.config, model.tokenizer
    weights = apply_edits(config, model.engine.weights(), edits)
    messages = [{"role": "user", "content": question}]
    prompt = Prompt(tokenizer, config.block_size, model.render_prompt(messages)).ids
    question = normalize_messages(model.chat_template or "", messages)[0]["content"]
    yield 0.0
    written = _Written(tokenizer, prompt, _write(config, weights, tokenizer, prompt))
    yield 0.1
    report = check(question, written.thought, written.answer)
    numbers = written.locate_numbers(question)
    lines = locate_parts(parse_question(question), report, numbers, written.text, written.start)
    located = [part for line in lines for part in line.parts]
    trace = trace_batch(config, weights, Batch.from_sequences([written.sequence], [len(prompt)]))
    yield 0.2
    losses = _losses(trace.values[LOGITS][0], written, located)
    parts = [_part(written, report, part, loss, trace) for part, loss in zip(located, losses)]
    strongest = _strongest_heads(parts)
    without: list[HeadOff] = []
    for layer, head in strongest:
        edit = Edit("head", (layer, head))
        edited = apply_edits(config, weights, [edit])
        engine = NumpyEngine(config, edited, OptimizerConfig(), "float64")
        logits_TV = np.array(engine.logits(written.sequence[:-1]))
        edited_texts = None
        if len(without) < NUM_ANSWERS_WITHOUT_HEAD:
            other = _Written(tokenizer, prompt, _write(config, edited, tokenizer, prompt))
            edited_texts = (_decode(other.thought), _decode(other.answer))
        part_losses = tuple(_losses(logits_TV, written, located))
        without.append(HeadOff(str(edit), layer, head, part_losses, edited_texts))
        yield 0.2 + 0.8 * (len(without) / len(strongest))  # ends at 1 exactly
    return ThoughtView(
        question,
        _decode(written.thought),
        _decode(written.answer),
        report.expected,
        report.first_error,
        tuple(written.tokens(tokenizer)),
        len(prompt),
        tuple(_line(written, report, number, line) for number, line in enumerate(lines)),
        tuple(parts),
        tuple(without),
    )


def _write(
    config: ModelConfig, weights: Weights, tokenizer: Tokenizer, prompt: list[int]
) -> list[int]:
    """Generate the answer to a prompt by greedy decoding, its end-of-text token included.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name.
        tokenizer: tokenizer of the model.
        prompt: token ids of the prompt.

    Returns:
        Token ids of the answer.
    """
    engine = NumpyEngine(config, weights, OptimizerConfig(), "float64")
    (answer,) = generate_batch(engine, [prompt], tokenizer.eot_token_id)
    full = len(prompt) + len(answer) > config.block_size
    return answer if full else [*answer, tokenizer.eot_token_id]


class _Written:
    """A prompt and its answer as one text, with the offset of each token.

    The text has one character for each byte (Latin-1), so that tokens may end within a character;
    tokens without text, such as `<think>`, are represented by their names.

    Args:
        tokenizer: tokenizer of the model.
        prompt: token ids of the prompt.
        answer: token ids of the answer, at least one.

    Attributes:
        sequence: token ids of prompt and answer.
        text: text of prompt and answer.
        start: offset of the first line of the thought.
        thought: text between `<think>` and `</think>`; empty if the answer has no thought.
        answer: text after the thought, without the end-of-text token.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: list[int], answer: list[int]) -> None:
        self.sequence = prompt + answer
        pieces = [
            (tokenizer.token_bytes(i) or (tokenizer.id_to_token(i) or "").encode()).decode(
                "latin-1"
            )
            for i in self.sequence
        ]
        self.text = "".join(pieces)
        self.ends = list(accumulate(map(len, pieces)))
        self.prompt_end = self.ends[len(prompt) - 1]
        ended = answer[-1] in tokenizer.eos_token_ids
        stop = self.ends[-2] if ended else self.ends[-1]
        thought, self.answer = split_answer(self.text[self.prompt_end : stop])
        self.thought = thought or ""
        first_line = len(self.thought) - len(self.thought.lstrip("\n"))
        self.start = self.prompt_end + len(THINK) + first_line

    def locate_numbers(self, question: str) -> list[Span]:
        """Locate the numbers of the question; none if the template has changed it beyond marks."""
        for rendered in (mark_places(question), question):
            found = self.text.rfind(rendered, 0, self.prompt_end)
            if found >= 0:
                return locate_numbers(rendered, found)
        return []

    def token_at(self, offset: int) -> int:
        """Return the index of the token that a character belongs to."""
        return bisect_right(self.ends, offset)

    def token_span(self, span: Span) -> Span:
        """Convert a span of characters to tokens: index of the first, and index after the last."""
        return self.token_at(span[0]), self.token_at(max(span[1] - 1, span[0])) + 1

    def tokens(self, tokenizer: Tokenizer) -> list[ThoughtToken]:
        """List all tokens of the prompt and the answer, for the view."""
        return [
            ThoughtToken(i, token_text(tokenizer, i), is_special(tokenizer, i))
            for i in self.sequence
        ]


def _decode(text: str) -> str:
    """Decode a part of the text of `_Written`, which has one character for each byte."""
    return text.encode("latin-1").decode(errors="replace")


def _line(
    written: _Written, report: ThoughtReport, number: int, location: LineLocation
) -> LineView:
    line = report.lines[number]
    operands = tuple(
        OperandView(
            one.operand.number,
            one.operand.source,
            written.token_span(one.span),
            one.origin and written.token_span(one.origin),
        )
        for one in location.operands
    )
    return LineView(
        _decode(line.text), written.token_span(location.span), line.true, line.error, operands
    )


def _part(
    written: _Written, report: ThoughtReport, location: PartLocation, loss: float, trace: Trace
) -> PartView:
    true, fits = _judge(report.lines[location.line], location)
    sources = tuple(
        SourceView(
            source.role,
            written.token_at(source.offset),
            tuple(i for span in source.spans for i in range(*written.token_span(span))),
        )
        for source in location.sources
    )
    return PartView(
        location.line,
        location.kind,
        _decode(written.text[slice(*location.span)]),
        written.token_span(location.span),
        true,
        fits,
        sources,
        loss,
        _heads(trace, sources),
    )


def _judge(line: ThoughtLine, location: PartLocation) -> tuple[bool, bool]:
    """Return whether a part of a line is true, and whether it fits, as in `PartView`."""
    if location.kind == "expression":
        return all(operand.source != "nowhere" for operand in line.operands), True
    if location.kind == "value":
        return line.is_correct, line.matches_facts
    if location.kind == "remaining":
        return line.has_right_remaining, True
    return line.facts[location.index].true, line.facts[location.index].fits


def _heads(trace: Trace, sources: tuple[SourceView, ...]) -> tuple[HeadMass, ...]:
    """Measure the attention of every head from the digits of a part to their sources."""
    if not sources:
        return ()
    patterns = [x[0] for name, x in trace.values.items() if name.endswith("attention.pattern")]
    heads = []
    for layer, p_HTS in enumerate(patterns):
        for head, p_TS in enumerate(p_HTS):
            # The token before a digit predicts it.
            masses = [float(p_TS[one.token - 1, list({*one.origins})].sum()) for one in sources]
            heads.append(HeadMass(layer, head, sum(masses) / len(masses), tuple(masses)))
    return tuple(sorted(heads, key=lambda head: -head.mass))


def _strongest_heads(parts: list[PartView]) -> list[tuple[int, int]]:
    """List the strongest heads of all parts, the one with the largest mass in any part first."""
    masses: dict[tuple[int, int], float] = {}
    for part in parts:
        for one in part.heads[:NUM_HEADS_PER_PART]:
            key = one.layer, one.head
            masses[key] = max(one.mass, masses.get(key, 0.0))
    return sorted(masses, key=lambda key: -masses[key])


def _losses(logits_TV: Array, written: _Written, located: list[PartLocation]) -> list[float]:
    """Sum −log p over the tokens of each part, in nats."""
    shifted_TV = logits_TV - logits_TV.max(axis=-1, keepdims=True)
    came_T = shifted_TV[np.arange(len(logits_TV)), written.sequence[1:]]
    losses_T = np.log(np.exp(shifted_TV).sum(axis=-1)) - came_T
    spans = [written.token_span(location.span) for location in located]
    return [float(losses_T[first - 1 : stop - 1].sum()) for first, stop in spans]
