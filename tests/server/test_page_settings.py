"""The web page: settings, several models, and API keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.browser import answered, ask, opened, wait_until
from tests.server.process import ServerProcess, serving

pytestmark = pytest.mark.slow

KEY = "a long and secret key"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, parrot: Path, names_model: Path) -> Iterator[Any]:
    """A server of two models: `parrot`, a chat model, and `model`, which only continues texts."""
    with serving(parrot, names_model, cwd=tmp_path_factory.mktemp("two")) as running:
        yield running


def placeholders(page: Any) -> dict[str, str]:
    """Placeholders of the number fields, by label."""
    shown: dict[str, str] = page.evaluate(
        """() => Object.fromEntries(
            [...document.querySelectorAll("#settings input[type=number]")].map((one) =>
                [one.labels[0].textContent.trim(), one.placeholder]))"""
    )
    return shown


def test_settings_are_sent_and_saved(page: Any) -> None:
    asked: list[dict[str, Any]] = []
    page.on(
        "request",
        lambda r: asked.append(r.post_data_json) if r.url.endswith("/completions") else None,
    )
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").get_attribute("placeholder") == "0"
    page.get_by_label("Temperature").fill("0.55")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Max tokens").fill("9")
    page.get_by_label("Repetition penalty").fill("1.3")
    page.get_by_label("Presence penalty").fill("-0.5")
    page.get_by_label("Think first").uncheck()
    ask(page, "12+30")
    page.locator(".assistant .tools").wait_for()
    assert asked[0]["temperature"] == 0.55
    assert (asked[0]["seed"], asked[0]["max_tokens"]) == (7, 9)
    assert asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert (asked[0]["repetition_penalty"], asked[0]["presence_penalty"]) == (1.3, -0.5)
    assert "top_k" not in asked[0]
    assert "min_p" not in asked[0]
    assert page.locator(".thought").count() == 0
    page.reload()
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").input_value() == "0.55"
    assert not page.get_by_label("Think first").is_checked()
    page.get_by_role("button", name="Reset to defaults").click()
    assert page.get_by_label("Temperature").input_value() == ""
    assert page.get_by_label("Think first").is_checked()
    page.get_by_label("Max tokens").fill("4")
    ask(page, "12+30")
    page.locator(
        ".error", has_text="The thought was cut off at the maximum number of tokens."
    ).wait_for()


@pytest.mark.parametrize(
    ("field", "written", "sentence"),
    [
        ("Temperature", "2.5", "Temperature must be a number from 0 to 2;"),
        ("Temperature", "-1", "Temperature must be a number from 0 to 2;"),
        ("Temperature", "1e", "Temperature must be a number from 0 to 2;"),
        ("Top-p", "-1", "Top-p must be a number from 0 to 1;"),
        ("Repetition penalty", "0", "Repetition penalty must be a number from 0.01 to 100;"),
        ("Frequency penalty", "3", "Frequency penalty must be a number from -2 to 2;"),
        ("Top-k", "1.5", "Top-k must be a whole number from 1 to 1,000,000,000;"),
        ("Seed", "-3", "Seed must be a whole number from 0 to 9,007,199,254,740,991;"),
        ("Max tokens", "2561", "Max tokens must be a whole number from 1 to 2,560;"),
        ("API key", "sésame", "API key must be printable ASCII characters, without a space at"),
    ],
)
def test_invalid_setting_is_reported_and_not_sent(
    page: Any, field: str, written: str, sentence: str
) -> None:
    page.get_by_role("button", name="Settings").click()
    box = page.get_by_label(field)
    box.focus()
    page.keyboard.type(written)
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page, "12+30")
    answered(page)
    message = page.get_by_role("alert").inner_text()
    assert message.startswith(sentence)
    assert message.endswith("; this value is not sent.")
    assert box.get_attribute("aria-invalid") == "true"
    assert page.locator("[aria-invalid=true]").count() == 1
    assert not {"temperature", "top_p", "top_k", "seed", "max_tokens"} & set(
        asked.value.post_data_json
    )
    assert "authorization" not in asked.value.headers
    box.fill("1" if field != "API key" else "")
    page.get_by_label("Your message").focus()
    assert page.get_by_role("alert").count() == 0
    assert page.locator("[aria-invalid=true]").count() == 0


def test_settings_and_conversation_with_two_models(browser: Any, two: ServerProcess) -> None:
    with opened(browser, two.address) as page:
        page.get_by_text("Ask something").wait_for()
        page.get_by_role("button", name="Settings").click()
        usual = {"Temperature": "0", "Top-p": "1", "Top-k": "all", "Min-p": "0"}
        usual |= {f"{kind} penalty": "0" for kind in ("Frequency", "Presence")}
        usual |= {"Repetition penalty": "1", "Seed": "random"}
        assert placeholders(page) == {**usual, "Max tokens": "160"}
        assert page.get_by_label("Think first").is_visible()
        ask(page, "hello")
        page.locator(".assistant .content", has_text="I work out sums.").wait_for()
        # The other one continues texts, which are no part of the conversation.
        page.get_by_label("Model").select_option("model")
        assert placeholders(page) == {**usual, "Temperature": "0.8", "Max tokens": "200"}
        assert not page.get_by_label("Think first").is_visible()
        page.get_by_label("Max tokens").fill("4096")
        page.get_by_label("Your text").fill("em")
        with page.expect_request("**/v1/completions") as asked:
            page.get_by_role("button", name="Continue").click()
        page.locator("#send:visible").wait_for()
        body = asked.value.post_data_json
        assert (body["model"], body["prompt"], body["max_tokens"]) == ("model", "em", 4096)
        assert page.locator(".turn:visible").count() == 0
        text = page.get_by_label("Your text").input_value()
        page.reload()
        page.get_by_label("Model").wait_for()
        assert page.get_by_label("Model").input_value() == "model"
        assert page.get_by_label("Your text").input_value() == text
        # What holds for one model may not for another, which is said where it would be hidden.
        page.get_by_label("Model").select_option("parrot")
        page.get_by_role("alert").filter(has_text="from 1 to 160;").wait_for()
        with page.expect_request("**/v1/chat/completions") as asked:
            ask(page, "again")
        page.locator(".assistant .content", has_text="hello again").wait_for()
        body = asked.value.post_data_json
        assert [one["content"] for one in body["messages"]] == [
            "hello",
            "I work out sums.",
            "again",
        ]
        assert "max_tokens" not in body
        page.get_by_label("Model").select_option("model")
        assert page.get_by_role("alert").count() == 0


def test_page_asks_for_api_key(browser: Any, tmp_path: Path) -> None:
    with (
        serving("--api-key", KEY, cwd=tmp_path) as server,
        opened(browser, server.address) as page,
    ):
        page.get_by_role("status").filter(has_text="This server needs an API key.").wait_for()
        field = page.get_by_label("API key")
        assert field.evaluate("one => one === document.activeElement")
        page.keyboard.type("a short one\n")
        page.get_by_role("status").filter(has_text="The server refused this API key.").wait_for()
        ask(page, "12+30")
        page.get_by_role("status").filter(has_text="The server refused this API key.").wait_for()
        assert page.locator(".turn").count() == 0
        assert page.get_by_label("Your message").input_value() == "12+30"
        field.fill(KEY)
        field.press("Enter")
        page.get_by_text("Ask for a calculation").wait_for()
        assert page.get_by_role("status").inner_text() == ""
        ask(page, "12+30")
        answered(page)
        # A key that is entered while the page still waits is tried next.
        held: list[Any] = []

        def hold_the_first(route: Any) -> None:
            if held:
                route.continue_()
            held.append(route)

        page.evaluate("localStorage['anexa.settings'] = '{}'")
        page.route("**/v1/models", hold_the_first)
        with page.expect_request("**/v1/models"):
            page.reload()
        page.get_by_role("button", name="Settings").click()
        field.fill(KEY)
        field.press("Enter")
        held[0].continue_()
        wait_until(page, "document.querySelector('#prompt').placeholder")
        assert len(held) == 2
        assert page.get_by_role("status").inner_text() == ""
        page.unroute("**/v1/models")
        page.reload()
        with page.expect_response("**/check"):
            page.get_by_role("button", name="Regenerate").click()
        page.locator(".verdict", has_text="true").wait_for()
        assert KEY not in page.content()
        page.goto(f"{server.address}/docs")
        page.get_by_role("heading", name="POST /v1/responses").wait_for()
        page.evaluate("localStorage.clear()")
        page.reload()
        page.get_by_text("Enter the API key in the settings at /.").wait_for()
