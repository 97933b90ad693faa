"""The jobs of the page: their progress, results and errors, and what ends when a client goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from anexa.engines import open_engine
from anexa.errors import OUT_OF_MEMORY, OutOfMemoryError
from anexa.explore.app import create_app
from anexa.explore.jobs import ReplayRequest
from anexa.explore.replay import Replay
from anexa.explore.responses import JobLines, run_job
from anexa.explore.scene import text_batch
from anexa.explore.session import Session
from anexa.explore.teachers import compute_ledger
from anexa.generation import LanguageModel
from anexa.model.loading import load_model
from tests.explore.explorer import Explorer, exploring
from tests.server.process import PLAIN, wait_until

TOKEN = "token"
LAST = 300  # steps of the run


@pytest.fixture
def session(names_model: Path, tmp_path: Path) -> Session:
    """A names run with nothing in its caches."""
    return Session([names_model], tmp_path)


@pytest.fixture
def client(session: Session) -> Iterator[TestClient]:
    app: FastAPI = create_app(session, TOKEN, ("testserver",))
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def messages(client: TestClient, name: str, **body: object) -> list[dict[str, Any]]:
    """All lines of a job."""
    response = client.post(f"/api/{name}", json=body)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def result_of(lines: list[dict[str, Any]]) -> Any:
    """The result, after reports that grow from 0 to 1."""
    *reports, last = lines
    progress = [report["progress"] for report in reports]
    assert progress == sorted(progress)
    assert all(0 <= part <= 1 for part in progress)
    return last["result"]


def test_life_is_that_of_the_replay(client: TestClient, names_model: Path) -> None:
    body = {"tensor": "wte.weight", "index": [3, 4], "first": 20, "last": 60}
    lines = messages(client, "life", **body)
    assert len(lines) > 20
    points = result_of(lines)["points"]
    job = Replay(names_model).life("wte.weight", (3, 4), 20, 60)
    wanted = _finished(job)
    assert [vars(point) for point in wanted] == points


def _finished(job: Any) -> Any:
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def test_ledger_adds_up_and_names_who_taught_most(client: TestClient, names_model: Path) -> None:
    found = result_of(messages(client, "teachers", text="emma", first=100, last=140))
    batch = text_batch(load_model(names_model).tokenizer, "emma", 16)
    wanted = _finished(compute_ledger(Replay(names_model), batch, 100, 140))
    assert found["changes"] == [entry.change for entry in wanted.entries]
    assert sum(found["changes"]) == found["total"] == found["losses"][-1] - found["loss"]
    changes = [entry["change"] for entry in found["helped"] + found["hurt"][::-1]]
    assert changes == sorted(found["changes"])
    assert found["teachers"] == _plain([t for t in wanted.teachers if t.change < 0])
    assert found["misleading"] == _plain([t for t in wanted.teachers[::-1] if t.change > 0])
    assert found["num_teachers"] == len(wanted.teachers)


def _plain(items: list[Any]) -> Any:
    return json.loads(json.dumps([asdict(item) for item in items]))


def test_training_without_a_step_begins_as_it_was(client: TestClient) -> None:
    followed = result_of(messages(client, "teachers", text="emma", first=119, last=140))
    found = result_of(messages(client, "without", text="emma", skipped=120, last=140))
    assert found["steps"] == [*range(119, 141)]
    assert found["losses"] == pytest.approx([followed["loss"], *followed["losses"]], abs=1e-9)
    assert found["other"][:2] == [found["losses"][0]] * 2  # the step is not taken
    assert found["other"][2:] != found["losses"][2:]
    assert found["difference"] == found["other"][-1] - found["losses"][-1]


def test_training_with_switches(client: TestClient) -> None:
    found = result_of(messages(client, "edited", text="emma", edit=["head:0.1"], first=280))
    assert found["steps"] == [*range(280, LAST + 1)]
    assert found["other"][0] != found["losses"][0]


def test_texts_of_a_step_are_written_with_its_weights(
    client: TestClient, names_model: Path
) -> None:
    texts = result_of(messages(client, "write", step=100, count=3, seed=7))
    model = load_model(names_model)
    weights = _finished(Replay(names_model).state(100)).weights
    writer = LanguageModel("m", model, open_engine("numpy", model.config, weights))
    assert texts["before"] == [writer.generate("", max_tokens=200, seed=7 + i) for i in range(3)]
    assert texts["after"] == texts["before"]


def test_switches_change_what_is_written(client: TestClient) -> None:
    edits = [f"head:0.{head}" for head in range(4)]
    texts = result_of(messages(client, "write", edit=edits, count=5))
    assert texts["after"] != texts["before"]


def test_write_repeats_the_steps_that_it_needs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anexa.explore.session.MAX_WAIT_SECONDS", 0)
    assert result_of(messages(client, "write", step=LAST - 1, count=1))["before"]


def test_views_ask_for_a_replay_which_a_job_does(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anexa.explore.session.MAX_WAIT_SECONDS", 0)
    query: dict[str, Any] = {"text": "emma", "step": 63}  # 64 steps between key frames
    refused = client.get("/api/map", params=query)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "replay"
    assert result_of(messages(client, "replay", step=63)) is None
    assert client.get("/api/map", params=query).status_code == 200


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("replay", {}, "a replay needs the step to repeat"),
        ("replay", {"step": LAST + 1}, f"there is no step {LAST + 1} to show"),
        ("life", {"tensor": "wte", "index": [0], "first": 0, "last": 2}, "has no weight wte"),
        (
            "life",
            {"tensor": "wte.weight", "index": [0, 99], "first": 0, "last": 2},
            "has no element [0, 99]",
        ),
        (
            "life",
            {"tensor": "wte.weight", "index": [0, 0], "first": 5, "last": 2},
            "there is no step 2 to show",
        ),
        ("write", {"prompt": "¶"}, "¶"),
        ("write", {"step": -1}, "there is no step -1"),
        ("write", {"edit": ["head:0.9"]}, "head"),
        ("write", {"folder": 3}, "there is no folder 3"),
        ("thought", {"question": "1+1"}, "chat"),
        ("teachers", {}, "needs a text or a chat question"),
        ("teachers", {"text": "¶"}, "¶"),
        ("teachers", {"chat": "1+1"}, "chat"),
        ("teachers", {"text": "emma", "first": 9, "last": 9}, "9"),
        ("without", {"text": "emma", "skipped": 0}, "there is no step 0"),
        ("without", {"text": "emma", "skipped": 50, "last": 40}, "40"),
        ("edited", {"text": "emma", "first": 0}, "needs a switch"),
        ("edited", {"text": "emma", "edit": ["neuron:7.1"], "first": 0}, "7"),
    ],
)
def test_job_that_cannot_be_done_ends_with_one_sentence(
    client: TestClient, name: str, body: dict[str, Any], sentence: str
) -> None:
    last = messages(client, name, **body)[-1]
    assert list(last) == ["error"]
    assert sentence in last["error"]
    assert "\n" not in last["error"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"count": 1000}, "count must be at most 20, not 1000"),
        ({"step": "1_0"}, 'step must be an integer, not "1_0"'),
        ({"folder": True}, "folder must be an integer, not true"),
        ({"temprature": 1}, "temprature is not supported: leave it out"),
    ],
)
def test_job_with_wrong_fields_is_refused(
    client: TestClient, body: dict[str, Any], sentence: str
) -> None:
    response = client.post("/api/write", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == sentence


def test_documents_of_a_step(client: TestClient, names_model: Path) -> None:
    found = client.get("/api/documents", params={"step": 12}).json()["documents"]
    assert found == Replay(names_model).documents(12)
    refused = client.get("/api/documents", params={"step": 0})
    assert refused.status_code == 400
    assert "there is no step 0" in refused.json()["error"]["message"]


def test_lock_is_free_whenever_a_line_is_sent(session: Session) -> None:
    lock = threading.Lock()
    for _ in run_job(ReplayRequest(step=63).run(session), lock, session.closing):
        # Another thread may compute a view, or go on with the job.
        assert lock.acquire(blocking=False)
        lock.release()


def test_job_ends_when_the_server_shuts_down(session: Session) -> None:
    lines = run_job(ReplayRequest(step=63).run(session), session.lock, session.closing)
    next(lines)
    session.shut_down()
    assert [json.loads(line).keys() for line in lines] == [{"error"}]


def test_job_that_is_computing_is_canceled_after_its_line() -> None:
    computing, go_on, ended = threading.Event(), threading.Event(), []

    def lines() -> Generator[str, None, None]:
        try:
            computing.set()
            go_on.wait()
            yield "a line"
        finally:
            ended.append(True)

    job = JobLines(lines())
    reader = threading.Thread(target=next, args=(job,))
    closer = threading.Thread(target=job.close)
    reader.start()
    computing.wait()
    closer.start()
    go_on.set()
    for thread in (reader, closer):
        thread.join()
    assert ended


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(MemoryError(), OUT_OF_MEMORY), (OutOfMemoryError("too long: cut it"), "too long: cut it")],
)
def test_job_that_runs_out_of_memory_ends_with_a_sentence(
    error: MemoryError, sentence: str
) -> None:
    def job() -> Generator[float, None, None]:
        yield 0.5
        raise error

    lines = run_job(job(), threading.Lock(), threading.Event())
    assert [json.loads(line) for line in lines] == [{"progress": 0.5}, {"error": sentence}]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "there is not enough memory at the moment: try again in a second"),
        (OutOfMemoryError("too long: cut it"), "too long: cut it"),
    ],
)
def test_view_that_runs_out_of_memory_is_an_error(
    error: MemoryError, sentence: str, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("anexa.explore.session.trace_batch", fail)
    response = client.get("/api/map", params={"text": "emma"})
    assert response.status_code == 503
    assert response.json()["error"]["message"] == sentence


def test_closed_job_is_canceled() -> None:
    ended = []

    def job() -> Iterator[float]:
        try:
            yield 0.5
            yield 1.0
        finally:
            ended.append(True)

    lines = run_job(job(), threading.Lock(), threading.Event())  # type: ignore[arg-type]
    next(lines)
    lines.close()
    assert ended


def _trainings(pid: int) -> list[int]:
    """The processes that a process has started, on Linux."""
    path = Path(f"/proc/{pid}/task")
    found = []
    for children in path.glob("*/children"):
        found += [int(child) for child in children.read_text(encoding="ascii").split()]
    return found


@pytest.fixture
def own_explorer(names_model: Path, tmp_path: Path) -> Iterator[Explorer]:
    """A glass box that no other test uses."""
    if not Path("/proc/self/task").exists():
        pytest.skip("processes are found in /proc")
    with exploring(names_model, cwd=tmp_path) as running:
        yield running


def _started(explorer: Explorer) -> Any:
    """A training, as a response that is read line by line."""
    return httpx.stream(
        "POST", f"{explorer.address}/api/train", json={}, headers=explorer.headers, **PLAIN
    )


@pytest.mark.slow
def test_training_reports_its_steps_and_opens_its_folder(own_explorer: Explorer) -> None:
    records: list[Any] = []
    samples: list[Any] = []
    reports = 0
    with _started(own_explorer) as response:
        for text in response.iter_lines():
            message = json.loads(text)
            if "progress" not in message:
                break
            reports += bool(message["progress"]["records"])
            records += message["progress"]["records"]
            samples += message["progress"]["samples"]
    assert message == {"result": {"folder": 1}}
    assert reports > 1
    trial = own_explorer.get("trial")
    assert [record["step"] for record in records] == [*range(1, trial["steps"] + 1)]
    assert records == own_explorer.get("steps", folder=1)["records"]
    assert samples
    assert not _trainings(own_explorer.process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["client", "server"])
def test_no_training_outlives_its_request(own_explorer: Explorer, ends: str) -> None:
    with _started(own_explorer) as response:
        next(response.iter_lines())
        [training] = _trainings(own_explorer.process.pid)
        if ends == "server":
            own_explorer.process.terminate()
    wait_until(lambda: not Path(f"/proc/{training}").exists())
    if ends == "client":
        assert own_explorer.get("folders")["folders"][1:] == []
    else:
        assert own_explorer.process.wait(timeout=30) == 0
        assert own_explorer.process.stderr
        assert own_explorer.process.stderr.read() == ""
