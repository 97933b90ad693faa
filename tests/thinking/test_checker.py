from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anexa.thinking.checker import Report, check
from anexa.thinking.problems import TASKS, Problem, Task, draw, problem

seeds = st.integers(0, 2**32)
tasks = st.sampled_from(TASKS)
problems = st.builds(lambda task, seed: draw(task, random.Random(seed)), tasks, seeds)
products = st.builds(
    lambda task, seed: draw(task, random.Random(seed)),
    st.sampled_from([task for task in TASKS if task.operation == "*"]),
    seeds,
)

# Written out by hand.
EXAMPLES = [
    ("7+5", "7+5:7+5+0=12:12", "12"),
    ("0+0", "0+0:0+0+0=00:0", "0"),
    ("8+470", "008+470:8+0+0=08,0+7+0=07,0+4+0=04:478", "478"),
    ("999+1", "999+001:9+1+0=10,9+0+1=10,9+0+1=10:1000", "1000"),
    (
        "99999999+1",
        "99999999+00000001:9+1+0=10," + ",".join(["9+0+1=10"] * 7) + ":100000000",
        "100000000",
    ),
    ("5003-478", "5003?0478:5>0:>\n5003-0478:13-8-0=5,10-7-1=2,10-4-1=5,05-0-1=4:4525", "4525"),
    (
        "478-5003",
        "0478?5003:0<5:<\n-(5003-0478):13-8-0=5,10-7-1=2,10-4-1=5,05-0-1=4:-4525",
        "-4525",
    ),
    ("6-6", "6?6:6=6:=\n6-6:06-6-0=0:0", "0"),
    ("0-3", "0?3:0<3:<\n-(3-0):03-0-0=3:-3", "-3"),
    (
        "10000-1",
        "10000?00001:1>0:>\n10000-00001:10-1-0=9,10-0-1=9,10-0-1=9,10-0-1=9,01-0-1=0:09999",
        "9999",
    ),
    # Either way round, as long as it is true.
    ("9-8", "8?9:8<9:<\n9-8:09-8-0=1:1", "1"),
    ("0*347", "347*0:7*0+0=00,4*0+0=00,3*0+0=00:0", "0"),
    ("347*6", "347*6:7*6+0=42,4*6+4=28,3*6+2=20:2082", "2082"),
    (
        "347*86",
        "347*6:7*6+0=42,4*6+4=28,3*6+2=20:2082\n"
        "347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760\n"
        "02082+27760:2+0+0=02,8+6+0=14,0+7+1=08,2+7+0=09,0+2+0=02:29842",
        "29842",
    ),
    # The first factor's own parts serve as well, and a zero digit needs no line.
    ("11*20", "11*20:1*2+0=02,1*2+0=02:220", "220"),
    (
        "20*11",
        "20*1:0*1+0=00,2*1+0=02:20\n20*10:0*1+0=00,2*1+0=02:200\n"
        "020+200:0+0+0=00,2+0+0=02,0+2+0=02:220",
        "220",
    ),
    (
        "Ada has 12 pens, buys 9 more and gives away 21. How many pens does Ada have now?",
        "12+09:2+9+0=11,1+0+1=02:21\n21?21:2=2,1=1:=\n21-21:01-1-0=0,02-2-0=0:00",
        "0",
    ),
    # A question that is not one of ours: any of its numbers will do, more than once if need be.
    (
        "Zoe is 9. She has 3 cats; each eats 9 mice a day. A dog eats 3. How many mice in all?",
        "3*9:3*9+0=27:27\n27+03:7+3+0=10,2+0+1=03:30",
        "30",
    ),
]
FACTORS = next(example for example in EXAMPLES if example[0] == "347*86")


@pytest.mark.parametrize("example", EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_example_thoughts_are_judged_true(example: tuple[str, str, str]) -> None:
    question, thought, answer = example
    report = check(question, thought, answer)
    assert report.first_error is None
    assert report.all_true
    assert report.steps == report.true_steps == thought.count("\n") + 1
    assert report.expected == (None if question.startswith("Zoe") else int(answer))


def test_sources_of_operands_are_found() -> None:
    report = check(*FACTORS)
    sources = [
        [(one.number, one.source, one.place) for one in line.operands] for line in report.lines
    ]
    assert sources == [
        [(347, "question", 0), (6, "part", 1)],
        [(347, "question", 0), (80, "part", 1)],
        [(2082, "line", 0), (27760, "line", 1)],
    ]
    assert [line.value for line in report.lines] == [2082, 27760, 29842]
    assert [fact.text for fact in report.lines[0].facts] == ["7*6+0=42", "4*6+4=28", "3*6+2=20"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("4*6+4=28", "4*6+4=27", "4*6+4 is 28, not 27"),
        (
            "4*6+4=28",
            "4*6+5=29",
            '"4*6+5=29" does not belong in "347*6": digits 4 and 6, carried 4',
        ),
        (
            "4*6+4=28",
            "5*6+4=34",
            '"5*6+4=34" does not belong in "347*6": digits 4 and 6, carried 4',
        ),
        ("4*6+4=28", "4+6+4=14", '"4+6+4=14" in "347*6" is not a fact of its kind'),
        (",3*6+2=20", "", '"347*6" needs 3 facts, one for each column'),
        (
            "3*6+2=20",
            "3*6+2=20,3*6+2=20",
            '"347*6" needs 3 facts, one for each column',
        ),
        (":2082", ":2083", 'the facts of "347*6" spell 2082, not 2083'),
        (":2082", ":02082", 'the facts of "347*6" spell 2082, not 02082'),
        (":2082", ":2082x", "is not of the form expression:facts:value"),
        ("02082+", "02083+", '2083 in "02083+27760" comes from nowhere'),
        ("02082+", "2082+", "has operands that are not equally wide"),
        ("347*80", "347*90", '90 in "347*90" comes from nowhere'),
        ("347*80", "347*86", "multiplies with more than a digit and zeros"),
        ("347*80", "(347*80)", "is not of the form"),
        ("347*80", "-(347*80)", "has a bracket that does not belong there"),
        ("\n02082", "\n\n02082", "is not of the form"),
    ],
)
def test_first_error_is_described(old: str, new: str, error: str) -> None:
    question, thought, answer = FACTORS
    assert old in thought
    report = check(question, thought.replace(old, new), answer)
    assert not report.all_true
    assert error in (report.first_error or "")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("5=5,0<9", "5=5,0>9", "0>9 is not true"),
        ("5=5,0<9", "5=5", '"5003?5903" needs facts up to the first digits that are not alike, 2'),
        ("0<9", "0<9,0=0", '"5003?5903" needs facts up to the first digits that are not alike, 2'),
        ("0<9", "1<9", '"1<9" does not belong in "5003?5903": digits 0 and 9'),
        ("0<9", "0?9", '"0?9" in "5003?5903" is not a fact of its kind'),
        ("0<9:<", "0<9:>", 'the facts of "5003?5903" spell <, not >'),
        ("0<9:<", "0<9:-1", "is not of the form"),
        (":-0900", ":<", "is not of the form"),
        (":-0900", ":-900", 'the facts of "-(5903-5003)" spell -0900, not -900'),
        (":-0900", ":0900", 'the facts of "-(5903-5003)" spell -0900, not 0900'),
        ("5003?5903:", "-(5003?5903):", "has a bracket that does not belong there"),
        (
            "5003?5903:5=5,0<9:<\n",
            "",
            'the line before "-(5903-5003)" does not compare its numbers',
        ),
        ("5903-5003", "5903-5004", '5004 in "-(5903-5004)" comes from nowhere'),
        ("5003?5903:", "5003?5904:", '5904 in "5003?5904" comes from nowhere'),
        ("\n-(5903", "\n\n-(5903", "is not of the form"),
    ],
)
def test_first_error_of_a_difference_is_described(old: str, new: str, error: str) -> None:
    thought = "5003?5903:5=5,0<9:<\n-(5903-5003):03-3-0=0,00-0-0=0,09-0-0=9,05-5-0=0:-0900"
    assert check("5003-5903", thought, "-900").all_true
    assert old in thought
    report = check("5003-5903", thought.replace(old, new), "-900")
    assert not report.all_true
    assert error in (report.first_error or "")


def test_a_comparison_without_its_difference_is_an_error() -> None:
    thought = "7?5:7>5:>\n7+5:7+5+0=12:12"
    report = check("A story of 7 and 5", thought, "12")
    assert not report.complete
    assert report.first_error == '"7?5" is never used'
    assert not check("7-5", "7?5:7>5:>", ">").all_true
    report = check("5-7", "5?7:5<7:<\n-(7-5):07-5-0=2:-2", "-2")
    assert [[(o.source, o.place) for o in line.operands] for line in report.lines] == [
        [("question", 0), ("question", 1)],
        [("question", 1), ("question", 0)],
    ]


@pytest.mark.parametrize(
    ("question", "thought", "answer", "error"),
    [
        ("3-5", "3?5:3<5:<\n3-5:13-5-0=8:8", "8", "3-5 is -2, not 8"),
        ("3-5", "3?5:3<5:<\n5-3:05-3-0=2:2", "2", "the question's result is -2"),
        ("2+2", "2*2:2*2+0=04:4", "4", '"2*2" is not what the question asks for'),
        ("2*3", "2*3:2*3+0=06:6", "5", 'the answer "5" is not 6, the last value'),
        ("2*3", "", "6", "the thought is empty"),
        ("2*30", "2*3:2*3+0=06:6", "6", '3 in "2*3" comes from nowhere'),
        ("2*13", "2*3:2*3+0=06:6", "6", "10 of 13 is never used"),
        ("1+2", "1+2:1+2+0=03:3\n3+0:3+0+0=03:3", "3", '0 in "3+0" comes from nowhere'),
        ("2*3", "2*3:2*3+0=06:6\n2*3:2*3+0=06:6", "6", '3 in "2*3" comes from nowhere'),
        ("2, 3, 4", "2+3:2+3+0=05:5\n4+4:4+4+0=08:8", "8", "5, the value of line 1, is never used"),
        # 11 is a factor of the question, so it is not free to be what the line left out has given.
        ("11*11", "11*10:1*1+0=01,1*1+0=01:110\n011+110:1+0+0=01,1+1+0=02,0+1+0=01:121", "121",
         '11 in "011+110" comes from nowhere'),
        # 6-3 is 3, and so the step that is left out has a value that the question names.
        ("Ada had 6 pens, lost 3 and then found 4. How many pens does Ada have?",
         "3+4:3+4+0=07:7", "7", "6 is never used"),
    ],
)  # fmt: skip
def test_thoughts_about_another_question_do_not_solve_it(
    question: str, thought: str, answer: str, error: str
) -> None:
    report = check(question, thought, answer)
    assert not report.all_true
    assert error in (report.first_error or "")


def test_a_wrong_digit_does_not_change_solves_question() -> None:
    question, thought, _ = FACTORS
    slip = thought.replace("4*6+4=28", "4*6+4=27").replace("2082", "2072")
    slip = slip.replace("8+6+0=14,0", "7+6+0=13,0").replace("29842", "29832")
    report = check(question, slip, "29832")
    assert (report.true_steps, report.provenance, report.complete) == (2, True, True)
    assert (report.faithful, report.solves_question, report.all_true) == (True, True, False)
    assert [fact.true for fact in report.lines[0].facts] == [True, False, True]
    assert not report.lines[0].equal
    assert check("347+86", thought, "29842").solves_question is False


# Properties


def agrees(report: Report) -> bool:
    """Return whether the report is all true, which `first_error` must confirm."""
    assert report.all_true == (report.first_error is None)
    return report.all_true


@given(problems)
def test_thoughts_of_the_generators_are_true(one: Problem) -> None:
    report = check(one.question, one.thought, one.answer)
    assert agrees(report)
    assert report.expected == int(one.answer)
    assert report.solves_question
    if one.question[0].isdigit():
        a, operation, b = re.fullmatch(r"(\d+)(.)(\d+)", one.question).groups()  # type: ignore[union-attr]
        results = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}
        assert int(one.answer) == results[operation]


@given(problems, st.data())
def test_any_changed_digit_is_detected(one: Problem, data: st.DataObject) -> None:
    places = [place for place, letter in enumerate(one.thought) if letter.isdigit()]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from(sorted(set("0123456789") - {one.thought[place]})))
    thought = one.thought[:place] + digit + one.thought[place + 1 :]
    assert not agrees(check(one.question, thought, one.answer))


def test_every_changed_digit_of_the_examples_is_detected() -> None:
    for question, thought, answer in EXAMPLES[:-1]:
        for place, letter in enumerate(thought):
            for digit in set("0123456789") - {letter} if letter.isdigit() else ():
                changed = thought[:place] + digit + thought[place + 1 :]
                assert not agrees(check(question, changed, answer)), changed


@given(problems, st.text(alphabet="-0123456789 ."))
def test_another_answer_is_not_faithful(one: Problem, answer: str) -> None:
    assume(answer.strip() != one.answer)
    report = check(one.question, one.thought, answer)
    assert not report.faithful
    assert not agrees(report)


@given(problems, st.data())
def test_no_line_can_be_left_out(one: Problem, data: st.DataObject) -> None:
    lines = one.thought.split("\n")
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    assert not agrees(check(one.question, "\n".join(lines), one.answer))


@given(problems, st.data())
def test_no_line_can_be_repeated(one: Problem, data: st.DataObject) -> None:
    lines = one.thought.split("\n")
    lines.insert(
        data.draw(st.integers(0, len(lines))), lines[data.draw(st.integers(0, len(lines) - 1))]
    )
    assert not agrees(check(one.question, "\n".join(lines), one.answer))


@given(products, st.randoms(use_true_random=False))
def test_lines_must_follow_the_lines_that_they_use(one: Problem, rng: random.Random) -> None:
    lines = one.thought.split("\n")
    order = list(range(len(lines)))
    rng.shuffle(order)
    # Lines 0 and 1 are parts and 2 is their sum; then a part and a sum, 3 and 4, and so on.
    uses = {2 * k: {2 * k - 1, 2 * k - 2 if k > 1 else 0} for k in range(1, len(lines))}
    validate_weights = all(
        before in order[:place] for place, line in enumerate(order) for before in uses.get(line, ())
    )
    report = check(one.question, "\n".join(lines[line] for line in order), one.answer)
    # Parts of a product are as true in another order.
    assert agrees(report) == validate_weights


@given(tasks, seeds, seeds)
def test_the_thought_of_another_problem_is_not_true(task: Task, one: int, other: int) -> None:
    asked, given_ = (draw(task, random.Random(seed)) for seed in (one, other))
    assume(
        sorted(re.findall(r"\d+", asked.question)) != sorted(re.findall(r"\d+", given_.question))
    )
    assert not agrees(check(asked.question, given_.thought, given_.answer))
    assert not agrees(check(asked.question, given_.thought, asked.answer))


@given(st.integers(0, 9999), st.integers(0, 9999), st.permutations("+-*"))
def test_the_thought_of_another_operation_is_not_true(a: int, b: int, signs: list[str]) -> None:
    given_ = problem(signs[1], a, b)
    assert not agrees(check(f"{a}{signs[0]}{b}", given_.thought, given_.answer))
    turned = problem("-", b, a)
    assert agrees(check(f"{a}-{b}", turned.thought, turned.answer)) == (a == b)


texts = st.text() | st.text(alphabet="0123456789+-*=,:;()\n ", max_size=200)


@given(texts, texts, texts)
def test_check_never_raises(question: str, thought: str, answer: str) -> None:
    agrees(check(question, thought, answer))


@given(
    st.lists(st.from_regex(r"\A(-\()?[0-9]{1,5}[-+*][0-9]{1,5}\)?:[0-9]{0,2}:-?[0-9]+\Z")), texts
)
def test_check_never_raises_on_malformed_lines(lines: list[str], question: str) -> None:
    report = check(question, "\n".join(lines), "0")
    agrees(report)
    assert not report.all_true
    assert report.steps == len(lines)


MILLION = 10**6
LONG = {
    "a number": "9" * MILLION,
    "numbers": "1 " * (MILLION // 2),
    "an expression of long numbers": f"{'9' * 100_000}+{'9' * 100_000}::1",
    "a long value": f"1+1:1+1+0=02:{'2' * 100_000}",
    "empty lines": "x" + "\n" * (MILLION // 16) + "x",
    "short lines": "x\n" * (MILLION // 16),
    "true lines": "1+1:1+1+0=02:2\n" * (MILLION // 30),
    "facts": "1+1:" + "1+1+0=02," * (MILLION // 9),
    "commas": "1+1:" + "," * MILLION + ":2",
    "colons": ":" * MILLION,
    "words of a story": "Ada has " + "1" * 40 + " pens, buys " * (MILLION // 12),
}


@pytest.mark.parametrize("kind", LONG)
def test_checking_takes_linear_time(kind: str) -> None:
    text = LONG[kind]
    for question in ("1+1", text):
        start = time.process_time()
        report = check(question, text, text)
        # A second or two; a time that grows as the square of the length would be minutes.
        assert time.process_time() - start < 10
        assert not report.all_true
        assert len(report.first_error or "") < 200


def test_exponentially_growing_values_are_cut_off() -> None:
    """Each line claims 7; its true value is 39 digits longer than the value before."""
    large = f"1{'0' * 39}"
    thought = f"2*{large}:2*1+0=02:7" + f"\n7*{large}:7*1+0=07:7" * 20_000
    start = time.process_time()
    assert not check(f"2*{large}", thought, "7").all_true
    assert time.process_time() - start < 10


def test_a_message_shows_no_control_characters() -> None:
    assert check("1+1", "\x1b[2J", "2").first_error == (
        '"?[2J" is not of the form expression:facts:value'
    )
