"""Encoding of a corpus as datasets, with each kind of tokenizer, and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anexa.data import read_corpus
from anexa.data.splitting import dataset_notes
from anexa.errors import AnexaError, UsageError
from anexa.model.folder import create_folder
from anexa.model.tokenizer import Tokenizer
from anexa.training import build_trainer, corpus, resume_trainer, tokenizers
from anexa.training.corpus import (
    TextCorpus,
    make_datasets,
    tokenizer_notes,
    unknown_character_notes,
)
from anexa.training.opening import check_corpus_unchanged
from anexa.training.sections import DataConfig
from anexa.training.tokenizers import bpe_vocab_size, make_tokenizer
from tests.data.helpers import documents, texts
from tests.model.helpers import small_model
from tests.training.runs import finish, settings, write_names

SENTENCE = "the cat sat on the mat, and the rat sat on the cat.\n"
TEXT = documents("text", SENTENCE * 9)
NAMES = documents("lines", "anna\nhanna\nbela\nella\n")


# Which tokenizer


def test_character_tokenizer_has_every_character_of_the_corpus() -> None:
    tokenizer = make_tokenizer("char", TEXT)
    assert tokenizer.vocab_size == len(set(SENTENCE)) + 1
    assert not tokenizer.adds_bos
    names = make_tokenizer("char", NAMES)
    assert names.adds_bos
    assert names.vocab_size == len(set("annahannabelaella")) + 1  # no line end among them


def test_bpe_tokenizer_has_the_requested_size_or_less() -> None:
    tokenizer = make_tokenizer("bpe:270", TEXT)
    assert tokenizer.vocab_size == 270
    assert len(tokenizer.encode(SENTENCE)) < len(SENTENCE) - 10
    assert not tokenizer.adds_bos
    assert make_tokenizer("bpe:258", NAMES).adds_bos
    assert make_tokenizer("bpe:100000", TEXT).vocab_size < 400, "as many as there are"


def test_bpe_is_trained_on_a_sample_of_a_large_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anexa.data.reading.CHUNK_SIZE", 10)
    monkeypatch.setattr(tokenizers, "BPE_SAMPLE", 60)
    many = documents("lines", "abababab\n\n" * 10 + "cdcdcdcd\n\n" * 10)
    learned = make_tokenizer("bpe:300", many)
    assert len(learned.encode("abababab")) == len(learned.encode("cdcdcdcd")) < 8, "from all parts"
    few = documents("lines", "abababab\n\ncdcdcdcd\n\n" * 6)  # each second one
    learned = make_tokenizer("bpe:300", few)
    assert len(learned.encode("abababab")) < len(learned.encode("cdcdcdcd")) == 8


@pytest.mark.parametrize(
    "spec", ["bpe:", "bpe:256", "bpe:-1", "bpe:0", "bpe:4k", "bpe:1000001", "bpe:" + "9" * 30]
)
def test_invalid_bpe_sizes_are_refused(spec: str) -> None:
    for _ in range(2):
        with pytest.raises(
            UsageError, match=f"--tokenizer {spec}: the vocabulary size .* from 257"
        ):
            make_tokenizer(spec, TEXT)


def test_bpe_size_is_parsed() -> None:
    assert [bpe_vocab_size(spec) for spec in ("bpe:257", "bpe:1000000", "char", "a/bpe:1")] == [
        257,
        1_000_000,
        None,
        None,
    ]


@pytest.mark.parametrize("as_folder", [True, False])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_existing_tokenizer_is_loaded(as_folder: bool, adds_bos: bool, tmp_path: Path) -> None:
    trained = Tokenizer.train_bpe(["ab ab abc"], 300, adds_bos)
    create_folder(tmp_path / "model", small_model(tokenizer=trained), "")
    spec = tmp_path / "model" if as_folder else tmp_path / "model" / "tokenizer.json"
    for layout in (TEXT, NAMES):
        found = make_tokenizer(str(spec), layout)
        assert found.encode(SENTENCE) == trained.encode(SENTENCE)
        assert found.adds_bos == (layout is NAMES), "as the corpus is, not the model"
        assert found.encode_prompt("a")[-1:] == trained.encode("a")


def test_missing_or_unusable_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"no tokenizer 'chars': --tokenizer is char, bpe:4096"):
        make_tokenizer("chars", TEXT)
    with pytest.raises(AnexaError, match=r"it has no tokenizer\.json"):
        make_tokenizer(str(tmp_path), TEXT)
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(AnexaError, match=r"--tokenizer .*x\.json: tokenizer\.json is damaged"):
        make_tokenizer(str(tmp_path / "x.json"), TEXT)
    foreign = make_tokenizer("bpe:260", TEXT).to_json().replace("<|endoftext|>", "</s>")
    (tmp_path / "x.json").write_text(foreign, encoding="utf-8")
    with pytest.raises(AnexaError, match=r"x\.json: the tokenizer has no token <\|endoftext\|>"):
        make_tokenizer(str(tmp_path / "x.json"), TEXT)


# What comes of it


@pytest.mark.parametrize("spec", ["char", "bpe:300"])
def test_windows_contain_the_text(spec: str) -> None:
    tokenizer = make_tokenizer(spec, TEXT)
    training, validation = make_datasets(TEXT, tokenizer, 8, seed=1)
    rows = [row.ids for row in (*training.eval_sequences(10**9), *validation.eval_sequences(10**9))]
    assert rows[0][0] == tokenizer.eot_token_id
    assert tokenizer.decode([token for row in rows for token in row[1:]]) == SENTENCE * 9


@pytest.mark.parametrize("spec", ["char", "bpe:300"])
def test_sequences_contain_the_documents(spec: str) -> None:
    tokenizer = make_tokenizer(spec, NAMES)
    training, validation = make_datasets(NAMES, tokenizer, 30, seed=1)
    rows = [row.ids for row in (*training.eval_sequences(10**9), *validation.eval_sequences(10**9))]
    assert all(row[0] == row[-1] == tokenizer.eot_token_id for row in rows)
    assert sorted(map(tokenizer.decode, rows)) == sorted(texts(NAMES))


def test_unknown_characters_are_counted_in_the_whole_corpus() -> None:
    tokenizer = make_tokenizer("char", TEXT)
    assert unknown_character_notes(TextCorpus(TEXT), tokenizer, allowed=False) == ()
    some = TextCorpus(documents("text", SENTENCE * 20 + "<|endoftext|>" + "é" + SENTENCE + "ü"))
    [note] = unknown_character_notes(some, tokenizer, allowed=False)
    assert note.startswith(
        "2 of 1,094 characters (0.18%) are not in the vocabulary of the tokenizer: 'é', 'ü'; they"
    )
    for strange in (documents("text", "да" * 99), documents("lines", "anna\nдада\n" * 99)):
        with pytest.raises(AnexaError, match=r"x does not fit the tokenizer: .* \((100|50)\.00%\)"):
            unknown_character_notes(TextCorpus(strange), tokenizer, allowed=False)
        assert unknown_character_notes(TextCorpus(strange), tokenizer, allowed=True)
    bytes_know_all = make_tokenizer("bpe:300", NAMES)
    assert unknown_character_notes(TextCorpus(documents("text", "да")), bytes_know_all, False) == ()


def test_unknown_characters_are_counted_before_a_run_begins(tmp_path: Path) -> None:
    names = finish(build_trainer(settings(write_names(tmp_path), steps=1), tmp_path / "a")).folder
    path = tmp_path / "cyrillic.txt"
    path.write_text("анна\nнина\nлена\nмила\n" * 20, encoding="utf-8")
    wanted = settings(path, tokenizer=str(names), steps=2)
    with pytest.raises(AnexaError, match=r"320 of 320 characters \(100\.00%\) .* --allow-unknown"):
        build_trainer(wanted, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    run = build_trainer(wanted.replace(allow_unknown=True), tmp_path / "b")
    assert run.notes[0].startswith("320 of 320 characters (100.00%)")
    run.stopping = True
    assert list(run) == []
    resumed = finish(resume_trainer(tmp_path / "b"))
    assert resumed.notes == run.notes
    card = (tmp_path / "b" / "README.md").read_text("utf-8")
    assert all(f"\n- {note}\n" in card for note in run.notes)


def test_a_tokenizer_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def notes(spec: str) -> tuple[str, ...]:
        tokenizer = make_tokenizer(spec, TEXT)
        return tokenizer_notes(TextCorpus(TEXT), DataConfig(tokenizer=spec), tokenizer)

    assert notes("char") == notes("bpe:270") == ()
    [note] = notes("bpe:5000")
    size = make_tokenizer("bpe:5000", TEXT).vocab_size
    assert note.startswith(f"the tokenizer has {size} tokens, not 5,000: ")
    monkeypatch.setattr(corpus, "BPE_SAMPLE", 100)
    [note] = notes("bpe:260")
    assert note.startswith("the tokenizer is trained on 0 MiB, spread evenly over")


def test_what_is_left_out_of_lines_is_counted() -> None:
    corpus = documents("lines", "\n anna \n\n\nbela\r\n  \ndora")
    assert corpus.notes == (
        "left out: 4 blank lines",
        "left out: 4 spaces at the ends of lines",
    )
    assert documents("lines", "anna\nbela\n").notes == ()
    assert documents("lines", "anna\nbela").notes == ()
    assert documents("text", "\n anna \n\n\nbela\n  \ndora").notes == ()


def test_documents_longer_than_the_context_are_counted() -> None:
    tokenizer = make_tokenizer("char", NAMES)
    assert dataset_notes(*make_datasets(NAMES, tokenizer, 6, seed=1)) == ()
    assert dataset_notes(*make_datasets(NAMES, tokenizer, 4, seed=1)) == (
        "4 of 4 documents are longer than the context of 4 tokens, and are read in pieces",
    )


def test_too_short_text_is_refused() -> None:
    with pytest.raises(AnexaError, match="the text is too short"):
        make_datasets(TEXT, make_tokenizer("char", TEXT), 1000, seed=1)


def test_changed_corpus_is_refused() -> None:
    check_corpus_unchanged(TextCorpus(TEXT), TEXT.sha256, Path("none"))
    with pytest.raises(AnexaError) as caught:
        check_corpus_unchanged(TextCorpus(TEXT), "0123456789abcdef", Path("none"))
    assert str(caught.value) == (
        "the corpus x has changed since this run was started (its SHA-256 was "
        f"0123456789ab… and is {TEXT.sha256[:12]}…): restore the old text, or start a new run"
    )


# In little memory

# The pages of a memory-mapped file are not counted, as the system can reclaim them. RssAnon is the
# memory that a process needs; Linux does not record its peak, so a thread samples it. Limits on
# numbers of documents are set for a text of gigabytes, and are smaller here, as the text is.
MEASURE_GROWTH = """
import sys, threading, time

def held():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024

from anexa.data import batches, duplicates, read_corpus
from anexa.training.corpus import make_datasets
from anexa.training.evaluation import to_batch
from anexa.training.tokenizers import make_tokenizer

batches.MAX_SHUFFLED_LIST //= 8
duplicates.MAX_COUNTED_DOCUMENTS //= 8
spec, layout, *paths = sys.argv[1:]
peak, done = 0, False

def watch():
    global peak
    while not done:
        peak = max(peak, held())
        time.sleep(0.002)

def train(path):
    documents = read_corpus(path, layout)
    training, validation = make_datasets(documents, make_tokenizer(spec, documents), 128, 42)
    for step in range(300):
        to_batch(training.batch(step, 8))
    to_batch(validation.eval_sequences(128))

watcher = threading.Thread(target=watch)
watcher.start()
peaks = []
for path in paths:
    peak = 0
    train(path)
    peaks.append(peak)
done = True
watcher.join()
print(*peaks)
"""
SMALL, MAX_IN_MEMORY_BYTES = 16, 48  # MiB; the tokens of both are cached on disk


def write_text(path: Path, layout: str, size: int) -> None:
    """Write the handbook of Python again and again, each time with another first line."""
    source = texts(read_corpus("python-docs"))[0]
    lines = [line for line in source.split("\n") if layout == "text" or len(line) > 40]
    block = ("\n".join(lines) + "\n").encode("utf-8")
    with path.open("wb") as file:
        for i in range(size * 2**20 // len(block)):
            file.write(b"%d\n" % i + block)


def write_documents(path: Path, size: int) -> None:
    """Write documents of 1 to 19 lines of the handbook, as JSON lines."""
    lines = [line for line in texts(read_corpus("python-docs"))[0].split("\n") if line.strip()]
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < size * 2**20:
            some = [lines[(number + i) * 7919 % len(lines)] for i in range(number % 19 + 1)]
            file.write(json.dumps({"text": f"{number}\n" + "\n".join(some)}) + "\n")
            number += 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has RssAnon")
@pytest.mark.parametrize(
    ("spec", "layout", "share"),
    [
        ("char", "text", 0.25),
        pytest.param("char", "lines", 0.25, marks=pytest.mark.slow),
        pytest.param("char", "jsonl", 0.4, marks=pytest.mark.slow),
        pytest.param("bpe:4096", "text", 0.25, marks=pytest.mark.slow),
    ],
)
def test_a_large_text_is_trained_on_in_little_memory(
    spec: str, layout: str, share: float, tmp_path: Path
) -> None:
    """Of what a text is longer than another, at most a share is needed as memory."""
    paths = []
    for size in (SMALL, MAX_IN_MEMORY_BYTES):
        paths.append(tmp_path / (f"{size}.jsonl" if layout == "jsonl" else f"{size}.txt"))
        if layout == "jsonl":
            write_documents(paths[-1], size)
        else:
            write_text(paths[-1], layout, size)
    # How much freed memory glibc keeps is a matter of chance unless its thresholds are set. JSON
    # lines are measured without: with these, they need a share of 0.48, above their bound.
    thresholds = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    malloc = {} if layout == "jsonl" else thresholds
    process = subprocess.run(
        [sys.executable, "-c", MEASURE_GROWTH, spec, layout.replace("jsonl", "auto"), *paths],
        # How much the threads of the tokenizer hold at the same time is a matter of chance.
        env=os.environ
        | {"ANEXA_CACHE": str(tmp_path / "cache"), "RAYON_NUM_THREADS": "1"}
        | malloc,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert process.returncode == 0, process.stderr
    small, large = map(float, process.stdout.split())
    assert 0 < small < 100, "MiB"
    assert large - small < share * (MAX_IN_MEMORY_BYTES - SMALL)
    assert len([*(tmp_path / "cache" / "tokens").iterdir()]) == 2
