"""The loss curve as a scrubber, and the view Time, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anexa.training import build_trainer
from tests.explore.explorer import Explorer, exploring
from tests.server.browser import opened, wait_until
from tests.training.runs import finish, settings, write_names

pytestmark = pytest.mark.slow

LAST = 300  # steps of the run
SLOW = 16  # steps of the run of the scalar engine


def go(page: Any, address: str) -> None:
    """Show a view, and wait until it is there."""
    page.evaluate("address => { location.hash = address; }", address)
    view = re.match(r"#/(\w+)", address)
    assert view
    page.locator(f"#view > .view[data-view={view[1]}]").wait_for()


def slider(page: Any) -> Any:
    return page.get_by_role("slider", name="Training step")


def step_of(page: Any) -> str | None:
    match = re.search(r"[?&]step=(\d+)", page.evaluate("location.hash"))
    return match and match[1]


def wait_for_step(page: Any, step: int) -> None:
    wait_until(page, f"/[?&]step={step}(&|$)/.test(location.hash)")


def test_slider_is_under_every_view_and_moves_by_keys(explore_page: Any) -> None:
    slider(explore_page).focus()
    for key, step in (
        ("Home", 0),
        ("ArrowRight", 1),
        ("PageUp", 51),
        ("ArrowLeft", 50),
        ("PageDown", 0),
        ("End", LAST),
    ):
        explore_page.keyboard.press(key)
        wait_for_step(explore_page, step)
        assert slider(explore_page).get_attribute("aria-valuenow") == str(step)
        assert explore_page.evaluate("document.activeElement.getAttribute('role')") == "slider"


def test_dragging_shows_each_step_and_leaves_one_entry_in_the_history(
    explore_page: Any, explorer: Explorer
) -> None:
    go(explore_page, "#/time?text=emma&step=10")
    before = explore_page.evaluate("history.length")
    box = explore_page.locator("#time .plot").bounding_box()
    middle = box["y"] + box["height"] / 2
    explore_page.mouse.move(box["x"] + 5, middle)
    explore_page.mouse.down()
    for part in (0.2, 0.4, 0.5):
        explore_page.mouse.move(box["x"] + part * box["width"], middle)
        wait_for_step(explore_page, round(part * LAST))
    explore_page.mouse.up()
    wait_for_step(explore_page, LAST // 2)
    assert explore_page.evaluate("history.length") == before + 1
    record = explorer.get("steps")["records"][LAST // 2 - 1]
    explore_page.locator("#time .facts code", has_text=record["weights_hash"]).wait_for()
    explore_page.go_back()
    wait_for_step(explore_page, 10)


def test_model_in_the_folder_is_one_button_away(explore_page: Any) -> None:
    go(explore_page, "#/map?batch=1&step=7")
    explore_page.locator("#time").get_by_text("The model in the folder", exact=True).click()
    wait_until(explore_page, "!/step=|batch=/.test(location.hash)")
    assert explore_page.locator("#status").inner_text() == ""


def test_numbers_of_a_step_are_those_of_its_record(explore_page: Any, explorer: Explorer) -> None:
    record = explorer.get("steps")["records"][41]
    [document, *_] = explorer.get("documents", step=42)["documents"]
    go(explore_page, "#/time?text=emma&step=42")
    shown = explore_page.locator("#view .facts-list").inner_text().replace("−", "-").splitlines()
    for key in ("loss", "learning_rate", "gradient_norm"):
        assert any(line == str(record[key]) or _number(line) == record[key] for line in shown), key
    assert record["weights_hash"] in shown
    assert explore_page.get_by_role("link", name=document, exact=True).count()
    explore_page.get_by_text("See its documents and gradients").click()
    wait_for_step(explore_page, 41)
    assert "batch=1" in explore_page.evaluate("location.hash")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def test_texts_of_a_step_are_those_that_the_model_writes(
    explore_page: Any, explorer: Explorer
) -> None:
    expected = explorer.job("write", step=200, count=6)["before"]
    go(explore_page, "#/time?text=emma&step=200")
    explore_page.locator(".written").wait_for()
    assert explore_page.locator(".written li").all_inner_texts() == expected


def test_life_of_a_weight(explore_page: Any, explorer: Explorer) -> None:
    body = {"tensor": "wte.weight", "index": [3, 4], "first": 0, "last": LAST}
    point = explorer.job("life", **body)["points"][120]
    go(explore_page, "#/time?text=emma&step=120&tensor=wte.weight&index=3,4")
    explore_page.get_by_text("Follow it from step 0").click()
    explore_page.locator(".life .facts-list").wait_for(timeout=60_000)
    shown = explore_page.locator(".life dd").all_inner_texts()
    expected = [point[key] for key in ("value", "gradient", "m", "v")]
    assert [float(text.replace("−", "-")) for text in shown] == expected
    explore_page.locator(".life summary").first.click()
    table = explore_page.locator(".life tbody").first
    table.wait_for()  # it is made in an event that comes after the click
    rows = table.locator("tr").all_inner_texts()
    assert len(rows) == LAST + 1


def test_number_leads_to_its_life_and_back(explore_page: Any) -> None:
    go(explore_page, "#/number?text=emma&tensor=wte.weight&index=3,4")
    explore_page.get_by_role("link", name="its life over all steps").click()
    explore_page.locator("#view .life").wait_for()
    explore_page.locator("#view > [data-view=time]").wait_for()
    explore_page.keyboard.press("Backspace")
    explore_page.locator("#view > [data-view=number]").wait_for()


def test_loss_of_the_text_over_the_steps(explore_page: Any) -> None:
    go(explore_page, "#/time?text=emma&step=120")
    explore_page.get_by_role("button", name="Follow the loss of “emma”").click()
    explore_page.locator(".own-text .chart path.line").wait_for(timeout=60_000)


def test_folder_without_steps_says_why(explore_page: Any, explorer: Explorer) -> None:
    reason = explorer.get("folders")["folders"][1]["no_steps_reason"]
    go(explore_page, "#/map?folder=1")
    explore_page.locator("#time", has_text=reason).wait_for()


def test_steps_that_come_late_are_not_shown_for_another_folder(
    explore_page: Any, explorer: Explorer
) -> None:
    reason = explorer.get("folders")["folders"][1]["no_steps_reason"]
    slider(explore_page).wait_for()  # else its own request could be among the held ones
    held: list[Any] = []
    explore_page.route("**/api/steps?*", lambda route: held.append(route))
    with explore_page.expect_request("**/api/steps?*"):
        explore_page.reload()
    explore_page.locator("#view > .view").wait_for()
    go(explore_page, "#/map?folder=1")
    explore_page.locator("#time", has_text=reason).wait_for()
    with explore_page.expect_request_finished(lambda request: "/api/steps?" in request.url):
        held[0].continue_()
    explore_page.evaluate("fetch('/').then((response) => response.text())")  # comes later still
    assert explore_page.locator("#time").inner_text() == reason
    go(explore_page, "#/map?folder=0")
    slider(explore_page).wait_for()
    assert len(held) == 1  # the steps that came late are kept


@pytest.fixture
def slow_explorer(tmp_path: Path) -> Iterator[Explorer]:
    """A run of the scalar engine, whose steps take longer to repeat than a request waits."""
    config = settings(write_names(tmp_path), engine="scalar", steps=SLOW)
    run = finish(build_trainer(config, tmp_path / "slow"))
    with exploring(run.folder, cwd=tmp_path) as running:
        yield running


def require_replay(page: Any) -> None:
    """Let the last step need a replay, however fast the machine is."""
    last = re.compile(rf"/api/(?!steps).*step={SLOW}(&|$)")
    needed = {"error": {"message": "the step has to be repeated first", "code": "replay"}}
    page.route(last, lambda route: route.fulfill(status=409, json=needed))


def hold_replay(page: Any) -> None:
    """Let the last step need a replay that stays at half."""
    require_replay(page)
    page.evaluate(
        """() => {
          const { fetch } = window;
          const line = new TextEncoder().encode('{"progress": 0.5}\\n');
          const start = (stream) => stream.enqueue(line);
          window.fetch = (where, options) => where === "/api/replay"
            ? Promise.resolve(new Response(new ReadableStream({ start })))
            : fetch(where, options);
        }"""
    )


def test_repeating_steps_can_be_canceled(browser: Any, slow_explorer: Explorer) -> None:
    with opened(browser, slow_explorer.start) as page:
        go(page, "#/map?text=emma&step=0")
        hold_replay(page)
        page.evaluate("step => { location.hash = `#/map?text=emma&step=${step}`; }", SLOW)
        page.locator("#status", has_text="Repeating steps").wait_for(timeout=60_000)
        page.get_by_role("button", name="Cancel").click()
        page.locator("#status", has_text="Canceled: choose another step").wait_for()
        assert not page.get_by_role("button", name="Cancel").is_visible()
        assert page.locator("#view").inner_html() == ""
        assert page.evaluate("document.activeElement.id") == "view"
        go(page, "#/map?text=emma&step=0")
        assert page.locator("#status").inner_text() == ""


def test_steps_that_cannot_be_repeated_are_said(browser: Any, slow_explorer: Explorer) -> None:
    with opened(browser, slow_explorer.start) as page:
        go(page, "#/map?text=emma&step=0")
        answer = '{"progress": 0.5}\n{"error": "step 9 has other weights"}\n'
        page.route("**/api/replay", lambda route: route.fulfill(body=answer))
        require_replay(page)
        address = f"#/compare?text=emma&versus_folder=0&versus_step={SLOW}"
        page.evaluate("address => { location.hash = address; }", address)
        page.locator("#view .error", has_text="step 9 has other weights").wait_for()
        assert page.locator("#status").inner_text() == ""
        assert not page.get_by_role("button", name="Cancel").is_visible()


def test_narrow_screen(explore_page: Any) -> None:
    explore_page.set_viewport_size({"width": 360, "height": 700})
    go(explore_page, "#/time?text=emma&step=42")
    assert explore_page.evaluate("document.documentElement.scrollWidth") <= 360
