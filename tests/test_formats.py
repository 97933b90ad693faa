"""What is given in place of a text, a tokenizer or a model folder is recognized at every door."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from anexa.data import read_corpus
from anexa.errors import AnexaError
from anexa.formats import recognize, recognize_markup
from anexa.model.folder import ModelFolder
from anexa.model.loading import load_model
from anexa.training.tokenizers import check_tokenizer_spec, make_tokenizer
from tests.cli.process import anexa, one_sentence
from tests.data.helpers import documents


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("text.txt", "a text")
    return file.getvalue()


def office(member: str, content: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, content)
        archive.writestr("other.xml", "<a/>")
    return file.getvalue()


FILES = {
    "m.ggml": (b"GGUF\3\0\0\0", "it is a GGUF file"),
    "packed": (gzip.compress(b"a text"), "it is compressed: unpack it first, with gunzip"),
    "zipped": (zipped(), "it is a ZIP archive"),
    "table": (b"PAR1\x15\0", "it is a Parquet file"),
    "text.pdf": (b"%PDF-1.7\n", "it is a PDF"),
    "letter.docx": (office("[Content_Types].xml"), "it is an Office file: .* pandoc -t plain"),
    "letter.odt": (
        office("mimetype", "application/vnd.oasis.opendocument.text"),
        "it is an OpenDocument file",
    ),
    "book.epub": (office("mimetype", "application/epub+zip"), "it is a book"),
    "letter.rtf": (b"{\\rtf1\\ansi a}", "it is RTF"),
    "letter.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is a file of an old Office program"),
    "photo.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "it is a picture"),
    "model.safetensors": (b'\x40\0\0\0\0\0\0\0{"a": {}}', "it has the weights of a model"),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, (content, _) in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "lora").mkdir()
    config = {"base_model_name_or_path": "ada/base", "peft_type": "LORA"}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_files_are_recognized_at_every_door(name: str, place: Path) -> None:
    path, clause = place / name, FILES[name][1]
    for layout in ("auto", "text"):
        with pytest.raises(AnexaError, match=f"{name} is not a text file: {clause}"):
            read_corpus(str(path), layout)
    with pytest.raises(AnexaError, match=f"{name} is not a model folder: {clause}"):
        load_model(path)
    with pytest.raises(AnexaError, match=f"{name} is not a tokenizer: {clause}"):
        make_tokenizer(str(path), documents("text", "abc"))


def test_texts_that_begin_like_other_files_are_texts(tmp_path: Path) -> None:
    for number, text in enumerate(("GGUF is a format.", "PAR12", "BZh", "%PDF", "(a", "PK")):
        path = tmp_path / f"{number}.txt"
        path.write_text(text, "utf-8")
        assert read_corpus(str(path)).size == len(text)


def test_adapter_is_recognized_at_every_door(place: Path) -> None:
    clause = "it is a LoRA adapter of ada/base: merge it into that model"
    with pytest.raises(AnexaError, match=f"lora is a folder: {clause}"):
        read_corpus(str(place / "lora"))
    with pytest.raises(AnexaError, match=f"lora is not a model folder: {clause}"):
        _ = ModelFolder(place / "lora").config  # to be published
    with pytest.raises(AnexaError, match=f"lora is not a tokenizer: {clause}"):
        make_tokenizer(str(place / "lora"), documents("text", "abc"))


def test_names_on_the_hub_and_web_addresses_are_recognized(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    clause = "hf download openai-community/gpt2 --local-dir gpt2"
    for door in (lambda name: load_model(Path(name)), check_tokenizer_spec):
        with pytest.raises(AnexaError, match=clause):
            door("openai-community/gpt2")
        with pytest.raises(AnexaError, match="it is a web address: download it first"):
            door("https://example.org/gpt2")
    with pytest.raises(AnexaError, match="hf download --repo-type dataset ada/poems --local-dir p"):
        read_corpus("ada/poems")
    with pytest.raises(AnexaError, match=r"poems\.txt is not a text file: it is a web address"):
        read_corpus("https://example.org/poems.txt")
    for name in ("models/diary", "lora/other", "a/b/c", "text", "./a", "a b/c"):
        assert recognize(name) is None


def test_empty_tokenizer_is_named_as_what_it_is() -> None:
    with pytest.raises(AnexaError, match="there is no tokenizer '': --tokenizer is char, bpe:4096"):
        check_tokenizer_spec("")


@pytest.mark.parametrize(
    ("text", "suffix", "kind"),
    [
        ('{"text": "a"}\n{"text": "b"}\n', ".txt", "JSON"),
        ('[\n {"text": "a"}\n]', "", "JSON"),
        ('{"text":\n "a"}', "", "JSON"),
        ("abc", ".jsonl", "JSON"),
        ('name,born,died\nAda,1815,1852\nAlan,1912,1954\n"B, C",1,2\n', "", "a table"),
        ("a\tb\tc\n" * 4, "", "a table"),
        ("a;b\n", ".CSV", "a table"),
        ("<!DOCTYPE html>\n<p>a", "", "HTML or XML"),
        ("\n<html>", "", "HTML or XML"),
        ('<?xml version="1.0"?>', "", "HTML or XML"),
        ("a", ".htm", "HTML or XML"),
        ("anna\nbella\n", ".txt", None),
        ("To be, or not to be, that is\nthe question, whether, o\n" * 5, "", None),
        ("Last, First\nDoe, Jane\n" * 9, "", None),
        ("[1] A footnote.\n[2] Another one.\n", "", None),
        ("1\n2\n3\n", "", None),
        ("{a set}\n", "", None),
        ("", "", None),
    ],
)
def test_markup_is_recognized(text: str, suffix: str, kind: str | None) -> None:
    assert recognize_markup(text, suffix) == kind


def test_markup_is_trained_on_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('{"text": "a"}\n{"text": "b"}\n', "utf-8")
    with pytest.raises(AnexaError, match=r"a\.txt looks like JSON, .* or give --layout text"):
        read_corpus(str(path))
    assert read_corpus(str(path), "text").size == path.stat().st_size
    assert read_corpus(str(path), "lines").layout == "lines"


@pytest.mark.parametrize("command", ["chat", "generate", "serve", "export --to json"])
def test_commands_say_what_they_were_given(command: str, place: Path) -> None:
    name, *options = command.split()
    result = anexa(name, "m.ggml", *options, cwd=place)
    assert result.returncode == 1
    assert "m.ggml is not a model folder: it is a GGUF file" in one_sentence(result)
