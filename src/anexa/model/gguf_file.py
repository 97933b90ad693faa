"""A model in a GGUF file of F32, F16 or Q8_0, as `anexa export` and llama.cpp write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError, one_line, short_repr
from anexa.model.architectures import get_architecture
from anexa.model.architectures.rope import read_number
from anexa.model.config import ModelConfig
from anexa.model.gguf_reader import GGUFReader, metadata_value
from anexa.model.gguf_tokenizer import parse_gguf_tokenizer
from anexa.model.model import DEFAULT_TEMPERATURE, Model, check_vocabulary, validate_weights
from anexa.model.rotary import LinearScaling
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight, Weights

# llama.cpp's names of layers by Hugging Face's: outside of blocks, and within one.
LAYERS_OUTSIDE_BLOCKS = {
    **{"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"},
    **{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"},
}
LAYERS_OF_A_BLOCK = {
    **{"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output"},
    **{"ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"},
    **{"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"},
    **{f"self_attn.{name}_proj": f"attn_{name}" for name in "qkv"},
    **{f"self_attn.{name}_norm": f"attn_{name}_norm" for name in "qk"},
    **{"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate"},
    **{"mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"},
}
# Metadata that change the function of every architecture, with the one value that is computed. In
# the file, keys have the name of the architecture as prefix.
REQUIRED_METADATA = {"attention.causal": True, "rope.scaling.attn_factor": 1.0}
# Architectures that can be read; `model_type` and `general.architecture` are equal for these.
SUPPORTED_ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3")
# Name of a layer within a block: the number of the block, and the name within it.
BLOCK_LAYER_PATTERN = re.compile(r"(?:h|model\.layers)\.(\d+)\.(.+)")
OUTPUT_HEAD = "output.weight"  # output head, if it is not the embedding table

Array = npt.NDArray[Any]


class GGUFFile:
    """Reader of a model in a GGUF file; the metadata are read once, when they are first needed.

    Args:
        path: path of the file.

    Attributes:
        path: path of the file.
        card: model card, always empty, as a GGUF file has none.

    Raises:
        AnexaError: if there is no such file. Every property and method raises it too, if the file
            is damaged, or its model is not supported.
    """

    card = ""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise AnexaError(f"there is no file {path}")
        self.path = path

    @cached_property
    def _reader(self) -> GGUFReader:
        return GGUFReader(self.path)

    @cached_property
    def config(self) -> ModelConfig:
        """The architecture and sizes of the model, from the metadata."""
        with self._errors():
            return _config(self._reader)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer with its special tokens, from the metadata."""
        with self._errors():
            return parse_gguf_tokenizer(self._reader.metadata)

    def load(self) -> Model:
        """Read the model and check that its parts belong together.

        Raises:
            AnexaError: if the file is damaged, or its parts do not belong together.
        """
        reader, config = self._reader, self.config
        check_vocabulary(self.tokenizer, config, self.path)
        weights = validate_weights(_weights(reader, config), config, self.path, "its metadata")
        with self._errors():
            template = metadata_value(reader.metadata, "tokenizer.chat_template", str, "")
            key = "general.sampling.temp"
            temperature = metadata_value(reader.metadata, key, float, DEFAULT_TEMPERATURE)
        if not 0 <= temperature < 1e6:
            raise AnexaError(f"{self.path} has the temperature {temperature}")
        return Model(config, weights, self.tokenizer, template or None, temperature)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except AnexaError as error:
            raise AnexaError(f"{self.path} cannot be opened: {error}") from error


def _config(reader: GGUFReader) -> ModelConfig:
    """Read the configuration in the metadata."""
    metadata = reader.metadata
    name = metadata_value(metadata, "general.architecture", str)
    if name not in SUPPORTED_ARCHITECTURES:
        known = ", ".join(SUPPORTED_ARCHITECTURES)
        raise AnexaError(f"it is a {short_repr(name)}: of GGUF files, only {known} open")
    for key, usual in REQUIRED_METADATA.items():
        if (value := metadata.get(f"{name}.{key}", usual)) != usual:
            raise AnexaError(
                f"it has the {name}.{key} {short_repr(value)}: only {usual} is supported"
            )

    def size(key: str, default: int | None = None) -> int:
        number: int = metadata_value(metadata, f"{name}.{key}", int, default)
        return number

    embedding = reader.tensors.get("token_embd.weight")
    sizes: dict[str, Any] = {
        "vocab_size": embedding.shape[0] if embedding and embedding.shape else 0,
        "block_size": size("context_length"),
        "n_embd": size("embedding_length"),
        "n_head": size("attention.head_count"),
        "n_layer": size("block_count"),
    }
    if name == "gpt2":
        eps = metadata_value(metadata, "gpt2.attention.layer_norm_epsilon", float)
        return ModelConfig("gpt2", **sizes, norm_eps=eps)
    if size("expert_count", 0) or "rope_freqs.weight" in reader.tensors:
        what = "experts" if size("expert_count", 0) else "a table of scaled positions (Llama 3.1)"
        raise AnexaError(f"it has {what}: not supported in GGUF files")
    theta = metadata_value(metadata, f"{name}.rope.freq_base", float, 10_000.0)
    config = ModelConfig(
        name,
        **sizes,
        norm_eps=metadata_value(metadata, f"{name}.attention.layer_norm_rms_epsilon", float),
        n_kv_head=size("attention.head_count_kv", sizes["n_head"]),
        n_inner=size("feed_forward_length"),
        head_dim=size("attention.key_length", 0),
        rope_theta=read_number(f"{name}.rope.freq_base", theta),
        rope_scaling=_scaling(reader, name),
        tie_word_embeddings=OUTPUT_HEAD not in reader.tensors,
        attention_bias=name != "qwen2" and "blk.0.attn_q.bias" in reader.tensors,
        mlp_bias="blk.0.ffn_up.bias" in reader.tensors,
    )
    if size("rope.dimension_count", config.head_dim) != config.head_dim:
        raise AnexaError("its rotary positions rotate only a part of each head: not supported")
    return config


def _scaling(reader: GGUFReader, name: str) -> LinearScaling | None:
    """Read the scaling of rotary positions from the metadata; None if they are not scaled.

    A scaling without a type is linear, as in llama.cpp.
    """
    metadata = reader.metadata
    kind = metadata_value(metadata, f"{name}.rope.scaling.type", str, "linear")
    if kind not in ("none", "linear"):
        raise AnexaError(f"its rotary positions are scaled by {short_repr(kind)}: not supported")
    keys = [f"{name}.{key}" for key in ("rope.scaling.factor", "rope.scale_linear")]  # new and old
    factor = metadata_value(metadata, next(filter(metadata.__contains__, keys), ""), float, 0.0)
    if kind == "none" or factor == 0:
        return None
    if not 1 <= factor < inf:
        raise AnexaError(f"its rotary positions are scaled by the factor {factor}: not supported")
    return LinearScaling(factor)


def _weights(reader: GGUFReader, config: ModelConfig) -> Weights:
    """Read all weights, under Hugging Face's names and in its layout."""
    architecture = get_architecture(config)
    assert architecture.gguf is not None
    if config.n_layer > len(reader.tensors):  # before the names of a million layers are made
        raise AnexaError(f"{reader.path} lacks tensors of its {config.n_layer} layers")
    rotary, weights, known = architecture.gguf.rotary(config), Weights(), set()
    for name in architecture.parameters(config):
        values = reader.tensor(gguf_weight_name(name))
        known.add(gguf_weight_name(name))
        layer = name.split(".")[-2]
        if layer in architecture.gguf.transposed and values.ndim == 2:
            values = values.T
        elif layer in rotary and len(values) % (2 * rotary[layer]) == 0:
            values = _uninterleave(values, rotary[layer])
        numbers: Any = np.ascontiguousarray(values, np.float32)
        weights[name] = Weight(numbers.shape, memoryview(numbers.reshape(-1)))
    # llama.cpp's converter writes a tied head, too.
    if config.tie_word_embeddings and OUTPUT_HEAD in reader.tensors:
        known.add(OUTPUT_HEAD)
        if not np.array_equal(reader.tensor(OUTPUT_HEAD), reader.tensor("token_embd.weight")):
            raise AnexaError(f"{reader.path} has a head that is not its embedding table")
    for name in sorted(reader.tensors.keys() - known):
        raise AnexaError(f"{reader.path} has the tensor {one_line(name)}, unknown to its metadata")
    return weights


def gguf_weight_name(name: str) -> str:
    """Convert Hugging Face's name of a weight to llama.cpp's: `blk.0.attn_q.weight`.

    The weight must be one of an architecture in `SUPPORTED_ARCHITECTURES`.
    """
    layer, _, kind = name.rpartition(".")
    block = BLOCK_LAYER_PATTERN.fullmatch(layer)
    if block:
        return f"blk.{block[1]}.{LAYERS_OF_A_BLOCK[block[2]]}.{kind}"
    return f"{LAYERS_OUTSIDE_BLOCKS[layer]}.{kind}"


def _uninterleave(values: Array, n_head: int) -> Array:
    """Reorder the rows of each head from 0, D/2, 1, D/2 + 1, … to 0, 1, …, D-1."""
    pairs = values.reshape(n_head, len(values) // n_head // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
