"""Solutions of chapter 16."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
import re

def parts(thought):
    expression, rest = thought.split(":", 1)
    facts, value = rest.rsplit(":", 1)
    return expression, facts.split(","), value

def digits(number):
    return [int(digit) for digit in number[1::2]]

def number(digits):
    return int("".join(str(digit) for digit in reversed(digits)))

def first_wrong(question, thought):
    expression, facts, value = parts(thought)
    x, y = [digits(part) for part in expression.split("+")]
    if [number(x), number(y)] != [int(part) for part in question.split("+")]:
        return expression
    carry, result = 0, []
    for i, fact in enumerate(facts):
        p, q, c, s = [int(part) for part in re.findall("[0-9]+", fact)]
        if p + q + c != s:
            return fact
        if c != carry:
            return fact
        if [p, q] != [x[i], y[i]]:
            return fact
        carry = s // 10
        result.append(s % 10)
    if number(digits(value)[::-1]) != number(result + [carry]):
        return value
    return None

def go_on(expression, facts):
    x, y = [digits(part) for part in expression.split("+")]
    facts = list(facts)
    for i in range(len(facts), len(x)):
        carry = int(facts[-1][-2]) if facts else 0
        facts.append(f"{x[i]}+{y[i]}+{carry}={x[i] + y[i] + carry:02}")
    found = [int(fact[-1]) for fact in facts]
    return number(found + [int(facts[-1][-2])])
"""

WRONG: Wrong = {
    "true equations at the wrong place": (
        "if c != carry:",
        "if False:",
        "is not what the fact before has left over",
    ),
    "false equations": ("if p + q + c != s:", "if False:", "This fact is false"),
    "digits of another number": (
        "if [p, q] != [x[i], y[i]]:",
        "if False:",
        "other digits than those of the expression",
    ),
    "another question": (
        'if [number(x), number(y)] != [int(part) for part in question.split("+")]:',
        "if False:",
        "the thought is about another question",
    ),
    "a value that is not read": (
        "if number(digits(value)[::-1]) != number(result + [carry]):",
        "if False:",
        "not exactly the digits",
    ),
    "equations but for the carry": (
        "if p + q + c != s:",
        "if (p + q + c - s) % 10:",
        "This fact is false",
    ),
    "the first digit of each fact": (
        "if [p, q] != [x[i], y[i]]:",
        "if p != x[i]:",
        "other digits than those of the expression",
    ),
    "the second digit of each fact": (
        "if [p, q] != [x[i], y[i]]:",
        "if q != y[i]:",
        "other digits than those of the expression",
    ),
    "the sum of the digits": (
        "if [p, q] != [x[i], y[i]]:",
        "if p + q != x[i] + y[i]:",
        "other digits than those of the expression",
    ),
    "the first number": (
        'if [number(x), number(y)] != [int(part) for part in question.split("+")]:',
        'if number(x) != int(question.split("+")[0]):',
        "both numbers of the expression",
    ),
    "the second number": (
        'if [number(x), number(y)] != [int(part) for part in question.split("+")]:',
        'if number(y) != int(question.split("+")[1]):',
        "both numbers of the expression",
    ),
    "the sum of the numbers": (
        'if [number(x), number(y)] != [int(part) for part in question.split("+")]:',
        'if number(x) + number(y) != sum(map(int, question.split("+"))):',
        "both numbers of the expression",
    ),
    "a value without its front": (
        "if number(digits(value)[::-1]) != number(result + [carry]):",
        "if any(one != other for one, other in zip(digits(value)[::-1], result)):",
        "not exactly the digits",
    ),
    "a value with its letters": (
        "number(digits(value)[::-1]) != number(result + [carry])",
        "value != str(number(result + [carry]))",
        "The value has a letter before each digit",
    ),
    "a value from its ones": (
        "digits(value)[::-1]",
        "digits(value)",
        "its ones come last",
    ),
    "an expression from its highest place": (
        "if [number(x), number(y)] !=",
        "if [number(x[::-1]), number(y[::-1])] !=",
        "the ones come first",
    ),
    "no zeros in front": (
        'if [number(x), number(y)] != [int(part) for part in question.split("+")]:',
        "if [str(part) for part in question.split('+')] != "
        "[''.join(map(str, part[::-1])) for part in (x, y)]:",
        "filled up with zeros",
    ),
    "the last wrong part": (
        "def first_wrong(question, thought):",
        """def first_wrong(question, thought):
    expression, facts, value = parts(thought)
    found = [int(fact[-1]) for fact in facts]
    is_wrong = number(digits(value)[::-1]) != number(found + [int(facts[-1][-2])])
    return value if is_wrong else from_the_left(question, thought)

def from_the_left(question, thought):""",
        "not the first wrong part",
    ),
    "the true sum": (
        "def go_on(expression, facts):",
        """def go_on(expression, facts):
    return sum(number(digits(part)) for part in expression.split("+"))

def go_on_from(expression, facts):""",
        "This is the true sum",
    ),
    "facts that are calculated again": (
        "    found = [int(fact[-1]) for fact in facts]\n",
        """    carry, found = 0, []
    for i, fact in enumerate(facts):
        p, q = [int(part) for part in re.findall("[0-9]", fact)[:2]]
        found.append((p + q + carry) % 10)
        carry = (p + q + carry) // 10
    return number(found + [carry])
""",
        "does not calculate the given facts again",
    ),
    "no carry": (
        "carry = int(facts[-1][-2]) if facts else 0",
        "carry = 0",
        "The carry is missing",
    ),
    "no carry in front": (
        "number(found + [int(facts[-1][-2])])",
        "number(found)",
        "The carry of the last fact is missing",
    ),
    "the ones in front": (
        "return number(found + [int(facts[-1][-2])])",
        "return number([*found[::-1], int(facts[-1][-2])])",
        "The first fact has the ones",
    ),
    "two digits of each fact": (
        "return number(found + [int(facts[-1][-2])])",
        'return int("".join(fact[-2:] for fact in reversed(facts)))',
        "Each fact gives one digit",
    ),
    "a fact before the first": (
        "carry = int(facts[-1][-2]) if facts else 0",
        "carry = int(facts[-1][-2])",
        "There may be no fact yet",
    ),
}
