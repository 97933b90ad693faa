"""Bad input of any kind: one sentence, the right exit status, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from anexa.model.loading import load_model
from anexa.training import build_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH
from tests.cli.process import (
    ANEXA,
    GENERATE,
    TRAIN,
    anexa,
    environment,
    listing,
    one_sentence,
    posix,
)
from tests.training.runs import NAMES, finish, settings

Arrange = Callable[[Path], object]


def writes(name: str, content: str | bytes) -> Arrange:
    data = content.encode() if isinstance(content, str) else content
    return lambda place: (place / name).write_bytes(data)


def removes(name: str) -> Arrange:
    return lambda place: (place / name).unlink()


def truncates(name: str) -> Arrange:
    return lambda place: os.truncate(place / name, (place / name).stat().st_size // 2)


def makes(name: str) -> Arrange:
    return lambda place: (place / name).mkdir()


def changes_config(**values: object) -> Arrange:
    def arrange(place: Path) -> None:
        path = place / "model" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")

    return arrange


def takes_weights_of_another(place: Path) -> None:
    (place / "other.txt").write_text("zebra\nquagga\nyak\nox\nfox\ncow\npig\n", encoding="utf-8")
    other = finish(build_trainer(settings(place / "other.txt", steps=1), place / "other")).folder
    shutil.copy(other / "model.safetensors", place / "model")


def takes_a_tokenizer_of_another(place: Path) -> None:
    words = "the quick brown fox jumps over the lazy dog"
    (place / "other.txt").write_text(words.replace(" ", "\n"), encoding="utf-8")
    other = finish(build_trainer(settings(place / "other.txt", steps=1), place / "other")).folder
    shutil.copy(other / "tokenizer.json", place / "model")


def nothing(_place: Path) -> None:
    pass


def half(arrange: Arrange) -> Arrange:
    """Folder with a training that was stopped halfway."""

    def then(place: Path) -> None:
        run = build_trainer(settings(place / "names.txt"), place / "half")
        for step in run:
            run.stopping = step.step == 3
        arrange(place)

    return then


def takes_from_another(name: str) -> Arrange:
    """Replace a file by that of a model of another architecture and alphabet, of the same size."""

    def arrange(place: Path) -> None:
        text = NAMES.upper().replace(" ", "\n")
        (place / "others.txt").write_text(text, encoding="utf-8")
        wanted = settings(place / "others.txt", preset="anexa", n_layer=1, n_embd=16)
        run = build_trainer(wanted, place / "others")
        for step in run:
            run.stopping = step.step == 3
        shutil.copy(place / "others" / name, place / "half" / name)

    return arrange


TOKENIZER = "tokenizer.json is not the tokenizer that this run was started with"
CHANGED = "the corpus names.txt has changed since this run was started (its SHA-256 was "


@pytest.mark.parametrize(
    ("command", "arrange", "status", "fragment"),
    [
        # Corpora
        (TRAIN, writes("names.txt", ""), 1, "names.txt contains no text"),
        (TRAIN, writes("names.txt", " \n\n"), 1, "names.txt contains no text"),
        (TRAIN, writes("names.txt", "x"), 1, "names.txt has a single character"),
        (TRAIN, writes("names.txt", "too short, this."), 1, "the text is too short"),
        (TRAIN, writes("names.txt", b"caf\xe9\x81\n"), 1, "names.txt is not UTF-8 text"),
        (TRAIN, writes("names.txt", b"a\0b\n"), 1, "names.txt is not a text file"),
        (TRAIN, removes("names.txt"), 1, "there is no corpus and no file named 'names.txt'"),
        (f"{TRAIN} --layout lines", writes("names.txt", "anna\n"), 1, "a single document"),
        ("train firstname --engine numpy --out new", nothing, 1, "perhaps you meant firstnames"),
        ("train model --engine numpy --out new", nothing, 1, "model is a folder"),
        ("train - --engine numpy --out new", nothing, 1, "standard input contains no text"),
        # Settings of a training
        (f"{TRAIN} --preset giant", nothing, 2, "--preset is one of microgpt, anexa"),
        (f"{TRAIN} --engine abacus", nothing, 2, "--engine is one of scalar, lists, numpy"),
        (f"{TRAIN} --steps 0", nothing, 2, "--steps must be at least 1, not 0"),
        (f"{TRAIN} --minutes 1", nothing, 2, "give one of them"),
        ("train names.txt --minutes 0", nothing, 2, "--minutes must be above 0, not 0"),
        ("train names.txt --minutes nan", nothing, 2, "--minutes must be above 0, not nan"),
        (f"{TRAIN} --learning-rate nan", nothing, 2, "--learning-rate must be above 0, not nan"),
        (f"{TRAIN} --learning-rate 0", nothing, 2, "--learning-rate must be above 0, not 0"),
        (f"{TRAIN} --weight-decay 1e300", nothing, 2, "--weight-decay must be at most 3.4e+38"),
        (f"{TRAIN} --weight-decay 1e9", nothing, 2, "--weight-decay 1e+09 times --learning-rate"),
        (f"{TRAIN} --learning-rate 1e300", nothing, 2, "--learning-rate must be at most 3.4e+38"),
        (f"{TRAIN} --learning-rate 1e-300", nothing, 2, "--learning-rate must be at least 1.2e-38"),
        (f"{TRAIN} --eps 1e-50", nothing, 2, "--eps must be at least 1.2e-38, not 1e-50"),
        (f"{TRAIN} --grad-clip 1e-50", nothing, 2, "--grad-clip must be at least 1.2e-38"),
        (f"{TRAIN} --dropout 0.99999999999", nothing, 2, "--dropout must be at most 0.9999999"),
        (f"{TRAIN} --batch-size 0", nothing, 2, "--batch-size must be at least 1, not 0"),
        (f"{TRAIN} --batch-size 100000000", nothing, 2, "--batch-size must be at most 65,536"),
        (f"{TRAIN} --block-size 100000000", nothing, 2, "--block-size must be at most 1,048,576"),
        (f"{TRAIN} --micro-batch {10**20}", nothing, 2, "--micro-batch must be at most 65,536"),
        ("train names.txt --epochs 1e308", nothing, 2, "--epochs must be at most 1,000,000"),
        (f"{TRAIN} --n-layer 100000000", nothing, 2, "--n-layer must be at most 65,536"),
        (f"{TRAIN} --n-embd 65536 --n-layer 65536", nothing, 1, "parameters does not fit into"),
        (f"{TRAIN} --batch-size ٣", nothing, 2, "invalid value for '--batch-size'"),
        (f"{TRAIN} --out model", nothing, 1, "model exists already: choose another folder"),
        (f"{TRAIN} --out names.txt", nothing, 1, "names.txt exists already"),
        (f"{TRAIN} --out names.txt/m", nothing, 1, "cannot write"),
        (f"{TRAIN} --n-head 3", nothing, 1, "16 cannot be shared by 3 heads"),
        (f"{TRAIN} --dtype bf16", nothing, 2, "numpy engine does not compute in bf16"),
        (f"{TRAIN} --dtype float8", nothing, 2, "--dtype is one of auto, float32"),
        (f"{TRAIN} --device cuda", nothing, 2, "--device cuda needs the torch engine"),
        (f"{TRAIN} --compile", nothing, 2, "--compile needs the torch engine"),
        (f"{TRAIN} --dropout 0.1", nothing, 2, "it needs the torch engine, not numpy"),
        (f"{TRAIN} --minutes 1", nothing, 2, "after --epochs or after --minutes: give one"),
        (f"{TRAIN} --batch-tokens 3", nothing, 2, "--batch-tokens must be at least 16"),
        (f"{TRAIN} --tokenizer words", nothing, 1, "there is no tokenizer 'words'"),
        (f"{TRAIN} --tokenizer bpe:9", nothing, 2, "--tokenizer bpe:9: the vocabulary"),
        (f"{TRAIN} --tokenizer names.txt", nothing, 1, "--tokenizer names.txt: "),
        # … refused before the corpus is looked for: it may be long to download
        (
            f"{TRAIN} --tokenizer bpe:3",
            removes("names.txt"),
            2,
            "--tokenizer bpe:3: the vocabulary",
        ),
        (f"{TRAIN} --tokenizer words", removes("names.txt"), 1, "there is no tokenizer 'words'"),
        (f"{TRAIN} --n-head 3", removes("names.txt"), 1, "16 cannot be shared by 3 heads"),
        (
            f"{TRAIN} --preset anexa-llama --n-head 5",
            nothing,
            1,
            "128 cannot be shared by 5 heads",
        ),
        (f"{TRAIN} --n-head 0", removes("names.txt"), 2, "--n-head must be at least 1, not 0"),
        (f"{TRAIN} --dtype bf16", removes("names.txt"), 2, "numpy engine does not compute in bf16"),
        # Going on
        ("train --resume model", nothing, 1, "model is finished"),
        ("train --resume nowhere", nothing, 1, "nowhere holds no training"),
        ("train --resume names.txt", nothing, 1, "names.txt holds no training"),
        ("train --resume empty", makes("empty"), 1, "empty holds no training"),
        ("train --resume half", half(truncates(f"half/{CHECKPOINT_PATH}")), 1, "is damaged"),
        (
            "train --resume half",
            half(writes(f"half/{CHECKPOINT_PATH}", b"\0" * 500)),
            1,
            "is damaged",
        ),
        (
            "train --resume half",
            half(takes_from_another("config.json")),
            1,
            "do not belong together",
        ),
        ("train --resume half", half(takes_from_another("tokenizer.json")), 1, TOKENIZER),
        (
            "train --resume half",
            half(takes_from_another(str(CHECKPOINT_PATH))),
            1,
            "do not belong together",
        ),
        ("train --resume half", half(writes("names.txt", "ann\nbob\n" * 9)), 1, CHANGED),
        ("train --resume half", half(removes("names.txt")), 1, "names.txt, is gone: give a file"),
        ("train --resume half --preset anexa-llama", half(nothing), 2, "--preset microgpt, not"),
        ("train --resume half --tokenizer bpe:300", half(nothing), 2, "--tokenizer char, not"),
        ("train --resume half --n-head 3", half(nothing), 2, "--n-head 4, not 3"),
        ("train --resume half --device cuda", half(nothing), 2, "needs the torch engine"),
        ("train --resume half --dtype bf16", half(nothing), 2, "--dtype float32, not bf16"),
        ("train --resume model --seed 9", nothing, 2, "started with --seed 42, not 9: leave"),
        (
            "train --resume model --steps 9",
            nothing,
            1,
            "lengthen it with anexa train --resume model",
        ),
        ("train --resume model --out new", nothing, 2, "leave out --out"),
        ("train --resume model --batch-size 2", nothing, 2, "started with --batch-size 1, not 2"),
        (
            "train --resume model --learning-rate 1",
            nothing,
            2,
            "--learning-rate 0.01, not 1",
        ),
        ("train --resume model --minutes 1", nothing, 2, "started with --minutes not given, not 1"),
        ("train firstnames --resume half", half(nothing), 2, "started with the corpus "),
        (
            "train --resume model --preset anexa",
            nothing,
            2,
            "--preset microgpt, not anexa",
        ),
        (
            "train --resume model --engine lists",
            nothing,
            2,
            "with --engine numpy, not lists: ",
        ),
        ("train --resume model --layout text", nothing, 2, "started with --layout auto, not text"),
        ("train --resume model --seed 1", nothing, 2, "started with --seed 42, not 1"),
        ("train --resume model", truncates(f"model/{CHECKPOINT_PATH}"), 1, "is damaged"),
        # SamplingParams
        (f"{GENERATE} --temperature -1", nothing, 2, "temperature must be at least 0, not -1.0"),
        (
            f"{GENERATE} --temperature nan",
            nothing,
            2,
            "temperature must be a finite number, not nan",
        ),
        (f"{GENERATE} --top-p -0.1", nothing, 2, "top_p must be at least 0, not -0.1"),
        (f"{GENERATE} --top-p 1.5", nothing, 2, "top_p must be at most 1, not 1.5"),
        (f"{GENERATE} --top-k 0", nothing, 2, "top_k must be at least 1, not 0"),
        (f"{GENERATE} --n 0", nothing, 2, "n must be at least 1, not 0"),
        (
            f"{GENERATE} --n 1000000001",
            nothing,
            2,
            "n must be at most 1,000,000,000, not 1000000001",
        ),
        (f"{GENERATE} --max-tokens 0", nothing, 2, "max_tokens must be at least 1, not 0"),
        (f"{GENERATE} --min-p 2", nothing, 2, "min_p must be at most 1, not 2.0"),
        (f"{GENERATE} --logit-bias 5", nothing, 2, "--logit-bias must be ID=NUMBER, not '5'"),
        (f"{GENERATE} --logit-bias 999=1", nothing, 2, "logit_bias contains the token id 999"),
        (f"{GENERATE} --stop-token-id -1", nothing, 2, "stop_token_ids: a token id must be at"),
        (f"{GENERATE} --min-tokens 9 --max-tokens 8", nothing, 2, "must be at most max_tokens"),
        (f"{GENERATE} --stop=", nothing, 2, "stop must not be empty"),
        (f"{GENERATE} --engine abacus", nothing, 2, "there is no engine 'abacus'"),
        (f"{GENERATE} --prompt ANNA", nothing, 1, "has never seen 'A', 'N'"),
        (f"{GENERATE} --prompt {'a' * 17}", nothing, 1, "the prompt has 18 tokens"),
        (f"{GENERATE} --json --prompt ANNA", nothing, 1, "has never seen 'A', 'N'"),
        ("chat model --engine numpy --top-k 0", nothing, 2, "top_k must be at least 1, not 0"),
        ("chat model --engine numpy --max-tokens 0", nothing, 2, "must be at least 1, not 0"),
        ("chat model --engine abacus", nothing, 2, "there is no engine 'abacus'"),
        # Model folders
        ("generate nowhere", nothing, 1, "nowhere is not a model folder: there is no such folder"),
        ("chat nowhere", nothing, 1, "nowhere is not a model folder: there is no such folder"),
        ("generate names.txt", nothing, 1, "names.txt is not a model folder"),
        ("generate empty", makes("empty"), 1, "empty is not a model folder: it has no config.json"),
        (GENERATE, removes("model/config.json"), 1, "it has no config.json"),
        (GENERATE, truncates("model/config.json"), 1, "config.json is damaged: it is not JSON"),
        (GENERATE, writes("model/config.json", "[1]"), 1, "it is not a JSON object"),
        (GENERATE, writes("model/config.json", "[" * 100_000), 1, "it is not JSON"),
        (GENERATE, changes_config(model_type="bert"), 1, "its model_type is 'bert'"),
        (GENERATE, changes_config(n_layer="two"), 1, "must be a whole number"),
        (GENERATE, changes_config(n_head=3), 1, "cannot be shared by 3 heads"),
        (GENERATE, changes_config(n_embd=32), 1, "but config.json says"),
        (GENERATE, changes_config(n_layer=2), 1, "they do not belong together"),
        (GENERATE, removes("model/model.safetensors"), 1, "it has no model.safetensors"),
        (GENERATE, truncates("model/model.safetensors"), 1, "model.safetensors is damaged"),
        (GENERATE, writes("model/model.safetensors", "GGUF" * 99), 1, "is damaged or not a safet"),
        (GENERATE, takes_weights_of_another, 1, "but config.json says"),
        (GENERATE, removes("model/tokenizer.json"), 1, "it has no tokenizer.json"),
        (GENERATE, truncates("model/tokenizer.json"), 1, "tokenizer.json is damaged"),
        (GENERATE, writes("model/tokenizer.json", "{}"), 1, "tokenizer.json is damaged"),
        (GENERATE, takes_a_tokenizer_of_another, 1, "they do not belong together"),
    ],
)
def test_bad_input_is_one_sentence(
    command: str, arrange: Arrange, status: int, fragment: str, place: Path
) -> None:
    arrange(place)
    before = listing(place)
    result = anexa(*command.split(), cwd=place)
    assert fragment in one_sentence(result)
    assert result.returncode == status
    assert listing(place) == before


@pytest.mark.parametrize(
    ("command", "fragment"),
    [
        ("paint", "No such command 'paint'"),
        ("--nonsense", "No such option"),
        ("train --nonsense", "No such option"),
        ("train --steps many", "--steps"),
        ("train --minutes soon", "--minutes"),
        ("train --layout columns", "--layout"),
        ("generate a b", "unexpected extra argument"),
        ("generate model -n 0", "n must be at least 1, not 0"),
        ("generate model --seed 1.5", "--seed"),
        ("chat a b", "unexpected extra argument"),
        ("chat model --think aloud", "for '--think': 'aloud' is not one of"),
        ("chat model --top-k few", "--top-k"),
        ("corpora --xml", "No such option"),
    ],
)
def test_unparsable_arguments_are_usage_errors(command: str, fragment: str, place: Path) -> None:
    before = listing(place)
    result = anexa(*command.split(), cwd=place)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("anexa: ")
    assert fragment.lower() in result.stderr.lower()
    assert result.stderr.count("\n") == 1
    assert listing(place) == before


def test_non_finite_loss_is_one_sentence(place: Path) -> None:
    command = "train names.txt --preset microgpt --engine numpy --steps 100 --out new"
    result = anexa(*command.split(), "--learning-rate", "1e30", cwd=place)
    sentence = one_sentence(result)
    assert result.returncode == 1
    assert re.search("the (loss|gradient norm) is (nan|inf) at step ", sentence)
    assert "--learning-rate below 1e+30" in sentence
    load_model(place / "new")


@pytest.mark.skipif(not find_spec("torch"), reason="PyTorch is not installed")
@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ("--device cuda:7", "there is no cuda:7: PyTorch finds that this computer has"),
        ("--device gpu", "--device is auto, cpu, cuda, cuda:NUMBER or mps, not 'gpu'"),
    ],
)
def test_missing_device_is_one_sentence(options: str, fragment: str, place: Path) -> None:
    (place / "names.txt").unlink()  # said before the corpus is looked for
    command = TRAIN.replace("numpy", "torch")
    result = anexa(*command.split(), *options.split(), cwd=place)
    assert fragment in one_sentence(result)
    assert not (place / "new").exists()


def test_missing_tensorboardx_is_one_sentence(place: Path) -> None:
    script = """
import runpy, sys
sys.modules["tensorboardX"] = None  # so Python finds none
sys.argv[0] = "anexa"
runpy.run_module("anexa", run_name="__main__")
"""
    before = listing(place)
    result = subprocess.run(
        [sys.executable, "-B", "-c", script, *TRAIN.split(), "--tensorboard"],
        cwd=place,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "tensorboardX: pip install 'anexa[plot]'" in one_sentence(result)
    assert result.returncode == 1
    assert listing(place) == before


def test_debug_shows_the_traceback(place: Path) -> None:
    for arguments in (["--debug", "generate", "nowhere"], ["generate", "nowhere", "--debug"]):
        result = anexa(*arguments, cwd=place)
        assert result.returncode == 1
        assert result.stderr.startswith("Traceback (most recent call last):\n")
        assert "in open_model\n" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("anexa: nowhere is not a model folder")


@posix
def test_prompt_that_is_not_utf_8_is_one_sentence(place: Path) -> None:
    result = subprocess.run(
        [*ANEXA, *GENERATE.split(), "--prompt", b"an\xff"],
        cwd=place,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert r"has never seen '\udcff'" in one_sentence(result)
    assert result.returncode == 1


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_input_line_that_is_not_utf_8_is_one_sentence(errors: str, place: Path) -> None:
    result = subprocess.run(
        [*ANEXA, "chat", "model", "--engine", "numpy"],
        cwd=place,
        env=environment(PYTHONIOENCODING=f"utf-8:{errors}"),
        input=b"a\xffb\nan\n",
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert "this model has never seen '\ufffd'" in result.stdout.decode()
    assert b"\nResponse: an" in result.stdout


@pytest.mark.parametrize("target", ["models/nix", "./nix", "../nix/config.json", "/nix", "a/b"])
def test_a_folder_that_is_missing_is_not_an_expression(target: str, tmp_path: Path) -> None:
    result = anexa("graph", target, cwd=tmp_path)
    assert result.returncode == 2
    assert f"there is no folder '{target}'; if it is an expression" in one_sentence(result)
    assert anexa("graph", "a/b", "a=1", "b=2", cwd=tmp_path).returncode == 0
    assert anexa("graph", "1e3/2", cwd=tmp_path).returncode == 0
    assert "not an assignment" in one_sentence(anexa("graph", "a/2", "a=٣", cwd=tmp_path))
