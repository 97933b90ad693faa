"""A run with `--lora`: it trains adapters, and its folder is a model as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anexa.engines import open_engine
from anexa.errors import AnexaError, UsageError
from anexa.model.adapters import with_lora_rank
from anexa.model.architectures.base import is_adapter
from anexa.model.loading import load_model
from anexa.model.weights import num_parameters
from anexa.training import TrainConfig, build_trainer, resume_trainer
from anexa.training.base_options import complete_base_options
from anexa.training.build import RunOptions
from anexa.training.checkpoint import read_checkpoint
from anexa.training.presets import LORA_LEARNING_RATE_FACTOR
from tests.engines.helpers import BATCH_ENGINES
from tests.model.foreign import GPT2, write_folder
from tests.training.runs import finish, settings, stop_after

TEXT = "The cat sat on the mat. The rat sat on the cat. " * 40


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def base(text: Path) -> Path:
    """Model folder that transformers wrote."""
    pytest.importorskip("torch")
    write_folder(text.parent / "base", **GPT2)
    return text.parent / "base"


def configure(text: Path, base: Path, **changes: Any) -> TrainConfig:
    given = {"corpus": str(text), "from_": str(base), "lora": 2, "steps": 4, "evaluations": 1}
    return TrainConfig.from_options(
        **given | {"engine": "numpy", "batch_size": 2, "learning_rate": 0.05} | changes
    )


@pytest.mark.integration
def test_folder_has_the_merged_model_and_the_adapters(text: Path, base: Path) -> None:
    """The merged model computes what the engine did; `peft` adds the adapters to the base."""
    run = finish(build_trainer(configure(text, base), Path("out")))
    merged = load_model(Path("out"))
    assert merged.config == load_model(base).config
    size, both = num_parameters(merged.config), num_parameters(run.model_config)
    assert f"| parameters | {size:,}; trained were adapters of rank 2: {both - size:,} |" in (
        Path("out/README.md").read_text(encoding="utf-8")
    )
    tokens = [3, 1, 4, 1, 5, 9]
    ours = np.array(run.engine.logits(tokens))
    plain = open_engine("numpy", merged.config, merged.weights).logits(tokens)
    assert np.allclose(ours, plain, atol=1e-5)
    assert not np.allclose(plain, open_engine("numpy", *parts(base)).logits(tokens), atol=1e-3)
    checkpoint = read_checkpoint(Path("out"))
    before = load_model(base).weights
    assert {n for n, w in checkpoint.weights.items() if w != before.get(n)} == {
        *filter(is_adapter, checkpoint.weights)
    }
    described = json.loads(Path("out/adapter/adapter_config.json").read_text("utf-8"))
    assert (described["r"], described["base_model_name_or_path"]) == (2, "base")

    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        for model in (
            peft.PeftModel.from_pretrained(
                AutoModelForCausalLM.from_pretrained(base), Path("out/adapter")
            ),
            AutoModelForCausalLM.from_pretrained("out"),
        ):
            theirs = model(torch.tensor([tokens])).logits[0].numpy()
            assert np.allclose(ours, theirs, atol=1e-4)


def parts(folder: Path) -> tuple[Any, Any]:
    model = load_model(folder)
    return model.config, model.weights


@pytest.mark.parametrize("engine", BATCH_ENGINES)
def test_resumed_run_ends_as_one_that_was_never_stopped(
    engine: str, text: Path, base: Path
) -> None:
    config = configure(text, base, engine=engine)
    whole = finish(build_trainer(config, Path("whole")))
    stop_after(build_trainer(config, Path("stopped")), 2)
    resumed = finish(resume_trainer(Path("stopped")))
    assert resumed.engine.weights() == whole.engine.weights()
    assert resumed.engine.optimizer_state() == whole.engine.optimizer_state()
    for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
        assert Path("whole", name).read_bytes() == Path("stopped", name).read_bytes()


def test_a_merged_model_can_be_adapted_again(text: Path, base: Path) -> None:
    finish(build_trainer(configure(text, base), Path("first")))
    run = finish(build_trainer(configure(text, Path("first"), freeze="0"), Path("second")))
    assert run.model_config == with_lora_rank(load_model(base).config, 2)
    assert not any(".0." in key for key in run.engine.optimizer_state())
    assert any(".1." in key for key in run.engine.optimizer_state())


def test_what_cannot_be_adapted_is_refused(text: Path, base: Path) -> None:
    with pytest.raises(UsageError, match="--lora 4 has no effect: only a run that starts from"):
        build_trainer(settings(text).replace(lora=4), Path("out"))
    with pytest.raises(AnexaError, match="the rank of adapters must be from 1 to n_embd"):
        build_trainer(configure(text, base, lora=1000), Path("out"))
    for groups, sentence in (
        ("0,embeddings", "--freeze embeddings has no effect: --lora trains adapters alone"),
        ("0-1", "--freeze 0-1 leaves no weight to train"),
    ):
        with pytest.raises(UsageError, match=sentence):
            build_trainer(configure(text, base, freeze=groups), Path("out"))
    with pytest.raises(UsageError, match="--keep-steps keeps no steps of adapters"):
        build_trainer(configure(text, base), Path("out"), RunOptions(history_budget=10**9))
    assert not Path("out").exists()


def test_adapters_of_a_run_are_opened_with_their_base(
    text: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name of the base, in the working directory or beside the folder of the run."""
    finish(build_trainer(configure(text, base), Path("run")))
    merged = load_model(Path("run"))
    Path("elsewhere").mkdir()
    for working_directory in (".", "elsewhere"):
        monkeypatch.chdir(text.parent / working_directory)
        again = load_model(text.parent / "run" / "adapter")
        assert again.config == merged.config
        for name, weight in merged.weights.items():
            assert np.allclose(again.weights[name].data, weight.data, atol=1e-6)
    base.rename(text.parent / "renamed")
    with pytest.raises(AnexaError, match="belongs to the model base, which is not found"):
        load_model(text.parent / "run" / "adapter")


def test_learning_rate_of_adapters_is_higher(text: Path, base: Path) -> None:
    given = {"corpus": (str(text),), "from_": str(base)}
    rates = [complete_base_options(given | more)["learning_rate"] for more in ({}, {"lora": 2})]
    assert rates[1] == pytest.approx(LORA_LEARNING_RATE_FACTOR * rates[0], rel=0.3)
