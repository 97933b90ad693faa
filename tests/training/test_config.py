from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import pytest

from anexa.engines import best_engine
from anexa.errors import UsageError
from anexa.training import TrainConfig, build_trainer
from anexa.training.config import preset_config
from anexa.training.option_table import check_effects
from anexa.training.presets import PRESETS

GOOD = TrainConfig.from_options(corpus="firstnames", preset="microgpt", engine="numpy", steps=10)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"corpus": "arithmetic", "layout": "text"}, "--layout text has no effect: the corpus ari"),
        ({"allow_unknown": True}, "--allow-unknown has no effect: the tokenizer is made from"),
        ({"allow_unknown": True, "tokenizer": "bpe:300"}, "--allow-unknown has no effect"),
        ({"field": "body"}, "--field body has no effect: it chooses the texts in files with rows"),
        ({"include": ["*.log", "a/*"]}, r"--include \*\.log a/\* has no effect: it chooses files"),
        ({"skip_bad": True}, "--skip-bad has no effect: it is for rows and files that cannot"),
        ({"corpus": ["names:3", "-:2"], "skip_bad": True}, "--skip-bad has no effect: it is for"),
        ({"momentum": 0.5}, "--momentum 0.5 has no effect: adamw has no momentum"),
        ({"dropout": 0.1}, "--dropout 0.1 has no effect: it needs the torch engine, not numpy"),
        ({"micro_batch": 3}, "--micro-batch 3 has no effect: the numpy engine does not split"),
        ({"shard": True}, "--shard has no effect: it needs the torch engine, not numpy"),
    ],
)
def test_options_without_effect_are_refused_by_name(
    changes: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=sentence):
        build_trainer(GOOD.replace(**changes), tmp_path / "m")
    check_effects(GOOD.options())
    check_effects(GOOD.replace(allow_unknown=True, tokenizer="tokenizer.json").options())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_layer": None}, "--n-layer must be a whole number, not None"),
        ({"n_layer": 2.0}, "--n-layer must be a whole number, not 2.0"),
        ({"shard": 1}, "--shard must be true or false, not 1"),
        ({"corpus": 7}, "--corpus must be a text or a list of texts, not 7"),
        ({"include": [7]}, r"--include must be a text or a list of texts, not \(7,\)"),
        ({"momentum": "1"}, "--momentum must be a number, not '1'"),
        ({"eps": 10**400}, "--eps must be a number, not 1000"),
        ({"n_inner": 64}, "--n-inner 64 is for llama, .* models: .* give --n-inner 0"),
        ({"depth": 3}, "there is no option --depth"),
        ({"steps": 0}, "--steps must be at least 1, not 0"),
        ({"steps": -5}, "--steps must be at least 1, not -5"),
        ({"steps": None}, "after --steps, after --epochs or after --minutes: give one"),
        ({"minutes": 1.0}, "after --steps, after --epochs or after --minutes: give one"),
        ({"steps": None, "minutes": 0.0}, "--minutes must be above 0, not 0"),
        ({"steps": None, "minutes": -1.0}, "--minutes must be above 0, not -1"),
        ({"steps": None, "minutes": math.nan}, "--minutes must be above 0, not nan"),
        ({"steps": None, "minutes": math.inf}, "--minutes must be above 0, not inf"),
        ({"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be above 0, not 0"),
        ({"learning_rate": -0.1}, "--learning-rate must be above 0, not -0.1"),
        ({"learning_rate": math.nan}, "--learning-rate must be above 0, not nan"),
        ({"learning_rate": math.inf}, "--learning-rate must be above 0, not inf"),
        ({"epochs": 2.0}, "after --steps, after --epochs or after --minutes: give one"),
        ({"steps": None, "epochs": 0.0}, "--epochs must be above 0, not 0"),
        ({"until_loss": -1.0}, "--until-loss must be above 0, not -1"),
        ({"evaluations": 0}, "--evaluations must be at least 1, not 0"),
        ({"evaluations": 10**20}, f"--evaluations must be at most 1,000,000, not {10**20}"),
        ({"steps": 10**20}, f"--steps must be at most 1,000,000,000, not {10**20}"),
        ({"n_head": 0}, "--n-head must be at least 1, not 0"),
        ({"block_size": -3}, "--block-size must be at least 1, not -3"),
        ({"micro_batch": -1}, "--micro-batch must be 0 or more, not -1"),
        ({"weight_decay": -0.1}, "--weight-decay must be 0 or more, not -0.1"),
        ({"grad_clip": math.nan}, "--grad-clip must be 0 or more, not nan"),
        ({"warmup": 1.0}, "--warmup must be at least 0 and below 1, not 1"),
        ({"dropout": 1.0}, "--dropout must be at least 0 and below 1, not 1"),
        ({"seed": -1}, "--seed must be 0 or more, not -1"),
        ({"seed": 2**64}, f"--seed must be below {2**64:,}, not {2**64}"),
        ({"optimizer": "sgd"}, "--optimizer is one of muon, adamw, not 'sgd'"),
        ({"schedule": "stairs"}, "--schedule is one of linear, cosine, wsd, not 'stairs'"),
        (
            {"engine": "abacus"},
            "--engine is one of scalar, .*, torch, auto, not 'abacus'",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_option(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        GOOD.replace(**changes)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--preset is one of microgpt, anexa, .*, not 'giant'"):
        TrainConfig.from_options(preset="giant")
    with pytest.raises(UsageError, match=r"--preset is one of microgpt, anexa, .*, not 'giant'"):
        TrainConfig.from_json(GOOD.to_json() | {"preset": "giant"})


def test_options_that_are_not_given_have_the_presets_values() -> None:
    assert (
        TrainConfig.from_options(corpus="firstnames", preset="microgpt", engine="numpy", steps=10)
        == GOOD
    )
    chosen = preset_config("microgpt").schedule
    assert TrainConfig.from_options(preset="microgpt").schedule == chosen
    assert chosen.steps == 1000
    timed = TrainConfig.from_options(
        preset="microgpt", minutes=2.0, learning_rate=0.5, batch_size=3
    )
    assert (timed.schedule.steps, timed.schedule.minutes) == (None, 2.0)
    assert (timed.optimizer.learning_rate, timed.run.batch_size) == (0.5, 3)
    assert TrainConfig.from_options().preset == "anexa"
    assert TrainConfig.from_options(engine="auto").device.engine == best_engine()


def test_each_optimizer_has_its_own_learning_rate() -> None:
    muon, adamw = (
        TrainConfig.from_options(optimizer=name).optimizer.learning_rate
        for name in ("muon", "adamw")
    )
    assert muon != adamw
    given = TrainConfig.from_options(optimizer="adamw", learning_rate=0.5)
    assert given.optimizer.learning_rate == 0.5
    config = GOOD.model.to_config(27)
    assert TrainConfig.from_options(optimizer="muon").optimizer.muon_weights(config)
    assert not TrainConfig.from_options(optimizer="adamw").optimizer.muon_weights(config)


def test_batch_tokens_are_converted_to_a_batch_size() -> None:
    assert TrainConfig.from_options(batch_tokens=4096).run.batch_size == 32  # of 128 tokens each
    assert TrainConfig.from_options(batch_tokens=4096, block_size=1000).run.batch_size == 4
    with pytest.raises(UsageError, match=r"--batch-tokens must be at least 128, .* not 100"):
        TrainConfig.from_options(batch_tokens=100)
    with pytest.raises(UsageError, match="--batch-size and --batch-tokens say the same"):
        TrainConfig.from_options(batch_tokens=4096, batch_size=8)


def test_given_sizes_replace_those_of_the_preset() -> None:
    config = TrainConfig.from_options(n_layer=2, n_embd=64).model.to_config(65)
    assert (config.n_layer, config.n_embd, config.block_size) == (2, 64, 128)


def test_every_preset_can_be_trained() -> None:
    for name in PRESETS:
        assert TrainConfig.from_options(preset=name).model.to_config(300).n_layer >= 1
        adamw = TrainConfig.from_options(preset=name, optimizer="adamw")
        assert adamw.optimizer.learning_rate > 0


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("steps", "minutes"), [(1, None), (None, 0.01)])
def test_config_survives_json_round_trip(
    preset: str, steps: int | None, minutes: float | None
) -> None:
    config = TrainConfig.from_options(preset=preset, engine="numpy", learning_rate=1e-9)
    config = config.replace(steps=steps, minutes=minutes)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.model == preset_config(preset).model


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_command_has_every_option_that_repeats_the_run(preset: str, optimizer: str) -> None:
    config = TrainConfig.from_options(
        corpus="my text.txt",
        preset=preset,
        optimizer=optimizer,
        engine="numpy",
        beta1=0.123456789,
        epochs=0.5,
        dtype="float32",
        compile=False,
        shard=True,
    )
    program, command, corpus, *words = shlex.split(config.command_line())
    assert (program, command) == ("anexa", "train")
    given: dict[str, object] = {"corpus": corpus}
    while words:
        name = words.pop(0).removeprefix("--").replace("-", "_")
        if name.removeprefix("no_") in ("compile", "shard"):
            given[name.removeprefix("no_")] = not name.startswith("no_")
        else:
            given[name] = type(config.options()[name])(words.pop(0))
    assert TrainConfig.from_options(**given) == config


def test_an_unknown_option_of_a_resumed_run_is_named() -> None:
    with pytest.raises(UsageError, match=r"^there is no option --batchsize$"):
        GOOD.for_resume({"batchsize": 3})
