"""Names of files that are not UTF-8, or whose characters mean something where they are written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.cli.output import escape_controls
from anexa.names import (
    ESCAPE,
    code_span,
    counted,
    decode_argument,
    decode_name,
    encode_name,
    escape_markdown,
    shell_word,
    shown,
)
from tests.cli.process import ANEXA, environment, posix, process_class

CAFE = os.fsdecode(b"caf\xe9")
ASCII = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
names = st.binary(min_size=1).filter(lambda data: b"\0" not in data)


@posix
@given(names)
def test_any_name_survives_storage(data: bytes) -> None:
    name = os.fsdecode(data)
    stored = encode_name(name)
    assert stored.encode().decode() == stored, "no surrogates"
    assert os.fsencode(decode_name(stored)) == data
    assert json.loads(json.dumps(stored, ensure_ascii=False).encode()) == stored


@posix
def test_how_names_are_stored() -> None:
    assert encode_name("café.txt") == "café.txt"
    assert encode_name(f"{CAFE}/a b.txt") == "file:caf%E9/a%20b.txt"
    assert encode_name("file:a") == "file:file%3Aa"
    assert decode_name("file:///a") == "///a"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("café 日本", "café 日本"),
        ("caf\udce9.txt", r"caf\xe9.txt"),
        ("caf\udcc3\udca9.txt", "café.txt"),  # UTF-8 where the locale knows only ASCII
        ("a\nb\x1b[31mc\u202ed", r"a\nb\x1b[31mc\u202ed"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_shown_is_one_line(text: str, line: str) -> None:
    assert shown(text) == line
    assert decode_argument("caf\udcc3\udca9 \udce9") == "café \udce9"


@posix
def test_shell_reads_the_quoted_word() -> None:
    for data in (b"a b", b"caf\xe9", "it's é".encode(), b"a\nb'\\\xff\x1b7", b"$x`y`", b"-", b"*"):
        word = shell_word(os.fsdecode(data))
        assert word.isprintable()
        printed = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True)
        assert printed.stdout == data
    assert shell_word("plain.txt") == "plain.txt"


def test_names_have_no_markup_in_markdown() -> None:
    assert escape_markdown("a|b [c](d) *e* <f> __init__ snake_case") == (
        r"a\|b \[c\](d) \*e\* \<f\> \_\_init\_\_ snake_case"
    )
    assert escape_markdown("a\n# b") == r"a\\n# b"
    assert code_span("a") == "`a`"
    assert code_span("`a``b") == "``` `a``b ```"


def test_output_escapes_what_it_cannot_encode() -> None:
    for encoding, expected in (
        ("ascii", rb"caf\xe9 \xe9 \u65e5"),
        ("cp1252", b"caf\xe9 \\xe9 \\u65e5"),
        ("utf-8", "café \\xe9 日".encode()),
    ):
        data = io.BytesIO()
        with io.TextIOWrapper(data, encoding, errors=ESCAPE) as stream:
            stream.write("café \udce9 日")
            stream.flush()
            assert data.getvalue() == expected


def anexa(
    *arguments: str | bytes, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `anexa` to its end, without an error."""
    result = executed(*arguments, cwd=cwd, env=env)
    assert (result.returncode, result.stderr) == (0, b""), result
    return result


def executed(
    *arguments: str | bytes, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `anexa` to its end."""
    kind = process_class() if env is None else subprocess.Popen
    command = [*ANEXA, *arguments]
    pipe = subprocess.PIPE
    with kind(command, cwd=cwd, env=env or environment(), stdout=pipe, stderr=pipe) as process:
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def train(corpus: bytes, out: bytes, cwd: Path, env: dict[str, str] | None = None) -> bytes:
    options = "--preset microgpt --engine numpy --steps 3 --evaluations 1 --no-chat --out"
    (cwd / os.fsdecode(corpus)).write_text("anna\nbob\nclara\n" * 20, encoding="utf-8")
    return anexa("train", corpus, *options.split(), out, cwd=cwd, env=env).stdout


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has only names in UTF-8")
def test_name_that_is_not_utf_8_works_everywhere(tmp_path: Path) -> None:
    said = train(b"caf\xe9.txt", b"m\xe9", tmp_path)
    assert rb"corpus caf\xe9.txt" in said
    assert rb"anexa chat $'m\351'" in said
    folder = tmp_path / os.fsdecode(b"m\xe9")
    card = (folder / "README.md").read_text("utf-8")
    assert "anexa train $'caf\\351.txt' --preset" in card
    assert "# caf\\\\xe9.txt: a microgpt model" in card
    toml = (folder / "training/config.toml").read_text("utf-8")
    assert f'corpus = "file:{tmp_path}/caf%E9.txt"' in toml
    [run] = json.loads(anexa("runs", b"m\xe9", "--json", cwd=tmp_path).stdout)
    assert (run["folder"], run["corpus"]) == ("file:m%E9", "file:caf%E9.txt")
    assert rb"caf\xe9.txt" in anexa("runs", b"m\xe9", cwd=tmp_path).stdout
    anexa("export", b"m\xe9", "--to", "json", cwd=tmp_path)
    assert (tmp_path / os.fsdecode(b"m\xe9.json")).exists()
    written = anexa("generate", b"m\xe9", "--json", "--max-tokens", "1", cwd=tmp_path).stdout
    assert json.loads(written)["model"] == "file:m%E9"
    config = b"m\xe9/training/config.toml"
    anexa("train", "--config", config, "--no-chat", "--out", "again", cwd=tmp_path)


@posix
def test_accented_names_work_where_the_locale_knows_only_ascii(tmp_path: Path) -> None:
    accented = "mé/né".encode()
    said = train("café.txt".encode(), accented, tmp_path, ASCII)
    assert rb"anexa chat $'m\303\251/n\303\251'" in said
    folder = tmp_path / "mé" / "né"
    assert "# café.txt: a microgpt model" in (folder / "README.md").read_text("utf-8")
    toml = (folder / "training/config.toml").read_text("utf-8")
    assert f'corpus = "{tmp_path}/café.txt"' in toml
    [run] = json.loads(anexa("runs", accented, "--json", cwd=tmp_path, env=ASCII).stdout)
    assert (run["folder"], run["corpus"]) == ("mé/né", "café.txt")
    # What was stored where the locale is UTF-8 can be opened here, and the other way round.
    config = "mé/né/training/config.toml"
    for env, out in ((ASCII, "one"), (None, "two")):
        anexa("train", "--config", config, "--no-chat", "--out", out, cwd=tmp_path, env=env)
    refused = executed("generate", accented, "--prompt", "é", cwd=tmp_path, env=ASCII)
    assert (
        refused.stderr == rb"anexa: this model has never seen '\xe9': leave it out of the prompt"
        b"\n"
    )


@posix
def test_control_characters_in_a_name_stay_out_of_the_message(tmp_path: Path) -> None:
    result = executed("generate", "no\n\x1b[31m[bold]", cwd=tmp_path)
    assert result.stderr == (
        rb"anexa: no\n\x1b[31m[bold] is not a model folder: there is no such folder" b"\n"
    )


@pytest.mark.parametrize("command", ["train", "train names.txt --tokenizer", "graph a --format"])
@posix
def test_missing_name_that_is_not_utf_8_is_shown_by_its_bytes(tmp_path: Path, command: str) -> None:
    result = executed(*command.split(), b"caf\xe9`", cwd=tmp_path)
    assert b" '" + rb"caf\xe9`': " in result.stderr


def test_commands_print_through_one_function() -> None:
    """Typer's `echo` takes another stream, in UTF-8, where the output is ASCII."""
    folder = Path(__file__).parents[1] / "src" / "anexa" / "cli"
    users = [path.name for path in folder.glob("*.py") if "typer.echo" in path.read_text("utf-8")]
    assert users == ["output.py"]


@posix
def test_terminal_does_not_obey_what_a_model_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal, io.StringIO() as pipe:
        monkeypatch.setattr("sys.stdout", terminal)
        assert escape_controls("a\x1b]52;c;\x07\r\tb\nc\x9b") == "a\\x1b]52;c;\\x07\\r\tb\nc\\x9b"
        monkeypatch.setattr("sys.stdout", pipe)
        assert escape_controls("a\x1b[1m") == "a\x1b[1m"
    os.close(leader)


def test_a_single_thing_is_not_plural() -> None:
    assert [counted(number, "step") for number in (0, 1, 2000)] == [
        "0 steps",
        "1 step",
        "2,000 steps",
    ]
