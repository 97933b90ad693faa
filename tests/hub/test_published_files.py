"""Selection of the files to publish: those of the model, and none from outside of the folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from anexa.errors import AnexaError
from anexa.model.architectures import get_architecture
from anexa.model.folder import WEIGHTS_INDEX_FILE, ModelFolder, create_folder
from anexa.model.loading import load_model, open_model
from tests.cli.process import posix
from tests.hub.models import MARKED, model
from tests.hub.pieces import divide
from tests.model.helpers import small_model

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

from anexa.hub.publish import select_files  # it needs that


def published(folder: Path) -> tuple[dict[str, Path], list[str]]:
    return select_files(ModelFolder(folder))


ALWAYS = {
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    "chat_template.jinja",
}
READ = [*ALWAYS, "README.md", "model.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_folder(tmp_path / "letters", model({"model_type": "llama"}, MARKED), "# Letters\n")
    return tmp_path / "letters"


@pytest.mark.parametrize(
    "pieces",
    [
        ("w-00001-of-00002.safetensors", "w-00002-of-00002.safetensors"),
        ("model-00001-of-00001.safetensors",),
        ("head.safetensors", "the_rest.2.safetensors"),
    ],
)
def test_shards_of_any_name_are_published(folder: Path, pieces: tuple[str, ...]) -> None:
    before = load_model(folder).weights
    divide(folder, *pieces)
    (folder / "model.safetensors").unlink()
    (folder / "model-00007-of-00009.safetensors").write_bytes(b"of an earlier version")
    files, kept = published(folder)
    assert files.keys() == {*ALWAYS, WEIGHTS_INDEX_FILE, *pieces}
    assert kept == ["model-00007-of-00009.safetensors"]
    for name in kept:
        (folder / name).unlink()
    assert load_model(folder).weights == before


def test_unused_shards_are_not_published(folder: Path) -> None:
    divide(folder, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    files, kept = published(folder)
    assert files.keys() == {*ALWAYS, "model.safetensors"}
    assert len(kept) == 3


def test_only_the_code_of_the_architecture_is_published(tmp_path: Path, folder: Path) -> None:
    """A foreign `auto_map` may name any file in the folder, which is not published."""
    path = folder / "config.json"
    config = json.loads(path.read_bytes()) | {"auto_map": {"AutoConfig": "train.X"}}
    path.write_text(json.dumps(config), encoding="utf-8")
    (folder / "train.py").write_text("password = 'hf_secret'", encoding="utf-8")
    assert published(folder)[1] == ["train.py"]
    create_folder(tmp_path / "names", small_model("microgpt"), "")
    (code,) = get_architecture(open_model(tmp_path / "names").config).code()
    assert code in published(tmp_path / "names")[0]


# ------------------------------------------------------------------ links


@posix
@pytest.mark.parametrize("name", [*sorted(READ), "vocab.json", "LICENSE"])
def test_link_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    secret = folder.parent / "secret"
    if (folder / name).exists():
        (folder / name).rename(secret)
    else:
        secret.write_text("hf_secret", encoding="utf-8")
    (folder / name).symlink_to(Path("..") / "secret")
    with pytest.raises(
        AnexaError, match=r"is a link to .*/secret, outside its folder: replace it by a copy"
    ):
        published(folder)


@posix
def test_link_to_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "secret").write_text("{}", encoding="utf-8")
    (folder / "inside").symlink_to("../secret")
    (folder / "vocab.json").symlink_to("inside")
    with pytest.raises(AnexaError, match=r"vocab\.json is a link to .*/secret, outside its folder"):
        published(folder)


@posix
def test_link_within_the_folder_and_link_to_it_are_accepted(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "best.safetensors")
    (folder / "model.safetensors").symlink_to("best.safetensors")
    (folder.parent / "again").symlink_to("letters")
    for one in (folder, folder.parent / "again"):
        assert published(one)[0].keys() == {*ALWAYS, "model.safetensors"}


def cached(folder: Path, repository: str, blobs: str = "../../blobs") -> Path:
    """Lay out a folder as in the cache of the Hub."""
    snapshot = folder.parent / repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        place = snapshot / blobs / str(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        (snapshot / path.name).symlink_to(f"{blobs}/{number}")
    return snapshot


@posix
def test_links_of_the_hub_cache_are_accepted(folder: Path) -> None:
    snapshot = cached(folder, "models--ada--letters")
    assert published(snapshot)[0].keys() == {*ALWAYS, "model.safetensors"}


@posix
@pytest.mark.parametrize(
    ("repository", "blobs"),
    [
        ("letters--ada", "../../blobs"),
        ("models--ada--letters", "../../../models--bob--letters/blobs"),
        ("models--ada--letters", "../../blobs/deeper"),
        ("models--ada--letters", "../../refs"),
    ],
)
def test_other_links_beside_the_cache_are_refused(
    folder: Path, repository: str, blobs: str
) -> None:
    with pytest.raises(AnexaError, match="outside its folder"):
        published(cached(folder, repository, blobs))


@posix
def test_blobs_outside_of_the_cache_are_refused(folder: Path) -> None:
    snapshot = cached(folder, "models--ada--letters")
    blobs = snapshot.parents[1] / "blobs"
    blobs.rename(folder.parent / "secrets")
    blobs.symlink_to("../secrets")
    with pytest.raises(AnexaError, match="outside its folder"):
        published(snapshot)


# ------------------------------------------------------------------ what is no file


def test_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "merges.txt").mkdir()
    with pytest.raises(AnexaError, match=r"merges\.txt cannot be published: it is not a file"):
        published(folder)


@posix
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("nothing"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to("."),
    ],
    ids=["pipe", "nothing", "itself", "folder"],
)
def test_pipe_and_broken_link_are_refused(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "vocab.json")
    with pytest.raises(AnexaError, match=r"vocab\.json cannot be published: it is not a file"):
        published(folder)
