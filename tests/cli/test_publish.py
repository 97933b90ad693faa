"""`anexa publish`, to a Hub on this machine."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.training import build_trainer
from tests.cli.process import ANEXA, environment, one_sentence, posix
from tests.cli.test_files import unprivileged
from tests.hub.models import MARKED
from tests.hub.models import model as small
from tests.hub.pieces import divide
from tests.hub.server import Hub, Repository, playing
from tests.model.helpers import FILES
from tests.server.process import wait_until
from tests.training.runs import settings, stop_after, write_names

huggingface_hub: Any = pytest.importorskip(
    "huggingface_hub", reason="huggingface_hub is not installed"
)

CARD = """---
license: cc-by-4.0
tags: [mine]
datasets: [letters]
---

# Letters: é

My own words.
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with playing() as hub:
        yield hub


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with a model, and with files that must not be published."""
    create_folder(tmp_path / "letters", small({"model_type": "llama"}, MARKED), CARD)
    for name in (".env", "notes.txt", "secret.json", "model.safetensors.bak", "train.py"):
        (tmp_path / "letters" / name).write_text("hf_secret")
    (tmp_path / "letters" / "training").mkdir()
    (tmp_path / "letters" / "training" / "state.safetensors.old").write_text("moments")
    return tmp_path


def environment_of(hub: Hub, place: Path, token: str, **more: str) -> dict[str, str]:
    """Environment variables of a process that knows only this Hub and this token."""
    known = environment(
        HF_ENDPOINT=hub.address, HF_HOME=str(place / "hf"), HF_HUB_DISABLE_XET="1", **more
    )
    known = {name: value for name, value in known.items() if "TOKEN" not in name}
    if "HF_HUB_OFFLINE" not in more:
        known.pop("HF_HUB_OFFLINE", None)
    if token:
        known["HF_TOKEN"] = token
    return known


def publish(
    hub: Hub,
    place: Path,
    *arguments: str,
    token: str = "hf_ada",
    before: Sequence[str] = (),
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """`anexa publish`, with only this Hub and this token; `before` stands before the command."""
    return subprocess.run(
        [*before, *ANEXA, "publish", *arguments],
        cwd=place,
        env=environment_of(hub, place, token, **more),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def test_model_is_published_completely(hub: Hub, place: Path) -> None:
    result = publish(hub, place, "letters", "ada/letters")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith(f"published: {hub.address}/ada/letters\n")
    published = hub.repositories["ada/letters"]
    assert not published.private
    assert published.commits == 1, "all of it at once"
    config_files = {"generation_config.json", "tokenizer_config.json", "chat_template.jinja"}
    assert published.files.pop(".gitattributes") == b"*.bin", "the Hub's own"
    assert published.files.keys() == {*FILES, *config_files, "README.md"}
    for name, content in published.files.items():
        if name != "README.md":
            assert content == (place / "letters" / name).read_bytes()
            assert f"  {name} " in result.stdout
            assert f" {len(content):,} bytes\n" in result.stdout
    assert b"hf_secret" not in b"".join(published.files.values())
    kept = ".env, model.safetensors.bak, notes.txt, secret.json, train.py, training/"
    assert f"not published: {kept}\n" in result.stdout
    # What was published is a model folder again.
    (place / "back").mkdir()
    for name, content in published.files.items():
        (place / "back" / name).write_bytes(content)
    assert load_model(place / "back").weights == load_model(place / "letters").weights


def test_card_says_how_to_use_the_model(hub: Hub, place: Path) -> None:
    result = publish(hub, place, "letters", "ada/letters")
    card = hub.repositories["ada/letters"].files["README.md"].decode()
    assert card in result.stdout
    _, _, text = card.split("---\n", 2)
    assert huggingface_hub.ModelCard(card).data.to_dict() == {
        "license": "cc-by-4.0",
        "tags": ["mine", "anexa"],
        "datasets": ["letters"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
    }
    assert "license: cc-by-4.0\n" in result.stdout
    assert text.startswith("\n# Letters: é\n\nMy own words.\n")
    for part in (
        'AutoModelForCausalLM.from_pretrained("ada/letters")',
        "hf download ada/letters --local-dir letters\nanexa chat letters\n",
        "anexa export letters --to gguf --out letters.gguf\nllama-cli -m letters.gguf --jinja\n",
    ):
        assert part in text
    assert (place / "letters" / "README.md").read_text("utf-8") == CARD, "the folder's own stays"


def test_dry_run_sends_nothing(hub: Hub, place: Path) -> None:
    result = publish(hub, place, "letters", "ada/letters", "--dry-run", token="")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("nothing was sent (--dry-run)\n")
    assert "model.safetensors " in result.stdout
    assert hub.requests == []


@pytest.mark.slow
def test_private_and_license_options_are_applied(hub: Hub, place: Path) -> None:
    command = ("letters", "ada/letters", "--private", "--license", "mit")
    assert publish(hub, place, *command).returncode == 0
    published = hub.repositories["ada/letters"]
    assert published.private
    assert b"\nlicense: mit\n" in published.files["README.md"]


@pytest.mark.slow
def test_private_refuses_a_public_repository(hub: Hub, place: Path) -> None:
    hub.repositories["ada/letters"] = Repository("ada", private=False)
    result = publish(hub, place, "letters", "ada/letters", "--private")
    assert "ada/letters exists already and is public: make it private" in one_sentence(result)
    assert (result.returncode, hub.repositories["ada/letters"].files) == (1, {})


@pytest.mark.slow
def test_new_version_replaces_the_old_one(hub: Hub, place: Path) -> None:
    """Old model files are deleted; other files of the owner stay."""
    earlier = {"chat_template.jinja": b"{{ 1 }}", "vocab.json": b"{}", "photo.png": b"1"}
    hub.repositories["ada/letters"] = Repository("ada", False, {**earlier})
    (place / "letters" / "chat_template.jinja").unlink()
    assert publish(hub, place, "letters", "ada/letters").returncode == 0
    files = hub.repositories["ada/letters"].files
    assert files["photo.png"] == b"1"
    assert not {"chat_template.jinja", "vocab.json"} & files.keys()


# ------------------------------------------------------------------ what can go wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "refusals", "sentence"),
    [
        ("", {}, "you are not logged in to the Hub: log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_old", {}, "the Hub refuses your token: log in again"),
        ("hf_ada", {"create": 403, "models/": 404}, "does not let ada write to ada/letters"),
        ("hf_ada", {"preupload": 403}, "the Hub does not let ada write to ada/letters"),
        ("hf_ada", {"commit": 413}, "the Hub refuses: because of the test (status 413)\n"),
        ("hf_ada", {"commit": 400}, "the Hub refuses: because of the test (status 400)\n"),
        ("hf_ada", {"commit": 429}, "the Hub answered 429 (because of the test): try again later"),
        ("hf_ä", {}, "your token for the Hub has characters that no token has: log in again with"),
        (
            "hf ada",
            {},
            "your token for the Hub has characters that no token has: log in again with",
        ),
        ("hf_ada", {"whoami": 500}, "the Hub answered 500 (because of the test): try again later"),
    ],
)
def test_refusals_of_the_hub_are_one_sentence(
    hub: Hub, place: Path, token: str, refusals: dict[str, int], sentence: str
) -> None:
    hub.refusals.update(refusals)
    result = publish(hub, place, "letters", "ada/letters", token=token)
    assert sentence in one_sentence(result)
    assert result.returncode == 1
    assert hub.repositories == {}, "not even an empty one"


@pytest.mark.slow
@pytest.mark.parametrize("taken", [True, False])
def test_name_of_another_user_is_refused(hub: Hub, place: Path, taken: bool) -> None:
    if taken:
        hub.repositories["bob/letters"] = Repository("bob", private=False)
    result = publish(hub, place, "letters", "bob/letters")
    assert one_sentence(result) == (
        "anexa: the Hub does not let ada write to bob/letters: choose a name of your own, such as "
        "ada/letters, or log in with a token that may write\n"
    )
    assert result.returncode == 1


@pytest.mark.slow
def test_unknown_license_is_refused(hub: Hub, place: Path) -> None:
    result = publish(hub, place, "letters", "ada/letters", "--license", "none-such")
    assert one_sentence(result) == (
        'anexa: the Hub refuses the model card: - Error: "license" must be known\n'
    )
    assert (result.returncode, hub.repositories) == (1, {}), "not even an empty one"


def test_lost_connection_leaves_nothing_published(hub: Hub, place: Path) -> None:
    """Nothing is published in part, and a second try succeeds."""
    hub.cuts["commit"] = 1
    result = publish(hub, place, "letters", "ada/letters")
    assert "the Hub cannot be reached, or the connection was lost (" in one_sentence(result)
    assert (result.returncode, hub.repositories) == (1, {}), "not even an empty one"
    assert publish(hub, place, "letters", "ada/letters").returncode == 0
    assert hub.repositories["ada/letters"].files.keys() >= {*FILES}


@pytest.mark.slow
def test_repository_that_cannot_be_deleted_is_named(hub: Hub, place: Path) -> None:
    hub.refusals = {"commit": 413, "repos/delete": 403}
    result = publish(hub, place, "letters", "ada/letters")
    assert one_sentence(result) == (
        "anexa: the Hub refuses: because of the test (status 413); the new repository ada/letters "
        "is left there\n"
    )
    assert hub.repositories["ada/letters"].files.keys() == {".gitattributes"}


@posix
@pytest.mark.parametrize("is_deleted", [True, False])
def test_interrupted_publication_names_a_repository_that_is_left(
    is_deleted: bool, hub: Hub, place: Path
) -> None:
    hub.stalled = "/commit/"
    if not is_deleted:
        hub.refusals["repos/delete"] = 403
    with subprocess.Popen(
        [*ANEXA, "publish", "letters", "ada/letters"],
        cwd=place,
        env=environment_of(hub, place, "hf_ada"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        wait_until(lambda: any("/commit/" in request for request in hub.requests))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ("" if is_deleted else "anexa: the new repository ada/letters is left there\n")
    assert list(hub.repositories) == ([] if is_deleted else ["ada/letters"])


@pytest.mark.slow
def test_repository_that_existed_stays_after_a_failure(hub: Hub, place: Path) -> None:
    hub.repositories["ada/letters"] = Repository("ada", private=False)
    hub.refusals["commit"] = 413
    result = publish(hub, place, "letters", "ada/letters")
    assert one_sentence(result) == "anexa: the Hub refuses: because of the test (status 413)\n"
    assert hub.repositories["ada/letters"].files == {}


@pytest.mark.slow
def test_model_whose_commit_was_made_but_not_confirmed_stays(hub: Hub, place: Path) -> None:
    hub.lost = "/commit/"
    result = publish(hub, place, "letters", "ada/letters")
    assert "the connection was lost (" in one_sentence(result)
    assert one_sentence(result).endswith("; the new repository ada/letters is left there\n")
    assert hub.repositories["ada/letters"].files.keys() >= {*FILES}


@pytest.mark.slow
def test_interrupted_upload_of_weights_is_retried(hub: Hub, place: Path) -> None:
    hub.cuts["storage"] = 1
    result = publish(hub, place, "letters", "ada/letters")
    assert (result.returncode, result.stderr) == (0, "")
    assert sum("PUT /storage" in request for request in hub.requests) == 2


@pytest.mark.slow
def test_server_that_is_not_the_hub_is_an_error(hub: Hub, place: Path) -> None:
    hub.refusals["whoami"] = 200
    result = publish(hub, place, "letters", "ada/letters")
    assert "the Hub's answer is not understood (KeyError: 'name')" in one_sentence(result)


@pytest.mark.slow
def test_missing_network_is_an_error(hub: Hub, place: Path) -> None:
    address, hub.address = hub.address, "http://no-such-host.invalid"
    result = publish(hub, place, "letters", "ada/letters")
    hub.address = address
    assert "the Hub cannot be reached, or the connection was lost (" in one_sentence(result)
    assert result.returncode == 1
    result = publish(hub, place, "letters", "ada/letters", HF_HUB_OFFLINE="1")
    assert one_sentence(result) == "anexa: HF_HUB_OFFLINE is set: unset it to publish\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "fragment"),
    [
        (["letters", "letters"], 2, "the name on the Hub must be USER/NAME, not 'letters'"),
        (["letters", "ada/le tters"], 2, "the Hub does not allow this name: "),
        (["letters", "a/b/c"], 2, "the Hub does not allow this name: "),
        (["nowhere", "ada/letters"], 1, "nowhere is not a model folder"),
        (["letters.json", "ada/letters"], 2, "make a folder of letters.json first: anexa export"),
    ],
)
def test_unpublishable_folders_are_refused(
    hub: Hub, place: Path, arguments: list[str], status: int, fragment: str
) -> None:
    result = publish(hub, place, *arguments)
    assert fragment in one_sentence(result)
    assert (result.returncode, hub.requests) == (status, [])


def link(path: Path) -> None:
    (path.parent.parent / "secret").write_text("hf_secret", encoding="utf-8")
    path.symlink_to("../secret")


def lock(path: Path) -> None:
    path.write_text("{}", encoding="utf-8")
    path.chmod(0)


@posix
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (Path.mkdir, "letters/vocab.json cannot be published: it is not a file"),
        (lock, "cannot read letters/vocab.json: Permission denied"),
        (link, "letters/vocab.json is a link to "),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_unreadable_file_is_refused_before_upload(
    hub: Hub, place: Path, spoil: Callable[[Path], None], sentence: str, dry: list[str]
) -> None:
    """The error comes before anything is sent."""
    spoil(place / "letters" / "vocab.json")
    result = publish(hub, place, "letters", "ada/letters", *dry, before=unprivileged())
    assert one_sentence(result).startswith(f"anexa: {sentence}")
    assert (result.returncode, result.stdout, hub.requests) == (1, "", [])


def test_sharded_weights_are_published(hub: Hub, place: Path) -> None:
    """They replace the shards of an earlier version, whatever their names."""
    earlier = {"model.safetensors": b"1", "w-00001-of-00009.safetensors": b"1"}
    kept = {"lora.safetensors": b"1"}
    hub.repositories["ada/letters"] = Repository("ada", False, {**earlier, **kept})
    divide(place / "letters", "w-1.safetensors", "w-2.safetensors")
    (place / "letters" / "model.safetensors").unlink()
    result = publish(hub, place, "letters", "ada/letters")
    assert (result.returncode, result.stderr) == (0, "")
    files = hub.repositories["ada/letters"].files
    pieces = {"w-1.safetensors", "w-2.safetensors", "lora.safetensors"}
    assert {name for name in files if name.endswith(".safetensors")} == pieces
    assert files["w-1.safetensors"] == (place / "letters" / "w-1.safetensors").read_bytes()
    assert "model.safetensors.index.json" in files


@pytest.mark.slow
def test_damaged_model_is_not_published(hub: Hub, place: Path) -> None:
    weights = place / "letters" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = publish(hub, place, "letters", "ada/letters")
    assert "model.safetensors is damaged" in one_sentence(result)
    assert hub.requests == []


@pytest.mark.slow
def test_unreadable_card_is_refused(hub: Hub, place: Path) -> None:
    (place / "letters" / "README.md").write_text("---\na: [\n---\n", encoding="utf-8")
    result = publish(hub, place, "letters", "ada/letters")
    assert "the header of README.md cannot be read: " in one_sentence(result)
    assert hub.requests == []


@pytest.mark.slow
def test_unfinished_training_is_published_with_a_warning(hub: Hub, tmp_path: Path) -> None:
    """microgpt's code for transformers is published too; the training state is not."""
    stop_after(build_trainer(settings(write_names(tmp_path)), tmp_path / "half"), 4)
    result = publish(hub, tmp_path, "half", "ada/half")
    assert "the training in half has not ended" in one_sentence(result)
    assert result.returncode == 0
    assert "license: none, so nobody else may use it; --license NAME sets one" in result.stdout
    assert "not published: training/" in result.stdout
    card: Any = hub.repositories["ada/half"].files["README.md"].decode()
    assert "library_name: transformers\n" in card
    assert 'from_pretrained("ada/half", trust_remote_code=True)' in card
    assert "modeling_microgpt.py" in hub.repositories["ada/half"].files
    assert "llama.cpp" not in card
    assert "\n## Sample\n\n```\n" in card
    assert "anexa generate half\n" in card
