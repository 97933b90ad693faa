"""Rotary positions in `config.json`.

transformers 5 writes `rope_parameters`, older versions `rope_scaling` and `rope_theta`, and the
oldest call `rope_type` `type`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.architectures.base import is_number
from anexa.model.config import MAX_SIZE
from anexa.model.rotary import LinearScaling, Llama3Scaling, RopeScaling

# Scalings that can be computed, by `rope_type`; then the types, by scaling.
SCALINGS: dict[str, type[RopeScaling]] = {"linear": LinearScaling, "llama3": Llama3Scaling}
ROPE_TYPES = {scaling: name for name, scaling in SCALINGS.items()}


def write_rope(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """Return the keys of rotary positions in a `config.json`, for transformers 4 and 5."""
    rope = {"rope_type": "default"} if scaling is None else _described(scaling)
    return {
        "rope_theta": theta,  # transformers 4 reads this and `rope_scaling`, 5 `rope_parameters`
        "rope_parameters": rope | {"rope_theta": theta},
        **({} if scaling is None else {"rope_scaling": rope}),
    }


def _described(scaling: RopeScaling) -> dict[str, Any]:
    return {"rope_type": ROPE_TYPES[type(scaling)], **asdict(scaling)}


def read_rope(json: dict[str, Any]) -> tuple[float, RopeScaling | None]:
    """Read the base θ and the scaling of the rotary positions in a `config.json`.

    Args:
        json: content of the file, which must have `max_position_embeddings`.

    Returns:
        θ, 10,000 if the file leaves it out; and the scaling, None if there is none.

    Raises:
        AnexaError: if the positions are described in two ways, scaled in a way that cannot be
            computed, or rotate only a part of each head; or if a value is missing or out of range.
    """
    ropes = {key: json[key] for key in ("rope_parameters", "rope_scaling") if json.get(key)}
    for key, rope in ropes.items():
        if not isinstance(rope, dict):
            raise AnexaError(f"{key} is {short_repr(rope)}: it must be an object")
    parts = [rope.get("partial_rotary_factor") for rope in (json, *ropes.values())]
    if any(part not in (None, 1) for part in parts):
        raise AnexaError("its rotary positions rotate only a part of each head: not supported")
    scalings = [_scaling(rope, json) for rope in ropes.values()]
    if scalings[1:] and scalings[0] != scalings[1]:
        raise AnexaError(
            "its rope_parameters and rope_scaling describe different rotary positions: "
            "remove one of them"
        )
    return _theta([*ropes.values()], json), scalings[0] if scalings else None


def _theta(ropes: list[dict[str, Any]], json: dict[str, Any]) -> float:
    thetas = [rope["rope_theta"] for rope in ropes if "rope_theta" in rope]
    theta = thetas[0] if thetas else json.get("rope_theta", 10_000.0)
    if any(other != theta for other in thetas[1:]):
        raise AnexaError(
            f"rope_theta is given as {short_repr(theta)} and as {short_repr(thetas[-1])}"
        )
    return read_number("rope_theta", theta)


def _scaling(rope: dict[str, Any], json: dict[str, Any]) -> RopeScaling | None:
    """Read the scaling of rotary positions; None if they are not scaled.

    Args:
        rope: value of `rope_parameters` or `rope_scaling`.
        json: content of `config.json`, for the context before scaling.
    """
    types = [rope[key] for key in ("rope_type", "type") if rope.get(key) is not None]
    if not types and any(isinstance(value, dict) for value in rope.values()):
        raise AnexaError(
            f"its layers have rotary positions of their own ({short_repr(rope)}): not supported"
        )
    name = types[0] if types else "default"
    if types[1:] and types[1] != name:
        raise AnexaError(
            f"its rotary positions have two types: {short_repr(name)} and {short_repr(types[1])}"
        )
    if name == "default":
        return None
    if not isinstance(name, str) or name not in SCALINGS:
        raise AnexaError(
            f"its rotary positions are scaled by {short_repr(name)}, which is not supported: open "
            f"a model whose rope_type is default, {' or '.join(SCALINGS)}"
        )
    return _llama3(rope, json) if name == "llama3" else LinearScaling(_parameter(rope, "factor"))


def _llama3(rope: dict[str, Any], json: dict[str, Any]) -> Llama3Scaling:
    key = "original_max_position_embeddings"
    lengths = [where[key] for where in (rope, json) if where.get(key) is not None]
    length = lengths[0] if lengths else json["max_position_embeddings"]
    if any(other != length for other in lengths[1:]):
        raise AnexaError(f"{key} is given as {short_repr(length)} and as {short_repr(lengths[1])}")
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length < MAX_SIZE:
        raise AnexaError(f"{key} is {short_repr(length)}: it must be a number of tokens")
    low, high = (_parameter(rope, f"{part}_freq_factor", 0) for part in ("low", "high"))
    if low >= high:
        raise AnexaError(f"low_freq_factor is {low:g}: it must be below high_freq_factor, {high:g}")
    return Llama3Scaling(_parameter(rope, "factor"), low, high, length)


def _parameter(rope: dict[str, Any], name: str, least: int = 1) -> float:
    if name not in rope:
        raise AnexaError(f"its rotary positions are scaled, and lack {name}")
    return read_number(name, rope[name], least)


def read_number(name: str, value: object, least: int = 1) -> float:
    """Return a value read from JSON as a float.

    Args:
        name: key of the value, for the error message.
        value: value from the file, of any type.
        least: smallest value that is allowed; default: 1.

    Raises:
        AnexaError: if it is not a finite number of at least `least`.
    """
    if not is_number(value) or value < least:
        raise AnexaError(f"{name} is {short_repr(value)}: it must be a number of at least {least}")
    return float(value)
