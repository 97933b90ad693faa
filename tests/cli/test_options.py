"""The options of `anexa train`: generated from the fields of a run's configuration."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from anexa.cli.options import attribute_docs
from anexa.names import flag
from anexa.training.config import TrainConfig, preset_config
from anexa.training.option_table import OPTIONS, SECTIONS
from anexa.training.presets import DEFAULT_PRESET, PRESETS, choose_preset
from tests.cli.process import anexa


@pytest.fixture(scope="module")
def help_texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the help of each option, in one line."""
    result = anexa("train", "--help", cwd=tmp_path_factory.mktemp("help"))
    assert (result.returncode, result.stderr) == (0, "")
    entries = re.split(r"\n  (?=\S)", result.stdout)
    texts = {}
    for entry in entries:
        first, *words = entry.split()
        texts[first] = " ".join(words)
    return texts


def test_every_field_is_an_option_with_a_sentence(help_texts: dict[str, str]) -> None:
    for name, (section, field) in OPTIONS.items():
        shown = help_texts["corpus..." if name == "corpus" else flag(name)]
        sentence = attribute_docs(SECTIONS[section])[field]
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert sentence.replace("- ", "-") in shown.replace("- ", "-")
    assert list(SECTIONS) == [field.name for field in fields(TrainConfig)][1:]
    assert set(attribute_docs(TrainConfig)) == {field.name for field in fields(TrainConfig)}


def test_defaults_are_those_of_the_presets(help_texts: dict[str, str]) -> None:
    for name, value in TrainConfig().options().items():
        shown = help_texts["corpus..." if name == "corpus" else flag(name)]
        default = re.search(r"\[default: ([^]]*)\]", shown)
        if name in ("preset", "engine"):
            assert default
            presets = {
                choose_preset(["garden"]),
                choose_preset(["arithmetic"]),
                choose_preset([], "m"),
            }
            assert name == "engine" or presets <= {*re.split(r"[ ;]+", default[1])}
        elif value in (None, "", ()):
            assert default is None
        elif isinstance(value, bool):
            assert default
            assert default[1] == (flag(name) if value else flag(f"no_{name}"))
        else:
            assert default
            first, *rest = re.split(r"[,;] ", default[1].replace("- ", "-"))
            assert (first,) == value if isinstance(value, tuple) else type(value)(first) == value
            adamw = preset_config(DEFAULT_PRESET, "adamw").options()[name]
            if name != "optimizer" and adamw != value:
                assert rest.pop(0) == f"with adamw {adamw:g}"
            differ = len({preset_config(preset).options()[name] for preset in PRESETS}) > 1
            assert rest == (["depends on the preset"] if differ else [])


def test_every_preset_is_named(help_texts: dict[str, str]) -> None:
    assert f"One of {', '.join(PRESETS)}." in help_texts["--preset"]


def test_an_option_reaches_its_field(tmp_path: Path) -> None:
    result = anexa("train", "nowhere.txt", "--momentum", "1", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "anexa: --momentum must be at least 0 and below 1, not 1.0\n"
    result = anexa("train", "nowhere.txt", "--n-inner", "64", cwd=tmp_path)
    assert result.returncode == 2
    assert "--n-inner 64 is for llama, " in result.stderr
