"""Logs and progress bars of `huggingface_hub` after we have used it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from anexa.errors import AnexaError
from tests.hub.models import MARKED, model

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

from anexa.hub.card import make_hub_card
from anexa.hub.publish import Publication, upload
from anexa.hub.quiet import quiet_hub

LOGGER = logging.getLogger("huggingface_hub")


@pytest.fixture(params=[logging.NOTSET, logging.DEBUG])
def level(request: pytest.FixtureRequest) -> Iterator[int]:
    before = LOGGER.level
    LOGGER.setLevel(request.param)
    enable_progress_bars()
    yield request.param
    LOGGER.setLevel(before)


def fail_quietly() -> None:
    with quiet_hub():
        assert LOGGER.level == logging.ERROR
        assert are_progress_bars_disabled(), "the standard error is no terminal"
        raise ZeroDivisionError


def test_hub_is_quiet_for_a_while(level: int) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_quietly()
    assert LOGGER.level == level
    assert not are_progress_bars_disabled()


def test_card_and_refused_upload_leave_the_logger_as_it_was(
    level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = model({"model_type": "llama"}, MARKED)
    card = make_hub_card("", "ada/letters", small.config, small.tokenizer)
    assert LOGGER.level == level
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    with pytest.raises(AnexaError, match="HF_HUB_OFFLINE is set"):
        upload(Publication("ada/letters", card, {}), private=False)
    assert LOGGER.level == level
    assert not are_progress_bars_disabled()
