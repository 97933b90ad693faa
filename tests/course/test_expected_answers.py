"""Expected answers of the exercises, found in another way than the exercise finds them."""

from __future__ import annotations

import math

import pytest

from anexa.course.exercises import EXERCISES, decoding, rotary, swiglu
from anexa.engines.nested import NestedLayerKVCache
from anexa.engines.operations.lists_attention import Attention

STUDENTS = ["", "Ada", "Noor"]
each_student = pytest.mark.parametrize("student", STUDENTS)


@each_student
def test_gradients_of_chapter_11_equal_central_differences(student: str) -> None:
    h = 1e-6
    for question in EXERCISES[11].questions(11, student):
        if question.call != "swiglu_gradient":
            continue
        a, b, g = question.arguments
        for which, expected in enumerate(question.expected):
            for i, slope in enumerate(expected):
                sides = []
                for step in (h, -h):
                    moved = [list(a), list(b)]
                    moved[which][i] += step
                    sides.append(sum(x * y for x, y in zip(g, swiglu.forward(*moved))))
                assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(slope, abs=1e-6)


@each_student
def test_outputs_of_chapter_12_equal_those_of_the_engine_with_a_cache(student: str) -> None:
    for question in EXERCISES[12].questions(12, student):
        if question.call != "attend":
            continue
        caches: dict[int, NestedLayerKVCache] = {}
        outputs = []
        for text, *vectors in question.arguments[0]:
            q, k, v = ([list(row) for row in rows] for rows in vectors)
            cache = caches.setdefault(text, NestedLayerKVCache())
            outputs.append(Attention().forward(q, k, v, 1, cache))
        assert question.difference(outputs) is None


def test_probabilities_of_chapter_12_by_hand() -> None:
    logits = [math.log(p) for p in (0.1, 0.4, 0.3, 0.2)]
    third = pytest.approx([0, 4 / 7, 3 / 7, 0])
    assert decoding.sampled(logits, top_k=2) == third
    assert decoding.sampled(logits, top_p=0.65) == third
    assert decoding.sampled(logits, temperature=0) == [0, 1, 0, 0]
    # With a temperature of 1/2, probabilities are squared: 1, 16, 9 and 4 of 30.
    assert decoding.sampled(logits, 0.5, 3, 0.8) == pytest.approx([0, 16 / 25, 9 / 25, 0])


def test_turns_of_chapter_13_are_products_of_complex_numbers() -> None:
    x, base, position = [1.0, -2.0, 0.5, 3.0, 0.25, -1.5], 50.0, 7
    pairs = [complex(a, b) for a, b in zip(x[:3], x[3:])]
    angles = [position * base ** (-2 * i / 6) for i in range(3)]
    turned = [z * complex(math.cos(w), math.sin(w)) for z, w in zip(pairs, angles)]
    expected = [z.real for z in turned] + [z.imag for z in turned]
    assert rotary.turn(x, position, base) == pytest.approx(expected, abs=1e-12)
