"""`Engine.hidden_states`: what the output head turns into logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import DeviceConfig, open_engine
from anexa.model.architectures import get_architecture
from tests.engines.helpers import FLOAT64, models
from tests.examples import examples

EXACT = DeviceConfig(dtype="float64")


@pytest.mark.parametrize("name", FLOAT64)
@examples(15)
@given(data=st.data())
def test_product_with_the_head_gives_the_logits(name: str, data: st.DataObject) -> None:
    config, weights = data.draw(models(name))
    token = st.integers(0, config.vocab_size - 1)
    tokens = data.draw(st.lists(token, min_size=1, max_size=config.block_size))
    engine = open_engine(name, config, weights, device_config=EXACT)
    head = weights[get_architecture(config).head(config)]
    head_VC = np.array(head.data).reshape(head.shape)
    x_TC = np.array(engine.hidden_states(tokens))
    assert x_TC.shape == (len(tokens), config.n_embd)
    np.testing.assert_allclose(x_TC @ head_VC.T, engine.logits(tokens), rtol=1e-9, atol=1e-9)
    scalar = open_engine("scalar", config, weights)
    np.testing.assert_allclose(x_TC, scalar.hidden_states(tokens), rtol=1e-9, atol=1e-9)
