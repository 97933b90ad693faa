"""Split of a corpus into training and validation datasets."""

from __future__ import annotations

import numpy as np

from anexa.data.batches import Dataset, randperm, with_notes
from anexa.data.documents import SeparateDocuments
from anexa.data.mixture import Mixture
from anexa.data.packing import PackedDocuments
from anexa.data.tokens import TokenizedCorpus
from anexa.data.windows import TokenWindows
from anexa.errors import AnexaError, UsageError


def split(
    tokens: TokenizedCorpus, length: int, seed: int, fraction: float = 0.1
) -> tuple[Dataset, Dataset]:
    """Split a corpus into a training and a validation dataset.

    The layout of the corpus decides what is held out for validation:

    - "lines": `fraction` of the documents, at random; at least one document, and never all.
    - "documents": random documents that together have at most `fraction` of the tokens; if each
      document has more, the shortest one. A single document is split like "text".
    - "text": the last `fraction` of the tokens.

    No token is a target in both datasets.

    Args:
        tokens: the tokenized corpus.
        length: maximum number of predicted tokens in a sequence.
        seed: random seed of the split and of the order of the sequences.
        fraction: fraction of the corpus that is held out for validation, between 0 and 1,
            exclusive.

    Returns:
        The training dataset and the validation dataset.

    Raises:
        UsageError: if `fraction` is not between 0 and 1.
        AnexaError: if a corpus of lines has fewer than two documents, or a text has fewer than
            three tokens.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"the validation fraction must be between 0 and 1, such as 0.1, not {fraction}"
        )
    if tokens.layout == "lines":
        return _split_lines(tokens, length, seed, fraction)
    if tokens.layout == "documents" and len(tokens.boundaries) > 2:
        return _split_documents(tokens, length, seed, fraction)
    training, validation = _split_text(tokens, length, seed, fraction)
    if tokens.layout == "documents":
        note = f"there is a single document: the last {fraction:.0%} of it is for validation"
        validation = with_notes(validation, note, "")
    return training, validation


def _split_lines(
    tokens: TokenizedCorpus, length: int, seed: int, fraction: float
) -> tuple[SeparateDocuments, SeparateDocuments]:
    n = len(tokens.boundaries) - 1
    if n < 2:
        raise AnexaError(
            f"{tokens.name} has a single document, but training and validation need one each: add "
            "a second line, or read it with --layout text"
        )
    order, cut = randperm(n, seed), _cut(n, fraction)
    whole = SeparateDocuments(tokens.ids, tokens.boundaries, order, length, seed)
    return whole.select(order[:cut]), whole.select(order[cut:])


def _split_documents(
    tokens: TokenizedCorpus, length: int, seed: int, fraction: float
) -> tuple[PackedDocuments, PackedDocuments]:
    order = randperm(len(tokens.boundaries) - 1, seed)
    whole = PackedDocuments(tokens.ids, tokens.boundaries, order, length, seed)
    sizes = np.concatenate([lengths for _, lengths in whole.document_lengths(order)])
    budget = fraction * whole.num_tokens
    fits = sizes <= budget
    held_out = fits & (np.cumsum(np.where(fits, sizes, 0)) <= budget)
    if not held_out.any():
        held_out[sizes.argmin()] = True
    return whole.select(order[~held_out]), whole.select(order[held_out])


def _split_text(
    tokens: TokenizedCorpus, length: int, seed: int, fraction: float
) -> tuple[TokenWindows, TokenWindows]:
    n = len(tokens.ids) - 1
    if n < 2:
        raise AnexaError(
            f"{tokens.name} has a single character or word, but training and validation need one "
            "each: give a longer text"
        )
    cut = _cut(n, fraction)
    # The last training token is the first validation input, and is predicted only in training.
    return TokenWindows(tokens.ids[: cut + 1], length, seed), TokenWindows(
        tokens.ids[cut:], length, seed
    )


def _cut(n: int, fraction: float) -> int:
    """Return how many of `n` documents or tokens are for training: at least 1, at most n − 1."""
    return n - min(n - 1, max(1, round(n * fraction)))


def dataset_notes(training: Dataset, validation: Dataset) -> tuple[str, ...]:
    """Return sentences for the user about the split, and the notes of both datasets.

    They say how much is held out for validation (layout "documents"), how many documents of both
    datasets are longer than the context ("lines"), and the share of each corpus in a mixture. The
    result is empty if there is nothing to say.
    """
    if isinstance(training, Mixture) and isinstance(validation, Mixture):
        return _mixture_notes(training, validation)
    notes = (*training.notes, *validation.notes)
    if isinstance(training, PackedDocuments) and isinstance(validation, PackedDocuments):
        count, share = len(validation.chosen), validation.num_tokens
        return (
            f"for validation: {count:,} of {len(training.chosen) + count:,} documents, with "
            f"{share / (training.num_tokens + share):.1%} of the tokens",
            *notes,
        )
    if not isinstance(training, SeparateDocuments) or not isinstance(validation, SeparateDocuments):
        return notes
    num_long = training.num_long_documents + validation.num_long_documents
    if not num_long:
        return notes
    return (
        f"{num_long:,} of {len(training.chosen) + len(validation.chosen):,} documents are longer "
        f"than the context of {training.length} tokens, and are read in pieces",
        *notes,
    )


def _mixture_notes(training: Mixture, validation: Mixture) -> tuple[str, ...]:
    total = sum(training.weights)
    notes = [
        f"{name}: {weight / total:.1%} of the sequences, read {_times(float(passes))} in an epoch "
        "of the mixture"
        for name, weight, passes in zip(training.names, training.weights, training.passes)
    ]
    for name, *pair in zip(training.names, training.datasets, validation.datasets):
        notes += [f"{name}: {note}" for note in dataset_notes(*pair)]
    return tuple(notes)


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:.3g} times"
