"""Folders that transformers saved, with many options, load and give the same results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import anexa
from anexa.engines import DeviceConfig, open_engine
from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.generation.text_stream import Prompt, TextStream
from anexa.model.architectures.llama_config import KEYS as LLAMA_KEYS
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.model.rotary import rotary_frequencies
from anexa.training import build_trainer, resume_trainer
from tests.engines.helpers import LLAMAS, needs_torch
from tests.model.foreign import FOLDERS, LLAMA3, TEMPLATES, change, write_folder
from tests.model.helpers import CORPUS
from tests.training.runs import finish, settings, write_names

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")

TEXTS = [
    "",
    "a",
    " a b",
    "The 2nd line.",
    "caf naïve 日本語 😀",
    "\n\n  a\t",
    "<s>",
    "x </s> y",
    CORPUS,
]
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]

# Keys of config.json that say which function a model of Llama's family, or a Neo, computes.
KEPT = {
    "model_type",
    "rope_parameters",
    "head_dim",
    "attention_bias",
    "mlp_bias",
    "hidden_act",
    "num_key_value_heads",
    "rms_norm_eps",
    "tie_word_embeddings",
    "attention_layers",
    "window_size",
    "use_parallel_residual",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "num_heads",
    "num_layers",
    *(size for size in LLAMA_KEYS.values()),
}


@pytest.fixture(scope="module", params=FOLDERS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Let transformers save a model; return the folder and the model."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("foreign") / request.param
    return folder, write_folder(folder, **FOLDERS[request.param])


def greedy(model: LanguageModel, prompt: str, max_tokens: int) -> list[int]:
    """Decode greedily, up to and including the EOS token."""
    tokenizer, engine = model.tokenizer, model.engine
    ids = tokenizer.encode_prompt(prompt)
    read = Prompt(tokenizer, engine.config.block_size, prompt)
    stream = TextStream(tokenizer, read, max_tokens=max_tokens)
    cache, unread = engine.new_kv_cache(), ids
    while not stream.finish_reason:
        unread = [int(np.argmax(engine.next_logits(unread, cache)))]
        ids = ids + unread
        stream.add(unread[0])
    return ids


# ------------------------------------------------------------------ the same as theirs


def test_logits_equal_transformers(opened: Any) -> None:
    import torch

    folder, theirs = opened
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS])).logits[0]
    assert expected.std() > 0.1, "not all the same anyway"
    model = load_model(folder)
    assert {w.typecode for w in model.weights.values()} == {"f"}
    for name in ("numpy", "torch"):
        logits = torch.tensor(open_engine(name, model.config, model.weights).logits(TOKENS))
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_logits_equal_transformers_in_float64(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers computes angles, RMSNorm and GPT-Neo's scores in float32: here in float64."""
    import torch

    folder, _ = opened
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    model = load_model(folder)
    config = model.config
    frequencies = rotary_frequencies(config.rotary_dim, config.rope_theta, config.rope_scaling)

    class ExactAngles(torch.nn.Module):
        def forward(self, _x: Any, position_ids: Any) -> tuple[Any, Any]:
            angles = position_ids[..., None] * torch.tensor(frequencies, dtype=torch.float64)
            angles = torch.cat((angles, angles), dim=-1)
            return angles.cos(), angles.sin()

    if config.model_type in LLAMAS:
        inv_freq = theirs.model.rotary_emb.inv_freq.double()
        torch.testing.assert_close(
            torch.tensor(frequencies, dtype=torch.float64), inv_freq, rtol=1e-6, atol=0
        )
        theirs.model.rotary_emb = ExactAngles()
        for name, module in [*theirs.named_modules()]:
            if name.endswith("norm"):
                norm = torch.nn.RMSNorm(module.weight.shape, config.norm_eps, dtype=torch.float64)
                norm.weight = module.weight
                parent, _, last = name.rpartition(".")
                setattr(theirs.get_submodule(parent), last, norm)
    if config.model_type == "gpt_neox":
        theirs.gpt_neox.rotary_emb = ExactAngles()
    with torch.no_grad(), monkeypatch.context() as patched:
        patched.setattr(torch, "float32", torch.float64)
        expected = theirs(torch.tensor([TOKENS])).logits[0]
    device_config = DeviceConfig(dtype="float64")
    for name in ("numpy", "torch"):
        engine = open_engine(name, model.config, model.weights, device_config=device_config)
        logits = torch.tensor(engine.logits(TOKENS), dtype=torch.float64)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11)


def test_transformers_opens_what_is_written_with_difference_0(opened: Any, tmp_path: Path) -> None:
    import torch

    folder, theirs = opened
    model = load_model(folder)
    create_folder(tmp_path / "ours", model, "")
    assert load_model(tmp_path / "ours").config == model.config
    ours, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report.values())
    known = theirs.config.to_dict() | {"rope_scaling": None}
    written = ours.config.to_dict()
    for key in KEPT & known.keys():
        assert written[key] == known[key], key
    with torch.no_grad():
        logits = [one.eval()(torch.tensor([TOKENS])).logits for one in (ours, theirs)]
    torch.testing.assert_close(*logits, rtol=0, atol=0)


@needs_torch
@pytest.mark.parametrize(
    "name",
    [
        "gpt2-f16-shards",
        "llama-shared-heads",
        "llama3.1",
        "mistral",
        "qwen2",
        "qwen3",
        "gpt_neo",
        "gpt_neox",
    ],
)
def test_logits_equal_transformers_in_every_engine(tmp_path: Path, name: str) -> None:
    import torch

    theirs = write_folder(tmp_path, **FOLDERS[name])
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS[:4]])).logits[0]
    model = load_model(tmp_path)
    for engine in ("lists", "scalar"):
        logits = open_engine(engine, model.config, model.weights).logits(TOKENS[:4])
        torch.testing.assert_close(
            torch.tensor(logits), expected, rtol=0, atol=1e-5, check_dtype=False
        )


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_equal_transformers(opened: Any, text: str) -> None:
    folder, _ = opened
    ours, theirs = load_model(folder).tokenizer, transformers.AutoTokenizer.from_pretrained(folder)
    ids = theirs(text).input_ids
    assert ours.encode_prompt(text) == (ids or [theirs.bos_token_id])
    assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids
    assert ours.decode(ids) == theirs.decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def test_greedy_text_equals_transformers(opened: Any) -> None:
    """Text ends with any of several EOS tokens."""
    import torch

    folder, theirs = opened
    model = anexa.load(folder, engine="numpy")
    for prompt in ("a b", "The"):
        ids = model.tokenizer.encode_prompt(prompt)
        expected = theirs.generate(
            torch.tensor([ids]), max_new_tokens=20, do_sample=False, pad_token_id=0
        )[0].tolist()
        assert greedy(model, prompt, 20) == expected


@needs_torch
def test_any_of_several_eos_tokens_ends_a_text(tmp_path: Path) -> None:
    """generation_config.json takes precedence over config.json."""
    import torch

    theirs = write_folder(tmp_path, **LLAMA3)
    model = anexa.load(tmp_path, engine="numpy")
    assert model.tokenizer.eos_token_ids == tuple(theirs.config.eos_token_id)
    assert model.tokenizer.bos_eos == ("<|begin_of_text|>", "<|end_of_text|>")
    *_, third, _, last = greedy(model, "a b", 5)
    change(tmp_path / "generation_config.json", eos_token_id=[last, third])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    model = anexa.load(tmp_path, engine="numpy")
    ids = model.tokenizer.encode_prompt("a b")
    output = theirs.generate(
        torch.tensor([ids]), max_new_tokens=9, do_sample=False, pad_token_id=0
    )[0].tolist()
    assert greedy(model, "a b", 9) == output
    assert len(output) <= len(ids) + 3


@needs_torch
@pytest.mark.parametrize("name", ["gpt2", "llama", "llama3"])
def test_streamed_text_equals_decoded_text(tmp_path: Path, name: str) -> None:
    """Prompt and continuation join to the decoded whole, also with byte tokens and spaces."""
    write_folder(tmp_path, **FOLDERS[name])
    model = anexa.load(tmp_path, engine="numpy")
    tokenizer, rng = model.tokenizer, np.random.default_rng(1)
    everything = [*range(model.engine.config.vocab_size)]
    assert tokenizer.vocab_size < len(everything), "it is filled up"
    for text in ("", "a b", "The 2nd"):
        for _ in range(50):
            ids = [int(i) for i in rng.choice(everything, 12) if i not in tokenizer.eos_token_ids]
            read = Prompt(tokenizer, 40, text)
            stream = TextStream(tokenizer, read, max_tokens=len(ids))
            pieces = [stream.add(token) for token in ids]
            assert stream.finish_reason == "length"
            assert tokenizer.decode(read.ids) + "".join(pieces) == tokenizer.decode(read.ids + ids)


@needs_torch
def test_rewritten_folder_equals_the_original(tmp_path: Path) -> None:
    write_folder(tmp_path / "theirs", **LLAMA3, dtype="bfloat16")
    model = load_model(tmp_path / "theirs")
    create_folder(tmp_path / "ours", model, "")
    reloaded = load_model(tmp_path / "ours")
    assert (reloaded.config, reloaded.weights) == (model.config, model.weights)
    assert reloaded.tokenizer.to_json() == model.tokenizer.to_json()
    assert (reloaded.tokenizer.bos_token_id, reloaded.tokenizer.eos_token_ids) == (
        model.tokenizer.bos_token_id,
        model.tokenizer.eos_token_ids,
    )
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert (theirs.bos_token, theirs.eos_token) == model.tokenizer.bos_eos


# ------------------------------------------------------------------ conversations


@needs_torch
@pytest.mark.parametrize("place", ["tokenizer_config.json", "several", "chat_template.jinja"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "llama3"])
def test_rendered_conversations_equal_transformers(
    tmp_path: Path, name: str, template: str, place: str
) -> None:
    """BOS is there only if the template writes it, and only once."""
    write_folder(tmp_path, **FOLDERS[name])
    if place == "chat_template.jinja":
        (tmp_path / place).write_text(template, encoding="utf-8")
    else:
        named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
        change(
            tmp_path / "tokenizer_config.json",
            chat_template=named if place == "several" else template,
        )
    model = anexa.load(tmp_path, engine="numpy")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "user", "content": "a b"}]
    expected = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    assert model.tokenizer.encode_prompt(model.render_prompt(messages)) == expected
    assert model.num_prompt_tokens(messages) == len(expected)
    assert model.chat(messages, max_tokens=3).num_tokens <= 3
    for mark in model.tokenizer.bos_eos:
        with pytest.raises(AnexaError, match="a special token of the model"):
            model.render_prompt([{"role": "user", "content": f"a{mark}b"}])


# ------------------------------------------------------------------ their tokenizers, our models


@needs_torch
@pytest.mark.parametrize("spec", [".", "tokenizer.json"])
def test_training_accepts_a_foreign_tokenizer(tmp_path: Path, spec: str) -> None:
    """Its EOS token then separates documents."""
    write_folder(tmp_path / "theirs", **LLAMA3)
    corpus = write_names(tmp_path)
    chosen = settings(corpus, steps=4, tokenizer=str(tmp_path / "theirs" / spec))
    begun = build_trainer(chosen, tmp_path / "model").tokenizer.to_json()
    run = finish(resume_trainer(tmp_path / "model"))
    assert run.tokenizer.to_json() == begun
    folder = run.folder
    model = anexa.load(folder, engine="numpy")
    theirs = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert model.tokenizer.bos_eos == ("<|end_of_text|>", "<|end_of_text|>")
    assert theirs("anna").input_ids == model.tokenizer.encode_prompt("anna")
    ours = model.tokenizer
    assert theirs.eos_token_id == ours.eot_token_id == ours.encode_prompt("")[0]
