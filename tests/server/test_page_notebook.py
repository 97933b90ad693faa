"""The notebook of a base model: one text, which the user and the model write in turns."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.browser import opened, picture
from tests.server.process import ServerProcess, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def notebook(browser: Any, base: ServerProcess) -> Iterator[Any]:
    """The page of the base model."""
    with opened(browser, base.address) as page:
        page.get_by_text("Begin a text").wait_for()
        yield page


def continued(page: Any, button: str = "Continue") -> str:
    """Let the model continue the text; returns the whole text."""
    with page.expect_response("**/v1/completions"):
        page.get_by_role("button", name=button).click()
    page.get_by_role("button", name="Continue").wait_for()
    text: str = page.get_by_label("Your text").input_value()
    return text


def shaded(page: Any) -> list[str]:
    """What is shown as written by the model."""
    marks: list[str] = page.locator(".shading mark").all_text_contents()
    return marks


def test_text_is_continued_and_undone(notebook: Any) -> None:
    page, text = notebook, notebook.get_by_label("Your text")
    undo, retry = (page.get_by_role("button", name=name) for name in ("Undo", "Try again"))
    assert undo.is_disabled()
    assert text.evaluate("one => one === document.activeElement")
    text.fill("an")
    whole = continued(page)
    assert whole.startswith("an")
    assert whole != "an"
    assert shaded(page) == [whole[2:]]
    page.get_by_text("The model ends the text here.").wait_for()
    assert page.locator("#announcement").inner_text() == whole[2:]
    # What the user types after it is the user's, and undone first.
    text.press("End")
    page.keyboard.type("el")
    assert shaded(page) == [whole[2:]]
    assert retry.is_disabled()
    with page.expect_request("**/v1/completions") as asked:
        longer = continued(page)
    assert asked.value.post_data_json["prompt"] == f"{whole}el"
    assert longer.startswith(f"{whole}el")
    undo.click()
    assert text.input_value() == f"{whole}el"
    undo.click()
    assert text.input_value() == whole
    assert shaded(page) == [whole[2:]]
    assert continued(page, "Try again").startswith("an")
    undo.click()
    assert text.input_value() == "an"
    assert shaded(page) == []
    assert undo.is_disabled()


def test_what_it_looks_like(browser: Any, names_model: Path, tmp_path: Path) -> None:
    """The user, the model and the user again.

    Set ANEXA_PICTURES=docs/pictures and ANEXA_PICTURE_MODEL to the folder of a larger model, such
    as that of `anexa train`, to make the picture of docs/serve.md.
    """
    folder = os.environ.get("ANEXA_PICTURE_MODEL")
    beginning, more = ("The function returns", "\n\nIf it is None,") if folder else ("an", "el")
    with (
        serving(folder or names_model, cwd=tmp_path) as server,
        opened(browser, server.address) as page,
    ):
        page.set_viewport_size({"width": 900, "height": 600})
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Seed").fill("1")
        page.get_by_label("Max tokens").fill("150")
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Your text").fill(beginning)
        text = continued(page)
        page.get_by_label("Your text").press("Control+End")
        page.keyboard.type(more)
        whole = continued(page)
        page.locator("#context-label", has_text=re.compile(r"[1-9][0-9]* of")).wait_for()
        assert shaded(page)[0] == text[len(beginning) :]
        assert whole.startswith(text + more)
        picture(page, "page-notebook")


def test_text_may_be_longer_than_the_context(notebook: Any) -> None:
    """The model sees its end, and the gauge says so; the context has 16 tokens."""
    page, gauge = notebook, notebook.locator("#context-label")
    page.get_by_label("Your text").fill("anna" * 3)
    gauge.filter(has_text=re.compile("^Context 13 of 16$")).wait_for()  # the first one is the BOS
    page.get_by_label("Your text").fill("anna" * 7)
    gauge.filter(has_text=re.compile("^Context: last 16 of 29$")).wait_for()
    with page.expect_request("**/v1/completions") as asked:
        assert continued(page).startswith("anna" * 7)
    assert len(asked.value.post_data_json["prompt"]) == 16
    assert page.locator(".note.error").count() == 0


def test_cleared_text_can_be_brought_back(notebook: Any) -> None:
    page, text = notebook, notebook.get_by_label("Your text")
    page.locator(".examples button").first.click()
    page.locator(".note:not(:empty)").wait_for()
    whole, marks = text.input_value(), shaded(page)
    assert whole
    page.get_by_role("button", name="New").click()
    assert text.input_value() == ""
    page.get_by_text("Begin a text").wait_for()
    page.get_by_role("button", name="Undo").click()
    assert (text.input_value(), shaded(page)) == (whole, marks)
    page.reload()
    page.get_by_role("button", name="Continue").wait_for()
    assert (text.input_value(), shaded(page)) == (whole, marks)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert Path(download.value.path()).read_text(encoding="utf-8") == whole


def test_continuation_can_be_stopped(notebook: Any) -> None:
    # The request is held, as a name may end within milliseconds.
    notebook.route("**/v1/completions", lambda _: None)
    notebook.get_by_label("Your text").fill("an")
    notebook.get_by_label("Your text").press("Control+Enter")
    notebook.get_by_role("button", name="Stop").wait_for()
    assert not notebook.get_by_label("Your text").is_editable()
    notebook.keyboard.press("Escape")
    notebook.locator(".note:not(:empty)").wait_for()
    assert notebook.get_by_label("Your text").is_editable()


def test_messages_of_the_notebook_are_sentences(notebook: Any) -> None:
    notebook.get_by_label("Your text").fill("an!")
    notebook.get_by_role("button", name="Continue").click()
    notebook.get_by_text("This model has never seen '!': leave it out of the prompt.").wait_for()
    assert notebook.get_by_label("Your text").input_value() == "an!"
    notebook.get_by_label("Your text").fill("ann")
    assert notebook.locator(".note").inner_text() == ""


@pytest.mark.parametrize(
    "stored",
    [
        "{broken",
        "null",
        "[]",
        '"text"',
        '{"model": null}',
        '{"model": []}',
        '{"model": {"text": 7}}',
        '{"model": {"text": "a"}}',
        '{"model": {"text": "a", "generated": [7, null]}}',
    ],
)
def test_damaged_storage_is_an_empty_page(notebook: Any, stored: str) -> None:
    notebook.evaluate("stored => { localStorage['anexa.notebook'] = stored; }", stored)
    notebook.reload()
    notebook.get_by_text("Begin a text").wait_for()
    assert notebook.get_by_label("Your text").input_value() == ""


def edits(rng: random.Random) -> tuple[str, list[list[int]], str, str]:
    """A text of different characters with generated ranges, and an edit: the owners before, after.

    Owners are a letter for each character: "m" of the model, "u" of the user.
    """
    text = "".join(chr(0x4E00 + code) for code in rng.sample(range(2000), rng.randrange(12)))
    owners = "".join(rng.choice("mu") for _ in text)
    start = rng.randrange(len(text) + 1)
    end = rng.randrange(start, len(text) + 1)
    typed = "x" * rng.randrange(4)
    edited = text[:start] + typed + text[end:]
    expected = owners[:start] + "u" * len(typed) + owners[end:]
    return text, ranges(owners), edited, expected


def ranges(owners: str) -> list[list[int]]:
    """Ranges of the characters of the model."""
    bounds = [i for i in range(len(owners) + 1) if (f"u{owners}u")[i : i + 2] in ("um", "mu")]
    return [list(pair) for pair in zip(bounds[::2], bounds[1::2])]


def test_edited_text_keeps_who_wrote_what(notebook: Any) -> None:
    rng = random.Random(1)
    cases = [edits(rng) for _ in range(2000)]
    found = notebook.evaluate(
        """async cases => {
            const { edit, extend, parts } = await import("/page/draft.js");
            return cases.map(([text, generated, edited]) => {
                const after = edit({ text, generated }, edited);
                const longer = extend(after, "mm");
                const joined = parts(longer).map(part => part.text).join("");
                return [after.text, after.generated, longer.generated, joined];
            });
        }""",
        cases,
    )
    for (_, _, edited, owners), (text, generated, longer, joined) in zip(cases, found):
        assert text == edited
        assert generated == ranges(owners)
        assert longer == ranges(f"{owners}mm")
        assert joined == f"{edited}mm"
