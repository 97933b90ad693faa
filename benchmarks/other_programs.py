"""Compatibility check: opens Anexa's models in other programs, and compares the results.

    python benchmarks/other_programs.py [--only NAME …] [--converter PATH] [--node FOLDER]

Prints a line for each program, and exits with status 1 if a result differs. The models are the
bundled one and small ones with random weights. Programs must be installed separately, such as by
`pip install trl peft accelerate`, `mlx-lm` with `mlx[cpu]`, or `ctranslate2`; missing ones are
reported and skipped. PATH is llama.cpp's `convert_hf_to_gguf.py`; FOLDER is a folder in which
`npm install @huggingface/transformers` was run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import anexa
from anexa.engines import Batch
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight, initial_weights

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

TEXT = "It was a dark and stormy night; the rain fell in torrents, except at occasional intervals."
PROMPTS = ["It was", "the rain fell in", "night; the"]
QUESTION = [{"role": "user", "content": "12+30"}]
CONVERSATION = [*QUESTION, {"role": "assistant", "content": "42"}]
ARCHITECTURE_OPTIONS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "llama": {"n_kv_head": 1, "n_inner": 72, "rope_theta": 500.0, "tie_word_embeddings": False},
    "microgpt": {},
}
TRUST_REMOTE_CODE: dict[str, Any] = {"trust_remote_code": True}
TRAINER_OPTIONS: dict[str, Any] = {  # of the Trainer of transformers
    **{"max_steps": 1, "report_to": [], "use_cpu": True, "save_strategy": "no"},
    **{"per_device_train_batch_size": 3, "per_device_eval_batch_size": 3},
    **{"remove_unused_columns": False, "disable_tqdm": True, "learning_rate": 1e-2},
}

Check = Callable[[Path], Iterator[tuple[str, float]]]


def write_models(models: Path) -> None:
    """Write a folder for each architecture, with random weights in float32."""
    tokenizer = Tokenizer.train_bpe([TEXT] * 3, 300, adds_bos=True)
    for kind, changes in ARCHITECTURE_OPTIONS.items():
        config = ModelConfig(kind, tokenizer.vocab_size, 64, 64, n_head=2, n_layer=2, **changes)
        rng = random.Random(kind)
        weights = {
            name: Weight(w.shape, array("f", (x + rng.gauss(0, 0.2) for x in w.data)))
            for name, w in initial_weights(config, rng).items()
        }
        create_folder(models / kind, Model(config, weights, tokenizer, temperature=0.0), "")


def difference(theirs: Any, ours: Any) -> float:
    """Return the largest difference, relative to the largest of our numbers."""
    ours = np.asarray(ours, np.float64)
    return float(np.abs(np.asarray(theirs, np.float64) - ours).max() / np.abs(ours).max())


def logits(folder: Path, ids: list[int]) -> Any:
    """Compute the logits of a model with Anexa's NumPy engine."""
    return anexa.load(folder, engine="numpy").engine.logits(ids)


def open_in_transformers(folder: Path, **options: Any) -> tuple[Any, Any]:
    """Open a folder with transformers."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **TRUST_REMOTE_CODE).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, **options
    )
    return model, tokenizer


def in_transformers(models: Path) -> Iterator[tuple[str, float]]:
    """Greedy texts as the documentation of transformers writes them, one by one and in a batch."""
    for kind in ARCHITECTURE_OPTIONS:
        model, tokenizer = open_in_transformers(models / kind, padding_side="left")
        ours = anexa.load(models / kind, engine="numpy")
        expected = [ours.generate(prompt, max_tokens=9, temperature=0) for prompt in PROMPTS]
        together = tokenizer(PROMPTS, padding=True, return_tensors="pt")
        alone = [tokenizer(prompt, return_tensors="pt") for prompt in PROMPTS]
        written = model.generate(**together, max_new_tokens=9)[:, together.input_ids.shape[1] :]
        found = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]
        yield f"{kind}: three texts in a batch", float(found != expected)
        written = [
            model.generate(**one, max_new_tokens=9)[0][one.input_ids.shape[1] :] for one in alone
        ]
        found = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]
        yield f"{kind}: three texts, one by one", float(found != expected)
    model, tokenizer = open_in_transformers(BUNDLED_FOLDER)
    prompt = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.generate(**prompt)[0][prompt["input_ids"].shape[1] :]
    answer = anexa.load(engine="numpy").chat(QUESTION, temperature=0)
    expected_text = f"<think>{answer.reasoning}</think>{answer.content}"
    found_text = tokenizer.decode(written, skip_special_tokens=True)
    yield "bundled: an answer with its thought", float(found_text != expected_text)


def in_trainer(models: Path) -> Iterator[tuple[str, float]]:
    """Compare the loss of transformers' Trainer, and open the model that it has saved."""
    import accelerate  # noqa: F401 (the Trainer needs it)
    import transformers

    for kind in ARCHITECTURE_OPTIONS:
        model, tokenizer = open_in_transformers(models / kind)
        texts = [TEXT[start : start + 60] for start in (0, 7, 20)]
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(str(models / "trainer"), **TRAINER_OPTIONS),
            train_dataset=[dict(tokenizer(text)) for text in texts],
            eval_dataset=[dict(tokenizer(text)) for text in texts],
            processing_class=tokenizer,
            data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False),
        )
        loss = trainer.evaluate()["eval_loss"]
        ours = anexa.load(models / kind, engine="numpy")
        rows = [ours.tokenizer.encode_prompt(text) for text in texts]
        yield f"{kind}: loss", difference(loss, ours.engine.loss(Batch.from_sequences(rows)))
        trainer.train()
        saved = models / f"{kind}-trained"
        trainer.save_model(str(saved))
        yield f"{kind}: logits after a step, saved", saved_difference(saved, model, rows[0])


def saved_difference(saved: Path, model: Any, ids: list[int]) -> float:
    """Compare a model in memory with the folder that it was saved to, opened by us."""
    import torch

    with torch.no_grad():
        theirs = model.eval()(torch.tensor([ids])).logits[0]
    return difference(theirs, logits(saved, ids))


def in_trl(models: Path) -> Iterator[tuple[str, float]]:
    """Compare the tokens of a conversation that trl trains on, and train one step."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = open_in_transformers(BUNDLED_FOLDER)
    data = datasets.Dataset.from_list([{"messages": CONVERSATION}] * 3)
    options = {
        key: value for key, value in TRAINER_OPTIONS.items() if key != "remove_unused_columns"
    }
    options |= {"max_length": 64, "assistant_only_loss": True, "bf16": False}
    config = SFTConfig(str(models / "trl"), **options)
    trainer = SFTTrainer(model, args=config, train_dataset=data, processing_class=tokenizer)
    labels = next(iter(trainer.get_train_dataloader()))["labels"][0]
    found = tokenizer.decode([label for label in labels.tolist() if label >= 0])
    yield f"bundled: the loss is of {found!r}", float(found != "42<|endoftext|>")
    trainer.train()
    saved = models / "bundled-trl"
    trainer.save_model(str(saved))
    ids = load_model(saved).tokenizer.encode("<|user|>12+30<|assistant|>42")
    yield "bundled: logits after a step, saved", saved_difference(saved, model, ids)


def in_peft(models: Path) -> Iterator[tuple[str, float]]:
    """A LoRA adapter of peft, merged and saved, opens here."""
    import peft
    import torch

    for kind, names in (("gpt2", ["c_attn"]), ("llama", ["q_proj", "v_proj"])):
        model, tokenizer = open_in_transformers(models / kind)
        config = peft.LoraConfig(target_modules=names, fan_in_fan_out=kind == "gpt2")
        adapted = peft.get_peft_model(model, config)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        merged, saved = adapted.merge_and_unload(), models / f"{kind}-peft"
        merged.save_pretrained(saved)
        tokenizer.save_pretrained(saved)
        ids = tokenizer(TEXT[:60]).input_ids
        if difference(logits(saved, ids), logits(models / kind, ids)) < 0.01:
            yield f"{kind}: the adapter changes nothing", 1.0
        yield f"{kind}: logits, merged and saved", saved_difference(saved, merged, ids)


def in_mlx(models: Path) -> Iterator[tuple[str, float]]:
    """Logits of mlx-lm."""
    import mlx.core as mx
    from mlx_lm import load

    for kind, folder in (
        ("gpt2", models / "gpt2"),
        ("llama", models / "llama"),
        ("bundled", BUNDLED_FOLDER),
    ):
        model, tokenizer = load(str(folder))[:2]
        text = "12+30" if kind == "bundled" else TEXT
        ids = tokenizer.encode(text)
        expected = anexa.load(folder, engine="numpy").tokenizer.encode_prompt(text)
        yield f"{kind}: tokens", float(ids != expected)
        theirs = np.array(model(mx.array([ids])).astype(mx.float32))[0]
        yield f"{kind}: logits", difference(theirs, logits(folder, ids))


def in_ctranslate2(models: Path) -> Iterator[tuple[str, float]]:
    """Logits of CTranslate2, by its converter."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    for kind, folder in (
        ("gpt2", models / "gpt2"),
        ("llama", models / "llama"),
        ("bundled", BUNDLED_FOLDER),
    ):
        converted = TransformersConverter(str(folder)).convert(str(models / f"{kind}-ct2"))
        tokenizer = anexa.load(folder, engine="numpy").tokenizer
        ids = tokenizer.encode_prompt("12+30" if kind == "bundled" else TEXT)
        tokens = [tokenizer.id_to_token(i) for i in ids]
        found = ctranslate2.Generator(converted).forward_batch([tokens])
        yield f"{kind}: logits", difference(np.array(found)[0], logits(folder, ids))


def in_llama_cpp_converter(models: Path, converter: Path) -> Iterator[tuple[str, float]]:
    """Compare the tensors that llama.cpp's converter writes with those of `anexa export`.

    The converter identifies a tokenizer by a hash of its tokens for a test text, so it knows no
    new ones; here it is told to use GPT-2's pre-tokenizer.
    """
    import gguf

    from anexa.hub.gguf import write_gguf

    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); del sys.argv[1];"
        "import conversion, convert_hf_to_gguf;"
        "conversion.TextModel.get_vocab_base_pre = lambda self, tokenizer: 'gpt-2';"
        "convert_hf_to_gguf.main()"
    )
    for kind in ("gpt2", "llama"):
        theirs, ours = models / f"{kind}-theirs.gguf", models / f"{kind}-ours.gguf"
        arguments = [converter.parent, models / kind, "--outtype", "f32"]
        command = [sys.executable, "-c", program, *arguments, "--outfile", theirs]
        subprocess.run([*map(str, command)], check=True, capture_output=True)
        write_gguf(ours, load_model(models / kind), kind)
        found, expected = ({t.name: t for t in gguf.GGUFReader(p).tensors} for p in (theirs, ours))
        extra = {*found} ^ {*expected}
        yield f"{kind}: names of tensors", float(bool(extra - {"rope_freqs.weight"}))
        largest = max(difference(found[name].data, expected[name].data) for name in expected)
        yield f"{kind}: tensors", largest


def in_transformers_js(node: Path) -> Iterator[tuple[str, float]]:
    """Tokens and chat template of transformers.js, which reads tokenizer_config.json only."""
    program = """
        import { AutoTokenizer, env } from "@huggingface/transformers";
        const { folder, messages } = JSON.parse(process.argv[1]);
        env.allowRemoteModels = false; env.localModelPath = "/";
        const tokenizer = await AutoTokenizer.from_pretrained(folder);
        const text = tokenizer.apply_chat_template(
            messages, { tokenize: false, add_generation_prompt: true });
        console.log(JSON.stringify({ text, ids: tokenizer.encode(text) }));
    """
    messages = [*CONVERSATION, *QUESTION]
    argument = json.dumps({"folder": str(BUNDLED_FOLDER), "messages": messages})
    command = ["node", "--input-type=module", "-e", program, argument]
    result = subprocess.run(command, cwd=node, check=True, capture_output=True, encoding="utf-8")
    found, ours = json.loads(result.stdout), anexa.load(engine="numpy")
    text = ours.render_prompt(messages)
    yield "bundled: text of a conversation", float(found["text"] != text)
    yield "bundled: tokens", float(found["ids"] != ours.tokenizer.encode(text))


CHECKS: dict[str, tuple[str, Check]] = {
    "transformers": ("transformers", in_transformers),
    "trainer": ("transformers", in_trainer),
    "trl": ("trl", in_trl),
    "peft": ("peft", in_peft),
    "mlx-lm": ("mlx-lm", in_mlx),
    "ctranslate2": ("ctranslate2", in_ctranslate2),
}
MAX_DIFFERENCE = 1e-4  # relative, of equal results; float32 in another order gives about 1e-6


def report(name: str, package: str, check: Check, models: Path) -> bool:
    """Run a check and print a line for each comparison; return whether all are equal.

    Args:
        name: name of the program.
        package: its Python package; or its version, if it has none.
        check: yields the name and the difference of each comparison.
        models: folder of the models.
    """
    try:
        if package[0].isdigit():
            title = f"{name} {package}"
        else:
            title = f"{name}, {package} {version(package)}".replace(f"{name}, {name}", name)
        for what, found in check(models):
            if found >= MAX_DIFFERENCE:
                print(f"{title:34} {what:44} DIFFERS by {found:.1e}")
                return False
            print(f"{title:34} {what:44} equal{f' to {found:.0e}' if found else ''}", flush=True)
    except ModuleNotFoundError as error:
        print(f"{name:34} left out: {error.name or error} is not installed")
    except Exception as error:  # whatever another program raises
        print(f"{name:34} FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return False
    return True


def main() -> None:
    """Run the checks that can be run here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*CHECKS, "llama.cpp", "transformers.js"])
    parser.add_argument("--converter", type=Path)
    parser.add_argument("--node", type=Path)
    chosen = parser.parse_args()
    checks = dict(CHECKS)
    if chosen.converter:
        converter_check = partial(in_llama_cpp_converter, converter=chosen.converter)
        checks["llama.cpp"] = "gguf", converter_check
    if chosen.node:
        package = chosen.node / "node_modules" / "@huggingface" / "transformers" / "package.json"
        number = json.loads(package.read_text(encoding="utf-8"))["version"]
        checks["transformers.js"] = number, lambda _: in_transformers_js(chosen.node)
    print(f"{date.today()}, Anexa {anexa.__version__}, Python {platform.python_version()}", end="")
    try:
        print(f", transformers {version('transformers')}, torch {version('torch')}\n")
    except ModuleNotFoundError:
        print()
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        results = [
            report(name, package, check, Path(folder))
            for name, (package, check) in checks.items()
            if chosen.only is None or name in chosen.only
        ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
