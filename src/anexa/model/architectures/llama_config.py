"""`config.json` of Llama and its relatives, as transformers' configuration classes write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.architectures.base import read_config, write_config
from anexa.model.architectures.rope import read_rope, write_rope
from anexa.model.config import ModelConfig

# Keys of `config.json` by attributes of ModelConfig.
KEYS = {
    "vocab_size": "vocab_size",
    "block_size": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "norm_eps": "rms_norm_eps",
    "n_inner": "intermediate_size",
    "n_kv_head": "num_key_value_heads",
}

BIASES = ("attention_bias", "mlp_bias")  # must be false where a format does not read them


@dataclass(frozen=True)
class ConfigFormat:
    """The format of `config.json` of one architecture.

    Attributes:
        model_type: name of the architecture.
        class_name: transformers' class of the model.
        defaults: transformers' defaults for keys that a file leaves out.
        biases: keys that say whether projections have biases; they are attributes of `ModelConfig`.
        window: keys of the sliding window of attention, with the values that mean no window; empty
            if the architecture has no window.
    """

    model_type: str
    class_name: str
    defaults: Mapping[str, Any]
    biases: tuple[str, ...] = ()
    window: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        """Return the content of `config.json`."""
        settings = {"hidden_act": "silu", **{key: getattr(config, key) for key in self.biases}}
        return write_config(config, self.class_name, KEYS, settings) | {
            "head_dim": config.head_dim,
            **write_rope(config.rope_theta, config.rope_scaling),
            **self.window,
            "attention_dropout": 0.0,
            "tie_word_embeddings": config.tie_word_embeddings,
        }

    def from_json(self, json: dict[str, Any]) -> ModelConfig:
        """Read the configuration in a `config.json`.

        Raises:
            AnexaError: if a key is missing, or a value asks for a function that Anexa does not
                compute.
        """
        json = {**self.defaults, **json}
        theta, scaling = read_rope(json)
        if json.get("num_key_value_heads") is None:
            json["num_key_value_heads"] = json.get("num_attention_heads")
        unsupported = {key: False for key in BIASES if key not in self.biases}
        described = read_config(json, KEYS, {"hidden_act": "silu"} | unsupported)
        if json.get("head_dim") is not None:
            described["head_dim"] = json["head_dim"]
        for name in ("n_inner", "n_kv_head", "head_dim"):
            if not described.get(name, 1):  # for 0 or null, ModelConfig would choose a value
                key = KEYS.get(name, name)
                raise AnexaError(
                    f"{key} is {short_repr(described[name])}: it must be a number above 0"
                )
        for key in (*self.biases, "tie_word_embeddings"):
            described[key] = _switch(json, key)
        config = ModelConfig(self.model_type, rope_theta=theta, rope_scaling=scaling, **described)
        if self.window:
            self._check_window(json, config.block_size)
        return config

    def _check_window(self, json: dict[str, Any], context: int) -> None:
        """Check that a sliding window of attention is at least as long as the context.

        Then it has no effect, so attention without a window gives the same logits.

        Args:
            json: content of `config.json`.
            context: context length in tokens.

        Raises:
            AnexaError: if the window is shorter, or is not a number of tokens.
        """
        window = json["sliding_window"]
        if "use_sliding_window" in self.window:
            layers = json.get("layer_types") or []
            if not isinstance(layers, list):
                raise AnexaError(f"layer_types is {short_repr(layers)}: it must be a list")
            others = [layer for layer in layers if layer != "full_attention"]
            if not _switch(json, "use_sliding_window") or (layers and not others):
                window = None
            if window is not None:
                others = [layer for layer in others if layer != "sliding_attention"]
            if others:
                raise AnexaError(f"layer_types has {short_repr(others[0])}: not supported")
        if window is None:
            return
        if not isinstance(window, int) or isinstance(window, bool) or window < 1:
            raise AnexaError(
                f"sliding_window is {short_repr(window)}: it must be a number of tokens"
            )
        if window < context:
            raise AnexaError(
                f"a sliding window of {window:,} tokens (sliding_window) is not supported: the "
                f"model opens with max_position_embeddings of at most {window}, not {context}"
            )


def _switch(json: dict[str, Any], key: str) -> bool:
    value = json.get(key, False)
    if not isinstance(value, bool):
        raise AnexaError(f"{key} is {short_repr(value)}: it must be true or false")
    return value
