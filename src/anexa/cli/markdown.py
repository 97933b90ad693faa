"""Markdown in a terminal, whose code can be copied: no line of it is wrapped."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement
from rich.syntax import Syntax
from rich.text import Text


class UnwrappedCodeBlock(CodeBlock):
    """Code block with one output line for each line of code, however narrow the terminal is."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the code; a wrapped line would be a syntax error when it is copied."""
        code = Syntax("", self.lexer_name, theme=self.theme).highlight(str(self.text).rstrip())
        for line in code.split("\n"):
            yield Text(" ", no_wrap=True, overflow="ignore").append_text(line)


class Document(Markdown):
    """Markdown document for `rich`, in whose code blocks no line is wrapped.

    Print it with `crop=False`: else `rich` cuts the lines that are wider than the terminal.
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = Markdown.elements | {
        "fence": UnwrappedCodeBlock,
        "code_block": UnwrappedCodeBlock,
    }
