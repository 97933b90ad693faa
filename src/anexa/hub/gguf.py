"""Writer of GGUF, the file format of llama.cpp and the programs built on it.

A GGUF file has the configuration, tokenizer, chat template and weights of a model. Names and
layouts are those of llama.cpp's converter for Hugging Face models.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError, UsageError
from anexa.files import atomic_path
from anexa.hub.llama_cpp import check_llama_cpp
from anexa.hub.vocabulary import GGUFVocabulary, gguf_vocabulary
from anexa.model.architectures import GGUFLayout, get_architecture
from anexa.model.config import ModelConfig
from anexa.model.model import Model
from anexa.model.tensors import as_float32
from anexa.model.tokenizer_config import without_generation_marks
from anexa.model.weights import Weights
from anexa.names import shown

# The package's id of an architecture, by llama.cpp's name.
ARCHITECTURE_IDS = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}

# Type of matrices and type of the whole file, by precision; gains, biases and learned positions are
# always float32. Q8_0 is blocks of 32 numbers of 8 bits with a scale each (the idea is in Dettmers
# et al., 2022).
PRECISIONS = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}

Array = npt.NDArray[Any]


def write_gguf(path: Path, model: Model, name: str, precision: str = "f32") -> list[str]:
    """Write a model as a GGUF file, atomically.

    Args:
        path: file to write; a file that exists is replaced.
        model: model in memory.
        name: name of the model that programs show, `general.name`.
        precision: precision of the matrices, a key of `PRECISIONS`.

    Returns:
        Descriptions of the texts that llama.cpp splits into other tokens than Anexa; usually empty.

    Raises:
        AnexaError: if llama.cpp cannot compute the model, a weight is too large for the precision,
            the context is too long for GGUF, or the file cannot be written.
        UsageError: if there is no such precision.
    """
    config = model.config
    check_llama_cpp(config, model.tokenizer)
    layout = get_architecture(config).gguf
    assert layout is not None
    if precision not in PRECISIONS:
        raise UsageError(f"there is no precision {precision!r}: choose {', '.join(PRECISIONS)}")
    writer = gguf.GGUFWriter(None, layout.name)
    writer.add_name(shown(name))
    _add_sizes(writer, config, layout)
    vocabulary = gguf_vocabulary(model.tokenizer, config.vocab_size)
    _add_tokenizer(writer, model, vocabulary)
    quantization, file_type = PRECISIONS[precision]
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor, values in _tensors(config, layout, as_float32(model.weights)):
        stored, stored_type = _quantize(tensor, values, quantization)
        writer.add_tensor(tensor, stored, raw_dtype=stored_type)
    with atomic_path(path) as temporary:
        try:
            writer.write_header_to_file(temporary)
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()  # flushes, which may fail on a full disk
    return vocabulary.differences


def _add_sizes(writer: gguf.GGUFWriter, config: ModelConfig, layout: GGUFLayout) -> None:
    if config.block_size >= 2**32:  # all other sizes are those of weights
        raise AnexaError(
            f"a GGUF file cannot have a context of {config.block_size:,} tokens: correct it in the "
            "model's config.json"
        )
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_vocab_size(config.vocab_size)
    for key, value in layout.metadata(config).items():
        if isinstance(value, str):
            writer.add_string(f"{layout.name}.{key}", value)
        elif isinstance(value, bool):
            writer.add_bool(f"{layout.name}.{key}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"{layout.name}.{key}", value)
        else:
            writer.add_float32(f"{layout.name}.{key}", value)


def _add_tokenizer(writer: gguf.GGUFWriter, model: Model, known: GGUFVocabulary) -> None:
    tokenizer = model.tokenizer
    writer.add_tokenizer_model("llama" if known.pre_tokenizer is None else "gpt2")
    writer.add_tokenizer_pre(known.pre_tokenizer or "default")
    writer.add_token_list(known.tokens)
    writer.add_token_types(known.types)
    if known.pre_tokenizer is None:
        writer.add_token_scores(known.scores)
        writer.add_add_space_prefix(known.add_space_prefix)
    else:
        writer.add_token_merges([f"{left} {right}" for left, right in known.merges])
    bos = tokenizer.bos_token_id
    writer.add_bos_token_id(tokenizer.eot_token_id if bos is None else bos)
    # llama.cpp has three tokens that end texts: end of sequence, of turn, and of message.
    adders = writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id
    for token_id, add in zip(tokenizer.eos_token_ids, adders):
        add(token_id)
    writer.add_add_bos_token(tokenizer.adds_bos)
    writer.add_add_eos_token(False)
    if model.chat_template is not None:
        writer.add_chat_template(without_generation_marks(model.chat_template))
    writer.add_float32("general.sampling.temp", model.temperature)
    if model.temperature:  # llama.cpp would leave out the less likely tokens
        writer.add_int32("general.sampling.top_k", 0)
        writer.add_float32("general.sampling.top_p", 1.0)
        writer.add_float32("general.sampling.min_p", 0.0)


def _tensors(
    config: ModelConfig, layout: GGUFLayout, weights: Weights
) -> Iterator[tuple[str, Array]]:
    """Yield every weight under llama.cpp's name and in its layout; matrices are (out, in)."""
    names = gguf.get_tensor_name_map(ARCHITECTURE_IDS[layout.name], config.n_layer)
    rotary, factors = layout.rotary(config), layout.rope_factors(config)
    if factors:
        yield "rope_freqs.weight", np.array(factors, np.float32)
    for hf_name, weight in weights.items():
        values = np.asarray(weight.data, np.float32).reshape(weight.shape)
        layer = hf_name.split(".")[-2]
        if layer in layout.transposed and values.ndim == 2:
            values = values.T
        elif layer in layout.fused:
            values = _ungroup(values, config.n_head)
        elif layer in rotary:
            values = _interleave(values, rotary[layer])
        name = names.get_name(hf_name, try_suffixes=(".weight", ".bias"))
        assert name is not None, hf_name
        yield name, np.ascontiguousarray(values)
        if layout.copies_head and config.tie_word_embeddings and name == "token_embd.weight":
            yield "output.weight", np.ascontiguousarray(values)


def _ungroup(values: Array, n_head: int) -> Array:
    """Reorder the rows of a fused matrix: all queries, then all keys, then all values.

    Before, they are grouped by heads: query, key and value of the first head, then of the second.
    """
    heads = values.reshape(n_head, 3, len(values) // n_head // 3, *values.shape[1:])
    return heads.swapaxes(0, 1).reshape(values.shape)


def _interleave(values: Array, n_head: int) -> Array:
    """Reorder the rows of each head from 0, 1, …, D-1 to 0, D/2, 1, D/2 + 1, …."""
    halves = values.reshape(n_head, 2, len(values) // n_head // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _quantize(
    name: str, values: Array, wanted: gguf.GGMLQuantizationType
) -> tuple[Array, gguf.GGMLQuantizationType]:
    """Convert a tensor to a type of GGUF.

    Vectors become float32; a matrix whose rows cannot be cut into Q8_0's blocks of 32 becomes F16.

    Args:
        name: name of the tensor, for the error message.
        values: numbers of the tensor.
        wanted: type for a matrix.

    Returns:
        The converted numbers, and their type.

    Raises:
        AnexaError: if its numbers are too large for the type.
    """
    if values.ndim == 1 or name.startswith("position_embd"):
        wanted = gguf.GGMLQuantizationType.F32
    elif wanted == gguf.GGMLQuantizationType.Q8_0 and values.shape[1] % 32:
        wanted = gguf.GGMLQuantizationType.F16  # rows are not whole blocks; as in llama.cpp
    with np.errstate(over="ignore"):
        stored: Array = gguf.quantize(values, wanted)
    if not np.isfinite(gguf.dequantize(stored, wanted)).all():
        raise AnexaError(f"{name} has numbers too large for {wanted.name.lower()}: choose f32")
    return stored, wanted
