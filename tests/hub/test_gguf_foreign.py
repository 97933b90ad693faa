"""Folders that transformers wrote, exported: llama.cpp continues texts as transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend

from anexa.model.folder import ModelFolder
from tests.cli.process import anexa
from tests.engines.helpers import needs_torch
from tests.model.families import BYTE_LEVEL, control_tokens, write_sentencepiece, write_vocabulary
from tests.model.foreign import write_folder

pytest.importorskip("gguf", reason="gguf is not installed")
pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")

from anexa.hub.gguf import write_gguf

LLAMA3_ROPE = {
    **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    **{"original_max_position_embeddings": 16, "rope_theta": 10_000.0},
}
# Architecture, family of the tokenizer, whether it has a tokenizer.json, and other options.
KINDS: dict[str, tuple[str, str, bool, dict[str, Any]]] = {
    "gpt2": ("gpt2", "gpt2", False, {}),
    "smollm": ("llama", "smollm", True, {"tie_word_embeddings": True}),
    "llama2": ("llama", "llama2", False, {}),
    "llama3.1": ("llama", "llama3", True, {"rope_parameters": LLAMA3_ROPE}),
    "mistral": ("mistral", "llama2", False, {"head_dim": 8, "num_key_value_heads": 2}),
    "qwen2.5": ("qwen2", "qwen2", False, {"num_key_value_heads": 1}),
    "pythia": ("gpt_neox", "neox", True, {"rotary_pct": 0.5}),
    "qwen3": ("qwen3", "qwen2", True, {"head_dim": 8, "num_key_value_heads": 2}),
}


def write_kind(folder: Path, kind: str) -> Any:
    """Let transformers write a model of a kind; return the model."""
    architecture, family, has_json, options = KINDS[kind]
    if family == "llama2":
        write_sentencepiece(folder / "spm", legacy=True)
        backend = Backend.from_str(ModelFolder(folder / "spm").tokenizer.to_json())
        bos, eos = "<s>", "</s>"
    else:
        backend = BYTE_LEVEL[family]()
        bos, eos = (control_tokens(backend) * 2)[:2]
    model = write_folder(folder, kind=architecture, backend=backend, bos=bos, eos=eos, **options)
    if not has_json:
        (folder / "tokenizer.json").unlink()
        config = (folder / "config.json").read_bytes()
        if family == "llama2":
            write_sentencepiece(folder, legacy=True)
        else:
            name = f"{'GPT' if family == 'gpt2' else 'Qwen'}2Tokenizer"
            special = {"bos_token": bos, "eos_token": eos}
            write_vocabulary(folder, backend, architecture, tokenizer_class=name, **special)
        (folder / "config.json").write_bytes(config)
    return model


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_continues_as_transformers(tmp_path: Path, kind: str) -> None:
    """The same tokens, and the same greedy text."""
    import torch

    llama_cpp: Any = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    theirs = write_kind(tmp_path, kind)
    ours = ModelFolder(tmp_path).load()
    write_gguf(tmp_path / "m.gguf", ours, kind)
    f32 = llama_cpp.GGML_TYPE_F32
    opened = llama_cpp.Llama(
        str(tmp_path / "m.gguf"), n_ctx=40, n_threads=1, type_k=f32, type_v=f32, verbose=False
    )
    for prompt in ("The quick", "def f(x):\n    return", "naïve 日本 1234 it's"):
        ids = ours.tokenizer.encode_prompt(prompt)[:25]
        found = opened.tokenize(prompt.encode(), add_bos=True, special=True)
        assert found[:25] == ids
        expected = theirs.generate(
            torch.tensor([ids]), max_new_tokens=12, do_sample=False, eos_token_id=-1, pad_token_id=0
        )[0].tolist()
        opened.reset()
        stream = opened.generate(ids, top_k=1, temp=0.0, repeat_penalty=1.0)
        assert [next(stream) for _ in range(12)] == expected[len(ids) :]


@needs_torch
def test_texts_with_other_tokens_are_a_warning(tmp_path: Path) -> None:
    write_kind(tmp_path / "model", "qwen3")
    result = anexa("export", "model", "--to", "gguf", "--out", "m.gguf", cwd=tmp_path)
    assert (result.returncode, result.stdout.split()[:2]) == (0, ["wrote", "m.gguf"])
    assert " ".join(result.stderr.split()) == (
        "anexa: llama.cpp finds other tokens in texts with characters that are not in Unicode's "
        "normal form NFC, such as é of two code points"
    )


@needs_torch
def test_folder_without_tokenizer_json_can_be_used(tmp_path: Path) -> None:
    write_kind(tmp_path / "model", "mistral")
    result = anexa("generate", "model", "--prompt", "The", "--max-tokens", "3", cwd=tmp_path)
    assert result.returncode == 0
    result = anexa("export", "model", "--to", "folder", "--out", "again", cwd=tmp_path)
    assert result.returncode == 0
    written = json.loads((tmp_path / "again" / "tokenizer.json").read_text("utf-8"))
    converted = ModelFolder(tmp_path / "model").tokenizer.to_json()
    assert written == json.loads(converted)
