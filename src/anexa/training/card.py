"""The model card: what a model is and how it was made, for whoever finds the folder."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from anexa import __version__
from anexa.model.config import ModelConfig
from anexa.model.weights import num_parameters
from anexa.training.checkpoint import TrainerState
from anexa.training.config import TrainConfig

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def model_card(
    config: ModelConfig, settings: TrainConfig, corpus: str, sha256: str, history: TrainerState
) -> str:
    """`README.md` of a model folder, with the header that the Hugging Face Hub reads.

    Args:
        config: what was trained.
        settings: how.
        corpus: the corpus's name.
        sha256: the corpus's fingerprint; see `Corpus`.
        history: what came of it.
    """
    losses = "\n".join(
        f"| {e.step:,} | {e.seconds:,.0f} | {_loss(e.train_loss)} | {e.validation_loss:.4f} |"
        for e in history.evaluations
    )
    sizes = f"{config.n_layer} layers, {config.n_head} heads, width {config.n_embd}"
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [anexa, {config.model_type}]
{_results(corpus, history)}---

# {corpus}: a {config.model_type} model of {num_parameters(config):,} parameters

Trained from nothing on `{corpus}` with Anexa {__version__}:

```
{_without_folders(settings).command()}
```

| | |
| --- | --- |
| parameters | {num_parameters(config):,} |
| architecture | {config.model_type}: {sizes} |
| context | {config.block_size} tokens |
| vocabulary | {config.vocab_size} symbols |
| tokenizer | {_tokenizer(settings.data.tokenizer)} |
| corpus | {corpus}, fingerprint `{sha256}` |
| steps | {history.step:,} of {settings.run.batch_size} rows, {history.tokens:,} tokens |
| time | {history.seconds:,.0f} s |
| optimizer | {_optimizer(settings)} |
| precision | {_precision(settings)} |

Losses are in nats a token; the validation text was never trained on.

| step | seconds | training loss | validation loss |
| --- | --- | --- | --- |
{losses}

The same command writes the same weights on the same machine where the run is measured in steps.
"""


def _results(corpus: str, history: TrainerState) -> str:
    """The corpus and the best loss, as the Hub reads them; no licence, which is the owner's choice.

    A JSON string is a YAML one too, whatever the name of a file is.
    """
    # The Hub takes no other names of data sets.
    datasets = f"datasets: [{json.dumps(corpus)}]\n" if NAME.fullmatch(corpus) else ""
    if history.best is None:
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
      name: validation loss, nats a token
      value: {history.best.validation_loss:.4f}
    - type: perplexity
      name: validation perplexity a token
      value: {math.exp(min(history.best.validation_loss, 700)):.4f}
"""


def _without_folders(settings: TrainConfig) -> TrainConfig:
    """The card may be published, and where files lie is nobody else's business."""
    corpus, tokenizer = (
        Path(spec).name for spec in (settings.data.corpus, settings.data.tokenizer)
    )
    return settings.replace(corpus=corpus, tokenizer=tokenizer)


def _tokenizer(spec: str) -> str:
    if spec == "char":
        return "a symbol for each character"
    return "byte-level BPE" if spec.startswith("bpe:") else "taken over from another model"


def _optimizer(settings: TrainConfig) -> str:
    names = {"muon": "Muon for the matrices of the blocks, AdamW for the rest", "adamw": "AdamW"}
    return (
        f"{names[settings.optimizer.name]}; learning rate up to "
        f"{settings.optimizer.learning_rate:g}, {settings.schedule.shape} schedule"
    )


def _precision(settings: TrainConfig) -> str:
    if settings.device.dtype == "bf16":
        return "weights in float32, products of matrices in bfloat16"
    return settings.device.dtype


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}"
