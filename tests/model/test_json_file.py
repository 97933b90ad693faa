"""A model in one JSON file: the round trip is exact, and damage is reported in one sentence."""

from __future__ import annotations

import json
import random
import struct
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anexa
from anexa.errors import AnexaError
from anexa.model.architectures import ARCHITECTURES
from anexa.model.chat_format import CHAT_TEMPLATE
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.json_file import write_model_json
from anexa.model.loading import load_model, model_name, open_model
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight, initial_weights
from tests.cli.process import names, posix
from tests.hub.models import OTHERS
from tests.model.helpers import byte_tokenizer, small_model

LETTERS = Tokenizer.from_characters(["abc"], adds_bos=True)


def tiny(model_type: str = "microgpt") -> Model:
    """Make a model with few numbers, so that most of its file is structure."""
    config = ModelConfig(model_type, LETTERS.vocab_size, 3, n_embd=2, n_head=1, n_layer=1)
    weights = initial_weights(config, random.Random(1))
    rounded = {name: Weight(w.shape, array("f", w.data)) for name, w in weights.items()}
    return Model(config, rounded, LETTERS, "{{ messages[0].content }}", 0.5, 2)


def bits(value: float) -> int:
    [number] = struct.unpack("<I", struct.pack("<f", value))
    return int(number)


# ------------------------------------------------------------------ there and back


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("chats", [False, True])
def test_written_model_equals_loaded_model(tmp_path: Path, model_type: str, chats: bool) -> None:
    model = small_model(model_type, tokenizer=byte_tokenizer() if chats else None)
    if chats:
        model = replace(model, chat_template=CHAT_TEMPLATE, temperature=0.0, max_new_tokens=7)
    create_folder(tmp_path / "model", model, "# Ä card\n")
    model = load_model(tmp_path / "model")  # in float32
    write_model_json(tmp_path / "model.json", model, "# Ä card\n")
    source = open_model(tmp_path / "model.json")
    reloaded, card = source.load(), source.card
    assert reloaded.tokenizer.to_json() == model.tokenizer.to_json()
    assert replace(reloaded, tokenizer=model.tokenizer) == model
    assert [*reloaded.weights] == [*model.weights], "in the same order"
    assert card == "# Ä card\n"


def test_json_file_can_be_exported_to_the_same_folder(tmp_path: Path) -> None:
    """All files are equal, byte for byte."""
    model = replace(small_model(), chat_template=CHAT_TEMPLATE, max_new_tokens=5)
    create_folder(tmp_path / "one", model, "# A card\n")
    write_model_json(tmp_path / "one.json", load_model(tmp_path / "one"), "# A card\n")
    source = open_model(tmp_path / "one.json")
    create_folder(tmp_path / "two", source.load(), source.card)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two


def test_special_tokens_survive_the_round_trip(tmp_path: Path) -> None:
    """A foreign `tokenizer.json` does not name them."""
    model = small_model(tokenizer=OTHERS)
    write_model_json(tmp_path / "m.json", model)
    reloaded = load_model(tmp_path / "m.json").tokenizer
    assert (reloaded.bos_token_id, reloaded.eos_token_ids) == (
        OTHERS.bos_token_id,
        OTHERS.eos_token_ids,
    )
    assert reloaded.encode_prompt("a") == OTHERS.encode_prompt("a")


EDGES = [
    *[0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 16_777_216.0, 1e16, 1e-5],
    *[1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, 3.4028235e38, -3.4028235e38],
]


def there_and_back(path: Path, values: list[float]) -> tuple[list[int], list[int], list[str]]:
    """Return the bits of numbers before and after the round trip, and their text in the file."""
    model = tiny()
    data = array("f", values)
    weight = model.weights["wte.weight"]
    data.extend([0.0] * (len(weight.data) - len(data)))
    model.weights["wte.weight"] = Weight(weight.shape, data)
    write_model_json(path, model)
    reloaded = load_model(path).weights["wte.weight"].data
    rows = json.loads(path.read_text("utf-8"), parse_float=str)["weights"]["wte.weight"]
    return [*map(bits, data)], [*map(bits, reloaded)], [number for row in rows for number in row]


@pytest.mark.parametrize("value", EDGES)
def test_special_numbers_survive_the_round_trip_bit_for_bit(tmp_path: Path, value: float) -> None:
    before, after, _ = there_and_back(tmp_path / "m.json", [value])
    assert before == after


floats = st.integers(0, 2**32 - 1).map(
    lambda number: float(struct.unpack("<f", struct.pack("<I", number))[0])
)


@given(values=st.lists(floats.filter(lambda x: abs(x) < float("inf")), min_size=8, max_size=8))
def test_any_numbers_survive_the_round_trip_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    before, after, written = there_and_back(tmp_path_factory.getbasetemp() / "floats.json", values)
    assert before == after
    for value, text in zip(values, written):
        digits = sum(map(str.isdigit, text.partition("e")[0].replace(".", "").strip("-0")))
        shorter = f"{value:.{max(digits - 2, 0)}e}"
        assert digits <= 9
        assert digits < 2 or bits(float(np.float32(shorter))) != bits(value), (
            "not one digit too many"
        )


def test_float32_that_would_be_rounded_twice(tmp_path: Path) -> None:
    """Its shortest decimal is right when read as a float32, and wrong by way of float64."""
    value = float(np.uint32(363742205).view(np.float32))
    assert bits(float(str(np.float32(value)))) != 363742205
    for sign in (1, -1):
        before, after, _ = there_and_back(tmp_path / "m.json", [0.5, sign * value])
        assert before == after


def test_file_is_strict_json(tmp_path: Path) -> None:
    """Strictly: no NaN, no Infinity; and its shapes are those of the configuration."""
    write_model_json(tmp_path / "m.json", small_model("llama"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    whole = json.loads((tmp_path / "m.json").read_bytes(), parse_constant=refuse)
    assert whole["config"]["model_type"] == "llama"
    table = whole["weights"]["model.embed_tokens.weight"]
    sizes = (whole["config"]["vocab_size"], whole["config"]["hidden_size"])
    assert (len(table), len(table[0])) == sizes
    assert whole["tokenizer"]["model"]["vocab"]["é"] < sizes[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_weights_that_are_not_float32_are_refused(tmp_path: Path, value: float) -> None:
    model = tiny()
    weight = model.weights["wpe.weight"]
    model.weights["wpe.weight"] = Weight(weight.shape, array("d", [value, *weight.data[1:]]))
    with pytest.raises(AnexaError, match=r"wpe\.weight has values that are not float32 numbers"):
        write_model_json(tmp_path / "m.json", model)
    assert names(tmp_path) == []


@posix
def test_missing_output_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"cannot write .*m\.json: there is no folder"):
        write_model_json(tmp_path / "missing" / "m.json", tiny())


# ------------------------------------------------------------------ opened like a folder


def test_json_file_and_folder_open_alike(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    write_model_json(path, tiny(), "# A card\n")
    create_folder(tmp_path / "names", tiny(), "# A card\n")
    assert load_model(path).weights == load_model(tmp_path / "names").weights
    assert open_model(path).config == open_model(tmp_path / "names").config == tiny().config
    one, other = map(load_model, (path, tmp_path / "names"))
    card, the_same = (open_model(p).card for p in (path, tmp_path / "names"))
    assert one.weights == other.weights
    assert card == the_same == "# A card\n"
    assert model_name(path) == model_name(tmp_path / "names") == "names"
    assert anexa.load(path).name == "names"
    said = anexa.load(path, engine="lists").generate("ab", temperature=0, max_tokens=1)
    assert said == anexa.load(tmp_path / "names").generate("ab", temperature=0, max_tokens=1)


def test_card_is_empty_without_readme(tmp_path: Path) -> None:
    create_folder(tmp_path / "names.json", tiny(), "")
    (tmp_path / "names.json" / "README.md").unlink()
    assert open_model(tmp_path / "names.json").card == ""


# ------------------------------------------------------------------ what is not right

Change = Callable[[dict[str, Any]], object]


def put(*keys: str, value: Any) -> Change:
    def change(whole: dict[str, Any]) -> None:
        for key in keys[:-1]:
            whole = whole[key]
        whole[keys[-1]] = value

    return change


WTE = "wte.weight"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda whole: whole.pop("weights"), "holds no model: it has no object 'weights'"),
        (put("tokenizer", value=[]), "holds no model: it has no object 'tokenizer'"),
        (put("config", "model_type", value="bert"), "its model_type is 'bert'"),
        (put("config", "n_embd", value=3), "has wte.weight as 4 x 2, but config says 4 x 3"),
        (put("config", "n_layer", value=99), "weights, but config says 99 layers"),
        (lambda whole: whole["weights"].pop(WTE), "lacks wte.weight"),
        (put("weights", "more", value=[1]), "has a weight unknown to its config, more"),
        (put("weights", WTE, value=[[1, 2], [3]]), "wte.weight is not a list of numbers"),
        (put("weights", WTE, value=[[1, 2], 3]), "wte.weight is not a list of numbers"),
        (put("weights", WTE, value=7), "wte.weight is not a list of numbers"),
        (put("weights", WTE, value=[]), "has wte.weight as 0, but"),
        (put("weights", WTE, value=[[[1.0]]]), "has an element that is not a number"),
        (put("weights", WTE, value=[1.0, "2"]), "has an element that is not a number"),
        (put("weights", WTE, value=[1.0, True]), "has an element that is not a number"),
        (put("weights", WTE, value=[1.0, None]), "has an element that is not a number"),
        (put("weights", WTE, value=[1e39]), "has values that are not float32 numbers"),
        (put("weights", WTE, value=[10**400]), "has values that are not float32 numbers"),
        (put("weights", WTE, value=[float("nan")]), "has values that are not float32 numbers"),
        (put("tokenizer", value={}), "tokenizer.json is damaged"),
        (put("chat_template", value=3), "its chat_template is not text"),
        (put("card", value="half \ud83d"), "its card is not text"),
        (put("generation_config", "temperature", value="warm"), "has the temperature 'warm'"),
    ],
)
def test_error_says_what_is_wrong_with_the_file(
    tmp_path: Path, change: Change, sentence: str
) -> None:
    path = tmp_path / "m.json"
    write_model_json(path, tiny(), "# A card\n")
    whole = json.loads(path.read_bytes())
    change(whole)
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(AnexaError) as caught:
        load_model(path)
    message = str(caught.value)
    assert sentence in message
    assert str(path) in message
    assert "\n" not in message


def test_json_file_with_a_larger_tokenizer_is_refused(tmp_path: Path) -> None:
    write_model_json(tmp_path / "m.json", replace(tiny(), tokenizer=byte_tokenizer()))
    with pytest.raises(AnexaError, match=r"has 261 tokens, but the model has 4"):
        load_model(tmp_path / "m.json")


def test_missing_file_and_file_without_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"there is no file .*m\.json"):
        load_model(tmp_path / "m.json")
    (tmp_path / "m.json").write_bytes(b"GGUF\x03")
    with pytest.raises(AnexaError, match=r"m\.json is damaged: it is not JSON"):
        load_model(tmp_path / "m.json")
    (tmp_path / "m.gguf").write_bytes(b"GGUF\x03")
    with pytest.raises(AnexaError, match=r"m\.gguf is damaged: its metadata are cut off"):
        load_model(tmp_path / "m.gguf")
