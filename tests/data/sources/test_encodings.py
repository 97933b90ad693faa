"""Encodings are recognized, or refused; nothing is read as other letters."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data import read_corpus
from anexa.data.sources.encodings import SNIFFED_BYTES, is_western, sniff_encoding
from anexa.errors import AnexaError
from tests.data.helpers import texts, write

WESTERN = {
    "french": "Le café au lait était très bon, et l’élève a mangé des crêpes à Noël. « Ça va »",
    "german": "Die schöne Müllerin fährt über die Straße – „Größe“ und Länge ändern sich.",
    "spanish": "¿Dónde está el niño? Mañana iré al médico con mi papá, después volveré.",
    "portuguese": "A situação não é fácil, mas há solução para tudo na vida, irmão.",
    "swedish": "Jag åker till Göteborg på lördag för att hälsa på min mormor där.",
    "icelandic": "Það er gaman að læra íslensku þótt hún sé erfið. Ég á heima í Reykjavík.",
    "english": "It’s a “quoted” text – with dashes — and an ellipsis… © 2020",
    "short": "café au lait\n",
}
OTHERS = {
    "cp1250": (
        "Příliš žluťoučký kůň úpěl ďábelské ódy.",
        "Zażółć gęślą jaźń. Dzisiaj jest ładna pogoda.",
        "Az időjárás ma szép, mondta a barátom. Őszi fények tűnnek fel az égen.",
        "Danas je lijepo vrijeme, kaže čovjek koji će doći.",
    ),
    "cp1251": ("Сегодня хорошая погода, сказал мой друг.", "да"),
    "koi8-r": ("Сегодня хорошая погода, сказал мой друг.",),
    "cp1253": ("Σήμερα ο καιρός είναι καλός, είπε ο φίλος μου.",),
    "cp1254": ("Bugün hava çok güzel, ağaç ve şehir. Işıklar gökyüzünde görünüyor.",),
    "cp1257": ("Šiandien gražus oras, pasakė mano draugas ir išėjo į namus.",),
    "shift_jis": ("今日は天気がいいですね、と友達が言いました。",),
    "gbk": ("今天天气很好，我的朋友说，然后他回家了。",),
    "euc-kr": ("오늘은 날씨가 좋다고 내 친구가 말했다.",),
    "iso8859_16": ("Astăzi vremea este frumoasă, a spus prietenul meu și a plecat.",),
    "mac_roman": ("Le café était très bon, et l’élève a mangé des crêpes.",),
    "cp437": ("Die schöne Müllerin fährt über die Straße.",),
}


@pytest.mark.parametrize("text", WESTERN.values(), ids=WESTERN)
def test_western_text_is_read_and_said(text: str, tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path / "a.txt", text.encode("cp1252")), "text")
    assert texts(corpus) == [text]
    assert corpus.notes == ("read as Windows-1252",)


@pytest.mark.parametrize(
    ("encoding", "text"), [(name, text) for name, found in OTHERS.items() for text in found]
)
def test_other_encodings_are_refused_with_a_command(
    encoding: str, text: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a b.txt", text.encode(encoding))
    with pytest.raises(AnexaError, match=r"is not UTF-8 text: .* iconv -f .* 'a b\.txt' > utf8"):
        read_corpus(path, "text")


@pytest.mark.parametrize(
    "data",
    [
        "äöü".encode()[:-1],  # a file that was cut off
        "ein schöner Satz, ".encode() + "und noch ein schöner".encode("cp1252"),
        b"caf\xe9 \x81",
        b"caf\xe9 \x1b[0m",
        b"\xe9\xe8\xe0",  # letters only
    ],
)
def test_damaged_and_mixed_texts_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="is not UTF-8 text"):
        read_corpus(write(tmp_path / "a.txt", data), "text")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ["A text,\r\nand a “second” line.\n", "abcd" * SNIFFED_BYTES + "日😀"]
)
def test_wide_characters_are_read_with_and_without_a_mark(
    encoding: str, text: str, tmp_path: Path
) -> None:
    corpus = read_corpus(write(tmp_path / "a.txt", text.encode(encoding)), "text")
    assert texts(corpus) == [text.replace("\r\n", "\n")]
    assert corpus.notes == (f"read as {encoding[:6].upper()}",)


def test_broken_utf_16_is_refused(tmp_path: Path) -> None:
    for data in ("a text".encode("utf-16")[:-1], b"\xff\xfea\0\0\xdcb\0"):
        with pytest.raises(AnexaError, match=r"a\.txt is not UTF-16 text: the byte at offset"):
            read_corpus(write(tmp_path / "a.txt", data), "text")
    with pytest.raises(AnexaError, match="has a NUL character"):
        read_corpus(write(tmp_path / "a.txt", "a\0b".encode("utf-16")), "text")


@given(st.text())
def test_utf_8_is_never_taken_for_another_encoding(text: str) -> None:
    data = text.replace("\0", "").encode("utf-8", "ignore")
    codec = sniff_encoding(data[:SNIFFED_BYTES])
    assert codec is None or data.decode(codec).removeprefix("\ufeff") == data.decode("utf-8-sig")


@given(st.binary(max_size=60))
def test_bytes_are_wide_only_if_they_are_such_a_text(data: bytes) -> None:
    codec = sniff_encoding(data)
    if codec is not None and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0", b"\xef")):
        assert "\0" not in data.decode(codec)


@given(st.text("aé ’ñ¿ä\n", max_size=40), st.lists(st.integers(0, 40)))
def test_the_check_does_not_depend_on_the_chunks(text: str, cuts: list[int]) -> None:
    data = text.encode("cp1252")
    ends = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[a:b] for a, b in pairwise(ends)]
    assert is_western(chunks) == is_western([data])


def test_encodings_in_a_folder_are_counted(tmp_path: Path) -> None:
    for number, encoding in enumerate(["utf-8", "cp1252", "cp1252", "utf-16"]):
        write(tmp_path / f"{number}.txt", "Die Straße ändert sich".encode(encoding))
    corpus = read_corpus(str(tmp_path))
    assert texts(corpus) == ["Die Straße ändert sich"] * 4
    assert corpus.notes == ("read as UTF-16: 1 file", "read as Windows-1252: 2 files")
