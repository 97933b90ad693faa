"""Offline generation: the tokens of one sequence as a stream, or of many prompts in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anexa.engines import Engine
from anexa.engines.sequential import SequentialEngine
from anexa.generation import scheduler
from anexa.generation.sampling import Sampler
from anexa.generation.sampling_params import GREEDY, RANGES, SamplingParams
from anexa.generation.scheduler import BatchScheduler

MAX_NUM_SEQS = 64  # maximum batch size: a larger one needs more memory and is not faster


def generate_tokens(engine: Engine, prompt_ids: Sequence[int], sampler: Sampler) -> Iterator[int]:
    """Yield the tokens that continue a prompt, without end: the caller stops the iteration.

    EOS does not end it either, and when the context is full, its window slides: `window_start`.

    Args:
        engine: engine with the model's weights.
        prompt_ids: token ids of the prompt, at least one.
        sampler: sampling parameters and random state; sampling advances the state.

    Raises:
        AnexaError: if the model cannot be computed, or a logit is not a number.
    """
    loop = BatchScheduler(SequentialEngine(engine), max_num_seqs=1)
    loop.add(prompt_ids, sampler)
    while True:
        for output in loop.step():
            if output.error:
                raise output.error
            yield output.token


def generate_batch(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    eos_token_id: int,
    params: Sequence[SamplingParams] | None = None,
    max_tokens: int | None = None,
) -> list[list[int]]:
    """Generate one completion for each prompt, in batches of at most `MAX_NUM_SEQS`.

    Args:
        engine: engine with the model's weights.
        prompts: token ids of the prompts, at least one token each. The completion of a prompt that
            is longer than the context is empty.
        eos_token_id: id of the end-of-sequence token. The completions do not include the token
            that ends them: `eos_token_id`, unless their parameters have `ignore_eos`, or one of
            their `stop_token_ids`.
        params: sampling parameters, one per prompt; None means greedy decoding.
        max_tokens: maximum number of tokens in a completion, at least 1; None means no limit. A
            completion also ends when the context is full.

    Returns:
        Token ids of the completions, in the order of the prompts.

    Raises:
        AnexaError: if the model cannot be computed, or a logit is not a number.
        UsageError: if `max_tokens` is out of range, or a token id in the parameters is not in the
            vocabulary.
    """
    if max_tokens is not None:
        RANGES["max_tokens"].check("max_tokens", max_tokens)
    for one in params or ():
        one.check_token_ids(engine.config.vocab_size)
    loop = BatchScheduler(engine, min(MAX_NUM_SEQS, len(prompts)))
    completions: list[list[int]] = [[] for _ in prompts]
    running: dict[scheduler.Sequence, int] = {}
    for number, prompt in enumerate(prompts):
        if len(prompt) <= engine.config.block_size:
            sampler = Sampler(params[number] if params else GREEDY, eos_token_ids=[eos_token_id])
            running[loop.add(prompt, sampler)] = number
    while running:
        for output in loop.step():
            if output.error:
                raise output.error
            number = running[output.sequence]
            generated = completions[number]
            ends = output.token in output.sequence.sampler.params.end_token_ids([eos_token_id])
            if not ends:
                generated.append(output.token)
            room = engine.config.block_size + 1 - len(prompts[number])
            limit = room if max_tokens is None else min(room, max_tokens)
            if ends or len(generated) == limit:
                loop.remove(output.sequence)
                del running[output.sequence]
    return completions
