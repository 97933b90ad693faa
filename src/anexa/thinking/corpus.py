"""The arithmetic corpus: an endless stream of conversations, as token sequences for training."""

from __future__ import annotations

import hashlib
import random
from functools import cache

from anexa.data import Progress
from anexa.data.batches import Dataset, LabeledSequence
from anexa.errors import AnexaError, UsageError
from anexa.model.chat_format import (
    ASSISTANT,
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    END_THINK,
    THINK,
    USER,
    render_question,
)
from anexa.model.operations import IGNORE_INDEX
from anexa.model.place_marks import mark_places
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.thinking.examples import (
    ALPHABET,
    CURRICULUM_STEPS,
    MIN_EXAMPLE_TOKENS,
    Example,
    ExampleGenerator,
)
from anexa.thinking.position_gaps import PositionGaps
from anexa.thinking.splits import Split

MAX_PREDICTED_TOKENS = 2047  # of the longest example; its first token is not predicted


@cache
def _sample_hash() -> str:
    corpus = ArithmeticCorpus()
    tokenizer = corpus.make_tokenizer("char")
    training, _ = corpus.make_datasets(tokenizer, MAX_PREDICTED_TOKENS, seed=0)
    rows = [row for step in (0, 100, 2000) for row in training.batch(step, 1)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


class ArithmeticCorpus:
    """Generated conversations about arithmetic; a corpus as in `anexa.training.corpus.Corpus`.

    Args:
        curriculum_steps: number of training steps in which the maximum length of a thought grows
            from short to full; 0 for full length from the first step.
    """

    def __init__(self, curriculum_steps: int = CURRICULUM_STEPS) -> None:
        self._curriculum_steps = curriculum_steps

    name = "arithmetic"
    chat_template: str | None = CHAT_TEMPLATE
    temperature = 0.0  # greedy: only one result is right
    max_new_tokens: int | None = 2048  # for 11 by 11 digits; leaves context for earlier turns
    notes: tuple[str, ...] = ()
    size = 0
    sample_prompt = render_question(CHAT_TEMPLATE, "347*86")

    @property
    def sha256(self) -> str:
        """SHA-256 of sample sequences, hexadecimal; it changes if the generator does."""
        return _sample_hash()

    def make_tokenizer(self, spec: str) -> Tokenizer:
        """Create a character tokenizer with the special tokens of the chat template.

        Args:
            spec: value of the option `--tokenizer`; only "char" is possible.

        Raises:
            UsageError: if `spec` is not "char".
        """
        if spec != "char":
            raise UsageError(
                f"the arithmetic corpus needs a character tokenizer: leave out --tokenizer {spec}"
            )
        return Tokenizer.from_characters([ALPHABET], adds_bos=False, added_tokens=CHAT_TOKENS)

    def for_model(
        self,
        tokenizer: Tokenizer,
        chat_template: str | None,  # noqa: ARG002 (the examples have a single format)
    ) -> ArithmeticCorpus:
        """Return this corpus without the curriculum, to train on a model that was trained on it.

        Args:
            tokenizer: tokenizer of the model.
            chat_template: chat template of the model; not used.

        Raises:
            AnexaError: if the tokenizer lacks characters or tokens of the corpus.
        """
        absent = [token for token in CHAT_TOKENS if tokenizer.token_to_id(token) is None]
        absent += tokenizer.unknown_characters(ALPHABET)
        if absent:
            raise AnexaError(
                "the corpus arithmetic is for models that were trained on it, and this model's "
                f"tokenizer has no {absent[0]!r}: start without --from"
            )
        return ArithmeticCorpus(curriculum_steps=0)

    def count_unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:  # noqa: ARG002
        """Return ({}, 0), the counts of unknown characters: its own tokenizer knows all of them."""
        return {}, 0

    def make_datasets(
        self,
        tokenizer: Tokenizer,
        block_size: int,
        seed: int,
        progress: Progress | None = None,  # noqa: ARG002 (nothing is encoded in advance)
    ) -> tuple[Dataset, Dataset]:
        """Create the training dataset and the validation dataset, whose problems are held out.

        Args:
            tokenizer: tokenizer of the model.
            block_size: context length, in tokens.
            seed: random seed of the examples.
            progress: not used.

        Raises:
            UsageError: if `block_size` is less than 64 tokens, too short for a thought.
        """
        if block_size < MIN_EXAMPLE_TOKENS:
            raise UsageError(
                f"the arithmetic corpus needs a --block-size of at least "
                f"{MIN_EXAMPLE_TOKENS} (2048 for its longest thoughts), not {block_size}"
            )
        splits: tuple[Split, Split] = ("training", "validation")
        training, validation = (
            ChatDataset(tokenizer, block_size, self.examples(block_size + 1, seed, split), seed)
            for split in splits
        )
        return training, validation

    def examples(self, max_tokens: int, seed: int, split: Split) -> ExampleGenerator:
        """Create the generator of the examples of a split, none longer than `max_tokens` tokens."""
        return ExampleGenerator(max_tokens, seed, split, self._curriculum_steps)


class ChatDataset:
    """Endless `Dataset` of conversations; only the last thought and answer have labels.

    Args:
        tokenizer: tokenizer with the special tokens of the chat template.
        length: maximum number of predicted tokens in a sequence.
        examples: generator of the conversations, none longer than `length + 1` tokens.
        seed: random seed of the gaps between positions.
    """

    claim = "the validation problems are held out: they are never drawn for training"

    def __init__(
        self, tokenizer: Tokenizer, length: int, examples: ExampleGenerator, seed: int
    ) -> None:
        self._tokenizer, self._length, self._examples = tokenizer, length, examples
        self._gaps, self._seed = PositionGaps(tokenizer), seed
        self.notes = self._notes()
        ids = (tokenizer.token_to_id(tag) for tag in (ASSISTANT, END_THINK))
        self._assistant, self._end_think = (token_id for token_id in ids if token_id is not None)

    def _notes(self) -> tuple[str, ...]:
        if self._length >= MAX_PREDICTED_TOKENS:
            return ()
        return (f"examples of more than {self._length + 1} tokens are not drawn",)

    @property
    def sequences_per_epoch(self) -> int:
        """Sequences in an epoch: always an error, as the dataset is endless.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "the arithmetic corpus is endless and has no epochs: use --steps or --minutes"
        )

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the batch of a training step: sequences of similar lengths, some with gaps.

        Args:
            step: training step, from 0.
            size: size of the batch, in sequences of maximum length; the batch has about as many
                tokens in more, shorter sequences.
        """
        examples = self._examples.batch(step, size * self._length)
        rng = random.Random(f"{self._seed} {step} gaps")
        return [self._with_gaps(self.label(example), rng) for example in examples]

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return `size` sequences of all lengths, for evaluation; the same ones at every call."""
        return [self.label(example) for example in self._examples.sample(size)]

    def label(self, example: Example) -> LabeledSequence:
        """Encode a conversation with labels on its last turn of the assistant.

        The tags of an empty thought have no labels: they belong to the prompt.
        """
        ids = self._tokenizer.encode(render_example(example))
        start = len(ids) - ids[::-1].index(self._assistant)
        if ids[start + 1] == self._end_think:
            start += 2
        return LabeledSequence(ids, [*[IGNORE_INDEX] * start, *ids[start:]])

    def _with_gaps(self, sequence: LabeledSequence, rng: random.Random) -> LabeledSequence:
        return sequence._replace(positions=self._gaps.draw(sequence.ids, self._length, rng))


def render_example(example: Example) -> str:
    """Render a conversation, with its last answer, as the chat template does.

    The ones have the letter with index `example.ones_letter`; in the chat template they have A.
    """
    turns = "".join(
        f"{USER}{mark_places(question, example.ones_letter)}{ASSISTANT}{answer}{END_OF_TEXT}"
        for question, answer in example.earlier_turns
    )
    question = mark_places(example.question, example.ones_letter)
    thought = ""
    if example.direct or example.thought is not None:
        thought = f"{THINK}{example.thought or ''}{END_THINK}"
    return f"{turns}{USER}{question}{ASSISTANT}{thought}{example.answer}{END_OF_TEXT}"
