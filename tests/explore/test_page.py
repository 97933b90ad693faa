"""The glass box in a real browser: the frame, the map, a tensor, and a saved file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anexa.engines import open_engine
from anexa.model.loading import load_model
from tests.explore.explorer import Explorer
from tests.server.browser import opened, sync_api

pytestmark = pytest.mark.slow

LOGITS = "#/tensor?text=anna&tensor=logits"
# Views, with the name of the button that starts what they compute only when they are asked.
SAVED = {
    "#/map?text=anna": "",
    LOGITS: "",
    "#/number?text=anna&tensor=logits&index=0,1,2": "",
    "#/text?text=anna": "",
    "#/time?text=anna&step=40": "",
    "#/time?text=anna&step=40&tensor=wte.weight&index=1,2": "Follow it from step 0",
    "#/switches?text=anna&edit=head:0.1": "Write five texts before and after",
    "#/teachers?text=anna": "Follow the loss",
    "#/compare?text=anna&versus_folder=0&versus_step=40": "",
    "#/thought?folder=1&chat=12%2B34": "",
}


def go(page: Any, address: str) -> None:
    """Go to an address of the page, and wait until its view is shown."""
    page.evaluate("address => { location.hash = address }", address)
    view = re.match(r"#/(\w+)", address)
    assert view
    page.locator(f"#view > [data-view={view[1]}]").wait_for()
    page.wait_for_load_state("networkidle")


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace("−", "-"))


def table(page: Any) -> Any:
    """The numbers of the table on the page."""
    rows = page.locator("table tbody tr")
    return np.array(
        [
            [number(cell) for cell in rows.nth(i).locator("td").all_inner_texts()]
            for i in range(rows.count())
        ]
    )


def test_table_shows_the_numbers_of_the_engine(explore_page: Any, names_model: Path) -> None:
    go(explore_page, LOGITS)
    explore_page.get_by_role("button", name="As a table").click()
    explore_page.locator("table").wait_for()
    model = load_model(names_model)
    engine = open_engine("numpy", model.config, model.weights)
    wanted = np.array(engine.logits(model.tokenizer.encode_prompt("anna")))
    assert np.abs(table(explore_page) - wanted).max() < 1e-5  # the engine computes in float32


def test_keyboard_leads_from_the_map_to_a_number_and_back(explore_page: Any) -> None:
    explore_page.locator("a[data-focus='tensor logits']").focus()
    explore_page.keyboard.press("Enter")
    explore_page.locator("[data-view=tensor]").wait_for()
    explore_page.locator(".grid-view").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        explore_page.keyboard.press(key)
    explore_page.locator(".grid-status", has_text="vocabulary 2").wait_for()
    explore_page.keyboard.press("g")
    explore_page.locator(".grid-status", has_text=re.compile("gradient .*, value")).wait_for()
    assert "dz[t, v]" in explore_page.locator(".title .equation").inner_text()
    explore_page.keyboard.press("Enter")
    explore_page.locator("[data-view=number]").wait_for()
    assert "index=0%2C1%2C2" in explore_page.url
    explore_page.keyboard.press("Backspace")
    explore_page.locator("[data-view=tensor]").wait_for()
    explore_page.locator(".grid-view").focus()
    explore_page.keyboard.press("Backspace")
    explore_page.locator("[data-view=map]").wait_for()


def test_address_is_the_view(browser: Any, explorer: Explorer, explore_page: Any) -> None:
    go(explore_page, "#/tensor?text=nina&step=200&tensor=lm_head.weight&quantity=m")
    text = explore_page.locator("#view").inner_text()
    address = explore_page.url.partition("#")[2]
    with opened(browser, explorer.start) as other:
        other.locator("#view > .view").wait_for()
        go(other, f"#{address}")
        sync_api.expect(other.locator("#view")).to_have_text(text, use_inner_text=True)


def test_unknown_character_is_one_sentence(explore_page: Any) -> None:
    explore_page.locator("#text").fill("anné")
    explore_page.keyboard.press("Enter")
    explore_page.locator("#status", has_text="é").wait_for()


def test_address_opens_in_a_new_tab(explore_page: Any) -> None:
    other = explore_page.context.new_page()
    other.goto(explore_page.url)
    other.locator("[data-view=map]").wait_for()
    other.close()


def test_page_without_the_token_says_what_to_do(browser: Any, explorer: Explorer) -> None:
    with opened(browser, explorer.address) as page:
        page.locator("#status.error", has_text="Open the address that the terminal").wait_for()


@pytest.mark.parametrize("address", [*SAVED, "#/train"])
def test_view_fits_into_a_phone(explore_page: Any, address: str) -> None:
    explore_page.set_viewport_size({"width": 360, "height": 640})
    go(explore_page, address)
    if label := SAVED.get(address):
        explore_page.get_by_role("button", name=label).click()
    explore_page.locator("#view progress").wait_for(state="detached", timeout=60_000)
    width = explore_page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    assert explore_page.locator("#text").bounding_box()["width"] > 200


@pytest.mark.parametrize("address", SAVED)
def test_saved_file_shows_the_same_without_a_network(
    browser: Any, explore_page: Any, tmp_path: Path, address: str
) -> None:
    go(explore_page, address)
    if SAVED[address]:
        explore_page.get_by_role("button", name=SAVED[address]).click()
    explore_page.locator("#view progress").wait_for(state="detached", timeout=60_000)
    explore_page.wait_for_load_state("networkidle")
    check_saved_file(browser, explore_page, tmp_path / "saved.html")


def check_saved_file(browser: Any, explore_page: Any, path: Path) -> None:
    """Save the view, and check that the file shows the same text without a network."""
    with explore_page.expect_download() as download:
        explore_page.get_by_role("button", name="Save this view").click()
    download.value.save_as(path)
    assert path.stat().st_size <= 5_000_000
    context = browser.new_context(viewport={"width": 900, "height": 700}, offline=True)
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.locator("#view > .view").wait_for()
    text = explore_page.locator("#view").inner_text()
    sync_api.expect(page.locator("#view")).to_have_text(text, use_inner_text=True)
    assert page.locator("#status").inner_text() == ""
    assert not page.get_by_role("button", name="Save this view").is_visible()
    assert all(url.startswith(("file:", "data:")) for url in requests)
    context.close()


def test_a_file_can_be_saved_after_many_views(
    browser: Any, explore_page: Any, tmp_path: Path
) -> None:
    go(explore_page, "#/switches?text=anna&edit=head:0.1")
    explore_page.get_by_role("button", name="Write five texts before and after").click()
    explore_page.locator("#view progress").wait_for(state="detached", timeout=60_000)
    for length in range(2, 7):  # a megabyte of pictures each
        go(explore_page, f"#/map?folder=1&text={'1' * length}")
    go(explore_page, "#/switches?text=anna&edit=head:0.1")
    check_saved_file(browser, explore_page, tmp_path / "saved.html")


def test_a_view_that_is_too_large_for_a_file_is_refused(explore_page: Any) -> None:
    go(explore_page, "#/text?text=anna")
    explore_page.route(
        "**/explore/tasks.js", lambda route: route.fulfill(body=f"// {'é' * 900_000}")
    )
    explore_page.get_by_role("button", name="Save this view").click()  # é takes six bytes there
    explore_page.locator("#status", has_text="more numbers than a file of 5 MB").wait_for(
        timeout=60_000
    )


def test_nothing_is_requested_from_elsewhere(browser: Any, explorer: Explorer) -> None:
    context = browser.new_context()
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(explorer.start)
    page.locator("#view > .view").wait_for()
    for view in ("text", "time", "switches", "teachers", "compare"):
        go(page, f"#/{view}?text=anna")
    page.wait_for_load_state("networkidle")
    assert requests
    assert all(url.startswith((explorer.address, "data:")) for url in requests)
    context.close()


def test_a_slow_view_says_that_it_is_computed(explore_page: Any) -> None:
    held: list[Any] = []
    explore_page.route("**/api/text?*", lambda route: held.append(route))
    explore_page.get_by_role("link", name="Text", exact=True).click()
    explore_page.locator("#status", has_text="Computing…").wait_for()
    assert "error" not in (explore_page.locator("#status").get_attribute("class") or "")
    held.pop().continue_()
    explore_page.locator("[data-view=text]").wait_for()
    assert explore_page.locator("#status").inner_text() == ""
