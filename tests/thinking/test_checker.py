"""Verdicts of the checker on thoughts that were written out by hand, and what it says of errors."""

from __future__ import annotations

import pytest

from anexa.thinking.answers import BY_ZERO_REFUSAL, EQUAL_ANSWER, INEXACT_REFUSAL, solve
from anexa.thinking.checker import check
from anexa.thinking.expressions import Calculation
from anexa.thinking.thoughts import write_facts, write_value

SEVENS = "7*1=7,7*2=14,7*3=21,7*4=28,7*5=35,7*6=42,7*7=49,7*8=56,7*9=63"
EIGHTEENS = "18*1=18,18*2=36,18*3=54,18*4=72,18*5=90,18*6=108,18*7=126,18*8=144,18*9=162"
TWOS = "2*1=2,2*2=4,2*3=6,2*4=8,2*5=10,2*6=12,2*7=14,2*8=16,2*9=18"
HALF_OF_SEVEN = "A:10*0+7=7,2*3=6,6<7,07-6-0=1"
PRODUCT = (
    "347*86",
    "A7B4C3*a6b8:A7*a6+0=42;A2,A7*b8+4=60,B4*a6+60=84;B4,B4*b8+8=40,C3*a6+40=58;C8,C3*b8+5=29;D9"
    ":E2D9C8B4A2",
    "29842",
)
EXAMPLES = [
    ("7+5", "A7+a5:A:7+5+0=12:B1A2", "12"),
    ("0+0", "A0+a0:A:0+0+0=00:A0", "0"),
    ("9+3", "Z9+z3:Z:9+3+0=12:A1Z2", "12"),  # any letter may be that of the ones
    ("8+470", "A8B0C0+a0b7c4:A:8+0+0=08,B:0+7+0=07,C:0+4+0=04:C4B7A8", "478"),
    ("8+470", "A0B7C4+a8b0c0:A:0+8+0=08,B:7+0+0=07,C:4+0+0=04:C4B7A8", "478"),  # in any order
    ("999+1", "A9B9C9+a1b0c0:A:9+1+0=10,B:9+0+1=10,C:9+0+1=10:D1C0B0A0", "1000"),
    (
        "5003-478",
        "A3B0C0D5-a8b7c4d0:D:5>0,A:13-8-0=5,B:10-7-1=2,C:10-4-1=5,D:05-0-1=4:D4C5B2A5",
        "4525",
    ),
    (
        "478-5003",
        "A8B7C4D0-a3b0c0d5:D:0<5,A:13-8-0=5,B:10-7-1=2,C:10-4-1=5,D:05-0-1=4:-D4C5B2A5",
        "-4525",
    ),
    ("10-3", "A0B1-a3b0:B:1>0,A:10-3-0=7,B:01-0-1=0:A7", "7"),
    ("6-6", "A6-a6:A:6=6,A:06-6-0=0:A0", "0"),
    ("0-3", "A0-a3:A:0<3,A:03-0-0=3:-A3", "-3"),
    ("0*347", "A0*a7b4c3:A0*a7+0=00;A0,A0*b4+0=00;B0,A0*c3+0=00;C0:A0", "0"),
    PRODUCT,
    (
        "30/7",
        f"A0B3/a7:{SEVENS},B:10*0+3=3,7*0=0,0<3,"
        "A:10*3+0=30,7*4=28,2<3,10-8-0=2,03-2-1=0:A4 R 2",
        "4 R 2",
    ),
    (
        "84/7",
        f"A4B8/a7:{SEVENS},B:10*0+8=8,7*1=7,7<8,08-7-0=1,"
        "A:10*1+4=14,7*2=14,1=1,4=4,04-4-0=0,01-1-0=0:B1A2",
        "12",
    ),
    (
        "50/18",  # 5 and 4 are too large
        f"A0B5/a8b1:{EIGHTEENS},B:10*0+5=5,18*0=0,0<5,"
        "A:10*5+0=50,18*5=90,9>5,18*4=72,7>5,18*3=54,5=5,4>0,18*2=36,3<5,10-6-0=4,05-3-1=1:A2 R 14",
        "2 R 14",
    ),
    ("Which is larger, 456 or 356?", "A6B5C4?>a6b5c3:C:4>3:C4B5A6", "456"),
    ("Which is smaller, 7 or 30?", "A7B0?<a0b3:B:0<3:A7", "7"),
    ("Which is larger, 30 or 30?", "A0B3?>a0b3:B:3=3,A:0=0:B3A0", EQUAL_ANSWER),
    # Chains; a negative value is used without its sign.
    (
        "5-12+3",
        "A5B0-a2b1:B:0<1,A:12-5-0=7,B:01-0-1=0:-A7:=(-A7)+A3\nA3-a7:A:3<7,A:07-3-0=4:-A4",
        "-4",
    ),
    (
        "3-10-5",
        "A3B0-a0b1:B:0<1,A:10-3-0=7,B:01-0-1=0:-A7:=(-A7)-A5\n-(A7+a5):A:7+5+0=12:-B1A2",
        "-12",
    ),
    ("(1-5)*3", "A1-a5:A:1<5,A:05-1-0=4:-A4:=(-A4)*A3\n-(A4*a3):A4*a3+0=12;A2:-B1A2", "-12"),
    ("4-2*3", "A2*a3:A2*a3+0=06;A6:A6:=A4-A6\nA4-a6:A:4<6,A:06-4-0=2:-A2", "-2"),
    ("7/2+3", f"A7/a2:{TWOS},{HALF_OF_SEVEN}:A3 R 1", INEXACT_REFUSAL),
    ("5/(3-3)", "A3-a3:A:3=3,A:03-3-0=0:A0:=A5/A0", BY_ZERO_REFUSAL),
    ("(1+1)/(3-3)", "A1+a1:A:1+1+0=02:A2:=A2/(A3-A3)\n"
     "A3-a3:A:3=3,A:03-3-0=0:A0:=A2/A0", BY_ZERO_REFUSAL),
    (
        "Ada has 12 pens, buys 9 more and gives away 21. How many pens does Ada have now?",
        "A2B1+a9b0:A:2+9+0=11,B:1+0+1=02:B2A1:=B2A1-B2A1\n"
        "A1B2-a1b2:B:2=2,A:1=1,A:01-1-0=0,B:02-2-0=0:A0",
        "0",
    ),
    # A question that is not one of ours: any of its numbers will do, more than once if need be.
    (
        "Zoe is 9. She has 3 cats; each eats 9 mice a day. A dog eats 3. How many mice in all?",
        "A3*a9:A3*a9+0=27;A7:B2A7:=B2A7+A3\nA7B2+a3b0:A:7+3+0=10,B:2+0+1=03:B3A0",
        "30",
    ),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_example_thoughts_are_judged_true(example: tuple[str, str, str]) -> None:
    question, thought, answer = example
    report = check(question, thought, answer)
    assert report.first_error is None
    assert report.all_true
    assert report.num_steps == report.num_true_steps == thought.count("\n") + 1
    assert report.expected == (None if question.startswith("Zoe") else answer)


def test_what_remains_of_a_question_of_unknown_phrasing_may_be_long_and_negative() -> None:
    chain = Calculation("-", Calculation("-", 1, Calculation("*", 10**39 + 7, 10**39 + 9)), 5)
    steps, answer = solve(chain)
    assert ":=(-" in steps[1].text
    thought = "\n".join(step.text for step in steps)
    question = f"There are {' and '.join(map(str, chain.numbers))} pens, and well?"
    assert check(question, thought, answer).all_true


def test_sources_of_operands_are_found() -> None:
    report = check(
        "2+3*(4-9)",
        "A4-a9:A:4<9,A:09-4-0=5:-A5:=A2+A3*(-A5)\n-(A3*a5):A3*a5+0=15;A5:-B1A5:=A2+(-B1A5)\n"
        "A2B0-a5b1:B:0<1,A:05-2-0=3,B:01-0-0=1:-B1A3",
        "-13",
    )
    assert report.all_true
    sources = [
        [(one.number, one.source, one.position) for one in line.operands] for line in report.lines
    ]
    assert sources == [
        [(4, "question", 2), (9, "question", 3)],
        [(3, "question", 1), (5, "line", 0)],
        [(2, "question", 0), (15, "line", 1)],
    ]
    assert [line.value for line in report.lines] == [-5, -15, -13]
    assert [fact.text for fact in report.lines[1].facts] == ["A3*a5+0=15;A5"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("B4*a6+60=84", "B4*a6+60=74", "4*6+60 is 84, not 74"),
        (
            "B4*a6+60=84",
            "B4*a6+50=74",
            '"B4*a6+50=74;B4" does not belong in "A7B4C3*a6b8", where "B4*a6+60=84;B4" is the next',
        ),
        ("B4*a6", "C4*a6", '"C4*a6+60=84;B4" does not belong in "A7B4C3*a6b8"'),
        (";B4", ";B8", '8 is not the last digit of 84 in "B4*a6+60=84;B8"'),
        ("B4*a6", "B4+a6", '"B4+a6+60=84;B4" in "A7B4C3*a6b8" is not a fact of its kind'),
        (",C3*b8+5=29;D9", "", '"A7B4C3*a6b8" lacks a fact, "C3*b8+5=29;D9"'),
        (":E2", ",A1*a1+0=01:E2", '"A1*a1+0=01" is one fact too many in "A7B4C3*a6b8"'),
        ("A2:", "A3:", "is not of the form"),
        ("B4A2", "B4A3", 'the facts of "A7B4C3*a6b8" spell E2D9C8B4A2, not E2D9C8B4A3'),
        (":E2", ":F0E2", 'the facts of "A7B4C3*a6b8" spell E2D9C8B4A2, not F0E2D9C8B4A2'),
        (":E2", ":E2x", "is not of the form expression:facts:value"),
        ("a6b8:", "a6b9:", '96 in "A7B4C3*a6b9" comes from nowhere'),
        ("B4C3*", "B4D3*", "has digits that are not in the places that their letters name"),
        ("a6b8:", "b6c8:", "has digits that are not in the places that their letters name"),
        ("a6b8:", "a6b8c0:", "has digits that are not in the places that their letters name"),
        ("A7B4C3*a6b8:", "-(A7B4C3*a6b8):", '347 in "-(A7B4C3*a6b8)" comes from nowhere'),
        ("A7B4C3*a6b8:", "(A7B4C3*a6b8):", "is not of the form"),
        ("A7B4C3*a6b8:", "A7B4C3*a6b8):", "has a bracket that does not belong there"),
    ],
)
def test_first_error_is_described(old: str, new: str, error: str) -> None:
    question, thought, answer = PRODUCT
    changed = thought.replace(old, new, 1) if old != "A2:" else thought + ":x"
    assert changed != thought
    report = check(question, changed, answer)
    assert not report.all_true
    assert error in (report.first_error or "")


@pytest.mark.parametrize(
    ("question", "thought", "answer", "error"),
    [
        ("3-5", "A3-a5:A:3<5,A:05-3-0=2:A2", "2", 'the facts of "A3-a5" spell -A2, not A2'),
        ("3-5", "A5-a3:A:5>3,A:05-3-0=2:A2", "2", '"A5-a3" is not what the question asks for'),
        ("3-5", "A3-a5:A:3>5,A:05-3-0=2:A2", "2", '"A:3>5" is not true'),
        ("2+2", "A2*a2:A2*a2+0=04;A4:A4", "4", '"A2*a2" is not what the question asks for'),
        ("2*3", "A2*a3:A2*a3+0=06;A6:A6", "5", 'the answer "5" is not "6"'),
        ("2*3", "", "6", "the thought is empty"),
        ("2*3+4", "A2*a3:A2*a3+0=06;A6:A6:=A6+A4", "6", "4 is never used"),
        ("2*3+4", "A2*a3:A2*a3+0=06;A6:A6", "6", '"6+4" remains after "A2*a3", and the line does'),
        ("2*3", "A2*a3:A2*a3+0=06;A6:A6:=A6+A0", "6", '"A6+A0" is not what remains after "A2*a3"'),
        ("2*3+4", "A2*a3:A2*a3+0=06;A6:A6:=A4+A6\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"A4+A6" is not what remains after "A2*a3"'),
        ("2*3+4", "A2*a3:A2*a3+0=06;A6:A6:=B6+B4\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"B6+B4" is not what remains after "A2*a3"'),
        ("2 by 3, and 4", "A2*a3:A2*a3+0=06;A6:A6:=A6+A7\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"A6+A7" is not what remains after "A2*a3"'),
        ("2 by 3, and 4", "A2*a3:A2*a3+0=06;A6:A6:=A6+\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"A6+" is not what remains after "A2*a3"'),
        ("2 by 3, and 4", "A2*a3:A2*a3+0=06;A6:A6:=A6+A4", "6",
         '"6+4", which remains after the last line, is never used'),
        ("2 by 3, and 4", "A2*a3:A2*a3+0=06;A6:A6:=A6*A4\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"A6+a4" is no step of what remains after the line before'),
        ("2 by 3, 4, 5", "A2*a3:A2*a3+0=06;A6:A6:=A6+A4+A5\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"10+5" remains after "A6+a4", and the line does not say so'),
        ("2 by 3, 4, 5", "A2*a3:A2*a3+0=06;A6:A6:=A6+A4+A5\nA6+a4:A:6+4+0=10:B1A0:=B1A0-A5", "10",
         '"B1A0-A5" is not what remains after "A6+a4"'),
        ("2 by 3, and 4", "A2*a3:A2*a3+0=06;A6:A6:=A6+B0A4\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"A6+B0A4" is not what remains after "A2*a3"'),
        ("2 by 3, and 4", "A2*a3:A2*a3+0=06;A6:A6:=((A6+A4\nA6+a4:A:6+4+0=10:B1A0", "10",
         '"((A6+A4" is not what remains after "A2*a3"'),
        # The earlier form of a comparison, without the number that is asked for.
        ("30 pens, 40 ants", "A0B3?a0b4:B:3<4:<", "30", "is not of the form"),
        ("30 pens, 40 ants", "A0B3?>a0b4:B:3<4:>", "40", "is not of the form"),
        # The facts and the sign say which of the numbers is the value.
        ("30 pens, 40 ants", "A0B3?>a0b4:B:3<4:B3A0", "30", "spell B4A0, not B3A0"),
        ("30 pens, 40 ants", "A0B3?<a0b4:B:3<4:B4A0", "40", "spell B3A0, not B4A0"),
        ("30 pens, 40 ants", "A0B3?>a0b4:B:3<4:B4A1", "41", "spell B4A0, not B4A1"),
        ("30 pens, 40 ants", "A0B3?>a0b4:B:3<4:B4A0", "30", 'the answer "30" is not "40"'),
        ("30 pens, 40 ants", "-(A0B3?>a0b4):B:3<4:-B4A0", "-40", "has a bracket that does"),
        ("30 pens, 40 ants", "A0B3?>a0b4:B:3<4:B4A0:=B3A0+B4A0", "40", "after the last line"),
        ("1+2", "A1+a2:A:1+2+0=03:A3\nA3+a0:A:3+0+0=03:A3", "3", '0 in "A3+a0" comes from nowhere'),
        ("7/2", f"A7/a2:{TWOS},{HALF_OF_SEVEN}:A3", "3", "spell A3 R 1, not A3"),
        ("7/2", f"A7/a2:{TWOS},{HALF_OF_SEVEN}:A3 R 1", "3", 'the answer "3" is not "3 R 1"'),
        ("7/2", f"A7/a2:{TWOS},A:10*0+7=7,2*2=4,4<7,07-4-0=3:A2 R 3", "2 R 3",
         '"2*2=4" does not belong'),
        ("7/2+3", f"A7/a2:{TWOS},{HALF_OF_SEVEN}:A3 R 1", "3 R 1", '"3 R 1" is not "I can only'),
        ("5/0", "A5/a0::A0", "0", '"A5/a0::A0" divides by 0'),
        ("5/0", "", "0", 'the answer "0" is not "Nothing can be divided by 0."'),
        ("2, 3 or 4", "A2+a3:A:2+3+0=05:A5\nA4+a4:A:4+4+0=08:A8", "8",
         "5, the value of line 1, is never used"),
        ("2 and 5", "-(A2+a5):A:2+5+0=07:-A7", "-7", '2 in "-(A2+a5)" comes from nowhere'),
        ("Which is larger, 4 or 9?", "A4?>a9:A:4<9:A9", "4", 'the answer "4" is not "9"'),
        ("Which is larger, 4 or 9?", "A4?<a9:A:4<9:A4", "4", "is not what the question asks for"),
        ("Which is larger, 4 or 9?", "A9?>a4:A:9>4:A9", "9", "is not what the question asks for"),
        ("Which is larger, 4 or 4?", "A4?>a4:A:4=4:A4", "4",
         'the answer "4" is not "They are equal."'),
        # The steps are those of the brackets, even where others have the same result.
        ("2+3+4", "A3+a4:A:3+4+0=07:A7\nA2+a7:A:2+7+0=09:A9", "9",
         '"A3+a4" is not what the question asks for'),
        # 6-3 is 3, and so the step that is left out has a value that the question names.
        ("Ada had 6 pens, lost 3 and then found 4. How many pens does Ada have?",
         "A3+a4:A:3+4+0=07:A7", "7", '6 is never used'),
    ],
)  # fmt: skip
def test_thoughts_about_another_question_do_not_solve_it(
    question: str, thought: str, answer: str, error: str
) -> None:
    report = check(question, thought, answer)
    assert not report.all_true
    assert error in (report.first_error or "")


def test_a_thought_of_unknown_phrasing_may_go_on_after_a_comparison() -> None:
    compared = "A0B3?>a0b4:B:3<4:B4A0:=B3A0+B4A0"
    thought = f"{compared}\nA0B3+a0b4:A:0+0+0=00,B:3+4+0=07:B7A0"
    assert check("30 pens, 40 ants", thought, "70").all_true


@pytest.mark.parametrize("value", ["A5", "-A4", "A4 R 3"])
def test_no_answer_follows_from_equal_numbers_with_another_value(value: str) -> None:
    report = check("Which is larger, 4 or 4?", f"A4?>a4:A:4=4:{value}", EQUAL_ANSWER)
    assert not report.faithful
    assert not report.all_true


@pytest.mark.parametrize(
    ("question", "answer"),
    [("5/0", BY_ZERO_REFUSAL), ("12 30", "Do you mean 12+30, 12-30, 12*30 or 12/30?")],
)
def test_questions_that_need_no_thought_are_answered_without_one(
    question: str, answer: str
) -> None:
    report = check(question, "", answer)
    assert (report.all_true, report.first_error, report.expected) == (True, None, answer)
    assert not check(question, "A5+a0:A:5+0+0=05:A5", answer).all_true


def test_a_number_that_a_story_does_not_need_is_not_used() -> None:
    story = (
        "Ada is 9 years old and has 2 pens in each of 3 bags. Ada gives away 4 pens and gets 1 "
        "back. How many pens does Ada have now?"
    )
    thought = (
        "A2*a3:A2*a3+0=06;A6:A6:=A6-A4+A1\nA6-a4:A:6>4,A:06-4-0=2:A2:=A2+A1\n"
        "A{}+a{}:A:{}+{}+0={:02}:{}"
    )
    assert check(story, thought.format(2, 1, 2, 1, 3, "A3"), "3").all_true
    report = check(story, thought.format(2, 9, 2, 9, 11, "B1A1"), "11")
    assert report.first_error == '9 in "A2+a9" comes from nowhere'


@pytest.mark.parametrize("second", ["A3*a3:A3*a3+0=09;A9:A9", "A3+a3:A:3+3+0=06:A6"])
def test_what_a_line_has_used_is_no_source_of_another(second: str) -> None:
    value = 9 if "*a3" in second else 6
    third = f"A{value}+a3:A:{value}+3+0={value + 3:02}:{write_value(value + 3)}"
    report = check("(1+2)*3", f"A1+a2:A:1+2+0=03:A3:=A3*A3\n{second}\n{third}", str(value + 3))
    assert report.num_true_steps == 3
    assert not report.sourced
    assert [one.source for one in report.lines[2].operands] == ["line", "nowhere"]


@pytest.mark.parametrize("end", ["", ":=A5/(A2-A2)+(A3+A1)"])
def test_no_line_may_go_on_with_a_quotient_that_leaves_a_remainder(end: str) -> None:
    facts = ",".join(write_facts("/", 7, 2))
    thought = (
        f"A7/a2:{facts}:A3 R 1{end}\nA3+a1:A:3+1+0=04:A4:=A5/(A2-A2)+A4\n"
        "A2-a2:A:2=2,A:02-2-0=0:A0:=A5/A0+A4"
    )
    report = check("5/(2-2)+(7/2+1)", thought, BY_ZERO_REFUSAL)
    assert report.solves_question is False
    assert not report.all_true
    assert report.first_error is not None


def test_a_step_before_a_refusal_cannot_be_left_out() -> None:
    steps = (
        "A1+a2:A:1+2+0=03:A3:=A3*(A3+A4)/(A5-A5)\nA3+a4:A:3+4+0=07:A7:=A3*A7/(A5-A5)\n"
        "{}A5-a5:A:5=5,A:05-5-0=0:A0:={}/A0"
    )
    product = "A3*a7:A3*a7+0=21;A1:B2A1:=B2A1/(A5-A5)\n"
    question = "(1+2)*(3+4)/(5-5)"
    assert check(question, steps.format(product, "B2A1"), BY_ZERO_REFUSAL).all_true
    report = check(question, steps.format("", "A3*A7"), BY_ZERO_REFUSAL)
    assert report.first_error == "3, the value of line 1, is never used"
    assert not report.all_true


def test_a_wrong_digit_does_not_change_solves_question() -> None:
    thought = (
        "A7B4+a6b8:A:7+6+0=14,B:4+8+1=13:C1B3A4:=C1B3A4*A2\n"
        "A4B3C1*a2:A4*a2+0=08;A8,B3*a2+0=06;B6,C1*a2+0=02;C2:C2B6A8"
    )
    report = check("(47+86)*2", thought, "268")
    assert (report.num_true_steps, report.sourced, report.complete) == (1, True, True)
    assert (report.faithful, report.solves_question, report.all_true) == (True, True, False)
    assert [(fact.true, fact.fits) for fact in report.lines[0].facts] == [
        (False, False), (True, True)
    ]  # fmt: skip
    assert not report.lines[0].is_correct
    assert report.lines[0].matches_facts
    (line,) = check("4*2", "A4*a2:A4*a2+0=08;A8:A9", "9").lines
    assert (line.matches_facts, line.is_correct) == (False, False)
    assert check("(47-86)*2", thought, "268").solves_question is False
    first, _, _ = thought.partition("\n")
    assert check("(47+86)*2", first, "134").solves_question is False


def test_a_message_shows_no_control_characters() -> None:
    assert check("1+1", "\x1b[2J", "2").first_error == (
        '"?[2J" is not of the form expression:facts:value'
    )
