"""Several corpora at once: as they are given, their tokenizer, their mixture, and resuming."""

from __future__ import annotations

import json
import string
from fractions import Fraction
from pathlib import Path

import pytest

from anexa.data import read_corpus
from anexa.data.mixture import Mixture
from anexa.errors import AnexaError, UsageError
from anexa.model.general_template import general_template
from anexa.model.operations import IGNORE_INDEX
from anexa.model.tokenizer import Tokenizer
from anexa.training import TrainConfig, build_trainer, resume_trainer
from anexa.training.build import default_folder
from anexa.training.config_file import encode_toml, read_options
from anexa.training.evaluation import MAX_EVALUATION_SEQUENCES, to_batch
from anexa.training.opening import open_corpora
from anexa.training.sections import DataConfig
from anexa.training.sources import SOURCES_PATH, losses_by_corpus
from anexa.training.specs import (
    CorpusSpec,
    absolute_corpora,
    corpora_without_folders,
    parse_spec,
    parse_specs,
)
from tests.training.runs import NAMES, finish, settings, stop_after, weights_file, write_names

TEXT = "The quick brown fox jumps over the lazy dog. " * 40


@pytest.fixture
def corpora(tmp_path: Path) -> tuple[str, str]:
    """A list of names and a running text."""
    text = tmp_path / "fox.txt"
    text.write_text(TEXT, encoding="utf-8")
    return str(write_names(tmp_path)), str(text)


# As they are given


@pytest.mark.parametrize(
    ("text", "source", "weight"),
    [
        ("a.txt", "a.txt", ""),
        ("a.txt:3", "a.txt", "3"),
        ("b/:0.5", "b/", "0.5"),
        ("./a:3", "./a", "3"),
        ("-:2", "-", "2"),
        (r"C:\x", r"C:\x", ""),
        (r"C:\x:2.", r"C:\x", "2."),
        ("a:b:.5", "a:b", ".5"),
        ("a:", "a:", ""),
        (":3", ":3", ""),
        ("a:1e3", "a:1e3", ""),
        ("a:nan", "a:nan", ""),
        ("a:٣", "a:٣", ""),
        ("a" * 5000 + ":3", "a" * 5000, "3"),
    ],
)
def test_the_weight_follows_the_last_colon(text: str, source: str, weight: str) -> None:
    assert parse_spec(text) == CorpusSpec(source, weight)
    assert str(parse_spec(text)) == text


def test_a_file_of_exactly_this_name_takes_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:3").write_text("x")
    assert parse_spec("a:3") == CorpusSpec("a:3")
    assert parse_spec("a:3:2") == CorpusSpec("a:3", "2")
    assert parse_spec("./a:3") == CorpusSpec("./a:3")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["a:0", "b:1"], "the weight of a:0 must be above 0"),
        (["a:-1", "b:1"], "the weight of a:-1 must be above 0"),
        (["a:2"], "the weight of a:2 has no effect without a second corpus: give a"),
        (["a:2", "b"], "b has no weight, but another corpus has one: .* such as b:1, or to none"),
        (["a", "b", "./a"], "a is given twice"),
        (["-", "-"], "- is given twice"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(given: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_specs(given)


def test_records_have_absolute_paths_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["a/b.txt:3", "firstnames:1", "-:2"]
    assert absolute_corpora(given) == (f"{tmp_path}/a/b.txt:3", "firstnames:1", "-:2")
    assert corpora_without_folders(given) == ("b.txt:3", "firstnames:1", "-:2")
    assert corpora_without_folders(["a/firstnames", "b/-x"]) == ("./firstnames", "./-x")


def test_a_configuration_has_all_corpora(tmp_path: Path) -> None:
    config = TrainConfig.from_options(corpus=["a b.txt:3", "é/:1"], engine="numpy")
    assert config.command_line().startswith("anexa train 'a b.txt:3' 'é/:1' --preset anexa ")
    assert TrainConfig.from_json(config.to_json()) == config
    (tmp_path / "c.toml").write_bytes(encode_toml(config))
    assert TrainConfig.from_options(**read_options(tmp_path / "c.toml")) == config
    assert default_folder(config) == Path("models/a b-é")
    one = TrainConfig.from_options(corpus="a.txt")
    assert one == TrainConfig.from_options(corpus=["a.txt"])
    assert one.to_json()["data"]["corpus"] == "a.txt"
    for wrong in ([], [7], 7):
        with pytest.raises(UsageError, match="--corpus must be a text or a list of texts"):
            TrainConfig.from_options(corpus=wrong)


# Their mixture


def test_corpora_share_a_tokenizer_and_keep_their_layouts(corpora: tuple[str, str]) -> None:
    corpus = open_corpora(DataConfig(corpus=corpora))
    tokenizer = corpus.make_tokenizer("char")
    assert tokenizer.vocab_size == 1 + len(set(TEXT) | set("annahemgblsidtj".replace("\n", "")))
    assert not tokenizer.adds_bos
    training, validation = corpus.make_datasets(tokenizer, 8, seed=1)
    assert isinstance(training, Mixture)
    assert isinstance(validation, Mixture)
    assert training.names == ("names.txt", "fox.txt")
    assert training.weights == validation.weights
    assert training.passes == [1, 1]
    assert corpus.name == "names.txt, fox.txt"


def test_weights_are_shares_of_the_sequences(corpora: tuple[str, str]) -> None:
    names, text = corpora
    corpus = open_corpora(DataConfig(corpus=(f"{names}:1.5", f"{text}:.5")))
    training, _ = corpus.make_datasets(corpus.make_tokenizer("char"), 8, seed=1)
    assert isinstance(training, Mixture)
    assert training.weights == (3, 1)
    assert corpus.name == "names.txt:1.5, fox.txt:.5"
    lists = [open_corpora(DataConfig(corpus=given)) for given in (corpora, corpora[::-1])]
    assert len({each.sha256 for each in [corpus, *lists]}) == 3
    same = open_corpora(DataConfig(corpus=(f"{names}:1.50", f"{text}:0.5")))
    assert same.sha256 == corpus.sha256


def test_what_has_no_text_cannot_be_mixed(corpora: tuple[str, str]) -> None:
    with pytest.raises(AnexaError, match="the corpus arithmetic has a tokenizer of its own"):
        open_corpora(DataConfig(corpus=("arithmetic:1", f"{corpora[0]}:1")))


def test_corpora_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(str(write_names(tmp_path / folder)))
    assert open_corpora(DataConfig(corpus=tuple(paths))).name == ", ".join(paths)


# Runs


@pytest.mark.parametrize("weights", [("", ""), (":3", ":1")])
def test_resumed_mixture_equals_uninterrupted_one(
    weights: tuple[str, str], corpora: tuple[str, str], tmp_path: Path
) -> None:
    given = tuple(path + weight for path, weight in zip(corpora, weights))
    config = settings(Path(corpora[0])).replace(corpus=given)
    whole = finish(build_trainer(config, tmp_path / "whole"))
    is_once = "read once in an epoch of the mixture" in whole.notes[0]
    assert is_once == (not weights[0])
    stop_after(build_trainer(config, tmp_path / "m"), 13)
    moved = [Path(path).rename(tmp_path / f"moved-{i}.txt") for i, path in enumerate(corpora)]
    with pytest.raises(AnexaError, match=r"names.txt, is gone: .* train FILE FILE --resume"):
        resume_trainer(tmp_path / "m")
    with pytest.raises(UsageError, match="this run was started with"):
        resume_trainer(tmp_path / "m", {"corpus": [str(moved[1]), str(moved[0])]})
    resumed = finish(resume_trainer(tmp_path / "m", {"corpus": [*map(str, moved)]}))
    assert weights_file(resumed.folder) == weights_file(whole.folder)
    assert resumed.config.data.corpus == tuple(f"{p}{w}" for p, w in zip(moved, weights))
    card = (resumed.folder / "README.md").read_text(encoding="utf-8")
    assert f"anexa train moved-0.txt{weights[0]} moved-1.txt{weights[1]} " in card


def test_a_share_is_that_of_its_weight(corpora: tuple[str, str], tmp_path: Path) -> None:
    config = settings(Path(corpora[0])).replace(corpus=(f"{corpora[0]}:1", f"{corpora[1]}:1"))
    run = build_trainer(config, tmp_path / "m")
    assert isinstance(run.training, Mixture)
    drawn = [
        passes * dataset.sequences_per_epoch
        for passes, dataset in zip(run.training.passes, run.training.datasets)
    ]
    assert drawn == [Fraction(run.training.sequences_per_epoch, 2)] * 2
    assert run.notes[0].startswith("names.txt: 50.0% of the sequences")


def test_each_corpus_is_recorded(corpora: tuple[str, str], tmp_path: Path) -> None:
    names, text = corpora
    config = settings(Path(names)).replace(corpus=(f"{names}:3", f"{text}:1"))
    run = build_trainer(config, tmp_path / "m")
    one, other = json.loads((run.folder / SOURCES_PATH).read_bytes())["sources"]
    assert one == {
        "name": "names.txt",
        "weight": "3",
        "sha256": read_corpus(names).sha256,
        "size": read_corpus(names).size,
        "documents": 24,
        "notes": [],
    }
    assert (other["name"], other["weight"], other["documents"]) == ("fox.txt", "1", None)
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    losses = losses_by_corpus(run.corpus, run.state)
    for row, count in ((one, "24"), (other, "")):
        name, loss = row["name"], losses[row["name"]]
        start = f"| {name} | {row['weight']} | {row['size']:,} | {count} | {loss:.4f} "
        assert f"{start}| `{row['sha256']}` |" in card


def test_each_corpus_has_its_validation_loss(corpora: tuple[str, str], tmp_path: Path) -> None:
    config = settings(Path(corpora[0])).replace(corpus=(f"{corpora[0]}:3", f"{corpora[1]}:1"))
    run = finish(build_trainer(config, tmp_path / "m"))
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    losses = losses_by_corpus(run.corpus, run.state)
    assert [*losses] == ["names.txt", "fox.txt"]
    for loss in losses.values():
        assert f" | {loss:.4f} | `" in card
    kept = run.state.kept_evaluation
    assert kept is not None
    assert min(losses.values()) < kept.validation_loss < max(losses.values())
    assert isinstance(run.validation, Mixture)
    last = run.state.evaluations[-1]
    samples = run.validation.eval_sequences_by_dataset(MAX_EVALUATION_SEQUENCES)
    assert [len(sample) for sample in samples] == [96, 32]
    measured = [run.engine.loss(to_batch(sample)) for sample in samples]
    assert last.by_corpus == pytest.approx(measured, rel=1e-5)


def test_the_corpus_that_has_changed_is_named(corpora: tuple[str, str], tmp_path: Path) -> None:
    config = settings(Path(corpora[0])).replace(corpus=corpora)
    stop_after(build_trainer(config, tmp_path / "m"), 3)
    was = read_corpus(corpora[1]).sha256[:12]
    Path(corpora[1]).write_text(TEXT + "more", encoding="utf-8")
    now = read_corpus(corpora[1]).sha256[:12]
    sentence = rf"the corpus fox.txt has changed .* \(its SHA-256 was {was}… and is {now}…\)"
    with pytest.raises(AnexaError, match=sentence):
        resume_trainer(tmp_path / "m")
    (tmp_path / "m" / SOURCES_PATH).unlink()
    with pytest.raises(AnexaError, match=r"the corpus names\.txt, fox\.txt has changed"):
        resume_trainer(tmp_path / "m")


# Conversations and text


ROW = (
    '{"messages": [{"role": "user", "content": "%s?"}, {"role": "assistant", "content": "%s!"}]}\n'
)


@pytest.fixture
def chat(tmp_path: Path) -> str:
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(ROW % (word, word) for word in NAMES.split()), encoding="utf-8")
    return str(path)


def test_conversations_are_mixed_with_text(
    chat: str, corpora: tuple[str, str], tmp_path: Path
) -> None:
    config = settings(Path(chat), block_size=64).replace(corpus=(f"{chat}:3", f"{corpora[1]}:1"))
    whole = finish(build_trainer(config, tmp_path / "whole"))
    assert whole.model.chat_template
    assert whole.tokenizer.decode(whole.tokenizer.encode(TEXT)) == TEXT
    kinds = {
        any(label == IGNORE_INDEX for label in sequence.labels)
        for sequence in whole.training.batch(0, 4)
    }
    assert kinds == {True, False}, "questions have no loss, and a text has"
    stop_after(build_trainer(config, tmp_path / "m"), 7)
    assert weights_file(finish(resume_trainer(tmp_path / "m")).folder) == weights_file(whole.folder)


def test_templates_that_differ_are_refused(chat: str, tmp_path: Path) -> None:
    thoughts = tmp_path / "thoughts.jsonl"
    row = ROW.replace('"content": "%s!"', '"content": "%s!", "reasoning": "a"')
    thoughts.write_text(row % ("anna", "anna"), encoding="utf-8")
    corpus = open_corpora(DataConfig(corpus=(chat, str(thoughts))))
    with pytest.raises(AnexaError, match=r"chat\.jsonl and thoughts\.jsonl have different chat"):
        corpus.make_tokenizer("char")
    tokenizer = Tokenizer.from_characters([string.printable], False)
    with pytest.raises(AnexaError, match="have different chat templates"):
        corpus.for_model(tokenizer, None)
    template = general_template(thinking=True)
    assert corpus.for_model(tokenizer, template).chat_template == template
