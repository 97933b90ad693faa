"""The course in a real browser: the chapters, their live views, and the projector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anexa.course.exercises import EXERCISES
from tests.explore.explorer import exploring
from tests.server.browser import opened

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The list of chapters, as a student sees it who has no names model yet."""
    student = ("--student", "Ada & Bob")
    with (
        exploring(*student, cwd=tmp_path, command="learn") as running,
        opened(browser, running.start) as page,
    ):
        page.locator(".contents").wait_for()
        yield page


def test_chapter_trains_its_model_and_leads_to_the_glass_box(page: Any) -> None:
    page.locator(".contents a").first.click()
    page.locator(".live").wait_for()
    first_line = EXERCISES[1].numbers(1, "Ada & Bob").split("\n")[0]
    assert first_line in page.locator("pre.yours").inner_text()
    page.locator(".live button").click()
    link = page.get_by_role("link", name="Open it in the glass box")
    link.wait_for(timeout=120_000)
    with page.context.expect_page() as expected:
        link.click()
    view = expected.value
    view.locator("#view > [data-view=map]").wait_for()
    page.evaluate("location.hash = '#/6'")
    page.locator("#chapter h1", has_text="6.").wait_for()
    with page.context.expect_page() as expected:
        page.evaluate("document.querySelector('.live a').target = 'another'")
        link.click()
    heads = expected.value
    heads.locator("#view > [data-view=text]").wait_for()
    assert "Where each token looks" in heads.locator("#view").inner_text()
    page.evaluate("location.hash = '#/10'")
    page.locator("#chapter h1", has_text="10.").wait_for()
    with page.context.expect_page() as expected:
        page.evaluate("document.querySelector('.live a').target = 'a third'")
        link.first.click()
    life = expected.value
    life.get_by_role("button", name="Follow it").click()
    life.locator(".life .charts svg").nth(3).wait_for(timeout=120_000)
    assert "The life of wte.weight[10,0]" in life.locator("#view").inner_text()
    assert re.search(r"a\s+0\s+n\s+13\s+n\s+13\s+a\s+0", view.locator("#view").inner_text())


def test_chapter_on_thoughts_leads_to_the_bundled_model(page: Any) -> None:
    page.evaluate("location.hash = '#/16'")
    link = page.get_by_role("link", name="Open it in the glass box")
    link.wait_for()
    with page.context.expect_page() as expected:
        link.click()
    view = expected.value
    view.locator("#view > [data-view=thought]").wait_for()
    view.get_by_role("button", name="A:8+7+0=15").click(timeout=120_000)
    assert "A:8+7+0=15" in view.locator(".part-details").inner_text()


def test_keys_and_notes(page: Any) -> None:
    page.locator(".contents a").first.focus()
    page.keyboard.press("Enter")
    page.locator("#chapter h2").first.wait_for()
    size = "() => parseFloat(getComputedStyle(document.body).fontSize)"
    usual = page.evaluate(size)
    page.keyboard.press("p")
    assert page.evaluate(size) > 1.5 * usual
    page.reload()
    page.locator("#chapter h2").first.wait_for()
    assert page.evaluate(size) > 1.5 * usual
    page.get_by_role("button", name="Projector").click()
    assert page.evaluate(size) == usual
    notes = page.get_by_text("Common errors")
    assert not notes.is_visible()
    page.get_by_text("For teachers").click()
    assert notes.is_visible()
