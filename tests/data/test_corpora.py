import hashlib
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from anexa.data import CORPORA, guess_layout, read_corpus
from anexa.data.corpora import open_text_source
from anexa.data.layout import LAYOUT_SAMPLE_CHARS
from anexa.errors import AnexaError, UsageError
from tests.data.helpers import documents, texts, write

CITIES = """\
Rio de Janeiro
Paris
São Tomé
New York
Ouagadougou
Newcastle upon Tyne
Portland (Oregon)
Tokyo
"""
PROSE = """\
The old harbour lay under a grey sky, and nobody had swept the quay since
the herring boats went north. A boy with a bucket walked along it and he
counted the gulls, as he did each morning, and lost count as he did each
morning when the bell of the customs house began to ring
"""
VERSE = """\
The mill wheel turns,
the miller sleeps;
a candle burns,
the river keeps
its own slow time.
"""
CHINESE_PROSE = (
    "春天到了、河边的柳树开始发芽、孩子们在岸上奔跑、老人坐在桥头慢慢地说着从前的故事和远方的消息\n"
    * 5
)
CODE = "def area(width, height):\n    result = width * height\n    return result\n"


# The corpora at hand


def test_firstnames_is_a_clean_list_with_every_letter() -> None:
    names = read_corpus("firstnames")
    assert names.name == "firstnames"
    assert names.layout == "lines"
    listed = texts(names)
    assert len(listed) >= 1500
    assert all(re.fullmatch("[a-z]{2,15}", name) for name in listed)
    assert listed == sorted(set(listed))
    assert len(set("".join(listed))) == 26


def test_firstnames_file_has_no_stray_characters() -> None:
    import importlib.resources

    data = (importlib.resources.files("anexa.data") / "firstnames.txt").read_bytes()
    assert re.fullmatch(rb"([a-z]{2,15}\n)+", data.replace(b"\r\n", b"\n"))
    assert len(data) == pytest.approx(CORPORA["firstnames"].size, rel=0.15)


def test_python_docs_is_running_text_of_some_size() -> None:
    docs = read_corpus("python-docs")
    assert docs.layout == "text"
    [text] = texts(docs)
    assert len(text) > 300_000
    assert text.startswith('The "assert" statement\n')  # the first topic in sorted order
    assert "\n\nThe standard type hierarchy\n" in text
    assert len(text) == pytest.approx(CORPORA["python-docs"].size, rel=0.5)


def test_missing_python_docs_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(AnexaError, match=r"pydoc_data.*firstnames"):
        read_corpus("python-docs")


def test_registry_is_complete() -> None:
    for name, corpus in CORPORA.items():
        assert corpus.name == name
        assert "/" not in name  # so that a path is never taken for a name
        assert "\\" not in name
        assert corpus.summary
        assert corpus.size > 0 or corpus.generated
        assert corpus.layout in ("lines", "text")
        assert corpus.source is None or corpus.source.startswith("https://")
    assert {name for name, corpus in CORPORA.items() if corpus.source is None} == {
        "arithmetic",
        "firstnames",
        "garden",
        "python-docs",
    }


# Where a corpus comes from


def test_registered_name_wins_over_a_file_and_a_path_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "firstnames", "one\ntwo\nthree\n")
    assert len(texts(read_corpus("firstnames"))) > 1000
    mine = read_corpus(f".{os.sep}firstnames")
    assert mine == documents("lines", "one\ntwo\nthree", "firstnames")
    assert texts(mine) == ["one", "two", "three"]


def test_layout_of_a_registered_corpus_can_be_overridden() -> None:
    assert len(texts(read_corpus("firstnames", "text"))) == 1
    assert len(texts(read_corpus("python-docs", "lines"))) > 1000


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"anna\nbela\n")))
    names = read_corpus("-")
    assert names == documents("lines", "anna\nbela\n", "standard input")
    assert texts(names) == texts(names) == ["anna", "bela"]  # again and again


def test_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(AnexaError, match="standard input is closed"):
        read_corpus("-")


def test_line_ends_and_byte_order_mark_are_normalized(tmp_path: Path) -> None:
    spec = write(tmp_path / "poem.txt", b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_corpus(spec, "text") == documents("text", "one\ntwo\nthree\n", "poem.txt")
    assert texts(read_corpus(spec, "text")) == ["one\ntwo\nthree\n"]


def test_lines_are_stripped_and_empty_ones_left_out(tmp_path: Path) -> None:
    # U+2028 and U+0085 end a line for str.splitlines, and not here.
    spec = write(tmp_path / "list.txt", "  a\u2028b \n\n \t\nc\u0085d\n\n")
    assert texts(read_corpus(spec, "lines")) == ["a\u2028b", "c\u0085d"]


def test_text_is_kept_as_it_is(tmp_path: Path) -> None:
    text = "\n  Überschrift\n\nEin Satz.  \n\n"
    spec = write(tmp_path / "text.txt", text)
    assert texts(read_corpus(spec, "text")) == [text]


# Layout


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        (CITIES, "lines"),
        ("anna\nbela\ncyril", "lines"),
        ("\n\n" + CITIES + "\n\n\n", "lines"),
        (CITIES * 20 + "\n" + CITIES, "lines"),  # one blank line astray in a long list
        ("CC(=O)Oc1ccccc1C(=O)O\nCN1C=NC2=C1C\n", "lines"),  # molecules
        (PROSE, "text"),
        (VERSE, "text"),
        (CHINESE_PROSE, "text"),
        (CODE, "text"),
        (CITIES + "\n" + CITIES, "text"),  # two paragraphs
        ("one line", "text"),
        ("a sentence that is much longer than an entry of a list\n" * 3, "text"),
    ],
)
def test_layout_is_guessed(tmp_path: Path, text: str, layout: str) -> None:
    assert guess_layout(text) == layout
    assert read_corpus(write(tmp_path / "x.txt", text)).layout == layout


def test_each_condition_of_the_guess_counts() -> None:
    assert guess_layout("a b c d\n" * 50) == "lines"
    assert guess_layout("a b c d e\n" * 50) == "text"  # words
    assert guess_layout("x" * 40 + "\n" + "x" * 40) == "lines"
    assert guess_layout("x" * 41 + "\n" + "x" * 41) == "text"  # length
    assert guess_layout("x\n" * 19 + "x.\n") == "lines"
    assert guess_layout("x\n" * 18 + "x.\nx…\n") == "text"  # punctuation
    assert guess_layout("x\n" * 18 + " x\n\tx\n") == "text"  # indentation
    assert guess_layout("x\n" * 98 + "\nx\n") == "lines"
    assert guess_layout("x\n" * 97 + "\nx\n") == "text"  # blank lines


def test_unknown_layout_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown layout 'words'"):
        read_corpus("firstnames", "words")  # type: ignore[arg-type]


# Bad input


def test_missing_file_names_the_corpora_and_a_close_one(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"'shakespere', perhaps you meant shakespeare:"):
        read_corpus("shakespere")
    with pytest.raises(AnexaError) as caught:
        read_corpus(str(tmp_path / "qqq"))
    assert "perhaps" not in str(caught.value)
    assert all(name in str(caught.value) for name in CORPORA)
    for spec in ("", "a\0b"):
        with pytest.raises(AnexaError, match="no corpus and no file"):
            read_corpus(spec)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"has no files to read \(it is empty\)"):
        read_corpus(str(tmp_path))


def test_path_through_a_file_is_an_error(tmp_path: Path) -> None:
    spec = write(tmp_path / "x.txt", "abc")
    with pytest.raises(AnexaError, match=r"x\.txt"):
        read_corpus(spec + "/y.txt")


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="this user may read everything",
)
def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    spec = write(tmp_path / "x.txt", "abc")
    Path(spec).chmod(0)
    with pytest.raises(AnexaError, match=r"cannot read .*x\.txt: Permission denied"):
        read_corpus(spec)


def test_too_long_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"cannot read|no corpus and no file"):
        read_corpus(str(tmp_path / ("x" * 5000)))


def test_invalid_utf_8_is_an_error(tmp_path: Path) -> None:
    spec = write(tmp_path / "latin.txt", b"\xef\xbb\xbfcaf\xe9 au lait\n")
    with pytest.raises(AnexaError, match=r"latin\.txt is not UTF-8 text: .* offset 6 "):
        read_corpus(spec)


def test_binary_file_is_an_error(tmp_path: Path) -> None:
    spec = write(tmp_path / "x.bin", b"abc\0\xff")
    with pytest.raises(AnexaError, match=r"x\.bin is not a text file.*offset 3;"):
        read_corpus(spec)


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", "\u3000\n".encode()])
@pytest.mark.parametrize("layout", ["auto", "lines", "text"])
def test_empty_file_is_an_error(tmp_path: Path, data: bytes, layout: str) -> None:
    spec = write(tmp_path / "empty.txt", data)
    with pytest.raises(AnexaError, match=r"empty\.txt contains no text"):
        read_corpus(spec, layout)  # type: ignore[arg-type]


def test_every_message_is_one_sentence(tmp_path: Path) -> None:
    for spec in ("shakespere", str(tmp_path), write(tmp_path / "e", ""), ""):
        with pytest.raises(AnexaError) as caught:
            read_corpus(spec)
        message = str(caught.value)
        assert "\n" not in message
        assert not message.endswith(".")


# The fingerprint


def test_sha256_depends_on_the_contents() -> None:
    one = documents("lines", "ab\nc")
    assert one.sha256 == documents("lines", "\nab\n  c\n", "another name").sha256
    others = [documents("lines", text) for text in ("a\nbc", "c\nab", "abc", "ab\nc\nd")]
    others += [documents("text", text) for text in ("ab\nc", "ab\nc\n", "abc", "ab c")]
    assert len({corpus.sha256 for corpus in [one, *others]}) == 9
    # Written down, since a training that is resumed later compares it with what it stored.
    assert one.sha256 == "5e10b5e23ba7e6d3bb15919e1e2c0c23d91f48a1187ab34ebb98969b5048a2b6"
    text = documents("text", "ab\nc").sha256
    assert text == hashlib.sha256(b"textab\nc").hexdigest()


def test_size_is_that_of_the_documents_in_bytes() -> None:
    assert documents("text", "é\r\nb").size == 4
    assert documents("lines", " é\n\nb\n").size == 3


# Large and changing files


@pytest.mark.parametrize("data", [b"abc\n" * 10, b"", b"abd\n" * 20])
def test_a_file_that_changes_between_readings_is_an_error(tmp_path: Path, data: bytes) -> None:
    spec = write(tmp_path / "log.txt", "abc\n" * 20)
    corpus = read_corpus(spec)
    write(tmp_path / "log.txt", data)
    with pytest.raises(AnexaError, match=r"log\.txt changed while it was read: start again"):
        texts(corpus)
    Path(spec).unlink()
    with pytest.raises(AnexaError, match="no corpus and no file named"):
        texts(corpus)


def test_the_layout_is_seen_in_the_first_lines(tmp_path: Path) -> None:
    names, prose = "anna\n" * 300_000, PROSE * 1000
    assert len(names) > LAYOUT_SAMPLE_CHARS
    assert read_corpus(write(tmp_path / "x.txt", names + prose)).layout == "lines"
    assert read_corpus(write(tmp_path / "y.txt", prose * 5 + names)).layout == "text"
    verse = " ah\n" * 50_000  # indented
    assert read_corpus(write(tmp_path / "z.txt", verse + names)).layout == "text"


def test_progress_is_reported_in_bytes(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path / "x.txt", PROSE * 8000), "text")
    progress: list[tuple[int, int | None]] = []
    for _ in corpus.groups(lambda done, total: progress.append((done, total))):
        pass
    assert len(progress) > 2
    assert progress == sorted(progress)
    assert progress[-1] == (len(PROSE) * 8000, len(PROSE) * 8000)
    assert {total for _, total in progress} == {corpus.size}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_with_a_path_can_be_read_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: write(tmp_path / "pipe", "anna\nbela\n"), daemon=True)
    writer.start()
    program = (
        "import sys; from anexa.data import read_corpus; from tests.data.helpers import texts\n"
        "names = read_corpus(sys.argv[1]); print(texts(names) + texts(names))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "pipe")],
        capture_output=True,
        encoding="utf-8",
        timeout=30,  # to open it again would be to wait for ever
        check=True,
    )
    assert process.stdout == f"{['anna', 'bela'] * 2}\n"


@pytest.mark.parametrize("read", [read_corpus, open_text_source])
def test_a_generated_corpus_has_no_text(read: Callable[[str], object]) -> None:
    generated = [name for name, corpus in CORPORA.items() if corpus.generated]
    assert generated
    for name in generated:
        sentence = f"the corpus {name} is generated during training and has no text to read"
        with pytest.raises(UsageError, match=f"^{sentence}: choose another one$"):
            read(name)
