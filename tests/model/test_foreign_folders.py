"""Folders that transformers wrote, with everything that its users choose, open and are the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.trainers import BpeTrainer

import anexa
from anexa.engines import open_engine
from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.generation.text import Prompt, Writing
from anexa.model.folder import create_folder, load_model
from anexa.model.tokenizer import BOUNDARY
from tests.engines.helpers import needs_torch
from tests.model.helpers import CORPUS, byte_tokenizer

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


# ------------------------------------------------------------------ folders to open


def gpt2_backend() -> Backend:
    """As GPT-2's: no symbol is put in front of a text."""
    return Backend.from_str(byte_tokenizer().to_json())


def llama_backend() -> Backend:
    """As Llama 2's: words begin with ▁, bytes have tokens of their own, BOS in front."""
    trainer = BpeTrainer(
        vocab_size=340,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    trained = Backend(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.train_from_iterator(["▁The▁2nd▁line.▁a▁b▁caf▁na"] * 3, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    backend = Backend(
        models.BPE(
            vocab=model["vocab"],
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    backend.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    return backend


def llama3_backend() -> Backend:
    """As Llama 3's: bytes, an expression of its own, and two symbols that end something."""
    backend = gpt2_backend()
    expression = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(expression), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in names])
    begin = names[0], backend.token_to_id(names[0])
    backend.post_processor = processors.TemplateProcessing(f"{names[0]} $A", None, [begin])
    return backend


def write_folder(
    folder: Path,
    kind: str = "llama",
    backend: Backend | None = None,
    bos: str = "<s>",
    eos: str | list[str] = "</s>",
    dtype: str = "float32",
    shards: str = "5GB",
    bare: bool = False,
    **sizes: Any,
) -> Any:
    """A small random folder as transformers writes it; their model, in float32."""
    import torch

    backend = backend or llama_backend()
    ends = [eos] if isinstance(eos, str) else eos
    ids = [backend.token_to_id(end) for end in ends]
    common = {
        "vocab_size": backend.get_vocab_size() + 7,  # filled up
        "initializer_range": 0.3,
        "bos_token_id": backend.token_to_id(bos),
        "eos_token_id": ids if len(ids) > 1 else ids[0],
    }
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            n_positions=40, n_embd=16, n_head=4, n_layer=2, **common | sizes
        )
        theirs = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(
            max_position_embeddings=40,
            hidden_size=16,
            intermediate_size=24,
            num_attention_heads=4,
            num_hidden_layers=2,
            **common | sizes,
        )
        theirs = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases and gains too
            parameter += 0.1 * torch.randn_like(parameter)
    written = theirs.base_model if bare else theirs
    written.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shards)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=ends[0]
    ).save_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


GPT2: dict[str, Any] = {"kind": "gpt2", "backend": gpt2_backend(), "bos": BOUNDARY, "eos": BOUNDARY}
LLAMA3: dict[str, Any] = {
    "backend": llama3_backend(),
    "bos": "<|begin_of_text|>",
    "eos": ["<|end_of_text|>", "<|eot_id|>"],
}

FOLDERS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt2-bare": GPT2 | {"bare": True},
    "gpt2-bf16": GPT2 | {"dtype": "bfloat16"},
    "gpt2-f16-shards": GPT2 | {"dtype": "float16", "shards": "5KB"},
    "gpt2-bare-shards": GPT2 | {"bare": True, "shards": "5KB"},
    "llama": {},
    "llama-tied": {"tie_word_embeddings": True},
    "llama-tied-bare": {"tie_word_embeddings": True, "bare": True},
    "llama-bf16-shards": {"dtype": "bfloat16", "shards": "5KB"},
    "llama-f16": {"dtype": "float16"},
    "llama-shared-heads": {"num_key_value_heads": 2},
    "llama-one-head": {"num_key_value_heads": 1, "rope_parameters": {"rope_theta": 500.0}},
    "llama3": LLAMA3,
    "llama3-tied-bf16": LLAMA3 | {"tie_word_embeddings": True, "dtype": "bfloat16"},
}


@pytest.fixture(scope="module", params=FOLDERS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder, and the model that transformers has written into it."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("foreign") / request.param
    return folder, write_folder(folder, **FOLDERS[request.param])


def greedy(model: LanguageModel, prompt: str, max_tokens: int) -> list[int]:
    """The likeliest tokens, up to the one that ends the text and with it."""
    tokenizer, engine = model.tokenizer, model.engine
    ids = tokenizer.encode_prompt(prompt)
    read = Prompt(tokenizer, engine.config.block_size, prompt)
    writing = Writing(tokenizer, read, max_tokens=max_tokens)
    cache, unread = engine.new_cache(), ids
    while not writing.finish_reason:
        unread = [int(np.argmax(engine.next_logits(unread, cache)))]
        ids = ids + unread
        writing.take(unread[0])
    return ids


# ------------------------------------------------------------------ the same as theirs


def test_logits_are_theirs(opened: Any) -> None:
    import torch

    folder, theirs = opened
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS])).logits[0]
    assert expected.std() > 0.1, "not all the same anyway"
    model = load_model(folder)
    assert {w.data.typecode for w in model.weights.values()} == {"f"}
    for name in ("numpy", "torch"):
        logits = torch.tensor(open_engine(name, model.config, model.weights).logits(TOKENS))
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@needs_torch
@pytest.mark.parametrize("name", ["gpt2-f16-shards", "llama-shared-heads"])
def test_logits_are_theirs_in_every_engine(tmp_path: Path, name: str) -> None:
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
def test_tokens_are_theirs(opened: Any, text: str) -> None:
    folder, _ = opened
    ours, theirs = load_model(folder).tokenizer, transformers.AutoTokenizer.from_pretrained(folder)
    ids = theirs(text).input_ids
    assert ours.encode_prompt(text) == (ids or [theirs.bos_token_id])
    assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids
    assert ours.decode(ids) == theirs.decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def test_greedy_text_is_theirs(opened: Any) -> None:
    """Until a token that ends it, whichever of several that is."""
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
def test_any_of_several_symbols_ends_a_text(tmp_path: Path) -> None:
    """Those of generation_config.json count before those of config.json."""
    import torch

    theirs = write_folder(tmp_path, **LLAMA3)
    model = anexa.load(tmp_path, engine="numpy")
    assert model.tokenizer.ends == tuple(theirs.config.eos_token_id)
    assert model.tokenizer.framing == ("<|begin_of_text|>", "<|end_of_text|>")
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
def test_text_as_it_comes_is_the_text(tmp_path: Path, name: str) -> None:
    """Llama's bytes and spaces too: the prompt and what follows it are what all ids are."""
    write_folder(tmp_path, **FOLDERS[name])
    model = anexa.load(tmp_path, engine="numpy")
    tokenizer, rng = model.tokenizer, np.random.default_rng(1)
    everything = [*range(model.engine.config.vocab_size)]
    assert tokenizer.vocab_size < len(everything), "it is filled up"
    for text in ("", "a b", "The 2nd"):
        for _ in range(50):
            ids = [int(i) for i in rng.choice(everything, 12) if i not in tokenizer.ends]
            read = Prompt(tokenizer, 40, text)
            writing = Writing(tokenizer, read, max_tokens=len(ids))
            pieces = [writing.take(token) for token in ids]
            assert writing.finish_reason == "length"
            assert tokenizer.decode(read.ids) + "".join(pieces) == tokenizer.decode(read.ids + ids)


@needs_torch
def test_what_is_written_again_is_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path / "theirs", **LLAMA3, dtype="bfloat16")
    model = load_model(tmp_path / "theirs")
    create_folder(tmp_path / "ours", model, "")
    again = load_model(tmp_path / "ours")
    assert (again.config, again.weights) == (model.config, model.weights)
    assert again.tokenizer.to_json() == model.tokenizer.to_json()
    assert (again.tokenizer.bos, again.tokenizer.ends) == (
        model.tokenizer.bos,
        model.tokenizer.ends,
    )
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert (theirs.bos_token, theirs.eos_token) == model.tokenizer.framing


# ------------------------------------------------------------------ conversations

TEMPLATES = {
    "with-bos": "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + '] ' + m.content|trim }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}",
    "without-bos": "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n' }}{% endfor %}",
}


@needs_torch
@pytest.mark.parametrize("place", ["tokenizer_config.json", "several", "chat_template.jinja"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "llama3"])
def test_conversations_are_theirs(tmp_path: Path, name: str, template: str, place: str) -> None:
    """BOS is there once if the template writes it, and else not at all."""
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
    expected = theirs.apply_chat_template(messages, add_generation_prompt=True).input_ids
    assert model.tokenizer.encode_prompt(model.prompt(messages)) == expected
    assert model.length(messages) == len(expected)
    assert model.chat(messages, max_tokens=3).tokens <= 3
    for mark in model.tokenizer.framing:
        with pytest.raises(AnexaError, match="marks who speaks"):
            model.prompt([{"role": "user", "content": f"a{mark}b"}])


# ------------------------------------------------------------------ what is in old folders


def change(path: Path, **changes: Any) -> None:
    whole = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(whole | changes), encoding="utf-8")


Arrays = dict[str, Any]


def rewrite(folder: Path, edit: Callable[[Arrays], Arrays]) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(safetensors.numpy.save(edit(safetensors.numpy.load(path.read_bytes()))))


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
def test_the_buffers_of_old_gpt2_folders_are_left_out(gpt2: Path, prefix: str) -> None:
    weights = load_model(gpt2).weights
    mask = np.tril(np.ones((1, 1, 40, 40)))
    buffers: Arrays = {f"{prefix}h.{i}.attn.bias": mask.astype(np.uint8) for i in range(2)}
    buffers |= {f"{prefix}h.{i}.attn.masked_bias": np.float32(-1e4) for i in range(2)}

    def edit(arrays: Arrays) -> Arrays:
        short = {prefix + name.removeprefix("transformer."): a for name, a in arrays.items()}
        return short | {name: np.asarray(array) for name, array in buffers.items()}

    rewrite(gpt2, edit)
    assert load_model(gpt2).weights == weights


def test_the_buffers_of_old_llama_folders_are_left_out(llama: Path) -> None:
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
def test_the_base_of_rotary_positions_wherever_it_stands(
    llama: Path, changes: dict[str, Any]
) -> None:
    change(llama / "config.json", **changes)
    assert load_model(llama).config.rope_theta == 123.0
    theirs = transformers.AutoConfig.from_pretrained(llama)
    assert theirs.rope_parameters["rope_theta"] == 123.0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_tied_head_that_is_there_once_more(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    model = load_model(folder)
    table = next(iter(model.weights))
    rewrite(folder, lambda arrays: arrays | {"lm_head.weight": arrays[table]})
    assert load_model(folder).weights == model.weights
    rewrite(folder, lambda arrays: arrays | {"lm_head.weight": arrays[table] + 1e-6})
    with pytest.raises(AnexaError, match=r"model\.safetensors has a head of its own.*tie_word"):
        load_model(folder)


def test_a_weight_by_two_names(gpt2: Path) -> None:
    rewrite(gpt2, lambda arrays: arrays | {"ln_f.bias": arrays["transformer.ln_f.bias"]})
    with pytest.raises(AnexaError, match=r"has the weight (transformer\.)?ln_f\.bias once more"):
        load_model(gpt2)


def test_symbols_by_tokenizer_config_alone(llama: Path) -> None:
    (llama / "generation_config.json").unlink()
    change(llama / "config.json", bos_token_id=None, eos_token_id=None)
    tokenizer = load_model(llama).tokenizer
    assert (tokenizer.framing, tokenizer.ends) == (("<s>", "</s>"), (2,))
    change(llama / "tokenizer_config.json", eos_token={"content": "<unk>"}, bos_token=None)
    tokenizer = load_model(llama).tokenizer
    assert (tokenizer.framing, tokenizer.bos) == (("", "<unk>"), None)


def test_a_tokenizer_that_fills_up_or_cuts_off_its_texts(llama: Path) -> None:
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
    ({"model_type": "mistral"}, "model type 'mistral': only microgpt, gpt2 and llama"),
    ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "scaled"),
    ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2}}, "scaled"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "scaled"),
    ({"partial_rotary_factor": 0.5}, "a part of each head"),
    ({"attention_bias": True}, "attention_bias is True"),
    ({"mlp_bias": True}, "mlp_bias is True"),
    ({"hidden_act": "gelu"}, "hidden_act is 'gelu': only 'silu'"),
    ({"head_dim": 8}, r"head_dim is 8: only 4 is supported, which is hidden_size / num_att"),
    ({"quantization_config": {"quant_method": "gptq"}}, "quantised weights"),
    ({"rope_parameters": {"rope_theta": 10**400}}, "rope_theta is 1000.*must be a number"),
    ({"vocab_size": 2**64}, "vocab_size is 18446744073709551616: no model is so large"),
    ({"eos_token_id": "2"}, "has the eos_token_id '2': it must be a number"),
    ({"eos_token_id": [1, None]}, r"has the eos_token_id \[1, None\]"),
]


@pytest.mark.parametrize(("changes", "message"), CONFIGS)
def test_a_llama_that_is_another_function(
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
        ({"activation_function": "gelu"}, "activation_function = 'gelu': only 'gelu_new'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        ({"scale_attn_weights": False}, "scale_attn_weights = False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ({"n_inner": 17}, "n_inner = 17"),
    ],
)
def test_a_gpt2_that_is_another_function(gpt2: Path, changes: dict[str, Any], message: str) -> None:
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
def test_a_shard_that_leads_out_of_the_folder(llama: Path, name: Any) -> None:
    places = {"weight_map": {"model.norm.weight": name}}
    change(llama / "model.safetensors.index.json", **places)
    assert load_model(llama), "not looked at where there is model.safetensors"
    (llama / "model.safetensors").unlink()
    with pytest.raises(AnexaError, match=r"names the file .*: only a safetensors file beside it"):
        load_model(llama)


@pytest.mark.parametrize("places", [None, {}, [], 3, {"weight_map": {}}, {"weight_map": ["a"]}])
def test_an_index_that_is_none(llama: Path, places: Any) -> None:
    (llama / "model.safetensors").unlink()
    (llama / "model.safetensors.index.json").write_text(json.dumps(places), encoding="utf-8")
    with pytest.raises(AnexaError, match=r"model\.safetensors\.index\.json is damaged"):
        load_model(llama)


@needs_torch
def test_a_shard_that_is_missing_or_there_twice(tmp_path: Path) -> None:
    write_folder(tmp_path, shards="5KB")
    first, second, *_ = sorted(tmp_path.glob("model-*.safetensors"))
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(AnexaError, match=f"names the file {second.name}, which is not there"):
        load_model(tmp_path)
    shutil.copy(first, second)
    with pytest.raises(AnexaError, match=f"{second.name} has the weight .* once more"):
        load_model(tmp_path)
    second.write_bytes(content[:-1])
    with pytest.raises(AnexaError, match=f"{second.name} is damaged"):
        load_model(tmp_path)


def test_weights_as_a_program(llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    with pytest.raises(AnexaError, match=r"as pytorch_model\.bin, .*write it again, as safetens"):
        load_model(llama)


def test_a_folder_without_a_tokenizer(llama: Path) -> None:
    (llama / "tokenizer.json").unlink()
    with pytest.raises(AnexaError, match=r"has no tokenizer\.json: have transformers open"):
        load_model(llama)


def test_a_llama_without_a_head(tmp_path: Path) -> None:
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
def test_a_tokenizer_that_is_refused(llama: Path, changes: dict[str, Any], message: str) -> None:
    change(llama / "tokenizer.json", **changes)
    with pytest.raises(AnexaError, match=rf"tokenizer\.json .*{message}"):
        load_model(llama)


def test_a_tokenizer_that_panics(llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An expression that goes back for ever is given up by `tokenizers`, with a panic of Rust."""
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
def test_the_files_of_a_folder_may_be_links(tmp_path: Path) -> None:
    """The cache of the Hugging Face Hub is made of them."""
    write_folder(tmp_path / "blobs", shards="5KB")
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert load_model(tmp_path / "snapshot").weights == load_model(tmp_path / "blobs").weights
