"""FLOPs of a training step, compared with PyTorch's own count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anexa.engines import Batch, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import flops_per_token
from tests.engines.helpers import random_weights

LLAMA = ModelConfig(
    "llama",
    29,
    block_size=7,
    n_embd=12,
    n_head=3,
    n_layer=3,
    n_kv_head=1,
    n_inner=10,
    tie_word_embeddings=False,
)
CONFIGS = {
    "gpt2": ModelConfig("gpt2", vocab_size=11, block_size=6, n_embd=8, n_head=2, n_layer=2),
    "microgpt": ModelConfig(
        "microgpt", vocab_size=27, block_size=16, n_embd=16, n_head=4, n_layer=1
    ),
    "llama": LLAMA,
    "llama, tied": replace(LLAMA, tie_word_embeddings=True),
    "llama, every head its own": replace(LLAMA, n_kv_head=3),
    "qwen3": replace(LLAMA, model_type="qwen3", head_dim=10),
}


def counted(config: ModelConfig, rows: int = 2) -> float:
    """Count the operations of a training step with PyTorch, per token."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    engine = open_engine("torch", config, random_weights(config, seed=1))
    batch = Batch.from_sequences([[1] * (config.block_size + 1)] * rows)
    assert torch.is_grad_enabled()
    # The counter knows attention on a CPU only as the two products that it is.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        engine.gradients(batch)
    return float(counter.get_total_flops()) / (rows * config.block_size)


@pytest.mark.parametrize("name", CONFIGS)
def test_flops_equal_the_count_of_pytorch(name: str) -> None:
    assert flops_per_token(CONFIGS[name]) == counted(CONFIGS[name])
