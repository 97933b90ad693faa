"""Documents in folders, archives and files with rows."""

from __future__ import annotations

from pathlib import Path

from anexa.data import read_corpus
from tests.data.helpers import texts


def test_folder_of_markdown_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for path in ("b.md", "a/z.txt", "a.rst", ".git/x.txt", "node_modules/y.js", "a/b/c.PY"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"# {path}\n\nA text.\n", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "binary.txt").write_bytes(b"a\0b")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    corpus = read_corpus(str(tmp_path))
    assert corpus.layout == "documents"
    paths = ["a/b/c.PY", "a/z.txt", "a.rst", "b.md"]
    assert texts(corpus) == texts(corpus) == [f"# {path}\n\nA text.\n" for path in paths]
    assert corpus.notes == (
        "left out: 1 binary file",
        "left out: 1 symbolic link",
        "left out: 1 file of other kinds (.png 1)",
    )
