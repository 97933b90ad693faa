"""The page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips where there is none."""
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
    """The page as somebody sees it who opens it for the first time; it complains of nothing."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(address)
    yield page
    context.close()
    # Of a request that was refused the browser itself takes note.
    assert [one for one in complaints if not one.startswith("Failed to load resource")] == []


def ask(page: Any, text: str) -> None:
    """Write a message, and send it."""
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def answered(page: Any, count: int = 1) -> None:
    """Wait until so many answers have been judged."""
    page.locator(".verdict").nth(count - 1).wait_for(timeout=60_000)
