"""Parser of `adapter_config.json`, in which `peft` describes a LoRA adapter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from anexa.errors import AnexaError, one_line, short_repr
from anexa.model.architectures.base import is_number

# Supported values of settings that change the computed function. Initializations other than these,
# such as PiSSA, change the weights of the base model.
SUPPORTED_VALUES: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM", None),
    "bias": ("none", None),
    "use_rslora": (True, False, None),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", None),
}
# Keys with any value: those that are read below, and those without an effect on the function.
# Which layers have adapters is known from their weights, and whether a matrix is stored as
# (in, out), fan_in_fan_out, from the architecture, as in peft.
KEYS_WITH_ANY_VALUE = frozenset(
    "r lora_alpha rank_pattern alpha_pattern base_model_name_or_path revision auto_mapping "
    "peft_version inference_mode lora_dropout fan_in_fan_out target_modules exclude_modules "
    "layers_to_transform layers_pattern megatron_core qalora_group_size".split()
)
# A pattern of layers that is the end of their names, not a regular expression.
LAYER_NAME_PATTERN = re.compile(r"[\w.]+")


@dataclass(frozen=True)
class AdapterConfig:
    """Configuration of a LoRA adapter, as `peft.LoraConfig`.

    Attributes:
        base_model: `base_model_name_or_path`, the path of the base model or its name on the Hub.
        revision: branch or commit of the base model on the Hub.
        rank: rank of the adapters, `r`.
        alpha: `lora_alpha`: the products B A are multiplied by alpha / rank.
        use_rslora: whether they are multiplied by alpha / √rank instead (Kalajdzievski, 2023).
        rank_pattern: ranks of other layers, by the end of their names.
        alpha_pattern: alphas of other layers, by the end of their names.
    """

    base_model: str
    revision: str
    rank: int
    alpha: float
    use_rslora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]

    def rank_of(self, layer: str) -> int:
        """Return the rank of the adapter of a layer, by its full name in the base model."""
        return self.rank_pattern.get(_pattern(self.rank_pattern, layer), self.rank)

    def scale_of(self, layer: str) -> float:
        """Return the factor of the product B A of a layer, by its full name in the base model."""
        rank = self.rank_of(layer)
        alpha = self.alpha_pattern.get(_pattern(self.alpha_pattern, layer), self.alpha)
        return alpha / (rank**0.5 if self.use_rslora else rank)


def _pattern(patterns: Mapping[str, Any], layer: str) -> str:
    """Return the first pattern that is the end of a layer's name, "" if there is none."""
    return next((key for key in patterns if f".{layer}".endswith(f".{key}")), "")


def parse_adapter_config(json: Mapping[str, Any], folder: Path) -> AdapterConfig:
    """Parse the content of `adapter_config.json`.

    Args:
        json: the content.
        folder: folder of the adapter, for error messages.

    Raises:
        AnexaError: if the adapter is not one of LoRA, a setting is missing or malformed, or one has
            a value that Anexa does not support.
    """
    for name in ("peft_type", *json):
        value = json.get(name)
        if name in SUPPORTED_VALUES:
            supported = SUPPORTED_VALUES[name]
            is_supported = any(type(value) is type(one) and value == one for one in supported)
        else:
            is_supported = name in KEYS_WITH_ANY_VALUE or not value
        if not is_supported:
            only = ", and only LORA is supported" if name == "peft_type" else ""
            what = f"its {one_line(name)} is {short_repr(value)}"
            raise merge_error(folder, what + (only or ", which Anexa does not support"))
    rank, alpha = json.get("r"), json.get("lora_alpha")
    if not _is_rank(rank) or not is_number(alpha):
        raise merge_error(folder, "its r or lora_alpha is missing or not a number above 0")
    return AdapterConfig(
        str(json.get("base_model_name_or_path") or ""),
        str(json.get("revision") or "main"),
        rank,
        alpha,
        bool(json.get("use_rslora")),
        _patterns(json, "rank_pattern", _is_rank, folder),
        _patterns(json, "alpha_pattern", is_number, folder),
    )


def _patterns(
    json: Mapping[str, Any], name: str, is_valid: Callable[[object], bool], folder: Path
) -> dict[str, Any]:
    """Return a setting with numbers by pattern of layers."""
    value = json.get(name) or {}
    if isinstance(value, dict) and all(
        LAYER_NAME_PATTERN.fullmatch(key) and is_valid(number) for key, number in value.items()
    ):
        return value
    raise merge_error(
        folder, f"its {name} is {short_repr(value)}: only numbers by names of layers are supported"
    )


def _is_rank(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def merge_error(folder: Path, what: str) -> AnexaError:
    """Return the error about an adapter that cannot be merged, for the caller to raise.

    Its message also says how to merge the adapter elsewhere.

    Args:
        folder: folder of the adapter.
        what: clause that names the fault: "its r is 0".
    """
    return AnexaError(
        f"the adapter in {folder} cannot be opened: {what}; merge it with peft's "
        "merge_and_unload, save that model with its tokenizer, and give its folder"
    )
