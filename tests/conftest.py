"""Fixtures and settings of all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys

# Before NumPy and PyTorch are imported: one thread for each pytest worker and each process that a
# test starts. For matrices this small a second thread only makes the first one wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# So that "auto" is always numpy, and no test starts a compilation in the background.
os.environ["NUMBA_DISABLE_JIT"] = "1"

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from anexa.training import build_trainer
from tests.generation.parrot import write_parrot
from tests.training.runs import finish, write_names
from tests.training.runs import settings as run_settings

# Bytecode is kept, even if PYTHONDONTWRITEBYTECODE is set: else every worker would rewrite the
# assertions of all modules, and every process that a test starts would compile the package.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Properties have few examples by default; `.ci/run` tries all with `--hypothesis-profile thorough`.
# No deadline: the time of an example depends on the machine.
settings.register_profile(
    "fast", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=20
)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=100)
settings.load_profile("fast")

# A background job, or one under `nohup`, ignores these signals; so would the processes of tests.
for _name, _handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, _name) and signal.getsignal(signal.Signals[_name]) is signal.SIG_IGN:
        signal.signal(signal.Signals[_name], _handler)


# Architectures with the forward function of another one, and no operation that others lack.
RELATIVES = {"mistral", "qwen2"}
ENGINE_TESTS = ("engines", "generation")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample",
        action="store_true",
        help="run 4 and a tenth of the parameters of each test",
    )


@pytest.hookimpl(hookwrapper=True, tryfirst=True)  # before `-m` chooses, and after it
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Mark the tests of engines that repeat those of `llama` and `qwen3` for a relative as slow.

    With `--sample`, then deselect most parameters of the tests that have many.
    """
    for item in items:
        call = getattr(item, "callspec", None)
        names = {v for v in call.params.values() if isinstance(v, str)} if call else set()
        if names & RELATIVES and item.path.parent.name in ENGINE_TESTS:
            item.add_marker("slow")
    yield
    if config.getoption("--sample"):
        kept = sample(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def sample(items: list[pytest.Item]) -> set[pytest.Item]:
    """Choose 4 and a tenth of the parameters of each test, evenly; of those that run, if enough."""
    tests = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        tests[item.nodeid.partition("[")[0]].append(item)
    kept = set()
    for parameters in tests.values():
        number = min(len(parameters), 4 + len(parameters) // 10)
        running = [p for p in parameters if not any(m.args[0] for m in p.iter_markers("skipif"))]
        chosen_from = running if len(running) >= number else parameters
        kept |= {chosen_from[i * len(chosen_from) // number] for i in range(number)}
    return kept


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while modules are imported: modules and tests stay until the end.

    Then the garbage collector is spared them for the rest of the session.
    """
    gc.disable()
    yield
    gc.enable()
    gc.collect()
    gc.freeze()


ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def unflushed_files() -> Iterator[None]:
    """Have no file wait for the disk: no test cuts the power, and a run writes a hundred files.

    Processes that a test starts wait, as they do for a user.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)  # noqa: ARG005
        yield


@pytest.fixture(scope="session")
def stored_corpora() -> Path:
    """Folder with names.txt, tinyshakespeare.txt and sherlock.txt; skips the test without it.

    The folder is $ANEXA_TEST_CORPORA.
    """
    folder = Path(os.environ.get("ANEXA_TEST_CORPORA", ROOT.parent / "shared" / "data"))
    if not (folder / "names.txt").exists():
        pytest.skip(f"the public corpora are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def names_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model trained on names, one a document, which generates short texts."""
    folder = tmp_path_factory.mktemp("names")
    corpus = write_names(folder)
    return finish(build_trainer(run_settings(corpus, steps=300), folder / "model")).folder


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a chat model with known answers; tests must not write into it."""
    return write_parrot(tmp_path_factory.mktemp("chat") / "parrot")


@pytest.fixture(scope="module")  # not "session": Playwright runs an event loop in this thread
def browser() -> Iterator[Any]:
    """Chromium, controlled by Playwright."""
    from tests.server.browser import chromium

    with chromium() as browser:
        yield browser
