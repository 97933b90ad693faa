"""Adapters that `peft` wrote: merged on loading, they compute what `peft` computes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from anexa.engines import open_engine
from anexa.errors import AnexaError
from anexa.hub.export import read_model_and_card, write_export
from anexa.model.folder import ModelFolder
from anexa.model.loading import load_model, open_model
from anexa.training import build_trainer
from tests.model.foreign import GPT2, GPT_NEO, LLAMA3, write_folder
from tests.training.runs import finish, settings

pytest.importorskip("torch")
peft = pytest.importorskip("peft")
import torch  # noqa: E402 (optional)
from transformers import AutoModelForCausalLM  # noqa: E402

pytestmark = pytest.mark.integration

TOKENS = [3, 1, 5, 2, 6, 4]
FOLDERS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "llama": LLAMA3 | {"num_key_value_heads": 2},
    "qwen3": LLAMA3 | {"kind": "qwen3", "num_key_value_heads": 2, "head_dim": 6},
    "gpt_neo": GPT_NEO,
    "gpt_neox": GPT2 | {"kind": "gpt_neox", "num_attention_heads": 2},
}


def write_adapter(
    base: Path, out: Path, *, embeddings: bool = False, **options: Any
) -> list[list[float]]:
    """Let peft save a random adapter of a model, and return the logits with it."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    given = {"r": 3, "lora_alpha": 7, "target_modules": "all-linear"} | options
    adapted = peft.get_peft_model(model, peft.LoraConfig(**given)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
        adapted.save_pretrained(out, save_embedding_layers=embeddings)
        logits: list[list[float]] = adapted(torch.tensor([TOKENS])).logits[0].tolist()
    return logits


def assert_computes(folder: Path, logits: list[list[float]]) -> None:
    model = load_model(folder)
    ours = open_engine("numpy", model.config, model.weights).logits(TOKENS)
    for row, expected in zip(ours, logits):
        assert list(row) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "base", **GPT2)
    return tmp_path / "base"


@pytest.fixture
def adapter(base: Path) -> Path:
    write_adapter(base, base.parent / "adapter")
    return base.parent / "adapter"


def change(adapter: Path, **settings: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | settings), "utf-8")


@pytest.mark.parametrize("name", FOLDERS)
def test_adapted_model_computes_the_logits_of_peft(name: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", **FOLDERS[name])
    logits = write_adapter(tmp_path / "base", tmp_path / "adapter")
    assert_computes(tmp_path / "adapter", logits)
    plain = load_model(tmp_path / "base")
    with pytest.raises(AssertionError):
        assert open_engine("numpy", plain.config, plain.weights).logits(TOKENS)[0] == pytest.approx(
            logits[0], abs=0.1
        )


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"target_modules": ["c_attn", "c_fc"], "rank_pattern": {"h.0.attn.c_attn": 2}},
        {"alpha_pattern": {"c_fc": 1, "attn.c_proj": 9}, "rank_pattern": {"c_proj": 5}},
        {"target_modules": ["c_attn"], "layers_to_transform": [1], "lora_dropout": 0.5},
        {"target_modules": r".*\.1\..*c_proj", "exclude_modules": ["attn.c_proj"]},
        {"init_lora_weights": "gaussian", "fan_in_fan_out": True, "task_type": "CAUSAL_LM"},
    ],
)
def test_options_of_peft_are_honored(base: Path, options: dict[str, Any]) -> None:
    logits = write_adapter(base, base.parent / "adapter", **options)
    assert_computes(base.parent / "adapter", logits)


def test_untied_head_may_have_an_adapter(tmp_path: Path) -> None:
    write_folder(tmp_path / "base", **LLAMA3, tie_word_embeddings=False)
    options: dict[str, Any] = {"target_modules": ["lm_head", "q_proj"]}
    logits = write_adapter(tmp_path / "base", tmp_path / "adapter", **options)
    assert_computes(tmp_path / "adapter", logits)
    write_adapter(tmp_path / "base", tmp_path / "adapter", embeddings=True, **options)
    with pytest.raises(AnexaError, match=r"lm_head\.base_layer\.weight is not of the matrices"):
        load_model(tmp_path / "adapter")


def test_base_model_is_found_by_its_path_beside_and_in_the_cache_of_the_hub(
    base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = write_adapter(base, adapter)
    change(adapter, base_model_name_or_path="ada/base")  # beside: hf download --local-dir base
    assert_computes(adapter, logits)
    snapshots = base.parent / "cache" / "hub" / "models--ada--base"
    (snapshots / "refs").mkdir(parents=True)
    (snapshots / "refs" / "main").write_text("0123abc", "ascii")
    (snapshots / "snapshots").mkdir()
    base.rename(snapshots / "snapshots" / "0123abc")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(base.parent / "nothing"))
    sentence = "belongs to the model ada/base, which is not found: hf download ada/base --local-dir"
    with pytest.raises(AnexaError, match=sentence):
        load_model(adapter)
    monkeypatch.setenv("HF_HOME", str(base.parent / "cache"))
    assert_computes(adapter, logits)
    change(adapter, base_model_name_or_path=str(base.parent / "else"))
    with pytest.raises(AnexaError, match="not found: put the folder of that model beside this one"):
        load_model(adapter)


def test_adapter_beside_weights_is_added_to_them_as_in_transformers(
    base: Path, adapter: Path
) -> None:
    logits = write_adapter(base, adapter)
    shutil.copytree(base, adapter, dirs_exist_ok=True)
    change(adapter, base_model_name_or_path="somewhere/else")
    theirs = AutoModelForCausalLM.from_pretrained(adapter)
    with torch.no_grad():
        both = theirs(torch.tensor([TOKENS])).logits[0].tolist()
    assert both[0] == pytest.approx(logits[0], abs=1e-4)
    assert_computes(adapter, logits)
    with pytest.raises(AnexaError, match="has an adapter beside its weights"):  # published alone
        _ = ModelFolder(adapter).weight_files


def test_tokenizer_and_template_are_those_of_the_adapter_or_else_of_the_base(
    base: Path, adapter: Path
) -> None:
    (base / "chat_template.jinja").write_text("{{ messages[0].content }}", "utf-8")
    assert load_model(adapter).chat_template == "{{ messages[0].content }}"
    assert load_model(adapter).tokenizer.to_json() == load_model(base).tokenizer.to_json()
    (adapter / "chat_template.jinja").write_text("{{ messages[1].content }}", "utf-8")
    assert load_model(adapter).chat_template == "{{ messages[1].content }}"
    shutil.copy(base / "tokenizer.json", adapter)
    (base / "tokenizer.json").unlink()
    assert load_model(adapter).tokenizer.vocab_size
    assert open_model(adapter).card == (adapter / "README.md").read_text("utf-8")


def test_adapter_can_be_continued_and_exported(base: Path, adapter: Path) -> None:
    logits = write_adapter(base, adapter)
    text = base.parent / "text.txt"
    text.write_text("The cat sat on the mat. " * 40, encoding="utf-8")
    write_export(Path("merged"), "folder", *read_model_and_card(adapter), name="merged")
    assert_computes(Path("merged"), logits)
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained("merged")(torch.tensor([TOKENS])).logits[0]
    assert again[0].tolist() == pytest.approx(logits[0], abs=1e-4)
    config = settings(text).replace(from_=str(adapter), lora=2, steps=1, engine="numpy")
    run = finish(build_trainer(config, Path("out")))
    assert run.base is not None
    assert run.base.name == "adapter"
    assert load_model(Path("out")).config == load_model(base).config


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"peft_type": "IA3"}, "its peft_type is 'IA3', and only LORA is supported"),
        ({"task_type": "SEQ_CLS"}, "its task_type is 'SEQ_CLS', which Anexa does not support"),
        ({"use_dora": True}, "its use_dora is True"),
        ({"bias": "all"}, "its bias is 'all'"),
        ({"lora_bias": True}, "its lora_bias is True"),
        ({"modules_to_save": ["wte"]}, r"its modules_to_save is \['wte'\]"),
        ({"init_lora_weights": "pissa"}, "its init_lora_weights is 'pissa'"),
        ({"layer_replication": [[0, 1]]}, "its layer_replication is"),
        ({"an_option_of_tomorrow": 3}, "its an_option_of_tomorrow is 3"),
        ({"r": 0}, "its r or lora_alpha is missing or not a number above 0"),
        ({"lora_alpha": None}, "its r or lora_alpha is missing"),
        ({"rank_pattern": {"^a.*": 2}}, "only numbers by names of layers are supported"),
        ({"alpha_pattern": {"c_fc": "2"}}, "only numbers by names of layers are supported"),
        ({"r": 2}, r"its A and B of transformer\.h\.0\.attn\.c_attn are 3 x 16 and 48 x 3"),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(
    adapter: Path, wrong: dict[str, Any], sentence: str
) -> None:
    change(adapter, **wrong)
    with pytest.raises(AnexaError, match=sentence) as caught:
        load_model(adapter)
    assert "merge_and_unload" in str(caught.value)


def test_damaged_adapters_are_refused(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = safetensors.numpy.load_file(path)
    layer = "base_model.model.transformer.h.0.mlp.c_fc"

    def refused(changed: dict[str, Any], sentence: str) -> None:
        safetensors.numpy.save_file(changed, path)
        with pytest.raises(AnexaError, match=sentence):
            load_model(adapter)

    lone = {name: weight for name, weight in weights.items() if name != f"{layer}.lora_B.weight"}
    refused(lone, "no matrix of its own for")
    lone = {name: weight for name, weight in weights.items() if name != f"{layer}.lora_A.weight"}
    refused(lone, "do not come in pairs")
    refused({}, "do not come in pairs")
    more = {f"{layer}.lora_magnitude_vector": weights[f"{layer}.lora_A.weight"]}
    refused(weights | more, "lora_magnitude_vector is not of the matrices A and B")
    for other in ("lm_head", "transformer.wte", "transformer.h.9.mlp.c_fc", "transformer.ln_f"):
        pair = {
            f"base_model.model.{other}.lora_{part}.weight": weights[f"{layer}.lora_{part}.weight"]
            for part in "AB"
        }
        refused(weights | pair, "no matrix of its own for|its A and B of transformer.ln_f are")
    nameless = {"base_model.model.lora_A.weight": weights[f"{layer}.lora_A.weight"]}
    refused(weights | nameless, "no matrix of its own for base_model.model.lora_A.weight")
    path.write_bytes(b"\0\1\2")
    with pytest.raises(AnexaError, match="damaged or not a safetensors file"):
        load_model(adapter)
    path.unlink()
    with pytest.raises(AnexaError, match=re.escape("no adapter_model.safetensors")):
        load_model(adapter)


@pytest.mark.parametrize("name", ["a" * 5000, "../..", "/", "a\0b", "", "ada/\nbase", "🦙" * 200])
def test_base_models_with_strange_names_are_not_found(adapter: Path, name: str) -> None:
    change(adapter, base_model_name_or_path=name)
    with pytest.raises(AnexaError, match="which is not found") as caught:
        load_model(adapter)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"peft_type": "LORA"}', "{}", "\0"])
def test_damaged_settings_are_refused(adapter: Path, text: str) -> None:
    (adapter / "adapter_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(AnexaError):
        load_model(adapter)
