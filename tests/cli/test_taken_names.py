"""Names and paths: settled when they are taken, and valid from any working directory."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anexa.errors import AnexaError, AnexaWarning
from anexa.files import write_folder
from anexa.model.loading import load_model
from anexa.output_paths import TEMPORARY_PREFIX
from anexa.training import build_trainer, resume_trainer
from anexa.training.lock import TrainingLock
from anexa.training.opening import open_corpus
from tests.cli.process import ANEXA, anexa, environment, one_sentence, posix, start
from tests.training.runs import finish, settings, stop_after, weights_file, write_names

QUICK = ["--preset", "microgpt", "--engine", "numpy", "--steps", "5", "--no-chat"]


@pytest.fixture
def names(tmp_path: Path) -> Path:
    return write_names(tmp_path)


def test_runs_started_at_once_get_names_of_their_own(names: Path) -> None:
    started = [start("train", "names.txt", *QUICK, cwd=names.parent) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    folders = {f"names-microgpt{number}" for number in ("", "-2", "-3")}
    assert {path.name for path in (names.parent / "models").iterdir()} == folders
    for folder in folders:
        load_model(names.parent / "models" / folder)
        assert sum(f"anexa chat {Path('models', folder)}\n" in out for out, _ in said) == 1


def test_each_writer_of_a_folder_gets_a_number_of_its_own(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "file").write_bytes(b"")
        together.wait()  # until all of them want the name

    together = threading.Barrier(8)
    (tmp_path / "m-3").mkdir()  # an empty folder is not free either
    with ThreadPoolExecutor(8) as pool:
        numbers = pool.map(lambda _: write_folder(tmp_path / "m", write, numbered=True), range(8))
        assert sorted(numbers) == [1, 2, 4, 5, 6, 7, 8, 9]
    assert list((tmp_path / "m-3").iterdir()) == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]


def test_a_name_taken_meanwhile_is_refused(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "file").write_bytes(b"")
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "theirs").write_bytes(b"")

    with pytest.raises(AnexaError, match="m exists already"):
        write_folder(tmp_path / "m", write)
    assert [path.name for path in tmp_path.rglob("*")] == ["m", "theirs"]


def test_a_run_continues_with_the_same_text_elsewhere(names: Path, tmp_path: Path) -> None:
    whole = finish(build_trainer(settings(names), tmp_path / "whole")).folder
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(names, tmp_path / "elsewhere" / "other name.txt"))
    gone = one_sentence(anexa("train", "--resume", "m", "--no-chat", cwd=tmp_path))
    assert f"the corpus of this run, {names}, is gone: " in gone
    names.write_text("zebra\nquagga\n" * 9, encoding="utf-8")  # another text of the same name
    for arguments in (["names.txt", "--resume", "m"], ["--resume", "m"]):
        refused = anexa("train", *arguments, "--no-chat", cwd=tmp_path)
        assert "SHA-256" in one_sentence(refused)
    [advice] = [part for part in gone.split(": ") if part.startswith("anexa train FILE")]
    arguments = shlex.split(advice.replace("FILE", shlex.quote(str(moved))))[1:]
    result = anexa(*arguments, "--no-chat", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert weights_file(tmp_path / "m") == weights_file(whole)


@posix
@pytest.mark.parametrize("corpus", ["-", "pipe"])
def test_advice_to_resume_a_piped_run_works(corpus: str, names: Path, tmp_path: Path) -> None:
    options = "--preset microgpt --engine numpy --steps 1000 --no-chat --out m"
    script = f"exec {shlex.join(ANEXA)} train {corpus} {options}"
    if corpus == "pipe":
        os.mkfifo(tmp_path / "pipe")
        script = f"cat names.txt > pipe & {script}"
    else:
        script += " < names.txt"
    process = subprocess.Popen(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdout is not None
        while " 10% · step 100 " not in (line := process.stdout.readline()):
            assert line
        process.terminate()
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 143
    [advice] = [line for line in said.splitlines() if line.startswith("resume it:")]
    command = advice.removeprefix("resume it:").partition(",")[0].split()
    assert command == ["anexa", "train", "FILE", "--resume", "m"]
    result = anexa("train", names, "--resume", "m", "--no-chat", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "done: 1,000 steps" in result.stdout


@posix
def test_another_text_for_a_piped_run_is_refused_with_advice_that_works(
    names: Path, tmp_path: Path
) -> None:
    options = "--preset microgpt --engine numpy --steps 1 --no-chat --out m"
    script = f"exec {shlex.join(ANEXA)} train - {options} < {names.name}"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment(), check=True)
    other = tmp_path / "other.txt"
    other.write_text("zebra\nquagga\n" * 9, encoding="utf-8")
    result = anexa("train", "other.txt", "--resume", "m", "--steps=2", "--no-chat", cwd=tmp_path)
    assert result.returncode == 2
    assert "was started with a text from a pipe, not other.txt, whose text is" in result.stderr
    assert "give a file with the same text: anexa train FILE --resume m, or" in result.stderr
    assert "leave it out" not in result.stderr


@pytest.mark.parametrize("name", ["None", "True", "1", "my names", "-names.txt", "names", "-"])
def test_odd_names_of_corpora(name: str, tmp_path: Path) -> None:
    """They are paths wherever they are given as such, and in the command on the card."""
    write_names(tmp_path, name)
    stop_after(build_trainer(settings(tmp_path / name), tmp_path / "m"), 3)
    result = anexa("train", "--resume", "m", "--no-chat", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    [command] = [line for line in card.splitlines() if line.startswith("anexa train ")]
    result = anexa(*shlex.split(command)[1:], "--out", "again", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert weights_file(tmp_path / "again") == weights_file(tmp_path / "m")


def test_a_file_named_like_a_corpus_is_pointed_out(tmp_path: Path) -> None:
    write_names(tmp_path, "firstnames")
    result = anexa("train", "firstnames", *QUICK, "--out", "m", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == (
        "anexa: firstnames is the named corpus, not the file firstnames in this folder: that is "
        "./firstnames\n"
    )


def test_a_folder_named_like_a_corpus_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("garden").mkdir()
    with pytest.warns(AnexaWarning, match=r"garden is the named corpus, not the folder garden"):
        open_corpus("garden", "auto")


def test_a_configuration_repeats_the_run_from_any_folder(tmp_path: Path) -> None:
    write_names(tmp_path)
    assert anexa("train", "names.txt", *QUICK, "--out", "a", cwd=tmp_path).returncode == 0
    (tmp_path / "elsewhere").mkdir()
    tokenizer = ["names.txt", "--tokenizer", "a", *QUICK, "--out", "b"]
    assert anexa("train", *tokenizer, cwd=tmp_path).returncode == 0
    for folder in "ab":
        config = tmp_path / folder / "training" / "config.toml"
        arguments = ["--config", str(config), "--no-chat", "--out", folder]
        result = anexa("train", *arguments, cwd=tmp_path / "elsewhere")
        assert (result.returncode, result.stderr) == (0, "")
        assert weights_file(tmp_path / "elsewhere" / folder) == weights_file(tmp_path / folder)


def test_a_run_that_another_process_continued_is_refused(names: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    first, second = resume_trainer(tmp_path / "m"), resume_trainer(tmp_path / "m")
    finish(first)
    before = weights_file(tmp_path / "m")
    with pytest.raises(AnexaError, match="another process has just continued the training in "):
        finish(second)
    assert weights_file(tmp_path / "m") == before


def test_a_running_run_is_refused_before_its_corpus_is_read(names: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    names.unlink()
    with TrainingLock(tmp_path / "m"), pytest.raises(AnexaError, match="is already running"):
        resume_trainer(tmp_path / "m")


@posix
def test_a_second_reinforcement_gets_a_number(parrot: Path, tmp_path: Path) -> None:
    """Its default name is taken when it is written: no run is lost to another one."""
    from anexa.thinking.reinforced_folder import ReinforcedFolder
    from anexa.thinking.reinforcement import ReinforcementConfig, ReinforcementStepResult

    shutil.copytree(parrot, tmp_path / "m")
    runs = [ReinforcedFolder(tmp_path / "m", None, ReinforcementConfig()) for _ in range(2)]
    for reinforced in runs:
        reinforced.run.best_weights = load_model(tmp_path / "m").weights
        reinforced.run.initial_accuracy = 0.5
        reinforced.run.best_result = ReinforcementStepResult(1, reward=0.5, accuracy=0.75)
        assert reinforced.write()
    assert [reinforced.out.name for reinforced in runs] == ["m-reinforced", "m-reinforced-2"]
    with pytest.raises(AnexaError, match="m-reinforced exists already"):
        ReinforcedFolder(tmp_path / "m", tmp_path / "m-reinforced", ReinforcementConfig())
