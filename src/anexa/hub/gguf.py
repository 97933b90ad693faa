"""GGUF, the file that llama.cpp and all that is built on it open.

One file with everything: sizes, tokenizer, chat template, weights. The names and layouts are those
of llama.cpp's own converter from Hugging Face's, which are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError, UsageError
from anexa.files import atomic_path
from anexa.hub.llama_cpp import ARCHITECTURES, refusal
from anexa.hub.vocabulary import vocabulary
from anexa.model.config import ModelConfig
from anexa.model.folder import Model
from anexa.model.tensors import as_float32
from anexa.model.weights import Weights

KINDS = dict(zip(ARCHITECTURES, (gguf.MODEL_ARCH.GPT2, gguf.MODEL_ARCH.LLAMA)))

# Of the matrices; gains, biases and learned positions are float32 in all of them. Q8_0 is 32
# numbers of 8 bits with a scale (Dettmers et al., 2022, have the idea).
PRECISIONS = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}

Array = npt.NDArray[Any]


def write_gguf(path: Path, model: Model, name: str, precision: str = "f32") -> None:
    """Write a model as a GGUF file.

    Args:
        path: of the file; one that is there is replaced.
        model: of an architecture that llama.cpp has.
        name: shown by programs that open it.
        precision: a key of `PRECISIONS`.

    Raises:
        AnexaError: llama.cpp could not compute it, or the file cannot be written.
        UsageError: there is no such precision.
    """
    config = model.config
    refused = refusal(config, model.tokenizer)
    if refused:
        raise AnexaError(refused)
    if precision not in PRECISIONS:
        raise UsageError(f"there is no precision {precision!r}: choose {', '.join(PRECISIONS)}")
    kind = KINDS[config.model_type]
    writer = gguf.GGUFWriter(None, gguf.MODEL_ARCH_NAMES[kind])
    writer.add_name(name)
    _add_sizes(writer, config)
    _add_tokenizer(writer, model)
    quantization, file_type = PRECISIONS[precision]
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor, values in _tensors(config, as_float32(model.weights)):
        stored, as_type = _stored(tensor, values, quantization)
        writer.add_tensor(tensor, stored, raw_dtype=as_type)
    with atomic_path(path) as aside:
        try:
            writer.write_header_to_file(aside)
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()  # which may be what finds the disk full


def _add_sizes(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "gpt2":
        writer.add_layer_norm_eps(config.norm_eps)
        return
    writer.add_head_count_kv(config.n_kv_head)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)


def _add_tokenizer(writer: gguf.GGUFWriter, model: Model) -> None:
    known = vocabulary(model.tokenizer, model.config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(known.splitting)
    writer.add_token_list(known.tokens)
    writer.add_token_types(known.types)
    writer.add_token_merges([f"{left} {right}" for left, right in known.merges])
    tokenizer = model.tokenizer
    writer.add_bos_token_id(
        tokenizer.eot_token if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    )
    for end, add in zip(tokenizer.eos_token_ids, _ends(writer)):
        add(end)
    writer.add_add_bos_token(model.tokenizer.adds_bos)
    writer.add_add_eos_token(False)
    if model.chat_template is not None:
        writer.add_chat_template(model.chat_template)
    writer.add_float32("general.sampling.temp", model.temperature)


def _ends(writer: gguf.GGUFWriter) -> tuple[Callable[[int], None], ...]:
    """What ends a text in llama.cpp: of a document, of a turn, of a message."""
    return writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id


def _tensors(config: ModelConfig, weights: Weights) -> Iterator[tuple[str, Array]]:
    """llama.cpp's names and layouts of the weights, every matrix (out, in)."""
    names = gguf.get_tensor_name_map(KINDS[config.model_type], config.n_layer)
    heads = {"q_proj": config.n_head, "k_proj": config.n_kv_head}
    for theirs, weight in weights.items():
        values = np.asarray(weight.data, np.float32).reshape(weight.shape)
        layer = theirs.split(".")[-2]
        if layer in ("c_attn", "c_proj", "c_fc") and values.ndim == 2:
            values = values.T  # Hugging Face's Conv1D is (in, out)
        elif layer in heads:
            values = _interleaved(values, heads[layer])
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        yield name, np.ascontiguousarray(values)


def _interleaved(values: Array, n_head: int) -> Array:
    """Rows of queries or keys in the order of llama.cpp's rotary positions.

    It turns the pairs (0, 1), (2, 3), … of a head; rotate-half turns (0, D/2), (1, D/2 + 1), ….
    """
    rows, width = values.shape
    halves = values.reshape(n_head, 2, rows // n_head // 2, width)
    return halves.swapaxes(1, 2).reshape(rows, width)


def _stored(
    name: str, values: Array, wanted: gguf.GGMLQuantizationType
) -> tuple[Array, gguf.GGMLQuantizationType]:
    """The numbers of a tensor in the wanted precision, or the next one that can hold them.

    Raises:
        AnexaError: they are too large for it.
    """
    if values.ndim == 1 or name.startswith("position_embd"):
        wanted = gguf.GGMLQuantizationType.F32
    elif wanted == gguf.GGMLQuantizationType.Q8_0 and values.shape[1] % 32:
        wanted = gguf.GGMLQuantizationType.F16  # rows of no whole blocks, as llama.cpp does it too
    with np.errstate(over="ignore"):
        stored: Array = gguf.quantize(values, wanted)
    if not np.isfinite(gguf.dequantize(stored, wanted)).all():
        raise AnexaError(f"{name} has numbers too large for {wanted.name.lower()}: choose f32")
    return stored, wanted
