"""Llama (Touvron et al., 2023), with the same weights and logits as transformers' LlamaForCausalLM.

RMSNorm with gains before each half of a block, rotary positions, SwiGLU; optional grouped-query
attention and biases; the output head may be tied. `forward` also computes the relatives `mistral`,
`qwen2` and `qwen3`; the last two have more weights in a block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from anexa.errors import AnexaError
from anexa.model.architectures.base import Architecture, GGUFLayout, Parameter, add_adapter
from anexa.model.architectures.llama_config import ConfigFormat
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor
from anexa.model.rotary import LinearScaling, Llama3Scaling, rotary_frequencies


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights by name: matrices are (out, in) and initialized from N(0, 0.02²).

    Output projections are initialized smaller, as in GPT-2.
    """
    return all_parameters(config, block_parameters(config))


def all_parameters(config: ModelConfig, block: dict[str, Parameter]) -> dict[str, Parameter]:
    """Return the weights of a model: embeddings, the blocks, the last norm, and the head.

    Args:
        config: sizes of the model.
        block: weights of one block, by name without the prefix of the block.

    Returns:
        The `Parameter` of each weight, by name, in order.
    """
    embedding = Parameter((config.vocab_size, config.n_embd), 0.02)
    found = {"model.embed_tokens.weight": embedding}
    for layer in range(config.n_layer):
        found |= {f"model.layers.{layer}.{name}": weight for name, weight in block.items()}
    found["model.norm.weight"] = Parameter((config.n_embd,), mean=1.0)
    if not config.tie_word_embeddings:
        found["lm_head.weight"] = embedding
    return found


def block_parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return the weights of one block, by name without the prefix of the block."""
    width, inner = config.n_embd, config.n_inner
    q_width, kv_width = (n * config.head_dim for n in (config.n_head, config.n_kv_head))
    residual_std, gain = 0.02 / (2 * config.n_layer) ** 0.5, Parameter((width,), mean=1.0)

    def linear(name: str, n_out: int, n_in: int, bias: bool, std: float) -> dict[str, Parameter]:
        weight = {f"{name}.weight": Parameter((n_out, n_in), std, num_fused=1)}
        return weight | ({f"{name}.bias": Parameter((n_out,))} if bias else {})

    def attention(name: str, n_out: int, n_in: int, std: float = 0.02) -> dict[str, Parameter]:
        return linear(f"self_attn.{name}_proj", n_out, n_in, config.attention_bias, std)

    def mlp(name: str, n_out: int, n_in: int, std: float = 0.02) -> dict[str, Parameter]:
        return linear(f"mlp.{name}_proj", n_out, n_in, config.mlp_bias, std)

    return {
        "input_layernorm.weight": gain,
        **attention("q", q_width, width),
        **attention("k", kv_width, width),
        **attention("v", kv_width, width),
        **attention("o", width, q_width, residual_std),
        "post_attention_layernorm.weight": gain,
        **mlp("gate", inner, width),
        **mlp("up", inner, width),
        **mlp("down", width, inner, residual_std),
    }


def forward(
    ops: Operations[Tensor],
    config: ModelConfig,
    weights: dict[str, Tensor],
    tokens_T: Any,
    positions: Any = 0,
    kv_cache: Sequence[Any] | None = None,
) -> Tensor:
    """Compute the logits of the token after each token, shape (T, V); arguments as in `Forward`."""
    frequencies = rotary_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)

    def norm(x_TC: Tensor, name: str) -> Tensor:
        return ops.rms_norm(x_TC, weights[f"{name}.weight"], config.norm_eps)

    def linear(x_TC: Tensor, name: str) -> Tensor:
        y_TO = ops.linear(x_TC, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
        return add_adapter(ops, weights, name, x_TC, y_TO)

    def rotated(x_TC: Tensor, name: str) -> Tensor:
        h_TC = linear(x_TC, f"{name}_proj")
        if f"{name}_norm.weight" in weights:  # of each head: Qwen3
            h_TC = norm(h_TC, f"{name}_norm")
        return ops.rotary(h_TC, config.head_dim, positions, frequencies)

    x_TC = ops.dropout(ops.embedding(weights["model.embed_tokens.weight"], tokens_T))
    for layer in range(config.n_layer):
        block = f"model.layers.{layer}"
        h_TC = norm(x_TC, f"{block}.input_layernorm")
        q_TC, k_TC = (rotated(h_TC, f"{block}.self_attn.{name}") for name in "qk")
        v_TC = linear(h_TC, f"{block}.self_attn.v_proj")
        h_TC = ops.attention(q_TC, k_TC, v_TC, config.n_head, kv_cache[layer] if kv_cache else None)
        x_TC = ops.add(x_TC, ops.dropout(linear(h_TC, f"{block}.self_attn.o_proj")))
        h_TC = norm(x_TC, f"{block}.post_attention_layernorm")
        gate_TC, up_TC = (linear(h_TC, f"{block}.mlp.{half}_proj") for half in ("gate", "up"))
        h_TC = linear(ops.swiglu(gate_TC, up_TC), f"{block}.mlp.down_proj")
        x_TC = ops.add(x_TC, ops.dropout(h_TC))
    return linear(
        norm(x_TC, "model.norm"), "model.embed_tokens" if config.tie_word_embeddings else "lm_head"
    )


def validate(config: ModelConfig) -> None:
    """Check that rotary positions can rotate the heads, whose columns they rotate in pairs.

    Raises:
        AnexaError: if the width of a head is odd.
    """
    if config.head_dim % 2:
        raise AnexaError(
            f"rotary positions need heads of an even width (head_dim), not of {config.head_dim}"
        )


def gguf_metadata(config: ModelConfig) -> dict[str, int | float | str]:
    """Return the metadata of a GGUF file that the architectures of this family have.

    The keys lack the prefix, llama.cpp's name of the architecture.
    """
    metadata: dict[str, int | float | str] = {
        "attention.head_count_kv": config.n_kv_head,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": config.rope_theta,
    }
    if isinstance(config.rope_scaling, LinearScaling):
        factor = config.rope_scaling.factor
        metadata |= {"rope.scaling.type": "linear", "rope.scaling.factor": factor}
    return metadata


def gguf_rope_factors(config: ModelConfig) -> Sequence[float]:
    """Return the divisors of the frequencies of rotary positions; empty if there are none.

    Only the scaling of Llama 3.1 has a divisor for each frequency, `head_dim` / 2 numbers; for
    linear scaling the result is empty too.
    """
    if not isinstance(config.rope_scaling, Llama3Scaling):
        return ()
    unscaled, scaled = (
        rotary_frequencies(config.head_dim, config.rope_theta, scaling)
        for scaling in (None, config.rope_scaling)
    )
    return [before / after for before, after in zip(unscaled, scaled)]


FORMAT = ConfigFormat(
    "llama",
    "LlamaForCausalLM",
    defaults={"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    biases=("attention_bias", "mlp_bias"),
)

LLAMA = Architecture(
    parameters,
    forward,
    FORMAT.to_json,
    FORMAT.from_json,
    embedding="model.embed_tokens.weight",
    validate=validate,
    example={
        "n_kv_head": 1,
        "n_inner": 12,
        "tie_word_embeddings": False,
        "rope_scaling": Llama3Scaling(4.0, 1.0, 4.0, original_max_position_embeddings=8),
    },
    prefix="model.",
    buffers=re.compile(r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"),
    gguf=GGUFLayout(
        "llama",
        gguf_metadata,
        rotary=lambda config: {"q_proj": config.n_head, "k_proj": config.n_kv_head},
        rope_factors=gguf_rope_factors,
    ),
)
