"""The open folders, and the map of a scene: what the page of `anexa explore` asks for first.

A scene is a computation to look at (`Scene`); its map shows all of its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from anexa.explore.axes import axes_of, tokens_of
from anexa.explore.quantities import quantities_of
from anexa.explore.rule import Array
from anexa.explore.scene import Scene, encode_document
from anexa.explore.session import OpenFolder, Session, token_ids
from anexa.explore.terms import gradient_equation
from anexa.explore.trace import LOSS, Trace
from anexa.explore.windows import make_thumbnail
from anexa.generation import GREEDY, generate_batch
from anexa.graph.model_graph import LAYER_PREFIX_PATTERN
from anexa.model.weights import num_parameters
from anexa.names import encode_name, shown

EXAMPLE_QUESTION = "12+34"  # what the page first asks a chat model
EXAMPLE_TOKENS = 24  # maximum length of an example that the model generates


def describe_folder(folder: OpenFolder, folder_id: int) -> dict[str, Any]:
    """Describe an open folder for the page.

    Args:
        folder: open model folder.
        folder_id: id of the folder.

    Returns:
        A JSON object with the name, the model, the steps of its run and an example. If the steps
        cannot be repeated, `steps` is None, and `no_steps_reason` says why.

    Raises:
        AnexaError: if no example can be made: see `example_scene`.
    """
    config, run, example = folder.config, folder.replay, example_scene(folder, folder_id)
    return {
        "id": folder_id,
        "name": encode_name(folder.name),
        "path": shown(str(folder.path)),
        "model_type": config.model_type,
        "num_parameters": num_parameters(config),
        "config": asdict(config),
        "chat": folder.model.chat_template is not None,
        "steps": {"first": run.first_step, "last": run.last_step} if run else None,
        "no_steps_reason": folder.no_steps_reason or None,
        "example": {example.kind: example.text},
    }


def example_scene(folder: OpenFolder, folder_id: int) -> Scene:
    """Choose the scene to show first.

    A chat model is asked `EXAMPLE_QUESTION`. Another model reads the first sequence of the first
    step that can be repeated; without such a step, a text that it generates, which takes some time.
    The text is cut where the context is full.

    Args:
        folder: open model folder.
        folder_id: id of the folder.

    Returns:
        A scene with the weights in the folder.

    Raises:
        AnexaError: if the model has no token to begin a text, or cannot be computed.
    """
    if folder.model.chat_template is not None:
        return Scene(folder_id, kind="chat", text=EXAMPLE_QUESTION)
    tokenizer, block_size = folder.tokenizer, folder.config.block_size
    if folder.replay and folder.replay.last_step > folder.replay.first_step:
        [text, *_] = folder.replay.documents(folder.replay.first_step + 1)
    else:
        prompt = tokenizer.encode_prompt("")
        engine = folder.language_model(folder.model.weights).engine
        length = min(EXAMPLE_TOKENS, block_size)
        # Without BOS, a text of fewer than two tokens has nothing to predict.
        params = [replace(GREEDY, min_tokens=2)]
        [ids] = generate_batch(engine, [prompt], tokenizer.eot_token_id, params, length)
        text = tokenizer.decode(ids)
    # A sequence of the run may be a part of a document that leaves no room for BOS and EOS.
    while len(encode_document(tokenizer, text)) > block_size + 1:
        text = text[:-1]
    return Scene(folder_id, text=text)


def describe_map(session: Session, scene: Scene) -> dict[str, Any]:
    """Describe all tensors of a scene, in the order in which they are computed.

    A weight stands before the first operation that uses it.

    Args:
        session: session of the page, with the open model folders.
        scene: scene whose tensors are described.

    Returns:
        A JSON object with the tokens of each sequence, the loss in nats, and the tensors: names,
        shapes, inputs, the operations that compute them, and the quantities that are known.

    Raises:
        AnexaError: if the scene cannot be computed: see `Session.trace`.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
    """
    folder, trace = session.folder(scene.folder), session.trace(scene)
    ids = token_ids(trace.batch)
    ordered: dict[str, None] = {}
    for name, node in trace.nodes.items():
        for source in (*node.sources, name):
            ordered.setdefault(source)
    return {
        "tokens": [tokens_of(folder.tokenizer, sequence) for sequence in ids],
        "loss": float(trace.values[LOSS]),
        "tensors": [
            _describe_tensor(folder, trace, name)
            | {"quantities": quantities_of(session, scene, name)}
            for name in ordered
        ],
    }


def _describe_tensor(folder: OpenFolder, trace: Trace, name: str) -> dict[str, Any]:
    node, tensor = trace.nodes.get(name), trace.values[name]
    layer = LAYER_PREFIX_PATTERN.match(name)
    rule = type(node.rule) if node else None
    return {
        "name": name,
        "kind": "activation" if node else "weight",  # the loss and transposed weights have a node
        "shape": tensor.shape,
        "axes": axes_of(folder.config, trace, name),
        "title": rule.__name__.lower() if rule else "",
        "summary": (rule.__doc__ or "").partition("\n")[0] if rule else "",
        "equation": node.rule.equation if node else "",
        "gradient_equation": gradient_equation(trace, name),
        "inputs": node.sources if node else (),
        "layer": layer[0] if layer else "",
    }


def make_thumbnails(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Reduce every tensor to a thumbnail: at most 48 x 48 blocks of numbers of its first matrix.

    Args:
        tensors: tensors by name; the first matrix has the index 0 on all axes before the last two.

    Returns:
        Two arrays for each tensor, as `make_thumbnail` computes them, under the name of the tensor
        and `.extreme` or `.rms`.
    """
    return {
        f"{name}.{kind}": pixels
        for name, tensor in tensors.items()
        for kind, pixels in make_thumbnail(tensor).items()
    }
