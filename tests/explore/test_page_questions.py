"""Questions that a user asks of a run, answered with nothing but the page.

Set ANEXA_PICTURES=docs/pictures to make the pictures of docs/explore.md and README.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anexa.engines import Batch
from anexa.explore.replay import Replay
from anexa.explore.teachers import compute_ledger
from anexa.explore.trace import trace_batch
from anexa.model.loading import load_model
from tests.cli.process import anexa
from tests.explore.explorer import exploring
from tests.explore.test_page import go, number
from tests.explore.test_replay import done
from tests.server.browser import opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The names run of the README: 1,000 steps."""
    folder = tmp_path_factory.mktemp("questions")
    command = ["train", "firstnames", "--preset", "microgpt", "--no-chat", "--out", "names"]
    assert anexa(*command, "--engine", "numpy", cwd=folder).returncode == 0
    return folder / "names"


@pytest.fixture(scope="module")
def page(browser: Any, run: Path) -> Iterator[Any]:
    with exploring(run, cwd=run.parent) as explorer, opened(browser, explorer.start) as page:
        page.set_viewport_size({"width": 1100, "height": 900})
        page.locator("#view > .view").wait_for()
        yield page


def picture(page: Any, name: str, height: int = 900, scroll: int = 0) -> None:
    """Take a picture of the page, if pictures are asked for."""
    if folder := os.environ.get("ANEXA_PICTURES"):
        page.set_viewport_size({"width": 1100, "height": height})
        page.mouse.move(0, 0)
        page.evaluate(f"scrollTo(0, {scroll})")
        page.screenshot(path=Path(folder) / f"explore-{name}.png")


def test_what_it_looks_like(page: Any) -> None:
    go(page, "#/map?text=karia")
    assert page.locator("canvas").count() > 20
    picture(page, "map")


def test_which_letter_does_head_2_look_at_in_karia(page: Any, run: Path) -> None:
    model = load_model(run)
    ids = model.tokenizer.encode_prompt("karia")
    trace = trace_batch(model.config, model.weights, Batch.from_sequences([[*ids, ids[0]]]))
    [shares] = [tensor[0, 2] for name, tensor in trace.values.items() if name.endswith(".pattern")]
    go(page, "#/text?text=karia&head=2")
    rows = page.get_by_role("table", name="Attention of head 2").locator("tbody tr")
    assert rows.count() == len(ids)
    for query in range(len(ids)):
        strongest = rows.nth(query).locator("td.strongest a")
        title = strongest.get_attribute("title")
        key = int(np.argmax(shares[query]))
        assert f"looks at token {key} " in title
        assert number(title.rpartition(" ")[2]) == shares[query, key]
    picture(page, "text", scroll=520)


def test_why_is_this_weight_what_it_is_at_step_500(page: Any, run: Path) -> None:
    weights = done(Replay(run).state(500)).weights
    name = "lm_head.weight"
    index = (3, 4)
    wanted = np.asarray(weights[name].data).reshape(weights[name].shape)[index]
    go(page, f"#/number?text=karia&step=500&tensor={name}&index=3,4")
    assert number(page.locator(".number-value output").get_attribute("title")) == float(wanted)
    picture(page, "number")
    # Down to the gradient of the step: which token of which name pulled.
    for words in (
        "update in step 500",
        "m after step 500",
        "clipped gradient in step 500",
        "gradient in step 500",
    ):
        page.locator(".term a.source", has_text=words).first.click()
        page.locator("#view h2", has_text=f"{name}[3, 4]").wait_for()
    page.locator(".term .label", has_text="token").first.wait_for()
    page.wait_for_load_state("networkidle")
    [document] = Replay(run).documents(500)
    labels = page.locator(".term .label").all_inner_texts()
    pulled = {label.split('"')[1] for label in labels if "token" in label}
    assert pulled <= {*document, "<|endoftext|>"}
    assert document[0] in pulled
    picture(page, "gradient")


def test_which_five_names_taught_anna_most(page: Any, run: Path) -> None:
    replay = Replay(run)
    ids = replay.tokenizer.encode_prompt("anna")
    batch = Batch.from_sequences([[*ids, replay.tokenizer.eot_token_id]])
    wanted = done(compute_ledger(replay, batch, 0, 1000))
    go(page, "#/teachers?text=anna")
    page.get_by_role("button", name="Follow the loss of “anna”").click()
    taught = page.get_by_role("table", name="Documents that taught it most")
    taught.wait_for(timeout=60_000)
    rows = taught.locator("tbody tr:visible")
    names = [rows.nth(i).locator("td").nth(1).inner_text() for i in range(rows.count())]
    assert names == [teacher.document for teacher in wanted.teachers[:5]]
    shares = [number(rows.nth(i).locator("td").nth(3).inner_text()) for i in range(rows.count())]
    assert shares == [teacher.change for teacher in wanted.teachers[:5]]
    first_minus_last = [number(text) for text in page.locator(".sum dd").all_inner_texts()]
    assert first_minus_last == [wanted.entries[-1].loss, wanted.loss, wanted.total, wanted.total]
    picture(page, "teachers", 1250)


def test_what_is_behind_a_part_of_a_thought(browser: Any, tmp_path: Path) -> None:
    with exploring(cwd=tmp_path) as explorer, opened(browser, explorer.start) as page:
        page.set_viewport_size({"width": 1100, "height": 900})
        page.locator("#view > .view").wait_for()
        go(page, "#/thought?chat=347*86")
        page.get_by_text("The line is true.").wait_for(timeout=60_000)
        fact = page.get_by_role("button", name="fact B4*a6+60=84;B4")
        fact.click()
        page.get_by_role("heading", name="Where its digits come from").wait_for()
        assert "sum so far" in page.locator("#view").inner_text()
        picture(page, "thought")
