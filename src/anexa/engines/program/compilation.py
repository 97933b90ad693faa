"""Compilation of kernels to machine code, in the background, by subprocesses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from anexa.cache import CACHE_VARIABLE
from anexa.engines.program import code_cache
from anexa.engines.program.units import Unit, units_of
from anexa.engines.program.writer import Source
from anexa.errors import AnexaError, AnexaWarning, one_line

# Environment of a subprocess: Numba only translates to LLVM's language; optimization follows once,
# with LLVM's own tools.
SUBPROCESS_ENVIRONMENT = {"NUMBA_OPT": "0", "NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}
MAX_PROCESSES = 2  # maximum number of subprocesses of a compilation
# Characters of source that are worth another subprocess: a second of translation.
CHARACTERS_PER_PROCESS = 8_000


class Compilation:
    """A compilation in the background of the kernels whose machine code is not in the cache.

    Creating the object starts the subprocesses, and gives an `AnexaWarning` if there are any;
    `result` waits for them. If the cache folder cannot be written, another warning says so, and the
    machine code goes to a temporary folder.

    Args:
        units: kernels whose machine code is needed.
        anew: whether to compile all kernels, even those in the cache; default: no.
    """

    def __init__(self, units: Sequence[Unit], *, anew: bool = False) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._paths = [code_cache.path(unit.key) for unit in units]
        found = [None if anew else code_cache.read(path) for path in self._paths]
        missing = [index for index, code in enumerate(found) if code is None]
        self._found, self._processes = found, list[subprocess.Popen[bytes]]()
        if not missing:
            return
        _say("compiling the model for this processor, once: about 10 seconds")
        self._check_folder()
        work = [(units[index], self._paths[index]) for index in missing]
        work.sort(key=lambda item: len(item[0].source.text))  # the longest take the longest
        characters = sum(len(unit.source.text) for unit, _ in work)
        processes = min(MAX_PROCESSES, 1 + characters // CHARACTERS_PER_PROCESS, len(work))
        for first in range(processes):
            self._processes.append(start_subprocess(work[first::processes], subprocess.PIPE))

    def _check_folder(self) -> None:
        folder = self._paths[0].parent
        try:
            code_cache.check_writable(folder)
        except OSError as error:
            _say(
                f"the compiled model is not kept, as {folder} cannot be written "
                f"({error.strerror or error}): set the environment variable {CACHE_VARIABLE} to a "
                "writable folder"
            )
            self._folder = tempfile.TemporaryDirectory(prefix="anexa-")
            self._paths = [Path(self._folder.name) / path.name for path in self._paths]

    def result(self) -> list[bytes]:
        """Wait for the subprocesses to end, and remove the temporary folder; call this once.

        Returns:
            The machine code of each unit, in the order of the units.

        Raises:
            AnexaError: if the compilation of a unit fails.
        """
        complaints = [
            process.communicate()[1].decode(errors="replace") for process in self._processes
        ]
        codes = [code or code_cache.read(path) for code, path in zip(self._found, self._paths)]
        if self._folder:
            self._folder.cleanup()
        found = [code for code in codes if code is not None]
        if len(found) < len(codes):
            lines = "".join(complaints).strip().splitlines()
            reason = lines[-1] if lines else "its process was ended"
            raise AnexaError(
                f"Numba could not compile the model ({one_line(reason)}): choose another --engine"
            )
        return found


def compile_kernels(sources: Iterable[Source]) -> None:
    """Compile the kernels of several programs into the cache, in the processes of one compilation.

    To import and initialize Numba takes a process as long as to compile two kernels.

    Raises:
        AnexaError: if the compilation of a kernel fails.
    """
    units = {unit.symbol: unit for source in sources for unit in units_of(source)}
    Compilation([*units.values()]).result()


def start_subprocess(work: Sequence[tuple[Unit, Path]], errors: int) -> subprocess.Popen[bytes]:
    """Start a subprocess that compiles units.

    Args:
        work: units to compile, each with the path of the file for its machine code.
        errors: standard error of the subprocess, as an argument of `subprocess.Popen`.

    Returns:
        The subprocess, which ends after the last unit or at the first error.
    """
    kept = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
    env = {n: x for n, x in os.environ.items() if n in kept or not n.startswith("NUMBA_")}
    with tempfile.TemporaryFile() as order:
        order.write(json.dumps([[asdict(unit), str(path)] for unit, path in work]).encode())
        order.seek(0)
        return subprocess.Popen(
            [sys.executable, "-m", "anexa.engines.program.compiler"],
            stdin=order,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # Python looks for modules in the current folder first, and finds ours in this one.
            cwd=Path(__file__).parents[3],
            env=env | SUBPROCESS_ENVIRONMENT,
        )


def _say(sentence: str) -> None:
    warnings.warn(sentence, AnexaWarning, stacklevel=4)
