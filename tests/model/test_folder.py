"""The model folder: written whole or not at all, and clear errors when it is read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from anexa.errors import AnexaError
from anexa.model.architectures import ARCHITECTURES
from anexa.model.folder import create_folder, write_weights
from anexa.model.loading import load_model, open_model
from anexa.model.tensors import read_tensors, write_tensors
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight
from tests.cli.process import names, posix
from tests.model.helpers import FILES, MODEL, byte_tokenizer, small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a model folder, to be damaged."""
    create_folder(tmp_path / "model", MODEL, "# A card\n")
    return tmp_path / "model"


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("adds_bos", [True, False])
def test_written_model_equals_loaded_model(tmp_path: Path, model_type: str, adds_bos: bool) -> None:
    """The precision of the file is float32."""
    model = small_model(model_type, adds_bos)
    create_folder(tmp_path / "new" / "model", model, "# A card: é\n")
    reloaded = load_model(tmp_path / "new" / "model")
    assert reloaded.config == model.config == open_model(tmp_path / "new" / "model").config
    assert reloaded.tokenizer.to_json() == model.tokenizer.to_json()
    rounded = {name: Weight(w.shape, array("f", w.data)) for name, w in model.weights.items()}
    assert reloaded.weights == rounded
    assert (tmp_path / "new" / "model" / "README.md").read_text("utf-8") == "# A card: é\n"


def test_folder_has_the_files_of_a_hugging_face_repository(folder: Path) -> None:
    others = {"README.md", "generation_config.json", "tokenizer_config.json"}
    assert set(names(folder)) == others | set(FILES)
    eot_token_id = MODEL.tokenizer.eot_token_id
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text("utf-8"))
        assert (content["bos_token_id"], content["eos_token_id"]) == (eot_token_id, eot_token_id)
    with safetensors.safe_open(folder / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}, "transformers asks for it"
        assert "wte.weight" in {*file.keys()}, "mlx-lm opens no names with a prefix"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["n_ctx"] == config["n_positions"], "mlx-lm and llama.cpp's converter read it"
    assert list(folder.parent.iterdir()) == [folder], "nothing is left beside it"


@posix
def test_other_users_can_read_the_folder(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o755
    assert all((folder / name).stat().st_mode & 0o777 == 0o644 for name in FILES)


def test_existing_files_are_never_overwritten(folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(AnexaError, match="exists already: choose another folder"):
        create_folder(folder, MODEL, "# Another card\n")
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(AnexaError, match="exists already"):
        create_folder(tmp_path / "file", MODEL, "")
    with pytest.raises(AnexaError, match=r"cannot write .*inside"):
        create_folder(tmp_path / "file" / "inside", MODEL, "")
    assert {path: path.read_bytes() for path in before} == before
    assert names(tmp_path) == ["file", "model"]


@posix
@pytest.mark.parametrize("limit", [200, 3000])
def test_full_disk_leaves_no_partial_folder(tmp_path: Path, limit: int) -> None:
    """Whichever file is the first that does not fit on the disk."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from anexa.errors import AnexaError\n"
        "from anexa.model.folder import create_folder\n"
        "from tests.model.helpers import small_model\n"
        "model = small_model()\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n"
        "    create_folder(Path(sys.argv[1]), model, '# A card')\n"
        "except AnexaError as error:\n"
        "    print(error)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "model"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert re.fullmatch(r"cannot write .*: File too large\n", process.stdout)
    assert names(tmp_path) == []


OPENED = """
import sys
from pathlib import Path
from anexa.model.loading import open_model
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
source = open_model(Path(sys.argv[1]))
source.config, source.card, source.weight_files
source.load()
print(*sorted(Path(path).name for path in opened if path.startswith(sys.argv[1])))
"""


def test_each_file_is_opened_once(folder: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", OPENED, folder], capture_output=True, encoding="utf-8", check=True
    )
    assert process.stdout.split() == names(folder)


def test_weights_are_replaced_in_float32(folder: Path) -> None:
    doubled = {
        name: Weight(w.shape, array("d", (2 * x for x in w.data)))
        for name, w in MODEL.weights.items()
    }
    write_weights(folder, doubled)
    reloaded = load_model(folder).weights
    assert {w.typecode for w in reloaded.values()} == {"f"}
    for name, weight in doubled.items():
        assert list(reloaded[name].data) == pytest.approx(list(weight.data), rel=1e-6)


def test_tensors_keep_their_precision_and_metadata(tmp_path: Path) -> None:
    weights = {
        "double": Weight((2, 3), array("d", [0.1, 2, 3, 4, 5, 1 / 3])),
        "single": Weight((2,), array("f", [0.1, -0.0])),
        "scalar": Weight((1,), array("d", [7])),
    }
    write_tensors(tmp_path / "a.safetensors", weights, {"step": "7", "ü": "é"})
    reloaded, metadata = read_tensors(tmp_path / "a.safetensors")
    assert reloaded == weights
    assert {w.typecode for w in reloaded.values()} == {"d", "f"}
    assert metadata == {"step": "7", "ü": "é"}


# ------------------------------------------------------------------ opening what is not right


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def replace_by_html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html>Not found</html>", encoding="utf-8")


def replace_by_another_json(path: Path) -> None:
    path.write_text('[{"a": 1}]', encoding="utf-8")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_an_lfs_pointer(path: Path) -> None:
    """Write what a clone without git-lfs has."""
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


DAMAGES: list[Callable[[Path], None]] = [
    remove,
    truncate,
    empty,
    garble,
    replace_by_html,
    replace_by_another_json,
    replace_by_a_folder,
    replace_by_an_lfs_pointer,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_error_names_the_damaged_file(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / name)
    with pytest.raises(AnexaError, match=re.escape(name)) as caught:
        load_model(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message, "one sentence"


def test_path_without_a_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="nowhere is not a model folder: there is no such folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(AnexaError, match=r"is not a model folder: it has no config\.json"):
        load_model(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AnexaError, match="file is not a model folder"):
        load_model(tmp_path / "file")


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize("kind", ["bert", "llava", "", None, 3, ["gpt2"], {"gpt2": 1}])
def test_unknown_model_type_is_refused(folder: Path, kind: Any) -> None:
    change_config(folder, model_type=kind)
    with pytest.raises(
        AnexaError,
        match=r"config\.json cannot be used: its model_type is .*, and only microgpt, gpt2, .* can",
    ):
        load_model(folder)


def test_error_names_the_unsupported_setting_and_its_file(folder: Path) -> None:
    change_config(folder, activation_function="relu")
    with pytest.raises(
        AnexaError, match=r"model.config\.json cannot be used: .*activation_function is 'relu'"
    ):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"n_positions": 17}, "wpe.weight as 16 x 8, but config.json says 17 x 8"),
        ({"vocab_size": 99}, "wte.weight"),
        ({"n_embd": 4}, "wte.weight"),
        ({"n_layer": 3}, r" lacks h\.2\."),
        ({"n_layer": 1}, r"unknown to its config\.json, h\.1\."),
    ],
)
def test_weights_of_another_shape_are_refused(
    folder: Path, changes: dict[str, int], weight: str
) -> None:
    change_config(folder, **changes)
    with pytest.raises(AnexaError, match=rf"model\.safetensors.*{weight}"):
        load_model(folder)


Arrays = dict[str, Any]


def change_weights(folder: Path, change: Callable[[Arrays], Arrays]) -> None:
    path = folder / "model.safetensors"
    arrays = change(safetensors.numpy.load(path.read_bytes()))
    path.write_bytes(safetensors.numpy.save(arrays))


def test_unknown_weight_is_refused(folder: Path) -> None:
    change_weights(folder, lambda arrays: arrays | {"lm_head.extra": np.zeros(3, np.float32)})
    with pytest.raises(AnexaError, match=r"model\.safetensors has .*unknown .*lm_head\.extra"):
        load_model(folder)


def test_missing_weight_is_refused(folder: Path) -> None:
    lost = "h.1.mlp.c_fc.bias"
    change_weights(folder, lambda arrays: {n: a for n, a in arrays.items() if n != lost})
    with pytest.raises(AnexaError, match=rf"model\.safetensors lacks {re.escape(lost)}"):
        load_model(folder)


@pytest.mark.parametrize(
    ("dtype", "named"),
    [("int32", "I32"), ("int64", "I64"), ("bool", "BOOL"), ("int8", "I8"), ("uint8", "U8")],
)
def test_integer_weights_are_refused(folder: Path, dtype: str, named: str) -> None:
    change_weights(folder, lambda arrays: {n: a.astype(dtype) for n, a in arrays.items()})
    with pytest.raises(
        AnexaError, match=rf"model\.safetensors holds .* as {named}: only .*quantized"
    ):
        load_model(folder)


def test_float64_weights_can_be_opened(folder: Path) -> None:
    change_weights(folder, lambda arrays: {n: a.astype(np.float64) for n, a in arrays.items()})
    assert {w.typecode for w in load_model(folder).weights.values()} == {"d"}


def test_tokenizer_with_more_tokens_than_the_model_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(byte_tokenizer().to_json(), encoding="utf-8")
    symbols = byte_tokenizer().vocab_size
    with pytest.raises(
        AnexaError,
        match=rf"tokenizer of .* has {symbols} tokens, but the model has "
        rf"{MODEL.config.vocab_size}: they do not belong together",
    ):
        load_model(folder)


def test_tokenizer_with_fewer_tokens_than_the_model_is_accepted(folder: Path) -> None:
    """Vocabularies are often padded to a round number."""
    smaller = Tokenizer.from_characters(["abc"], adds_bos=False)
    (folder / "tokenizer.json").write_text(smaller.to_json(), encoding="utf-8")
    assert load_model(folder).tokenizer.vocab_size == 4


def test_copied_folder_can_be_loaded(folder: Path, tmp_path: Path) -> None:
    """Nothing in a folder depends on its path."""
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    assert load_model(tmp_path / "copy").config == MODEL.config
