"""The views Teachers and Train in Chromium."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.explore.test_page_time import LAST, go

if TYPE_CHECKING:
    from tests.explore.explorer import Explorer

pytestmark = pytest.mark.slow

TIMEOUT = 60_000  # milliseconds; a computation of the page may take long


def numbers(page: Any, selector: str) -> list[float]:
    """The numbers of a list of facts."""
    return [float(t.replace("−", "-")) for t in page.locator(selector).all_inner_texts()]


def show_teachers(page: Any, text: str) -> None:
    go(page, f"#/teachers?text={text}")
    page.get_by_role("button", name="Follow the loss").click()
    page.locator(".ledger").first.wait_for(timeout=TIMEOUT)


def test_five_names_that_taught_anna_most(explore_page: Any, explorer: Explorer) -> None:
    found = explorer.job("teachers", text="anna")
    show_teachers(explore_page, "anna")
    last, first, difference, total = numbers(explore_page, ".sum dd")
    assert (last, first) == (found["losses"][-1], found["loss"])
    assert difference == total == found["total"] == last - first
    table = explore_page.get_by_role("table", name="Documents that taught it most")
    rows = table.locator("tbody tr:visible")
    assert rows.count() == 5
    shown = [rows.nth(i).locator("td").all_inner_texts() for i in range(5)]
    for cells, teacher in zip(shown, found["teachers"]):
        assert cells[1] == teacher["document"]
        assert float(cells[3].replace("−", "-")) == teacher["change"]


def test_training_without_a_step_is_one_button_away(explore_page: Any, explorer: Explorer) -> None:
    show_teachers(explore_page, "anna")
    button = explore_page.get_by_role("link", name=re.compile(r"train again without step \d+"))
    name = button.first.get_attribute("aria-label")
    step = int(name.rpartition(" ")[2])
    button.first.focus()
    explore_page.keyboard.press("Enter")
    explore_page.locator(".without dd").first.wait_for(timeout=TIMEOUT)
    found = explorer.job("without", text="anna", skipped=step, last=LAST)
    wanted = [found["losses"][-1], found["other"][-1], found["difference"]]
    assert numbers(explore_page, ".without dd") == wanted
    assert f"skipped={step}" in explore_page.evaluate("location.hash")


def test_text_that_cannot_be_read_ends_in_a_sentence(explore_page: Any) -> None:
    go(explore_page, "#/teachers?text=%C2%B6%C2%B6")
    explore_page.get_by_role("button", name="Follow the loss").click()
    explore_page.locator(".panel .error", has_text="¶").wait_for()


def test_folder_without_steps_has_no_teachers(explore_page: Any, explorer: Explorer) -> None:
    go(explore_page, "#/teachers?folder=1")
    reason = explorer.get("folders")["folders"][1]["no_steps_reason"]
    assert reason in explore_page.locator("#view").inner_text()


def test_teachers_on_a_narrow_screen(explore_page: Any) -> None:
    explore_page.set_viewport_size({"width": 360, "height": 700})
    show_teachers(explore_page, "anna")
    assert explore_page.evaluate("document.documentElement.scrollWidth") <= 360


def test_model_is_trained_before_the_eyes_and_opened(explore_page: Any, explorer: Explorer) -> None:
    before = len(explorer.get("folders")["folders"])
    go(explore_page, "#/train?text=anna")
    assert explorer.get("trial")["command"] in explore_page.locator("#view").inner_text()
    explore_page.get_by_role("button", name="Start training").click()
    explore_page.locator(".written li").first.wait_for(timeout=TIMEOUT)
    assert explore_page.locator(".chart path.points").count() > 0
    explore_page.locator("#view > [data-view=time]").wait_for(timeout=TIMEOUT)
    assert f"folder={before}" in explore_page.evaluate("location.hash")
    assert explore_page.locator("#folder").input_value() == str(before)


def test_training_can_be_canceled_and_started_again(explore_page: Any, explorer: Explorer) -> None:
    before = len(explorer.get("folders")["folders"])
    go(explore_page, "#/train?text=anna")
    explore_page.get_by_role("button", name="Start training").click()
    explore_page.get_by_role("button", name="Cancel").click()
    explore_page.get_by_role("button", name="Start training").click()
    explore_page.locator(".written li").first.wait_for(timeout=TIMEOUT)
    explore_page.get_by_role("button", name="Cancel").click()
    explore_page.get_by_text("Canceled after step").wait_for()
    assert len(explorer.get("folders")["folders"]) == before
