"""Models that cannot be written to a GGUF file are refused, and no file is left."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anexa.errors import AnexaError, UsageError
from anexa.model.rotary import Llama3Scaling
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight
from tests.cli.process import names
from tests.hub.models import BYTES, CHARACTERS, model, of_others
from tests.model.helpers import byte_tokenizer, small_model

pytest.importorskip("gguf", reason="gguf is not installed")


from anexa.hub.gguf import write_gguf
from anexa.hub.vocabulary import gguf_vocabulary


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen2", "rope_scaling": Llama3Scaling(8.0, 1.0, 4.0, 16)}, "by llama3"),
        ({"model_type": "qwen2", "head_dim": 8}, "a head_dim of its own"),
        ({"model_type": "qwen3", "attention_bias": True}, "attention_bias"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AnexaError, match=f"^llama.cpp does not .*{message}$"):
        write_gguf(tmp_path / "m.gguf", model(changes, CHARACTERS), "m")
    assert not (tmp_path / "m.gguf").exists()


def test_microgpt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"does not compute microgpt models: only gpt2, llama, "):
        write_gguf(tmp_path / "m.gguf", small_model("microgpt"), "m")
    assert names(tmp_path) == []


def test_a_context_beyond_the_format_is_refused(tmp_path: Path) -> None:
    model = small_model("llama")
    config = replace(model.config, block_size=2**32)
    with pytest.raises(AnexaError, match="cannot have a context of 4,294,967,296 tokens"):
        write_gguf(tmp_path / "a.gguf", replace(model, config=config), "a")
    assert names(tmp_path) == []


def test_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no precision 'q4_0': choose f32, f16, q8_0"):
        write_gguf(tmp_path / "m.gguf", small_model(), "m", "q4_0")
    assert names(tmp_path) == []


def test_unknown_pre_tokenizer_is_refused(tmp_path: Path) -> None:
    """This tokenizer has no pre-tokenizer."""
    reason = r"does not split texts into words as that of GPT-2, .*: try llama\.cpp's own"
    with pytest.raises(AnexaError, match=reason):
        write_gguf(tmp_path / "m.gguf", small_model(tokenizer=byte_tokenizer()), "m")


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("normalizer", {"type": "NFD"}, "has normalizer {'type': 'NFD'}"),
        ("byte_fallback", True, "has byte_fallback True, but not all bytes"),
        ("ignore_merges", True, "tokenizer with ignore_merges does not split"),
        ("lstrip", True, r"tokenizer's <|endoftext|> has lstrip"),
    ],
)
def test_unsupported_tokenizer_features_are_refused(part: str, value: Any, reason: str) -> None:
    parts = json.loads(BYTES.to_json())
    if part == "normalizer":
        parts[part] = value
    elif part == "lstrip":
        parts["added_tokens"][0][part] = value
    else:
        parts["model"][part] = value
    tokenizer = Tokenizer.from_json(json.dumps(parts))
    with pytest.raises(AnexaError) as caught:
        gguf_vocabulary(tokenizer, tokenizer.vocab_size)
    assert reason in str(caught.value)
    assert "try llama.cpp's own" in str(caught.value)


def test_at_most_three_eos_tokens() -> None:
    for count in (1, 2, 3):
        tokenizer = of_others(count)
        assert len(gguf_vocabulary(tokenizer, tokenizer.vocab_size).tokens) == tokenizer.vocab_size
    with pytest.raises(AnexaError, match=r"4 of its tokens end a text, and GGUF names 1 to 3"):
        gguf_vocabulary(of_others(4), of_others(4).vocab_size)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_weights_that_are_not_float32_are_refused(tmp_path: Path, value: float) -> None:
    damaged = model({}, CHARACTERS)
    weight = damaged.weights["wte.weight"]
    damaged.weights["wte.weight"] = Weight(weight.shape, array("d", [value, *weight.data[1:]]))
    with pytest.raises(AnexaError, match=r"wte\.weight has values that are not float32 numbers"):
        write_gguf(tmp_path / "m.gguf", damaged, "m")
    assert names(tmp_path) == []


def test_weights_too_large_for_f16_are_refused(tmp_path: Path) -> None:
    large = model({}, CHARACTERS)
    large.weights["wte.weight"].data[5] = 70_000.0
    with pytest.raises(AnexaError, match=r"token_embd\.weight has numbers too large for f16"):
        write_gguf(tmp_path / "m.gguf", large, "m", "f16")
    write_gguf(tmp_path / "m.gguf", replace(large), "m", "f32")
    assert names(tmp_path) == ["m.gguf"]
