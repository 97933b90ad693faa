"""`anexa chat`: talk to a model at a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo, escape_controls
from anexa.cli.prompt_loop import PromptLoop
from anexa.errors import UsageError

if TYPE_CHECKING:
    from anexa.generation import LanguageModel, SamplingParams

DEFAULT_MAX_TOKENS = 200  # default maximum number of tokens in a continuation


def chat(
    folder: common.ModelPath = None,
    engine: common.EngineName = "auto",
    temperature: common.Temperature = None,
    top_k: common.TopK = None,
    top_p: common.TopP = 1.0,
    min_p: common.MinP = 0.0,
    repetition_penalty: common.RepetitionPenalty = 1.0,
    frequency_penalty: common.FrequencyPenalty = 0.0,
    presence_penalty: common.PresencePenalty = 0.0,
    max_tokens: common.MaxTokens = None,
    seed: common.SamplingSeed = 42,
    think: Annotated[
        Literal["on", "off", "hide"],
        typer.Option(
            help="Whether a reasoning model thinks before it answers; hide: it thinks, and the "
            "thought is not shown."
        ),
    ] = "on",
    system: Annotated[
        str | None,
        typer.Option(help="System prompt of each conversation, for a chat model that reads it."),
    ] = None,
) -> None:
    """Talk to a model: a chat model answers, any other continues what you type."""
    from anexa.generation import LanguageModel

    model = LanguageModel.open(folder, engine)
    params = model.sampling_params(
        temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
    )
    if model.chat_template is None and think != "on":
        raise UsageError(f"--think has no effect: {model.name} continues texts, leave it out")
    if model.chat_template is None and system is not None:
        raise UsageError(f"--system has no effect: {model.name} continues texts, leave it out")
    run_prompt_loop(model, params, max_tokens, think, system)


def run_prompt_loop(
    model: LanguageModel,
    params: SamplingParams,
    max_tokens: int | None = None,
    think: str = "on",
    system: str | None = None,
) -> None:
    """Run the prompt loop that suits the model until the user leaves.

    Args:
        model: model to talk to.
        params: initial sampling parameters, which slash commands change.
        max_tokens: maximum number of tokens in a response; None means 200, or for a chat model as
            many as the context has room for.
        think: whether a reasoning model thinks before it answers: "on", "off", or "hide", which
            lets it think without showing the thought.
        system: system prompt of a chat model's conversations; None: no system prompt.

    Raises:
        UsageError: if `max_tokens` is out of range, or `think` or `system` has no effect on a chat
            model.
    """
    from anexa.cli.chat_loop import ChatLoop

    if model.chat_template is None:
        CompletionLoop(model, params, max_tokens).run()
    else:
        ChatLoop(model, params, max_tokens, think, system).run()


class CompletionLoop(PromptLoop):
    """The prompt loop of a model without a chat template, which continues what is typed.

    Args:
        model: model that continues texts.
        params: initial sampling parameters, which slash commands change.
        max_tokens: maximum number of tokens in a continuation; None means 200.

    Raises:
        UsageError: if `max_tokens` is out of range.
    """

    greeting = "Type the beginning of a text; /help lists commands"

    def __init__(
        self, model: LanguageModel, params: SamplingParams, max_tokens: int | None = None
    ) -> None:
        super().__init__(model, params, DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens)

    def respond(self, prompt: str) -> None:
        """Print a prompt, and its continuation as it is generated.

        Raises:
            AnexaError: if the prompt is too long, or has characters that the model does not know.
        """
        max_tokens = self._max_tokens or DEFAULT_MAX_TOKENS
        continuation = self._model.complete(prompt, self._sampler, max_tokens=max_tokens)
        echo(f"Response: {prompt}", nl=False)
        for piece in continuation:
            echo(escape_controls(piece), nl=False)
        echo("\n")
