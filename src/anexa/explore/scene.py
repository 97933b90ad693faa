"""A scene: what the glass box computes, that is, weights after a step, an input, and switches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from anexa.engines import Batch
from anexa.errors import AnexaError, UsageError
from anexa.generation import LanguageModel, Prompt, generate_batch
from anexa.generation.text_stream import check_length
from anexa.model.tokenizer import Tokenizer
from anexa.names import counted

InputKind: TypeAlias = Literal["text", "chat", "batch"]


@dataclass(frozen=True)
class Scene:
    """A computation: the weights of a model after a training step, an input, and switches.

    Attributes:
        folder: index of an opened model folder.
        step: number of training steps after which the weights are taken; None: the weights in the
            model folder.
        kind: kind of input. "text": a text; "chat": a question, with the answer that the model
            writes; "batch": the training batch that step number `step` + 1 takes.
        text: the text or the question; empty for a batch.
        edits: switches, as `anexa.explore.switches.parse_edit` reads them.
    """

    folder: int = 0
    step: int | None = None
    kind: InputKind = "text"
    text: str = ""
    edits: tuple[str, ...] = ()

    @property
    def unedited(self) -> Scene:
        """A copy of the scene without switches."""
        return replace(self, edits=())


def encode_text(tokenizer: Tokenizer, text: str, block_size: int) -> list[int]:
    """Encode a text as the training does; of a corpus of documents, between end-of-text tokens.

    Returns:
        At least two token ids, of which all but the first are predicted.

    Raises:
        AnexaError: if the text has characters that the model does not know, is longer than the
            context, or has nothing to predict.
    """
    check_length(len(text), tokenizer, block_size)
    ids = tokenizer.encode_prompt(text)
    if tokenizer.adds_bos and tokenizer.eos_token_ids:
        ids = [*ids, tokenizer.eot_token]
    if len(ids) > block_size + 1:
        raise AnexaError(
            f"the text has {counted(len(ids), 'token')}, and this model sees at most "
            f"{block_size + 1} at once: shorten it"
        )
    if len(ids) < 2:
        raise UsageError("a text of one token has nothing to predict: type at least two characters")
    return ids


def text_batch(tokenizer: Tokenizer, text: str, block_size: int) -> Batch:
    """Create the batch of one text, in which each token but the first is predicted.

    Raises:
        AnexaError: if the text has unknown characters, is longer than the context, or has nothing
            to predict.
    """
    return Batch.from_sequences([encode_text(tokenizer, text, block_size)])


def chat_batch(model: LanguageModel, question: str) -> Batch:
    """Create the batch of a question and the model's own answer, in which the answer is predicted.

    Raises:
        AnexaError: if the model is not a chat model, or cannot read the question.
    """
    tokenizer, block_size = model.tokenizer, model.engine.config.block_size
    rendered = model.render_prompt([{"role": "user", "content": question}])
    prompt = Prompt(tokenizer, block_size, rendered).ids
    [answer] = generate_batch(model.engine, [prompt], tokenizer.eot_token)
    ids = [*prompt, *answer, tokenizer.eot_token]
    return Batch.from_sequences([ids[: block_size + 1]], [len(prompt)])
