"""The bundled model: its answers, its thoughts, and the accuracy in its card."""

from __future__ import annotations

import math
import random
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import anexa
from anexa.generation import LanguageModel
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.chat_format import END_THINK, render_question
from anexa.model.loading import open_model
from anexa.model.weights import num_parameters
from anexa.thinking.checker import check
from anexa.thinking.evaluation import Proportion, complete
from anexa.thinking.problems import Task, draw_problem
from anexa.thinking.reinforcement import is_verified
from anexa.thinking.tasks import EVALUATED_TASKS
from anexa.training import TrainConfig
from anexa.training.card import model_card
from anexa.training.checkpoint import Evaluation, TrainerState
from tests.cli.process import anexa as run
from tests.server.process import THOUGHT

QUESTION = [{"role": "user", "content": "347*86"}]


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_answer_follows_from_a_true_thought(engine: str) -> None:
    if engine == "torch" and not find_spec("torch"):
        pytest.skip("PyTorch is not installed")
    answer = anexa.load(engine=engine).chat(QUESTION, temperature=0)
    assert (answer.reasoning, answer.content) == (THOUGHT, "29842")
    assert check("347*86", THOUGHT, "29842").all_true


def test_bundled_model_is_the_default(tmp_path: Path) -> None:
    result = run("chat", "--engine", "numpy", cwd=tmp_path, text="347*86\n")
    assert result.returncode == 0
    assert f"│ {THOUGHT}\n29842\n✓ the one step is true\n" in result.stdout


def test_bundled_model_is_small() -> None:
    model = LanguageModel.open()
    assert num_parameters(model.engine.config) < 850_000
    assert sum(path.stat().st_size for path in BUNDLED_FOLDER.iterdir()) < 4_000_000
    assert not (BUNDLED_FOLDER / "training").exists()


def test_other_requests_are_refused_politely() -> None:
    answer = anexa.load(engine="numpy").chat([{"role": "user", "content": "Hello, who are you?"}])
    assert answer.reasoning is None
    assert answer.content == "I work out sums, such as 347*86, and stories about them."


def table() -> dict[str, tuple[float, float]]:
    """Read the accuracy of each task in the card, and the lower end of its interval."""
    card = (BUNDLED_FOLDER / "README.md").read_text(encoding="utf-8")
    row = r"^(\S.*?) +[\d,]+ +([\d.]+)% \[([\d.]+), [\d.]+\]"
    rows = re.findall(row, card, re.M)
    return {name: (float(share) / 100, float(low) / 100) for name, share, low in rows}


def test_the_card_has_every_task() -> None:
    assert table().keys() >= {str(task) for task in EVALUATED_TASKS}


def test_the_cards_header_is_that_of_a_trained_model() -> None:
    """With the corpus and the lowest of the losses in the card."""
    card = (BUNDLED_FOLDER / "README.md").read_text(encoding="utf-8")
    losses = [float(loss) for loss in re.findall(r"^\| [\d,]+ \| .* ([\d.]+) \|$", card, re.M)]
    evaluations = [Evaluation(step, 0.0, None, loss) for step, loss in enumerate(losses)]
    trained = TrainConfig.from_options(
        corpus="arithmetic", preset="anexa-think", engine="numpy", steps=1
    )
    history = TrainerState(evaluations=evaluations)
    made = model_card(open_model(BUNDLED_FOLDER).config, trained, "arithmetic", "", history)
    assert card.partition("\n---\n")[0] == made.partition("\n---\n")[0]
    assert "model-index" in made


def test_a_sample_is_as_correct_as_the_card_says() -> None:
    """Two problems of each task, with true thoughts; needs no PyTorch."""
    model, rng = anexa.load(engine="numpy"), random.Random("a few")
    assert model.chat_template
    asked = [draw_problem(task, rng, "test") for task in EVALUATED_TASKS for _ in range(2)]
    said = complete(model, [render_question(model.chat_template, one.question) for one in asked])
    wrong = [one.question for one, text in zip(asked, said) if not is_verified(one, text)]
    expected = sum(2 * (1 - table()[str(task)][0]) for task in EVALUATED_TASKS)
    assert len(wrong) <= expected + 3 * math.sqrt(expected) + 1, wrong


@pytest.mark.parametrize("task", EVALUATED_TASKS, ids=str)
@pytest.mark.slow
def test_accuracy_in_the_card_is_reproduced(task: Task) -> None:
    """Compare with 60 other problems of each task, within their confidence interval."""
    assert find_spec("torch"), "the slow tests are run with PyTorch"
    model, rng = anexa.load(), random.Random(f"another {task}")
    assert model.chat_template
    problems = [draw_problem(task, rng, "test") for _ in range(60)]
    said = complete(model, [render_question(model.chat_template, one.question) for one in problems])
    right = sum(text.endswith(f"{END_THINK}{one.answer}") for one, text in zip(problems, said))
    share, low = table()[str(task)]
    least, most = Proportion(right, len(problems)).interval
    assert least <= share
    assert most >= low
