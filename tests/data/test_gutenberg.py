"""Removal of Project Gutenberg's header and footer, and of nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data import read_corpus
from anexa.data.gutenberg import strip_gutenberg
from tests.data.helpers import texts, write

# Project Gutenberg

BOOK = """\
THE LAMP

   a tale for winter

I had seen little of the lamp lately.

* * *

"***" was all it said.
*** END OF THE LINE ***

The end.
"""
HEADER = """\
The Project Gutenberg eBook of The Lamp

Title: The Lamp

"""
STARTS = [
    "*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***",
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***",
    "***START OF THE PROJECT GUTENBERG EBOOK THE LAMP***",
    "***START OF THE PROJECT GUTENBERG EBOOK, THE LAMP\nOR A WINTER'S TALE***",
    "*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP",
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***\n\n\nProduced by A. Reader\nand B.",
]
ENDS = [
    "*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***",
    "***END OF THIS PROJECT GUTENBERG EBOOK, THE LAMP\nOR A WINTER'S TALE***",
    "End of the Project Gutenberg EBook of The Lamp, by\nNobody\n\n"
    "*** END OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***",
]
FOOTER = "\n\nUpdated editions will replace the previous one.\n***\n"


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("end", ENDS)
def test_gutenberg_header_and_footer_are_removed(start: str, end: str) -> None:
    served = f"{HEADER}{start}\n\n\n\n{BOOK}\n\n\n{end}{FOOTER}"
    assert strip_gutenberg(served) == BOOK


def test_gutenberg_header_or_footer_alone_is_removed() -> None:
    assert strip_gutenberg(f"{HEADER}{STARTS[0]}\n\n{BOOK}") == BOOK
    assert strip_gutenberg(f"{BOOK}\n\n{ENDS[0]}{FOOTER}") == BOOK


def test_gutenberg_keeps_a_book_that_quotes_the_markers() -> None:
    book = f"He read:\n{STARTS[0]}\nand\n{ENDS[0]}\nand slept.\n"
    assert strip_gutenberg(f"{HEADER}{STARTS[1]}\n{book}{ENDS[1]}{FOOTER}") == book


@given(st.text().map(lambda text: text.replace("\r", "")))
def test_text_without_header_and_footer_is_unchanged(text: str) -> None:
    assert strip_gutenberg(text) == text
    assert strip_gutenberg(BOOK + text) == BOOK + text


words = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1)
book_lines = st.lists(words | st.sampled_from(["", "***", "  indented", *BOOK.split("\n")]))


@given(words, book_lines, words, st.sampled_from(STARTS), st.sampled_from(ENDS))
def test_gutenberg_keeps_the_book(
    first: str, lines: list[str], last: str, start: str, end: str
) -> None:
    book = "\n".join([first, *lines, last]) + "\n"
    served = f"{HEADER}{start}\n\n\n{book}\n\n{end}{FOOTER}"
    assert strip_gutenberg(served) == book


def test_sherlock_is_stripped_from_a_windows_file_put_in_the_cache(cache: Path) -> None:
    served = f"\ufeff{HEADER}{STARTS[0]}\n\n{BOOK}\n{ENDS[0]}{FOOTER}"
    write(cache / "sherlock.txt", served.replace("\n", "\r\n"))
    corpus = read_corpus("sherlock")
    assert texts(corpus) == [BOOK]
    count = len(served) - 1 - len(BOOK)
    note = f"left out: {count} characters before and after the book, of Project Gutenberg"
    assert corpus.notes == (note,)


def test_sherlock_without_header_passes_unchanged(cache: Path) -> None:
    write(cache / "sherlock.txt", f"\n{BOOK}\n\n")
    assert texts(read_corpus("sherlock")) == [f"\n{BOOK}\n\n"]
    assert read_corpus("sherlock").notes == ()
