from __future__ import annotations

import pytest

from anexa.model.weights import flops_per_token
from anexa.training import Evaluation, TrainerState
from anexa.training.config import preset_config
from anexa.training.metrics import MetricsAccumulator
from anexa.training.schedule import Clock
from tests.training.timer import Timer

CONFIG = preset_config("microgpt").model.to_config(27)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_record_covers_the_steps_since_the_previous_one(processes: int) -> None:
    timer = Timer()
    history, clock = (
        TrainerState(step=4, tokens=64, unrecorded=[5.0]),
        Clock(steps=10, minutes=None, timer=timer),
    )
    records = MetricsAccumulator(CONFIG, history, clock, 1e9, processes)
    for loss in (3.0, 1.0):
        timer.now += 2.0
        clock.end_step()
        history.step += 1
        history.tokens += 16
        history.unrecorded.append(loss)
    record = records.pop_record(0.1, 0.2, Evaluation(6, 1.0, 2.0, 2.5))
    assert (record.step, record.tokens, record.loss, record.validation_loss) == (6, 96, 3.0, 2.5)
    assert (record.learning_rate, record.gradient_norm) == (0.1, 0.2)
    assert record.tokens_per_second == pytest.approx(32 / 4.0)
    share = record.tokens_per_second * flops_per_token(CONFIG) / (processes * 1e9)
    assert record.mfu == pytest.approx(share)
    assert history.unrecorded == []
