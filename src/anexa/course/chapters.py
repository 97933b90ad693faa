"""The chapters of the course: Markdown files of the package, with each student's own numbers.

Two kinds of code blocks have a meaning of their own. A `glass-box` block is a live view: the
address of a view of the glass box (`anexa explore`), and below it what to look for. A `yours` block
has the numbers for computing by hand, which `Chapter.for_student` replaces; those in the file are
for students who give no name.
"""

from __future__ import annotations

import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anexa.course.exercise import check_student
from anexa.course.exercises import EXERCISES
from anexa.errors import UsageError
from anexa.names import shell_word

# Code block; group 1 is its language, which may be empty, group 2 its content.
CODE_BLOCK_PATTERN = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# End of a link to a chapter; group 1 is the number of the chapter.
CHAPTER_LINK_END_PATTERN = re.compile(r"\]\((\d\d)-[\w-]+\.md\)")
TEACHERS_HEADING = "\n## For teachers\n"  # heading of the notes at the end of a chapter


@dataclass(frozen=True)
class Chapter:
    """Chapter of the course.

    Attributes:
        number: number of the chapter, from 1.
        path: Markdown file.
        title: the question that the chapter answers, from its heading.
        text: content of the file, in Markdown.
    """

    number: int
    path: Path
    title: str
    text: str

    def for_student(self, student: str) -> str:
        """Return the text for a student.

        The student's own numbers are in the `yours` block, and the name in the command
        `anexa check`.

        Args:
            student: name of the student; empty for the text as in the file.

        Raises:
            UsageError: if the name is too long or not printable.
        """
        check_student(student)
        numbers = EXERCISES[self.number].by_hand_numbers(self.number, student)
        option = f" --student {shell_word(student)}" if student else ""
        check = f"anexa check {self.number} mine.py"

        def convert(kind: str, block: str) -> str:
            if kind == "yours":
                return f"```yours\n{numbers}\n```"
            return block.replace(check, check + option) if kind == "sh" else block

        return CODE_BLOCK_PATTERN.sub(lambda block: convert(block[1], block[0]), self.text)


@dataclass(frozen=True)
class LiveView:
    """View of the glass box in a chapter.

    Attributes:
        address: address of the view, such as `#/map?text=anna`.
        caption: sentence that tells the reader what to look for in the view.
    """

    address: str
    caption: str


def parse_live_view(block: str) -> LiveView:
    """Parse the content of a `glass-box` block: an address, and a caption on the lines after it."""
    address, _, caption = block.partition("\n")
    return LiveView(address.strip(), " ".join(caption.split()))


@cache
def load_chapters() -> dict[int, Chapter]:
    """Return all chapters by number, in order; they are read once and shared by all callers."""
    folder = Path(str(importlib.resources.files("anexa.course") / "chapters"))
    found = {}
    for path in sorted(folder.glob("*.md")):
        text, number = path.read_text(encoding="utf-8"), int(path.name[:2])
        title = text.partition("\n")[0].removeprefix(f"# {number}. ")
        found[number] = Chapter(number, path, title, text)
    return found


def load_chapter(number: int) -> Chapter:
    """Return a chapter by its number.

    Raises:
        UsageError: if there is no chapter with this number.
    """
    if number not in load_chapters():
        raise UsageError(f"there is no chapter {number}: anexa learn --list shows all")
    return load_chapters()[number]
