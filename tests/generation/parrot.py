"""A chat model that was overfitted to a few conversations, with all forms of an answer."""

from __future__ import annotations

import random
from pathlib import Path

from anexa.engines import Batch, OptimizerConfig, open_engine
from anexa.model.chat_format import CHAT_TEMPLATE, CHAT_TOKENS, render_messages
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.model import Model
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.model.weights import initial_weights
from anexa.thinking.examples import ALPHABET
from anexa.thinking.problems import make_problem

# The answer to each question, with the thought and its tags.
KNOWN = {
    "2+3": "<think>A2+a3:A:2+3+0=05:A5</think>5",
    "21*12": f"<think>{make_problem('*', 21, 12).thought}</think>252",
    "2+4": "<think>A2+a4:A:2+4+0=07:A7</think>7",
    "hello": "I work out sums.",
    "endless": "<think>it never ends",
    "twice": "<think>once</think>so<think>twice</think>then",
    "stray": "a</think>b",
    "empty": "<think></think>nothing",
    "riddle": "<think>hm\nhm</think>42",
    "again": "What?",
}
DIRECT = {"2+3": "5", "riddle": "no idea"}  # answers without thinking
AFTER_HELLO = {"again": "hello again", "hello": KNOWN["hello"]}


def write_parrot(folder: Path) -> Path:
    """Train the model, write its folder, and return the folder."""
    tokenizer = Tokenizer.from_characters([ALPHABET], adds_bos=False, added_tokens=CHAT_TOKENS)
    config = ModelConfig(
        "llama", tokenizer.vocab_size, block_size=160, n_embd=32, n_head=2, n_layer=2
    )
    weights = initial_weights(config, random.Random(1))
    engine = open_engine(
        "numpy", config, weights, optimizer=OptimizerConfig(name="muon", max_grad_norm=1.0)
    )
    hello = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": KNOWN["hello"]},
    ]
    prompts, rows = [], []
    for known, thinking, before in (
        (KNOWN, True, []),
        (DIRECT, False, []),
        (AFTER_HELLO, True, hello),
    ):
        for question, answer in known.items():
            messages = [*before, {"role": "user", "content": question}]
            prompt = render_messages(CHAT_TEMPLATE, messages, thinking=thinking)
            prompts.append(len(tokenizer.encode(prompt)))
            rows.append(tokenizer.encode(prompt + answer + END_OF_TEXT))
    batch = Batch.from_sequences(rows, prompts)
    for step in range(150):
        loss, _ = engine.train_step(batch, 0.03 * (1 - step / 150))
        if loss < 0.002:
            break
    assert loss < 0.01, "the model has not learned the answers"
    # It has learned short prompts alone, so most of the context is for the answer.
    model = Model(config, engine.weights(), tokenizer, CHAT_TEMPLATE, 0.0, max_new_tokens=120)
    create_folder(folder, model, "")
    return folder
