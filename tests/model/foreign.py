"""Small random folders as transformers writes them, and as it opens them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.trainers import BpeTrainer

from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.tokenizer import END_OF_TEXT
from tests.engines.helpers import LLAMAS, random_weights
from tests.model.helpers import byte_tokenizer, small_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")


def gpt2_backend() -> Backend:
    """Make a tokenizer like GPT-2's: byte-level BPE without BOS."""
    return Backend.from_str(byte_tokenizer().to_json())


def llama_backend() -> Backend:
    """Make a tokenizer like Llama 2's: words begin with ▁, byte tokens, BOS in front."""
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
    """Make a tokenizer like Llama 3's: byte-level BPE, its own regex, two EOS tokens."""
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
    """Let transformers save a small random model; return the model, in float32."""
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
        usual = {"n_positions": 40, "n_embd": 16, "n_head": 4, "n_layer": 2}
        config = transformers.GPT2Config(**usual | common | sizes)
        theirs = transformers.GPT2LMHeadModel(config)
    else:
        usual = {"max_position_embeddings": 40, "hidden_size": 16, "intermediate_size": 24}
        usual |= {"num_attention_heads": 4, "num_hidden_layers": 2}
        usual |= {"num_key_value_heads": 4} if kind in LLAMAS else {}
        config = transformers.AutoConfig.for_model(kind, **usual | common | sizes)
        theirs = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases and gains too
            parameter += 0.1 * torch.randn_like(parameter)
    written = theirs.base_model if bare else theirs
    written.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shards)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=ends[0]
    ).save_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


GPT2: dict[str, Any] = {
    "kind": "gpt2",
    "backend": gpt2_backend(),
    "bos": END_OF_TEXT,
    "eos": END_OF_TEXT,
}
GPT_NEO: dict[str, Any] = GPT2 | {
    "kind": "gpt_neo",
    "attention_types": [[["global", "local"], 1], [["local"], 1]],
    "num_hidden_layers": 3,
    "window_size": 4,
}
LLAMA3: dict[str, Any] = {
    "backend": llama3_backend(),
    "bos": "<|begin_of_text|>",
    "eos": ["<|end_of_text|>", "<|eot_id|>"],
}

ROPE_LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
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
    "llama-one-head": {"num_key_value_heads": 1, "rope_theta": 500.0},
    "llama-linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "llama-own-heads": {"head_dim": 6, "attention_bias": True, "mlp_bias": True},
    "llama3": LLAMA3,
    "llama3.1": LLAMA3 | {"rope_scaling": ROPE_LLAMA3, "rope_theta": 500.0},
    "llama3-tied-bf16": LLAMA3 | {"tie_word_embeddings": True, "dtype": "bfloat16"},
    "mistral": {"kind": "mistral", "head_dim": 6, "num_key_value_heads": 2},
    "mistral-no-window": {"kind": "mistral", "sliding_window": None},
    "qwen2": GPT2 | {"kind": "qwen2", "tie_word_embeddings": True},
    "qwen2-window": GPT2 | {"kind": "qwen2", "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": GPT2 | {"kind": "qwen3", "head_dim": 6, "num_key_value_heads": 2},
    "gpt_neo": GPT_NEO,
    "gpt_neo-bf16-shards": GPT_NEO | {"dtype": "bfloat16", "shards": "5KB"},
    "gpt_neo-bare": GPT_NEO | {"bare": True, "intermediate_size": None},
    "gpt_neox": GPT2 | {"kind": "gpt_neox", "rotary_pct": 0.5},
    "gpt_neox-whole-heads": GPT2 | {"kind": "gpt_neox", "rotary_pct": 1.0, "dtype": "float16"},
    "gpt_neox-serial": GPT2
    | {"kind": "gpt_neox", "rotary_pct": 0.5, "use_parallel_residual": False, "shards": "5KB"},
    "gpt_neox-tied": GPT2 | {"kind": "gpt_neox", "rotary_pct": 0.5, "tie_word_embeddings": True},
    "qwen3-bias": GPT2 | {"kind": "qwen3", "head_dim": 4, "attention_bias": True},
}

TEMPLATES = {
    "with-bos": "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + '] ' + m.content|trim }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}",
    "without-bos": "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n' }}{% endfor %}",
}


def change(path: Path, **changes: Any) -> None:
    whole = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(whole | changes), encoding="utf-8")


Arrays = dict[str, Any]


def rewrite(folder: Path, edit: Callable[[Arrays], Arrays]) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(safetensors.numpy.save(edit(safetensors.numpy.load(path.read_bytes()))))


def automodel(folder: Path, **settings: Any) -> Any:
    """Load the model in a folder with transformers and the folder's own code."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, **settings
    )


def random_folder(folder: Path, changes: dict[str, Any]) -> Model:
    """Write a model whose weights are all different."""
    model = small_model()
    model = replace(model, config=replace(model.config, **changes))
    model = Model(model.config, random_weights(model.config, seed=3), model.tokenizer)
    create_folder(folder, model, "")
    return load_model(folder)
