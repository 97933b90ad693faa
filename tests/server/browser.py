"""The web page in a real browser: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; skips the test if it is not installed."""
    path = shutil.which("chromium")
    if not path:
        assert not os.environ.get("CI"), "the page is tried in Chromium: install it"
        pytest.skip("there is no chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Open the page in a new profile, and check that it logs no errors to the console."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    messages: list[str] = []
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(address)
    yield page
    context.close()
    # Browsers log failed requests themselves.
    errors = [one for one in messages if not one.startswith("Failed to load resource")]
    assert not errors, errors


def ask(page: Any, text: str) -> None:
    """Type a message and send it."""
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def answered(page: Any, count: int = 1) -> None:
    """Wait until `count` answers have been checked."""
    page.locator(".verdict").nth(count - 1).wait_for(timeout=60_000)


def wait_until(page: Any, condition: str) -> None:
    """Wait until a JavaScript expression is true.

    Playwright evaluates a bare expression anew in every frame, and after the first one the page's
    Content Security Policy forbids it. A function is evaluated once, and called in every frame.
    """
    page.wait_for_function(f"() => {condition}")


def picture(page: Any, name: str) -> None:
    """Take a picture of the page for the docs, if ANEXA_PICTURES is a folder for them."""
    if folder := os.environ.get("ANEXA_PICTURES"):
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder) / f"{name}.png")
