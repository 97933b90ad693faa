"""A model of conversations: from a file of fifty of them to an answer."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from anexa.data.conversation_format import has_conversations
from anexa.errors import AnexaError, UsageError
from anexa.generation import LanguageModel, TextStream
from anexa.model.chat_format import END_THINK, THINK
from anexa.model.general_template import general_template, general_tokens
from anexa.training import (
    SampleCallback,
    TrainConfig,
    Trainer,
    build_trainer,
    resume_trainer,
)
from anexa.training.conversation_corpus import ConversationCorpus
from anexa.training.metrics import read_metrics
from anexa.training.opening import open_corpus
from anexa.training.presets import choose_preset
from tests.training.runs import finish, stop_after, weights_file

COLORS = {"rose": "red", "mint": "green", "iris": "blue", "lily": "white"}


def write_conversations(folder: Path, count: int = 50, *, thoughts: bool = False) -> Path:
    """Write short conversations about the colors of flowers, of one turn or two."""
    rng, path, rows = random.Random(0), folder / "flowers.jsonl", []
    for number in range(count):
        messages = [{"role": "system", "content": f"You are number {number}."}]
        for flower in rng.sample(list(COLORS), 1 + number % 2):
            thought = {"reasoning": f"a {flower}"} if thoughts else {}
            messages += [
                {"role": "user", "content": f"What color is the {flower}?"},
                {"role": "assistant", "content": f"It is {COLORS[flower]}.", **thought},
            ]
        rows.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def config(path: Path, **changes: Any) -> TrainConfig:
    """Configure a tiny run."""
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 64}
    options = {"engine": "numpy", "steps": 6, "batch_size": 4, "evaluations": 2, **sizes}
    return TrainConfig.from_options(corpus=str(path), **options | changes)


def corpus_of(path: Path) -> ConversationCorpus:
    corpus = open_corpus(str(path), "auto")
    assert isinstance(corpus, ConversationCorpus)
    return corpus


@pytest.mark.parametrize("tokenizer", ["char", "bpe:300"])
@pytest.mark.parametrize("thoughts", [False, True])
def test_file_of_conversations_makes_a_chat_model(
    tmp_path: Path, tokenizer: str, thoughts: bool
) -> None:
    path = write_conversations(tmp_path, thoughts=thoughts)
    options = config(path, tokenizer=tokenizer, block_size=128)
    run = finish(build_trainer(options, tmp_path / "model"))
    assert "read as messages: 50 conversations" in run.notes
    assert run.corpus.sample_prompt == "<|user|>What color is the lily?<|assistant|>"
    model = LanguageModel.open(tmp_path / "model", "numpy")
    assert model.chat_template == general_template(thinking=thoughts)
    ids = [model.tokenizer.token_to_id(token) for token in general_tokens(thinking=thoughts)]
    assert None not in ids
    conversation = [
        {"role": "system", "content": "You are number 1."},
        {"role": "user", "content": "What color is the rose?"},
        {"role": "assistant", "content": "It is red."},
        {"role": "user", "content": "What color is the mint?"},
    ]
    prompt = model.render_prompt(conversation)
    assert prompt == (
        "<|system|>You are number 1.<|user|>What color is the rose?<|assistant|>It is red."
        "<|endoftext|><|user|>What color is the mint?<|assistant|>"
    )
    no_thought = f"{THINK}{END_THINK}" if thoughts else ""
    assert model.render_prompt(conversation, thinking=False) == prompt + no_thought
    assert model.chat(conversation, max_tokens=5, temperature=0).num_tokens <= 5


def test_samples_answer_a_question_that_fits(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    long = [{"role": "user", "content": "a" * 300}, {"role": "assistant", "content": "b"}]
    path.write_text(json.dumps({"messages": long}) + "\n" + path.read_text("utf-8"), "utf-8")
    run = build_trainer(config(path), tmp_path / "model")
    assert run.corpus.sample_prompt == "<|user|>What color is the lily?<|assistant|>"
    run.fit([SampleCallback()])
    assert read_metrics(run.folder)[1]
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"{name} {'a' * 200}"}, *more]})
            + "\n"
            for name in ("anna", "otto")
            for more in [[long[1], {"role": "user", "content": name}, long[1]]]
        ),
        "utf-8",
    )
    run = build_trainer(config(path, block_size=250), tmp_path / "short")
    assert run.corpus.sample_prompt == "<|user|>anna<|assistant|>"


def test_a_sample_whose_prompt_does_not_fit_is_left_out(tmp_path: Path) -> None:
    run = build_trainer(config(write_conversations(tmp_path), block_size=64), tmp_path / "model")
    run.corpus = run.corpus.for_model(run.tokenizer, "You are a garden. " * 9)
    run.fit([SampleCallback()])
    assert run.done
    assert not read_metrics(run.folder)[1]


def test_a_sample_without_memory_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_trainer(config(write_conversations(tmp_path)), tmp_path / "model")

    def fail(*_: object) -> str:
        raise MemoryError

    monkeypatch.setattr(TextStream, "add", fail)
    run.fit([SampleCallback()])
    assert run.done
    assert not read_metrics(run.folder)[1]


def test_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    finish(build_trainer(config(path), tmp_path / "whole"))
    stop_after(build_trainer(config(path), tmp_path / "stopped"), 3)
    finish(resume_trainer(tmp_path / "stopped"))
    assert weights_file(tmp_path / "stopped") == weights_file(tmp_path / "whole")


def test_epochs_are_counted_in_tokens(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    run: Trainer = build_trainer(config(path, steps=None, epochs=2.0), tmp_path / "model")
    assert run.clock.steps is not None
    seen = [s for step in range(run.clock.steps) for s in run.training.batch(step, 4)]
    assert len(run.training) * 2 * 0.8 <= len(seen) <= len(run.training) * 2 * 1.2  # type: ignore[arg-type]


def test_text_layout_learns_the_file_as_it_is(tmp_path: Path) -> None:
    corpus = open_corpus(str(write_conversations(tmp_path)), "text")
    assert not isinstance(corpus, ConversationCorpus)
    assert corpus.chat_template is None


def test_other_json_lines_are_no_conversations(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "Once"}\n{"text": "twice"}\n', encoding="utf-8")
    assert not has_conversations(str(path))
    assert choose_preset([str(path)]) == "anexa"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_conversations_are_recognized_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    row = {"messages": [{"role": "user", "content": "Schöne Grüße"}]}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding=encoding)
    assert has_conversations(str(path))


def test_conversations_are_recognized_by_the_first_rows_alone(tmp_path: Path) -> None:
    """What comes later, and would be refused, is not read."""
    path = tmp_path / "chat.jsonl"
    row = json.dumps({"messages": [{"role": "user", "content": "a" * 100_000}]}) + "\n"
    path.write_bytes(row.encode() * 25 + b"\0\xff")
    assert has_conversations(str(path))
    path.write_bytes(row.encode() + b"\0\xff")
    assert not has_conversations(str(path))
    with pytest.raises(AnexaError, match="NUL"):
        open_corpus(str(path), "auto")


def test_conversations_have_a_preset_of_their_own(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    assert choose_preset([str(path)]) == choose_preset(["garden"]) == "anexa-chat"
    assert not has_conversations(str(tmp_path / "missing.jsonl"))


def test_tokenizer_made_elsewhere_gets_the_tags(tmp_path: Path) -> None:
    other = tmp_path / "other"
    finish(build_trainer(config(write_conversations(tmp_path), steps=1), other))
    corpus = corpus_of(write_conversations(tmp_path, thoughts=True))
    tokenizer = corpus.make_tokenizer(str(other))
    assert [len(tokenizer.encode(tag)) for tag in general_tokens(thinking=True)] == [1] * 5


def test_vocabulary_must_have_room_for_the_tags(tmp_path: Path) -> None:
    corpus = corpus_of(write_conversations(tmp_path))
    assert corpus.make_tokenizer("bpe:260").vocab_size == 260
    with pytest.raises(UsageError, match="at least 260 tokens"):
        corpus.make_tokenizer("bpe:259")
    with pytest.raises(UsageError, match="bpe:٣٠٠: the vocabulary size of BPE must be"):
        corpus.make_tokenizer("bpe:٣٠٠")


def test_context_without_room_for_a_turn_is_refused(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    with pytest.raises(AnexaError, match="no conversation that fits the context of 16 tokens"):
        build_trainer(config(path, block_size=16), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_single_conversation_cannot_be_split(tmp_path: Path) -> None:
    path = write_conversations(tmp_path, 1)
    path.write_text(path.read_text(encoding="utf-8") * 3, encoding="utf-8")
    with pytest.raises(AnexaError, match="has 1 conversation to train on"):
        build_trainer(config(path), tmp_path / "model")


def test_compressed_file_has_the_same_conversations(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    compressed = path.with_suffix(".jsonl.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert corpus_of(compressed).sha256 == corpus_of(path).sha256


def test_bad_rows_are_left_out_with_skip_bad(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    good = path.read_text(encoding="utf-8")
    special = json.dumps({"messages": [
        {"role": "user", "content": "<|user|>"}, {"role": "assistant", "content": "No."},
    ]})  # fmt: skip
    path.write_text(f"{{\n{good}{special}\n", encoding="utf-8")
    with pytest.raises(AnexaError, match=r"line 1 of flowers\.jsonl is cut off.*--skip-bad"):
        build_trainer(config(path), tmp_path / "model")
    run = build_trainer(config(path, skip_bad=True), tmp_path / "model")
    assert {
        "read as messages: 51 conversations",
        "left out: line 1, which is cut off: its JSON does not end",
        "left out: line 52, which contains <|user|>, which is a special token of the model",
    } <= set(run.notes)
    assert len(run.training) + len(run.validation) == 50  # type: ignore[arg-type]
