"""Sampling parameters of a sequence, and their ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from anexa.errors import UsageError, short_repr
from anexa.ranges import Range

MAX_TOKEN_COUNT = 10**9  # limit on numbers of tokens: more than any model generates or has
# Ranges of the fields of `SamplingParams`, and of the maximum number of tokens and the number of
# answers (`n`) of a request.
RANGES = {
    "temperature": Range(float, ge=0),
    "top_k": Range(int, ge=1, le=MAX_TOKEN_COUNT),
    "top_p": Range(float, ge=0, le=1),
    "seed": Range(int, ge=0, lt=2**64),  # Python's generator takes -1 for 1
    "min_p": Range(float, ge=0, le=1),
    "repetition_penalty": Range(float, gt=0),
    "frequency_penalty": Range(float, ge=-2, le=2),
    "presence_penalty": Range(float, ge=-2, le=2),
    "min_tokens": Range(int, ge=0, le=MAX_TOKEN_COUNT),
    "max_tokens": Range(int, ge=1, le=MAX_TOKEN_COUNT),
    "n": Range(int, ge=1, le=10**9),
}
LOGIT_BIAS_RANGE = Range(float, ge=-100, le=100)  # of a bias in `logit_bias`, as in OpenAI's API
TOKEN_ID_RANGE = Range(int, ge=0)  # of a token id; `check_token_ids` checks the vocabulary


@dataclass(frozen=True)
class SamplingParams:
    """Parameters that say how the next token of a sequence is sampled; `RANGES` has their ranges.

    Attributes:
        temperature: number that logits are divided by; 0 means greedy decoding: always the
            likeliest token.
        top_k: sample from the k likeliest tokens only; None means from all.
        top_p: sample from the fewest likeliest tokens whose probabilities add up to at least this
            number; 1 means from all, 0 from the likeliest alone.
        seed: seed of the sequence's random state.
        min_p: sample from the tokens that are at least this number times as probable as the
            likeliest token; 0 means from all.
        repetition_penalty: number that positive logits are divided by, and negative ones multiplied
            with, if their token is in the prompt or has been generated; 1 means no penalty.
        frequency_penalty: number that is subtracted from a token's logit for each time that the
            token has been generated.
        presence_penalty: number that is subtracted once from the logit of each token that has been
            generated.
        logit_bias: number from -100 to 100 that is added to the logit of a token, by token id.
        min_tokens: number of tokens that are generated before a token or a stop string may end the
            text.
        ignore_eos: whether the model's end-of-sequence tokens do not end the text.
        stop_token_ids: ids of further tokens that end the text, and are not part of it.

    Raises:
        UsageError: if a value is not in its range.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 42
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in RANGES and not (name == "top_k" and value is None):
                RANGES[name].check(name, value)
        if not isinstance(self.ignore_eos, bool):
            raise UsageError(f"ignore_eos must be True or False, not {short_repr(self.ignore_eos)}")
        if self.logit_bias is not None and not isinstance(self.logit_bias, Mapping):
            raise UsageError(
                "logit_bias must map token ids to numbers, such as {5: -1.0}, not "
                f"{short_repr(self.logit_bias)}"
            )
        if not isinstance(self.stop_token_ids, Sequence) or isinstance(self.stop_token_ids, str):
            raise UsageError(
                f"stop_token_ids must be a list of token ids, not {short_repr(self.stop_token_ids)}"
            )
        for name, token in self._token_ids():
            TOKEN_ID_RANGE.check(f"{name}: a token id", token)
        for token, bias in (self.logit_bias or {}).items():
            LOGIT_BIAS_RANGE.check(f"logit_bias of token {token}", bias)

    def _token_ids(self) -> Iterator[tuple[str, int]]:
        """Yield the token ids in the parameters, each with the name of its parameter."""
        for name in ("logit_bias", "stop_token_ids"):
            for token in getattr(self, name) or ():
                yield name, token

    def check_token_ids(self, vocab_size: int) -> None:
        """Check that all token ids are in the vocabulary.

        Raises:
            UsageError: if a token id is not in the vocabulary; the message begins with the name of
                the parameter.
        """
        for name, token in self._token_ids():
            if token >= vocab_size:
                raise UsageError(
                    f"{name} contains the token id {short_repr(token)}, but the ids of this model "
                    f"are 0 to {vocab_size - 1:,}"
                )

    def end_token_ids(self, eos_token_ids: Collection[int]) -> frozenset[int]:
        """Return the ids of all tokens that end a text.

        Args:
            eos_token_ids: ids of the model's end-of-sequence tokens.
        """
        return frozenset(self.stop_token_ids).union(() if self.ignore_eos else eos_token_ids)

    @property
    def changes_logits(self) -> bool:
        """Whether logits are changed before temperature, top-k, top-p and min-p apply."""
        return bool(
            self.repetition_penalty != 1
            or self.frequency_penalty
            or self.presence_penalty
            or self.logit_bias
            or self.min_tokens
        )


GREEDY = SamplingParams(temperature=0.0)  # greedy decoding
