"""The arithmetic corpus in a training run: what is refused, and the folder of the trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anexa.errors import UsageError
from anexa.model.chat_format import CHAT_TEMPLATE
from anexa.model.loading import load_model
from anexa.model.tensors import read_tensors
from anexa.model.tokenizer import Tokenizer
from anexa.training import Trainer, build_trainer, resume_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH
from anexa.training.evaluation import to_batch
from tests.thinking.test_corpus import TOKENIZER, rows_of, some_rows
from tests.training.runs import finish, sums, weights_file

# What is refused


def test_arithmetic_corpus_has_no_epochs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="endless and has no epochs: use --steps or --minutes"):
        build_trainer(sums(steps=None, epochs=1.0), tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spec", ["bpe:300", "tokenizer.json"])
def test_other_tokenizers_are_refused(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tokenizer.json").write_text(TOKENIZER.to_json(), encoding="utf-8")
    with pytest.raises(UsageError, match=f"character tokenizer: leave out --tokenizer {spec}"):
        build_trainer(sums(tokenizer=spec), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_too_short_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--block-size of at least 64 .2048 for.*, not 63"):
        build_trainer(sums(block_size=63), tmp_path / "m")
    assert not list(tmp_path.iterdir())


# A run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return finish(build_trainer(sums(), tmp_path_factory.mktemp("sums") / "m"))


def test_the_loss_of_answers_falls(tmp_path: Path) -> None:
    run = finish(build_trainer(sums(steps=40), tmp_path / "m"))
    first, last = run.state.evaluations[0], run.state.evaluations[-1]
    assert last.validation_loss < 0.8 * first.validation_loss


def test_only_learned_tokens_are_counted(trained: Trainer) -> None:
    rows = rows_of(length=128, seed=trained.config.run.seed)
    counts = [to_batch(rows.batch(step, 4)).num_targets for step in range(6)]
    assert trained.state.tokens == sum(counts)


def test_resumed_run_equals_uninterrupted_run(trained: Trainer, tmp_path: Path) -> None:
    stopped = build_trainer(sums(), tmp_path / "m")
    for steps in (1, 4):
        for step in stopped:
            stopped.stopping = step.step == steps
        assert stopped.state.step == steps
        stopped = resume_trainer(tmp_path / "m")
    resumed = finish(stopped)
    assert weights_file(resumed.folder) == weights_file(trained.folder)
    moments = [read_tensors(run.folder / CHECKPOINT_PATH)[0] for run in (trained, resumed)]
    assert moments[0] == moments[1]
    assert resumed.state.tokens == trained.state.tokens


def test_trained_folder_is_a_chat_model(trained: Trainer) -> None:
    model = load_model(trained.folder)
    assert model.chat_template == CHAT_TEMPLATE
    assert model.temperature == 0.0
    assert model.weights == trained.engine.weights()
    config = json.loads((trained.folder / "generation_config.json").read_text(encoding="utf-8"))
    assert config["do_sample"] is False
    assert trained.corpus.sample_prompt == "<|user|>C3B4A7*B8A6<|assistant|>"


def test_trained_folder_opens_in_transformers(
    trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    network = transformers.AutoModelForCausalLM.from_pretrained(trained.folder)
    theirs = transformers.AutoTokenizer.from_pretrained(trained.folder)
    ours: Tokenizer = trained.tokenizer
    messages = [{"role": "user", "content": "347*86"}]
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert ids["input_ids"] == ours.encode_prompt(trained.corpus.sample_prompt)
    row = some_rows()[0].ids[:64]
    with torch.no_grad():
        logits = network(torch.tensor([row])).logits[0]
    expected = torch.tensor(trained.engine.logits(row))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    assert network.generation_config.do_sample is False
    assert network.generation_config.eos_token_id == ours.eot_token_id == theirs.eos_token_id
