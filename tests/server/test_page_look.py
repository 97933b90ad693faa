"""How the web page looks: it stays where it is, can be read and clicked, and fits on a phone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.appearance import WATCH, check_appearance
from tests.server.browser import answered, ask, opened
from tests.server.process import ServerProcess

pytestmark = pytest.mark.slow

PHONE = {"width": 360, "height": 640}


@pytest.mark.parametrize("size", [{"width": 1100, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_nothing_moves_while_an_answer_is_written(page: Any, size: dict[str, int]) -> None:
    """From the first step to the verdict: the question, the steps, and all that is around them."""
    page.set_viewport_size(size)
    page.emulate_media(reduced_motion="reduce")  # no cursor behind the text, which moves with it
    ask(page, "9876*5432")
    page.locator(".writing .steps li").first.wait_for()
    watched = [".user .content", ".thought", ".steps li", "#prompt", "#measurements", "meter"]
    page.evaluate(WATCH, watched)
    answered(page)
    page.wait_for_timeout(200)  # entries are reported after the frame
    places = page.evaluate("Object.entries(window.places).map(([one, all]) => [one, [...all]])")
    assert [name for name, seen in places] == watched
    assert [(name, seen) for name, seen in places if len(seen) != 1] == []
    assert page.evaluate("window.shifts") == []


def test_whoever_reads_above_stays_there(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 320})
    ask(page, "9876*5432")
    page.locator("main").evaluate(
        """async main => {
            while (main.scrollTop < 40) await new Promise(requestAnimationFrame);
        }"""
    )
    page.locator("main").evaluate("main => { main.scrollTop = 0; }")
    answered(page)
    assert page.locator("main").evaluate("main => main.scrollTop") == 0
    assert page.locator("main").evaluate("main => main.scrollHeight > main.clientHeight + 80")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{"width": 1100, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_chat_can_be_read_and_clicked(page: Any, scheme: str, size: dict[str, int]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    check_appearance(page)  # of the empty page
    ask(page, "347*86")
    answered(page)
    check_appearance(page)
    page.get_by_role("button", name="Show as column arithmetic").click()
    check_appearance(page)
    ask(page, "12345*6")
    answered(page, 2)
    ask(page, "1<think>")
    page.locator(".error").wait_for()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("9")
    page.get_by_role("button", name="Edit and resend").first.click()
    check_appearance(page)
    page.route("**/v1/models", lambda route: route.abort())
    page.reload()
    page.get_by_text("The server does not answer. Is it running?").wait_for()
    check_appearance(page)


@pytest.mark.parametrize("size", [{"width": 1100, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_text_stays_in_place_from_its_first_letter(
    browser: Any, base: ServerProcess, size: dict[str, int]
) -> None:
    with opened(browser, base.address) as page:
        page.set_viewport_size(size)
        page.get_by_text("Begin a text").wait_for()
        watched = ["#notebook textarea", "#undo", "#retry", "#measurements", "meter"]
        page.evaluate(WATCH, watched)
        page.keyboard.type("an")
        page.keyboard.press("Control+Enter")
        page.locator(".note:not(:empty)").wait_for()
        places = page.evaluate("Object.entries(window.places).map(([one, all]) => [one, [...all]])")
        assert [name for name, seen in places] == watched
        assert [(name, seen) for name, seen in places if len(seen) != 1] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{"width": 1100, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_notebook_can_be_read_and_clicked(
    browser: Any, base: ServerProcess, scheme: str, size: dict[str, int]
) -> None:
    with opened(browser, base.address) as page:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        page.get_by_text("Begin a text").wait_for()
        check_appearance(page)
        page.get_by_label("Your text").fill("an")
        page.get_by_role("button", name="Continue").click()
        page.locator(".note:not(:empty)").wait_for()
        check_appearance(page)
        page.get_by_label("Your text").fill("!")
        page.get_by_role("button", name="Continue").click()
        page.locator(".note.error").wait_for()
        check_appearance(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_docs_page_can_be_read(page: Any, server: ServerProcess, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{server.address}/docs")
    page.get_by_role("heading", name="POST /v1/chat/completions").wait_for()
    check_appearance(page)
    page.set_viewport_size(PHONE)
    check_appearance(page)


def test_controls_have_the_color_of_the_page(page: Any) -> None:
    page.get_by_role("button", name="Settings").click()
    accent = "getComputedStyle(document.querySelector('h1')).color"
    box = "getComputedStyle(document.querySelector('#thinking')).accentColor"
    assert page.evaluate(box) == page.evaluate(accent)


def test_placeholder_differs_from_what_is_typed(page: Any) -> None:
    font, color = page.locator("#prompt").evaluate(
        """box => [getComputedStyle(box), getComputedStyle(box, "::placeholder")]
            .map(style => [style.fontStyle, style.color])
            .reduce((typed, shown) => typed.map((one, i) => one !== shown[i]))"""
    )
    assert font
    assert color
    assert not page.locator("#prompt").get_attribute("placeholder")[0].isdigit()
