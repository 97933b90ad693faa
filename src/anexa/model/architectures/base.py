"""Base classes of architectures: forward function, parameters, and formats of other programs."""

from __future__ import annotations

import importlib.resources
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeGuard

from anexa.errors import AnexaError, short_repr
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor


@dataclass(frozen=True)
class Parameter:
    """Shape and initialization of a weight.

    Attributes:
        shape: shape of the array.
        std: standard deviation of the normal distribution of the initial elements; 0 means that
            all elements are initialized to `mean`.
        mean: mean of that distribution.
        num_fused: number of matrices that a weight of a block holds side by side (GPT-2's `c_attn`:
            3), which Muon updates separately; 0 for embeddings, the head, gains and biases.
    """

    shape: tuple[int, ...]
    std: float = 0.0
    mean: float = 0.0
    num_fused: int = 0


class Forward(Protocol):
    """The forward function of an architecture, which computes logits from token ids."""

    def __call__(
        self,
        ops: Operations[Tensor],
        config: ModelConfig,
        weights: dict[str, Tensor],
        tokens_T: Any,
        positions: Any = 0,
        kv_cache: Sequence[Any] | None = None,
    ) -> Tensor:
        """Compute the logits of the token after each token, shape (T, V).

        Args:
            ops: operations of the engine.
            config: sizes of the model.
            weights: arrays of the engine by Hugging Face's names.
            tokens_T: token ids, as the engine's own type.
            positions: positions of the tokens, as in `Operations.positions`; default: 0, 1, 2, …
            kv_cache: KV cache of each layer, to which the new keys and values are appended; None
                means that there is no cache.
        """


@dataclass(frozen=True)
class GGUFLayout:
    """Layout of an architecture in GGUF files, which llama.cpp reads.

    Attributes:
        name: llama.cpp's name of the architecture, `general.architecture` in the file.
        metadata: maps a configuration to the metadata keys that only this architecture has, without
            the prefix `name`; an int is written as uint32, a float as float32, a bool and a str as
            such.
        transposed: layers whose matrices are (in, out) in Hugging Face's file, (out, in) in GGUF.
        rotary: maps a configuration to the layers whose output is rotated, with their number of
            heads. llama.cpp rotates the columns (0, 1), (2, 3), … of a head where Hugging Face
            rotates (0, D/2), (1, D/2 + 1), …; so the rows of these matrices are reordered.
        rope_factors: maps a configuration to the numbers that the frequencies of rotary positions
            are divided by, the tensor `rope_freqs.weight`; empty if they are not.
        fused: layers whose rows are those of the query, key and value of one head after the other;
            llama.cpp wants the rows of all queries first.
        copies_head: whether llama.cpp needs an output head even if it is the embedding table.
        check: raises AnexaError for a model that llama.cpp cannot compute.
    """

    name: str
    metadata: Callable[[ModelConfig], dict[str, int | float | str]]
    transposed: tuple[str, ...] = ()
    rotary: Callable[[ModelConfig], dict[str, int]] = lambda _: {}
    rope_factors: Callable[[ModelConfig], Sequence[float]] = lambda _: ()
    fused: tuple[str, ...] = ()
    copies_head: bool = False
    check: Callable[[ModelConfig], None] = lambda _: None


@dataclass(frozen=True)
class Architecture:
    """An architecture: all code and facts that depend on `model_type`.

    Attributes:
        parameters: maps a configuration to the name and `Parameter` of every weight, in order.
        forward: forward function.
        to_json: maps a configuration to the `config.json` that transformers reads.
        from_json: inverse of `to_json`; raises AnexaError for a configuration that this
            architecture cannot compute.
        embedding: name of the token embedding table, which is also the head if it is tied.
        positions: name of the table of learned positions; None if there is none.
        untied_head: name of the output head's weight if it is not tied to the embedding table.
        fixed: attributes of `ModelConfig` that have the same value in all models of this
            architecture, with these values; for the meaning of 0 see `ModelConfig`.
        validate: raises AnexaError for sizes that this architecture cannot have.
        example: attributes of the small `ModelConfig` that `anexa verify` runs, where they differ
            from its defaults: options that only this architecture has.
        prefix: prefix that the names of weights other than the head may have in files, whether or
            not they have it in `parameters`.
        buffers: pattern of names, without prefix, of arrays that are not weights (masks and tables
            in old files) and are ignored; None if there are none.
        module: name of the module beside this one with the code for transformers, written into
            model folders; None if transformers has the architecture.
        gguf: how llama.cpp stores the architecture; None if llama.cpp does not have it.
    """

    parameters: Callable[[ModelConfig], dict[str, Parameter]]
    forward: Forward
    to_json: Callable[[ModelConfig], dict[str, Any]]
    from_json: Callable[[dict[str, Any]], ModelConfig]
    embedding: str
    positions: str | None = None
    untied_head: str = "lm_head.weight"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    validate: Callable[[ModelConfig], None] = lambda _: None
    example: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    buffers: re.Pattern[str] | None = None
    module: str | None = None
    gguf: GGUFLayout | None = None

    def code(self) -> dict[str, bytes]:
        """Return the content of the Python files that transformers needs in a model folder.

        Returns:
            The contents by file name; {} if transformers has the architecture itself.
        """
        if self.module is None:
            return {}
        name = f"{self.module}.py"
        return {name: (importlib.resources.files(__package__) / name).read_bytes()}

    def head(self, config: ModelConfig) -> str:
        """Return the name of the output head's weight: the embedding table if they are tied."""
        return self.embedding if config.tie_word_embeddings else self.untied_head

    def full_name(self, name: str) -> str:
        """Convert the name that a weight has in a file to its name in `parameters`.

        It only adds or removes `prefix`, so it is wrong for an untied head, which has no prefix.
        """
        prefix = self.prefix if self.embedding.startswith(self.prefix) else ""
        return prefix + name.removeprefix(self.prefix)

    def is_buffer(self, name: str) -> bool:
        """Return whether an array in a weight file is a buffer, which loading ignores."""
        short = name.removeprefix(self.prefix)
        return self.buffers is not None and self.buffers.fullmatch(short) is not None


def is_adapter(name: str) -> bool:
    """Return whether a weight, by its name, is a matrix of a LoRA adapter: `lora_A` or `lora_B`."""
    return name.endswith((".lora_A.weight", ".lora_B.weight"))


def is_fan_in_fan_out(architecture: Architecture, name: str) -> bool:
    """Return whether a matrix of a block is stored as (in, out) instead of (out, in).

    Args:
        architecture: architecture of the model.
        name: name of the weight in `Architecture.parameters`.
    """
    return architecture.gguf is not None and name.split(".")[-2] in architecture.gguf.transposed


def with_adapters(architecture: Architecture) -> Architecture:
    """Return a copy of an architecture that also has the weights of LoRA adapters.

    Its `parameters` ends with two matrices for each matrix of a block if `lora_rank` is above 0.
    """

    def parameters(config: ModelConfig) -> dict[str, Parameter]:
        base = architecture.parameters(config)
        if not config.lora_rank:
            return base
        adapters = {}
        for name, parameter in base.items():
            if parameter.num_fused:  # a matrix of a block
                n_out, n_in = parameter.shape[:: -1 if is_fan_in_fan_out(architecture, name) else 1]
                layer = name.removesuffix(".weight")
                std = (3 * n_in) ** -0.5  # that of numbers between ±1/√n_in
                adapters[f"{layer}.lora_A.weight"] = Parameter((config.lora_rank, n_in), std)
                adapters[f"{layer}.lora_B.weight"] = Parameter((n_out, config.lora_rank))
        return base | adapters

    return replace(architecture, parameters=parameters)


def add_adapter(
    ops: Operations[Tensor], weights: dict[str, Tensor], layer: str, x_TC: Tensor, y_TO: Tensor
) -> Tensor:
    """Add the output of a LoRA adapter to that of its linear layer: y + x Aᵀ Bᵀ.

    Args:
        ops: operations of the engine.
        weights: weights of the model by name, in which the adapter is looked up.
        layer: name of the linear layer's weight, without its ending.
        x_TC: input of the layer.
        y_TO: output of the layer.

    Returns:
        The sum, shape (T, O); `y_TO` itself if the layer has no adapter.
    """
    a_RC = weights.get(f"{layer}.lora_A.weight")
    if a_RC is None:
        return y_TO
    return ops.add(y_TO, ops.linear(ops.linear(x_TC, a_RC), weights[f"{layer}.lora_B.weight"]))


def write_config(
    config: ModelConfig, class_name: str, keys: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the keys of a `config.json` that all architectures have in common.

    Args:
        config: configuration of the model.
        class_name: transformers' class of the model.
        keys: maps attributes of `ModelConfig` to keys of the file.
        settings: other keys, with their values, such as the activation function.

    Returns:
        The content of the file, without the keys that only this architecture has.
    """
    return {
        "architectures": [class_name],
        "model_type": config.model_type,
        **{key: getattr(config, name) for name, key in keys.items()},
        **settings,
        "dtype": "float32",
    }


def read_config(
    json: dict[str, Any], keys: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes of `ModelConfig` in a `config.json`; the inverse of `write_config`.

    Args:
        json: content of the file.
        keys: maps attributes of `ModelConfig` to keys of the file.
        settings: keys that select a variant of the architecture, each with its only supported
            value; a file may leave them out.

    Returns:
        The attributes by name, for the constructor of `ModelConfig`; their values are not checked.

    Raises:
        AnexaError: if a key of `keys` is missing, or a setting has another value.
    """
    for key, value in settings.items():
        if json.get(key, value) != value:
            raise AnexaError(f"{key} is {short_repr(json[key])}: only {value!r} is supported")
    missing = [key for key in keys.values() if key not in json]
    if missing:
        raise AnexaError(f"it lacks {', '.join(missing)}")
    return {name: json[key] for name, key in keys.items()}


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value read from JSON is a number, finite as a float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN
