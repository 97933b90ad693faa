"""GPT-Neo (Black et al., 2021), as transformers' GPTNeoForCausalLM; also the TinyStories models.

The differences from GPT-2 are: some layers have local attention, in which a token attends only to
the last `window_size` tokens, its own included; attention scores are not divided by √D, where D is
the width of a head; the projections to queries, keys and values have no biases; and all weight
matrices have the shape (out, in).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.architectures import gpt2
from anexa.model.architectures.base import (
    Architecture,
    Parameter,
    add_adapter,
    read_config,
    write_config,
)
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return shape and initialization of every weight, by transformers' names.

    Matrices, (out, in), and embeddings are drawn from N(0, 0.02²), but the output projections of
    attention and MLP from N(0, 0.02² / (2 n_layer)), as in GPT-2. Gains are 1, biases 0.
    """
    width, inner, residual_std = config.n_embd, config.n_inner, 0.02 / (2 * config.n_layer) ** 0.5
    bias, inner_bias = Parameter((width,)), Parameter((inner,))
    norm = {"weight": Parameter((width,), mean=1.0), "bias": bias}

    def matrix(n_out: int, n_in: int, std: float = 0.02) -> Parameter:
        return Parameter((n_out, n_in), std, num_fused=1)

    block = {
        "ln_1": norm,
        "attn.attention.q_proj": {"weight": matrix(width, width)},
        "attn.attention.k_proj": {"weight": matrix(width, width)},
        "attn.attention.v_proj": {"weight": matrix(width, width)},
        "attn.attention.out_proj": {"weight": matrix(width, width, residual_std), "bias": bias},
        "ln_2": norm,
        "mlp.c_fc": {"weight": matrix(inner, width), "bias": inner_bias},
        "mlp.c_proj": {"weight": matrix(width, inner, residual_std), "bias": bias},
    }
    all_parameters = {
        "transformer.wte.weight": Parameter((config.vocab_size, width), 0.02),
        "transformer.wpe.weight": Parameter((config.block_size, width), 0.02),
    }
    for layer in range(config.n_layer):
        for module, weights in block.items():
            for name, parameter in weights.items():
                all_parameters[f"transformer.h.{layer}.{module}.{name}"] = parameter
    return all_parameters | {f"transformer.ln_f.{name}": p for name, p in norm.items()}


def forward(
    ops: Operations[Tensor],
    config: ModelConfig,
    weights: dict[str, Tensor],
    tokens_T: Any,
    positions: Any = 0,
    kv_cache: Sequence[Any] | None = None,
) -> Tensor:
    """Compute the logits of the token after each token, shape (T, V); arguments as in `Forward`."""

    def norm(x_TC: Tensor, name: str) -> Tensor:
        gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return ops.layer_norm(x_TC, gain, bias, config.norm_eps)

    def linear(x_TC: Tensor, name: str) -> Tensor:
        y_TO = ops.linear(x_TC, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
        return add_adapter(ops, weights, name, x_TC, y_TO)

    wte_VC, wpe_SC = weights["transformer.wte.weight"], weights["transformer.wpe.weight"]
    x_TC = ops.dropout(ops.positions(ops.embedding(wte_VC, tokens_T), wpe_SC, positions))
    for layer in range(config.n_layer):
        block = f"transformer.h.{layer}"
        h_TC = norm(x_TC, f"{block}.ln_1")
        q_TC, k_TC, v_TC = (linear(h_TC, f"{block}.attn.attention.{x}_proj") for x in "qkv")
        h_TC = ops.attention(
            q_TC,
            k_TC,
            v_TC,
            config.n_head,
            kv_cache[layer] if kv_cache else None,
            scale=1.0,
            window=config.attention_window(layer),
        )
        x_TC = ops.add(x_TC, ops.dropout(linear(h_TC, f"{block}.attn.attention.out_proj")))
        h_TC = norm(x_TC, f"{block}.ln_2")
        h_TC = linear(ops.gelu(linear(h_TC, f"{block}.mlp.c_fc")), f"{block}.mlp.c_proj")
        x_TC = ops.add(x_TC, ops.dropout(h_TC))
    return ops.linear(norm(x_TC, "transformer.ln_f"), wte_VC)


# Keys of GPTNeoConfig by attributes of ModelConfig.
KEYS = {
    "vocab_size": "vocab_size",
    "block_size": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_head": "num_heads",
    "n_layer": "num_layers",
    "norm_eps": "layer_norm_epsilon",
}

# transformers' defaults for keys that a file leaves out.
DEFAULTS: dict[str, Any] = {
    "max_position_embeddings": 2048,
    "layer_norm_epsilon": 1e-5,
    "attention_types": [[["global", "local"], 12]],
    "window_size": 256,
}

# Keys of GPTNeoConfig that select a variant of the architecture, with the only supported value.
SETTINGS = {"activation_function": "gelu_new", "tie_word_embeddings": True}


MAX_LAYERS = 10_000  # layers that an untrusted `attention_types` may list


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the content of `config.json`, with the keys of transformers' GPTNeoConfig."""
    windows = config.attention_windows or (0,) * config.n_layer
    kinds = ["local" if window else "global" for window in windows]
    return write_config(config, "GPTNeoForCausalLM", KEYS, SETTINGS) | {
        "intermediate_size": None if config.n_inner == 4 * config.n_embd else config.n_inner,
        "attention_types": [[kinds, 1]],
        "attention_layers": kinds,
        "window_size": max(windows) or DEFAULTS["window_size"],
        "embed_dropout": 0.0,
        "attention_dropout": 0.0,
        "resid_dropout": 0.0,
    }


def from_json(json: dict[str, Any]) -> ModelConfig:
    """Read the model configuration from the content of a `config.json`.

    Raises:
        AnexaError: if a key is missing, has a value that this architecture does not support, or
            contradicts another key.
    """
    json = DEFAULTS | json
    if json.get("activation_function") in gpt2.GELU_NAMES:
        json = json | {"activation_function": gpt2.GELU_NAMES[0]}
    described = read_config(json, KEYS, SETTINGS)
    window, kinds = json["window_size"], _attention_kinds(json["attention_types"])
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise AnexaError(f"window_size is {short_repr(window)}: it must be a whole number above 0")
    n_inner = json.get("intermediate_size")
    if n_inner == 0:  # ModelConfig would choose a value
        raise AnexaError("intermediate_size is 0: it must be a number above 0, or null")
    inner = 0 if n_inner is None else n_inner
    config = ModelConfig(model_type="gpt_neo", n_inner=inner, **described)
    if len(kinds) != config.n_layer:
        raise AnexaError(
            f"attention_types has the attention of {len(kinds)} layers, and num_layers is "
            f"{config.n_layer}: they must be equal"
        )
    if json.get("attention_layers", kinds) != kinds:  # which transformers would take
        layers = short_repr(json["attention_layers"])
        raise AnexaError(f"attention_layers is {layers}, and attention_types says otherwise")
    windows = tuple(window if kind == "local" else 0 for kind in kinds)
    return replace(config, attention_windows=windows)


def _attention_kinds(types: object) -> list[str]:
    """Return the kind of attention of each layer, "global" or "local".

    Args:
        types: value of `attention_types`: pairs of a list of kinds and how often it is repeated,
            such as [[["global", "local"], 2]] for 4 layers.

    Raises:
        AnexaError: if it has another form, or a kind is neither "global" nor "local".
    """
    found: list[str] = []
    for item in types if isinstance(types, list) else [None]:
        match item:
            case [[*kinds], int(count)] if 0 <= count * len(kinds) <= MAX_LAYERS - len(found):
                found += count * kinds
            case _:
                found.append("")
    if not all(kind in ("global", "local") for kind in found):
        raise AnexaError(
            f"attention_types is {short_repr(types)}: it must be a list of pairs such as "
            '[["global", "local"], 6]'
        )
    return found


def validate(config: ModelConfig) -> None:
    """Check that all layers with local attention have the same window size.

    The `config.json` of GPT-Neo has only one `window_size`.

    Raises:
        AnexaError: if the attention windows of two layers have different sizes.
    """
    sizes = sorted({*config.attention_windows} - {0})
    if len(sizes) > 1:
        raise AnexaError(
            f"the attention windows of a gpt_neo model must have one size, not {sizes[0]} and "
            f"{sizes[-1]}"
        )


GPT_NEO = Architecture(
    parameters,
    forward,
    to_json,
    from_json,
    embedding="transformer.wte.weight",
    positions="transformer.wpe.weight",
    fixed={"n_kv_head": 0, "head_dim": 0, "tie_word_embeddings": True},
    validate=validate,
    example={"attention_windows": (0, 3)},
    prefix="transformer.",
    buffers=re.compile(r"h\.\d+\.attn\.attention\.(bias|masked_bias)"),
)
