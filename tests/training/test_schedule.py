from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.training.schedule import Clock, learning_rate
from tests.training.timer import Timer

shares = st.floats(0, 1)
warmups = st.floats(0, 0.9)


@pytest.fixture
def timer() -> Timer:
    return Timer()


# The learning rate


def test_schedule_without_warmup_is_that_of_microgpt() -> None:
    for step in range(1000):
        # microgpt.py: lr_t = learning_rate * (1 - step / num_steps)
        assert learning_rate(0.01, step / 1000, warmup=0.0) == 0.01 * (1 - step / 1000)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.0), (0.05, 1.0), (0.1, 2.0), (0.2, 4.0), (0.4, 3.0), (0.6, 2.0), (0.9, 0.5), (1, 0)],
)
def test_linear_schedule_rises_and_falls_linearly(progress: float, rate: float) -> None:
    assert learning_rate(4.0, progress, warmup=0.2) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("schedule", "progress", "rate"),
    [
        ("cosine", 0.1, 2.0),
        ("cosine", 0.2, 4.0),
        ("cosine", 0.4, 4 * (1 + 2**-0.5) / 2),
        ("cosine", 0.6, 2.0),
        ("cosine", 1.0, 0.0),
        ("wsd", 0.1, 2.0),
        ("wsd", 0.3, 4.0),
        ("wsd", 0.6, 4.0),
        ("wsd", 0.8, 2.0),
        ("wsd", 1.0, 0.0),
    ],
)
def test_decay_has_the_shape_of_the_schedule(schedule: str, progress: float, rate: float) -> None:
    assert learning_rate(4.0, progress, 0.2, schedule) == pytest.approx(rate)


@given(shares, shares, warmups)
def test_learning_rate_is_highest_after_the_warmup(a: float, b: float, warmup: float) -> None:
    rate = [learning_rate(1.0, share, warmup) for share in sorted((a, b))]
    assert all(0 <= r <= 1 for r in rate)
    if max(a, b) < warmup:
        assert rate[0] <= rate[1]
    if min(a, b) >= warmup:
        assert rate[0] >= rate[1]
    assert learning_rate(1.0, warmup, warmup) == 1.0
    assert learning_rate(1.0, 1.0, warmup) == 0.0


@pytest.mark.parametrize("steps", [1, 3, 20, 1000])
def test_first_step_has_a_positive_learning_rate(steps: int) -> None:
    rates = [
        learning_rate(
            4.0,
            step / steps,
            0.2,
            step_fraction=Clock(steps, None).step_fraction(step, step / steps),
        )
        for step in range(steps)
    ]
    assert rates[0] == pytest.approx(min(4.0, 4.0 / (0.2 * steps)))
    assert all(0 < rate <= 4 for rate in rates)
    highest = max(rates)
    assert rates == [
        *sorted(rates[: rates.index(highest)]),
        *sorted(rates[rates.index(highest) :], reverse=True),
    ]


# The clock, by steps


def test_progress_by_steps_does_not_depend_on_time(timer: Timer) -> None:
    clock = Clock(steps=4, minutes=None, timer=timer)
    assert [clock.progress(step) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    timer.now += 1e6
    assert clock.progress(2) == 0.5


def test_seconds_left_follow_from_the_remaining_steps(timer: Timer) -> None:
    clock = Clock(steps=10, minutes=None, timer=timer)
    for _ in range(3):
        timer.now += 2.0
        clock.end_step()
    timer.now += 100.0
    clock.exclude_pause()  # an evaluation is not counted as a step
    timer.now += 2.0
    clock.end_step()
    assert clock.seconds_left(4) == pytest.approx(12.0)
    assert clock.seconds == pytest.approx(108.0)


@pytest.mark.parametrize("events", [1, 7, 10, 100, 500])
@pytest.mark.parametrize("steps", [1, 7, 29, 100, 1000])
def test_no_event_is_lost_to_rounding(steps: int, events: int) -> None:
    clock = Clock(steps, minutes=None)
    due = [
        step
        for step in range(1, steps + 1)
        if clock.is_due(events, step, clock.progress(step - 1), clock.progress(step))
    ]
    assert len(due) == min(events, steps)
    assert due[-1] == steps


# The clock, by minutes


def test_events_are_due_in_runs_by_minutes() -> None:
    clock = Clock(steps=None, minutes=1.0)
    assert not clock.is_due(10, 3, before=0.11, after=0.19)
    assert clock.is_due(10, 3, before=0.19, after=0.42)
    assert clock.is_due(10, 3, before=0.93, after=1.0)


def test_progress_by_minutes_runs_from_0_to_1(timer: Timer) -> None:
    clock = Clock(steps=None, minutes=2.0, timer=timer)
    assert clock.progress(0) == 0
    timer.now += 30
    assert clock.progress(1) == pytest.approx(0.25)
    assert clock.seconds_left(1) == pytest.approx(90)
    timer.now += 300
    assert clock.progress(2) == 1
    assert clock.seconds_left(2) == 0


def test_minutes_continue_after_a_stop(timer: Timer) -> None:
    clock = Clock(steps=None, minutes=2.0, seconds=90, timer=timer)
    assert clock.progress(7) == pytest.approx(0.75)
    timer.now += 15
    assert clock.seconds == pytest.approx(105)
    assert clock.progress(7) == pytest.approx(0.875)


def test_the_first_step_is_always_done(timer: Timer) -> None:
    clock = Clock(steps=None, minutes=1.0, timer=timer)
    clock.final_eval_seconds = 59.0
    timer.now += 0.5
    assert clock.progress(0) < 1


@pytest.mark.parametrize("final_eval_seconds", [0.0, 9.0])
@pytest.mark.parametrize("step_seconds", [0.01, 0.7, 7.0])
def test_a_run_ends_within_half_a_step_of_its_minutes(
    timer: Timer, step_seconds: float, final_eval_seconds: float
) -> None:
    clock = Clock(steps=None, minutes=1.0, timer=timer)
    clock.final_eval_seconds = final_eval_seconds
    step, progress = 0, [clock.progress(0)]
    while progress[-1] < 1:
        timer.now += step_seconds
        clock.end_step()
        step += 1
        progress.append(clock.progress(step))
    assert all(a <= b for a, b in pairwise(progress))
    assert clock.seconds == pytest.approx(60 - final_eval_seconds, abs=step_seconds * 0.51)
    assert learning_rate(1.0, progress[-2], 0.05) <= 1.6 * step_seconds / (60 - final_eval_seconds)


def test_compilation_does_not_count_as_progress(timer: Timer) -> None:
    clock = Clock(steps=None, minutes=3.0, compiles=True, timer=timer)
    timer.now += 30
    clock.end_step()
    assert clock.progress(1) == 0
    for _ in range(75):
        timer.now += 1
        clock.end_step()
    assert clock.progress(76) == pytest.approx(0.5)
    resumed = Clock(
        None,
        3.0,
        seconds=clock.seconds,
        compile_seconds=clock.compile_seconds,
        compiles=True,
        timer=timer,
    )
    assert resumed.progress(76) == pytest.approx(0.5)
    timer.now += 15  # it compiles again
    resumed.end_step()
    assert resumed.compile_seconds == pytest.approx(45)
    assert resumed.progress(77) == pytest.approx(75 / 135)


def test_compilation_does_not_count_in_the_step_time(timer: Timer) -> None:
    clock = Clock(steps=None, minutes=1.0, compiles=True, timer=timer)
    timer.now += 40
    clock.end_step()
    step = 1
    while clock.progress(step) < 1:
        timer.now += 0.5
        clock.end_step()
        step += 1
    assert clock.seconds == pytest.approx(60, abs=0.3)
    assert step == pytest.approx(41, abs=1)


def test_the_slow_first_step_does_not_count_in_the_step_time(timer: Timer) -> None:
    clock = Clock(steps=12, minutes=None, timer=timer)
    for step_seconds in (40.0, 2.0):
        timer.now += step_seconds
        clock.end_step()
    assert clock.seconds_left(2) == pytest.approx(20)


def test_first_step_by_minutes_has_a_positive_learning_rate(timer: Timer) -> None:
    clock = Clock(steps=None, minutes=1.0, timer=timer)
    assert 0 < learning_rate(1.0, 0.0, 0.05, step_fraction=clock.step_fraction(0, 0.0)) < 0.1
    timer.now += 0.6
    clock.end_step()
    assert clock.step_fraction(1, clock.progress(1)) == pytest.approx(0.01)


def test_uneven_steps_end_near_the_minutes(timer: Timer) -> None:
    rng = random.Random(1)
    clock = Clock(steps=None, minutes=1.0, timer=timer)
    step = 0
    while clock.progress(step) < 1:
        timer.now += rng.uniform(0.1, 0.5)
        clock.end_step()
        step += 1
    assert clock.seconds == pytest.approx(60, abs=0.5)
