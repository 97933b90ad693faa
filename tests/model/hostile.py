"""Folders with corrupted or malicious files; and a process that opens them.

    python -m tests.model.hostile FOLDER SEED COUNT WORK

spoils a file of the folder COUNT times and opens it. Each time a line says what is tried, before it
is; so the last line says what has ended the process, if something has. WORK is the limit of a chat
template's work.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from anexa.engines import open_engine
from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.generation.text_stream import Prompt, TextStream
from anexa.model import chat_template
from anexa.model.loading import load_model
from tests.model.measured import mebibytes
from tests.model.spoiling import as_deep_as_need_be, on_purpose, spoil

SECONDS = 2  # of processor time for a file
ROOM = 192  # MiB beyond what the process has to begin with; the files have a few KiB

MESSAGES = [
    {"role": "user", "content": "a i"},
    {"role": "assistant", "content": "The 2nd"},
    {"role": "user", "content": "line."},
]


def use(folder: Path) -> str:
    """Load a folder and use its model; return "works", or the message of the AnexaError."""
    try:
        loaded = load_model(folder / "model.json" if (folder / "model.json").exists() else folder)
        engine = open_engine("numpy", loaded.config, loaded.weights)
        model = LanguageModel(folder.name, loaded, engine, folder)
        tokenizer = model.tokenizer
        ids = tokenizer.encode_prompt("a caf 日本 The 2nd")
        tokenizer.decode([*ids, *range(0, loaded.config.vocab_size, 17)])
        model.generate("a i", max_tokens=2, temperature=0)
        prompt = model.render_prompt(MESSAGES) if model.chat_template is not None else "a"
        stream = TextStream(tokenizer, Prompt(tokenizer, loaded.config.block_size, "a"))
        for token in tokenizer.encode(prompt)[:20]:
            stream.add(token)
    except AnexaError as error:
        return str(error)
    return "works"


def forbid(folder: Path) -> None:
    """Exit if a program is started, or a file outside the folder is opened (an audit hook)."""
    allowed = (str(folder), sys.prefix, sys.base_prefix, *map(str, sys.path))

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork") or (
            event.startswith(("socket.", "ctypes.dlopen"))
        ):
            _end(f"{event} {arguments!r:.200}")
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 (which is an event)
            if not path.startswith((*allowed, "/proc/self/status")):
                _end(f"it opens {path}")

    sys.addaudithook(watch)


def say(*words: object) -> None:
    """Send a line to the parent process."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _end(reason: str) -> None:
    say("FORBIDDEN", reason)
    os._exit(3)


def main(folder: Path, seed: int, count: int, work: int) -> None:
    """See above."""
    chat_template.MAX_WORK = work
    rng = random.Random(seed)
    whole = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    names = [name for name in whole if name != "README.md"]
    said = use(folder)
    assert said == "works", said
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where `tokenizers` says that it has panicked
    forbid(folder)
    limit = (mebibytes("VmSize") + ROOM) * 2**20
    works, slowest, messages = 0, 0.0, set[str]()
    with as_deep_as_need_be():
        cases = [*on_purpose(whole)] if seed == 0 else []
    for number in range(len(cases) + count):
        name = cases[number][0] if number < len(cases) else rng.choice(names)
        with as_deep_as_need_be():
            content = cases[number][1] if number < len(cases) else spoil(rng, name, whole[name])
        (folder / name).write_bytes(content)
        say(number, name, len(content))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # which ends the process, in C code too
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        began = time.process_time()
        said = use(folder)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, time.process_time() - began)
        if said == "works":
            works += 1
        elif "MemoryError" in said or len(said) > 1000 or not said.isprintable():
            _end(f"no sentence: {said!r:.2000}")
        else:
            messages.add(said.replace(str(folder), "")[:60])
        (folder / name).write_bytes(whole[name])
    memory = mebibytes("VmHWM")
    say(json.dumps([len(cases) + count, works, len(messages), round(slowest, 2), memory]))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        raise
