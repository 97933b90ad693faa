"""Conversations on the web page, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.server.browser import answered, ask, opened, picture
from tests.server.doors import QUESTIONS, is_sum
from tests.server.process import THOUGHT, ServerProcess, serving, wait_until

pytestmark = pytest.mark.slow

CONNECTION_LOST = "The connection was lost: the answer is incomplete."


def test_conversation_is_shown_saved_and_exported(page: Any) -> None:
    """Set ANEXA_PICTURES=docs/pictures to make the picture of README.md."""
    ask(page, "347*86")
    answered(page)
    assert page.locator(".user .content").all_inner_texts() == ["347*86"]
    assert page.locator(".assistant .content").all_inner_texts() == ["29842"]
    assert page.locator(".steps li").all_inner_texts() == THOUGHT.splitlines()
    assert page.locator(".steps li").evaluate_all("all => all.map(one => one.dataset.mark)") == [
        "✓"
    ]
    assert page.locator(".verdict").inner_text() == "✓ the one step is true"
    assert re.fullmatch(
        r"Thought for .* s · 1 step, 6 facts, all true", page.locator("summary").inner_text()
    )
    assert page.locator("#speed").inner_text().endswith(" tokens/s")
    assert page.locator("#context-label").inner_text() == "Context 122 of 2,560"
    ask(page, "What is 478 minus 5003?")
    answered(page, 2)
    picture(page, "page")
    page.get_by_role("button", name="Copy the answer").first.click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "29842"
    page.get_by_text("Copied").wait_for(state="detached")
    page.locator("summary").first.click()
    assert not page.locator(".steps").first.is_visible()
    # The conversation is kept when the page is reloaded, and can be exported.
    assert page.locator("#announcement").inner_text() == "-4525. ✓ the one step is true"
    figure = page.locator("#context-label").inner_text()
    page.reload()
    answered(page, 2)
    assert figure != "Context 0 of 2,560"
    page.locator("#context-label", has_text=figure).wait_for()  # the server says how many there are
    assert page.locator(".assistant .content").all_inner_texts() == ["29842", "-4525"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert kept["model"] == "anexa"
    said = [turn["content"] for turn in kept["messages"]]
    assert said == ["347*86", "29842", "What is 478 minus 5003?", "-4525"]
    page.get_by_role("button", name="New").click()
    assert page.locator(".turn").count() == 0


def test_page_says_how_many_turns_were_dropped(page: Any) -> None:
    """The longest answer takes most of the context, and sums of 20 digits the rest."""
    for number in range(1, 8):
        ask(page, f"{number}" * 20 + "+" + "1" * 20)
        answered(page, number)
    notes = page.locator(".dropped")
    said = "dropped, to leave room for the answer"
    assert notes.all_inner_texts() == [f"1 earlier turn was {said}", f"2 earlier turns were {said}"]
    page.reload()
    answered(page, 7)
    assert notes.count() == 2, "the notes are saved"


def test_answer_is_shown_while_generated_and_can_be_stopped(page: Any, tmp_path: Path) -> None:
    """With an engine that would need a minute for the whole answer."""
    with serving("--engine", "lists", cwd=tmp_path) as server:
        page.goto(server.address)
        page.get_by_text("Ask for a calculation").wait_for()
        ask(page, "9876*5432")
        steps = page.locator(".writing .steps")
        steps.filter(has_text="A6B7C8D9*a2b3c4d5:A6").wait_for()
        early = steps.inner_text()
        page.evaluate("window.first = document.querySelector('.writing .steps li')")
        steps.filter(has_text=":A6*a2+0=12;A2").wait_for()
        assert steps.inner_text().startswith(early)
        assert page.evaluate("window.first.isConnected"), "existing elements are kept"
        page.keyboard.press("Escape")
        page.locator(".error", has_text="You stopped it here.").wait_for()
        wait_until(lambda: server.num_finished("abort") == 1)
        assert page.get_by_role("button", name="Send", exact=True).is_visible()
        page.get_by_role("button", name="Regenerate").click()
        steps.filter(has_text="A6B7").wait_for()
        assert page.locator(".turn").count() == 2
        page.get_by_role("button", name="Stop").click()
        page.locator(".error", has_text="You stopped it here.").wait_for()


def test_wrong_step_is_marked(browser: Any, parrot: Path, tmp_path: Path) -> None:
    """With a model that was trained to write a wrong step."""
    with serving(parrot, cwd=tmp_path) as server, opened(browser, server.address) as page:
        ask(page, "2+4")
        answered(page)
        error = server.post(
            "/check", {"question": "2+4", "thought": "A2+a4:A:2+4+0=07:A7", "answer": "7"}
        ).json()["first_error"]
        assert page.locator(".verdict.wrong").inner_text() == f"✗ {error}"
        step = page.locator(".steps li")
        assert step.get_attribute("data-mark") == "✗"
        assert error.endswith(step.get_attribute("title"))
        assert (
            step.get_attribute("aria-label")
            == f"A2+a4:A:2+4+0=07:A7: {step.get_attribute('title')}"
        )
        assert page.locator("#announcement").inner_text() == f"7. ✗ {error}"
        page.get_by_role("button", name="Show as column arithmetic").click()
        assert page.locator(".facts .wrong").all_inner_texts() == ["2 + 4 = 7: write 7"]


def test_message_sent_before_the_list_of_models_is_answered(page: Any) -> None:
    """Enter and Regenerate are pressed twice, as one does when nothing happens."""
    waiting: list[Any] = []

    def hold(route: Any) -> None:
        waiting.append(route)

    def reload() -> None:
        with page.expect_request("**/v1/models"):
            page.reload()

    page.route("**/v1/models", hold)
    reload()
    ask(page, "12+30")
    page.keyboard.press("Enter")
    assert page.locator(".turn").count() == 0
    [route] = waiting  # the page asks for the list once
    route.continue_()
    answered(page)
    reload()
    page.get_by_role("button", name="Regenerate").dblclick()
    with page.expect_response("**/check"):
        waiting[1].continue_()
    answered(page)
    assert page.locator(".user .content").all_inner_texts() == ["12+30"]
    assert page.locator(".assistant .content").all_inner_texts() == ["42"]


def test_answer_can_be_regenerated(page: Any) -> None:
    ask(page, "12+30")
    answered(page)
    with page.expect_response("**/check"):
        page.get_by_role("button", name="Regenerate").click()
    answered(page)
    assert page.locator(".assistant .content").inner_text() == "42"
    assert page.locator(".turn").count() == 2


def test_message_can_be_edited_and_resent(page: Any) -> None:
    ask(page, "2*13")
    answered(page)
    page.get_by_role("button", name="Edit and resend").click()
    page.get_by_label("Edit your message").fill("3*13")
    page.keyboard.press("Escape")
    assert page.locator(".user .content").inner_text() == "2*13"
    page.get_by_role("button", name="Edit and resend").click()
    page.get_by_label("Edit your message").fill("3*13")
    page.get_by_role("button", name="Resend", exact=True).click()
    page.locator(".assistant .content", has_text="39").wait_for()
    answered(page)
    assert page.locator(".user .content").all_inner_texts() == ["3*13"]
    # Shift+Enter begins a new line.
    box = page.get_by_label("Your message")
    box.fill("1")
    box.press("Shift+Enter")
    assert box.input_value() == "1\n"


def test_messages_are_never_parsed_as_html(page: Any) -> None:
    ask(page, "<img src=x onerror=alert(1)><b>hello</b>")
    page.locator(".assistant .tools").wait_for()
    assert "I work out sums" in page.locator(".assistant .content").inner_text()
    assert page.locator("#turns img, #turns b").count() == 0
    assert "<b>hello</b>" in page.locator(".user .content").inner_text()
    ask(page, "1<think>")
    page.locator(".error", has_text="message 3 contains <think>").wait_for()
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page, "12+30")  # without the refused message
    said = [message["content"] for message in asked.value.post_data_json["messages"]]
    assert said[-1] == "12+30"
    assert "1<think>" not in said
    answered(page)
    page.evaluate("localStorage.setItem('anexa.conversation', '{broken')")
    page.reload()
    page.get_by_text("Ask for a calculation").wait_for()


def test_questions_by_page(page: Any) -> None:
    for question, expected in QUESTIONS.items():
        ask(page, question)
        answer = page.locator(".assistant:not(.writing)")
        answer.locator(".tools").wait_for()
        assert answer.locator(".content").inner_text() == expected
        if is_sum(expected):
            assert answer.locator(".verdict").inner_text().startswith("✓ ")
        page.get_by_role("button", name="New").click()


def test_dark_scheme_and_small_screen(page: Any) -> None:
    def at_the_foot() -> None:
        box = page.locator("#measurements").bounding_box()
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


def test_controls_and_steps_have_accessible_names(page: Any) -> None:
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


def test_docs_page_describes_the_api_and_loads_nothing_from_other_sites(
    page: Any, server: ServerProcess
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.address}/docs")
    page.get_by_role("heading", name="POST /v1/chat/completions").wait_for()
    text = page.locator("main").inner_text()
    for words in (
        "temperature\tnumber at least 0 at most 2 or null",
        "messages\tlist of ChatMessage",
    ):
        assert words in text
    assert "string of 1 to 65,536 characters" in text
    table = page.locator("table").first.inner_text()  # of completions
    assert table.index("\nprompt\t") < table.index("\nsuffix\t")
    assert all(url.startswith(server.address) for url in asked)


def test_page_reports_unreachable_server(page: Any) -> None:
    page.route("**/v1/chat/completions", lambda route: route.abort())
    ask(page, "1+1")
    page.locator(".error", has_text="The server does not answer. Is it running?").wait_for()
    page.unroute("**/v1/chat/completions")
    page.get_by_role("button", name="Regenerate").click()
    page.locator(".assistant .content", has_text="2").wait_for()


def test_interrupted_answer_is_kept_and_marked_as_incomplete(page: Any, tmp_path: Path) -> None:
    """First the page is reloaded during the answer, then the server is killed."""
    with serving("--engine", "lists", cwd=tmp_path) as server:
        page.goto(server.address)
        page.get_by_text("Ask for a calculation").wait_for()
        begun = "A6B7C8D9*a2b3c4d5:A6*a2"
        writing = page.locator(".writing .steps", has_text=begun)
        lost = page.locator(".error", has_text=CONNECTION_LOST)
        ask(page, "9876*5432")
        writing.wait_for()
        kept = json.loads(page.evaluate("localStorage['anexa.conversation']"))
        assert kept[-1]["error"] == CONNECTION_LOST, "the answer counts as incomplete until its end"
        page.reload()
        lost.wait_for()
        wait_until(lambda: server.num_finished("abort") == 1)
        page.get_by_role("button", name="Regenerate").click()
        writing.wait_for()
        server.process.kill()
        lost.wait_for()
        assert page.locator(".steps").inner_text().startswith(begun)
        assert page.locator(".writing, .verdict").count() == 0
        page.get_by_role("button", name="Regenerate").click()
        page.locator(".error", has_text="The server does not answer. Is it running?").wait_for()


def test_stream_without_done_event_is_incomplete(page: Any) -> None:
    event = json.dumps({"choices": [{"delta": {"content": "29"}, "finish_reason": None}]})
    body = f"data: {event}\n\ndata: {event[:9]}"
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(body=body, content_type="text/event-stream"),
    )
    ask(page, "347*86")
    page.locator(".error", has_text=CONNECTION_LOST).wait_for()
    assert page.locator(".assistant .content").inner_text() == "29"
