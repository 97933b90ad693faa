"""The page: a conversation in a real browser."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.server.browser import answered, ask, opened
from tests.server.process import THOUGHT, Running, serving, until

pytestmark = pytest.mark.slow

LOST = "The connection was lost: the answer is not whole."


def test_a_conversation(page: Any) -> None:
    """With ANEXA_SCREENSHOT=docs/pictures/page.png this makes the picture in README.md."""
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
    ask(page, "What is 478 minus 5003?")
    answered(page, 2)
    if picture := os.environ.get("ANEXA_SCREENSHOT"):
        page.screenshot(path=picture)
    page.get_by_role("button", name="Copy the answer").first.click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "29842"
    page.get_by_text("Copied").wait_for(state="detached")
    page.locator("summary").first.click()
    assert not page.locator(".steps").first.is_visible()
    # It is there again, after the page has been loaded anew, and leaves it as a file.
    assert page.locator("#heard").inner_text() == "-4525. ✓ all 2 steps are true"
    figure = page.locator("#context-words").inner_text()
    page.reload()
    answered(page, 2)
    assert figure != "Context 0 of 512"
    page.locator("#context-words", has_text=figure).wait_for()  # the server says how many there are
    assert page.locator(".assistant .said").all_inner_texts() == ["29842", "-4525"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert kept["model"] == "anexa"
    said = [turn["content"] for turn in kept["messages"]]
    assert said == ["347*86", "29842", "What is 478 minus 5003?", "-4525"]
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


def test_a_false_step_is_shown_as_false(browser: Any, parrot: Path, tmp_path: Path) -> None:
    """From a model that errs."""
    with serving(parrot, cwd=tmp_path) as server, opened(browser, server.address) as page:
        ask(page, "2+4")
        answered(page)
        error = server.post(
            "/check", {"question": "2+4", "thought": "2+4:2+4+0=07:7", "answer": "7"}
        ).json()["first_error"]
        assert page.locator(".verdict.wrong").inner_text() == f"✗ {error}"
        step = page.locator(".steps li")
        assert step.get_attribute("data-mark") == "✗"
        assert error.endswith(step.get_attribute("title"))
        assert step.get_attribute("aria-label") == f"2+4:2+4+0=07:7: {step.get_attribute('title')}"
        assert page.locator("#heard").inner_text() == f"7. ✗ {error}"


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
    def at_the_foot() -> None:
        box = page.locator("#figures").bounding_box()
        below = page.viewport_size["height"] - box["y"] - box["height"]
        assert 0 <= below < 20

    def ground() -> str:
        colour: str = page.evaluate(
            "() => getComputedStyle(document.documentElement).backgroundColor"
        )
        return colour

    at_the_foot()
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
    at_the_foot()
    page.get_by_role("button", name="Settings").click()
    page.set_viewport_size({"width": 360, "height": 400})
    at_the_foot()


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


def test_an_answer_that_is_cut_off_says_so_and_stays(page: Any, tmp_path: Path) -> None:
    """The page is loaded anew in the middle of it; then the server is killed."""
    with serving("--engine", "lists", cwd=tmp_path) as server:
        page.goto(server.address)
        page.get_by_text("Ask for a sum").wait_for()
        writing = page.locator(".writing .steps", has_text="9876*2:6*2")
        lost = page.locator(".trouble", has_text=LOST)
        ask(page, "9876*5432")
        writing.wait_for()
        kept = json.loads(page.evaluate("localStorage['anexa.conversation']"))
        assert kept[-1]["trouble"] == LOST, "as long as nobody knows whether it comes to its end"
        page.reload()
        lost.wait_for()
        until(lambda: server.figure("num_requests_running") == 0, seconds=5)
        page.get_by_role("button", name="Regenerate").click()
        writing.wait_for()
        server.process.kill()
        lost.wait_for()
        assert page.locator(".steps").inner_text().startswith("9876*2:6*2")
        assert page.locator(".writing, .verdict").count() == 0
        page.get_by_role("button", name="Regenerate").click()
        page.locator(".trouble", has_text="The server does not answer. Is it running?").wait_for()


def test_an_answer_without_its_end_is_not_whole(page: Any) -> None:
    event = json.dumps({"choices": [{"delta": {"content": "29"}, "finish_reason": None}]})
    body = f"data: {event}\n\ndata: {event[:9]}"
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(body=body, content_type="text/event-stream"),
    )
    ask(page, "347*86")
    page.locator(".trouble", has_text=LOST).wait_for()
    assert page.locator(".assistant .said").inner_text() == "29"
