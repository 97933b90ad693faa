"""A model folder is a Hugging Face repository: transformers reads it, and what it wrote is read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anexa.engines import Batch, installed_engines, open_engine
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.model.rotary import LinearScaling, Llama3Scaling
from anexa.model.tokenizer import Tokenizer
from tests.engines.helpers import needs_torch
from tests.model.foreign import automodel, llama_backend, random_folder
from tests.model.helpers import CORPUS, byte_tokenizer, small_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = pytest.mark.usefixtures("temporary_module_cache")

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
def test_autotokenizer_gives_the_same_ids_for_unknown_characters(
    tokenizers: Any, text: str
) -> None:
    ours, theirs = tokenizers
    ids = ours.encode(text)
    assert ours.eot_token_id in ids
    assert theirs(text, add_special_tokens=False).input_ids == ids
    assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids)


def test_autotokenizer_has_the_same_special_tokens(tokenizers: Any) -> None:
    ours, theirs = tokenizers
    assert theirs.bos_token_id == theirs.eos_token_id == theirs.unk_token_id == ours.eot_token_id
    assert len(theirs) == ours.vocab_size
    assert theirs.model_max_length == 16


@pytest.mark.parametrize(
    "tokenizer",
    [
        byte_tokenizer(),
        Tokenizer.train_bpe([CORPUS] * 2, 300, adds_bos=False),
        Tokenizer.train_bpe([CORPUS] * 2, 300, adds_bos=True),
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


def test_autotokenizer_gives_the_model_what_it_takes(tokenizers: Any) -> None:
    """Token types would be added to GPT-2's embeddings; and it can fill up a batch."""
    ours, theirs = tokenizers
    batch = theirs(["a", "caf"], padding=True)
    assert [*batch] == ["input_ids", "attention_mask"]
    lengths = [len(ours.encode_prompt(text)) for text in ("a", "caf")]
    assert [sum(mask) for mask in batch["attention_mask"]] == lengths
    assert len({*map(len, batch["input_ids"])}) == 1
    assert theirs.pad_token_id == ours.pad_token_id < len(theirs) == ours.vocab_size


def test_unk_fills_up_a_batch_where_it_is_not_eos() -> None:
    """A training by transformers leaves that token out of its targets, and EOS is one."""
    backend = llama_backend()
    assert Tokenizer(backend, 1, [2]).to_config(40)["pad_token"] == "<unk>"
    assert byte_tokenizer().to_config(40)["pad_token"] == "<|endoftext|>"


# Every architecture, and for llama its choices; transformers finds microgpt in the folder.
THEIRS = [
    pytest.param({"model_type": "gpt2"}, id="gpt2"),
    pytest.param({"model_type": "microgpt"}, id="microgpt"),
    pytest.param({"model_type": "llama", "n_inner": 12}, id="llama"),
    pytest.param(
        {"model_type": "llama", "n_kv_head": 1, "tie_word_embeddings": False},
        id="llama-shared-untied",
    ),
    pytest.param({"model_type": "llama", "rope_theta": 100.0}, id="llama-theta"),
    pytest.param(
        {
            "model_type": "llama",
            "head_dim": 6,
            "rope_scaling": Llama3Scaling(8.0, 1.0, 4.0, 16),
            "attention_bias": True,
            "mlp_bias": True,
        },
        id="llama3.1-own-heads-bias",
    ),
    pytest.param({"model_type": "llama", "rope_scaling": LinearScaling(4.0)}, id="llama-linear"),
    pytest.param({"model_type": "mistral", "head_dim": 6}, id="mistral"),
    pytest.param({"model_type": "qwen2", "n_kv_head": 1}, id="qwen2"),
    pytest.param({"model_type": "qwen3", "head_dim": 6, "attention_bias": True}, id="qwen3"),
    pytest.param(
        {"model_type": "gpt_neo", "n_inner": 12, "attention_windows": (0, 3)}, id="gpt_neo"
    ),
    pytest.param({"model_type": "gpt_neo"}, id="gpt_neo-global"),
    pytest.param(
        {"model_type": "gpt_neox", "partial_rotary_factor": 0.5, "rope_theta": 100.0},
        id="gpt_neox-tied",
    ),
    pytest.param(
        {
            "model_type": "gpt_neox",
            "n_inner": 12,
            "tie_word_embeddings": False,
            "use_parallel_residual": False,
        },
        id="gpt_neox-serial",
    ),
]


NAMES = {
    "gpt2": "GPT2LMHeadModel",
    "gpt_neo": "GPTNeoForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
    "llama": "LlamaForCausalLM",
    "microgpt": "MicroGPTForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


@needs_torch
@pytest.mark.parametrize("changes", THEIRS)
def test_automodel_computes_the_same_logits(tmp_path: Path, changes: dict[str, Any]) -> None:
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
        loss = engine.loss(Batch.from_sequences([TOKENS]))
        assert loss == pytest.approx(output.loss.item(), abs=1e-5)
    assert output.logits.std() > 0.1, "not all the same anyway"


@needs_torch
@pytest.mark.parametrize("changes", [one for one in THEIRS if one.id != "microgpt"])
def test_automodel_computes_the_same_loss_at_the_same_positions(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    import torch

    model = random_folder(tmp_path / "model", changes)
    tokens, positions = torch.tensor([TOKENS]), [0, 1, 2, 4, 5, 7, 8, 11, 14, 15]
    with torch.no_grad():
        theirs = automodel(tmp_path / "model").eval()(
            tokens,
            attention_mask=torch.ones_like(tokens),  # else a gap would begin another sequence
            position_ids=torch.tensor([positions]),
            labels=tokens,
        )
    batch = Batch.from_labels([TOKENS], [TOKENS], positions=[positions])
    for name in {"torch", "numpy", "numba"} & {*installed_engines()}:
        engine = open_engine(name, model.config, model.weights)
        assert engine.loss(batch) == pytest.approx(theirs.loss.item(), abs=1e-5)
        assert engine.loss(batch) != pytest.approx(
            engine.loss(Batch.from_sequences([TOKENS])), abs=1e-4
        )


@needs_torch
@pytest.mark.parametrize("changes", [one for one in THEIRS if one.id != "microgpt"])
def test_automodel_computes_the_same_hidden_states(tmp_path: Path, changes: dict[str, Any]) -> None:
    import torch

    model = random_folder(tmp_path / "model", changes)
    with torch.no_grad():
        theirs = automodel(tmp_path / "model").eval()
        states = theirs(torch.tensor([TOKENS]), output_hidden_states=True).hidden_states[-1][0]
    for name in ("torch", "numpy"):
        engine = open_engine(name, model.config, model.weights)
        ours = torch.tensor(engine.hidden_states(TOKENS))
        torch.testing.assert_close(ours, states, rtol=0, atol=1e-5)


@needs_torch
@pytest.mark.parametrize("changes", THEIRS)
def test_automodel_accepts_the_output_of_autotokenizer(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """There are no token types among its outputs: GPT-2 would add their embeddings."""
    import torch

    model = random_folder(tmp_path / "model", changes)
    theirs = automodel(tmp_path / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        tmp_path / "model", trust_remote_code=False
    )
    prompt = tokenizer("caf", return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**prompt).logits[0]
    engine = open_engine("numpy", model.config, model.weights)
    expected = torch.tensor(engine.logits(model.tokenizer.encode_prompt("caf")))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    assert theirs.generate(**prompt, max_new_tokens=1).shape[1] == 1 + prompt.input_ids.shape[1]


@needs_torch
@pytest.mark.parametrize("changes", THEIRS)
def test_automodel_generates_the_same_text(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Greedy decoding with both caches."""
    import torch

    model = random_folder(tmp_path / "model", changes)
    theirs = automodel(tmp_path / "model").eval()
    prompt = model.tokenizer.encode_prompt("caf")
    output = theirs.generate(
        torch.tensor([prompt]), max_new_tokens=10, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    engine = open_engine("numpy", model.config, model.weights)
    cache, tokens, unread = engine.new_kv_cache(), list(prompt), prompt
    for _ in range(10):
        logits = [float(z) for z in engine.next_logits(unread, cache)]
        unread = [logits.index(max(logits))]
        tokens += unread
    assert output[0].tolist() == tokens


@needs_torch
@pytest.mark.parametrize("changes", THEIRS)
def test_automodel_generates_the_same_text_in_a_filled_up_batch(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = random_folder(tmp_path / "model", changes)
    theirs = automodel(tmp_path / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        tmp_path / "model", trust_remote_code=False, padding_side="left"
    )
    texts = ["caf", "a", "The line."]
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": -1}
    together = theirs.generate(**tokenizer(texts, padding=True, return_tensors="pt"), **options)
    for text, batched in zip(texts, together):
        alone = theirs.generate(**tokenizer(text, return_tensors="pt"), **options)
        assert batched[-5:].tolist() == alone[0][-5:].tolist()
    assert model.tokenizer.pad_token_id == theirs.generation_config.pad_token_id
    assert getattr(theirs.config, "pad_token_id", None) is None, (
        "or its embedding would not be trained"
    )


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_transformers_samples_from_all_tokens(tmp_path: Path, temperature: float) -> None:
    """Unless the file says otherwise, from the 50 likeliest."""
    create_folder(tmp_path / "model", replace(small_model(), temperature=temperature), "")
    found = transformers.GenerationConfig.from_pretrained(tmp_path / "model")
    if temperature:
        assert (found.do_sample, found.temperature) == (True, temperature)
        assert (found.top_k, found.top_p) == (0, 1.0)
    else:
        assert found.do_sample is False


@needs_torch
@pytest.mark.parametrize("n_inner", [None, 32])
def test_gpt2_saved_by_transformers_can_be_loaded(tmp_path: Path, n_inner: int | None) -> None:
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
def test_llama_saved_by_transformers_can_be_loaded(tmp_path: Path) -> None:
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
    assert (model.config.n_kv_head, model.config.n_inner, model.config.tie_word_embeddings) == (
        2,
        24,
        False,
    )
    for name in ("torch", "numpy", "lists", "scalar"):
        logits = torch.tensor(open_engine(name, model.config, model.weights).logits(TOKENS))
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5, check_dtype=False)
