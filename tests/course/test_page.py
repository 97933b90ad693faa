"""The course in a real browser: the chapters, their live views, the projector, and a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anexa.course.chapters import load_chapters
from anexa.course.exercises import EXERCISES
from anexa.engines import Batch
from anexa.explore.replay import Replay
from anexa.explore.switches import apply_edits, parse_edit
from anexa.explore.teachers import compute_ledger, replay_without_step
from anexa.explore.trace import LOSS, trace_batch
from anexa.explore.trial_run import TRIAL_COMMAND
from anexa.model.loading import load_model
from tests.cli.process import anexa
from tests.explore.explorer import exploring
from tests.explore.test_page import number
from tests.explore.test_replay import done
from tests.server.browser import opened, wait_until

pytestmark = pytest.mark.slow


# For blocks of code: how many lines are shown, and how many lines there are.
LINES = """blocks => blocks.map((block) => {
    const { paddingTop, paddingBottom, lineHeight } = getComputedStyle(block);
    const height = block.clientHeight - parseFloat(paddingTop) - parseFloat(paddingBottom);
    const lines = block.textContent.trimEnd().split("\\n").length;
    return [Math.round(height / parseFloat(lineHeight)), lines];
})"""


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The list of chapters, as a student sees it who has no names model yet."""
    student = ("--student", "Ada & Bob")
    with (
        exploring(*student, cwd=tmp_path, command="learn") as running,
        opened(browser, running.start) as page,
    ):
        page.locator(".contents").wait_for()
        yield page


def test_chapter_trains_its_model_and_leads_to_the_glass_box(page: Any) -> None:
    page.locator(".contents a").first.click()
    page.locator(".live").wait_for()
    first_line = EXERCISES[1].by_hand_numbers(1, "Ada & Bob").split("\n")[0]
    assert first_line in page.locator("pre.yours").inner_text()
    page.locator(".live button").click()
    link = page.get_by_role("link", name="Open it in the glass box")
    link.wait_for(timeout=120_000)
    with page.context.expect_page() as expected:
        link.click()
    view = expected.value
    view.locator("#view > [data-view=map]").wait_for()
    page.evaluate("location.hash = '#/6'")
    page.locator("#chapter h1", has_text="6.").wait_for()
    with page.context.expect_page() as expected:
        page.evaluate("document.querySelector('.live a').target = 'another'")
        link.click()
    heads = expected.value
    heads.locator("#view > [data-view=text]").wait_for()
    assert "Where each token looks" in heads.locator("#view").inner_text()
    page.evaluate("location.hash = '#/10'")
    page.locator("#chapter h1", has_text="10.").wait_for()
    with page.context.expect_page() as expected:
        page.evaluate("document.querySelector('.live a').target = 'a third'")
        link.first.click()
    life = expected.value
    life.get_by_role("button", name="Follow it").click()
    life.locator(".life .charts svg").nth(3).wait_for(timeout=120_000)
    assert "The life of wte.weight[10,0]" in life.locator("#view").inner_text()
    assert re.search(r"a\s+0\s+n\s+13\s+n\s+13\s+a\s+0", view.locator("#view").inner_text())


def test_chapter_on_thoughts_leads_to_the_bundled_model(page: Any) -> None:
    page.evaluate("location.hash = '#/16'")
    link = page.get_by_role("link", name="Open it in the glass box")
    link.wait_for()
    with page.context.expect_page() as expected:
        link.click()
    view = expected.value
    view.locator("#view > [data-view=thought]").wait_for()
    view.get_by_role("button", name="A:8+7+0=15").click(timeout=120_000)
    assert "A:8+7+0=15" in view.locator(".part-details").inner_text()


def test_the_glass_box_has_the_type_of_the_course(page: Any) -> None:
    page.evaluate("location.hash = '#/16'")
    link = page.get_by_role("link", name="Open it in the glass box")
    link.wait_for()
    page.keyboard.press("p")
    with page.context.expect_page() as expected:
        link.click()
    view = expected.value
    view.set_viewport_size({"width": 1280, "height": 720})
    view.locator("#view > [data-view=thought]").wait_for()
    size = "parseFloat(getComputedStyle(document.body).fontSize)"
    assert view.evaluate(size) == page.evaluate(size) == 26
    view.evaluate("location.hash = location.hash.replace('/thought', '/map')")
    view.locator("#view > [data-view=map]").wait_for()
    assert view.evaluate("document.documentElement.scrollWidth") == 1280
    page.get_by_role("button", name="Projector").click()
    wait_until(view, f"{size} === 16")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the page trains, kept in a folder."""
    folder = tmp_path_factory.mktemp("course")
    command = TRIAL_COMMAND.split()[1:]
    assert anexa(*command, cwd=folder).returncode == 0
    return folder / "names"


@pytest.fixture
def reader(browser: Any, run: Path) -> Iterator[Any]:
    """The list of chapters, for a reader who has this run."""
    with (
        exploring("--model", run, cwd=run.parent, command="learn") as running,
        opened(browser, running.start) as page,
    ):
        page.locator(".contents").wait_for()
        yield page


def turn_to(page: Any, number: int) -> None:
    """Open a chapter from the list."""
    page.evaluate("location.hash = '#/'")
    page.get_by_role("link", name=load_chapters()[number].title).click()
    page.locator("#chapter h1", has_text=f"{number}.").wait_for()


def open_live_view(page: Any, index: int) -> Any:
    """Follow the link of a live view of the chapter to the glass box."""
    with page.context.expect_page() as expected:
        page.locator(".live a").nth(index).evaluate("link => (link.target = '_blank')")
        page.locator(".live a").nth(index).click()
    return expected.value


def test_chapter_6_shows_where_the_heads_look(reader: Any, run: Path) -> None:
    turn_to(reader, 6)
    view = open_live_view(reader, 0)
    model = load_model(run)
    ids = model.tokenizer.encode_prompt("karia")
    trace = trace_batch(model.config, model.weights, Batch.from_sequences([[*ids, ids[0]]]))
    [shares] = [tensor[0] for name, tensor in trace.values.items() if name.endswith(".pattern")]
    for head in (2, 0, 1, 3):  # the first one is that of the chapter
        if head != 2:
            view.get_by_label("head", exact=True).select_option(str(head))
        rows = view.get_by_role("table", name=f"Attention of head {head}").locator("tbody tr")
        rows.first.wait_for()
        for query in range(len(ids)):
            title = rows.nth(query).locator("td.strongest a").get_attribute("title")
            assert number(title.rpartition(" ")[2]) == max(shares[head, query]), (head, query)


def test_chapter_10_leads_to_a_weight_and_its_update(reader: Any, run: Path) -> None:
    turn_to(reader, 10)
    view = open_live_view(reader, 1)
    name = "lm_head.weight"
    view.locator("#view h2", has_text=f"{name}[0, 0]").wait_for()
    replay = Replay(run)
    before, after = (float(done(replay.state(step)).weights[name].data[0]) for step in (2, 3))
    assert number(view.locator(".number-value output").get_attribute("title")) == after
    assert after != before
    for words in ("update in step 3", "m after step 3", "clipped gradient", "gradient in step 3"):
        view.locator(".term a.source", has_text=words).first.click()
        view.locator("#view h2", has_text=f"{name}[0, 0]").wait_for()
        view.wait_for_load_state("networkidle")


def test_chapter_14_leads_to_the_model_without_a_head(reader: Any, run: Path) -> None:
    turn_to(reader, 14)
    view = open_live_view(reader, 0)
    view.get_by_role("heading", name="Before and after").wait_for()
    model = load_model(run)
    ids = model.tokenizer.encode_prompt("anna")
    batch = Batch.from_sequences([[*ids, model.tokenizer.eot_token_id]])
    edited = apply_edits(model.config, model.weights, [parse_edit("head:0.0")])
    losses = [
        float(trace_batch(model.config, weights, batch).values[LOSS])
        for weights in (model.weights, edited)
    ]
    shown = [number(text) for text in view.locator("dl dd").all_inner_texts()[:2]]
    assert shown == losses
    lens = open_live_view(reader, 1)
    lens.get_by_role("table", name="The logit lens").wait_for()


def test_chapter_15_from_the_ledger_to_a_training_without_a_step(reader: Any, run: Path) -> None:
    turn_to(reader, 15)
    replay = Replay(run)
    ids = replay.tokenizer.encode_prompt("anna")
    batch = Batch.from_sequences([[*ids, replay.tokenizer.eot_token_id]])
    view = open_live_view(reader, 0)
    view.get_by_role("button", name="Follow the loss of “anna”").click()
    rows = view.get_by_role("table", name="Documents that taught it most").locator("tbody tr")
    rows.first.wait_for(timeout=120_000)
    wanted = done(compute_ledger(replay, batch, 0, replay.last_step))
    names = [rows.nth(i).locator("td").nth(1).inner_text() for i in range(5)]
    assert names == [teacher.document for teacher in wanted.teachers[:5]]
    assert number(view.locator(".sum dd").nth(2).inner_text()) == wanted.total

    assert replay.documents(395) == ["anna"], "the chapter says so"
    view = open_live_view(reader, 1)
    view.get_by_role("button", name="Follow the loss of “anna”").click()
    view.get_by_role("button", name="Train again without step 395").click(timeout=120_000)
    shown = view.locator(".without dd")
    shown.first.wait_for(timeout=120_000)
    other = done(replay_without_step(replay, 395, batch, replay.last_step))
    losses = [other.losses[-1], other.other[-1], other.difference]
    assert [number(text) for text in shown.all_inner_texts()] == losses


def test_every_chapter_fits_on_a_phone_and_its_code_keeps_its_lines(reader: Any) -> None:
    reader.set_viewport_size({"width": 360, "height": 700})
    for chapter in load_chapters().values():
        turn_to(reader, chapter.number)
        assert reader.evaluate("document.documentElement.scrollWidth") == 360, chapter.title
        heights = reader.locator("pre.python").evaluate_all(LINES)
        assert all(shown == lines for shown, lines in heights), chapter.title


def test_keys_and_notes(page: Any) -> None:
    assert page.locator("kbd").inner_text() == "p"
    page.locator(".contents a").first.focus()
    page.keyboard.press("Enter")
    page.locator("#chapter h2").first.wait_for()
    size = "() => parseFloat(getComputedStyle(document.body).fontSize)"
    usual = page.evaluate(size)
    page.keyboard.press("p")
    assert page.evaluate(size) > 1.5 * usual
    page.reload()
    page.locator("#chapter h2").first.wait_for()
    assert page.evaluate(size) > 1.5 * usual
    page.get_by_role("button", name="Projector").click()
    assert page.evaluate(size) == usual
    notes = page.get_by_text("Common errors")
    assert not notes.is_visible()
    page.get_by_text("For teachers").click()
    assert notes.is_visible()
