"""The general text: a text that is not the user's, on which forgetting is measured.

It is a passage of Python's documentation, English prose that every machine has; for a model of
arithmetic, known by its chat template, it is the validation problems of that corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec

from anexa.data import read_corpus
from anexa.data.batches import Dataset, evenly_spaced_indices
from anexa.data.windows import TokenWindows
from anexa.model.chat_format import CHAT_TEMPLATE
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.training.checkpoint import BaseModel
from anexa.training.evaluation import MAX_EVALUATION_SEQUENCES

# Names of the corpora that the text is from.
PROSE_CORPUS, ARITHMETIC_CORPUS = "python-docs", "arithmetic"
PROSE_CHARS = 64 * 2**10  # characters of the passage of prose, from the start of its corpus
PROSE_SEQUENCES = 32  # maximum number of sequences of the prose, spread evenly over the passage
# Fraction of unknown characters above which the prose does not suit a model.
MAX_UNKNOWN_PROSE_FRACTION = 0.2
SEED = 0  # random seed of the datasets, the same for all runs


@dataclass(frozen=True)
class GeneralText:
    """A text that is not the user's, on which forgetting is measured.

    Attributes:
        name: name of the corpus that the text is from.
        dataset: dataset of the text, of which at most `MAX_EVALUATION_SEQUENCES` are used.
    """

    name: str
    dataset: Dataset

    @property
    def sha256(self) -> str:
        """Hash of the token ids, in hexadecimal."""
        sequences = [list(s.ids) for s in self.dataset.eval_sequences(MAX_EVALUATION_SEQUENCES)]
        return hashlib.sha256(repr(sequences).encode()).hexdigest()


def choose_general_text(
    model: Model, length: int, corpora: Collection[str] = ()
) -> GeneralText | None:
    """Choose the general text for a model.

    Args:
        model: model that a run starts from.
        length: maximum number of predicted tokens in a sequence.
        corpora: names of the user's corpora.

    Returns:
        The text; None if none suits the model, or it is one of the user's own.
    """
    if model.chat_template == CHAT_TEMPLATE:
        name, dataset = ARITHMETIC_CORPUS, _problems(model.tokenizer, length)
    else:
        name, dataset = PROSE_CORPUS, _prose(model.tokenizer, length)
    return None if dataset is None or name in corpora else GeneralText(name, dataset)


def reopen_general_text(base: BaseModel, model: Model, length: int) -> GeneralText | None:
    """Choose the general text of a resumed run, if this machine has the same text.

    Args:
        base: record of the model that the run started from, with the hash of its general text.
        model: model of the run.
        length: maximum number of predicted tokens in a sequence.

    Returns:
        The text; None if there is none, or this machine has another one.
    """
    text = choose_general_text(model, length) if base.general_text else None
    return text if text is not None and text.sha256 == base.general_sha256 else None


def _prose(tokenizer: Tokenizer, length: int) -> Dataset | None:
    """Build a dataset of a passage of Python's documentation that the model can read.

    Args:
        tokenizer: tokenizer of the model.
        length: maximum number of predicted tokens in a sequence.

    Returns:
        The dataset, without characters that the model lacks; None if the text is not at hand, or if
        the model lacks too many of its characters.
    """
    if find_spec("pydoc_data") is None:  # some systems leave it out
        return None
    text = "".join(read_corpus(PROSE_CORPUS).source())[:PROSE_CHARS]
    unknown = "".join(tokenizer.unknown_characters(text))
    known = text.translate(str.maketrans("", "", unknown))
    if len(known) < (1 - MAX_UNKNOWN_PROSE_FRACTION) * len(text):
        return None
    windows = TokenWindows(tokenizer.encode(known), length, SEED)
    chosen = evenly_spaced_indices(len(windows.starts), PROSE_SEQUENCES)
    return windows.select(windows.starts[chosen])


def _problems(tokenizer: Tokenizer, length: int) -> Dataset | None:
    """Build a dataset of problems of arithmetic with thoughts: the calculation before the answer.

    Args:
        tokenizer: tokenizer of the model.
        length: maximum number of predicted tokens in a sequence.

    Returns:
        The dataset; None if the thoughts are too long for the sequences.
    """
    # Imported here: it needs jinja2, and plain text does not.
    from anexa.thinking.corpus import ArithmeticCorpus
    from anexa.thinking.examples import MIN_EXAMPLE_TOKENS

    if length < MIN_EXAMPLE_TOKENS:
        return None
    return ArithmeticCorpus().make_datasets(tokenizer, length, SEED)[1]
