"""Switches, the parts of a thought, and comparisons on the glass box's page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from anexa.engines import open_engine
from anexa.explore.scene import text_batch
from anexa.explore.switches import apply_edits, parse_edit
from anexa.model.loading import load_model
from tests.explore.explorer import Explorer
from tests.explore.test_page import go, number

pytestmark = pytest.mark.slow


def losses(page: Any) -> dict[str, float]:
    """The losses that the page shows side by side, by their names."""
    names = page.locator(".losses dt").all_inner_texts()
    return dict(zip(names, map(number, page.locator(".losses dd").all_inner_texts())))


def engine_loss(folder: Path, text: str, *edits: str) -> float:
    """The loss of a text with switches, computed by the engine."""
    model = load_model(folder)
    weights = apply_edits(model.config, model.weights, map(parse_edit, edits))
    engine = open_engine("numpy", model.config, weights)
    return engine.loss(text_batch(model.tokenizer, text, model.config.block_size))


def test_a_head_that_is_off_is_one_with_zeroed_weights(
    explore_page: Any, names_model: Path
) -> None:
    page = explore_page
    go(page, "#/switches?text=anna")
    page.get_by_role("button", name="turn off head 2 of layer 0").click()
    page.locator(".losses").wait_for()
    before, after = engine_loss(names_model, "anna"), engine_loss(names_model, "anna", "head:0.2")
    shown = losses(page)
    assert shown["Loss before"] == pytest.approx(before, abs=1e-5)  # the engine: float32
    assert shown["Loss after"] == pytest.approx(after, abs=1e-5)
    assert shown["Change"] == shown["Loss after"] - shown["Loss before"] != 0
    # The number itself, with the switch, is the same one.
    page.locator("[data-focus='loss after']").press("Enter")
    page.locator("[data-view=number]").wait_for()
    assert number(page.locator(".number-value output").inner_text()) == shown["Loss after"]
    page.go_back()
    page.locator("[data-view=switches]").wait_for()
    # Taken back, it is as before.
    page.get_by_role("button", name="turn off head 2 of layer 0").press("Enter")
    page.get_by_text("No switch is set").wait_for()
    assert number(page.locator("[data-focus='loss before']").inner_text()) == shown["Loss before"]


def test_the_losses_of_tokens_and_the_writing_differ(explore_page: Any) -> None:
    page = explore_page
    go(page, "#/switches?text=anna&edit=head:0.0&edit=head:0.1&edit=head:0.2&edit=head:0.3")
    rows = page.locator(".readings tbody tr")
    cells = [rows.nth(i).locator("td").all_inner_texts() for i in range(rows.count())]
    assert len(cells) == 5  # a, n, n, a and the end
    for before, after, change, *_ in cells:
        assert number(change) == pytest.approx(number(after) - number(before), abs=2e-3)
    page.get_by_role("button", name="Write five texts").click()
    page.get_by_text("the same random numbers").wait_for()
    texts = page.locator(".sides ol")
    assert [texts.nth(i).locator("li").count() for i in range(2)] == [5, 5]
    assert texts.nth(0).inner_text() != texts.nth(1).inner_text()


def test_one_number_is_set(explore_page: Any, names_model: Path) -> None:
    page = explore_page
    go(page, "#/number?text=anna&tensor=wte.weight&index=0,3")
    page.get_by_role("link", name="Set it to another number").click()
    page.get_by_text("Without switches it is").wait_for()
    page.get_by_label("number").fill("2.5")
    page.get_by_role("button", name="Set", exact=True).click()
    page.locator(".losses").wait_for()
    wanted = engine_loss(names_model, "anna", "set:wte.weight[0,3]=2.5")
    assert losses(page)["Loss after"] == pytest.approx(wanted, abs=1e-5)
    page.get_by_label("number").fill("2.25")  # it replaces the first
    page.get_by_role("button", name="Set", exact=True).click()
    page.get_by_role("button", name="take back set:wte.weight[0,3]=2.25").wait_for()
    assert page.locator("#edits button").count() == 1
    page.get_by_role("button", name="Take all back").click()
    page.get_by_text("No switch is set").wait_for()


def test_a_switch_that_the_model_lacks_is_refused_in_a_sentence(explore_page: Any) -> None:
    page = explore_page
    go(page, "#/switches?folder=1&chat=1%2B2")
    form = page.locator("fieldset", has_text="Turn off the embedding of a position")
    form.get_by_role("button").click()
    page.get_by_role("alert").filter(has_text="has no table of positions").wait_for()
    form = page.locator("fieldset", has_text="Turn off a neuron")
    form.get_by_label("neuron").fill("5000")
    form.get_by_role("button").click()
    page.get_by_role("alert").filter(has_text="has the neurons 0 to 343").wait_for()
    assert not re.search("edit=", page.url)


def test_switches_fit_into_a_phone(explore_page: Any) -> None:
    explore_page.set_viewport_size({"width": 360, "height": 740})
    go(explore_page, "#/switches?text=anna&edit=head:0.1")
    assert explore_page.evaluate("document.documentElement.scrollWidth") == 360


def test_parts_of_a_thought_by_keyboard(explore_page: Any) -> None:
    page = explore_page
    go(page, "#/thought?folder=1&chat=58%2B67")
    page.locator(".thought-lines").wait_for(timeout=60_000)
    assert page.locator(".verdict dd").all_inner_texts()[:2] == ["125 ✓", "125"]
    parts = page.locator(".line-part")
    assert page.locator(".line-part[aria-pressed=true]").count() == 1
    parts.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.focus") == "part 2"
    text = parts.nth(2).locator(".token").evaluate_all("all => all.map(one => one.firstChild.data)")
    assert "".join(text) == page.locator(".part-details h3.equation").inner_text()
    assert page.locator("#live").inner_text().startswith(f"fact {''.join(text)}, true")
    page.locator(".part-details", has_text="digit + digit + carry = carry and digit").wait_for()
    # The second fact takes the carry of the first: the same letter stands at both.
    carry = page.locator(".sources li", has_text="carry")
    letter = carry.locator(".letter").inner_text()
    marked = page.locator(".token.origin", has=page.locator("sup", has_text=letter))
    assert parts.nth(1).locator(".token.origin").count() == 1
    assert marked.count() == 1
    masses = [number(one) for one in page.locator(".mass").all_text_contents()]
    assert masses == sorted(masses, reverse=True)
    # Enter leads down to the details, a link sets the switch, and the way back takes it away.
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('.part-details') !== null")
    page.locator(".head-bars a", has_text="turn off").first.press("Enter")
    page.locator("#edits button").wait_for()
    page.locator(".thought-lines").wait_for(timeout=60_000)
    assert "part=2" in page.url
    page.go_back()
    page.locator("#edits button").wait_for(state="detached")
    page.locator(".thought-lines").wait_for(timeout=60_000)
    page.keyboard.press("Backspace")
    page.locator("[data-view=map]").wait_for()


def test_two_steps_are_compared(explore_page: Any, explorer: Explorer) -> None:
    page = explore_page
    go(page, "#/compare?text=anna")
    page.get_by_text("Choose what to compare with").wait_for()
    page.get_by_label("after step").fill("100")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator(".differences").wait_for()
    shown = losses(page)
    assert shown["Loss here"] == explorer.get("text", text="anna")["loss"]
    assert shown["Loss there"] == explorer.get("text", text="anna", step=100)["loss"]
    sides = page.locator(".here-there").inner_text()
    assert re.fullmatch(r"Here: .+, the model in the folder\. There: .+, step 100\.", sides)
    names = page.locator(".differences tbody th a")
    fonts = names.evaluate_all("all => all.map(one => getComputedStyle(one).fontFamily)")
    assert len(set(fonts)) == 1
    found = explorer.get("differences", text="anna", versus_step=100)["tensors"]
    assert page.locator(".differences tbody th").all_inner_texts() == [one["name"] for one in found]
    link = page.locator(".differences a[data-focus^=largest]").first
    link.press("Enter")
    page.locator("[data-view=number]").wait_for()
    assert number(page.locator(".number-value output").inner_text()) == found[0]["largest"]
    page.go_back()
    page.get_by_role("link", name="Map of the differences").click()
    page.get_by_role("link", name="Differences", exact=True).and_(
        page.locator("[aria-current]")
    ).wait_for()


def test_models_that_share_nothing_are_compared_in_sentences(explore_page: Any) -> None:
    page = explore_page
    go(page, "#/compare?text=anna&versus_folder=1&versus_step=-1")
    page.get_by_text("The vocabularies differ").wait_for()
    page.get_by_text("The architectures differ (microgpt here and llama there)").wait_for()
    assert page.locator(".obstacle").count() > 10
    go(page, "#/compare?folder=1&chat=1%2B2&versus_folder=0&versus_step=-1")
    page.get_by_role("alert").filter(has_text="chat template").wait_for()


def test_training_goes_on_with_a_head_off(explore_page: Any, explorer: Explorer) -> None:
    page = explore_page
    go(page, "#/switches?text=anna&edit=head:0.1")
    page.get_by_label("from step").fill("290")
    page.get_by_label("from step").press("Tab")
    page.get_by_role("button", name="Train again with the switches").click()
    page.locator(".retraining dd").nth(2).wait_for(timeout=60_000)
    found = explorer.job("edited", text="anna", edit=["head:0.1"], first=290, last=300)
    wanted = [found["losses"][-1], found["other"][-1], found["difference"]]
    shown = [number(one) for one in page.locator(".retraining dd").all_inner_texts()]
    assert shown == wanted
    assert wanted[2] != 0
