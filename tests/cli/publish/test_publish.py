"""`anexa publish`, to a Hub on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from anexa.cli.publish import _sample
from anexa.errors import OutOfMemoryError
from anexa.generation import LanguageModel
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.training import build_trainer
from tests.cli.process import one_sentence, posix
from tests.cli.publish.publishing import CARD, publish
from tests.cli.test_files import unprivileged
from tests.hub.pieces import divide
from tests.hub.server import Hub, Repository
from tests.model.helpers import FILES, small_model, without_end
from tests.training.runs import settings, stop_after, write_names

huggingface_hub: Any = pytest.importorskip(
    "huggingface_hub", reason="huggingface_hub is not installed"
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


def test_model_that_cannot_begin_a_text_is_published_without_a_sample(
    hub: Hub, tmp_path: Path
) -> None:
    create_folder(tmp_path / "endless", small_model(tokenizer=without_end()), "")
    result = publish(hub, tmp_path, "endless", "ada/endless", "--dry-run")
    assert (result.returncode, result.stderr) == (0, "")
    assert "## Sample" not in result.stdout


def test_sample_that_needs_too_much_memory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lack of memory is not taken for a model that cannot begin a text."""

    def fail(*_: object) -> NoReturn:
        raise MemoryError

    create_folder(tmp_path / "small", small_model(), "")
    model = LanguageModel.open(tmp_path / "small", "numpy")
    monkeypatch.setattr(model.engine, "next_logits", fail)
    with pytest.raises(OutOfMemoryError, match="there is not enough memory at the moment"):
        _sample(model)


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
