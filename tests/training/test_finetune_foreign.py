"""Folders that transformers wrote are continued, and transformers opens the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anexa.model.loading import load_model
from anexa.training import TrainConfig, build_trainer
from tests.training.runs import finish

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from anexa.engines import open_engine  # noqa: E402
from tests.model.foreign import FOLDERS, write_folder  # noqa: E402

TEXT = "The quick brown fox jumps over the lazy dog; who would not? " * 60


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_folder_of_transformers_is_continued(name: str, tmp_path: Path) -> None:
    write_folder(tmp_path / name, **FOLDERS[name])
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    given = {"corpus": str(tmp_path / "text.txt"), "from_": str(tmp_path / name)}
    config = TrainConfig.from_options(**given, engine="numpy", steps=8, batch_size=2)
    run = finish(build_trainer(config, tmp_path / "new"))
    assert run.state.evaluations[-1].validation_loss < run.state.evaluations[0].validation_loss
    model, base = load_model(run.folder), load_model(tmp_path / name)
    assert model.config == base.config
    assert model.tokenizer.vocab_size < model.config.vocab_size, "the table has rows to spare"
    assert model.tokenizer.eos_token_ids == base.tokenizer.eos_token_ids
    theirs = transformers.AutoModelForCausalLM.from_pretrained(run.folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.folder)
    ids = model.tokenizer.encode("The quick brown fox")
    assert tokenizer("The quick brown fox", add_special_tokens=False).input_ids == ids
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids])).logits[0].numpy()
    ours = open_engine("numpy", model.config, model.weights).logits(ids)
    assert abs(ours - wanted).max() < 1e-4
    old, new = (
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for folder in (tmp_path / name, run.folder)
    )
    assert new["model_type"] == old["model_type"]
    assert new["vocab_size"] == old["vocab_size"]
