"""Repetition in generated texts, with and without penalties.

    python benchmarks/repetition.py FOLDER TEXT [--prompts 32] [--tokens 200]

Continues prompts from a text (its passages at regular distances, 16 tokens each) by a model that
continues texts, once for each setting. A continuation ends at the latest where the context does.
Prints the share of repeated 4-grams (those that occurred earlier in the same continuation) and the
mean log probability of a token to the model at temperature 1; and the share in the text itself, in
passages as long as the continuations.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import anexa
from anexa.generation import LanguageModel, SamplingParams, generate_batch
from anexa.generation.logprobs import token_logprob

PROMPT_TOKENS = 16
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.0, "repetition_penalty": 1.1},
    {"temperature": 0.0, "repetition_penalty": 1.3},
    {"temperature": 0.0, "frequency_penalty": 0.5},
    {"temperature": 0.0, "presence_penalty": 1.0},
    {"temperature": 0.8},
    {"temperature": 0.8, "min_p": 0.1},
    {"temperature": 0.8, "min_p": 0.1, "repetition_penalty": 1.1},
    {"temperature": 0.8, "min_p": 0.1, "frequency_penalty": 0.5},
]


def repeated_share(texts: Sequence[Sequence[int]]) -> float:
    """Compute the share of 4-grams that occurred earlier in the same text."""
    total = repeated = 0
    for tokens in texts:
        ngrams = [*zip(tokens, tokens[1:], tokens[2:], tokens[3:])]
        total += len(ngrams)
        repeated += len(ngrams) - len({*ngrams})
    return repeated / total if total else 0.0


def mean_logprob(
    model: LanguageModel, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
) -> float:
    """Compute the mean log probability of the generated tokens."""
    found = []
    for prompt, text in zip(prompts, texts):
        kv_cache = model.engine.new_kv_cache()
        logits = model.engine.next_logits(prompt, kv_cache)
        for token in text:
            found.append(token_logprob(logits, token, 0).logprob)
            logits = model.engine.next_logits([token], kv_cache)
    return sum(found) / len(found)


def main() -> None:
    """Measure all settings, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="model folder")
    parser.add_argument("text", type=Path, help="text that the prompts are taken from")
    parser.add_argument("--prompts", type=int, default=32, help="number of prompts (default: 32)")
    parser.add_argument("--tokens", type=int, default=200, help="tokens of a text (default: 200)")
    options = parser.parse_args()
    model = anexa.load(options.folder)
    length = min(options.tokens, model.engine.config.block_size - PROMPT_TOKENS)
    tokens = model.tokenizer.encode(options.text.read_text(encoding="utf-8"))
    distance = max(1, (len(tokens) - length) // options.prompts)
    starts = range(0, len(tokens) - length, distance)[: options.prompts]
    prompts = [tokens[start : start + PROMPT_TOKENS] for start in starts]
    print(f"{date.today()}  {platform.machine()}  {options.folder}  texts of {length} tokens")
    print(f"{'repeated 4-grams':>16}{'log probability':>17}  setting")
    passages = [tokens[start : start + length] for start in starts]
    print(f"{repeated_share(passages):16.1%}{'':17}  the text itself")
    for setting in SETTINGS:
        params = [SamplingParams(seed=seed, **setting) for seed in range(len(prompts))]
        texts = generate_batch(model.engine, prompts, model.tokenizer.eot_token_id, params, length)
        named = ", ".join(f"{name} {value:g}" for name, value in setting.items())
        logprob = mean_logprob(model, prompts, texts)
        print(f"{repeated_share(texts):16.1%}{logprob:17.2f}  {named}", flush=True)


if __name__ == "__main__":
    main()
