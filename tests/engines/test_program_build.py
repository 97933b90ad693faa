"""Machine code of programs: the cache, and the process that compiles."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anexa
from anexa.errors import AnexaError, AnexaWarning

if not find_spec("numba"):
    pytest.skip("needs Numba", allow_module_level=True)

from anexa.engines.program import code_cache, units
from anexa.engines.program.build import CompiledStep
from anexa.engines.program.processor import processor
from anexa.engines.program.writer import Frame, KernelSource, Source

STEP = """
def step(frame):
    scale(frame, 2)
"""
SCALE = """
def scale(frame, factor):
    frame[1] = factor * frame[0] + 1
    frame[2] = int(1000 * log(frame[0]))
"""


def program(text: str = STEP, kernel: str = SCALE) -> Source:
    """A program whose kernel calls a function of C, as the logarithm of a loss is one."""
    kernels = (KernelSource("scale", kernel, ("integers", "int64")),)
    return Source(text, Frame(), kernels, "float32")


RUN = """
import ctypes, sys
from anexa.engines.program.build import CompiledStep
from tests.engines.test_program_build import program
frame = (ctypes.c_int64 * 3)(7)
CompiledStep(program()).call(ctypes.addressof(frame))
print(*frame, "numba" in sys.modules)
"""

pytestmark = pytest.mark.filterwarnings("ignore:compiling the model")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the code of `program`; nobody writes into it."""
    folder = tmp_path_factory.mktemp("cache")
    run(folder)
    return folder


@pytest.fixture
def cache(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with the code of `program`, which this process uses."""
    folder = tmp_path / "cache"
    shutil.copytree(compiled, folder)
    monkeypatch.setenv("ANEXA_CACHE", str(folder))
    return folder


def run(folder: Path) -> str:
    """Run `program` in a process; return its frame, and whether it has imported Numba."""
    return start(folder).communicate()[0].strip()


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the process of `run`."""
    env = os.environ | {"ANEXA_CACHE": str(folder)}
    return subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True, env=env)


def check(step: CompiledStep) -> None:
    """Check the results of `program`."""
    frame = (ctypes.c_int64 * 3)(7)
    step.call(ctypes.addressof(frame))
    assert [*frame] == [7, 15, 1945]


def stored(folder: Path) -> list[Path]:
    """The files of machine code in a cache folder."""
    return sorted((folder / "programs").glob("*"))


def test_code_from_the_cache_needs_no_numba(compiled: Path) -> None:
    before = [file.stat().st_ino for file in stored(compiled)]
    assert run(compiled) == "7 15 1945 False"
    assert [file.stat().st_ino for file in stored(compiled)] == before


def test_loaded_steps_do_not_disturb_one_another(cache: Path) -> None:
    assert stored(cache)
    steps = [CompiledStep(program()) for _ in range(3)]
    for step in (*steps, *steps):
        check(step)


@pytest.mark.filterwarnings("error")
def test_code_in_the_cache_is_not_announced(cache: Path) -> None:
    check(CompiledStep(program()))
    assert len(stored(cache)) == 1


def test_the_key_has_the_processor_and_the_versions_in_it() -> None:
    environment = units.code_dependencies()
    assert {*processor()} < {*environment}
    assert {importlib.metadata.version(name) for name in ("numba", "llvmlite")} < {*environment}


def test_the_key_has_all_of_a_unit_in_it() -> None:
    source = KernelSource("scale", SCALE, ("integers", "int64"))
    unit = units.Unit("symbol", source, "float32")
    changed = [
        unit,
        replace(unit, symbol="other"),
        replace(unit, dtype="float64"),
        replace(unit, source=replace(source, name="other")),
        replace(unit, source=replace(source, text=SCALE + "\n")),
        replace(unit, source=replace(source, arguments=("numbers", "int64"))),
    ]
    assert len({other.key for other in changed}) == len(changed)
    assert replace(unit).key == unit.key


def test_the_key_has_the_compiler_in_it(tmp_path: Path) -> None:
    copy = tmp_path / "anexa"
    ignored = shutil.ignore_patterns("__pycache__", "bundled")
    shutil.copytree(Path(anexa.__file__).parent, copy, ignore=ignored)
    line = "from anexa.engines.program.units import code_dependencies as e; print(e())"

    def found() -> str:
        env = os.environ | {"PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", line]
        return subprocess.check_output(command, text=True, env=env, cwd=tmp_path).strip()

    assert found() == str(units.code_dependencies())
    vectors = copy / "engines" / "program" / "vectors.py"
    vectors.write_text(vectors.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert found() != str(units.code_dependencies())


@settings(max_examples=20)  # each is flushed to the disk
@given(code=st.binary(max_size=200), data=st.data())
def test_a_file_is_used_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, code: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cache") / "key.code"
    code_cache.write(path, code)
    assert code_cache.read(path) == code
    content = path.read_bytes()
    index = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[index] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(changed), content[:index], content + b"\0", b""):
        path.write_bytes(damaged)
        assert code_cache.read(path) is None
    path.write_bytes(content)
    assert code_cache.read(path.rename(path.with_name("other.code"))) is None
    assert code_cache.read(path) is None


@pytest.mark.slow
def test_code_that_cannot_be_loaded_is_compiled_anew(cache: Path) -> None:
    for file in stored(cache):
        code_cache.write(file, b"no machine code")
    step = CompiledStep(program())
    with pytest.warns(AnexaWarning, match="compiling the model for this processor, once"):
        check(step)
    assert run(cache) == "7 15 1945 False"


@pytest.mark.slow
def test_a_damaged_file_is_replaced(cache: Path) -> None:
    for file in stored(cache):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(AnexaWarning, match="compiling the model for this processor, once"):
        check(CompiledStep(program()))
    assert run(cache) == "7 15 1945 False"


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "file"
    folder.write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("ANEXA_CACHE", str(folder))
    with pytest.warns(AnexaWarning, match="is not kept.*ANEXA_CACHE") as found:
        check(CompiledStep(program()))
    assert sum("ANEXA_CACHE" in str(warning.message) for warning in found) == 1
    assert folder.read_text(encoding="utf-8") == "not a folder"


@pytest.mark.slow
def test_several_processes_may_compile_the_same(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in processes} == {"7 15 1945 False"}
    assert len(stored(tmp_path)) == 1
    assert all(code_cache.read(file) for file in stored(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent there")
def test_a_process_that_is_killed_while_it_writes_leaves_no_code(tmp_path: Path) -> None:
    path = tmp_path / "key.code"
    program = (
        "import os, pathlib, signal, sys\n"
        "from anexa.engines.program import code_cache\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "code_cache.write(pathlib.Path(sys.argv[1]), bytes(100_000))\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path], check=False).returncode < 0
    (leftover,) = tmp_path.iterdir()
    assert code_cache.read(path) is None
    code_cache.write(path, b"code")
    assert leftover.exists()  # it might be that of a process that is still writing
    os.utime(leftover, (0, 0))
    code_cache.write(path, b"code")
    assert [*tmp_path.iterdir()] == [path]
    assert code_cache.read(path) == b"code"


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.code" for number in range(code_cache.MAX_FILES)]
    for age, path in enumerate(paths):
        path.write_bytes(b"")
        os.utime(path, (1000 - age, 1000 - age))
    code_cache.write(paths[-1], b"code")
    os.utime(paths[-1], (1, 1))
    code_cache.read(paths[-1])
    code_cache.write(tmp_path / "new.code", b"code")
    assert {*tmp_path.iterdir()} == {*paths[:-2], paths[-1], tmp_path / "new.code"}


@pytest.mark.slow
def test_several_threads_may_wait_for_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path))
    step = CompiledStep(program())
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(check, [step] * 4)] == [None] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def scale(frame, factor):\n    frame[0] = unknown\n", "unknown"),
        ("def scale(frame, factor):\n    frame[0] = len([factor] * frame[0])\n", "needs"),
        ("def scale(frame:\n", "SyntaxError"),
    ],
)
def test_what_cannot_be_compiled_is_an_error_of_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path))
    step = CompiledStep(program(kernel=text))
    with pytest.raises(AnexaError, match=r"Numba could not compile.*choose another --engine") as e:
        _ = step.call
    assert reason in str(e.value)
    assert "\n" not in str(e.value)
    assert not stored(tmp_path)


@pytest.mark.slow
def test_after_an_interrupted_compilation_the_next_call_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path))
    step = CompiledStep(program())
    assert step._compilation
    for process in step._compilation._processes:  # a terminal sends Ctrl-C to all of them
        process.kill()
    with pytest.raises(AnexaError, match="its process was ended"):
        _ = step.call
    check(step)


@pytest.mark.skipif(sys.platform == "win32", reason="sizes of files are not limited there")
def test_a_folder_without_space_is_not_writable(tmp_path: Path) -> None:
    program = (
        "import pathlib, resource, sys\n"
        "from anexa.engines.program.code_cache import check_writable\n"
        "check_writable(pathlib.Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: check_writable(pathlib.Path(sys.argv[1]))\n"
        "except OSError: print('full')\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program, tmp_path], text=True) == "full\n"
