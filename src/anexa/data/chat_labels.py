"""Loss mask of conversations: the parts of a rendered conversation that are assistant answers.

To find an answer, the chat template is rendered twice: up to the generation prompt of the answer,
and up to the end of the answer. The first text must be a prefix of the second; the rest of the
second text is the answer. So the loss covers the tokens that the model generates in use, whatever
the template is.

Some templates, such as Qwen3's, render an answer differently (without its reasoning) if more turns
follow. Such an answer is trained on in a text of its own: the conversation up to this answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from anexa.data.jsonl import BadRowError
from anexa.errors import AnexaError, short_repr
from anexa.model.chat_format import END_THINK, THINK, Message, render_messages
from anexa.model.tokenizer import Tokenizer

_MARK = "\ue000thought\ue001"  # reasoning in private-use characters, which no template has


@dataclass
class LabeledText:
    """A rendered conversation, with the spans that have a loss.

    Attributes:
        text: the conversation as rendered by the chat template.
        spans: start and end of each answer that is trained on, as offsets in `text`, in characters:
            from the first character of the answer to the end of the token that ends its turn.
    """

    text: str
    spans: list[tuple[int, int]] = field(default_factory=list)


class ChatRenderer:
    """Renderer of conversations for training, with the chat template of a model.

    Args:
        template: source of the chat template, in Jinja.
        tokenizer: tokenizer of the model.

    Raises:
        AnexaError: if the template fails on a conversation of one question and one answer, or does
            not render the answer as a continuation of its prompt.
    """

    def __init__(self, template: str, tokenizer: Tokenizer) -> None:
        self._template = template
        self._bos, self._eos = tokenizer.bos_eos
        template_text = template + self._bos + self._eos
        self._tokens = tuple(token for token in tokenizer.added_tokens if token in template_text)
        self._reserved = {*self._tokens, *tokenizer.special_tokens}  # not allowed in messages
        self._renders_reasoning = True
        user, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
        try:
            self.render([user, answer])
            rendered = self._render([user, answer | {"reasoning_content": _MARK}])
        except BadRowError as error:
            raise AnexaError(
                f"the chat template of the model cannot be trained: a conversation {error}"
            ) from error
        self._renders_reasoning = _MARK in rendered

    def render(self, messages: Sequence[Message]) -> list[LabeledText]:
        """Render a conversation for training.

        Args:
            messages: messages as `parse_conversation` returns them; the last is an answer. An
                answer with a "weight" of 0 is not trained on.

        Returns:
            The conversation as one text, or as several if the template changes an answer when more
            turns follow. Each answer that is trained on is in a span of exactly one text; without
            such an answer there is no text.

        Raises:
            BadRowError: if the template refuses the messages or leaves out an answer or its
                reasoning, a message contains a special token, or the prompt of an answer is not a
                prefix of the conversation with the answer.
        """
        self._check_special_tokens(messages)
        if not self._renders_reasoning:
            messages = [_with_reasoning_in_content(message) for message in messages]
        answers = [
            number
            for number, message in enumerate(messages)
            if message["role"] == "assistant" and message.get("weight") != 0
        ]
        texts: list[LabeledText] = []
        for number in reversed(answers):
            prompt = self._render(messages[:number], add_generation_prompt=True)
            text = self._render(messages[: number + 1])
            if not text.startswith(prompt):
                raise BadRowError(
                    "cannot be trained on with this chat template, which does not continue the "
                    "prompt of an answer with that answer"
                )
            span = len(prompt), self._end(text)
            self._check_shown(messages[number], text[slice(*span)])
            labeled = next((known for known in texts if known.text.startswith(text)), None)
            if labeled is None:
                texts.append(labeled := LabeledText(text))
            labeled.spans.insert(0, span)
        return texts[::-1]

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        try:
            return render_messages(
                self._template,
                messages,
                bos=self._bos,
                eos=self._eos,
                add_generation_prompt=add_generation_prompt,
            )
        except AnexaError as error:
            raise BadRowError("is refused by the chat template", f": {error}") from error

    def _end(self, text: str) -> int:
        """Return the offset at which the last turn of a rendered conversation ends.

        White space after the token that ends the turn is not part of the turn.
        """
        end = text.rstrip()
        return len(end) if end.endswith(self._tokens) else len(text)

    def _check_special_tokens(self, messages: Sequence[Message]) -> None:
        for message in messages:
            for text in (message["content"], message.get("reasoning_content", "")):
                for token in self._reserved:
                    if token in text:
                        raise BadRowError(
                            f"contains {token}, which is a special token of the model"
                        )

    @staticmethod
    def _check_shown(message: Message, answer: str) -> None:
        """Raise BadRowError if a rendered answer lacks the content or reasoning of its message."""
        for name in ("content", "reasoning_content"):
            if message.get(name, "").strip() not in answer:
                raise BadRowError(
                    "has an answer that the chat template does not show as it is",
                    f": {short_repr(message[name])}",
                )


def _with_reasoning_in_content(message: Message) -> Message:
    """Return a message with its reasoning at the start of its content, between <think> tags."""
    reasoning = message.get("reasoning_content")
    if reasoning is None:
        return message
    return {**message, "content": f"{THINK}\n{reasoning}\n{END_THINK}\n\n{message['content']}"}
