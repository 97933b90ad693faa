"""The page, in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.process import THOUGHT, Running, serving
from tests.server.test_lifetime import until

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.slow

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if not chromium:
        assert not os.environ.get("CI"), "the page is tried in Chromium: install it"
        pytest.skip("there is no chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    """The page as somebody sees it who opens it for the first time; it complains of nothing."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(server.address)
    page.get_by_text("Ask for a sum").wait_for()
    yield page
    context.close()
    # Of a request that was refused the browser itself takes note.
    assert [one for one in complaints if not one.startswith("Failed to load resource")] == []


def ask(page: Any, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def answered(page: Any, count: int = 1) -> None:
    """Until so many answers have been judged."""
    page.locator(".verdict").nth(count - 1).wait_for(timeout=60_000)


def test_a_conversation(page: Any) -> None:
    ask(page, "347*86")
    answered(page)
    assert page.locator(".user .said").all_inner_texts() == ["347*86"]
    assert page.locator(".assistant .said").all_inner_texts() == ["29842"]
    assert page.locator(".steps li").all_inner_texts() == THOUGHT.splitlines()
    assert page.locator(".steps li").evaluate_all("all => all.map(one => one.dataset.mark)") == [
        "✓",
        "✓",
        "✓",
    ]
    assert page.locator(".verdict").inner_text() == "✓ all 3 steps are true"
    assert page.locator("summary").inner_text().startswith("Thought for ")
    assert page.locator("#speed").inner_text().endswith(" tokens/s")
    assert page.locator("#context-words").inner_text() == "Context 155 of 512"
    page.locator("summary").click()
    assert not page.locator(".steps").is_visible()
    page.keyboard.press("Tab")
    ask(page, "12+30")
    answered(page, 2)
    # It is there again, after the page has been loaded anew, and leaves it as a file.
    assert page.locator("#heard").inner_text() == "42. ✓ the one step is true"
    figure = page.locator("#context-words").inner_text()
    page.reload()
    answered(page, 2)
    assert figure != "Context 0 of 512"
    page.locator("#context-words", has_text=figure).wait_for()  # the server says how many there are
    assert page.locator(".assistant .said").all_inner_texts() == ["29842", "42"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert kept["model"] == "anexa"
    assert [turn["content"] for turn in kept["messages"]] == ["347*86", "29842", "12+30", "42"]
    page.get_by_role("button", name="New").click()
    assert page.locator(".turn").count() == 0


def test_tokens_arrive_one_after_another_and_are_stopped(page: Any, tmp_path: Path) -> None:
    """From a server that is slow enough to be watched: all of the answer would take a minute."""
    with serving("--engine", "lists", cwd=tmp_path) as server:
        page.goto(server.address)
        page.get_by_text("Ask for a sum").wait_for()
        ask(page, "9876*5432")
        steps = page.locator(".writing .steps")
        steps.filter(has_text="9876*2:6").wait_for()
        early = steps.inner_text()
        page.evaluate("window.first = document.querySelector('.writing .steps li')")
        steps.filter(has_text="9876*2:6*2+0=12").wait_for()
        assert steps.inner_text().startswith(early)
        assert page.evaluate("window.first.isConnected"), "what is there already stays"
        page.keyboard.press("Escape")
        page.locator(".trouble", has_text="Stopped.").wait_for()
        until(lambda: server.figure("num_requests_running") == 0, seconds=5)
        assert page.get_by_role("button", name="Send", exact=True).is_visible()
        page.get_by_role("button", name="Regenerate").click()
        steps.filter(has_text="9876").wait_for()
        assert page.locator(".turn").count() == 2
        page.get_by_role("button", name="Stop").click()
        page.locator(".trouble", has_text="Stopped.").wait_for()


def test_an_answer_is_written_anew(page: Any) -> None:
    ask(page, "12+30")
    answered(page)
    with page.expect_response("**/check"):
        page.get_by_role("button", name="Regenerate").click()
    answered(page)
    assert page.locator(".assistant .said").inner_text() == "42"
    assert page.locator(".turn").count() == 2


def test_a_message_is_edited_and_sent_again(page: Any) -> None:
    ask(page, "2*13")
    answered(page)
    page.get_by_role("button", name="Edit and resend").click()
    page.get_by_label("Edit your message").fill("3*13")
    page.keyboard.press("Escape")
    assert page.locator(".user .said").inner_text() == "2*13"
    page.get_by_role("button", name="Edit and resend").click()
    page.get_by_label("Edit your message").fill("3*13")
    page.get_by_role("button", name="Resend", exact=True).click()
    page.locator(".assistant .said", has_text="39").wait_for()
    answered(page)
    assert page.locator(".user .said").all_inner_texts() == ["3*13"]
    # Shift and Enter begin a new line.
    box = page.get_by_label("Your message")
    box.fill("1")
    box.press("Shift+Enter")
    assert box.input_value() == "1\n"


def test_settings_are_sent_and_kept(page: Any) -> None:
    asked: list[dict[str, Any]] = []
    page.on(
        "request",
        lambda r: asked.append(r.post_data_json) if r.url.endswith("/completions") else None,
    )
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").get_attribute("placeholder") == "0"
    page.get_by_label("Temperature").fill("0.55")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Most tokens").fill("9")
    page.get_by_label("Think first").uncheck()
    ask(page, "12+30")
    page.locator(".assistant .tools").wait_for()
    assert asked[0]["temperature"] == 0.55
    assert (asked[0]["seed"], asked[0]["max_tokens"]) == (7, 9)
    assert asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "top_k" not in asked[0]
    assert page.locator(".thought").count() == 0
    page.reload()
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").input_value() == "0.55"
    assert not page.get_by_label("Think first").is_checked()
    page.get_by_role("button", name="Server's defaults").click()
    assert page.get_by_label("Temperature").input_value() == ""
    assert page.get_by_label("Think first").is_checked()
    page.get_by_label("Most tokens").fill("4")
    ask(page, "12+30")
    page.locator(".trouble", has_text="The thought was cut off").wait_for()


def test_what_is_said_is_text_and_nothing_else(page: Any) -> None:
    ask(page, "<img src=x onerror=alert(1)><b>hello</b>")
    page.locator(".assistant .tools").wait_for()
    assert "I work out sums" in page.locator(".assistant .said").inner_text()
    assert page.locator("#turns img, #turns b").count() == 0
    assert "<b>hello</b>" in page.locator(".user .said").inner_text()
    ask(page, "é")
    page.locator(".trouble", has_text="never seen 'é'").wait_for()
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page, "12+30")  # what was refused is not said again
    said = [message["content"] for message in asked.value.post_data_json["messages"]]
    assert said[-1] == "12+30"
    assert "é" not in said
    answered(page)
    page.evaluate("localStorage.setItem('anexa.conversation', '{broken')")
    page.reload()
    page.get_by_text("Ask for a sum").wait_for()


def test_it_is_dark_where_the_system_is_and_fits_a_small_screen(page: Any) -> None:
    def ground() -> str:
        colour: str = page.evaluate(
            "() => getComputedStyle(document.documentElement).backgroundColor"
        )
        return colour

    light = ground()
    page.emulate_media(color_scheme="dark")
    assert ground() != light
    page.set_viewport_size({"width": 360, "height": 640})
    ask(page, "9876*5432")
    answered(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    for name in ("New", "Export", "Settings", "Send"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_whoever_cannot_see_it_hears_what_it_is(page: Any) -> None:
    ask(page, "347*86")
    answered(page)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, meter")]
            .filter(one => one.checkVisibility())
            .filter(one => !one.textContent.trim() && !one.labels?.length && !one.ariaLabel)
            .map(one => one.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("main").get_attribute("aria-label") == "Conversation"
    assert page.get_by_role("status").count() == 1
    step = page.locator(".steps li").first
    assert step.get_attribute("aria-label") == f"{THOUGHT.splitlines()[0]}: true"


def test_the_api_is_described_without_help_from_elsewhere(page: Any, server: Running) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.address}/docs")
    page.get_by_role("heading", name="POST /v1/chat/completions").wait_for()
    text = page.locator("main").inner_text()
    for words in ("temperature\tnumber at least 0 at most 2 or null", "messages\tlist of Message"):
        assert words in text
    assert all(url.startswith(server.address) for url in asked)


def test_without_a_server_it_says_so(page: Any) -> None:
    page.route("**/v1/chat/completions", lambda route: route.abort())
    ask(page, "1+1")
    page.locator(".trouble", has_text="The server does not answer. Is it running?").wait_for()
    page.unroute("**/v1/chat/completions")
    page.get_by_role("button", name="Regenerate").click()
    page.locator(".assistant .said", has_text="2").wait_for()
