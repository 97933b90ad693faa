"""Training with several processes: real ones, started by torchrun, with gloo on this CPU."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from anexa.model.loading import load_model
from anexa.training import build_trainer
from anexa.training.checkpoint import read_checkpoint
from anexa.training.metrics import read_metrics
from tests.cli.process import anexa, closed_port, environment, listing, refusals, start
from tests.engines.helpers import assert_close
from tests.training.runs import settings, write_names

pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.alone

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="it looks for processes in /proc, or signals them"
)

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
RUN = ["names.txt", "--n-layer=1", "--n-embd=16", "--block-size=8", "--dtype=float32"]
RUN += ["--device=cpu", "--batch-size=4", "--no-chat"]


def torchrun(*arguments: str, cwd: Path, launcher: Sequence[str] = ()) -> str:
    """Train in two processes; returns their output."""
    result = subprocess.run(
        [*TORCHRUN, *launcher, "-m", "anexa", "train", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def losses(folder: Path) -> list[float]:
    """Return the losses of the records and of the evaluations."""
    records, _ = read_metrics(folder)
    evaluations = read_checkpoint(folder).state.evaluations
    return [record.loss for record in records] + [e.validation_loss for e in evaluations]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--optimizer=adamw"], id="copies"),
        pytest.param(["--micro-batch=1"], id="muon"),
        pytest.param(["--shard"], id="parts"),
        pytest.param(["--shard", "--preset=anexa-llama"], id="llama"),
    ],
)
def test_two_processes_give_the_losses_of_one(options: list[str], tmp_path: Path) -> None:
    write_names(tmp_path)
    arguments = [*RUN, *options, "--steps=20"]
    assert anexa("train", *arguments, "--out=one", cwd=tmp_path).returncode == 0
    output = torchrun(*arguments, "--out=two", cwd=tmp_path)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-6)
    one, two = (load_model(tmp_path / folder).weights for folder in ("one", "two"))
    assert_close(two, one, bound=1e-4)
    assert output.count("parameters") == output.count("done: 20 steps") == 1, "one process speaks"
    assert "2 processes" in output
    parts = [path for path in (tmp_path / "two").rglob("*") if ".anexa-" in path.name]
    assert parts == []


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a trained model, with its corpus beside it."""
    place = tmp_path_factory.mktemp("frozen")
    write_names(place)
    assert anexa("train", *RUN, "--steps=2", "--out=base", cwd=place).returncode == 0
    return place / "base"


@pytest.fixture(scope="module", params=["--lora=2", "--freeze=embeddings,norms"])
def frozen(base: Path, request: pytest.FixtureRequest) -> list[str]:
    """The arguments of a run that freezes weights; one process has written its folder `one`."""
    arguments = ["names.txt", "--from=base", request.param, "--steps=3", "--batch-size=2"]
    arguments += ["--no-chat", "--device=cpu", "--dtype=float64"]
    shutil.rmtree(base.parent / "one", ignore_errors=True)  # of the other parameter
    assert anexa("train", *arguments, "--out=one", cwd=base.parent).returncode == 0
    return arguments


@pytest.mark.slow
@pytest.mark.parametrize("shard", [[], ["--shard"]], ids=["copies", "parts"])
def test_frozen_weights_are_shared_by_two_processes(
    base: Path, frozen: list[str], shard: list[str], tmp_path: Path
) -> None:
    torchrun(*frozen, *shard, f"--out={tmp_path / 'two'}", cwd=base.parent)
    one, two = (read_checkpoint(folder) for folder in (base.parent / "one", tmp_path / "two"))
    assert_close(two.weights, one.weights, bound=1e-9)
    assert two.moments.keys() == one.moments.keys()
    assert load_model(tmp_path / "two").config == load_model(base).config


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--shard"]])
def test_a_run_of_two_processes_is_resumed_by_one_or_two(
    options: list[str], tmp_path: Path
) -> None:
    """A stop and a resume change nothing; with two processes, to the last bit."""
    write_names(tmp_path)
    steps = 400 if options else 2000  # seconds, in which it can be stopped
    arguments = [*RUN, *options, f"--steps={steps}"]
    torchrun(*arguments, "--out=whole", cwd=tmp_path)
    command = [*TORCHRUN, "-m", "anexa", "train", *arguments, "--out=m"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), text=True) as process:
        wait_for_step(tmp_path / "m", 40)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
    stopped = read_checkpoint(tmp_path / "m").state
    assert 40 <= stopped.step < steps
    shutil.copytree(tmp_path / "m", tmp_path / "one")
    torchrun("--resume=m", "--no-chat", cwd=tmp_path)
    assert anexa("train", "--resume=one", "--no-chat", cwd=tmp_path).returncode == 0
    two, whole = (load_model(tmp_path / folder).weights for folder in ("m", "whole"))
    assert two == whole
    # Rounding is another, and grows with the steps that are left; of the first it shows nothing.
    one, whole_losses = (losses(tmp_path / folder) for folder in ("one", "whole"))
    soon = 1 + next(
        i for i, r in enumerate(read_metrics(tmp_path / "m")[0]) if r.step >= stopped.step
    )
    assert one[: soon + 5] == pytest.approx(whole_losses[: soon + 5], rel=1e-5)
    assert one[-1] == pytest.approx(whole_losses[-1], rel=0.05)


def test_indivisible_batch_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_names(tmp_path)
    for name, value in (("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(closed_port()))
    processes = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        processes.append(start("train", *RUN, "--batch-size=5", "--out=m", cwd=tmp_path))
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert any("--batch-size 5 cannot be divided by 2 processes" in error for error in errors)
    assert not (tmp_path / "m").exists()


# Options that cannot be used by two processes on a computer without GPUs: exit status and error.
REFUSED = {
    "--device=cuda": (1, "2 processes need 2 GPUs, but PyTorch finds "),
    "--device=cuda:0": (2, "several processes need --device cuda or cpu, not cuda:0"),
    "--device=mps": (2, "several processes need --device cuda or cpu, not mps"),
    "--engine=numpy": (2, "several processes need --engine torch, not numpy: to train in one "),
}


def test_fewer_gpus_than_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() > 1:
        pytest.skip("there are GPUs")
    write_names(tmp_path)
    # As torchrun would: it is refused before there is anyone to meet.
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    commands = [["train", *RUN, option, "--out=m"] for option in REFUSED]
    found = refusals(*commands, cwd=tmp_path)
    for (status, line), (expected_status, start_of_line) in zip(found, REFUSED.values()):
        assert status == expected_status
        assert line.startswith(f"anexa: {start_of_line}")
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_the_run_of_another_launch_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every attempt of the launch, not only in the first."""
    write_names(tmp_path)
    quick = ["names.txt", "--preset=microgpt", "--engine=numpy", "--steps=3", "--no-chat"]
    launcher = [arg.replace("=2", "=1") for arg in TORCHRUN]
    command = [*launcher, "--max-restarts=1", "-m", "anexa", "train", *quick, "--out=m"]
    trainer = build_trainer(settings(tmp_path / "names.txt", steps=3), tmp_path / "m")
    trainer.stopping = True
    assert list(trainer) == []
    before = listing(tmp_path / "m")
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert result.stderr.count("anexa: m exists already") == 2
    assert listing(tmp_path / "m") == before
    assert anexa("train", *quick, cwd=tmp_path).returncode == 0
    # The process died before it had a folder.
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert anexa("train", *quick, cwd=tmp_path).returncode == 0
    folders = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert folders == ["names-microgpt", "names-microgpt-2"]


@needs_linux
@pytest.mark.slow
def test_a_killed_worker_is_restarted_and_resumes(tmp_path: Path) -> None:
    write_names(tmp_path)
    arguments = [*RUN[:-2], "--batch-tokens=32", "--no-chat", "--steps=600"]
    torchrun(*arguments, "--out=whole", cwd=tmp_path)
    (tmp_path / "models" / "names").mkdir(parents=True)  # so that the run is in names-2
    command = [*TORCHRUN, "--max-restarts=2", "-m", "anexa", "train", *arguments]
    m = tmp_path / "models" / "names-2"
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        wait_for_step(m, 60)
        os.kill(max(workers(process.pid)), signal.SIGKILL)
        output = process.communicate(timeout=240)[0]
    assert process.returncode == 0
    assert "resuming after step" in output
    assert "done: 600 steps" in output
    assert load_model(m).weights == load_model(tmp_path / "whole").weights
    assert [path.name for path in sorted(m.parent.iterdir())] == ["names", "names-2"]


@needs_linux
@pytest.mark.slow
def test_a_process_without_the_others_ends_with_a_sentence(tmp_path: Path) -> None:
    write_names(tmp_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "anexa", "train", *RUN, "--steps=100000", "--out=m"],
            cwd=tmp_path,
            env=environment(WORLD_SIZE="2", RANK=str(rank), **address),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    wait_for_step(tmp_path / "m", 0)
    started[1].kill()
    said = [process.communicate(timeout=120)[1] for process in started]
    assert started[0].returncode == 1
    assert said[0].startswith("anexa: process 0 has lost the connection to another one of the 2 ")
    assert said[0].count("\n") == 1
    assert read_checkpoint(tmp_path / "m").config.run.batch_size == 4


def wait_for_step(folder: Path, step: int) -> None:
    """Wait for a checkpoint of at least `step` steps."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        written = (folder / "training" / "state.safetensors").exists()
        if written and read_checkpoint(folder).state.step >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"no step {step} in {folder}")


def workers(launcher: int) -> list[int]:
    """List the processes that torchrun has started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="ascii")
    return [int(pid) for pid in children.split()]


@pytest.mark.slow
def test_a_process_without_sequences_takes_part_in_the_step(tmp_path: Path) -> None:
    """A step of conversations may have fewer sequences than processes."""
    (tmp_path / "step.py").write_text(
        """
import random
import torch.distributed as dist
from anexa.engines import Batch, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights
from anexa.training.distributed import destroy_distributed

def compare():
    config = ModelConfig("gpt2", 7, block_size=6, n_embd=8, n_head=2, n_layer=1)
    weights = initial_weights(config, random.Random(1))
    batch = Batch.from_sequences([[1, 2, 3, 4]])
    alone = open_engine("torch", config, weights)
    alone.train_step(batch, 0.01)
    dist.init_process_group("gloo")
    together = open_engine("torch", config, weights)
    together.train_step(batch, 0.01)
    assert abs(alone.loss(batch) - together.loss(batch)) < 1e-6

compare()
destroy_distributed()
""",
        encoding="utf-8",
    )
    result = subprocess.run(
        [*TORCHRUN, "step.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
