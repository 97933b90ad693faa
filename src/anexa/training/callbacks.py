"""Callbacks of a training run: metrics, checkpoints, samples and the plot of the losses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from anexa.engines.peak import measure_peak_flops
from anexa.errors import AnexaError
from anexa.files import write_atomic
from anexa.generation import Sampler, SamplingParams, stream_text
from anexa.generation.text_stream import PromptTooLongError
from anexa.model.adapters import ADAPTER_FOLDER, write_adapter
from anexa.model.folder import MODEL_CARD_FILE, write_weights
from anexa.model.weights import Weights
from anexa.training.card import model_card
from anexa.training.checkpoint import write_checkpoint
from anexa.training.evaluation import to_batch
from anexa.training.loss_plot import LossPlot
from anexa.training.metrics import MetricsAccumulator, MetricsLog, Sample
from anexa.training.sources import losses_by_corpus, source_records
from anexa.training.trainer import Callback, StepResult, Trainer

MAX_SAMPLE_TOKENS = 100  # maximum length of a sample, in tokens; twice as many after a prompt
_peak_flops = cache(measure_peak_flops)  # measured once for all runs of a process


class MetricsCallback(Callback):
    """Callback that writes `training/metrics.jsonl`, and optionally TensorBoard's events.

    Only the main process writes.

    Args:
        tensorboard: whether to write events for TensorBoard.
    """

    def __init__(self, tensorboard: bool = False) -> None:
        self._tensorboard = tensorboard
        self._log: MetricsLog | None = None
        self._accumulator: MetricsAccumulator | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Open the log as `trainer.metrics`, and remove its records of steps after the checkpoint.

        The first run of a process measures the peak FLOPs of the device, for the utilization (MFU).

        Raises:
            AnexaError: if the log cannot be written or is damaged, or TensorBoard's events are
                asked for and tensorboardX is not installed.
        """
        peak = _peak_flops(trainer.config.device.engine, trainer.device_config)
        # Sequences may be shorter than the context of a model that the run started from.
        trained = replace(trainer.model_config, block_size=trainer.config.model.block_size)
        self._accumulator = MetricsAccumulator(
            trained, trainer.state, trainer.clock, peak, trainer.context.world_size
        )
        if trainer.context.is_main_process:
            self._log = MetricsLog(
                trainer.folder, trainer.state.step, tensorboard=self._tensorboard
            )
            trainer.metrics = self._log

    def on_step(self, trainer: Trainer, result: StepResult) -> None:  # noqa: ARG002
        """Write a metrics record, if one is due after this step.

        Raises:
            AnexaError: if a file cannot be written.
        """
        assert self._accumulator is not None
        if result.is_record_due:
            record = self._accumulator.pop_record(
                result.learning_rate, result.gradient_norm, result.evaluation
            )
            if self._log:
                self._log.add(record)

    def close(self) -> None:
        """Close the metrics log, also after an error."""
        if self._log:
            self._log.close()


class CheckpointCallback(Callback):
    """Callback that saves a checkpoint and the model card after each evaluation.

    If the validation loss is the lowest so far, the model is saved too, and its adapters. Only the
    main process writes.

    It must come after `MetricsCallback`, so that no checkpoint is ahead of the metrics.
    """

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """Save a checkpoint, if there was an evaluation after this step.

        Raises:
            AnexaError: if a file cannot be written.
        """
        if result.evaluation:
            self._save(trainer, is_best=result.evaluation is trainer.state.best_evaluation)

    def on_end(self, trainer: Trainer) -> None:
        """Save a checkpoint of a run that was stopped before its end.

        If there has been no evaluation after a training step, the model is saved too.

        Raises:
            AnexaError: if the loss is infinite or NaN, or a file cannot be written.
        """
        if not trainer.done:
            # The last step has changed the weights: check that their loss is finite.
            batch = to_batch(trainer.validation.eval_sequences(1))
            trainer.check_finite(trainer.engine.loss(batch))
            self._save(trainer, is_best=trainer.state.best_evaluation is None)

    def _save(self, trainer: Trainer, is_best: bool) -> None:
        """Write the model, then the checkpoint; a run killed in between repeats some steps."""
        checkpoint = trainer.checkpoint()
        if not trainer.context.is_main_process:
            return
        if is_best:
            write_weights(trainer.folder, trainer.merged(checkpoint.weights).weights)
            save_adapter(trainer, trainer.folder, checkpoint.weights)
        write_atomic(trainer.folder / MODEL_CARD_FILE, card_of(trainer).encode())
        write_checkpoint(trainer.folder, checkpoint)


def save_adapter(trainer: Trainer, folder: Path, weights: Weights) -> None:
    """Write the LoRA adapters of a run as `peft` reads them, if the run trains adapters.

    Args:
        trainer: training run.
        folder: model folder; the adapters are written to `adapter` in it.
        weights: weights of the engine by name.

    Raises:
        AnexaError: if a file cannot be written.
    """
    if trainer.base is not None and trainer.model_config.lora_rank:
        (folder / ADAPTER_FOLDER).mkdir(exist_ok=True)
        write_adapter(folder / ADAPTER_FOLDER, weights, trainer.model_config, trainer.base.name)


class SampleCallback(Callback):
    """Callback that generates a text after each evaluation, and writes it to the metrics.

    The text continues the prompt of the corpus, without the characters that the tokenizer does not
    know. Must come after `MetricsCallback`. There are no samples if the model is sharded over
    several processes (FSDP), or if the prompt does not fit the context.
    """

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """Generate a text after an evaluation, and set `result.sample` to it; "" for no sample.

        Without an evaluation, and in other processes than the main one, it does nothing.

        Raises:
            AnexaError: if the metrics log cannot be written.
        """
        if not (result.evaluation and trainer.context.is_main_process):
            return
        result.sample = self._generate(trainer)
        if result.sample and trainer.metrics:
            trainer.metrics.add(Sample(result.step, result.sample))

    def _generate(self, trainer: Trainer) -> str:
        if trainer.device_config.shard and trainer.context.world_size > 1:
            return ""
        prompt = trainer.corpus.sample_prompt
        unknown = "".join(trainer.tokenizer.unknown_characters(prompt))
        prompt = prompt.translate(str.maketrans("", "", unknown))
        sampler = Sampler(SamplingParams(seed=trainer.config.run.seed))
        max_tokens = MAX_SAMPLE_TOKENS * (2 if prompt else 1)  # an answer may begin with a thought
        try:
            stream = stream_text(
                trainer.engine, trainer.tokenizer, prompt, sampler, max_tokens=max_tokens
            )
        except PromptTooLongError:
            return ""
        try:
            return "".join(stream).strip()
        except (AnexaError, MemoryError):
            # The weights have diverged, so the next training step raises an error; or memory is
            # short, which costs the sample and not the run.
            return ""


class LossPlotCallback(Callback):
    """Callback that draws `training/loss.png` during the run, if matplotlib is installed.

    Must come after `MetricsCallback`, whose records are plotted, and after `SampleCallback`, whose
    samples are marked in the plot. `on_step` and `on_end` raise an `AnexaError` if the plot cannot
    be written.
    """

    def __init__(self) -> None:
        self._plot: LossPlot | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Start the timer that limits how often the plot is redrawn."""
        if trainer.context.is_main_process:
            self._plot = LossPlot(trainer.folder)

    def on_step(self, trainer: Trainer, result: StepResult) -> None:  # noqa: ARG002
        """Redraw the plot after an evaluation, unless it was drawn less than 10 seconds before."""
        if self._plot and result.evaluation:
            self._plot.update()

    def on_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Draw the plot of the whole run."""
        if self._plot:
            self._plot.update(final=True)


def card_of(trainer: Trainer) -> str:
    """Return the model card, the text of `README.md`, for the current state of a run."""
    corpus = trainer.corpus
    return model_card(
        trainer.model_config,
        trainer.config,
        corpus.name,
        corpus.sha256,
        trainer.state,
        tuple(dict.fromkeys((*trainer.notes, trainer.validation.claim))),
        trainer.base,
        source_records(corpus),
        losses_by_corpus(corpus, trainer.state),
    )
