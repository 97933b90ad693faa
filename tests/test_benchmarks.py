"""Short runs of the benchmarks: they work, and print what they should."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from anexa.training import TrainConfig, build_trainer
from tests.cli.process import environment
from tests.conftest import ROOT
from tests.engines.helpers import needs_torch
from tests.scripts import benchmark

TEXT = "the cat sat on the mat, and the rat sat on the cat. " * 40


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.slow
def test_startup_prints_seconds_and_ratios() -> None:
    result = benchmark("startup.py", "--runs", "2")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(\S.*?)  +([\d.]+) +([\d.]+)$", result.stdout, re.MULTILINE)
    assert {"python -c pass", "import anexa", "anexa --help"} <= {name for name, *_ in rows}
    assert rows[0][2] == "1.0"
    assert all(float(seconds) > 0 and float(ratio) > 0 for _, seconds, ratio in rows)


@pytest.mark.slow
def test_keep_steps_prints_the_ratio() -> None:
    result = benchmark("keep_steps.py", "--steps", "130", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    [row] = re.findall(
        r"^numpy +([\d.]+) ms +([\d.]+) ms +([\d.]+) +([\d.]+) s$", result.stdout, re.MULTILINE
    )
    assert all(float(number) > 0 for number in row)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium")
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_glass_box_is_fast() -> None:
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    result = benchmark("explore.py", "--rounds", "3")
    assert result.returncode == 0, result.stderr
    found = dict(re.findall(r"^(\w+)(?:, seconds)?: ([\d.]+)", result.stdout, re.MULTILINE))
    # About ten times the figures of docs/explore.md, since other processes may share the cores; the
    # memory does not depend on them.
    limits = {"map": 10.0, "number": 0.1, "step": 1.0, "memory": 1.0}
    assert {name: float(found[name]) for name in limits if float(found[name]) > limits[name]} == {}


@needs_torch
@pytest.mark.slow
def test_repetition_prints_a_row_for_each_setting(corpus: Path, tmp_path: Path) -> None:
    train = [
        sys.executable,
        "-m",
        "anexa",
        "train",
        corpus,
        "--steps",
        "2",
        "--out",
        tmp_path / "a",
    ]
    subprocess.run([*map(str, train)], env=environment(), check=True, capture_output=True)
    result = benchmark("repetition.py", tmp_path / "a", corpus, "--prompts", "2", "--tokens", "20")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^ +([\d.]+)% +(-?[\d.]*)  (.+)$", result.stdout, re.MULTILINE)
    assert [name for *_, name in rows][:2] == ["the text itself", "temperature 0"]
    assert len(rows) == 10
    assert all(0 <= float(share) <= 100 for share, *_ in rows)


@needs_torch
@pytest.mark.slow
@pytest.mark.alone
def test_train_speed_prints_ratios_to_stock(corpus: Path) -> None:
    arguments = ["--sizes", "2x8", "--rounds", "2", "--steps", "2", "--threads", "1"]
    result = benchmark("train_speed.py", "--corpus", corpus, *arguments)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(\S.*?) +([\d,]+) +([\d.]+) +(\d+)%$", result.stdout, re.MULTILINE)
    names = ["stock", "anexa, AdamW, float32", "anexa, AdamW", "anexa, defaults"]
    assert [row[0] for row in rows] == names
    assert rows[0][2] == "1.00"
    assert all(float(ratio) > 0 and int(share) <= 150 for _, _, ratio, share in rows)


@needs_torch
@pytest.mark.slow
def test_serve_load_prints_all_ratios() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    result = benchmark("serve_load.py", "--concurrency", "3", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    speeds = dict(re.findall(r"^(\S.*?) +([\d,]+) tokens/s$", result.stdout, re.MULTILINE))
    sides = {"server, concurrency 1", "server, concurrency 3", "transformers, batch 3"}
    assert sides <= set(speeds)
    assert all(int(speed.replace(",", "")) > 0 for speed in speeds.values())
    for words in ("x transformers", "x concurrency 1", "overhead of HTTP", "TTFT: median"):
        assert words in result.stdout


@needs_torch
@pytest.mark.slow
def test_compiled_prints_ratios_and_goals(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("emma\nolivia\nava\nisabella\n", encoding="utf-8")
    port = tmp_path / "port.py"
    port.write_text(
        "import time\n"
        "while time.process_time() < 0.1:  # as a training would, longer than a tick of the clock\n"
        "    pass\n"
        "print('training per step   12.5 us')\n",
        encoding="utf-8",
    )
    result = benchmark(
        "compiled.py", "loop", "names", "--engine", "torch", "--corpus", names, "--rounds", "1",
        "--port", f"ours={sys.executable} {port}", "--port", f"silent={sys.executable} -c pass",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^  (\S.*?) +([\d.,]+) (?:tokens/s|us)(.*)$", result.stdout, re.MULTILINE)
    shown = {name: (float(figure.replace(",", "")), more) for name, figure, more in rows}
    assert {"torch", "numpy", "torch, from text", "numpy, from text", "ours"} <= set(shown)
    assert all(figure > 0 for figure, _ in shown.values())
    ratio = r"torch is ([\d.]+) times as fast \(\1 to \1\)"
    assert all(re.search(ratio, more) for name, (_, more) in shown.items() if name != "torch")
    assert 0 < shown["ours"][0] <= 12.5  # it prints wall-clock time
    assert shown["ours"][1].endswith(", goal 1")
    assert re.search("silent +left out: .* does not print its microseconds", result.stdout)


@pytest.mark.slow
def test_compiled_says_what_an_engine_lacks() -> None:
    result = benchmark("compiled.py", "loop", "--engine", "gone", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    assert re.search("^  gone +left out: there is no engine 'gone'", result.stdout, re.MULTILINE)
    assert re.search("^  numpy +[\\d,]+ tokens/s$", result.stdout, re.MULTILINE)
    result = benchmark("compiled.py", "gone")
    assert result.returncode == 2
    assert "there is no row 'gone'" in result.stderr


@pytest.mark.slow
def test_original_numbers_agree(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("emma\nolivia\nava\nisabella\n", encoding="utf-8")
    result = benchmark(
        "original_numbers.py", "--engine", "numpy", "--steps", "5", "--corpus", names
    )
    assert result.returncode == 0, result.stderr
    assert "losses equal to 4 decimals: 5," in result.stdout
    assert "names equal: 20 of 20" in result.stdout


@needs_torch
@pytest.mark.slow
def test_engine_sizes_names_the_fastest() -> None:
    arguments = ["--engines", "numpy", "torch", "--sizes", "32x1", "--rounds", "1"]
    result = benchmark("engine_sizes.py", *arguments)
    assert result.returncode == 0, result.stderr
    rows = re.findall(
        r"^32x1 +0.0M  ([a-z-]+) +([\d,]+) +([\d,]+)   (\w+): ([\d.]+) x (\w+)$",
        result.stdout,
        re.MULTILINE,
    )
    assert [row[0] for row in rows] == ["single", "batch", "train", "train-batch"]
    for _, numpy, torch, fastest, ratio, _ in rows:
        faster = float(numpy.replace(",", "")) >= float(torch.replace(",", ""))
        assert fastest == ("numpy" if faster else "torch")
        assert float(ratio) >= 1


@pytest.mark.skipif(not find_spec("numba"), reason="needs Numba")
@pytest.mark.slow
def test_passes_prints_ratios_to_the_whole_compiler() -> None:
    result = benchmark("passes.py", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(decode 32|decode|prompt of 64) +(.*)$", result.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == ["decode", "decode 32", "prompt of 64"]
    for _, figures in rows:
        ratios = re.findall(r"\(([\d.]+)\)", figures)
        assert len(ratios) == 5
        assert ratios[0] == "1.00"


@pytest.mark.slow
def test_conversation_prints_every_turn() -> None:
    result = benchmark("conversation.py", "--turns", "2", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^ +(\d) +(\d+) +(\d+) .*\d$", result.stdout, re.MULTILINE)
    assert rows == [("1", "200", "0"), ("2", "400", "192")]


@needs_torch
@pytest.mark.slow
def test_time_to_loss_prints_the_ratio(corpus: Path) -> None:
    arguments = ["--loss", "3", "--stock-steps", "30", "--steps", "30", "--batch-size", "4"]
    result = benchmark("time_to_loss.py", corpus, *arguments, "--threads", "1")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "--batch-size 4" in result.stdout
    assert len(re.findall(r"^seed 1  (?:stock|anexa) ", result.stdout, re.MULTILINE)) == 2
    assert re.search(r"^speedup of anexa over stock: [\d.]+ in", result.stdout, re.MULTILINE)


@needs_torch
@pytest.mark.slow
def test_time_to_loss_errors_are_one_sentence(tmp_path: Path) -> None:
    result = benchmark("time_to_loss.py", tmp_path / "gone.txt")
    assert result.returncode == 1
    assert result.stderr.startswith("error: there is no corpus and no file named ")
    assert result.stderr.count("\n") == 1
    result = benchmark(
        "time_to_loss.py", ROOT / "README.md", "--loss", "0.01", "--steps", "2",
        "--batch-size", "1", "--stock-steps", "2",
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == "Anexa's final loss is above 0.01: give it more --steps\n"


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("transformers", "transformers"),
        ("trainer", "accelerate"),
        ("trl", "trl"),
        ("peft", "peft"),
        ("mlx-lm", "mlx_lm"),
        ("ctranslate2", "ctranslate2"),
    ],
)
def test_other_programs_compute_the_same(program: str, package: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    result = benchmark("other_programs.py", "--only", program)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.findall(rf"^{program}\b.* equal( to \S+)?$", result.stdout, re.MULTILINE)
    assert "left out" not in result.stdout


@pytest.mark.slow
def test_garden_prints_the_share_of_right_answers(tmp_path: Path) -> None:
    options = TrainConfig.from_options(
        corpus="garden", engine="numpy", steps=1, n_layer=1, n_head=2, n_embd=16, block_size=96
    )
    build_trainer(options, tmp_path / "garden")
    result = benchmark("garden.py", tmp_path / "garden", "--engine", "numpy", "--wrong", "1")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^fact +128 +0\.0% \(0\.0% to 2\.9%\)", result.stdout, re.MULTILINE)
    assert re.search(r"^all +335 ", result.stdout, re.MULTILINE)
    assert "(right: The roses are red.)" in result.stdout


@pytest.mark.slow
def test_garden_prints_shares_of_padding() -> None:
    result = benchmark("garden.py", "--padding")
    assert result.returncode == 0, result.stderr
    ours, random, full = map(float, re.findall(r"([\d.]+)%$", result.stdout, re.MULTILINE))
    assert ours < 10 < 60 < random < full


@pytest.mark.slow
@needs_torch
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_loading_and_finetuning_print_ratios() -> None:
    pytest.importorskip("peft")
    result = benchmark("loading.py", "--layers", "1", "--runs", "1")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(\w+) +([\d.]+) s +([\d.]+) s +([\d.]+) +([\d.]+) x$", result.stdout, re.M)
    assert [name for name, *_ in rows] == ["transformers", "torch", "numpy"]
    assert all(float(memory) <= 1.2 for name, *_, memory in rows if name != "transformers")
    result = benchmark("finetuning.py", "--layers", "1", "--steps", "1")
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^(\w+ ?\w*) +[\d.]+ t/s", result.stdout, re.M) == [
        "all weights",
        "adapters ",
    ]
