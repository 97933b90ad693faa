from __future__ import annotations

import math
from dataclasses import replace

import pytest

from anexa.engines import best_engine
from anexa.errors import UsageError
from anexa.model.config import PRESETS
from anexa.training import Settings

GOOD = Settings(
    corpus="firstnames",
    layout="auto",
    preset="microgpt",
    engine="numpy",
    steps=10,
    minutes=None,
    batch_size=1,
    learning_rate=0.01,
    seed=42,
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "--steps must be at least 1, not 0"),
        ({"steps": -5}, "--steps must be at least 1, not -5"),
        ({"steps": None}, "--steps or after --minutes: give one"),
        ({"minutes": 1.0}, "--steps or after --minutes: give one"),
        ({"steps": None, "minutes": 0.0}, "--minutes must be above 0, not 0"),
        ({"steps": None, "minutes": -1.0}, "--minutes must be above 0, not -1"),
        ({"steps": None, "minutes": math.nan}, "--minutes must be above 0, not nan"),
        ({"steps": None, "minutes": math.inf}, "--minutes must be above 0, not inf"),
        ({"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be above 0, not 0"),
        ({"learning_rate": -0.1}, "--learning-rate must be above 0, not -0.1"),
        ({"learning_rate": math.nan}, "--learning-rate must be above 0, not nan"),
        ({"learning_rate": math.inf}, "--learning-rate must be above 0, not inf"),
        ({"engine": "abacus"}, "no engine 'abacus': choose one of scalar, lists, numpy, torch"),
        ({"preset": "giant"}, "no preset 'giant': choose one of microgpt, anexa"),
    ],
)
def test_what_means_nothing_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        replace(GOOD, **changes)  # type: ignore[arg-type]


def test_the_preset_has_a_word_on_what_is_not_asked_for() -> None:
    chosen = PRESETS["microgpt"]
    assert Settings.of(corpus="firstnames", preset="microgpt", engine="numpy", steps=10) == GOOD
    assert Settings.of(preset="microgpt").steps == chosen.steps
    timed = Settings.of(preset="microgpt", minutes=2.0, learning_rate=0.5, batch_size=3)
    assert (timed.steps, timed.minutes) == (None, 2.0)
    assert (timed.learning_rate, timed.batch_size) == (0.5, 3)
    assert Settings.of().preset == "anexa"
    assert Settings.of(engine="auto").engine == best_engine()
    with pytest.raises(UsageError, match="no preset 'giant'"):
        Settings.of(preset="giant")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("steps", "minutes"), [(1, None), (None, 0.01)])
def test_what_means_something_survives_its_json(
    preset: str, steps: int | None, minutes: float | None
) -> None:
    settings = replace(GOOD, preset=preset, steps=steps, minutes=minutes, learning_rate=1e-9)
    assert Settings(**settings.to_json()) == settings
    assert settings.model is PRESETS[preset]
