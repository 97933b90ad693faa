"""Fields of the requests that generate text, such as how tokens are sampled."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from anexa.generation.sampling_params import LOGIT_BIAS_RANGE, MAX_TOKEN_COUNT, RANGES
from anexa.server import limits
from anexa.server.schemas import RequestModel, max_entries
from anexa.server.unsupported_fields import False_, UnsupportedSampling

TOKEN_ID_KEY = r"^[0-9]{1,9}$"  # regular expression of a token id as a key of a JSON object
UNLIMITED = -1  # as `max_tokens`, as in llama.cpp and Ollama: as many as the server allows

StopString = Annotated[str, Field(min_length=1, max_length=limits.MAX_STOP_CHARS)]
StopStringList = Annotated[list[StopString], max_entries(limits.MAX_STOP_STRINGS)]


def range_field(name: str, **others: float) -> Any:
    """Return the pydantic field of a number, with its range.

    Args:
        name: name of the number in `RANGES`, whose bounds the field has.
        others: bounds of the API that replace or supplement these, such as `le=2`.
    """
    constraints: dict[str, Any] = RANGES[name].bounds | others
    if RANGES[name].kind is float:
        constraints["allow_inf_nan"] = False
    return Field(**constraints)


def _or_unlimited(value: object, validate: ValidatorFunctionWrapHandler) -> int:
    """Accept `UNLIMITED`, or a number in the range of the field (validator)."""
    is_unlimited = isinstance(value, int) and value == UNLIMITED
    count: int = UNLIMITED if is_unlimited else validate(value)
    return count


def _count_schema(minimum: int) -> WithJsonSchema:
    count = {"type": "integer", "minimum": minimum, "maximum": MAX_TOKEN_COUNT}
    unlimited = {"const": UNLIMITED, "description": "as many as the server allows"}
    return WithJsonSchema({"anyOf": [count, unlimited]})


# Maximum number of generated tokens, or `UNLIMITED`.
TokenCount = Annotated[
    int, range_field("max_tokens"), WrapValidator(_or_unlimited), _count_schema(1)
]
TokenCountOrZero = Annotated[
    int, range_field("max_tokens", ge=0), WrapValidator(_or_unlimited), _count_schema(0)
]


TokenId = Annotated[int, Field(ge=0, le=MAX_TOKEN_COUNT)]
TokenIdKey = Annotated[str, Field(pattern=TOKEN_ID_KEY)]
# Number that is added to the logit of a token.
Bias = Annotated[float, Field(**LOGIT_BIAS_RANGE.bounds, allow_inf_nan=False)]


class StreamOptions(RequestModel):
    """Options of a streamed response."""

    include_usage: bool | None = Field(
        None, description="whether the last chunk reports the token usage"
    )
    continuous_usage_stats: False_ = None


class SamplingFields(RequestModel):
    """Sampling parameters; by default the model's temperature, and any token may be sampled."""

    temperature: Annotated[float, range_field("temperature", le=2)] | None = None
    top_p: Annotated[float, range_field("top_p")] | None = None
    top_k: Annotated[int, range_field("top_k", ge=-1)] | None = Field(
        None, description="-1 or 0: no limit"
    )
    seed: Annotated[int, range_field("seed", ge=-(2**63))] | None = None
    stop: StopString | StopStringList | None = None
    min_p: Annotated[float, range_field("min_p")] | None = None
    repetition_penalty: Annotated[float, range_field("repetition_penalty")] | None = None
    repeat_penalty: Annotated[float, range_field("repetition_penalty")] | None = Field(
        None, description="llama.cpp's name of repetition_penalty"
    )
    frequency_penalty: Annotated[float, range_field("frequency_penalty")] | None = None
    presence_penalty: Annotated[float, range_field("presence_penalty")] | None = None
    logit_bias: Annotated[dict[TokenIdKey, Bias], max_entries(limits.MAX_TOKEN_IDS)] | None = Field(
        None, description="number that is added to the logit of a token, by token id"
    )
    min_tokens: Annotated[int, range_field("min_tokens")] | None = Field(
        None, description="number of tokens before which a text does not end"
    )
    ignore_eos: bool | None = Field(
        None, description="whether the model's end-of-sequence tokens do not end a text"
    )
    stop_token_ids: (
        Annotated[list[TokenId], Field(fail_fast=True), max_entries(limits.MAX_TOKEN_IDS)] | None
    ) = Field(None, description="tokens that end a text, and are not part of it")


class GenerationRequest(SamplingFields, UnsupportedSampling):
    """Fields that both completion routes take: model, sampling, choices, length and stream."""

    model: str | None = Field(None, description="served model name; the first model by default")
    n: Annotated[int, range_field("n", le=limits.MAX_CHOICES)] | None = Field(
        None, description="number of choices for each prompt"
    )
    max_tokens: TokenCount | None = Field(
        None, description="maximum number of generated tokens of a choice"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = Field(
        None, description="number of most likely tokens to report at each position of the prompt"
    )

    @property
    def sequences_per_prompt(self) -> int:
        """Number of sequences that are generated for each prompt."""
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that reports the token usage; false by default."""
        return bool(self.stream_options and self.stream_options.include_usage)
