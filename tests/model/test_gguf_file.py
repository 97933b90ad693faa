"""GGUF files are opened as models: what `anexa export` wrote comes back."""

from __future__ import annotations

import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import open_engine
from anexa.errors import AnexaError
from anexa.model.architectures import get_architecture
from anexa.model.gguf_file import GGUFFile
from anexa.model.gguf_reader import GGUFReader
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.rotary import LinearScaling, Llama3Scaling
from anexa.model.tokenizer import Tokenizer
from tests.hub.models import BYTES, CHARACTERS, LLAMA, MARKED, OTHERS, model
from tests.hub.test_gguf_tokenizers import LLAMA2, NAMES, of_family
from tests.model.hard_strings import HARD_STRINGS, around

pytest.importorskip("gguf", reason="gguf is not installed")

import gguf

from anexa.hub.gguf import write_gguf

MODELS: list[tuple[dict[str, Any], Tokenizer]] = [
    ({}, CHARACTERS),
    ({"norm_eps": 1e-3}, BYTES),
    (LLAMA, MARKED),
    ({**LLAMA, "n_kv_head": 1, "tie_word_embeddings": False, "attention_bias": True}, OTHERS),
    ({**LLAMA, "head_dim": 8, "rope_theta": 5.0, "rope_scaling": LinearScaling(4.0)}, BYTES),
    ({**LLAMA, "mlp_bias": True}, BYTES),
    ({**LLAMA, "model_type": "qwen2", "n_kv_head": 1, "rope_scaling": LinearScaling(2.0)}, BYTES),
    ({**LLAMA, "model_type": "qwen3", "head_dim": 8, "tie_word_embeddings": False}, BYTES),
]


def reopened(folder: Path, written: Model, precision: str = "f32") -> Model:
    write_gguf(folder / "m.gguf", written, "m", precision)
    return load_model(folder / "m.gguf")


@pytest.mark.parametrize(("changes", "tokenizer"), MODELS)
def test_model_comes_back(tmp_path: Path, changes: dict[str, Any], tokenizer: Tokenizer) -> None:
    written = model(changes, tokenizer, padding=3)
    found = reopened(tmp_path, written)
    assert found.config == written.config
    assert found.weights == written.weights
    assert (found.temperature, found.chat_template is None) == (0.5, tokenizer is not MARKED)
    assert found.tokenizer.vocab_size == tokenizer.vocab_size
    for name in ("bos_token_id", "eos_token_ids", "adds_bos", "added_tokens"):
        assert getattr(found.tokenizer, name) == getattr(tokenizer, name)
    for text in [*HARD_STRINGS, *around([*tokenizer.added_tokens])]:
        assert found.tokenizer.encode(text) == tokenizer.encode(text)
        ids = tokenizer.encode(text)
        assert found.tokenizer.decode(ids) == tokenizer.decode(ids)


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_torch_computes_the_weights_without_a_warning(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = reopened(tmp_path, model(LLAMA, BYTES), precision)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_engine("torch", found.config, found.weights).logits([1, 2])


def test_character_tokenizer_is_the_same(tmp_path: Path) -> None:
    found = reopened(tmp_path, model({}, CHARACTERS)).tokenizer
    assert found.to_json() == CHARACTERS.to_json()


@pytest.mark.parametrize("family", [*NAMES, *LLAMA2])
def test_tokenizers_come_back(tmp_path: Path, family: str) -> None:
    tokenizer = of_family(family, tmp_path)
    found = reopened(tmp_path, model({}, tokenizer)).tokenizer
    for text in HARD_STRINGS + around([*tokenizer.added_tokens][:4]):
        if family == "llama2-metaspace" and (text.startswith((" ", "▁")) or "<" in text):
            continue  # it comes back as llama.cpp has it
        if family == "neox" and not text.isascii():
            continue  # that it normalizes is not in the file
        assert found.encode(text) == tokenizer.encode(text), repr(text)
        assert found.encode(text, add_special_tokens=True) == tokenizer.encode(
            text, add_special_tokens=True
        )


@pytest.mark.parametrize("precision", ["f16", "q8_0"])
def test_other_precisions_are_dequantized(tmp_path: Path, precision: str) -> None:
    found = reopened(tmp_path, model(LLAMA, BYTES), precision)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    for name in ("token_embd.weight", "blk.1.ffn_down.weight", "blk.0.attn_norm.weight"):
        expected = gguf.dequantize(tensors[name].data, tensors[name].tensor_type)
        np.testing.assert_array_equal(GGUFReader(tmp_path / "m.gguf").tensor(name), expected)
    weight = found.weights["model.embed_tokens.weight"]
    assert (
        np.abs(
            np.asarray(weight.data) - model(LLAMA, BYTES).weights["model.embed_tokens.weight"].data
        ).max()
        < 0.01
    )


# ------------------------------------------------------------------ what is refused


def refusal(path: Path) -> str:
    with pytest.raises(AnexaError) as caught:
        GGUFFile(path).load()
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "m.gguf")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gpt_neox"}, "it is a 'gptneox': of GGUF files, only gpt2, llama, qwen2,"),
        (
            {**LLAMA, "rope_scaling": Llama3Scaling(8.0, 1.0, 4.0, 16)},
            "it has a table of scaled positions (Llama 3.1): not supported in GGUF files",
        ),
    ],
)
def test_other_models_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_gguf(tmp_path / "m.gguf", model(changes, BYTES), "m")
    assert f"m.gguf cannot be opened: {reason}" in refusal(tmp_path / "m.gguf")


def test_other_quantization_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, model({}, BYTES), "m")
    data = path.read_bytes()
    name = b"token_embd.weight"
    at = data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + 4 + 16
    path.write_bytes(data[:at] + struct.pack("<I", 12) + data[at + 4 :])  # Q4_K
    assert "only files of F32, F16 and Q8_0 can be opened" in refusal(path)


def with_metadata(path: Path, monkeypatch: pytest.MonkeyPatch, **values: float | str) -> GGUFFile:
    """Write a small Llama with more metadata; two underscores stand for a dot."""
    plain = gguf.GGUFWriter.add_vocab_size

    def add(writer: gguf.GGUFWriter, size: int) -> None:
        plain(writer, size)
        for name, value in values.items():
            key = f"llama.{name.replace('__', '.')}"
            if isinstance(value, str):
                writer.add_string(key, value)
            elif isinstance(value, bool):
                writer.add_bool(key, value)
            else:
                writer.add_float32(key, value)

    monkeypatch.setattr(gguf.GGUFWriter, "add_vocab_size", add)
    write_gguf(path, model(LLAMA, BYTES), "m")
    return GGUFFile(path)


@pytest.mark.parametrize("theta", [0.0, -9.0, float("nan"), float("inf")])
def test_impossible_rotary_positions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theta: float
) -> None:
    layout = get_architecture(model(LLAMA, BYTES).config).gguf
    assert layout is not None
    plain = layout.metadata
    changed = lambda config: plain(config) | {"rope.freq_base": theta}  # noqa: E731
    monkeypatch.setitem(vars(layout), "metadata", changed)
    write_gguf(tmp_path / "m.gguf", model(LLAMA, BYTES), "m")
    reason = f"llama.rope.freq_base is {theta}: it must be a number of at least 1"
    assert f"m.gguf cannot be opened: {reason}" in refusal(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("values", "scaling"),
    [
        ({"rope__scaling__factor": 4.0}, LinearScaling(4.0)),
        ({"rope__scale_linear": 4.0}, LinearScaling(4.0)),
        ({"rope__scaling__factor": 4.0, "rope__scaling__type": "none"}, None),
        ({"rope__scaling__factor": 0.0}, None),
    ],
)
def test_scaling_without_a_type_is_linear(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    scaling: LinearScaling | None,
) -> None:
    """So it is for llama.cpp."""
    path = tmp_path / "m.gguf"
    assert with_metadata(path, monkeypatch, **values).config.rope_scaling == scaling


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"attention__causal": False}, "it has the llama.attention.causal False: only True is"),
        (
            {"rope__scaling__attn_factor": 2.0},
            "it has the llama.rope.scaling.attn_factor 2.0: only",
        ),
        ({"rope__scaling__factor": 0.5}, "its rotary positions are scaled by the factor 0.5: not"),
        ({"rope__scaling__type": "yarn"}, "its rotary positions are scaled by 'yarn': not"),
    ],
)
def test_metadata_of_another_function_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], reason: str
) -> None:
    with_metadata(tmp_path / "m.gguf", monkeypatch, **values)
    assert f"m.gguf cannot be opened: {reason}" in refusal(tmp_path / "m.gguf")


def test_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, model(LLAMA, BYTES), "m")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"tokenizer.ggml.bos_token_id", b"tokenizer.ggml.eos_token_id"))
    assert refusal(path) == "m.gguf is damaged: it has two values of tokenizer.ggml.eos_token_id"


def test_tensors_in_the_same_place_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, model(LLAMA, BYTES), "m")
    data = path.read_bytes()
    for name in GGUFReader(path).tensors:
        at = data.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)
        (num_dims,) = struct.unpack_from("<I", data, at)
        at += 4 + 8 * num_dims + 4
        data = data[:at] + bytes(8) + data[at + 8 :]
    path.write_bytes(data[:-20_000])
    assert refusal(path) == "m.gguf is damaged: its tensors are larger than the file"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "m.gguf"
    write_gguf(path, model({"n_embd": 4, "n_layer": 1}, CHARACTERS), "m")
    return path.read_bytes()


@given(data=st.data())
def test_any_damage_is_an_anexa_error(
    small: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    damaged = bytearray(small[: data.draw(st.integers(0, len(small)))])
    for _ in range(data.draw(st.integers(0, 4)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    with suppress(AnexaError):
        GGUFFile(path).load()


def test_score_that_is_no_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = gguf.GGUFWriter.add_token_scores

    def add(writer: gguf.GGUFWriter, scores: list[float]) -> None:
        plain(writer, [float("nan"), *scores[1:]])

    monkeypatch.setattr(gguf.GGUFWriter, "add_token_scores", add)
    write_gguf(tmp_path / "m.gguf", model({}, of_family("llama2", tmp_path)), "m")
    assert "it has a damaged token, " in refusal(tmp_path / "m.gguf")


def test_long_tokens_cost_no_time(tmp_path: Path) -> None:
    tokenizer = of_family("llama2", tmp_path)
    path = tmp_path / "m.gguf"
    write_gguf(path, model({}, tokenizer), "m")
    data, token = path.read_bytes(), tokenizer.id_to_token(890)
    assert token
    name = token.encode()
    long = struct.pack("<Q", 1_000_000) + b"a" * 1_000_000
    at = data.index(struct.pack("<Q", len(name)) + name)
    path.write_bytes(data[:at] + long + data[at + 8 + len(name) :])
    assert "it has longer tokens than any model" in refusal(path)


@pytest.mark.parametrize(
    "tail",
    [
        struct.pack("<QQ", 1 << 60, 0),
        struct.pack("<QQ", 0, 1 << 60),
        struct.pack("<QQQ", 0, 1, 1 << 60),
        struct.pack("<QQQ", 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 8, 1 << 60),
        struct.pack("<QQQ", 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 1),
        b"",
    ],
)
def test_huge_numbers_cost_nothing(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + tail + bytes(64))
    assert "m.gguf is damaged" in refusal(path) or "lacks" in refusal(path)
