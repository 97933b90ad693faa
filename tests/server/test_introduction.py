"""What a served model says about itself: from its model card, or by what it can read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import anexa
from anexa.data.garden import conversations
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.server.introduction import introduce
from anexa.thinking.questions import parse_question


def introduced(folder: Path, card: bytes, tmp_path: Path) -> tuple[str, ...]:
    """Examples of a copy of a model folder with another model card."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_bytes(card)
    return introduce(anexa.load(copy)).examples


def test_bundled_model_does_arithmetic() -> None:
    introduction = introduce(anexa.load())
    assert introduction.task == "arithmetic"
    assert "up to 20 digits" in introduction.description
    assert len(introduction.examples) == 3
    assert [parse_question(one).expected for one in introduction.examples] == [
        "29842",
        "4525",
        "41",
    ]


def test_chat_model_with_another_corpus(parrot: Path) -> None:
    introduction = introduce(anexa.load(parrot))
    assert introduction.task == "chat"
    assert introduction.description == "This model answers messages."


def test_base_model_has_examples_that_it_can_read(names_model: Path) -> None:
    model = anexa.load(names_model)
    introduction = introduce(model)
    assert introduction.task == "text"
    assert introduction.description.endswith("It was trained on names.txt.")
    assert introduction.examples
    for example in introduction.examples:
        model.generate(example, max_tokens=1)


@pytest.mark.parametrize(
    ("card", "examples"),
    [
        (b'---\nwidget: [{"text": "an"}, {"text": "el"}]\ntags: []\n---\n# names', ("an", "el")),
        (b"---\nwidget:\n- text: an\n- text: 'el'\ntags:\n- a\n---\n", ("an", "el")),
        (b'---\nwidget:\n  - text: "an\\u0061"\n---\n', ("ana",)),
        (b"---\r\nwidget:\r\n- text: an\r\n---\r\n", ("an",)),
        (b"---\nwidget: [1, 2\n---\n", None),
        (b"---\nwidget: {}\n---\n", None),
        (b'---\nwidget: [{"text": 7}, null, [], {"src": "a.png"}]\n---\n', None),
        (b'---\nwidget: ["' + b"a" * 201 + b'"]\n---\n', None),
        (b"---\nwidget: " + b"[" * 50_000 + b"\n---\n", None),
        (b'---\ndatasets: ["names"]\n---\n', ("ma", "el")),
        (b'# no header\n---\nwidget: ["an"]\n---\n', None),
        (b"\xff\xfe not UTF-8", None),
        (b"", None),
    ],
)
def test_examples_of_the_model_card(
    names_model: Path, tmp_path: Path, card: bytes, examples: tuple[str, ...] | None
) -> None:
    usual = introduce(anexa.load(names_model)).examples
    assert introduced(names_model, card, tmp_path) == (examples or usual)


def test_model_of_garden_has_questions_that_it_knows(tmp_path: Path) -> None:
    examples = introduced(BUNDLED_FOLDER, b'---\ndatasets: ["garden"]\n---\n', tmp_path)
    known = {m["content"] for messages in conversations(2000) for m in messages}
    assert len(examples) == 3
    assert set(examples) <= known
