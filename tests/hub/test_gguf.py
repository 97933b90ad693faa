"""GGUF files, read back with the library `gguf` and compared with the model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import pre_tokenizers

from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.rotary import LinearScaling, Llama3Scaling, rotary_frequencies
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from tests.hub.models import BYTES, CHARACTERS, CHOICES, LLAMA, MARKED, OTHERS, model
from tests.model.helpers import CORPUS

pytest.importorskip("gguf", reason="gguf is not installed")

from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, LlamaFileType, TokenType, dequantize

from anexa.hub.gguf import PRECISIONS, write_gguf
from anexa.hub.vocabulary import BYTE_ENCODER, gguf_vocabulary

# llama.cpp's names, which its documentation lists.
OUTSIDE = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "gpt_neox.embed_in": "token_embd",
    "gpt_neox.final_layer_norm": "output_norm",
    "embed_out": "output",
}
INSIDE = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
BLOCKS = re.compile(r"(?:h|model\.layers|gpt_neox\.layers)\.(\d+)\.(.+)")


def theirs(name: str) -> str:
    """Return the name of a weight in a GGUF file."""
    stem, _, kind = name.rpartition(".")
    if stem in OUTSIDE:
        return f"{OUTSIDE[stem]}.{kind}"
    block = BLOCKS.fullmatch(stem)
    assert block
    return f"blk.{block[1]}.{INSIDE[block[2]]}.{kind}"


def laid_out(name: str, values: Any, model: Model) -> Any:
    """Return a weight in llama.cpp's layout, written out independently."""
    if ".c_" in name and values.ndim == 2:
        return values.T
    half = model.config.head_dim // 2
    if "query_key_value" in name:  # llama.cpp wants all queries, then all keys, then all values
        heads = np.split(values, model.config.n_head)
        parts = [np.split(head, 3) for head in heads]
        return np.concatenate([head[part] for part in range(3) for head in parts])
    if ("q_proj" in name or "k_proj" in name) and "qwen" not in model.config.model_type:
        turned = np.empty_like(values)
        for head in range(len(values) // (2 * half)):
            for i in range(half):
                for part in (0, 1):
                    turned[2 * half * head + 2 * i + part] = values[
                        2 * half * head + half * part + i
                    ]
        return turned
    return values


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the metadata and the tensors of a GGUF file."""
    reader = GGUFReader(path)
    fields = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("changes", "tokenizer"), CHOICES)
def test_gguf_has_all_weights(
    tmp_path: Path, changes: dict[str, Any], tokenizer: Tokenizer, precision: str
) -> None:
    written = model(changes, tokenizer)
    write_gguf(tmp_path / "m.gguf", written, "m", precision)
    _, tensors = read(tmp_path / "m.gguf")
    scaled = isinstance(written.config.rope_scaling, Llama3Scaling)
    expected_names = set(map(theirs, written.weights))
    if written.config.model_type == "gpt_neox":  # llama.cpp does not tie its head
        expected_names.add("output.weight")
    assert tensors.keys() - {"rope_freqs.weight"} == expected_names
    assert scaled == ("rope_freqs.weight" in tensors)
    for name, weight in written.weights.items():
        expected = laid_out(name, np.array(weight.data, "f4").reshape(weight.shape), written)
        tensor = tensors[theirs(name)]
        assert tensor.shape.tolist() == [*reversed(expected.shape)], "the fastest dimension first"
        found = dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
        kind = precision
        if expected.ndim == 1 or "wpe" in name:
            kind = "f32"
        elif precision == "q8_0" and expected.shape[1] % 32:
            kind = "f16"
        assert tensor.tensor_type.name == kind.upper(), name
        if kind == "f32":
            assert (found == expected).all()
        elif kind == "f16":
            assert (found == expected.astype("f2").astype("f4")).all()
        else:
            blocks = expected.reshape(-1, 32)
            step = np.abs(blocks).max(1, keepdims=True) / 127
            error = np.abs(found.reshape(-1, 32) - blocks)
            assert (error <= step / 2 + 127 * step / 2**11).all(), "its scale is a float16"
    if written.config.tie_word_embeddings and "output.weight" in tensors:
        assert (tensors["output.weight"].data == tensors["token_embd.weight"].data).all()


def test_metadata_of_a_gpt2(tmp_path: Path) -> None:
    written = model({"model_type": "gpt2", "norm_eps": 1e-3}, BYTES)
    write_gguf(tmp_path / "m.gguf", written, "näme")
    fields, _ = read(tmp_path / "m.gguf")
    tokenizer = {name: fields.pop(name) for name in [*fields] if name.startswith("tokenizer.")}
    assert fields == {
        "general.architecture": "gpt2",
        "general.name": "näme",
        "general.file_type": LlamaFileType.ALL_F32,
        "general.quantization_version": 2,
        "general.sampling.temp": 0.5,
        "general.sampling.top_k": 0,  # llama.cpp would draw from the likeliest 40 tokens
        "general.sampling.top_p": 1.0,
        "general.sampling.min_p": 0.0,
        "gpt2.context_length": 48,
        "gpt2.embedding_length": 64,
        "gpt2.block_count": 2,
        "gpt2.feed_forward_length": 256,
        "gpt2.attention.head_count": 2,
        "gpt2.attention.layer_norm_epsilon": pytest.approx(1e-3),
        "gpt2.vocab_size": BYTES.vocab_size,
    }
    merges = json.loads(BYTES.to_json())["model"]["merges"]
    assert len(merges) > 10
    assert tokenizer == {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [symbol(BYTES, i) for i in range(BYTES.vocab_size)],
        "tokenizer.ggml.token_type": [TokenType.CONTROL]
        + [TokenType.NORMAL] * (BYTES.vocab_size - 1),
        "tokenizer.ggml.merges": [f"{a} {b}" for a, b in merges],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }


def symbol(tokenizer: Tokenizer, number: int) -> str:
    token = Backend.from_str(tokenizer.to_json()).id_to_token(number)
    assert token is not None
    return token


def test_metadata_of_a_llama(tmp_path: Path) -> None:
    changes = {**LLAMA, "n_kv_head": 1, "norm_eps": 1e-3, "rope_theta": 500.0}
    written = model(changes, MARKED, padding=3)
    write_gguf(tmp_path / "m.gguf", written, "m", "q8_0")
    fields, _ = read(tmp_path / "m.gguf")
    assert {name: value for name, value in fields.items() if name.startswith("llama.")} == {
        "llama.context_length": 48,
        "llama.embedding_length": 64,
        "llama.block_count": 2,
        "llama.feed_forward_length": 72,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(1e-3),
        "llama.attention.key_length": 32,
        "llama.attention.value_length": 32,
        "llama.rope.dimension_count": 32,
        "llama.rope.freq_base": 500.0,
        "llama.vocab_size": MARKED.vocab_size + 3,
    }
    assert fields["general.architecture"] == "llama"
    assert fields["general.file_type"] == LlamaFileType.MOSTLY_Q8_0
    template = fields["tokenizer.chat_template"]
    assert template.replace("if true", "generation").count("generation %}") == 1
    assert "{% generation" not in template, "llama-cpp-python and others do not know the tag"
    tokens = fields["tokenizer.ggml.tokens"]
    types = fields["tokenizer.ggml.token_type"]
    eot_token_id = MARKED.eot_token_id
    marks = ["<|user|>", "<|assistant|>", "<think>", "</think>"]
    padding = [f"[PAD{eot_token_id + 5 + i}]" for i in range(3)]
    assert tokens[eot_token_id:] == [END_OF_TEXT, *marks, *padding]
    assert types[eot_token_id:] == [TokenType.CONTROL] + 4 * [TokenType.USER_DEFINED] + 3 * [
        TokenType.UNUSED
    ]
    assert {*types[:eot_token_id]} == {TokenType.NORMAL}
    assert fields["tokenizer.ggml.bos_token_id"] == fields["tokenizer.ggml.eos_token_id"]
    assert fields["tokenizer.ggml.eos_token_id"] == eot_token_id


def test_scaled_positions_of_a_llama(tmp_path: Path) -> None:
    """llama.cpp divides each frequency by its factor, or all by the factor in the metadata."""
    scaling = Llama3Scaling(8.0, 1.0, 4.0, 16)
    write_gguf(tmp_path / "m.gguf", model({**LLAMA, "rope_scaling": scaling}, CHARACTERS), "m")
    fields, tensors = read(tmp_path / "m.gguf")
    unscaled = np.array(rotary_frequencies(32, 10_000.0))
    expected = unscaled / rotary_frequencies(32, 10_000.0, scaling)
    np.testing.assert_allclose(tensors["rope_freqs.weight"].data, expected, rtol=1e-7)
    assert 1 < expected[0] < expected[-1] == 8, "16 tokens are less than 4 turns"
    assert not any("rope.scaling" in name for name in fields)

    written = model({**LLAMA, "rope_scaling": LinearScaling(4.0)}, CHARACTERS)
    write_gguf(tmp_path / "m.gguf", written, "m")
    fields, _ = read(tmp_path / "m.gguf")
    assert fields["llama.rope.scaling.type"] == "linear"
    assert fields["llama.rope.scaling.factor"] == 4.0


def test_documents_begin_with_bos(tmp_path: Path) -> None:
    for begins in (False, True):
        tokenizer = MARKED.with_bos(begins)
        write_gguf(tmp_path / "m.gguf", model({}, tokenizer), "m")
        assert read(tmp_path / "m.gguf")[0]["tokenizer.ggml.add_bos_token"] is begins


def test_alphabet_equals_gpt2() -> None:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert sorted(BYTE_ENCODER.values()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    for character in CORPUS + "\0\x7f\xa0\xad":
        [(symbols, _)] = byte_level.pre_tokenize_str(character)
        assert "".join(BYTE_ENCODER[byte] for byte in character.encode()) == symbols


def test_character_tokenizer_becomes_bytes_and_merges() -> None:
    found = gguf_vocabulary(CHARACTERS, CHARACTERS.vocab_size)
    texts = {symbol(CHARACTERS, i): token for i, token in enumerate(found.tokens)}
    assert (texts[" "], texts["\n"], texts["a"], texts["é"]) == ("Ġ", "Ċ", "a", "Ã©")
    assert texts["日"] == "æĹ¥"
    assert {("Ã", "©"), ("æ", "Ĺ"), ("æĹ", "¥")} <= set(found.merges)
    assert all(ord(left[0]) > 0x7F for left, _ in found.merges), "letters are never joined"
    assert len(set(found.merges)) == len(found.merges)


def test_ascii_vocabulary_has_an_unused_merge() -> None:
    """llama.cpp refuses a vocabulary without merges."""
    tokenizer = Tokenizer.from_characters(["abc"], adds_bos=False)
    [(left, right)] = gguf_vocabulary(tokenizer, tokenizer.vocab_size).merges
    back = {character: byte for byte, character in BYTE_ENCODER.items()}
    with pytest.raises(UnicodeDecodeError):
        bytes([back[left]]).decode()
    with pytest.raises(UnicodeDecodeError):
        bytes([back[right]]).decode()


def test_the_bundled_model_can_be_written(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", load_model(BUNDLED_FOLDER), "anexa", "q8_0")
    fields, tensors = read(tmp_path / "m.gguf")
    assert len(fields["tokenizer.ggml.tokens"]) == load_model(BUNDLED_FOLDER).config.vocab_size
    assert tensors["token_embd.weight"].tensor_type == Type.Q8_0


def test_bos_and_all_eos_tokens_are_written(tmp_path: Path) -> None:
    """In foreign tokenizers BOS and EOS differ."""
    write_gguf(tmp_path / "m.gguf", model({}, OTHERS), "m")
    fields, _ = read(tmp_path / "m.gguf")
    names = ("bos_token_id", "eos_token_id", "eot_token_id", "add_bos_token")
    found = [fields[f"tokenizer.ggml.{name}"] for name in names]
    assert found == [OTHERS.bos_token_id, *OTHERS.eos_token_ids, True]
