"""`anexa generate`: print generated texts or answers, as plain text or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from anexa.cli import common_options as common
from anexa.cli.chat import DEFAULT_MAX_TOKENS
from anexa.cli.output import echo, escape_controls
from anexa.errors import UsageError, short_repr
from anexa.ranges import parse_float, parse_int

if TYPE_CHECKING:
    from anexa.generation import ChatAnswer, TextStream
    from anexa.generation.grammars import Grammar

SEPARATOR = "───"  # printed between two texts if the first has several lines


def generate(
    folder: common.ModelPath = None,
    prompt: Annotated[
        str,
        typer.Option(
            help="Text to continue; for a chat model, the question to answer. [default: empty]"
        ),
    ] = "",
    n: Annotated[int, typer.Option("--n", "-n", help="Number of texts.")] = 1,
    temperature: common.Temperature = None,
    top_k: common.TopK = None,
    top_p: common.TopP = 1.0,
    min_p: common.MinP = 0.0,
    repetition_penalty: common.RepetitionPenalty = 1.0,
    frequency_penalty: common.FrequencyPenalty = 0.0,
    presence_penalty: common.PresencePenalty = 0.0,
    logit_bias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=NUMBER",
            help="Number from -100 to 100 added to the logit of a token, such as 12=-5; may be "
            "repeated.",
        ),
    ] = None,
    max_tokens: common.MaxTokens = None,
    min_tokens: Annotated[int, typer.Option(help="Minimum number of tokens in a text.")] = 0,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Continue after the end-of-sequence token.")
    ] = False,
    stop: Annotated[
        list[str] | None, typer.Option(help="String that ends a text; may be repeated.")
    ] = None,
    stop_token_id: Annotated[
        list[int] | None, typer.Option(help="Token id that ends a text; may be repeated.")
    ] = None,
    regex: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Regular expression that matches the whole new text, or the answer after its "
            "thought; needs anexa[structured].",
        ),
    ] = None,
    json_schema: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEMA",
            help="JSON schema of the new text, or of the answer, itself written as JSON; needs "
            "anexa[structured].",
        ),
    ] = None,
    think: Annotated[
        bool, typer.Option(help="Let a reasoning model think before it answers.")
    ] = True,
    seed: common.SamplingSeed = 42,
    engine: common.EngineName = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Generate texts that continue a prompt; a chat model answers the prompt instead."""
    import json

    from anexa.generation import LanguageModel
    from anexa.generation.sampling_params import RANGES
    from anexa.names import decode_argument, encode_name

    RANGES["n"].check("n", n)
    prompt, stops = decode_argument(prompt), [decode_argument(text) for text in stop or ()]
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
        logit_bias=dict(map(_bias, logit_bias or ())),
        min_tokens=min_tokens,
        ignore_eos=ignore_eos,
        stop_token_ids=stop_token_id or (),
    )
    messages = [{"role": "user", "content": prompt}]
    if model.chat_template is None and not think:
        raise UsageError(f"--no-think has no effect: {model.name} continues texts, leave it out")
    constraint = None
    if grammar := _grammar(regex, json_schema):
        if ignore_eos:  # the text could not end
            raise UsageError(f"--ignore-eos and {grammar.name} exclude each other: leave one out")
        is_chat = model.chat_template is not None
        in_thought = is_chat and model.render_prompt(messages, thinking=think).in_thought
        constraint = model.constraint(grammar, thinking=think and is_chat, in_thought=in_thought)
    sampler = model.sampler(params, constraint)
    samples: list[dict[str, Any]] = []
    for _ in range(n):
        if not as_json and samples and "\n" in samples[-1].get("text", ""):
            echo(SEPARATOR)
        if constraint:  # each text begins it anew
            sampler.constraint = constraint.copy()
        if model.chat_template is None:
            limit = DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens
            text = model.complete(prompt, sampler, max_tokens=limit, stop=stops)
            samples.append(_finish_text(text, show=not as_json))
        else:
            answer = model.answer(
                messages, sampler, thinking=think, max_tokens=max_tokens, stop=stops
            )
            samples.append(_finish_answer(answer, show=not as_json))
    if not as_json:
        echo(f"seed {seed}", err=True)
        return
    report = {
        "model": model.name if folder is None else encode_name(str(folder)),
        "engine": model.engine.name,
        "seed": seed,
        "prompt": prompt,
        "samples": samples,
    }
    echo(json.dumps(report, indent=2))


def _bias(option: str) -> tuple[int, float]:
    """Parse a value of `--logit-bias`, such as "12=-5": token id, and number to add to its logit.

    Raises:
        UsageError: if the option does not have this form.
    """
    token, _, bias = option.partition("=")
    try:
        return parse_int(token), parse_float(bias)
    except ValueError:
        raise UsageError(f"--logit-bias must be ID=NUMBER, not {short_repr(option)}") from None


def _grammar(regex: str | None, json_schema: str | None) -> Grammar | None:
    """Return the grammar of `--regex` or `--json-schema`; None if neither is given.

    Raises:
        UsageError: if both are given, or one is not valid.
    """
    from anexa.generation.grammars import Grammar
    from anexa.names import decode_argument

    if regex is not None and json_schema is not None:
        raise UsageError("--regex and --json-schema exclude each other: leave one out")
    if regex is not None:
        return Grammar.regex(decode_argument(regex), "--regex")
    if json_schema is not None:
        return Grammar.json_schema(decode_argument(json_schema), "--json-schema")
    return None


def _finish_text(text: TextStream, *, show: bool) -> dict[str, Any]:
    """Generate the rest of a text, and print it after its prompt if `show` is true.

    Returns:
        The text and its details, for JSON.
    """
    if show:
        echo(escape_controls(text.prompt.text), nl=False)
    for piece in text:
        if show:
            echo(escape_controls(piece), nl=False)
    if show:
        echo()
    return {"text": text.text, "tokens": text.num_tokens, "finish_reason": text.finish_reason}


def _finish_answer(answer: ChatAnswer, *, show: bool) -> dict[str, Any]:
    """Generate the rest of an answer, and print it if `show` is true.

    Returns:
        The answer and its details, for JSON.
    """
    from anexa.cli.chat_loop import print_answer

    if show:
        print_answer(answer)
        if answer.incomplete_reason:
            echo(f"({answer.incomplete_reason})", err=True)
    return {
        "reasoning": answer.finish().reasoning,
        "content": answer.content,
        "tokens": answer.num_tokens,
        "finish_reason": answer.finish_reason,
        "incomplete_reason": answer.incomplete_reason,
    }
