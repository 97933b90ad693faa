"""The sections of the configuration of a run: dataclasses whose fields are options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from anexa.data.registry import CORPORA
from anexa.engines import DeviceConfig, OptimizerConfig, best_engine
from anexa.model.config import ModelConfig
from anexa.training.specs import parse_spec


def as_tuple(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return a text, or several, as a tuple."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


@dataclass(frozen=True)
class ModelSpec:
    """Architecture and sizes of the model; its vocabulary size comes from the tokenizer.

    Attributes:
        model_type: architecture of the model.
        n_layer: number of transformer blocks.
        n_head: number of attention heads; a divisor of --n-embd.
        n_embd: width of the residual stream.
        block_size: context length, in tokens.
        n_inner: width inside the MLP; 0, the only value for gpt2 and microgpt: 4 times --n-embd.
    """

    model_type: str = "gpt2"
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    block_size: int = 128
    n_inner: int = 0

    def to_config(self, vocab_size: int) -> ModelConfig:
        """Return the model's configuration for a vocabulary of `vocab_size` tokens.

        Raises:
            AnexaError: if no model can have these sizes.
        """
        return ModelConfig(vocab_size=vocab_size, **asdict(self))


@dataclass(frozen=True)
class DataConfig:
    """Corpus and tokenizer of a run.

    `corpus` and `include` may also be given as a string or a list; they become tuples.

    Attributes:
        corpus: name of a corpus (`anexa corpora` lists them); path of a text file, a folder, an
            archive, a table, or a .jsonl file of texts or of conversations; or - for standard
            input. Several are mixed in proportion to their sizes or, if each has one after a colon,
            to weights instead: a.txt:3 b.txt:1.
        layout: layout of the corpus: lines (each line is a document) or text (running text); auto:
            guessed from the text.
        tokenizer: tokenizer to train or to use: char, a token for each character; bpe:SIZE,
            byte-level BPE with at most SIZE tokens; or the path of a tokenizer.json or of a model
            folder.
        field: field or column with the texts in files with rows (.jsonl, .csv, .tsv, .parquet) and
            in datasets on the disk; by default text.
        include: pattern of the names of the files to read from a folder or an archive, such as
            '*.log', instead of the usual endings of texts; may be given several times.
        skip_bad: leave out rows and files that cannot be read, and count them, instead of refusing
            the first one.
        allow_unknown: train even if more than 1 % of the characters are not in the vocabulary of a
            tokenizer that was not made from the corpus.
    """

    corpus: tuple[str, ...] = ("python-docs",)
    layout: Literal["auto", "lines", "text"] = "auto"
    tokenizer: str = "char"
    field: str = ""
    include: tuple[str, ...] = ()
    skip_bad: bool = False
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        for name in ("corpus", "include"):
            if isinstance(getattr(self, name), str | list):
                object.__setattr__(self, name, as_tuple(getattr(self, name)))

    @property
    def reads_files(self) -> bool:
        """Whether a corpus is given by its path, not by a name or as standard input."""
        sources = [parse_spec(text).source for text in self.corpus]
        return not all(source == "-" or source in CORPORA for source in sources)

    @property
    def has_foreign_tokenizer(self) -> bool:
        """Whether the tokenizer was not made from the corpus, so that it may lack characters."""
        return self.tokenizer != "char" and not self.tokenizer.startswith("bpe:")


@dataclass(frozen=True)
class FinetuneConfig:
    """Model that a run starts from, and the weights that keep their values.

    `freeze` and `lora` need `from_`.

    Attributes:
        from_: model folder, or JSON or GGUF file, to continue, with its weights, tokenizer, sizes
            and chat template; by default a new model is trained.
        freeze: groups of weights of that model to leave as they are, separated by commas:
            embeddings, positions, norms, head, and layers by number, from 0: embeddings,0-3.
        lora: rank of the adapters (LoRA, Hu et al., 2021) that are trained instead of the weights,
            and merged into them in the model folder; 0: all weights are trained.
    """

    from_: str | None = None
    freeze: str = ""
    lora: int = 0


@dataclass(frozen=True)
class TrainOptimizerConfig(OptimizerConfig):
    """Optimizer of a run, with its learning rate.

    The other fields are those of `OptimizerConfig`; `name` and `max_grad_norm` have other defaults
    here.

    Attributes:
        learning_rate: peak learning rate.
    """

    name: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 8e-3
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class ScheduleConfig:
    """Length of a run, learning rate schedule, and evaluations.

    A `TrainConfig` needs exactly one of `steps`, `epochs` and `minutes`: with one of the latter,
    `steps` must be None.

    Attributes:
        steps: end after this many optimizer steps.
        epochs: end after this many passes over the corpus.
        minutes: end after this many minutes, including evaluation and saving.
        until_loss: end early, at the first evaluation with at most this validation loss, in nats
            per token.
        shape: decay of the learning rate to 0 after the warmup: linear, cosine (half a wave), or
            wsd (warmup, stable, decay: constant, then linear over the last 40 % of the run).
        warmup: fraction of the run, from 0 to below 1, in which the learning rate rises from 0.
        evaluations: number of evaluations over the run; after each, a checkpoint is saved.
    """

    steps: int | None = 2000
    epochs: float | None = None
    minutes: float | None = None
    until_loss: float | None = None
    shape: Literal["linear", "cosine", "wsd"] = "linear"
    warmup: float = 0.05
    evaluations: int = 10


@dataclass(frozen=True)
class TrainDeviceConfig(DeviceConfig):
    """Engine of a run, and its device and precision.

    The other fields are those of `DeviceConfig`; `device` and `dtype` have other defaults here. The
    engine "auto" is replaced by the chosen one when the configuration is created.

    Attributes:
        engine: engine to train with; auto: torch or numba, the first that is installed, else numpy.
        compile: compile the model with torch.compile; by default on CUDA, if there is a C compiler.
    """

    engine: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    compile: bool | None = None

    def __post_init__(self) -> None:
        if self.engine == "auto":
            object.__setattr__(self, "engine", best_engine())


@dataclass(frozen=True)
class RunConfig:
    """Options of the run itself: the batch size and the random seed.

    Attributes:
        batch_size: number of sequences in an optimizer step.
        seed: random seed of the initial weights, the order of the data and dropout.
    """

    batch_size: int = 8
    seed: int = 42
