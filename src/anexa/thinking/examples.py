"""Training examples for a thinking model: questions, thoughts and answers, and refusals.

The supply is endless: the examples of a training step are a function of the seed and the step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property, lru_cache

from anexa.thinking.problems import TASKS, Problem, Task, draw, is_held_out
from anexa.thinking.refusals import no_sum
from anexa.thinking.splits import Split

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))

# Sampling weight of each task: the more there is to learn, the higher.
TASK_WEIGHTS = {
    "+ 1": 0.3, "+ 2": 0.6, "+ 3": 1.2, "+ 4": 1.5, "+ 5": 2.0, "+ 6": 2.6, "+ 7": 3.2, "+ 8": 4.0,
    "- 1": 0.3, "- 2": 0.8, "- 3": 1.6, "- 4": 2.2, "- 5": 3.0, "- 6": 4.0, "- 7": 5.2, "- 8": 7.0,
    "1x1": 0.3, "2x1": 1.0, "3x1": 2.0, "4x1": 2.5, "2x2": 3.5, "3x2": 6.0, "4x2": 7.0,
    "3x3": 9.0, "4x3": 9.0, "4x4": 9.0,
    "story": 12.0,
}  # fmt: skip
# Fractions of the examples
DIRECT = 0.08  # answered without a thought
EARLIER = 0.07  # preceded by earlier turns
REFUSED = 0.05  # no sum: answered by a refusal
PHRASED = 0.25  # sums phrased in words, or with spaces and signs

EASY, HARD = 60, 480  # characters of the longest thoughts, in the first and the last stage
RAMP = 1500  # steps from the first stage to the last
GROUP = 16  # steps whose examples are drawn together and sorted by length


@dataclass(frozen=True)
class Example:
    """A conversation whose last answer is learned.

    Attributes:
        earlier: question and answer of each earlier turn.
        question: the last question.
        thought: the thought before the last answer; None if there is none.
        answer: the last answer.
        direct: whether the prompt tells the assistant not to think.
    """

    earlier: tuple[tuple[str, str], ...]
    question: str
    thought: str | None
    answer: str
    direct: bool = False

    @cached_property
    def size(self) -> int:
        """Number of tokens: the characters, and the special tokens between them."""
        texts = [text for turn in self.earlier for text in turn]
        texts += [self.question, self.thought or "", self.answer]
        return sum(map(len, texts)) + 3 * len(self.earlier) + 5


class Examples:
    """Endless source of examples; those of one training step have similar lengths.

    Args:
        max_tokens: length of the longest example, in tokens.
        seed: random seed of all draws.
        split: the split that the problems belong to.
    """

    def __init__(self, max_tokens: int, seed: int, split: Split = "training") -> None:
        self._max_tokens, self._seed, self._split = max_tokens, seed, split
        self._group = lru_cache(maxsize=1)(self._draw_group)

    def batch(self, step: int, tokens: int) -> list[Example]:
        """Return the examples of a training step, about `tokens` tokens in all."""
        number, place = divmod(step, GROUP)
        return self._group(number, tokens)[place]

    def sample(self, count: int) -> list[Example]:
        """Return `count` examples of all lengths, for evaluation."""
        rng = random.Random(f"{self._seed} sample")
        return [self._draw(rng, HARD) for _ in range(count)]

    def _draw_group(self, number: int, tokens: int) -> list[list[Example]]:
        rng = random.Random(f"{self._seed} {number}")
        hardness = min(1.0, number * GROUP / RAMP)
        longest = round(EASY + hardness * (HARD - EASY))
        examples, total = [], 0
        while total < GROUP * tokens:
            examples.append(self._draw(rng, longest))
            total += examples[-1].size
        examples.sort(key=lambda example: example.size)
        batches: list[list[Example]] = [[] for _ in range(GROUP)]
        before = 0
        for example in examples:
            batches[min(GROUP - 1, before * GROUP // total)].append(example)
            before += example.size
        for batch in batches:
            if not batch:  # the batch before it is a single long example
                batch.append(max(batches, key=len).pop())
        rng.shuffle(batches)
        return batches

    def _draw(self, rng: random.Random, longest: int) -> Example:
        while True:
            example = self.example(rng, longest)
            if example.size <= self._max_tokens:
                return example

    def example(self, rng: random.Random, longest: int) -> Example:
        """Draw an example whose thought has at most about `longest` characters."""
        earlier = []
        if rng.random() < EARLIER:
            for _ in range(rng.randint(1, 2)):
                turn = draw_any(rng, longest)  # as context: it is not learned
                earlier.append((turn.question, turn.answer))
        direct = rng.random() < DIRECT
        if rng.random() < REFUSED:
            question, answer = no_sum(rng)
            return Example(tuple(earlier), question, None, answer, direct)
        problem = draw_any(rng, longest, self._split)
        question = phrased(problem, rng) if rng.random() < PHRASED else problem.question
        thought = None if direct else problem.thought
        return Example(tuple(earlier), question, thought, problem.answer, direct)


def draw_any(rng: random.Random, longest: int = HARD, split: Split = "training") -> Problem:
    """Draw a problem of any task, by `TASK_WEIGHTS`.

    Args:
        rng: random generator.
        longest: longest thought of the tasks to choose from, in characters.
        split: the split that the problem belongs to.
    """
    tasks, weights = _tasks(longest, held_out=split != "training")
    return draw(rng.choices(tasks, weights)[0], rng, split)


@lru_cache(maxsize=8)
def _tasks(longest: int, held_out: bool) -> tuple[list[Task], list[float]]:
    """List the tasks whose thoughts are short enough, and their weights."""
    tasks = [task for task in TASKS if longest_thought(task) <= longest]
    tasks = [task for task in tasks if not held_out or is_held_out(task)]
    return tasks, [TASK_WEIGHTS[str(task)] for task in tasks]


@lru_cache(maxsize=64)
def longest_thought(task: Task) -> int:
    """Estimate the length of a task's longest thought, in characters: the longest of a hundred."""
    rng = random.Random(str(task))
    return max(len(draw(task, rng).thought) for _ in range(100))


def phrased(problem: Problem, rng: random.Random) -> str:
    """Phrase the question of a sum in other words; a story's question stays as it is."""
    sign = next((sign for sign in "+-*" if sign in problem.question), "")
    a, _, b = problem.question.partition(sign) if sign else ("", "", "")
    if not (a.isdigit() and b.isdigit()):
        return problem.question
    word = {"+": "plus", "-": "minus", "*": "times"}[sign]
    forms = [f"{a} {sign} {b}", f"{a}{sign}{b}=", f"{a}{sign}{b}?", f"{a} {sign} {b} ="]
    forms += [f"What is {a}{sign}{b}?", f"What is {a} {sign} {b}?", f"what is {a} {word} {b}"]
    forms += [f"{a} {word} {b}", f"What is {a} {word} {b}?"]
    if sign == "*":
        forms += [f"{a}x{b}", f"{a} x {b}"]
    return rng.choice(forms)
