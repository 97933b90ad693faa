"""A model folder is a Hugging Face repository: transformers reads it, and what it wrote is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import anexa
from anexa.engines import Batch, open_engine
from anexa.model.config import ModelConfig
from anexa.model.folder import Model, create_folder, load_model
from anexa.model.tokenizer import Tokenizer
from tests.engines.helpers import needs_torch, random_weights
from tests.model.helpers import CORPUS, byte_tokenizer, small_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")

SAMPLES = [
    "\n",
    "é",
    "😀",
    " ",
    "   ",
    "a f",
    " a ",
    "\t",
    "\r\n",
    "日本語",
    "<|x|>",
    "The 2nd line.",
    "caf , a . na ï ve !",  # spaces that a clean-up would take away
    CORPUS,
]
UNKNOWN = ["Q", "aQb", "你好", "\u0301", "e\u0301", "\0", "🎉 a"]
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


@pytest.fixture(
    scope="module",
    params=[("gpt2", True), ("gpt2", False), ("microgpt", True), ("llama", True)],
    ids=lambda param: f"{param[0]}-{'documents' if param[1] else 'text'}",
)
def tokenizers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer of ours, and the one that transformers makes of its folder."""
    model = small_model(*request.param)
    folder = tmp_path_factory.mktemp("tokenizer") / "model"
    create_folder(folder, model, "")
    # It works without the code for microgpt, but would ask whether to run it.
    theirs = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return model.tokenizer, theirs


@pytest.mark.parametrize("text", SAMPLES)
def test_autotokenizer_gives_the_same_ids(tokenizers: Any, text: str) -> None:
    ours, theirs = tokenizers
    assert theirs(text, add_special_tokens=False).input_ids == ours.encode(text)
    assert theirs(text).input_ids == ours.encode_prompt(text)
    assert theirs.decode(ours.encode(text)) == text
    assert theirs.decode(ours.encode_prompt(text), skip_special_tokens=True) == text


@pytest.mark.parametrize("text", UNKNOWN)
def test_autotokenizer_takes_the_unknown_the_same_way(tokenizers: Any, text: str) -> None:
    ours, theirs = tokenizers
    ids = ours.encode(text)
    assert ours.boundary in ids
    assert theirs(text, add_special_tokens=False).input_ids == ids
    assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids)


def test_autotokenizer_knows_the_boundary(tokenizers: Any) -> None:
    ours, theirs = tokenizers
    assert theirs.bos_token_id == theirs.eos_token_id == theirs.unk_token_id == ours.boundary
    assert len(theirs) == ours.vocab_size
    assert theirs.model_max_length == 16


@pytest.mark.parametrize(
    "tokenizer",
    [
        byte_tokenizer(),
        Tokenizer.of_bytes([CORPUS] * 2, 300, begins_documents=False),
        Tokenizer.of_bytes([CORPUS] * 2, 300, begins_documents=True),
    ],
    ids=["written", "trained-text", "trained-documents"],
)
def test_autotokenizer_of_a_byte_level_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = small_model(tokenizer=tokenizer)
    create_folder(tmp_path / "model", model, "")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    for text in SAMPLES + UNKNOWN:
        assert theirs(text).input_ids == model.tokenizer.encode_prompt(text)
        assert theirs.decode(theirs(text).input_ids, skip_special_tokens=True) == text


# Every architecture, and for llama its choices; transformers finds microgpt in the folder.
THEIRS = [
    pytest.param({"model_type": "gpt2"}, id="gpt2"),
    pytest.param({"model_type": "microgpt"}, id="microgpt"),
    pytest.param({"model_type": "llama", "n_inner": 12}, id="llama"),
    pytest.param({"model_type": "llama", "n_kv_head": 1, "tied": False}, id="llama-shared-untied"),
    pytest.param({"model_type": "llama", "rope_theta": 100.0}, id="llama-theta"),
]


NAMES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "microgpt": "MicroGPTForCausalLM",
}


@pytest.fixture(autouse=True)
def _modules_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """transformers copies the code of a folder before it runs it: not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        place = str(tmp_path_factory.mktemp("modules"))
        for module in ("utils", "dynamic_module_utils"):
            patch.setattr(f"transformers.{module}.HF_MODULES_CACHE", place)
        patch.syspath_prepend(place)
        yield


def automodel(folder: Path, **settings: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, **settings
    )


def random_folder(folder: Path, changes: dict[str, Any]) -> Model:
    """A model whose weights are all different."""
    model = small_model()
    model = replace(model, config=replace(model.config, **changes))
    model = Model(model.config, random_weights(model.config, seed=3), model.tokenizer)
    create_folder(folder, model, "")
    return load_model(folder)


@needs_torch
@pytest.mark.parametrize("changes", THEIRS)
def test_automodel_computes_the_same(tmp_path: Path, changes: dict[str, Any]) -> None:
    import torch

    model = random_folder(tmp_path / "model", changes)
    theirs, report = automodel(tmp_path / "model", output_loading_info=True)
    assert not any(report.values()), "every weight has found its place, and every place its weight"
    assert type(theirs).__name__ == NAMES[model.config.model_type]
    assert theirs.dtype == torch.float32
    tokens = torch.tensor([TOKENS])
    with torch.no_grad():
        output = theirs.eval()(tokens, labels=tokens)
    for name in ("torch", "numpy"):
        engine = open_engine(name, model.config, model.weights)
        logits = torch.tensor(engine.logits(TOKENS))
        torch.testing.assert_close(logits, output.logits[0], rtol=0, atol=1e-5)
        loss = engine.loss(Batch.from_rows([TOKENS]))
        assert loss == pytest.approx(output.loss.item(), abs=1e-5)
    assert output.logits.std() > 0.1, "not all the same anyway"


@needs_torch
@pytest.mark.parametrize("changes", THEIRS)
def test_automodel_writes_the_same_text(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Greedy decoding with their cache and with ours."""
    import torch

    model = random_folder(tmp_path / "model", changes)
    theirs = automodel(tmp_path / "model").eval()
    prompt = model.tokenizer.encode_prompt("caf")
    output = theirs.generate(
        torch.tensor([prompt]), max_new_tokens=10, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    engine = open_engine("numpy", model.config, model.weights)
    cache, tokens, unread = engine.new_cache(), list(prompt), prompt
    for _ in range(10):
        logits = [float(z) for z in engine.next_logits(unread, cache)]
        unread = [logits.index(max(logits))]
        tokens += unread
    assert output[0].tolist() == tokens


@needs_torch
@pytest.mark.parametrize("n_inner", [None, 32])
def test_a_gpt2_that_transformers_wrote_can_be_opened(tmp_path: Path, n_inner: int | None) -> None:
    import torch

    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    config = transformers.GPT2Config(
        vocab_size=tokenizer.vocab_size,
        n_positions=20,
        n_embd=8,
        n_head=4,
        n_layer=3,
        n_inner=n_inner,
        initializer_range=0.3,
        layer_norm_epsilon=1e-4,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        expected = theirs(torch.tensor([TOKENS])).logits[0]
    theirs.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    model = load_model(tmp_path)
    assert model.config == ModelConfig("gpt2", tokenizer.vocab_size, 20, 8, 4, 3, 1e-4)
    for name in ("torch", "numpy", "lists", "scalar"):
        logits = torch.tensor(open_engine(name, model.config, model.weights).logits(TOKENS))
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5, check_dtype=False)


@needs_torch
def test_a_llama_that_transformers_wrote_can_be_opened(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=20,
        hidden_size=16,
        intermediate_size=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=3,
        initializer_range=0.3,
        rms_norm_eps=1e-4,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS])).logits[0]
    theirs.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    model = load_model(tmp_path)
    assert (model.config.n_kv_head, model.config.n_inner, model.config.tied) == (2, 24, False)
    for name in ("torch", "numpy", "lists", "scalar"):
        logits = torch.tensor(open_engine(name, model.config, model.weights).logits(TOKENS))
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5, check_dtype=False)


# ------------------------------------------------------------------ microgpt


@pytest.fixture
def microgpt(tmp_path: Path) -> Path:
    """Its folder."""
    pytest.importorskip("torch")
    random_folder(tmp_path / "model", {"model_type": "microgpt"})
    return tmp_path / "model"


def test_code_in_a_folder_is_run_by_nobody_who_was_not_asked(microgpt: Path) -> None:
    module = microgpt / "modeling_microgpt.py"
    module.write_text("raise SystemExit('it was run')", encoding="utf-8")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        transformers.AutoModelForCausalLM.from_pretrained(microgpt, trust_remote_code=False)
    anexa.load(microgpt).generate(max_tokens=1)
    module.unlink()
    anexa.load(microgpt).generate(max_tokens=1)


def test_filling_on_the_left_changes_nothing(microgpt: Path) -> None:
    """As in a batch of texts of several lengths."""
    import torch

    theirs = automodel(microgpt).eval()
    rows = [[3, 1, 4, 1, 5], [9, 2, 6], [5]]
    longest = max(map(len, rows))
    filled = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    settings: Any = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": -1}
    together = theirs.generate(filled, attention_mask=mask, **settings)
    for row, text in zip(rows, together):
        alone = theirs.generate(torch.tensor([row]), use_cache=False, **settings)[0]
        assert text[longest - len(row) :].tolist() == alone.tolist()


def test_a_microgpt_that_transformers_wrote_can_be_opened(microgpt: Path, tmp_path: Path) -> None:
    """Trained a little, to see that gradients reach all of it."""
    import torch

    theirs = automodel(microgpt)
    tokens = torch.tensor([TOKENS])
    theirs(tokens, labels=tokens).loss.backward()
    with torch.no_grad():
        for parameter in theirs.parameters():
            assert parameter.grad.abs().sum() > 0
            parameter -= 0.1 * parameter.grad
        expected = theirs.eval()(tokens).logits[0]
    theirs.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "modeling_microgpt.py").exists()
    shutil.copy(microgpt / "tokenizer.json", tmp_path / "again")
    model = load_model(tmp_path / "again")
    logits = torch.tensor(open_engine("numpy", model.config, model.weights).logits(TOKENS))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_the_text_generation_pipeline(microgpt: Path) -> None:
    pipeline = transformers.pipeline("text-generation", str(microgpt), trust_remote_code=True)
    [written] = pipeline("caf", max_new_tokens=5, do_sample=False, return_full_text=False)
    ours = anexa.load(microgpt, engine="numpy").generate("caf", max_tokens=5, temperature=0)
    assert written["generated_text"] == ours
