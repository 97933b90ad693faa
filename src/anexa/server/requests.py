"""What is asked for: the fields of OpenAI's API that mean something here, checked one by one.

Unknown fields are ignored, as programs send many; values that are wrong are refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from anexa.server import limits

MANY = 10**9  # tokens: more than any model writes

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=MANY)]


def _at_most(count: int, of: type = object) -> BeforeValidator:
    """Refuses a longer list of such things before more than the first of them is looked at."""

    def check(value: object) -> object:
        if isinstance(value, list) and len(value) > count and isinstance(value[0], of):
            raise PydanticCustomError("too_long", "too long", {"max_length": count})
        return value

    return BeforeValidator(check)


Text = Annotated[str, Field(max_length=limits.MOST_CHARACTERS)]
Texts = Annotated[list[Text], Field(fail_fast=True), _at_most(limits.MOST_TEXTS, str)]
Ids = Annotated[list[int], Field(fail_fast=True), _at_most(limits.MOST_IDS, int)]
SeveralIds = Annotated[list[Ids], Field(fail_fast=True), _at_most(limits.MOST_TEXTS, list)]
StopString = Annotated[str, Field(min_length=1, max_length=limits.LONGEST_STOP)]
StopStrings = Annotated[list[StopString], _at_most(limits.MOST_STOPS)]


class Fields(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    """For those who read /openapi.json, and for programs that try what it says."""
    return ConfigDict(json_schema_extra={"examples": [*examples]})


_QUESTION = [{"role": "user", "content": "347*86"}]


class StreamOptions(Fields):
    """How a text is streamed."""

    include_usage: bool | None = None


class Judged(Fields):
    """`POST /check`: an answer that is to be judged."""

    model_config = _examples(
        {"question": "12+34", "thought": "12+34:2+4+0=06,1+3+0=04:46", "answer": "46"}
    )

    question: str = Field(max_length=10_000)
    thought: str = Field(max_length=100_000)
    answer: str = Field(max_length=10_000)


class Generation(Fields):
    """What both ways of asking have in common; where nothing is said, the model's own."""

    model: str | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Field(ge=-1, le=MANY)] | None = None  # -1 and 0: all, as in vLLM
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    n: Annotated[int, Field(ge=1, le=limits.MOST_TEXTS)] | None = None
    stop: StopString | StopStrings | None = None
    max_tokens: Tokens | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end a text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def with_usage(self) -> bool:
        """Whether the end of a stream says what was used."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CompletionRequest(Generation):
    """`POST /v1/completions`: texts that continue prompts."""

    model_config = _examples(
        {"prompt": "12+34=", "max_tokens": 8},
        {"prompt": ["12+", "34*"], "n": 2, "echo": True, "logprobs": 2, "stream": True},
    )

    prompt: Text | Texts | Ids | SeveralIds = ""
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=limits.MOST_LOGPROBS)] | None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """One or several, each as text or as tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt  # type: ignore[return-value]


class TextPart(Fields):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class Message(Fields):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Text | Annotated[list[TextPart], Field(fail_fast=True), _at_most(limits.MOST_TURNS)] | None
    ) = None

    @property
    def text(self) -> str:
        """All that it says."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class TemplateOptions(Fields):
    """What is given to the chat template."""

    enable_thinking: bool | None = None


class ChatRequest(Generation):
    """`POST /v1/chat/completions`: answers to a conversation."""

    model_config = _examples(
        {"messages": _QUESTION, "temperature": 0},
        {"messages": _QUESTION, "logprobs": True, "top_logprobs": 2},
        {"messages": _QUESTION, "stream": True, "stream_options": {"include_usage": True}},
    )

    messages: Annotated[
        list[Message], Field(min_length=1, fail_fast=True), _at_most(limits.MOST_TURNS)
    ]
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=limits.MOST_LOGPROBS)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    chat_template_kwargs: TemplateOptions | None = None

    @property
    def thinking(self) -> bool:
        """Whether the model may think before it answers."""
        options = self.chat_template_kwargs
        unwanted = options is not None and options.enable_thinking is False
        return not unwanted and self.reasoning_effort != "none"
