"""Options of a run that starts from a model (`--from`): its sizes, and defaults that suit it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anexa.data.registry import CORPORA
from anexa.errors import UsageError
from anexa.model.config import ModelConfig
from anexa.names import flag
from anexa.training.presets import FINETUNE_PRESET, LENGTH_OPTIONS, finetune_learning_rate

MAX_BLOCK_SIZE = 512  # maximum of the default --block-size, in tokens
DEFAULT_BATCH_TOKENS = 2048  # default number of tokens in an optimizer step
DEFAULT_EPOCHS = 3.0  # default length of a run, in passes over its corpus
DEFAULT_ENDLESS_STEPS = 1000  # default length of a run on an endless corpus, in steps

# Options that a model fixes, besides its context.
BASE_OPTIONS = ("model_type", "n_layer", "n_head", "n_embd", "n_inner", "tokenizer")


def complete_base_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of a run that starts from a model, with sizes and defaults that suit it.

    Args:
        options: values by option name.

    Returns:
        A copy of the options, with the path of the model (`from_`) made absolute; if the run starts
        from no model, they are unchanged.

    Raises:
        AnexaError: if the model is missing or damaged.
        UsageError: if an option contradicts the model, or the path of the model is empty.
    """
    if options.get("from_") is None:
        return dict(options)
    preset = options.get("preset") or FINETUNE_PRESET
    if preset != FINETUNE_PRESET:
        raise UsageError(
            f"--preset {preset} is for new models, and --from continues one: leave out --preset"
        )
    if not options["from_"]:
        raise UsageError("--from is empty: give a path, such as . for the current folder")
    base = Path(options["from_"])
    # Imported here: it needs NumPy, and the command line does not.
    from anexa.model.loading import open_model

    model = open_model(base).config
    base = base.absolute()
    fixed = size_options(model) | {"tokenizer": str(base)}
    for name, value in fixed.items():
        asked = options.get(name, value)
        if name == "tokenizer":
            asked = str(Path(asked).absolute())
        if asked != value:
            raise UsageError(
                f"{flag(name)} {options[name]} does not go with --from, which continues a model "
                f"with its own sizes and tokenizer: leave out {flag(name)}"
            )
    length = options.get("block_size", min(model.block_size, MAX_BLOCK_SIZE))
    if length > model.block_size:
        raise UsageError(
            f"--block-size {length} is longer than the context of the model of --from, "
            f"{model.block_size} tokens: give at most that"
        )
    defaults: dict[str, Any] = {"preset": FINETUNE_PRESET, "block_size": length}
    if not any(option in options for option in LENGTH_OPTIONS):
        endless = any(
            CORPORA[name].generated for name in options.get("corpus", ()) if name in CORPORA
        )
        defaults |= {"steps": DEFAULT_ENDLESS_STEPS} if endless else {"epochs": DEFAULT_EPOCHS}
    if "batch_tokens" not in options:
        defaults["batch_size"] = max(1, DEFAULT_BATCH_TOKENS // max(1, length))
    defaults["learning_rate"] = finetune_learning_rate(model.n_embd, options.get("lora", 0))
    return defaults | dict(options) | fixed | {"from_": str(base)}


def size_options(model: ModelConfig) -> dict[str, Any]:
    """Return the options that set the sizes of a model, by name, without its context length."""
    inner = 0 if model.n_inner == 4 * model.n_embd else model.n_inner
    return {
        "model_type": model.model_type,
        "n_layer": model.n_layer,
        "n_head": model.n_head,
        "n_embd": model.n_embd,
        "n_inner": inner,
    }
