"""Published accuracies of language models on arithmetic, each with its source.

Every figure was looked up in its source on 2026-11-29. What could not be found there is None or
left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A publication.

    Attributes:
        label: short name in tables.
        title: authors and title, or the kind of page.
        url: address.
        date: date of publication; "undated" if the source gives none.
        conditions: where the figures are, and how they were measured.
    """

    label: str
    title: str
    url: str
    date: str
    conditions: str


@dataclass(frozen=True)
class Accuracy:
    """A published accuracy.

    Attributes:
        model: name of the model.
        parameters: number of parameters, as the source gives it; None if it does not.
        task: name of the task of `anexa eval` with problems of the same size.
        percent: correct answers, in percent.
        source: where the figure is from.
    """

    model: str
    parameters: str | None
    task: str
    percent: float
    source: Source


DZIRI = Source(
    "Dziri 2023",
    "Dziri et al., Faith and Fate: Limits of Transformers on Compositionality",
    "https://arxiv.org/abs/2305.18654",
    "May 2023",
    "Introduction. The models as they are, without training for it. No other length could be "
    "looked up.",
)
DENG = Source(
    "Deng 2024",
    "Deng, Choi and Shieber, From Explicit CoT to Implicit CoT: Learning to Internalize CoT Step "
    "by Step",
    "https://arxiv.org/abs/2405.14838",
    "May 2024",
    "The abstract has the 99 % of 9x9; the exact shares are from the authors' [logs]"
    "(https://github.com/da03/Internalize_CoT_Step_by_Step/tree/c2e3891/logs) of 1,000 products "
    "each. One model for each length, digits in reversed order, and no written steps; the model of "
    "11x11 still writes a part of them.",
)
DENG_THREAD = Source(
    "Deng, thread",
    "Yuntian Deng, thread on o1 and multiplication",
    "https://threadreaderapp.com/thread/1836114401213989366.html",
    "September 2024",
    "The last part of the thread: one figure for products of up to 20x20 digits, without written "
    "steps. It has the number of parameters, too.",
)
LATTICE = Source(
    "Lattice",
    "Model card of Lattice Multiplication Transformer",
    "https://huggingface.co/davidandroid/lattice-multiplication-transformer",
    "undated",
    "20,000 products of 1x1 to 20x20 digits. An encoder and decoder made for products: its input "
    "is the grid of all pairs of digits, and it writes no steps.",
)
ABACUS = Source(
    "McLeish 2024",
    "McLeish et al., Transformers Can Do Arithmetic with the Right Embeddings",
    "https://arxiv.org/abs/2405.17399",
    "May 2024",
    "Abstract: at most 99 %, trained on sums of 20 digits, with an embedding of the place of each "
    "digit.",
)
MICRO_ADDER = Source(
    "MicroAdder",
    "MicroAdder, a trained model of the AdderBoard contest",
    "https://github.com/evindor/MicroAdder",
    "March 2026",
    "README: 10,010 of 10,010 sums of two numbers below 10,000,000,000, the contest's test.",
)
SOURCES = (DZIRI, DENG, DENG_THREAD, LATTICE, ABACUS, MICRO_ADDER)

GPT2, GRID = "GPT-2 small, trained for it", "Lattice transformer"
ACCURACIES = (
    Accuracy("ChatGPT", None, "3x3", 55, DZIRI),
    Accuracy("GPT-4", None, "3x3", 59, DZIRI),
    Accuracy(GPT2, "117 million", "4x4", 100, DENG),
    Accuracy(GPT2, "117 million", "5x5", 99.6, DENG),
    Accuracy(GPT2, "117 million", "7x7", 94.5, DENG),
    Accuracy(GPT2, "117 million", "9x9", 98.8, DENG),
    Accuracy(GPT2, "117 million", "11x11", 73.9, DENG),
    Accuracy(GPT2, "117 million", "20x20", 99.5, DENG_THREAD),
    *(Accuracy(GRID, "11.7 million", f"{n}x{n}", 100, LATTICE) for n in range(2, 16)),
    Accuracy(GRID, "11.7 million", "20x20", 96.5, LATTICE),
    Accuracy("MicroAdder", "57", "+ 10", 100, MICRO_ADDER),
    Accuracy("Abacus", None, "+ 100", 99, ABACUS),
)


@dataclass(frozen=True)
class MentalProduct:
    """One of the seven products of the mental-arithmetic test.

    Attributes:
        factors: the two numbers.
        right: models of 50 whose answer has the right number (26 April 2025, one try each).
    """

    factors: tuple[int, int]
    right: int


MENTAL_MODELS = 50
# Counted in the answers of https://github.com/sanand0/llmmath/blob/3d56261/multiplication.json; the
# table of the README there has the same, but for the last product (docs/giants.md says why).
MENTAL_PRODUCTS = (
    MentalProduct((12, 12), 48),
    MentalProduct((123, 456), 43),
    MentalProduct((1234, 5678), 33),
    MentalProduct((12345, 6789), 29),
    MentalProduct((123456, 789012), 12),
    MentalProduct((1234567, 8901234), 5),
    MentalProduct((987654321, 123456789), 32),
)


@dataclass(frozen=True)
class MentalScore:
    """Result of a model on the seven products with five tries each (15 June 2026).

    Attributes:
        model: name of the model.
        right: right answers of 35.
        tokens: generated tokens of all 35 answers.
        seconds: duration of all 35 requests, network included.
    """

    model: str
    right: int
    tokens: int
    seconds: float


# Fields testPassCount, completion and totalLatencyMs of each model in
# https://github.com/sanand0/llmmath/blob/71ec80ac9b0636bdffd8dd7835b6a96c3cdacd35/multiplication.json
MENTAL_SCORES = (
    MentalScore("Claude Opus 4.8", 35, 6_586, 129.369),
    MentalScore("GPT-5.5", 35, 3_680, 165.752),
    MentalScore("Grok 4.3", 35, 23_655, 358.831),
    MentalScore("Qwen 3.7 Plus", 34, 214_720, 4_349.901),
    MentalScore("Claude Sonnet 4.6", 32, 6_471, 159.739),
    MentalScore("GPT-5.4 Mini", 30, 326, 41.546),
    MentalScore("Gemini 3 Flash Preview", 30, 330, 55.375),
    MentalScore("Gemini 3.1 Pro Preview", 30, 25_538, 282.723),
    MentalScore("Gemini 3.5 Flash", 28, 23_849, 143.248),
    MentalScore("DeepSeek V4 Flash", 27, 37_955, 482.319),
    MentalScore("Claude Haiku 4.5", 25, 570, 46.512),
    MentalScore("Gemini 3.1 Flash Lite", 25, 325, 42.186),
    MentalScore("Mistral Small 2603", 25, 646, 44.689),
    MentalScore("GPT-5.4 Nano", 24, 350, 36.356),
    MentalScore("Amazon Nova 2 Lite", 10, 688, 30.642),
)
