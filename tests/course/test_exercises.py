"""The exercises: right solutions are accepted, and typical wrong ones are told what is wrong."""

from __future__ import annotations

import inspect
import json
import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

import anexa
import microgpt
from anexa.course.chapters import TEACHERS_HEADING, load_chapter
from anexa.course.exercise import Question
from anexa.course.exercises import EXERCISES
from anexa.course.exercises.model_folder import folder_files
from anexa.course.exercises.whole_file import LINES
from anexa.course.solution import to_json_value
from tests.course.solution import STUDENT, by_hand, check_text, said
from tests.course.solutions import RIGHT, WRONG
from tests.test_docs import examples

STUDENTS = ["", "Ada", "Eva", "Noor", "Li"]
CLASS = list(map(str, range(20)))
MISTAKES = [(chapter, name) for chapter, mistakes in WRONG.items() for name in mistakes]
each_exercise = pytest.mark.parametrize("chapter", EXERCISES)


def for_students(few: list[str], others: list[str]) -> pytest.MarkDecorator:
    """Run a test with the numbers of a few students, and as a slow test with those of others."""
    return pytest.mark.parametrize(
        "students",
        [pytest.param(few, id="few"), pytest.param(others, id="others", marks=pytest.mark.slow)],
    )


@cache
def questions(chapter: int, student: str) -> list[tuple[Question, str]]:
    """Return a student's questions, each with its arguments as JSON, as the check sends them."""
    found = EXERCISES[chapter].questions(chapter, student)
    return [(question, json.dumps(question.arguments)) for question in found]


def first_reason(text: str, chapter: int, student: str) -> str | None:
    """The reason of the first wrong answer, computed in this process; None if all are right."""
    names: dict[str, object] = {}
    exec(f"by_hand = {questions(chapter, student)[0][0].expected!r}\n" + text, names)
    for question, arguments in questions(chapter, student):
        try:
            answer = EXERCISES[chapter].ask(names, question.call, json.loads(arguments))
            answer = json.loads(json.dumps(to_json_value(answer)))
        except Exception as error:
            return question.reason(raises=type(error).__name__, message=str(error))
        if question.difference(answer):
            return question.reason(answer)
    return None


@each_exercise
def test_right_solution_is_accepted(chapter: int, tmp_path: Path) -> None:
    student = "Žofie"
    report = check_text(by_hand(chapter, student) + RIGHT[chapter], chapter, tmp_path, student)
    assert report.is_right, said(report)
    assert len(report.passed) == report.num_questions


@for_students(STUDENTS[:3], [*STUDENTS[3:], *CLASS])
@each_exercise
def test_right_solution_is_accepted_from_everybody(chapter: int, students: list[str]) -> None:
    for student in students:
        assert first_reason(RIGHT[chapter], chapter, student) is None, student


@for_students(STUDENTS[:3], [*STUDENTS[3:], *CLASS])
@pytest.mark.parametrize("square", ["g * g", "(g * g)"])
def test_chapter_10_accepts_a_square_that_is_a_product(square: str, students: list[str]) -> None:
    text = RIGHT[10].replace("g**2", square)
    assert text != RIGHT[10]
    wrong = text.replace("(1 - 0.85) * g", "0.15 * g")
    for student in students:
        assert first_reason(text, 10, student) is None, student
        assert first_reason(wrong, 10, student) is not None, student


@pytest.mark.parametrize("chapter", [14, 15])
def test_what_microgpt_computes_is_accepted(chapter: int) -> None:
    plain_python = """
import microgpt

def fast_loss(model, text):
    tokens = [model.bos, *map(model.chars.index, text), model.bos]
    predictions = list(zip(tokens[1:], microgpt.gpt(model, tokens)))
    losses = [-microgpt.softmax(logits)[target].log().data for target, logits in predictions]
    return sum(losses) / len(losses)

fast_train = microgpt.train
"""
    imported = "from anexa.course.fast_training import fast_loss, fast_train\n"
    assert RIGHT[chapter].count(imported) == 1
    assert first_reason(RIGHT[chapter].replace(imported, plain_python), chapter, STUDENT) is None


@pytest.mark.parametrize(
    "chapter",
    # In this process, `test_typical_mistake_is_recognized_whatever_the_numbers` has all chapters.
    [pytest.param(n, marks=[] if n in (1, 10, 17) else pytest.mark.slow) for n in EXERCISES],
)
def test_wrong_solution_is_rejected_with_its_reason(chapter: int, tmp_path: Path) -> None:
    assert len(WRONG[chapter]) >= 3
    right, wrong, reason = next(iter(WRONG[chapter].values()))
    text = by_hand(chapter) + RIGHT[chapter].replace(right, wrong)
    report = check_text(text, chapter, tmp_path)
    assert not report.is_right
    assert reason in report.why


@for_students([STUDENT], [one for one in STUDENTS if one != STUDENT])
@pytest.mark.parametrize(("chapter", "name"), MISTAKES)
def test_typical_mistake_is_recognized_whatever_the_numbers(
    chapter: int, name: str, students: list[str]
) -> None:
    right, wrong, reason = WRONG[chapter][name]
    assert RIGHT[chapter].count(right) == 1
    for student in students:
        found = first_reason(RIGHT[chapter].replace(right, wrong), chapter, student)
        assert reason in (found or ""), student


@each_exercise
def test_students_have_numbers_of_their_own(chapter: int) -> None:
    exercise = EXERCISES[chapter]
    assert len({exercise.by_hand_numbers(chapter, name) for name in STUDENTS}) == len(STUDENTS)
    assert exercise.questions(chapter, "ada ") == exercise.questions(chapter, STUDENT)


@each_exercise
def test_few_students_have_the_same_answer_by_hand(chapter: int) -> None:
    found = [EXERCISES[chapter].draw_by_hand(Random(number))[1].expected for number in range(40)]
    assert len({*map(str, found)}) > 10


@each_exercise
def test_another_students_numbers_are_rejected(chapter: int) -> None:
    others, own = (questions(chapter, name)[0][0] for name in ("", STUDENT))
    assert own.call == "by_hand"
    assert own.difference(others.expected) is not None


@each_exercise
def test_functions_for_home_are_asked_last(chapter: int) -> None:
    notes = " ".join(load_chapter(chapter).text.partition(TEACHERS_HEADING)[2].split())
    home = re.findall(r"`(\w+)` may be finished at home", notes)
    calls = [question.call for question in EXERCISES[chapter].questions(chapter, "")]
    assert set(home) <= set(calls)
    first = [call for call in calls if call not in home]
    assert calls[: len(first)] == first, "a check in class would stop at a function for home"


def test_functions_of_chapter_12_are_the_parts_of_its_exercise() -> None:
    """A learner who copies them need not change them, whatever the number of tokens."""
    text = load_chapter(12).text.partition("## Ask again")[0]
    names: dict[str, Any] = {}
    for example in examples(text)[0]:
        exec(example.source, names)
    exec(
        """
def probabilities(logits, temperature, top_k, top_p):
    if temperature == 0:
        best = greedy(logits)
        return [1.0 if token == best else 0.0 for token in range(len(logits))]
    p = softmax([z / temperature for z in logits])
    if top_k is not None:
        p = cut(p, likeliest_first(p)[:top_k])
    if top_p < 1:
        p = cut(p, kept_by_top_p(p, top_p))
    return p
""",
        names,
    )
    for question in EXERCISES[12].questions(12, "Ada"):
        if question.call == "probabilities":
            answer = names["probabilities"](*question.arguments)
            assert question.difference(answer) is None, question.label
    assert names["kept_by_top_p"]([0.1] * 10, 1.0) == [*range(10)], "also if a sum is rounded"


def test_bundled_model_goes_on_as_chapter_16_predicts() -> None:
    model, hits = anexa.load(), []
    questions = [one for name in STUDENTS[:2] for one in EXERCISES[16].questions(16, name)]
    for question in [one for one in questions if one.call == "go_on"]:
        expression, facts = question.arguments
        left, right = [part[::-2] for part in expression.split("+")]
        end = ":" if len(facts) == len(left) else "," if facts else ""
        prompt = model.render_prompt([{"role": "user", "content": f"{left}+{right}"}])
        thought = f"<think>{expression}:{','.join(facts)}{end}"
        answer = model.generate(prompt + thought, temperature=0).split("</think>")[-1]
        hits.append(answer == str(question.expected))
    assert sum(hits) >= len(hits) - 2


def test_right_reader_of_chapter_17_agrees_with_transformers(tmp_path: Path) -> None:
    torch, transformers = map(pytest.importorskip, ("torch", "transformers"))
    names: dict[str, Any] = {}
    exec(RIGHT[17], names)
    *_, question = EXERCISES[17].questions(17, STUDENT)
    spec, text = question.arguments
    for name, content in folder_files(spec).items():
        (tmp_path / name).write_bytes(content)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    with torch.no_grad():
        theirs = model.eval()(tokenizer(text, return_tensors="pt").input_ids).logits[0, -1]
    assert theirs.tolist() == pytest.approx(names["logits"](str(tmp_path), text), abs=1e-5)


def test_sentences_of_chapter_8_mean_one_line_each() -> None:
    lines = inspect.getsource(microgpt).splitlines()
    found = [[i for i, line in enumerate(lines) if text in line] for text in LINES.values()]
    assert all(len(numbers) == 1 for numbers in found)
    assert len({*map(tuple, found)}) == len(LINES)
