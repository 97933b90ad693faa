"""Comparison of two scenes, tensor by tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anexa.explore.axes import axes_of, tokens_of
from anexa.explore.quantities import subtract_tensor
from anexa.explore.rule import Array, Index
from anexa.explore.scene import Scene
from anexa.explore.session import OpenFolder, Session, token_ids
from anexa.explore.trace import Trace
from anexa.model.tokenizer import Tokenizer
from anexa.names import counted


@dataclass(frozen=True)
class TensorDifference:
    """Size of the difference of a tensor between two scenes, here minus there.

    Attributes:
        name: name of the tensor.
        kind: "weight"; or "activation", for every computed tensor, the loss and transposed weights
            among them.
        norm: Euclidean norm of the difference; None if the tensors cannot be compared.
        relative: `norm` divided by the norm of the finite elements there; infinite if only the
            latter is 0, and 0 if both are. None if the tensors cannot be compared.
        largest: element of the difference with the largest magnitude; NaN counts as larger than any
            number. None if the tensors cannot be compared.
        index: index of `largest`.
        obstacle: a sentence that says why the tensors cannot be compared; empty if they can.
    """

    name: str
    kind: str
    norm: float | None = None
    relative: float | None = None
    largest: float | None = None
    index: Index | None = None
    obstacle: str = ""


@dataclass(frozen=True)
class SceneComparison:
    """Comparison of the tensors of scene "here" with those of scene "there".

    Attributes:
        notes: sentences about other differences of the scenes, such as other tokens.
        tensors: differences of the tensors here, by decreasing relative difference, NaN first;
            tensors that cannot be compared are last. Tensors that are only there are counted in a
            note.
    """

    notes: tuple[str, ...]
    tensors: tuple[TensorDifference, ...]


def compare_scenes(session: Session, scene: Scene, versus: Scene) -> SceneComparison:
    """Compare all tensors of two scenes.

    Args:
        session: session of the page, with the open model folders.
        scene: scene "here".
        versus: scene "there".

    Returns:
        The differences, scene "here" minus scene "there".

    Raises:
        AnexaError: if one of the scenes cannot be computed.
        ReplayNeeded: if repeating the step of a scene takes longer than a request should wait.
    """
    here, there = session.trace(scene), session.trace(versus)
    folder, other = session.folder(scene.folder), session.folder(versus.folder)
    same_vocabulary = _vocabulary(folder.tokenizer) == _vocabulary(other.tokenizer)
    same_tokens = _tokens(folder, here) == _tokens(other, there)
    found = []
    for name in here.values:
        kind = "activation" if name in here.nodes else "weight"
        axes = axes_of(folder.config, here, name)
        obstacle = _find_obstacle(name, here.values[name], there.values.get(name))
        if not obstacle and "vocabulary" in axes and not same_vocabulary:
            obstacle = "The vocabularies differ: the same token id means another text there."
        if not obstacle and kind == "activation" and not same_tokens:
            obstacle = "It belongs to other tokens there."
        if obstacle:
            found.append(TensorDifference(name, kind, obstacle=obstacle))
        else:
            found.append(measure_difference(name, kind, here.values[name], there.values[name]))
    notes = _notes(folder, other, same_vocabulary, same_tokens)
    missing = len(there.values.keys() - here.values.keys())
    if missing:
        notes.append(f"{counted(missing, 'tensor')} there {_are(missing)} not in this model.")
    return SceneComparison(tuple(notes), tuple(sorted(found, key=_order)))


def subtract_tensors(here: Trace, there: Trace) -> dict[str, Array]:
    """Subtract each tensor of one computation from that of the same name and shape in another.

    Args:
        here: computation to subtract from.
        there: computation to subtract.

    Returns:
        The differences by the name of the tensor; tensors without a counterpart are left out.
    """
    return {
        name: subtract_tensor(tensor, there.values[name])
        for name, tensor in here.values.items()
        if not _find_obstacle(name, tensor, there.values.get(name))
    }


def _find_obstacle(name: str, here: Array, there: Array | None) -> str:
    if there is None:
        return f"There is no {name} in the other model."
    if here.shape != there.shape:
        return f"Its shape is {_shape(here)} here and {_shape(there)} there."
    return ""


def measure_difference(name: str, kind: str, here: Array, there: Array) -> TensorDifference:
    """Measure the difference of two tensors of the same shape, with at least one element.

    Args:
        name: name of the tensors.
        kind: "weight" or "activation".
        here: tensor to subtract from.
        there: tensor to subtract.
    """
    difference = subtract_tensor(here, there)
    norm, base = float(np.linalg.norm(difference)), float(np.linalg.norm(there[np.isfinite(there)]))
    relative = norm / base if base else math.inf if norm else norm
    largest = np.unravel_index(int(np.argmax(np.abs(difference))), difference.shape)
    index = tuple(int(i) for i in largest)
    return TensorDifference(name, kind, norm, relative, float(difference[index]), index)


def _order(difference: TensorDifference) -> tuple[bool, bool, float]:
    relative = difference.relative
    if relative is None:
        return True, False, 0.0
    is_number = not math.isnan(relative)
    return False, is_number, -relative if is_number else 0.0


def _notes(
    folder: OpenFolder, other: OpenFolder, same_vocabulary: bool, same_tokens: bool
) -> list[str]:
    notes = []
    if folder.config.model_type != other.config.model_type:
        notes.append(
            f"The architectures differ ({folder.config.model_type} here and "
            f"{other.config.model_type} there): only tensors of the same name and shape are "
            "compared."
        )
    if not same_vocabulary:
        notes.append(
            "The vocabularies differ: the rows of token embeddings, logits and probabilities "
            "belong to other tokens and are not compared."
        )
    if not same_tokens:
        notes.append("The models read other tokens: only weights are compared.")
    return notes


def _vocabulary(tokenizer: Tokenizer) -> list[dict[str, object]]:
    return tokens_of(tokenizer, range(tokenizer.vocab_size))


def _tokens(folder: OpenFolder, trace: Trace) -> list[list[object]]:
    """Return the texts of the tokens of each sequence that a computation reads."""
    sequences = [tokens_of(folder.tokenizer, ids) for ids in token_ids(trace.batch)]
    return [[token["text"] for token in sequence] for sequence in sequences]


def _shape(tensor: Array) -> str:
    return " × ".join(map(str, tensor.shape)) or "that of a number"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
