"""LoRA (Hu et al., 2021): trained low-rank adapters beside the frozen matrices of the blocks.

A linear layer with the frozen weight W, of the shape (out, in), computes y = x Wᵀ + x Aᵀ Bᵀ, where
A has the shape (`lora_rank`, in) and B has (out, `lora_rank`). B starts at 0, so the first outputs
are those of the model without adapters. Merging replaces W by W + B A and removes A and B. The
names of the weights are those of `peft`, `lora_A` and `lora_B`; its `lora_alpha` equals the rank
here, so that B A is not scaled.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from anexa.files import write_json
from anexa.model.architectures import get_architecture
from anexa.model.architectures.base import is_adapter, is_fan_in_fan_out
from anexa.model.config import ModelConfig
from anexa.model.folder import ADAPTER_CONFIG_FILE
from anexa.model.tensors import as_float32, write_tensors
from anexa.model.weights import Weight, Weights

ADAPTER_FOLDER = Path("adapter")  # folder of the adapters in the folder of a run
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"  # file of A and B in a folder of `peft`


def add_adapters(weights: Weights, config: ModelConfig, rng: random.Random) -> Weights:
    """Add newly initialized adapters, with which the model still computes the same logits.

    The elements of A are uniform in ±1/√(columns of A), as in `peft`; those of B are 0.

    Args:
        weights: weights of a model without adapters, by name.
        config: configuration of the model, with `lora_rank` above 0.
        rng: random number generator for A.

    Returns:
        The weights and the adapters, by name. `weights` itself is not changed.
    """
    weights = dict(weights)
    for name, parameter in get_architecture(config).parameters(config).items():
        if is_adapter(name):
            bound = parameter.shape[1] ** -0.5 if parameter.std else 0.0
            numbers = (rng.uniform(-bound, bound) for _ in range(prod(parameter.shape)))
            weights[name] = Weight(parameter.shape, array("f", numbers))
    return weights


def merge_adapters(weights: Weights, config: ModelConfig) -> Weights:
    """Merge the adapters into the matrices beside them: W + B A replaces W.

    Args:
        weights: weights of a model, with or without adapters, by name.
        config: configuration of the model, with the `lora_rank` of the adapters.

    Returns:
        The weights of a model without adapters that computes the same logits, up to rounding.
        `weights` itself is not changed; arrays that are not merged are the same objects.
    """
    merged = {name: weight for name, weight in weights.items() if not is_adapter(name)}
    if not config.lora_rank:
        return merged
    for name in merged:
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_A.weight" in weights:
            a, b = (weights[f"{layer}.lora_{part}.weight"] for part in "AB")
            transposed = is_fan_in_fan_out(get_architecture(config), name)
            merged[name] = merge_adapter(weights[name], a, b, transposed=transposed)
    return merged


def merge_adapter(
    weight: Weight, a: Weight, b: Weight, *, transposed: bool, scale: float = 1.0
) -> Weight:
    """Merge one adapter into the matrix beside it: W + scale B A.

    Args:
        weight: W, of the shape (out, in).
        a: A, of the shape (rank, in).
        b: B, of the shape (out, rank).
        transposed: whether W is stored as (in, out).
        scale: factor of B A.

    Returns:
        The sum, in the layout and the precision of W.
    """
    import numpy as np

    a_RC, b_OR, w = (np.asarray(each.data).reshape(each.shape) for each in (a, b, weight))
    update_OC = b_OR @ a_RC
    if scale != 1:
        update_OC *= scale
    total = w + (update_OC.T if transposed else update_OC)
    return Weight(total.shape, array(weight.typecode, total.astype(weight.typecode).tobytes()))


def write_adapter(folder: Path, weights: Weights, config: ModelConfig, base: str) -> None:
    """Write the adapters of a model as files that `peft.PeftModel.from_pretrained` opens.

    Args:
        folder: existing folder, in which `adapter_config.json` and `adapter_model.safetensors` are
            written.
        weights: weights of a model with adapters, by name; only the adapters are written.
        config: configuration of the model, with the `lora_rank` of the adapters.
        base: name of the model that the adapters were trained for, which becomes
            `base_model_name_or_path`.

    Raises:
        AnexaError: if a file cannot be written, or an adapter is not finite as float32.
    """
    architecture = get_architecture(config)
    adapters = {
        f"base_model.model.{architecture.prefix}{name.removeprefix(architecture.prefix)}": weight
        for name, weight in weights.items()
        if is_adapter(name)
    }
    write_json(folder / ADAPTER_CONFIG_FILE, _peft_config(config, base))
    write_tensors(folder / ADAPTER_WEIGHTS_FILE, as_float32(adapters), {"format": "pt"})


def _peft_config(config: ModelConfig, base: str) -> dict[str, Any]:
    """Return the content of `adapter_config.json` for the adapters of a model.

    Args:
        config: configuration of the model, with the `lora_rank` of the adapters.
        base: name of the model that the adapters were trained for.

    Returns:
        The content as a dict for JSON.
    """
    architecture = get_architecture(config)
    layers = [name for name in architecture.parameters(config) if name.endswith(".lora_A.weight")]
    modules = {name.split(".")[-3] for name in layers}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.lora_rank,
        "lora_alpha": config.lora_rank,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "fan_in_fan_out": any(
            is_fan_in_fan_out(architecture, f"{module}.weight") for module in modules
        ),
        "bias": "none",
        "inference_mode": True,
    }


def with_lora_rank(config: ModelConfig, rank: int) -> ModelConfig:
    """Return a copy of a model's configuration with another `lora_rank`; 0: no adapters.

    Raises:
        AnexaError: if the rank is below 0 or above the width of the model, `n_embd`.
    """
    return replace(config, lora_rank=rank)
