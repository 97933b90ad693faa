"""Conversations and arithmetic train a model that exists, with the chat template that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anexa.errors import AnexaError
from anexa.explore.replay import Replay
from anexa.model.general_template import general_template
from anexa.model.loading import load_model
from anexa.training import RunOptions, SampleCallback, TrainConfig, build_trainer, resume_trainer
from anexa.training.evaluation import to_batch
from tests.explore.test_replay import done
from tests.training.runs import finish, stop_after, sums, weights_file
from tests.training.test_conversation_corpus import config, write_conversations

# The template of some other program, with roles that are lines.
THEIRS = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '# answer\\n' + message.content + eos_token -}}
{%- else -%}
{{- '# ' + message.role + '\\n' + message.content + '\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '# answer\\n' -}}{%- endif -%}
"""


def continued(corpus: Path | str, base: Path, **changes: Any) -> TrainConfig:
    """Configure 6 steps from a model, unless changed."""
    options = {"engine": "numpy", "steps": 6, "batch_size": 4, "evaluations": 2}
    return TrainConfig.from_options(corpus=str(corpus), from_=str(base), **options | changes)


def base_model(folder: Path) -> Path:
    """Train a model of running text, without a chat template."""
    text = folder / "text.txt"
    text.write_text("System: User: Assistant: What color is the rose? It is red. " * 40, "utf-8")
    run = build_trainer(
        config(text, tokenizer="bpe:300", layout="text", block_size=128), folder / "base"
    )
    return finish(run).folder


def test_model_of_text_becomes_a_chat_model_with_roles_in_words(tmp_path: Path) -> None:
    conversations, base = write_conversations(tmp_path, thoughts=True), base_model(tmp_path)
    run = finish(build_trainer(continued(conversations, base), tmp_path / "chat"))
    chat = load_model(run.folder)
    assert chat.chat_template == general_template(thinking=True, tagged=False)
    assert chat.config == load_model(base).config


def test_a_tokenizer_without_the_characters_of_the_template_is_refused(tmp_path: Path) -> None:
    conversations, text = write_conversations(tmp_path), tmp_path / "text.txt"
    text.write_text("What color is the rose? It is red. " * 40, "utf-8")
    base = build_trainer(config(text, tokenizer="char", layout="text"), tmp_path / "base").folder
    with pytest.raises(AnexaError, match=r"lacks 'U', ':', .* of the chat template: start from"):
        build_trainer(continued(conversations, base, allow_unknown=True), tmp_path / "chat")
    assert not (tmp_path / "chat").exists()


def test_unknown_characters_of_a_question_are_left_out_of_the_prompt_of_samples(
    tmp_path: Path,
) -> None:
    conversations, text = write_conversations(tmp_path), tmp_path / "text.txt"
    text.write_text("User: Assistant: What color is the rose It is red.\n" * 40, "utf-8")
    small = config(text, tokenizer="char", layout="text", block_size=128)
    base = build_trainer(small, tmp_path / "base").folder
    run = build_trainer(continued(conversations, base, allow_unknown=True), tmp_path / "chat")
    assert run.tokenizer.unknown_characters(run.corpus.sample_prompt) == ["y", "?"]
    run.fit([SampleCallback()])
    assert run.done


def test_template_of_the_model_wins(tmp_path: Path) -> None:
    conversations, base = write_conversations(tmp_path), base_model(tmp_path)
    (base / "chat_template.jinja").write_text(THEIRS, encoding="utf-8")
    wanted = continued(conversations, base)
    whole = build_trainer(wanted, tmp_path / "whole")
    first = whole.tokenizer.decode(whole.training.batch(0, 1)[0].ids)
    assert first.startswith("# system\nYou are number")
    assert "# answer\nIt is" in first
    finish(whole)
    assert load_model(whole.folder).chat_template == THEIRS
    stop_after(build_trainer(wanted, tmp_path / "stopped"), 4)
    resumed = finish(resume_trainer(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)


def test_steps_of_a_continued_chat_model_can_be_replayed(tmp_path: Path) -> None:
    conversations, base = write_conversations(tmp_path), base_model(tmp_path)
    (base / "chat_template.jinja").write_text(THEIRS, encoding="utf-8")
    run = build_trainer(
        continued(conversations, base, block_size=120),
        tmp_path / "kept",
        RunOptions(history_budget=10**8),
    )
    finish(run)
    base.rename(tmp_path / "gone")
    replay = Replay(run.folder)
    assert replay.batch(1) == to_batch(run.training.batch(0, 4))
    assert done(replay.state(6)).step == 6


def test_conversations_and_texts_can_be_mixed(tmp_path: Path) -> None:
    conversations, base = write_conversations(tmp_path), base_model(tmp_path)
    corpora = (f"{conversations}:3", f"{tmp_path / 'text.txt'}:1")
    options = {"engine": "numpy", "steps": 6, "batch_size": 4, "evaluations": 2, "from_": str(base)}
    wanted = TrainConfig.from_options(corpus=corpora, **options)
    whole = finish(build_trainer(wanted, tmp_path / "whole"))
    stop_after(build_trainer(wanted, tmp_path / "stopped"), 3)
    resumed = finish(resume_trainer(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)
    assert "User: " in (load_model(whole.folder).chat_template or "")


def test_arithmetic_continues_models_of_arithmetic_alone(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="arithmetic is for models that were trained on it, and"):
        build_trainer(continued("arithmetic", base_model(tmp_path)), tmp_path / "m")
    base = finish(build_trainer(sums(), tmp_path / "sums")).folder
    run = build_trainer(continued("arithmetic", base), tmp_path / "more")
    assert run.general is None
    finish(run)
    conversations = write_conversations(tmp_path)
    run = build_trainer(continued(conversations, base, allow_unknown=True), tmp_path / "flowers")
    assert run.general is not None
    assert run.general.name == "arithmetic"
