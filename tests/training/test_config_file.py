"""Configurations as TOML files: what a run writes, and what `--config` reads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import ENGINES
from anexa.errors import AnexaError, UsageError
from anexa.training import TrainConfig, build_trainer, resume_trainer
from anexa.training.config import preset_config
from anexa.training.config_file import CONFIG_PATH, encode_toml, read_options
from anexa.training.presets import PRESETS
from tests.training.runs import finish, settings, stop_after, weights_file, write_names

SIZES, POSITIVE = st.integers(1, 10**9), st.floats(1e-300, 1e300)
EPOCHS = st.floats(1e-300, 1e6)
FRACTIONS = st.floats(0, 1, exclude_max=True)
# Any text that a command line may hold, bytes that are not UTF-8 too.
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.binary().map(lambda name: name.decode("utf-8", "surrogateescape")),
)
ENDS = st.one_of(
    st.fixed_dictionaries({"steps": SIZES, "epochs": st.none(), "minutes": st.none()}),
    st.fixed_dictionaries({"steps": st.none(), "epochs": EPOCHS, "minutes": st.none()}),
    st.fixed_dictionaries({"steps": st.none(), "epochs": st.none(), "minutes": POSITIVE}),
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("n_layer", "n_head", "n_embd", "batch_size"), st.integers(1, 2**16)),
        "block_size": st.integers(1, 2**20),
        "evaluations": st.integers(1, 10**6),
        "seed": st.integers(0, 2**64 - 1),
        "micro_batch": st.integers(0, 2**16),
        "learning_rate": st.floats(2**-126, 10.0),  # at most 1 / the weight decay
        "eps": st.floats(2**-126, 3e38),
        "grad_clip": st.one_of(st.just(0.0), st.floats(2**-126, 3e38)),
        "weight_decay": st.floats(0.0, 0.1),
        **dict.fromkeys(("beta1", "beta2", "momentum", "warmup"), FRACTIONS),
        "dropout": st.floats(0.0, 1 - 2**-24),
        **dict.fromkeys(("corpus", "tokenizer", "device"), TEXTS),
        "until_loss": st.one_of(st.none(), POSITIVE),
        "layout": st.sampled_from(["auto", "lines", "text"]),
        "optimizer": st.sampled_from(["muon", "adamw"]),
        "schedule": st.sampled_from(["linear", "cosine", "wsd"]),
        "engine": st.sampled_from(ENGINES),
        "dtype": st.sampled_from(["auto", "float32", "bf16", "float64"]),
        "compile": st.sampled_from([None, False, True]),
        "shard": st.booleans(),
    },
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@given(preset=st.sampled_from(list(PRESETS)), options=OPTIONS, end=ENDS)
def test_any_config_survives_toml_round_trip(
    place: Path, preset: str, options: dict[str, object], end: dict[str, object]
) -> None:
    config = preset_config(preset).replace(**options, **end)
    path = place / "run.toml"
    path.write_bytes(encode_toml(config))
    assert TrainConfig.from_options(**read_options(path)) == config


def test_a_partial_file_replaces_only_its_options(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        """
        preset = "anexa-llama"  # with room for a page
        [model]
        block_size = 512
        [optimizer]
        name = "adamw"
        max_grad_norm = 2
        [schedule]
        minutes = 10
        """,
        encoding="utf-8",
    )
    options = read_options(path, {"n_layer": 2})
    assert options == {
        "preset": "anexa-llama",
        "block_size": 512,
        "optimizer": "adamw",
        "grad_clip": 2.0,
        "minutes": 10.0,
        "n_layer": 2,
    }
    asked = {"optimizer": "adamw", "grad_clip": 2.0, "minutes": 10.0}
    assert TrainConfig.from_options(**options) == TrainConfig.from_options(
        preset="anexa-llama", block_size=512, n_layer=2, **asked
    )


def test_command_line_options_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(encode_toml(preset_config("anexa").replace(n_layer=3, batch_size=5, steps=7)))
    config = TrainConfig.from_options(
        **read_options(path, {"n_layer": 2, "batch_tokens": 256, "epochs": 1.0})
    )
    assert (config.model.n_layer, config.run.batch_size) == (2, 2)
    assert (config.schedule.steps, config.schedule.epochs) == (None, 1.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('preset = "giant"', "preset is one of microgpt, .*, not 'giant'"),
        ("preset = [1]", r"preset must be a text, not \[1\]"),
        ("seed = 1", r"'seed' is not one of preset = … and the tables \[model\], .*\[run\]"),
        ("[optimiser]", r"'optimiser' is not one of .*\[optimizer\]"),
        ("run = 1", r"'run' is not one of preset = … and the tables"),
        ("[optimizer]\nlr = 1.0", r"\[optimizer\] has no key 'lr': choose one of name, learning_r"),
        ("[model]\nmodel = 1", r"\[model\] has no key 'model': choose one of model_type, n_layer"),
        ('[schedule]\nsteps = "many"', r"\[schedule\] steps must be a whole number, not 'many'"),
        ("[schedule]\nsteps = 1.5", r"\[schedule\] steps must be a whole number, not 1\.5"),
        ("[schedule]\nsteps = true", r"\[schedule\] steps must be a whole number, not True"),
        ("[schedule]\nsteps = 0", r"\[schedule\] steps must be at least 1, not 0"),
        ("[schedule]\nsteps = 1\nminutes = 1", r"\[schedule\] may have one of steps, epochs, min"),
        ('[schedule]\nshape = "stairs"', r"\[schedule\] shape is one of linear, .*, not 'stairs'"),
        (
            "[schedule]\nwarmup = nan",
            r"\[schedule\] warmup must be at least 0 and below 1, not",
        ),
        ("[optimizer]\nlearning_rate = inf", r"\] learning_rate must be above 0, not inf"),
        ("[optimizer]\nlearning_rate = '1'", r"\] learning_rate must be a number, not '1'"),
        (f"[optimizer]\neps = 1{'0' * 400}", r"\[optimizer\] eps must be a number, not 1000"),
        ("[optimizer]\nmax_grad_norm = -1", r"\[optimizer\] max_grad_norm must be 0 or more, not"),
        ("[device]\ncompile = 1", r"\[device\] compile must be true or false, not 1"),
        ("[device]\ndevice = 0", r"\[device\] device must be a text, not 0"),
        ("[device]\nengine = 'abacus'", r"\[device\] engine is one of scalar, .*, not 'abacus'"),
        ("[data]\nlayout = 2020-01-01", r"\[data\] layout must be a text, not datetime"),
        ("[run]\nseed = []", r"\[run\] seed must be a whole number, not \[\]"),
        ("[run", "is not TOML: Expected"),
        ("[run]\nseed = 1\nseed = 2", "is not TOML: Cannot overwrite a value"),
        (f"[run]\nseed = {'9' * 5000}", "is not TOML: "),
        ("a = " + "[" * 9999, "is not TOML: "),
    ],
)
def test_errors_name_the_key_and_the_file(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=sentence) as caught:
        read_options(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_errors_name_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"cannot read .*nowhere\.toml: No such file"):
        read_options(tmp_path / "nowhere.toml")
    with pytest.raises(AnexaError, match=f"cannot read .*{tmp_path.name}"):
        read_options(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_corpus_whose_name_is_not_utf8_survives_the_file(tmp_path: Path) -> None:
    corpus = write_names(tmp_path, "caf\udce9.txt")
    path = tmp_path / "run.toml"
    path.write_bytes(encode_toml(settings(corpus)))
    assert Path(read_options(path)["corpus"]).read_bytes() == corpus.read_bytes()


def test_a_run_writes_its_configuration_and_the_file_repeats_it(tmp_path: Path) -> None:
    run = finish(build_trainer(settings(write_names(tmp_path), steps=3), tmp_path / "m"))
    path = run.folder / CONFIG_PATH
    config = TrainConfig.from_options(**read_options(path))
    assert config == run.config
    again = finish(build_trainer(config, tmp_path / "again"))
    assert weights_file(again.folder) == weights_file(run.folder)
    assert (again.folder / CONFIG_PATH).read_bytes() == path.read_bytes()


def test_a_resumed_run_writes_its_new_configuration(tmp_path: Path) -> None:
    run = build_trainer(settings(write_names(tmp_path)), tmp_path / "m")
    stop_after(run, 3)
    given = read_options(run.folder / CONFIG_PATH, {"device": "cpu"})
    finish(resume_trainer(run.folder, given))
    assert read_options(run.folder / CONFIG_PATH) == given
