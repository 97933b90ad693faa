"""A run that starts from a model (`--from`): it continues the model, and needs it no more."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from anexa.engines import installed_engines
from anexa.errors import AnexaError, UsageError
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.json_file import write_model_json
from anexa.model.loading import load_model
from anexa.training import TrainConfig, build_trainer, resume_trainer
from anexa.training.checkpoint import (
    CHECKPOINT_PATH,
    FROZEN_PATH,
    loss_changes,
    read_checkpoint,
)
from anexa.training.config_file import CONFIG_PATH, read_options
from anexa.training.freeze import frozen_weights, run_optimizer_config
from anexa.training.metrics import read_metrics
from tests.training.runs import finish, settings, stop_after, weights_file

TEXT = "The cat sat on the mat, and the rat sat on the cat; so the mat was of no use to the rat. "
LLAMA = ModelConfig("llama", 10, 16, 8, 2, 3, tie_word_embeddings=False)
NAMES = [*get_architecture(LLAMA).parameters(LLAMA)]
SIZES = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 16}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Corpus of running text."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 30, encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Model folder of a GPT-2 with a BPE tokenizer, trained elsewhere on another text."""
    other = tmp_path / "other.txt"
    other.write_text("Where is the rat? It is under the mat. " * 40, encoding="utf-8")
    options = {"tokenizer": "bpe:270", "engine": "numpy", "steps": 3, **SIZES}
    folder = finish(build_trainer(TrainConfig.from_options(corpus=str(other), **options))).folder
    shutil.rmtree(folder / "training")
    return folder.absolute()


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def options(text: Path, base: Path, **changes: Any) -> dict[str, Any]:
    """Return options of 6 steps from a model, unless changed."""
    given = {"corpus": str(text), "from_": str(base), "engine": "numpy", "steps": 6}
    return given | {"batch_size": 2, "evaluations": 2} | changes


def configure(text: Path, base: Path, **changes: Any) -> TrainConfig:
    """Configure 6 steps from a model, unless changed."""
    return TrainConfig.from_options(**options(text, base, **changes))


def test_a_run_starts_with_the_model_and_keeps_all_of_it(text: Path, base: Path) -> None:
    (base / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    generation = {"do_sample": True, "temperature": 0.25, "max_new_tokens": 7, "eos_token_id": 0}
    (base / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    run = build_trainer(configure(text, base))
    assert run.folder == Path("models") / f"{base.name}-text"
    started, model = load_model(run.folder), load_model(base)
    assert started.weights == model.weights
    assert started.tokenizer.to_json() == model.tokenizer.to_json()
    assert replace(started, tokenizer=model.tokenizer) == model
    assert finish(run).engine.weights() != model.weights


@pytest.mark.parametrize("engine", sorted({"numpy", "numba", "torch"} & {*installed_engines()}))
def test_a_resumed_run_needs_no_base_and_equals_the_whole(
    engine: str, text: Path, base: Path, tmp_path: Path
) -> None:
    wanted = configure(text, base, engine=engine, block_size=12)
    whole = finish(build_trainer(wanted, tmp_path / "whole"))
    stopped = build_trainer(wanted, tmp_path / "stopped")
    stop_after(stopped, 0)
    stop_after(resume_trainer(tmp_path / "stopped"), 4)
    base.rename(tmp_path / "gone")
    elsewhere = {"from_": str(tmp_path / "whole" / ".." / base.relative_to(tmp_path))}
    resumed = finish(resume_trainer(tmp_path / "stopped", elsewhere))
    assert weights_file(resumed.folder) == weights_file(whole.folder)
    assert resumed.base == whole.base
    for one, other in zip(resumed.state.evaluations, whole.state.evaluations, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)


def test_the_run_is_repeated_by_its_file_and_by_its_options(text: Path, base: Path) -> None:
    run = finish(build_trainer(configure(text, base, block_size=12)))
    again = TrainConfig.from_options(**read_options(run.folder / CONFIG_PATH))
    assert again == run.config
    assert TrainConfig.from_json(json.loads(json.dumps(run.config.to_json()))) == run.config
    command = run.config.command_line()
    assert f"--from {base}" in command
    assert "--block-size 12" in command
    assert "--n-embd" not in command
    assert "--tokenizer" not in command


def test_sequences_may_be_shorter_than_the_context(text: Path, base: Path) -> None:
    run = build_trainer(configure(text, base, block_size=5))
    assert {len(sequence.ids) for sequence in run.training.batch(0, 4)} == {6}
    assert load_model(run.folder).config.block_size == SIZES["block_size"]


def test_losses_before_and_after_are_those_of_the_folders(text: Path, base: Path) -> None:
    run = finish(build_trainer(configure(text, base, learning_rate=0.01)))
    mine, general = loss_changes(run.state, run.base)
    assert general.text == "general text (python-docs)"
    before, after = (
        build_trainer(configure(text, folder)).evaluate() for folder in (base, run.folder)
    )
    assert (mine.before, general.before) == (before.validation_loss, before.general_loss)
    assert mine.after == pytest.approx(after.validation_loss, rel=1e-6)
    assert general.after == pytest.approx(after.general_loss, rel=1e-6)
    assert mine.after is not None
    assert mine.after < mine.before
    assert read_metrics(run.folder)[0][-1].general_loss == general.after


def test_the_card_names_the_model_but_no_folder_of_this_machine(
    text: Path, base: Path, tmp_path: Path
) -> None:
    run = finish(build_trainer(configure(text, base)))
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    assert f'base_model: "{base.name}"' in card
    assert f"--from {base.name}" in card
    assert str(tmp_path) not in card
    assert "| your validation text |" in card
    assert "| general text (python-docs) |" in card
    assert "from scratch" not in card
    hub = tmp_path / "models--some--model" / "snapshots" / "abc"
    shutil.copytree(base, hub)
    run = build_trainer(configure(text, hub))
    assert run.folder == Path("models/model-text")
    assert 'base_model: "some/model"' in (run.folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_layer": 2}, "--n-layer 2 does not go with --from, .* leave out --n-layer"),
        ({"n_embd": 16}, "--n-embd 16 does not go with --from"),
        ({"model_type": "llama"}, "--model-type llama does not go with --from"),
        ({"tokenizer": "char"}, "--tokenizer char does not go with --from"),
        ({"preset": "anexa"}, "--preset anexa is for new models, and --from continues one"),
        ({"block_size": 0}, "--block-size must be at least 1, not 0"),
        ({"block_size": 17}, "--block-size 17 is longer than the context .* 16 tokens"),
        ({"batch_tokens": 3, "batch_size": None}, "--batch-size and --batch-tokens"),
        ({"from_": "nowhere"}, "nowhere is not a model folder: there is no such folder"),
        ({"from_": "some/model"}, "hf download some/model"),
        ({"from_": "text.txt"}, "text.txt is not a model folder"),
    ],
)
def test_options_that_contradict_the_model_are_refused(
    changes: dict[str, Any], sentence: str, text: Path, base: Path
) -> None:
    with pytest.raises((AnexaError, UsageError), match=sentence):
        configure(text, base, **changes)
    assert configure(text, base, n_layer=1).model.n_layer == 1  # what it is anyway


def test_preset_without_a_model_is_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--preset finetune continues a model: name it with --fr"):
        build_trainer(TrainConfig.from_options(corpus=str(text), preset="finetune"), tmp_path / "m")


def test_freeze_without_a_model_is_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--freeze 0-1 has no effect: only a run that starts from"):
        build_trainer(settings(text).replace(freeze="0-1"), tmp_path / "m")


def refused(text: Path, base: Path, sentence: str, **changes: Any) -> None:
    """Assert that a run is refused, and that nothing is left of it."""
    with pytest.raises(AnexaError, match=sentence):
        build_trainer(configure(text, base, **changes), Path("new"))
    assert not list(Path().glob("*new*"))


def test_damaged_models_are_refused_and_nothing_is_written(text: Path, base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    name = next(iter(weights))
    spoiled = weights[name].copy()
    spoiled.flat[3] = float("nan")
    save_file(weights | {name: spoiled}, base / "model.safetensors", {"format": "pt"})
    refused(text, base, f"cannot be trained: its weight {name} has infinite or NaN")
    (base / "model.safetensors").unlink()
    refused(text, base, "it has no model.safetensors")
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    tokenizer = (base / "tokenizer.json").read_bytes()
    (base / "tokenizer.json").unlink()
    refused(text, base, "it has no tokenizer.json")
    (base / "tokenizer.json").write_bytes(tokenizer)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    quantized = config | {"quantization_config": {"bits": 4}}
    (base / "config.json").write_text(json.dumps(quantized), encoding="utf-8")
    refused(text, base, "quantized weights cannot be opened")


def test_a_folder_with_an_adapter_alone_is_refused(text: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}", encoding="utf-8")
    refused(text, tmp_path / "adapter", "adapter")


def test_the_folder_of_the_model_is_not_overwritten(text: Path, base: Path) -> None:
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    with pytest.raises(AnexaError, match="exists already: choose another folder with --out"):
        build_trainer(configure(text, base), base)
    finish(build_trainer(configure(text, base)))
    assert before == {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}


def test_a_table_may_have_more_rows_than_the_tokenizer_tokens(text: Path, base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    name = "transformer.wte.weight" if "transformer.wte.weight" in weights else "wte.weight"
    rows = np.concatenate([weights[name], np.zeros((5, 8), np.float32)])
    save_file(weights | {name: rows}, base / "model.safetensors", {"format": "pt"})
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] += 5
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    run = finish(build_trainer(configure(text, base)))
    trained = load_model(run.folder)
    assert trained.config.vocab_size == config["vocab_size"]
    assert trained.tokenizer.vocab_size == config["vocab_size"] - 5


def test_unknown_characters_are_counted_or_refused(text: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("anna\nhanna\nnana\n" * 5, encoding="utf-8")
    base = build_trainer(settings(names), tmp_path / "base").folder
    refused(text, base, "does not fit the tokenizer: .* model, with --from")
    run = build_trainer(configure(text, base, allow_unknown=True))
    assert any("are not in the vocabulary" in note for note in run.notes)
    assert any("no general text suits this model" in note for note in run.notes)
    assert [change.text for change in loss_changes(run.state, run.base)] == ["your validation text"]


def test_a_corpus_of_the_user_is_no_general_text(text: Path, base: Path) -> None:
    config = configure(text, base, allow_unknown=True)
    run = build_trainer(config.replace(corpus=(f"{text}:9", "python-docs:1")))
    assert run.general is None


def test_a_model_in_a_json_file_can_be_continued(text: Path, base: Path) -> None:
    write_model_json(Path("one.json"), load_model(base))
    run = build_trainer(configure(text, Path("one.json")))
    assert run.folder == Path("models/one-text")
    assert load_model(run.folder).weights == load_model(base).weights


def test_the_record_has_the_hash_that_the_hub_shows(text: Path, base: Path) -> None:
    run = build_trainer(configure(text, base))
    base_record = read_checkpoint(run.folder).base
    assert base_record is not None
    wanted = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    assert (base_record.name, base_record.sha256) == (base.name, wanted)


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ("embeddings", {"model.embed_tokens.weight"}),
        ("head, embeddings", {"model.embed_tokens.weight", "lm_head.weight"}),
        ("norms", {name for name in NAMES if "norm" in name}),
        ("1-2", {name for name in NAMES if ".1." in name or ".2." in name}),
        ("0,head", {name for name in NAMES if ".0." in name or name.startswith("lm_head")}),
        ("", set()),
    ],
)
def test_groups_of_weights(groups: str, wanted: set[str]) -> None:
    assert frozen_weights(groups, LLAMA) == wanted


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ("layers", "--freeze has no group 'layers': name embeddings, positions, norms, head, or"),
        ("0,", "--freeze has no group ''"),
        ("0-3", "--freeze 0-3: the layers of this model are 0 to 2"),
        ("2-1", "--freeze 2-1: the layers of this model are 0 to 2"),
        ("positions", "--freeze positions: this model has no such weights: leave it out"),
        ("embeddings,0-2,norms,head", "--freeze .* leaves no weight to train: name fewer groups"),
    ],
)
def test_groups_that_cannot_be_frozen_are_refused(groups: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        frozen_weights(groups, LLAMA)


@pytest.mark.parametrize("engine", ["numpy", "torch", "numba", "lists"])
def test_frozen_weights_keep_their_values(text: Path, base: Path, engine: str) -> None:
    """Also those of a run that was stopped and resumed, which ends as one that never stopped."""
    pytest.importorskip(engine if engine in ("torch", "numba") else "numpy")
    length = {"evaluations": 1, "steps": 4, "engine": engine}
    config = configure(text, base, freeze="embeddings,norms", **length)
    frozen = frozen_weights("embeddings,norms", load_model(base).config)
    whole = finish(build_trainer(config, Path("whole")))
    stop_after(build_trainer(config, Path("stopped")), 2)
    resumed = finish(resume_trainer(Path("stopped")))
    before, after = load_model(base).weights, load_model(whole.folder).weights
    assert all(before[name] == after[name] for name in frozen)
    assert all(before[name] != after[name] for name in before.keys() - frozen)
    assert resumed.engine.weights() == whole.engine.weights()
    assert resumed.engine.optimizer_state() == whole.engine.optimizer_state()
    assert not any(name[2:] in frozen for name in whole.engine.optimizer_state())
    with pytest.raises(UsageError, match="--freeze"):
        resume_trainer(resumed.folder, {"freeze": "norms", "steps": 8})


@pytest.mark.parametrize("changes", [{"lora": 2}, {"freeze": "embeddings"}])
def test_frozen_weights_are_written_once(changes: dict[str, Any], text: Path, base: Path) -> None:
    """Each checkpoint has the trained weights and their moments alone."""
    run = build_trainer(configure(text, base, **changes, evaluations=6), Path("out"))
    frozen = Path("out") / FROZEN_PATH
    first = frozen.stat()
    stop_after(run, 3)
    assert (frozen.stat().st_ino, frozen.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    written, kept = load_file(Path("out") / CHECKPOINT_PATH), load_file(frozen)
    trained = run_optimizer_config(run.config, run.model_config).trainable(run.model_config)
    assert {name for name in written if name.startswith("w.")} == {f"w.{name}" for name in trained}
    assert not kept.keys() & written.keys()
    assert read_checkpoint(Path("out")).weights == run.engine.weights()
    finish(resume_trainer(Path("out")))
    frozen.unlink()
    with pytest.raises(AnexaError, match=r"frozen\.safetensors"):
        read_checkpoint(Path("out"))


def test_frozen_weights_of_another_run_are_refused(text: Path, base: Path) -> None:
    """Otherwise trained weights could be replaced by those that the other run did not train."""
    for name, groups in ("a", "embeddings"), ("b", "embeddings,norms"):
        stop_after(build_trainer(configure(text, base, freeze=groups), Path(name)), 1)
    shutil.copy(Path("b") / FROZEN_PATH, Path("a") / FROZEN_PATH)
    with pytest.raises(AnexaError, match="has the weights of another run: replace it"):
        read_checkpoint(Path("a"))


def test_a_tied_head_is_the_table_of_embeddings() -> None:
    with pytest.raises(UsageError, match="its head is its table of embeddings, freeze embeddings"):
        frozen_weights("head", replace(LLAMA, tie_word_embeddings=True))
    gpt2 = replace(LLAMA, model_type="gpt2", tie_word_embeddings=True)
    assert frozen_weights("positions", gpt2) == {"wpe.weight"}
    assert "h.0.ln_1.bias" in frozen_weights("norms", gpt2)
    assert "ln_f.weight" in frozen_weights("norms", gpt2)
