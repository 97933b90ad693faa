"""The glass box over HTTP: its numbers, its refusals, and who may ask."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from fastapi import FastAPI

from anexa.engines import open_engine
from anexa.errors import UsageError
from anexa.explore.app import parse_index
from anexa.model.loading import load_model
from anexa.server.http_server import Server
from tests.cli.process import refusals
from tests.explore.explorer import Explorer, exploring
from tests.server.process import PLAIN

LOGITS = {"tensor": "logits", "quantity": "value"}


def test_logits_are_those_of_the_engine(explorer: Explorer, names_model: Path) -> None:
    model = load_model(names_model)
    found = explorer.tensors("window", text="anna", lead="0", **LOGITS)["values"]
    engine = open_engine("numpy", model.config, model.weights)
    wanted = np.array(engine.logits(model.tokenizer.encode_prompt("anna")))
    assert np.abs(found - wanted).max() < 1e-5  # the engine computes in float32


def test_folders_say_what_they_have(explorer: Explorer) -> None:
    run, bundled = explorer.get("folders")["folders"][:2]
    assert run["steps"] == {"first": 0, "last": 300}
    assert not run["chat"]
    assert bundled["chat"]
    assert bundled["steps"] is None
    assert "it holds no training" in bundled["no_steps_reason"]


def test_map_lists_weights_before_their_use(explorer: Explorer) -> None:
    found = explorer.get("map", text="anna")
    assert [token["text"] for token in found["tokens"][0][1:-1]] == list("anna")
    seen: set[str] = set()
    for tensor in found["tensors"]:
        assert seen.issuperset(tensor["inputs"])
        seen.add(tensor["name"])
    pictures = explorer.tensors("thumbnails", text="anna")
    assert {name.rpartition(".")[0] for name in pictures} == seen


def test_gradients_have_pictures(explorer: Explorer) -> None:
    found = explorer.get("map", text="anna")
    with_gradient = {t["name"] for t in found["tensors"] if "gradient" in t["quantities"]}
    pictures = explorer.tensors("thumbnails", text="anna", quantity="gradient")
    assert {name.rpartition(".")[0] for name in pictures} == with_gradient


def test_change_of_a_weight_is_the_difference_of_two_steps(explorer: Explorer) -> None:
    scene = {"text": "anna", "tensor": "lm_head.weight"}
    explorer.get("map", text="anna", step=200)
    explorer.get("map", text="anna", step=199)
    after = explorer.tensors("window", step=200, **scene)["values"]
    before = explorer.tensors("window", step=199, **scene)["values"]
    change = explorer.tensors("window", step=200, quantity="change", **scene)["values"]
    assert np.array_equal(change, after - before)
    versus = explorer.tensors("window", step=200, quantity="difference", versus_step=199, **scene)[
        "values"
    ]
    assert np.array_equal(versus, change)


@pytest.mark.parametrize(
    ("path", "query", "sentence"),
    [
        ("map", {}, "a scene has one input"),
        ("map", {"text": "a", "chat": "a"}, "a scene has one input"),
        ("map", {"text": "anné"}, "é"),
        ("map", {"text": "a" * 100}, "sees at most"),
        ("map", {"text": "anna", "step": 9999}, "there is no step 9999"),
        ("map", {"text": "anna", "step": -3}, "there is no step -3"),
        ("map", {"text": "anna", "step": "x"}, "step"),
        ("map", {"text": "anna", "step": "1_0"}, 'step must be an integer, not "1_0"'),
        ("map", {"text": "anna", "step": " 10"}, 'step must be an integer, not " 10"'),
        ("map", {"text": "anna", "folder": "0.0"}, 'folder must be an integer, not "0.0"'),
        ("thumbnails", {"text": "anna", "versus_step": "1_0"}, "versus_step must be an integer"),
        (
            "window",
            {"text": "anna", "tensor": "logits", "width": "1_0"},
            "width must be an integer",
        ),
        ("steps", {"folder": "0_0"}, 'folder must be an integer, not "0_0"'),
        ("documents", {"step": "1_0"}, 'step must be an integer, not "1_0"'),
        ("map", {"text": "anna", "folder": 1, "step": 5}, "holds no training"),
        ("map", {"text": "anna", "folder": 7}, "there is no folder 7"),
        ("map", {"chat": "1+1"}, "chat"),
        ("map", {"batch": "1"}, "belongs to a step"),
        ("map", {"batch": "1", "step": 300}, "there is no step 301"),
        ("map", {"text": "anna", "edit": "head:9.9"}, "head"),
        ("map", {"text": "anna", "edit": "nonsense"}, "nonsense"),
        ("map", {"folder": 1, "text": "1+1", "edit": "position:1"}, "position"),
        ("window", {"text": "anna", "tensor": "nope"}, "nope"),
        ("window", {"text": "anna", "tensor": "logits", "quantity": "m"}, "m"),
        ("window", {"text": "anna", "tensor": "logits", "quantity": "beauty"}, "quantity"),
        ("window", {"text": "anna", "tensor": "logits", "lead": "9"}, "lead"),
        ("window", {"text": "anna", "tensor": "logits", "lead": "0", "level": 99}, "level"),
        ("window", {"text": "anna", "tensor": "logits", "lead": "0", "top": -1}, "at row -1"),
        ("window", {"text": "anna", "tensor": "logits", "lead": "0", "height": 9999}, "height"),
        ("number", {"text": "anna", "tensor": "logits", "index": "0,1"}, "no element (0, 1)"),
        ("number", {"text": "anna", "tensor": "x" * 5000}, "there is no tensor 'xxx"),
        ("number", {"text": "anna", "tensor": "logits", "index": "0," * 999 + "0"}, "no element"),
        ("window", {"text": "anna", "tensor": "logits", "lead": "0," * 999 + "0"}, "no index"),
        ("map", {"text": "anna", "edit": f"set:{'x' * 5000}[0]=1"}, "no weight 'xxx"),
        ("map", {"text": "anna", "edit": f"set:lm_head.weight[{'0,' * 999}0]=1"}, "has the shape"),
        ("map", {"text": "anna", "folder": "1" * 5000}, "folder must be an integer, not a string"),
        ("number", {"text": "anna", "tensor": "logits", "index": "0,1,x"}, "index"),
        ("number", {"text": "anna", "tensor": "logits", "index": "0,1,999"}, "no element"),
        (
            "text",
            {"text": "anna", "sequence": 1},
            "there is no sequence 1: the batch has 1 sequence",
        ),
        ("text", {"text": "anna", "sequence": -1}, "there is no sequence -1"),
        ("steps", {"folder": 1}, "holds no training"),
        ("nothing", {}, "there is nothing at /api/nothing"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(
    explorer: Explorer, path: str, query: dict[str, object], sentence: str
) -> None:
    found = explorer.error(path, **query)
    assert sentence in found
    assert "\n" not in found
    assert "internal error" not in found
    assert len(found) < 500


def test_only_the_holder_of_the_token_is_answered(explorer: Explorer) -> None:
    address = f"{explorer.address}/api/folders"
    assert httpx.get(address, **PLAIN).status_code == 401
    assert httpx.get(f"{explorer.address}/", **PLAIN).status_code == 200
    for name, value in (("Host", "evil.example"), ("Origin", "https://evil.example")):
        refused = httpx.get(address, headers={**explorer.headers, name: value}, **PLAIN)
        assert refused.status_code in (400, 403)


def test_page_loads_nothing_from_elsewhere(explorer: Explorer) -> None:
    response = httpx.get(f"{explorer.address}/", **PLAIN)
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.fixture(scope="module")
def broken(names_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """Two names runs: the record of a step of folder 0 is damaged, folder 1 is removed later."""
    place = tmp_path_factory.mktemp("broken")
    for name in ("damaged", "removed"):
        shutil.copytree(names_model, place / name)
    records = place / "damaged" / "training" / "history" / "steps.jsonl"
    lines = records.read_bytes().split(b"\n")
    records.write_bytes(b"\n".join([*lines[:5], b"{", *lines[6:]]))
    with exploring("damaged", "removed", cwd=place) as running:
        shutil.rmtree(place / "removed")
        yield running


def test_damaged_record_is_said(broken: Explorer) -> None:
    assert broken.process.stdout
    note = broken.process.stdout.readline()
    assert re.fullmatch(r"note: line 6 of damaged.*steps.jsonl is damaged: .*\n", note)
    found, _ = broken.get("folders")["folders"]
    assert found["steps"] is None
    assert "line 6" in found["no_steps_reason"]
    assert broken.get("map", text="anna")["loss"] > 0  # the model itself can be seen


def test_folder_removed_while_it_is_open_is_said(broken: Explorer) -> None:
    assert "are gone" in broken.error("map", folder=1, text="anna", step=5)
    assert "are gone" in broken.job("replay", folder=1, step=5)
    assert broken.get("map", folder=1, text="anna")["loss"] > 0  # the weights are in memory


def test_command_refuses_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ("empty", "missing", "--port=99999")
    found = refusals(*(["explore", argument] for argument in arguments), cwd=tmp_path)
    for (status, line), words in zip(found, ("empty", "missing", "--port")):
        assert status
        assert words in line


def test_server_needs_no_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # as Python does for a closed one
    Server(FastAPI())


@pytest.mark.parametrize("text", ["0,٣", "1_0", "-1", "1.5", "0,", "9999999999"])
def test_other_texts_are_no_index(text: str) -> None:
    with pytest.raises(UsageError, match="is no index: write it as 0,3,5"):
        parse_index(text)
