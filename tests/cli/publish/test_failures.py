"""Failures of the Hub and of the network while a model is published: what is left there."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.process import ANEXA, one_sentence, posix
from tests.cli.publish.publishing import environment_of, publish
from tests.hub.server import Hub, Repository
from tests.model.helpers import FILES
from tests.server.process import wait_until

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")


def test_lost_connection_leaves_nothing_published(hub: Hub, place: Path) -> None:
    """Nothing is published in part, and a second try succeeds."""
    hub.cuts["commit"] = 1
    result = publish(hub, place, "letters", "ada/letters")
    assert "the Hub cannot be reached, or the connection was lost (" in one_sentence(result)
    assert (result.returncode, hub.repositories) == (1, {}), "not even an empty one"
    assert publish(hub, place, "letters", "ada/letters").returncode == 0
    assert hub.repositories["ada/letters"].files.keys() >= {*FILES}


def test_repository_whose_creation_was_not_confirmed_is_deleted(hub: Hub, place: Path) -> None:
    hub.lost = "/repos/create"
    result = publish(hub, place, "letters", "ada/letters")
    assert "the connection was lost (" in one_sentence(result)
    assert one_sentence(result).endswith("): try again later\n")
    assert (result.returncode, hub.repositories) == (1, {}), "not even an empty one"


@pytest.mark.slow
def test_repository_that_may_have_been_created_is_named(hub: Hub, place: Path) -> None:
    """Nobody can say whether it exists when the Hub cannot be reached any more."""
    hub.lost, hub.unreachable = "/repos/create", True
    result = publish(hub, place, "letters", "ada/letters")
    assert one_sentence(result).endswith("; the new repository ada/letters may be left there\n")
    assert hub.repositories.keys() == {"ada/letters"}


@pytest.mark.slow
def test_repository_that_existed_stays_if_the_answer_is_lost(hub: Hub, place: Path) -> None:
    hub.repositories["ada/letters"] = Repository("ada", private=False)
    hub.lost = "/repos/create"
    result = publish(hub, place, "letters", "ada/letters")
    assert one_sentence(result).endswith("): try again later\n")
    assert hub.repositories.keys() == {"ada/letters"}, "although it is empty"


def test_repository_of_another_program_stays(hub: Hub, place: Path) -> None:
    """A repository that another program created in between stays, even if it is empty."""
    hub.is_raced = True
    result = publish(hub, place, "letters", "ada/letters")
    assert one_sentence(result).endswith("): try again later\n")
    assert hub.repositories.keys() == {"ada/letters"}


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
