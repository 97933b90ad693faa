"""What a chat model is trained on: questions as people put them, thoughts and answers, and what is
no sum at all. There is no end to them: which ones a step sees depends on the seed and its number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property, lru_cache

from anexa.thinking.problems import TASKS, Problem, Task, draw, is_held_out
from anexa.thinking.refusals import no_sum
from anexa.thinking.splits import Split

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))

# How often a task comes: the more there is to learn in it, the more often.
SHARES = {
    "+ 1": 0.3, "+ 2": 0.6, "+ 3": 1.2, "+ 4": 1.5, "+ 5": 2.0, "+ 6": 2.6, "+ 7": 3.2, "+ 8": 4.0,
    "- 1": 0.3, "- 2": 0.8, "- 3": 1.6, "- 4": 2.2, "- 5": 3.0, "- 6": 4.0, "- 7": 5.2, "- 8": 7.0,
    "1x1": 0.3, "2x1": 1.0, "3x1": 2.0, "4x1": 2.5, "2x2": 3.5, "3x2": 6.0, "4x2": 7.0,
    "3x3": 9.0, "4x3": 9.0, "4x4": 9.0,
    "story": 12.0,
}  # fmt: skip
DIRECT = 0.08  # the share that is answered without a thought
EARLIER = 0.07  # the share before which something else was asked
NO_SUMS = 0.05
PHRASED = 0.25  # the share of sums that are not asked for in the shortest way

EASY, HARD = 60, 480  # characters of the longest thoughts, at first and in the end
RAMP = 1500  # steps from the one to the other
TOGETHER = 16  # steps whose examples are drawn together, and put together by their lengths


@dataclass(frozen=True)
class Example:
    """A conversation, of which the last answer is to be learned.

    Attributes:
        earlier: questions and answers before it.
        question: the last one.
        thought: what is thought before the answer; None where nothing is.
        answer: to the question.
        direct: whether the assistant was asked not to think.
    """

    earlier: tuple[tuple[str, str], ...]
    question: str
    thought: str | None
    answer: str
    direct: bool = False

    @cached_property
    def size(self) -> int:
        """Its tokens: the characters, and the marks between them."""
        texts = [text for turn in self.earlier for text in turn]
        texts += [self.question, self.thought or "", self.answer]
        return sum(map(len, texts)) + 3 * len(self.earlier) + 5


class Examples:
    """Examples to train on, for every step some of like lengths.

    Args:
        most: the tokens of the longest example.
        seed: of all draws.
        part: of the corpus.
    """

    def __init__(self, most: int, seed: int, part: Split = "training") -> None:
        self._most, self._seed, self._part = most, seed, part
        self._together = lru_cache(maxsize=1)(self._draw_together)

    def batch(self, step: int, tokens: int) -> list[Example]:
        """Those of a step, which have about so many tokens."""
        number, place = divmod(step, TOGETHER)
        return self._together(number, tokens)[place]

    def sample(self, count: int) -> list[Example]:
        """Some, of all lengths."""
        rng = random.Random(f"{self._seed} sample")
        return [self._draw(rng, HARD) for _ in range(count)]

    def _draw_together(self, number: int, tokens: int) -> list[list[Example]]:
        rng = random.Random(f"{self._seed} {number}")
        hardness = min(1.0, number * TOGETHER / RAMP)
        longest = round(EASY + hardness * (HARD - EASY))
        examples, total = [], 0
        while total < TOGETHER * tokens:
            examples.append(self._draw(rng, longest))
            total += examples[-1].size
        examples.sort(key=lambda example: example.size)
        batches: list[list[Example]] = [[] for _ in range(TOGETHER)]
        before = 0
        for example in examples:
            batches[min(TOGETHER - 1, before * TOGETHER // total)].append(example)
            before += example.size
        for batch in batches:
            if not batch:  # the one before it is a single long example
                batch.append(max(batches, key=len).pop())
        rng.shuffle(batches)
        return batches

    def _draw(self, rng: random.Random, longest: int) -> Example:
        while True:
            example = self.example(rng, longest)
            if example.size <= self._most:
                return example

    def example(self, rng: random.Random, longest: int) -> Example:
        """One of any kind, whose thought has about so many characters at most."""
        earlier = []
        if rng.random() < EARLIER:
            for _ in range(rng.randint(1, 2)):
                turn = draw_any(rng, longest)  # not learned here
                earlier.append((turn.question, turn.answer))
        direct = rng.random() < DIRECT
        if rng.random() < NO_SUMS:
            question, answer = no_sum(rng)
            return Example(tuple(earlier), question, None, answer, direct)
        problem = draw_any(rng, longest, self._part)
        question = phrased(problem, rng) if rng.random() < PHRASED else problem.question
        thought = None if direct else problem.thought
        return Example(tuple(earlier), question, thought, problem.answer, direct)


def draw_any(rng: random.Random, longest: int = HARD, part: Split = "training") -> Problem:
    """A problem of any task, each as often as `SHARES` says.

    Args:
        rng: draws it.
        longest: no task has longer thoughts than so many characters.
        part: of the corpus.
    """
    tasks, shares = _tasks(longest, held_out=part != "training")
    return draw(rng.choices(tasks, shares)[0], rng, part)


@lru_cache(maxsize=8)
def _tasks(longest: int, held_out: bool) -> tuple[list[Task], list[float]]:
    """The tasks whose thoughts are no longer, and their shares."""
    tasks = [task for task in TASKS if longest_thought(task) <= longest]
    tasks = [task for task in tasks if not held_out or is_held_out(task)]
    return tasks, [SHARES[str(task)] for task in tasks]


@lru_cache(maxsize=64)
def longest_thought(task: Task) -> int:
    """About so many characters have the longest thoughts of a task: of a hundred, the longest."""
    rng = random.Random(str(task))
    return max(len(draw(task, rng).thought) for _ in range(100))


def phrased(problem: Problem, rng: random.Random) -> str:
    """The question of a sum in other words; a story's as it is."""
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
