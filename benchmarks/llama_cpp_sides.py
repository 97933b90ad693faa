"""llama.cpp, through llama-cpp-python: model and cache in F32, one thread, one text at a time."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from in_turn import SideUnavailable, processor_seconds_each

from anexa.model.chat_format import render_question
from anexa.model.loading import load_model

INSTALL = "llama-cpp-python is not installed: pip install llama-cpp-python (needs a C++ compiler)"


def open_llama(folder: Path) -> Any:
    """Open a model folder with llama-cpp-python: GGUF and cache in F32, one thread.

    Raises:
        SideUnavailable: if llama-cpp-python is not installed.
    """
    if not find_spec("llama_cpp"):
        raise SideUnavailable(INSTALL)
    import llama_cpp

    from anexa.hub.gguf import write_gguf

    model = load_model(folder)
    size = model.config.block_size
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as aside:
        file = Path(aside) / "model.gguf"
        write_gguf(file, model, "bench")
        return llama_cpp.Llama(str(file), n_ctx=size, n_threads=1, n_threads_batch=1, verbose=False)


def eval_loop(folder: Path, first: int) -> Callable[[int], float]:
    """Write one text with `eval` and argmax; measures seconds per token."""
    llama = open_llama(folder)
    width = llama.n_vocab()

    def seconds(count: int) -> float:
        llama.reset()
        token = first

        def step() -> None:
            nonlocal token
            llama.eval([token])
            token = int(np.argmax(np.ctypeslib.as_array(llama._ctx.get_logits(), (width,))))

        return processor_seconds_each(step, count)

    return seconds


def decode_loop(folder: Path, first: int) -> Callable[[int], float]:
    """Write one text with llama.cpp's own `llama_decode` and argmax; measures seconds per token."""
    llama = open_llama(folder)
    import llama_cpp

    width = llama.n_vocab()

    def seconds(count: int) -> float:
        context = llama._ctx.ctx
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        token = (llama_cpp.llama_token * 1)(first)

        def step() -> None:
            failed = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(token, 1))
            assert not failed
            logits = llama_cpp.llama_get_logits_ith(context, -1)
            token[0] = int(np.argmax(np.ctypeslib.as_array(logits, (width,))))

        return processor_seconds_each(step, count)

    return seconds


def prefill(folder: Path, num_tokens: int) -> Callable[[int], float]:
    """Evaluate a prompt; measures the seconds until its logits are there."""
    llama = open_llama(folder)
    prompt = random.Random(0).choices(range(llama.n_vocab()), k=num_tokens)

    def step() -> None:
        llama.reset()
        llama.eval(prompt)

    return lambda count: processor_seconds_each(step, count)


class Completions:
    """`create_completion`, greedy, one chat request after another."""

    def __init__(self, folder: Path) -> None:
        model = load_model(folder)
        assert model.chat_template
        self._template = model.chat_template
        self._max_tokens = model.max_new_tokens
        self._llama = open_llama(folder)

    def __call__(self, asked: list[str]) -> float:
        """Answer the questions; returns output tokens per second."""
        begun, tokens = time.perf_counter(), 0
        for question in asked:
            prompt = render_question(self._template, question)
            said: Any = self._llama.create_completion(
                prompt, max_tokens=self._max_tokens, temperature=0
            )
            tokens += said["usage"]["completion_tokens"]
        return tokens / (time.perf_counter() - begun)
