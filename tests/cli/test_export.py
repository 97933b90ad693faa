"""`anexa export`: files for other programs, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from anexa.cli.export import export
from anexa.files import read_json
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.json_file import write_model_json
from anexa.model.loading import load_model, open_model
from anexa.training import build_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH
from tests.cli.process import ANEXA, anexa, environment, listing, one_sentence, posix
from tests.cli.test_files import run_unprivileged, with_files_up_to
from tests.training.runs import settings, stop_after, write_names

needs_gguf = pytest.mark.skipif(find_spec("gguf") is None, reason="gguf is not installed")
GGUF = "export --to gguf --out m.gguf"
JSON = "export model --to json --out m.json"
FOLDER = "export model --to folder --out new"
FILES = [pytest.param(GGUF, marks=needs_gguf), JSON]
EACH_FILE = pytest.mark.parametrize("command", FILES)
EACH = pytest.mark.parametrize("command", [*FILES, FOLDER])


def test_json_and_back_to_a_folder(place: Path) -> None:
    result = anexa(*JSON.split(), cwd=place)
    size = (place / "m.json").stat().st_size
    assert (result.returncode, result.stdout) == (0, f"wrote m.json ({size:,} bytes)\n")
    result = anexa("export", "m.json", "--to", "folder", "--out", "again", cwd=place)
    assert (result.returncode, result.stdout) == (0, "wrote again\n")
    before, after = listing(place / "model"), listing(place / "again")
    assert after == {name: before[name] for name in after}, "every file to the byte"
    assert set(before) - set(after) <= {name for name in before if name.startswith("training")}
    prompts = ("generate", "--engine", "numpy", "--prompt", "an")
    said = [anexa(*prompts, model, cwd=place).stdout for model in ("model", "m.json", "again")]
    assert said[0] == said[1] == said[2] != ""


def test_a_json_file_is_read_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing a JSON file takes far longer than reading a folder."""
    write_model_json(place / "m.json", load_model(place / "model"), "# A card\n")
    times: list[Path] = []

    def read(path: Path) -> dict[str, Any]:
        times.append(path)
        return read_json(path)

    monkeypatch.setattr("anexa.model.json_file.read_json", read)
    export(place / "m.json", "json", place / "again.json", precision=None, force=False)
    assert (place / "again.json").read_bytes() == (place / "m.json").read_bytes()
    assert times == [place / "m.json"]


def test_output_has_the_name_of_the_model_by_default(tmp_path: Path) -> None:
    result = anexa("export", "--to", "json", cwd=tmp_path)
    assert result.stdout.startswith("wrote anexa.json (")
    source = open_model(tmp_path / "anexa.json")
    model, card = source.load(), source.card
    assert model.weights == load_model(BUNDLED_FOLDER).weights
    assert card == (BUNDLED_FOLDER / "README.md").read_text("utf-8")


@pytest.mark.slow
@needs_gguf
def test_gguf_in_a_precision(tmp_path: Path) -> None:
    sizes = []
    for precision in ("f32", "f16", "q8_0"):
        result = anexa(*GGUF.split(), "--force", "--precision", precision, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        sizes.append((tmp_path / "m.gguf").stat().st_size)
    assert sizes[0] > 1.9 * sizes[1] > 2.9 * sizes[2]


@EACH_FILE
def test_existing_output_is_kept_without_force(command: str, place: Path) -> None:
    out = place / command.split()[-1]
    out.write_bytes(b"mine")
    result = anexa(*command.split(), cwd=place)
    assert f"{out.name} exists already: choose another name, or replace it with --force" in (
        one_sentence(result)
    )
    assert (result.returncode, out.read_bytes()) == (1, b"mine")
    assert anexa(*command.split(), "--force", cwd=place).returncode == 0
    assert out.stat().st_size > 1000


@posix
@EACH
def test_full_disk_leaves_nothing(command: str, place: Path) -> None:
    before = listing(place)
    result = with_files_up_to(5000, *command.split(), cwd=place)
    assert one_sentence(result).startswith(f"anexa: cannot write {command.split()[-1]}")
    assert result.returncode == 1
    assert listing(place) == before


@pytest.mark.slow
@posix
@EACH_FILE
def test_full_disk_keeps_the_old_file(command: str, place: Path) -> None:
    out = place / command.split()[-1]
    out.write_bytes(b"mine")
    result = with_files_up_to(5000, *command.split(), "--force", cwd=place)
    assert result.returncode == 1
    assert out.read_bytes() == b"mine"


@posix
@EACH
def test_folder_without_write_permission(command: str, place: Path) -> None:
    (place / "locked").mkdir(mode=0o555)
    *start, name = command.split()
    result = run_unprivileged(*start, f"locked/{name}", cwd=place)
    assert one_sentence(result) == f"anexa: cannot write locked/{name}: Permission denied\n"
    assert result.returncode == 1
    assert listing(place / "locked") == {}


@pytest.mark.parametrize(
    ("command", "status", "fragment"),
    [
        ("export model", 2, "nothing says what to write: choose --to gguf or --to json or --to"),
        ("export model --to onnx", 2, "there is no format 'onnx': choose --to gguf or"),
        (
            "export model --to json --precision f16",
            2,
            "--precision applies to GGUF files only: leave it out",
        ),
        ("export model --to folder --force", 2, "never a folder: leave it out with --to folder"),
        ("export model --to folder --out names.txt", 1, "names.txt exists already"),
        ("export model --to folder", 1, "model exists already: choose another folder"),
        (
            "export model --to json --out model",
            1,
            "model, which is a folder: name the file to",
        ),
        ("export model --to json --out no/m", 1, "cannot write no/m: there is no folder no"),
        ("export model --to gguf --out no/m", 1, "cannot write no/m: there is no folder no"),
        ("export model --to json --out names.txt/m", 1, "names.txt is a file"),
        ("export model --to folder --out names.txt/m", 1, "names.txt is a file"),
        ("export model --to folder --out -", 2, "not written to the standard output: name a folde"),
        ("export nowhere --to json", 1, "nowhere is not a model folder: there is no such folder"),
        ("export no.json --to json", 1, "there is no file no.json"),
        ("export names.txt --to json", 1, "names.txt is not a model folder: it is a file"),
        # … whatever the model is, which is not opened for that
        ("export nowhere --to gguf --precision q4", 2, "'q4' is not one of 'f32', 'f16', 'q8_0'"),
        ("export nowhere --to gguf --precision=", 2, "'' is not one of 'f32', 'f16', 'q8_0'"),
        ("export nowhere --to folder --out model", 1, "model exists already: choose another"),
        pytest.param(
            "export model --to gguf",
            *(1, "anexa: model cannot be exported: llama.cpp does not compute microgpt models: "),
            marks=needs_gguf,
        ),
    ],
)
def test_wrong_commands_are_refused(place: Path, command: str, status: int, fragment: str) -> None:
    before = listing(place)
    result = anexa(*command.split(), cwd=place)
    assert fragment in one_sentence(result)
    assert result.returncode == status
    assert listing(place) == before


@needs_gguf
def test_every_precision_can_be_chosen() -> None:
    from anexa.hub.gguf import PRECISIONS

    named = get_type_hints(export)["precision"]
    assert {*PRECISIONS} == {*get_args(get_args(named)[0])}


@posix
@pytest.mark.parametrize("name", ["README.md", "chat_template.jinja"])
def test_link_out_of_the_folder_is_not_exported(place: Path, name: str) -> None:
    (place / "secret").write_text("hf_secret", encoding="utf-8")
    (place / "model" / name).unlink(missing_ok=True)
    (place / "model" / name).symlink_to("../secret")
    for form in ("json", "folder"):
        command = ("export", "model", "--to", form, "--out", "again")
        result = anexa(*command, cwd=place)
        assert f"model/{name} is a link to {place}/secret, outside its folder" in (
            one_sentence(result)
        )
        assert (result.returncode, (place / "again").exists()) == (1, False)


@posix
def test_export_to_a_device_and_to_the_standard_output(place: Path) -> None:
    (place / "link.json").symlink_to("/dev/null")
    result = anexa("export", "model", "--to", "json", "--out", "link.json", cwd=place)
    assert (result.returncode, result.stdout) == (0, "wrote link.json\n")
    assert (place / "link.json").readlink() == Path("/dev/null")
    anexa(*JSON.split(), cwd=place)
    result = anexa("export", "model", "--to", "json", "--out", "-", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (place / "m.json").read_text("utf-8")
    assert not (place / "-").exists()


def test_missing_folders_above_a_new_folder_are_created(place: Path) -> None:
    result = anexa("export", "model", "--to", "folder", "--out", "no/m", cwd=place)
    assert (result.returncode, result.stdout) == (0, "wrote no/m\n")
    assert load_model(place / "no" / "m").weights == load_model(place / "model").weights


@posix
@needs_gguf
def test_binary_output_is_not_written_to_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    result = subprocess.run(
        [*ANEXA, "export", "--to", "gguf", "--out", "-"],
        **{"cwd": tmp_path, "env": environment(), "stdout": follower},
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    os.close(leader)
    os.close(follower)
    assert "this is not text for a terminal: name a file" in one_sentence(result)
    assert result.returncode == 2


def test_unfinished_training_is_exported_with_a_warning(place: Path) -> None:
    run = build_trainer(settings(place / "names.txt"), place / "half")
    stop_after(run, 4)
    result = anexa("export", "half", "--to", "json", cwd=place)
    assert one_sentence(result) == (
        "anexa: the training in half has not ended (resume it with anexa train --resume half): "
        "these are its best weights so far\n"
    )
    assert result.returncode == 0
    assert load_model(place / "half.json").weights == load_model(place / "half").weights


@pytest.mark.slow
def test_training_that_has_not_begun_is_exported_with_a_warning(tmp_path: Path) -> None:
    corpus = write_names(tmp_path)
    build_trainer(settings(corpus), tmp_path / "new")
    result = anexa("export", "new", "--to", "json", cwd=tmp_path)
    assert "these are weights that have learned nothing yet" in one_sentence(result)


def damage(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:100])


def lock(state: Path) -> None:
    state.chmod(0)


def lock_its_folder(state: Path) -> None:
    state.parent.chmod(0)


@posix
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage, "half/training/state.safetensors is damaged or not a safetensors file ("),
        (lock, "cannot read half/training/state.safetensors: Permission denied"),
        (lock_its_folder, "Permission denied"),
    ],
)
def test_unreadable_training_state_is_a_warning(
    place: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """The weights are exported anyway."""
    stop_after(build_trainer(settings(place / "names.txt"), place / "half"), 4)
    spoil(place / "half" / CHECKPOINT_PATH)
    result = run_unprivileged("export", "half", "--to", "json", cwd=place)
    (place / "half" / "training").chmod(0o755)
    said = "anexa: cannot tell whether the training in half has ended: "
    assert one_sentence(result).startswith(said + reason)
    assert result.returncode == 0
    assert load_model(place / "half.json").weights == load_model(place / "half").weights


def test_missing_gguf_package_is_named(tmp_path: Path) -> None:
    """The error names the extra to install, before anything is opened."""
    script = (
        "import sys, runpy; sys.modules['gguf'] = None; sys.argv = ['anexa', 'export', 'nowhere', "
        "'--to', 'gguf']; runpy.run_module('anexa', run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert one_sentence(result) == (
        "anexa: GGUF needs gguf, which is not installed: pip install 'anexa[hub]'\n"
    )
    assert result.returncode == 2


@pytest.mark.slow
def test_other_commands_accept_the_json_file(tmp_path: Path, parrot: Path) -> None:
    shutil.copytree(parrot, tmp_path / "parrot")
    assert anexa("export", "parrot", "--to", "json", cwd=tmp_path).returncode == 0
    said = anexa("chat", "parrot.json", "--engine", "numpy", cwd=tmp_path, text="2+3\n").stdout
    assert "\n5\n✓ the one step is true" in said
    drawn = anexa("graph", "parrot.json", cwd=tmp_path).stdout
    assert drawn == anexa("graph", "parrot", cwd=tmp_path).stdout
    whole = json.loads((tmp_path / "parrot.json").read_bytes())
    assert "<|assistant|>" in whole["chat_template"]


@pytest.mark.slow
def test_json_file_is_evaluated_like_its_folder(tmp_path: Path) -> None:
    """In two processes, each of which opens the file."""
    assert anexa("export", "--to", "json", cwd=tmp_path).returncode == 0
    tasks = ("--task", "+ 3", "--task", "2x2", "--problems", "3", "--processes", "2")
    evaluate = ("eval", *tasks, "--engine", "numpy", "--json")
    result = anexa(*evaluate, "anexa.json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == anexa(*evaluate, cwd=tmp_path).stdout
    assert [row["thinking"]["hits"] for row in json.loads(result.stdout)["tasks"]] == [3, 3]
