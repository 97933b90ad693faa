"""Reinforcement of the model in one folder, written to another folder with a new card."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

from anexa.engines import OptimizerConfig, best_engine, open_engine
from anexa.errors import AnexaError
from anexa.model.chat_format import check_answers_arithmetic
from anexa.model.folder import create_folder
from anexa.model.loading import model_name, open_model
from anexa.names import code_span, shell_word
from anexa.output_paths import check_output, free_path, numbered_path
from anexa.thinking.reinforcement import ReinforcementConfig, ReinforcementTrainer

# The keys metrics and model-index in the header of a card, which have the measured losses.
CARD_METRICS_PATTERN = re.compile(r"^(metrics|model-index):.*\n((?:- | ).*\n)*", re.MULTILINE)
# Optimizer of the run: AdamW without weight decay, with clipped gradients.
OPTIMIZER_CONFIG = OptimizerConfig(0.9, 0.99, max_grad_norm=1.0)


class ReinforcedFolder:
    """A reinforcement run on a model folder, and the folder that it writes.

    Args:
        folder: model folder to start from.
        out: folder to write, which must not exist; default: FOLDER-reinforced, or
            FOLDER-reinforced-2 and so on if it exists.
        config: configuration of the run.
        engine: "numpy", "torch", or "auto" for the fastest in training.

    Attributes:
        out: folder that `write` creates; a number is added to its name if it exists by then.
        run: the reinforcement run; iterate over it before `write`.

    Raises:
        AnexaError: if the folder is not a chat model that knows the characters of arithmetic and
            the tags of thoughts, `out` exists, or the engine cannot be used on this machine.
    """

    def __init__(
        self, folder: Path, out: Path | None, config: ReinforcementConfig, engine: str = "auto"
    ) -> None:
        named = folder if folder.name else folder.resolve()
        self.out = out or named.with_name(f"{model_name(named)}-reinforced")
        check_output(out or free_path(self.out), folder=True)
        self._folder, self._config = folder, config
        source = open_model(folder)
        self._model, self._card = source.load(), source.card
        if self._model.chat_template is None:
            raise AnexaError(f"{folder} has no chat template: only a chat model can be reinforced")
        check_answers_arithmetic(self._model.tokenizer, str(folder))
        engine = best_engine() if engine == "auto" else engine
        computed = open_engine(
            engine, self._model.config, self._model.weights, optimizer=OPTIMIZER_CONFIG
        )
        self.run = ReinforcementTrainer(self._model, computed, config)

    def write(self, stopped_after: int | None = None) -> bool:
        """Write the best weights to a new model folder, if they are better than the initial ones.

        Args:
            stopped_after: last step of a run that was stopped early, for the card; None: the run
                was not stopped.

        Returns:
            Whether the folder was written.

        Raises:
            AnexaError: if the folder cannot be written.
        """
        if self.run.best_weights is None:
            return False
        model = replace(self._model, weights=self.run.best_weights)
        card = self._new_card(stopped_after)
        self.out = numbered_path(self.out, create_folder(self.out, model, card, numbered=True))
        return True

    def _new_card(self, stopped_after: int | None) -> str:
        """Write the new card: the old one without its evaluation, and with the command."""
        options = " ".join(
            f"--{field.name.replace('_', '-')} {getattr(self._config, field.name)}"
            for field in fields(self._config)
        )
        # Only the name of the folder: the path to it is private.
        command = f"anexa reinforce {shell_word(model_name(self._folder))} {options}"
        stopped = "" if stopped_after is None else f", stopped after step {stopped_after}"
        weights = f"The weights are {self.weights_description}."
        return (
            f"{remove_metrics(self._card)}\n\nThen reinforced: {code_span(command)}{stopped}. "
            f"{weights} "
            "The losses above are of the weights before.\n"
        )

    @property
    def weights_description(self) -> str:
        """Description of the weights that `write` writes: step and accuracy, for the card.

        Raises:
            AssertionError: if there are none, because `run.best_weights` is None.
        """
        best, initial = self.run.best_result, self.run.initial_accuracy
        assert best is not None
        return (
            f"those of step {best.step:,}, with an accuracy of {best.accuracy:.1%} on "
            f"{self._config.validation:,} held-out problems, {initial:.1%} before"
        )


def remove_metrics(card: str) -> str:
    """Remove the losses in the metadata, and all text from the heading Evaluation on."""
    card = card.partition("\n## Evaluation\n")[0].rstrip()
    header, end, text = card.partition("\n---\n")
    return CARD_METRICS_PATTERN.sub("", f"{header}\n") + end[1:] + text if end else card
