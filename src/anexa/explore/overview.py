"""The first view of the page: the open folders, and the map of all tensors of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from anexa.explore.axes import axes_of, tokens_of
from anexa.explore.quantities import quantities_of
from anexa.explore.rule import Array
from anexa.explore.scene import Scene
from anexa.explore.session import OpenFolder, Session, token_ids
from anexa.explore.trace import LOSS, Trace
from anexa.explore.windows import make_thumbnail
from anexa.generation import generate_batch
from anexa.graph.model_graph import LAYER_PREFIX_PATTERN
from anexa.model.weights import num_parameters
from anexa.names import encode_name, shown

EXAMPLE_QUESTION = "12+34"  # what the page first asks a chat model
EXAMPLE_TOKENS = 24  # maximum tokens of the example that a model without a run generates


def describe_folder(folder: OpenFolder, number: int) -> dict[str, Any]:
    """Describe an open folder for the page.

    Args:
        folder: open model folder.
        number: id of the folder.

    Returns:
        A JSON object with the name, the model, the steps of its run and an example. If the steps
        cannot be repeated, `steps` is None, and `no_steps_reason` says why.

    Raises:
        AnexaError: if no example can be made: see `example_scene`.
    """
    config, run, example = folder.config, folder.replay, example_scene(folder, number)
    return {
        "id": number,
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


def example_scene(folder: OpenFolder, number: int) -> Scene:
    """Choose the scene to show first.

    A chat model is asked `EXAMPLE_QUESTION`; a model whose run can be repeated reads the first text
    of the run's first step; any other model generates a text, which takes some time.

    Args:
        folder: open model folder.
        number: id of the folder.

    Returns:
        A scene with the weights in the folder.

    Raises:
        AnexaError: if the model has no token to begin a text, or cannot be computed.
    """
    if folder.model.chat_template is not None:
        return Scene(number, kind="chat", text=EXAMPLE_QUESTION)
    if folder.replay and folder.replay.last_step > folder.replay.first_step:
        [text, *_] = folder.replay.documents(folder.replay.first_step + 1)
        return Scene(number, text=text)
    prompt = folder.tokenizer.encode_prompt("")
    engine = folder.language_model(folder.model.weights).engine
    length = min(EXAMPLE_TOKENS, folder.config.block_size)
    [ids] = generate_batch(engine, [prompt], folder.tokenizer.eot_token_id, max_tokens=length)
    return Scene(number, text=folder.tokenizer.decode(ids))


def describe_map(session: Session, scene: Scene) -> dict[str, Any]:
    """Describe all tensors of a scene, in the order in which they are computed.

    A weight stands before the first operation that uses it.

    Args:
        session: session of the page, with the open model folders.
        scene: scene whose tensors are described.

    Returns:
        A JSON object with the tokens of each sequence, the loss in nats, and for each tensor its
        name, shape, axes, equations, inputs and quantities.

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
        "kind": "activation" if node else "weight",
        "shape": tensor.shape,
        "axes": axes_of(folder.config, trace, name),
        "title": rule.__name__.lower() if rule else "",
        "summary": (rule.__doc__ or "").partition("\n")[0] if rule else "",
        "equation": node.rule.equation if node else "",
        "gradient": rule.gradient if rule else "",
        "inputs": node.sources if node else (),
        "layer": layer[0] if layer else "",
    }


def make_thumbnails(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Reduce the first matrix of every tensor to a thumbnail of at most 48 x 48 blocks.

    Args:
        tensors: tensors by name.

    Returns:
        Two arrays for each tensor, as `make_thumbnail` computes them, under the name of the tensor
        and `.extreme` or `.rms`.
    """
    return {
        f"{name}.{kind}": pixels
        for name, tensor in tensors.items()
        for kind, pixels in make_thumbnail(tensor).items()
    }
