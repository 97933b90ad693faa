"""Buffers in old folders are ignored; what cannot be computed is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anexa.errors import AnexaError
from anexa.model.loading import load_model
from tests.engines.helpers import needs_torch
from tests.model.foreign import GPT2, Arrays, change, rewrite, write_folder
from tests.model.helpers import CORPUS

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    write_folder(tmp_path / "gpt2", **GPT2)
    return tmp_path / "gpt2"


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    write_folder(tmp_path / "llama", tie_word_embeddings=True)
    return tmp_path / "llama"


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_buffers_in_old_gpt2_files_are_ignored(gpt2: Path, prefix: str) -> None:
    weights = load_model(gpt2).weights
    mask = np.tril(np.ones((1, 1, 40, 40)))
    buffers: Arrays = {f"{prefix}h.{i}.attn.bias": mask.astype(np.uint8) for i in range(2)}
    buffers |= {f"{prefix}h.{i}.attn.masked_bias": np.float32(-1e4) for i in range(2)}

    def edit(arrays: Arrays) -> Arrays:
        short = {prefix + name.removeprefix("transformer."): a for name, a in arrays.items()}
        return short | {name: np.asarray(array) for name, array in buffers.items()}

    rewrite(gpt2, edit)
    assert load_model(gpt2).weights == weights


def test_buffers_in_old_llama_files_are_ignored(llama: Path) -> None:
    weights = load_model(llama).weights
    buffer = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.ones(2) for i in range(2)}
    rewrite(llama, lambda arrays: arrays | buffer)
    assert load_model(llama).weights == weights


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": None, "rope_theta": 123.0},
        {"rope_parameters": None, "rope_scaling": None, "rope_theta": 123},
        {"rope_parameters": None, "rope_scaling": {"type": "default"}, "rope_theta": 123.0},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 123.0}},
        {"rope_parameters": {"rope_theta": 123}, "rope_theta": 999.0},
    ],
)
def test_rope_theta_is_read_from_every_known_key(llama: Path, changes: dict[str, Any]) -> None:
    change(llama / "config.json", **changes)
    assert load_model(llama).config.rope_theta == 123.0
    theirs = transformers.AutoConfig.from_pretrained(llama)
    rope = getattr(theirs, "rope_parameters", None) or {"rope_theta": theirs.rope_theta}
    assert rope["rope_theta"] == 123.0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_stored_tied_head_must_equal_the_embeddings(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(name)
    model = load_model(folder)
    table = {"gpt2": "transformer.wte.weight", "llama": "model.embed_tokens.weight"}[name]
    rewrite(folder, lambda arrays: arrays | {"lm_head.weight": arrays[table]})
    assert load_model(folder).weights == model.weights
    rewrite(folder, lambda arrays: arrays | {"lm_head.weight": arrays[table] + 1e-6})
    with pytest.raises(AnexaError, match=r"model\.safetensors has an untied head.*tie_word"):
        load_model(folder)


def test_weight_under_two_names_is_refused(gpt2: Path) -> None:
    rewrite(gpt2, lambda arrays: arrays | {"ln_f.bias": arrays["transformer.ln_f.bias"]})
    weight = r"(transformer\.)?ln_f\.bias"
    with pytest.raises(AnexaError, match=f"has the weight {weight} a second time"):
        load_model(gpt2)


def test_special_tokens_are_read_from_tokenizer_config(llama: Path) -> None:
    (llama / "generation_config.json").unlink()
    change(llama / "config.json", bos_token_id=None, eos_token_id=None)
    tokenizer = load_model(llama).tokenizer
    assert (tokenizer.bos_eos, tokenizer.eos_token_ids) == (("<s>", "</s>"), (2,))
    change(llama / "tokenizer_config.json", eos_token={"content": "<unk>"}, bos_token=None)
    tokenizer = load_model(llama).tokenizer
    assert (tokenizer.bos_eos, tokenizer.bos_token_id) == (("", "<unk>"), None)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"max_new_tokens": True}, "max_new_tokens True: it must be a whole number above 0"),
        ({"max_new_tokens": 0}, "max_new_tokens 0: it must be a whole number above 0"),
        ({"temperature": True}, "the temperature True: it must be a number of at least 0"),
        ({"do_sample": 1}, "the do_sample 1: it must be true or false"),
        ({"do_sample": "false"}, "the do_sample 'false': it must be true or false"),
    ],
)
def test_value_of_another_type_in_generation_config_is_refused(
    llama: Path, described: dict[str, Any], message: str
) -> None:
    (llama / "generation_config.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(AnexaError, match=rf"generation_config\.json has {message}"):
        load_model(llama)


@pytest.mark.parametrize(
    ("described", "temperature"),
    [
        ({}, 0.0),
        ({"temperature": None, "max_new_tokens": None}, 0.0),
        ({"temperature": 0.5}, 0.0),
        ({"do_sample": True}, 1.0),
        ({"do_sample": True, "temperature": None}, 1.0),
        ({"do_sample": True, "temperature": 0.5}, 0.5),
        ({"do_sample": False, "temperature": 0.5}, 0.0),
    ],
)
def test_temperature_is_read_from_generation_config(
    llama: Path, described: dict[str, Any], temperature: float
) -> None:
    (llama / "generation_config.json").write_text(json.dumps(described), encoding="utf-8")
    assert load_model(llama).temperature == temperature


def test_padding_and_truncation_of_a_tokenizer_are_ignored(llama: Path) -> None:
    expected = load_model(llama).tokenizer.encode_prompt(CORPUS)
    change(
        llama / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 10**12},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<unk>",
        },
    )
    assert load_model(llama).tokenizer.encode_prompt(CORPUS) == expected


# ------------------------------------------------------------------ what is refused


CONFIGS = [
    ({"model_type": "mixtral"}, "model_type is 'mixtral', and only microgpt, gpt2, llama, .* and"),
    ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "scaled, and lack low_freq_fac"),
    ({"rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, "scaled by 'dynamic', which"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "scaled by 'yarn', which is not"),
    ({"partial_rotary_factor": 0.5}, "a part of each head"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "a part of each head"),
    ({"hidden_act": "gelu"}, "hidden_act is 'gelu': only 'silu'"),
    ({"head_dim": 5}, r"heads of an even width \(head_dim\), not of 5"),
    ({"quantization_config": {"quant_method": "gptq"}}, "quantized weights"),
    ({"rope_parameters": {"rope_theta": 10**400}}, "rope_theta is 1000.*must be a number"),
    ({"vocab_size": 2**64}, "vocab_size is 18446744073709551616, larger than in any model"),
    ({"eos_token_id": "2"}, "has the eos_token_id '2': it must be a whole number, or a list"),
    ({"eos_token_id": 1.5}, "has the eos_token_id 1.5: it must be a whole number, or a list"),
    ({"eos_token_id": [1, None]}, r"has the eos_token_id \[1, None\]"),
]


@pytest.mark.parametrize(("changes", "message"), CONFIGS)
def test_unsupported_llama_folder_is_refused(
    llama: Path, changes: dict[str, Any], message: str
) -> None:
    (llama / "generation_config.json").unlink()
    change(llama / "config.json", **changes)
    with pytest.raises(AnexaError, match=rf"config\.json.*{message}") as caught:
        load_model(llama)
    assert len(str(caught.value)) < 500 + len(str(llama))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "gelu"}, "activation_function is 'gelu': only 'gelu_new'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"n_inner": 17}, "n_inner is 17"),
    ],
)
def test_unsupported_gpt2_folder_is_refused(
    gpt2: Path, changes: dict[str, Any], message: str
) -> None:
    change(gpt2 / "config.json", **changes)
    with pytest.raises(AnexaError, match=rf"config\.json.*{message}"):
        load_model(gpt2)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".hidden.safetensors",
        "a/b.safetensors",
        "",
        "x.bin",
        "c:\\x.safetensors",
        "a\0.safetensors",
        "\x1b[31m.safetensors",
        "é.safetensors",
        f"{'x' * 300}.safetensors",
        None,
        3,
    ],
)
def test_shard_outside_of_the_folder_is_refused(llama: Path, name: Any) -> None:
    places = {"weight_map": {"model.norm.weight": name}}
    change(llama / "model.safetensors.index.json", **places)
    assert load_model(llama), "not looked at where there is model.safetensors"
    (llama / "model.safetensors").unlink()
    with pytest.raises(AnexaError, match=r"names the file .*: only a safetensors file beside it"):
        load_model(llama)


@pytest.mark.parametrize("places", [None, {}, [], 3, {"weight_map": {}}, {"weight_map": ["a"]}])
def test_damaged_index_is_refused(llama: Path, places: Any) -> None:
    (llama / "model.safetensors").unlink()
    (llama / "model.safetensors.index.json").write_text(json.dumps(places), encoding="utf-8")
    with pytest.raises(AnexaError, match=r"model\.safetensors\.index\.json is damaged"):
        load_model(llama)


@needs_torch
def test_missing_or_repeated_shard_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, shards="5KB")
    first, second, *_ = sorted(tmp_path.glob("model-*.safetensors"))
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(AnexaError, match=f"names the file {second.name}, which is not there"):
        load_model(tmp_path)
    shutil.copy(first, second)
    with pytest.raises(AnexaError, match=f"{second.name} has the weight .* a second time"):
        load_model(tmp_path)
    second.write_bytes(content[:-1])
    with pytest.raises(AnexaError, match=f"{second.name} is damaged"):
        load_model(tmp_path)


def test_pickled_weights_are_refused(llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    with pytest.raises(AnexaError, match=r"as pytorch_model\.bin, .*save it again, as safetens"):
        load_model(llama)


def test_folder_without_tokenizer_json_is_refused(llama: Path) -> None:
    (llama / "tokenizer.json").unlink()
    with pytest.raises(AnexaError, match=r"has no tokenizer\.json: open its tokenizer with"):
        load_model(llama)


def test_llama_without_its_untied_head_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_folder(tmp_path, bare=True)
    with pytest.raises(AnexaError, match=r"model\.safetensors lacks lm_head\.weight"):
        load_model(tmp_path)


TOKENIZERS = [
    ({"normalizer": None, "model": {"type": "Unigram", "unk_id": 0, "vocab": []}}, "'Unigram'"),
    ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "Precompiled"),
    (
        {
            "normalizer": {
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}]
                * 40,
            }
        },
        "a normalizer of 41 steps that may make a text too long",
    ),
    (
        {
            "decoder": {
                "type": "Sequence",
                "decoders": [{"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 5000}],
            }
        },
        "a decoder of 2 steps",
    ),
    (
        {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 100,
                "pair": [],
                "special_tokens": {},
            }
        },
        "writes a text 100 times",
    ),
]


@pytest.mark.parametrize(("changes", "message"), TOKENIZERS)
def test_unsupported_tokenizer_is_refused(
    llama: Path, changes: dict[str, Any], message: str
) -> None:
    change(llama / "tokenizer.json", **changes)
    with pytest.raises(AnexaError, match=rf"tokenizer\.json .*{message}"):
        load_model(llama)


def test_panic_of_tokenizers_becomes_an_error(
    llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`tokenizers` gives up a regex that backtracks forever, with a panic of Rust."""
    change(
        llama / "tokenizer.json",
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": "(a+)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
    )
    tokenizer = load_model(llama).tokenizer
    for _ in range(2):
        with pytest.raises(AnexaError, match=r"tokenizer\.json is damaged .*retry-limit"):
            tokenizer.encode("a" * 40 + "!")
    assert "panicked" in capfd.readouterr().err, "which says so itself, and cannot be kept from it"
    assert tokenizer.decode(tokenizer.encode("b")) == "b"


@needs_torch
def test_files_of_a_folder_may_be_links(tmp_path: Path) -> None:
    """The cache of the Hugging Face Hub consists of links."""
    write_folder(tmp_path / "blobs", shards="5KB")
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert load_model(tmp_path / "snapshot").weights == load_model(tmp_path / "blobs").weights
