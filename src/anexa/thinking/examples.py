"""Generator of training examples for a thinking model: questions, thoughts, answers, refusals.

The corpus is endless: the examples of a training step are a function of the seed and the step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property, lru_cache

from anexa.thinking.problems import TASKS, Problem, Task, draw, is_held_out
from anexa.thinking.refusals import unanswerable_request
from anexa.thinking.splits import Split

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))

# Sampling weight of each task: higher for tasks that take longer to learn.
TASK_WEIGHTS = {
    "+ 1": 0.3, "+ 2": 0.6, "+ 3": 1.2, "+ 4": 1.5, "+ 5": 2.0, "+ 6": 2.6, "+ 7": 3.2, "+ 8": 4.0,
    "- 1": 0.3, "- 2": 0.8, "- 3": 1.6, "- 4": 2.2, "- 5": 3.0, "- 6": 4.0, "- 7": 5.2, "- 8": 7.0,
    "1x1": 0.3, "2x1": 1.0, "3x1": 2.0, "4x1": 2.5, "2x2": 3.5, "3x2": 6.0, "4x2": 7.0,
    "3x3": 9.0, "4x3": 9.0, "4x4": 9.0,
    "story": 12.0,
}  # fmt: skip
# Fractions of the examples that …
DIRECT_FRACTION = 0.08  # … are answered without a thought
MULTI_TURN_FRACTION = 0.07  # … have earlier turns before the question
REFUSAL_FRACTION = 0.05  # … are requests that the model cannot answer, with a refusal
REPHRASED_FRACTION = 0.25  # … have a calculation phrased in words, or with spaces and signs

# Curriculum: the maximum length of a thought, in characters, grows from easy to hard.
EASY_THOUGHT_CHARS, HARD_THOUGHT_CHARS = 60, 480
CURRICULUM_STEPS = 1500  # training steps from easy to hard
GROUP_STEPS = 16  # training steps whose examples are drawn together, then batched by length


@dataclass(frozen=True)
class Example:
    """A conversation for training; only its last thought and answer have a loss.

    Attributes:
        earlier: question and answer of each earlier turn.
        question: the last question.
        thought: the thought before the last answer; None for an answer without a thought.
        answer: the last answer.
        direct: whether the prompt tells the assistant not to think.
        first: index of the letter of the ones in the place marks of the questions and the thought:
            0 for A, as the chat template marks; other letters let the model know them all.
    """

    earlier: tuple[tuple[str, str], ...]
    question: str
    thought: str | None
    answer: str
    direct: bool = False
    first: int = 0

    @cached_property
    def size(self) -> int:
        """Number of tokens, which are characters and special tokens."""
        texts = [text for turn in self.earlier for text in turn]
        texts += [self.question, self.thought or "", self.answer]
        questions = [self.question, *(question for question, _ in self.earlier)]
        marks = sum(map(str.isdigit, "".join(questions)))
        return sum(map(len, texts)) + marks + 3 * len(self.earlier) + 5


class Examples:
    """Endless generator of examples, in batches of similar length.

    Args:
        max_tokens: maximum length of an example, in tokens.
        seed: random seed.
        split: split that the problems are drawn from.
    """

    def __init__(self, max_tokens: int, seed: int, split: Split = "training") -> None:
        self._max_tokens, self._seed, self._split = max_tokens, seed, split
        self._group = lru_cache(maxsize=1)(self._draw_group)
        self._sample_rng = random.Random(f"{seed} sample")
        self._sample: list[Example] = []  # drawn so far: every evaluation asks for the same ones

    def batch(self, step: int, tokens: int) -> list[Example]:
        """Return the examples of a training step.

        Args:
            step: step number, from 0.
            tokens: approximate number of tokens of all examples together.
        """
        number, place = divmod(step, GROUP_STEPS)
        return self._group(number, tokens)[place]

    def sample(self, count: int) -> list[Example]:
        """Return `count` examples of all lengths, for evaluation."""
        while len(self._sample) < count:
            self._sample.append(self._draw(self._sample_rng, HARD_THOUGHT_CHARS))
        return self._sample[:count]

    def _draw_group(self, number: int, tokens: int) -> list[list[Example]]:
        rng = random.Random(f"{self._seed} {number}")
        hardness = min(1.0, number * GROUP_STEPS / CURRICULUM_STEPS)
        longest = round(EASY_THOUGHT_CHARS + hardness * (HARD_THOUGHT_CHARS - EASY_THOUGHT_CHARS))
        examples, total = [], 0
        while total < GROUP_STEPS * tokens:
            examples.append(self._draw(rng, longest))
            total += examples[-1].size
        examples.sort(key=lambda example: example.size)
        batches: list[list[Example]] = [[] for _ in range(GROUP_STEPS)]
        before = 0
        for example in examples:
            batches[min(GROUP_STEPS - 1, before * GROUP_STEPS // total)].append(example)
            before += example.size
        for batch in batches:
            if not batch:  # a long example has used up the tokens of two batches
                batch.append(max(batches, key=len).pop())
        rng.shuffle(batches)
        return batches

    def _draw(self, rng: random.Random, longest: int) -> Example:
        while True:
            example = self.example(rng, longest)
            if example.size <= self._max_tokens:
                return example

    def example(self, rng: random.Random, longest: int) -> Example:
        """Draw an example.

        Args:
            rng: random generator.
            longest: approximate maximum length of the thought, in characters.
        """
        earlier = []
        if rng.random() < MULTI_TURN_FRACTION:
            for _ in range(rng.randint(1, 2)):
                turn = draw_any(rng, longest)  # context, without a loss
                earlier.append((turn.question, turn.answer))
        direct = rng.random() < DIRECT_FRACTION
        if rng.random() < REFUSAL_FRACTION:
            question, answer = unanswerable_request(rng)
            return Example(tuple(earlier), question, None, answer, direct)
        problem = draw_any(rng, longest, self._split)
        question = rephrase(problem, rng) if rng.random() < REPHRASED_FRACTION else problem.question
        thought = None if direct else problem.thought
        return Example(tuple(earlier), question, thought, problem.answer, direct)


def draw_any(
    rng: random.Random, longest: int = HARD_THOUGHT_CHARS, split: Split = "training"
) -> Problem:
    """Draw a problem of a random task, with the probabilities in `TASK_WEIGHTS`.

    Args:
        rng: random generator.
        longest: maximum length of a thought, in characters; tasks with longer ones are left out.
        split: split that the problem is drawn from.
    """
    tasks, weights = _tasks(longest, held_out=split != "training")
    return draw(rng.choices(tasks, weights)[0], rng, split)


@lru_cache(maxsize=8)
def _tasks(longest: int, held_out: bool) -> tuple[list[Task], list[float]]:
    """List the tasks with short enough thoughts, and their sampling weights."""
    tasks = [task for task in TASKS if longest_thought(task) <= longest]
    tasks = [task for task in tasks if not held_out or is_held_out(task)]
    return tasks, [TASK_WEIGHTS[str(task)] for task in tasks]


@lru_cache(maxsize=64)
def longest_thought(task: Task) -> int:
    """Estimate the length of a task's longest thought, in characters, from a hundred problems."""
    rng = random.Random(str(task))
    return max(len(draw(task, rng).thought) for _ in range(100))


def rephrase(problem: Problem, rng: random.Random) -> str:
    """Phrase a question such as 347*86 in other words; a story stays as it is."""
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
