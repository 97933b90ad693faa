"""Generator of training examples for a thinking model: questions, thoughts, answers, refusals.

The examples are endless: those of a training step are a function of the seed and the step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property, lru_cache

from anexa.model.place_marks import PLACE_LETTERS
from anexa.ranges import Range
from anexa.thinking.phrasings import rephrase
from anexa.thinking.problems import (
    MAX_DIGITS,
    MAX_DIVIDEND_DIGITS,
    MAX_FACTOR_DIGITS,
    TASKS,
    Problem,
    Task,
    draw_problem,
    has_held_out,
)
from anexa.thinking.refusals import draw_unanswerable_request
from anexa.thinking.splits import Split

# Characters of the corpus, each of which is a token: the line break and printable ASCII.
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))

# Shares of the operations in the tokens of all problems, in percent.
TOKEN_SHARES = {"+": 8, "-": 9, "*": 34, "/": 24, "chain": 14, "story": 4, "?": 7}
# The tasks of an operation are drawn equally often, but for products and divisions whose longer
# operand has more digits than these: their sampling weight is multiplied by LONG_OPERAND_WEIGHT.
LONG_OPERAND_DIGITS = {"*": MAX_FACTOR_DIGITS, "/": MAX_DIVIDEND_DIGITS}
LONG_OPERAND_WEIGHT = 0.5
# Fractions of the examples, each from 0 to 1.
DIRECT_FRACTION = 0.08  # with an empty thought in the prompt, so that the model answers at once
MULTI_TURN_FRACTION = 0.07  # with earlier turns before the question
REFUSAL_FRACTION = 0.08  # requests that the model cannot answer, with a refusal
ONES_LETTER_A_FRACTION = 0.1  # with the letter A for ones; the others have a random letter
REPHRASED_FRACTION = 0.3  # with a random phrasing of the question, such as in words
# Numbers of earlier turns in a conversation that has some; each is drawn with equal probability.
EARLIER_TURN_COUNTS = (1, 1, 1, 2, 2, 3, 4, 6)

# Curriculum: the maximum length of a thought, in characters, at the beginning and at the end.
INITIAL_MAX_THOUGHT_CHARS, MAX_THOUGHT_CHARS = 60, 1300
CURRICULUM_STEPS = 5000  # training steps in which it grows, for a model trained from scratch
GROUP_STEPS = 16  # training steps whose examples are drawn together, then batched by length

MIN_EXAMPLE_TOKENS = 64  # smallest maximum length of an example; of much less there are hardly any
_NUM_MEASURED = 12  # problems of a task that its mean lengths are measured on


@dataclass(frozen=True)
class Example:
    """A conversation for training; only its last thought and answer have a loss.

    Attributes:
        earlier_turns: question and answer of each earlier turn.
        question: the last question, which the model is to answer.
        thought: the thought before the last answer; None for an answer without a thought.
        answer: the last answer.
        direct: whether the prompt ends with an empty thought, so that the model answers directly.
        ones_letter: index of the letter of the ones in the place marks of the questions and the
            thought; 0 for A, which the chat template uses. With other letters the model learns the
            letters of higher places than its training numbers have.
    """

    earlier_turns: tuple[tuple[str, str], ...]
    question: str
    thought: str | None
    answer: str
    direct: bool = False
    ones_letter: int = 0

    @cached_property
    def num_tokens(self) -> int:
        """Length of the conversation in tokens, each of which is a character or a special token."""
        texts = [text for turn in self.earlier_turns for text in turn]
        texts += [self.question, self.thought or "", self.answer]
        questions = [self.question, *(question for question, _ in self.earlier_turns)]
        marks = sum(map(str.isdigit, "".join(questions)))
        return sum(map(len, texts)) + marks + 3 * len(self.earlier_turns) + 5


class ExampleGenerator:
    """Endless generator of examples, in batches of similar length.

    Args:
        max_tokens: maximum length of an example, in tokens; at least `MIN_EXAMPLE_TOKENS`, 64.
        seed: random seed.
        split: split that the problems are drawn from.
        curriculum_steps: number of training steps in which the maximum length of a thought grows
            from short to full; 0 for full length from the first step.

    Raises:
        UsageError: if `max_tokens` is too small.
    """

    def __init__(
        self,
        max_tokens: int,
        seed: int,
        split: Split = "training",
        curriculum_steps: int = CURRICULUM_STEPS,
    ) -> None:
        Range(int, ge=MIN_EXAMPLE_TOKENS).check("max_tokens", max_tokens)
        self._max_tokens, self._seed, self._split = max_tokens, seed, split
        self._curriculum_steps = curriculum_steps
        self._final_max_thought_chars = min(MAX_THOUGHT_CHARS, max_tokens)
        self._group = lru_cache(maxsize=1)(self._draw_group)
        self._sample_rng = random.Random(f"{seed} sample")
        self._sample: list[Example] = []  # drawn so far: every evaluation asks for the same ones

    def batch(self, step: int, tokens: int) -> list[Example]:
        """Return the examples of a training step, of similar length.

        Args:
            step: step number, from 0.
            tokens: approximate number of tokens of all examples together.
        """
        number, index = divmod(step, GROUP_STEPS)
        return self._group(number, tokens)[index]

    def sample(self, count: int) -> list[Example]:
        """Return `count` examples of all lengths, for evaluation; the same ones at every call."""
        while len(self._sample) < count:
            self._sample.append(self._draw(self._sample_rng, self._final_max_thought_chars))
        return self._sample[:count]

    def _draw_group(self, number: int, tokens: int) -> list[list[Example]]:
        """Draw the batches of `GROUP_STEPS` training steps, each of `tokens` tokens.

        The examples are sorted by length, cut into batches of similar lengths, and the batches are
        shuffled.
        """
        rng = random.Random(f"{self._seed} {number}")
        step, steps = number * GROUP_STEPS, self._curriculum_steps
        hardness = step / steps if step < steps else 1.0
        growth = self._final_max_thought_chars - INITIAL_MAX_THOUGHT_CHARS
        max_thought_chars = round(INITIAL_MAX_THOUGHT_CHARS + hardness * growth)
        examples, total = [], 0
        while total < GROUP_STEPS * tokens:
            examples.append(self._draw(rng, max_thought_chars))
            total += examples[-1].num_tokens
        examples.sort(key=lambda example: example.num_tokens)
        batches: list[list[Example]] = [[] for _ in range(GROUP_STEPS)]
        before = 0
        for example in examples:
            batches[min(GROUP_STEPS - 1, before * GROUP_STEPS // total)].append(example)
            before += example.num_tokens
        for batch in batches:
            if not batch:  # a long example has used up the tokens of two batches
                batch.append(max(batches, key=len).pop())
        rng.shuffle(batches)
        return batches

    def _draw(self, rng: random.Random, max_thought_chars: int) -> Example:
        """Draw an example of at most `max_tokens` tokens."""
        while True:
            example = self.draw_example(rng, max_thought_chars)
            if example.num_tokens <= self._max_tokens:
                return example

    def draw_example(self, rng: random.Random, max_thought_chars: int) -> Example:
        """Draw an example.

        Args:
            rng: random generator.
            max_thought_chars: maximum length of the thought, in characters.
        """
        # With other letters than the template's A the model learns the letters of higher places.
        ones_letter = 0
        if rng.random() >= ONES_LETTER_A_FRACTION:
            ones_letter = rng.randrange(len(PLACE_LETTERS))
        earlier = []
        if rng.random() < MULTI_TURN_FRACTION:
            for _ in range(rng.choice(EARLIER_TURN_COUNTS)):
                # Earlier turns have no loss, so all of them are from the training split.
                turn = draw_any_problem(rng, max_thought_chars)
                earlier.append((turn.question, turn.answer))
        direct = rng.random() < DIRECT_FRACTION
        if rng.random() < REFUSAL_FRACTION:
            question, answer = draw_unanswerable_request(rng)
            return Example(tuple(earlier), question, None, answer, direct, ones_letter)
        problem = draw_any_problem(rng, max_thought_chars, self._split, ones_letter)
        question = problem.question
        if rng.random() < REPHRASED_FRACTION:
            question = rephrase(question, rng)
        thought = None if direct else problem.thought or None
        return Example(tuple(earlier), question, thought, problem.answer, direct, ones_letter)


def draw_any_problem(
    rng: random.Random,
    max_thought_chars: int = MAX_THOUGHT_CHARS,
    split: Split = "training",
    ones_letter: int = 0,
) -> Problem:
    """Draw a problem of a random task, weighted so that operations have their `TOKEN_SHARES`.

    Args:
        rng: random generator.
        max_thought_chars: maximum length of the thought, in characters; tasks whose thoughts are
            longer on average are left out.
        split: split that the problem is drawn from.
        ones_letter: index of the letter of the ones in the thought, 0 for A.
    """
    tasks, weights = _tasks(max_thought_chars, held_out=split != "training")
    while True:
        problem = draw_problem(rng.choices(tasks, cum_weights=weights)[0], rng, split, ones_letter)
        if len(problem.thought) <= max_thought_chars:
            return problem


@lru_cache(maxsize=8)
def _tasks(max_thought_chars: int, held_out: bool) -> tuple[list[Task], list[float]]:
    """List the tasks with short enough thoughts, and their cumulative sampling weights.

    Args:
        max_thought_chars: maximum of the mean length of a task's thoughts, in characters.
        held_out: whether to leave out tasks without held-out problems.
    """
    tasks = [task for task in TASKS if not held_out or has_held_out(task)]
    tasks = [task for task in tasks if mean_lengths(task)[0] <= max_thought_chars]
    shares = {task: _token_weight(task) for task in tasks}
    totals: dict[str, float] = {}
    for task, share in shares.items():
        totals[task.operation] = totals.get(task.operation, 0.0) + share
    weights, total = [], 0.0
    for task, share in shares.items():
        tokens = TOKEN_SHARES[task.operation] * share / totals[task.operation]
        total += tokens / mean_lengths(task)[1]
        weights.append(total)
    return tasks, weights


def _token_weight(task: Task) -> float:
    """Return the weight of a task in the tokens of its operation: its mean length.

    The weight of a product or division with a long operand is multiplied by `LONG_OPERAND_WEIGHT`.
    """
    is_long = task.left_size > LONG_OPERAND_DIGITS.get(task.operation, MAX_DIGITS)
    return mean_lengths(task)[1] * (LONG_OPERAND_WEIGHT if is_long else 1.0)


@lru_cache(maxsize=512)
def mean_lengths(task: Task) -> tuple[float, float]:
    """Estimate the mean length of a task's thoughts, and of its whole examples.

    Returns:
        Both lengths, in characters.
    """
    rng = random.Random(str(task))
    problems = [draw_problem(task, rng) for _ in range(_NUM_MEASURED)]
    thoughts = sum(len(one.thought) for one in problems) / _NUM_MEASURED
    others = sum(len(one.question) + len(one.answer) for one in problems) / _NUM_MEASURED
    return thoughts, thoughts + others + 5
