"""Several corpora as one: a tokenizer for all, and a mixture of their datasets."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Protocol, runtime_checkable

from anexa.data import Progress
from anexa.data.batches import Dataset
from anexa.data.duplicates import deduplicate_against
from anexa.data.mixture import Mixture
from anexa.data.registry import Layout
from anexa.errors import AnexaError
from anexa.model.tokenizer import Tokenizer
from anexa.names import shown
from anexa.training.corpus import Corpus
from anexa.training.specs import CorpusSpec
from anexa.training.tokenizers import Texts, make_tokenizer


@runtime_checkable
class Tokenizable(Protocol):
    """Protocol of a corpus with texts that a tokenizer can be trained on.

    Attributes:
        documents: texts of the corpus.
        special_tokens: special tokens of its chat template; empty for plain text.
    """

    @property
    def documents(self) -> Texts:
        """Texts of the corpus."""

    @property
    def special_tokens(self) -> Sequence[str]:
        """Special tokens of its chat template; empty for plain text."""


class JoinedDocuments:
    """Documents of several corpora, to train a tokenizer on; implements `Texts`.

    Args:
        parts: texts of each corpus.
    """

    def __init__(self, parts: Sequence[Texts]) -> None:
        self._parts = parts
        self.size = sum(part.size for part in parts)
        layouts = {part.layout for part in parts}
        self.layout: Layout = "lines" if layouts == {"lines"} else "text"

    def groups(self) -> Iterator[list[str]]:
        """Yield lists of documents or pieces of text of all corpora, one corpus after the other."""
        for part in self._parts:
            yield from part.groups()


class MixedCorpus:
    """Several corpora at once, with the share of each; implements `Corpus`.

    Chat template, prompt, temperature and `max_new_tokens` are those of the first corpus of
    conversations, or else of the first corpus.

    Args:
        specs: sources and weights of the corpora; without weights, each corpus is drawn from in
            proportion to the number of its sequences.
        corpora: the opened corpora, in the same order.

    Attributes:
        names: names of the corpora; a corpus whose name is not unique has its path instead.
        corpora: the opened corpora.
        weights: weight of each corpus as it was given, a decimal number; "" if none was given.
    """

    def __init__(self, specs: Sequence[CorpusSpec], corpora: Sequence[Corpus]) -> None:
        count = Counter(corpus.name for corpus in corpora)
        self.corpora = tuple(corpora)
        self.names = tuple(
            corpus.name if count[corpus.name] == 1 else shown(spec.source)
            for spec, corpus in zip(specs, corpora)
        )
        self._specs = tuple(specs)
        self.weights = weights = [spec.weight for spec in specs]
        self.name = ", ".join(
            f"{name}:{weight}" if weight else name for name, weight in zip(self.names, weights)
        )
        self.notes = tuple(
            f"{name}: {note}" for name, corpus in zip(self.names, corpora) for note in corpus.notes
        )
        self.size = sum(corpus.size for corpus in corpora)
        first = next((each for each in corpora if each.chat_template), corpora[0])
        self.chat_template = first.chat_template
        self.sample_prompt, self.temperature = first.sample_prompt, first.temperature
        self.max_new_tokens = first.max_new_tokens

    def _check_templates(self) -> None:
        known: dict[str, str] = {}  # the templates, and the first corpus of each
        for name, corpus in zip(self.names, self.corpora):
            if corpus.chat_template is not None:
                known.setdefault(corpus.chat_template, name)
        if len(known) > 1:
            one, other, *_ = known.values()
            raise AnexaError(
                f"{one} and {other} have different chat templates, so they cannot be mixed: train "
                "on one after the other"
            )

    @property
    def sha256(self) -> str:
        """Hash of the corpora and their weights, in hexadecimal."""
        weights = [str(Fraction(weight or 0)) for weight in self.weights]
        parts = [[each.sha256, weight] for each, weight in zip(self.corpora, weights)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def make_tokenizer(self, spec: str) -> Tokenizer:
        """Make or load one tokenizer for the texts of all corpora.

        Args:
            spec: specification, such as "char" or "bpe:4096", as in `make_tokenizer`.

        Raises:
            AnexaError: if a corpus has a tokenizer of its own, two corpora have different chat
                templates, or the specification is not valid.
        """
        self._check_templates()
        texts: list[Texts] = []
        tokens: dict[str, None] = {}
        for name, corpus in zip(self.names, self.corpora):
            if not isinstance(corpus, Tokenizable):
                raise AnexaError(
                    f"{name} has a tokenizer of its own, so it cannot be mixed with others: train "
                    "on it alone"
                )
            texts.append(corpus.documents)
            tokens |= dict.fromkeys(corpus.special_tokens)
        return make_tokenizer(spec, JoinedDocuments(texts), tuple(tokens))

    def for_model(self, tokenizer: Tokenizer, chat_template: str | None) -> MixedCorpus:
        """Return a mixture of the corpora for a model that exists, with its chat template, if any.

        Raises:
            AnexaError: if the model cannot be trained on one of the corpora, or two of them have
                different chat templates.
        """
        corpora = [each.for_model(tokenizer, chat_template) for each in self.corpora]
        mixed = MixedCorpus(self._specs, corpora)
        mixed._check_templates()
        return mixed

    def count_unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:
        """Count the characters of all corpora that a tokenizer does not know.

        Returns:
            The occurrences of each unknown character, and of all characters together.
        """
        unknown: Counter[str] = Counter()
        total = 0
        for corpus in self.corpora:
            found, count = corpus.count_unknown(tokenizer)
            unknown.update(found)
            total += count
        return dict(unknown), total

    def make_datasets(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Encode all corpora, and mix their training datasets and their validation datasets.

        Duplicates of the training data of any corpus are removed from the validation data: see
        `deduplicate_against`.

        Raises:
            AnexaError: if a corpus cannot be encoded, or is too short to be split.
        """
        pairs = [each.make_datasets(tokenizer, block_size, seed, progress) for each in self.corpora]
        training, held_out = zip(*pairs)
        validation = [
            deduplicate_against([*training[:i], *training[i + 1 :]], each)
            for i, each in enumerate(held_out)
        ]
        weights = [
            Fraction(weight) if weight else Fraction(dataset.sequences_per_epoch)
            for weight, dataset in zip(self.weights, training)
        ]
        return Mixture(self.names, training, weights), Mixture(self.names, validation, weights)
