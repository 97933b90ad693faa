"""The views of one number and of the text, in Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.explore.test_page import go, number

if TYPE_CHECKING:
    from tests.explore.explorer import Explorer

pytestmark = pytest.mark.slow

LOGIT = {"text": "lena", "tensor": "logits", "index": "0,2,1"}
LOGIT_ADDRESS = "#/number?text=lena&tensor=logits&index=0%2C2%2C1"


def live(page: Any) -> str:
    text: str = page.locator("#live").inner_text()
    return text


def press(page: Any, key: str, view: str) -> None:
    """Press a key that leads to a view."""
    page.evaluate("document.querySelector('#view > .view').dataset.old = 1")
    page.keyboard.press(key)
    page.locator(f"#view > [data-view={view}]:not([data-old])").wait_for()


def test_digits_are_those_of_the_engine(explore_page: Any, explorer: Explorer) -> None:
    go(explore_page, LOGIT_ADDRESS)
    found = explorer.get("number", **LOGIT)
    assert number(explore_page.locator(".number-value output").inner_text()) == found["value"]
    assert number(explore_page.locator(".rebuilt output").inner_text()) == found["rebuilt"]
    amounts = explore_page.locator(".term .amount").evaluate_all("all => all.map(x => x.title)")
    assert list(map(number, amounts)) == [term["contribution"] for term in found["terms"]]
    digits = explore_page.locator(".term .digits").evaluate_all("all => all.map(x => x.title)")
    wanted = [x for term in found["terms"] for x in (term["value"], term["factor"])]
    assert list(map(number, digits)) == wanted
    widths = explore_page.locator(".term-fill").evaluate_all("all => all.map(x => x.style.width)")
    largest = abs(found["terms"][0]["contribution"])
    for width, term in zip(widths, found["terms"]):
        share = 50 * abs(term["contribution"]) / largest
        assert float(width.rstrip("%")) == pytest.approx(share, rel=1e-4)
    assert found["code"]["file"] in explore_page.locator("#view").inner_text()


def test_one_number_leads_to_another_by_keys_alone(explore_page: Any, explorer: Explorer) -> None:
    go(explore_page, LOGIT_ADDRESS)
    terms = explorer.get("number", **LOGIT)["terms"]
    for term in terms[:2]:
        explore_page.keyboard.press("ArrowDown")
        assert term["to"]["label"] in live(explore_page)
    explore_page.keyboard.press("ArrowRight")
    assert terms[1]["factor_to"]["label"] in live(explore_page)
    explore_page.keyboard.press("ArrowLeft")
    press(explore_page, "Enter", "number")
    shown = number(explore_page.locator(".number-value output").inner_text())
    assert shown == terms[1]["value"]
    assert terms[1]["to"]["tensor"] in explore_page.title()
    press(explore_page, "g", "number")
    assert "quantity=gradient" in explore_page.url
    assert "gradient" in live(explore_page)
    press(explore_page, "g", "number")
    assert "quantity" not in explore_page.url
    press(explore_page, "Backspace", "tensor")
    assert f"index={'%2C'.join(map(str, terms[1]['to']['index']))}" in explore_page.url


def test_a_weight_leads_back_through_its_steps(explore_page: Any, explorer: Explorer) -> None:
    asked = {"text": "lena", "tensor": "wte.weight", "index": "0,3"}
    go(explore_page, "#/number?text=lena&tensor=wte.weight&index=0%2C3&step=120")
    value = explore_page.locator(".number-value output")
    assert (
        number(value.get_attribute("title")) == explorer.get("number", step=120, **asked)["value"]
    )
    assert "learning rate" in explore_page.locator(".constants li", has_text="r = ").inner_text()
    explore_page.get_by_text("Keys: arrows move among the terms").wait_for()
    explore_page.get_by_text("one step back").click()
    explore_page.locator(".number-steps", has_text="step 119").wait_for()
    assert (
        number(value.get_attribute("title")) == explorer.get("number", step=119, **asked)["value"]
    )
    explore_page.get_by_text("update in step 119").click()
    explore_page.locator(".tabs [aria-current]", has_text="update").wait_for()
    explore_page.get_by_text("m after step 119").click()
    explore_page.locator(".tabs [aria-current]", has_text="mean m").wait_for()
    explore_page.get_by_text("clipped gradient in step 119").click()
    explore_page.get_by_text("gradient in step 119", exact=True).click()
    explore_page.locator(".tabs [aria-current]", has_text="gradient").wait_for()
    assert "batch=1" in explore_page.url
    assert "step=118" in explore_page.url


def test_long_lists_can_be_unfolded(explore_page: Any) -> None:
    go(explore_page, "#/number?text=lena&tensor=layers.0.mlp_fc2&index=0,1,2")
    visible = explore_page.locator(".term:not([hidden])")
    assert visible.count() == 20
    explore_page.get_by_text("Show all 64").click()
    assert visible.count() == 64


def test_a_curve_has_its_point(explore_page: Any, explorer: Explorer) -> None:
    go(explore_page, "#/number?text=lena&tensor=layers.0.relu&index=0,1,2")
    curve = explorer.get("number", text="lena", tensor="layers.0.relu", index="0,1,2")["curve"]
    assert explore_page.locator(".figure polyline").count() == 1
    assert f"slope {curve['slope']:g}" in explore_page.locator("figcaption").inner_text()


def test_text_has_the_losses_of_the_engine(explore_page: Any, explorer: Explorer) -> None:
    go(explore_page, "#/text?text=lena")
    reading = explorer.get("text", text="lena")
    rows = explore_page.locator("#view table").nth(0).locator("tbody tr")
    assert rows.count() == len(reading["tokens"])
    for i, token in enumerate(reading["tokens"][1:], start=1):
        cells = rows.nth(i).locator("td")
        assert cells.nth(0).inner_text() == token["text"]
        assert number(cells.nth(1).get_attribute("title")) == token["loss"]
        link = cells.nth(2).locator("a")
        assert number(link.get_attribute("title")) == token["probability"]
        assert int(cells.nth(3).inner_text()) == token["rank"]
        assert cells.nth(4).locator("a").count() == len(token["candidates"])
    rows.nth(2).locator("td a").first.click()
    explore_page.locator("[data-view=number]").wait_for()
    shown = number(explore_page.locator(".number-value output").inner_text())
    assert shown == pytest.approx(reading["tokens"][2]["probability"], rel=1e-12)


def test_each_share_of_attention_leads_to_its_number(explore_page: Any, explorer: Explorer) -> None:
    go(explore_page, "#/text?text=lena&head=2")
    tensor = "layers.0.attention.pattern"
    pattern = explorer.tensors("window", text="lena", tensor=tensor, lead="0,2")["values"]
    table = explore_page.get_by_role("table", name="Attention of head 2")
    for query, row in enumerate(pattern):
        shares = table.locator("tbody tr").nth(query).locator(".share")
        said = shares.evaluate_all("all => all.map(x => x.dataset.live.split(': ').at(-1))")
        assert list(map(number, said)) == list(row[: query + 1])
    explore_page.get_by_label("head", exact=True).select_option("1")
    explore_page.get_by_role("table", name="Attention of head 1").wait_for()
    share = explore_page.get_by_role("table", name="Attention of head 1").locator(".share").last
    share.focus()
    assert "head 1" in live(explore_page)
    press(explore_page, "Enter", "number")
    assert "head 1" in explore_page.locator(".path").inner_text()
    press(explore_page, "Backspace", "tensor")


def test_long_texts_show_the_strongest_keys(explore_page: Any) -> None:
    go(explore_page, "#/text?folder=1&chat=12%2B34&layer=3&head=1")
    table = explore_page.get_by_role("table", name="Attention of head 1")
    last = table.locator("tbody tr").last.locator(".share")
    said = last.evaluate_all("all => all.map(x => x.dataset.live.split(': ').at(-1))")
    shares = list(map(number, said))
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    press(explore_page, "Backspace", "map")


def test_probability_below_1_is_not_shown_as_1(explore_page: Any) -> None:
    shown = explore_page.evaluate(
        """async (all) => {
            const { percent, probability } = await import("/explore/format.js");
            return all.map((p) => [probability(p, 2), percent(p)]);
        }""",
        [0, 1e-9, 0.5, 0.9949, 0.9951, 0.99999999, 1],
    )
    assert shown == [
        ["0", "0"],
        ["1e−9", "1e−7"],
        ["0.5", "50"],
        ["0.99", "99.5"],
        [">0.99", "99.5"],
        [">0.99", ">99.9"],
        ["1", "100"],
    ]


def test_focus_and_the_top_of_the_page_are_in_the_view_that_a_link_leads_to(
    explore_page: Any,
) -> None:
    go(explore_page, LOGIT_ADDRESS)
    link = explore_page.locator(".term a.source").nth(12)
    link.focus()
    assert explore_page.evaluate("window.scrollY") > 0
    press(explore_page, "Enter", "number")
    assert explore_page.evaluate("document.activeElement.id") == "view"
    assert explore_page.evaluate("window.scrollY") == 0
    explore_page.keyboard.press("Tab")
    assert explore_page.evaluate("document.activeElement.closest('.path') !== null")
