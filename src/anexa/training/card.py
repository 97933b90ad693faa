"""Model card of a trained model: what the model is, and how it was trained."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from anexa import __version__
from anexa.model.adapters import with_lora_rank
from anexa.model.config import ModelConfig
from anexa.model.weights import num_parameters
from anexa.names import code_span, counted, escape_markdown, flag
from anexa.training.checkpoint import BaseModel, TrainerState, loss_changes
from anexa.training.config import TrainConfig
from anexa.training.sources import SourceRecord, sources_table
from anexa.training.specs import corpora_without_folders

# A name on the Hugging Face Hub: NAME or USER/NAME.
HUB_NAME_PATTERN = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def model_card(
    model: ModelConfig,
    config: TrainConfig,
    corpus: str,
    sha256: str,
    state: TrainerState,
    notes: Sequence[str] = (),
    base: BaseModel | None = None,
    sources: Sequence[SourceRecord] = (),
    by_corpus: Mapping[str, float] | None = None,
) -> str:
    """Return the model card (`README.md`) of a trained model, with metadata for the Hub.

    Args:
        model: configuration of the model.
        config: configuration of the run.
        corpus: name of the corpus.
        sha256: hash of the corpus.
        state: state of the run.
        notes: sentences about the corpus that are needed to interpret the losses.
        base: model that the run started from; None: the run started from random weights.
        sources: records of the corpora, if there are several.
        by_corpus: validation losses by name of the corpus, in nats per token.

    Returns:
        The card in Markdown, with a YAML header.
    """
    listed_notes = "".join(f"\n- {note}" for note in notes)
    losses = "\n".join(
        f"| {e.step:,} | {e.seconds:,.0f} | {_loss(e.train_loss)} | {e.validation_loss:.4f} |"
        for e in state.evaluations
    )
    batch = counted(config.run.batch_size, "sequence")
    merged = num_parameters(with_lora_rank(model, 0))
    sizes = f"{counted(model.n_layer, 'layer')}, {counted(model.n_head, 'head')}"
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [anexa, {model.model_type}]
{_base_model(base)}{_results(corpus, state)}---

# {escape_markdown(corpus)}: a {model.model_type} model of {merged:,} parameters

{_origin(base)} on {code_span(corpus)} with Anexa {__version__}:

```
{_commands(_without_folders(config), state)}
```

| | |
| --- | --- |
| parameters | {merged:,}{_adapters(model, merged)} |
| architecture | {model.model_type}: {sizes}, width {model.n_embd} |
| context | {model.block_size} tokens |
| vocabulary | {model.vocab_size} tokens |
| tokenizer | {_tokenizer(config)} |
| corpus | {escape_markdown(corpus)}, SHA-256 `{sha256}` (not of the file) |
| steps | {state.step:,} of {batch}, {counted(state.tokens, "token")} |
| weights | {_kept(state)} |
| time | {state.seconds:,.0f} s |
{_base_row(base)}| optimizer | {_optimizer(config)} |
| precision | {_precision(config)} |

About the corpus:
{sources_table(sources, by_corpus or {})}{listed_notes}

Losses are in nats per token.
{_changes(state, base)}
| step | seconds | training loss | validation loss |
| --- | --- | --- | --- |
{losses}

A run that is measured in steps writes the same weights again on the same machine.
"""


def _adapters(model: ModelConfig, merged: int) -> str:
    """Return a clause about the number of parameters in adapters; "" if none were trained.

    Args:
        model: configuration of the model, with its `lora_rank`.
        merged: number of parameters of the merged model.
    """
    trained = num_parameters(model) - merged
    return f"; trained were adapters of rank {model.lora_rank}: {trained:,}" if trained else ""


def _base_model(base: BaseModel | None) -> str:
    """Return the lines of the card's YAML header about the model that the run started from."""
    if base is None or not HUB_NAME_PATTERN.fullmatch(base.name):
        return ""
    return f"base_model: {json.dumps(base.name)}\n"


def _origin(base: BaseModel | None) -> str:
    return "Trained from scratch" if base is None else f"{code_span(base.name)}, trained further"


def _base_row(base: BaseModel | None) -> str:
    if base is None:
        return ""
    name = escape_markdown(base.name)
    return f"| started from | {name}, SHA-256 of its weights `{base.sha256}` |\n"


def _changes(state: TrainerState, base: BaseModel | None) -> str:
    """Return a table of the losses before and after; a rise on the general text is forgetting."""
    rows = [
        f"| {change.text} | {_loss(change.before)} | {_loss(change.after)} |\n"
        for change in loss_changes(state, base)
    ]
    return "".join(["\n| | before | after |\n| --- | --- | --- |\n", *rows]) if rows else ""


def _results(corpus: str, state: TrainerState) -> str:
    """Return the lines of the card's YAML header about the corpus and the best loss.

    They have no license, which is for the owner to add. A name is written as a JSON string, which
    is a valid YAML string for every name.
    """
    # The Hub does not accept other names of data sets.
    datasets = f"datasets: [{json.dumps(corpus)}]\n" if HUB_NAME_PATTERN.fullmatch(corpus) else ""
    if state.best_evaluation is None:
        return datasets
    name = json.dumps(corpus)
    return f"""{datasets}metrics: [perplexity]
model-index:
- name: {name}
  results:
  - task: {{type: text-generation}}
    dataset: {{type: {name}, name: {name}}}
    metrics:
    - type: loss
      name: validation loss, nats per token
      value: {state.best_evaluation.validation_loss:.4f}
    - type: perplexity
      name: validation perplexity a token
      value: {math.exp(min(state.best_evaluation.validation_loss, 700)):.4f}
"""


def _without_folders(config: TrainConfig) -> TrainConfig:
    """Return a copy of a configuration with file names instead of paths.

    A card may be published, and the folders of this machine are private.
    """
    base = config.finetune.from_
    return config.replace(
        corpus=corpora_without_folders(config.data.corpus),
        tokenizer=Path(config.data.tokenizer).name,
        from_=base if base is None else Path(base).name,
    )


def _commands(config: TrainConfig, state: TrainerState) -> str:
    """Return the command lines that repeat the run, one for each time that it was lengthened."""
    name, last = config.length_option
    first, *others = [*state.earlier_lengths, last]
    resumes = [f"anexa train --resume FOLDER {flag(name)} {length}" for length in others]
    return "\n".join([config.replace(**{name: type(last)(first)}).command_line(), *resumes])


def _kept(state: TrainerState) -> str:
    step, loss = state.kept_step_and_loss
    if loss is None:
        return f"of step {step:,}, not evaluated yet"
    return f"of step {step:,}, with the lowest validation loss: {loss:.4f}"


def _tokenizer(config: TrainConfig) -> str:
    if config.finetune.from_ is not None:
        return "that of the model it started from"
    spec = config.data.tokenizer
    if spec == "char":
        return "characters"
    return "byte-level BPE" if spec.startswith("bpe:") else "the tokenizer of another model"


def _optimizer(config: TrainConfig) -> str:
    names = {
        "muon": "Muon for the matrices of the blocks, AdamW for all other weights",
        "adamw": "AdamW",
    }
    return (
        f"{names[config.optimizer.name]}; learning rate up to "
        f"{config.optimizer.learning_rate:g}, {config.schedule.shape} schedule"
    )


def _precision(config: TrainConfig) -> str:
    if config.device.dtype == "bf16":
        return "weights in float32, matrix products in bfloat16"
    return config.device.dtype


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}"
