"""Corpus of conversations: the chat template, the tokenizer, and labeled sequences."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

from anexa.data import CORPORA, Layout, Progress
from anexa.data.batches import Dataset
from anexa.data.conversation_file import Conversations
from anexa.data.conversation_sequences import encode_conversations
from anexa.data.corpora import open_text_source
from anexa.data.sources.reader import DEFAULT_OPTIONS, ReadOptions
from anexa.errors import AnexaError
from anexa.model.chat_format import render_messages
from anexa.model.general_template import general_template, general_tokens
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.names import shown
from anexa.training.tokenizers import make_tokenizer

# Recommended sampling temperature: a small model stays closer to its data than with the usual 0.8.
CHAT_TEMPERATURE = 0.3


class ConversationTexts:
    """Texts of conversations, to train a tokenizer on; implements `Texts`.

    Args:
        conversations: conversations of a file.
    """

    layout: Layout = "documents"

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self.size = conversations.size

    def groups(self) -> Iterator[list[str]]:
        """Yield lists of texts: all contents and thoughts (the reasoning before an answer)."""
        for text in self._conversations.texts():
            yield [text]


class ConversationCorpus:
    """Corpus of conversations; implements `anexa.training.corpus.Corpus`.

    Args:
        conversations: conversations of a file.

    Attributes:
        chat_template: the template that `general_template` makes, with thoughts (the reasoning
            before an answer) if the conversations have some; or that of the model to train.
        documents: texts of the conversations.
        special_tokens: special tokens of the template.
    """

    temperature = CHAT_TEMPERATURE
    max_new_tokens: int | None = None

    def __init__(self, conversations: Conversations) -> None:
        self.name, self.sha256 = conversations.name, conversations.sha256
        self.notes, self.size = conversations.notes, conversations.size
        self._conversations = conversations
        self._bos_eos = (END_OF_TEXT, END_OF_TEXT)
        self.documents = ConversationTexts(conversations)
        self.special_tokens = general_tokens(thinking=conversations.has_thoughts)
        self.chat_template: str = general_template(thinking=conversations.has_thoughts)

    @property
    def sample_prompt(self) -> str:
        """Prompt of the samples during training: a short question of the conversations.

        Raises:
            AnexaError: if the template is invalid, or refuses the question.
        """
        return self._as_prompt(self._conversations.question)

    def _as_prompt(self, question: str) -> str:
        bos, eos = self._bos_eos
        messages = [{"role": "user", "content": question}]
        return render_messages(self.chat_template, messages, bos=bos, eos=eos)

    def make_tokenizer(self, spec: str) -> Tokenizer:
        """Make or load a tokenizer with a token for each tag of the chat template.

        Args:
            spec: specification of the tokenizer, as in `make_tokenizer`.

        Raises:
            AnexaError: if the file does not exist, is no tokenizer, or has no end-of-text token.
            UsageError: if the vocabulary size is out of range.
        """
        return make_tokenizer(spec, self.documents, self.special_tokens)

    def for_model(self, tokenizer: Tokenizer, chat_template: str | None) -> ConversationCorpus:
        """Return the corpus for a model that exists, with its own chat template if it has one.

        A model without a template gets `general_template`: with tags if they are tokens of the
        model, else with plain words.

        Args:
            tokenizer: tokenizer of the model.
            chat_template: chat template of the model; None if it has none.

        Raises:
            AnexaError: if the tokenizer lacks a character of the template, or the template is
                invalid.
        """
        corpus = copy(self)
        corpus._bos_eos = tokenizer.bos_eos
        if chat_template is None:
            tagged = all(tokenizer.token_to_id(token) is not None for token in self.special_tokens)
            thinking = self._conversations.has_thoughts
            chat_template = general_template(thinking=thinking, tagged=tagged)
        corpus.chat_template = chat_template
        unknown = tokenizer.unknown_characters(corpus._as_prompt(""))
        if unknown:
            raise AnexaError(
                f"{self.name} cannot be trained on with this model, whose tokenizer lacks "
                f"{', '.join(map(repr, unknown[:5]))} of the chat template: start from another "
                "model, or from none"
            )
        return corpus

    def count_unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:
        """Count the characters that a tokenizer does not know, and all characters."""
        return tokenizer.count_unknown(self._conversations.texts())

    def make_datasets(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Encode the conversations, and split them into a training and a validation dataset.

        Raises:
            AnexaError: as `encode_conversations` raises it, or if there are too few conversations
                to split.
        """
        encoded = encode_conversations(
            self._conversations, self.chat_template, tokenizer, block_size, progress
        )
        return encoded.split(block_size, seed)


def open_conversations(
    spec: str, options: ReadOptions = DEFAULT_OPTIONS, progress: Progress | None = None
) -> ConversationCorpus:
    """Open a corpus of conversations.

    Args:
        spec: a name from `anexa.data.CORPORA`, or the path of a JSON Lines file.
        options: options for reading, of which only `skip_bad` has an effect.
        progress: progress callback of a download: `(bytes_done, bytes_total)`.

    Returns:
        The corpus.

    Raises:
        AnexaError: if it does not exist or cannot be read, has no conversations, or a row is bad
            and not left out.
        UsageError: if another option is given.
    """
    source, notes = open_text_source(spec, progress)
    name = spec if spec in CORPORA else shown(Path(spec).name)
    replace(options, skip_bad=False).check_unused(f"{name} has conversations")
    conversations = Conversations.scan(name, source, skip_bad=options.skip_bad)
    return ConversationCorpus(replace(conversations, notes=(*notes, *conversations.notes)))
