"""Reader of a folder with a LoRA adapter that `peft` wrote; merges it into its base model."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, one_line
from anexa.files import read_json, read_text
from anexa.formats import REPO_ID_PATTERN
from anexa.model.adapter_config import AdapterConfig, merge_error, parse_adapter_config
from anexa.model.adapters import ADAPTER_WEIGHTS_FILE, merge_adapter
from anexa.model.architectures import get_architecture
from anexa.model.architectures.base import is_adapter, is_fan_in_fan_out
from anexa.model.config import ModelConfig
from anexa.model.folder import ADAPTER_CONFIG_FILE, CONFIG_FILE, TOKENIZER_FILE, ModelFolder
from anexa.model.model import validate_weights
from anexa.model.tensors import read_tensors
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight, Weights

PEFT_PREFIX = "base_model.model."  # of the names of weights in peft's files


class AdapterFolder(ModelFolder):
    """Reader of a folder with a LoRA adapter, which is opened merged into its base model.

    The base model is that in the folder itself, if it has a `config.json`, as in transformers.
    Otherwise it is found by its name in `adapter_config.json`. The tokenizer, the chat template and
    the generation settings are those in this folder, or else those of the base model.

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        settings: content of `adapter_config.json`.

    Raises:
        AnexaError: if the adapter is not one of LoRA, or has settings that Anexa does not support.
            Every property and method raises it too, if the base model is not found, or a file is
            missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.adapter_config = parse_adapter_config(read_json(path / ADAPTER_CONFIG_FILE), path)

    @cached_property
    def base(self) -> ModelFolder:
        """Reader of the base model, for which the adapter was trained."""
        if (self.path / CONFIG_FILE).exists():
            return ModelFolder(self.path, ignores_adapter=True)
        name = self.adapter_config.base_model
        for folder in candidate_base_folders(self.path, self.adapter_config):
            with suppress(OSError):  # such as a name that is too long for the file system
                if (folder / CONFIG_FILE).exists():
                    return ModelFolder(folder)
        download = ""
        if REPO_ID_PATTERN.fullmatch(name):
            download = f"hf download {name} --local-dir {name}, or "
        raise AnexaError(
            f"the adapter in {self.path} belongs to the model {one_line(name) or '(no name)'}, "
            f"which is not found: {download}put the folder of that model beside this one"
        )

    def _json(self, name: str) -> dict[str, Any]:
        return super()._json(name) or self.base._json(name)

    @cached_property
    def config(self) -> ModelConfig:
        """Architecture and sizes of the base model."""
        return self.base.config

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer with its special tokens; that of the base model if the folder has none."""
        return super().tokenizer if (self.path / TOKENIZER_FILE).exists() else self.base.tokenizer

    @cached_property
    def chat_template(self) -> str | None:
        """Chat template; that of the base model if the folder has none; None if neither has one."""
        own = super().chat_template
        return self.base.chat_template if own is None else own

    @cached_property
    def weight_files(self) -> tuple[Path, list[Path]]:
        """The adapter file, and all weight files: those of the base model and the adapter file."""
        path = self.path / ADAPTER_WEIGHTS_FILE
        if not path.exists():
            raise AnexaError(
                f"the adapter in {self.path} cannot be opened: no {ADAPTER_WEIGHTS_FILE}"
            )
        return path, [*self.base.weight_files[1], path]

    def read_weights(self) -> tuple[Weights, Path]:
        """Read the weights of the base model, and merge the adapter into them.

        Returns:
            The merged weights by name, and the path of the adapter file, for error messages.
        """
        path, config = self.weight_files[0], self.config
        weights, base_path = self.base.read_weights()
        weights = validate_weights(weights, config, base_path)
        return self._merge(weights, read_tensors(path)[0]), path

    def _merge(self, weights: Weights, adapters: Weights) -> Weights:
        """Merge the weights of the adapter file into those of the base model."""
        architecture, merged, used = get_architecture(self.config), dict(weights), 0
        for name, a in adapters.items():
            if not is_adapter(name) or not name.startswith(PEFT_PREFIX):
                raise merge_error(
                    self.path, f"its weight {one_line(name)} is not of the matrices A and B"
                )
            layer, _, part = name.removeprefix(PEFT_PREFIX).removesuffix(".weight").rpartition(".")
            b = adapters.get(f"{PEFT_PREFIX}{layer}.lora_B.weight")
            if part == "lora_B":
                continue
            full = f"{layer}.weight"
            if full != architecture.untied_head:
                full = architecture.full_name(full)
            if b is None or full not in weights or full == architecture.embedding:
                raise merge_error(
                    self.path,
                    f"the model {self.base.path} has no matrix of its own for {one_line(name)}",
                )
            transposed = is_fan_in_fan_out(architecture, full)
            self._check_shapes(layer, a, b, weights[full].shape[:: -1 if transposed else 1])
            scale = self.adapter_config.scale_of(layer)
            merged[full] = merge_adapter(weights[full], a, b, transposed=transposed, scale=scale)
            used += 2
        if used != len(adapters) or not used:
            raise merge_error(self.path, "its matrices A and B do not come in pairs")
        return merged

    def _check_shapes(self, layer: str, a: Weight, b: Weight, shape: tuple[int, ...]) -> None:
        """Check the shapes of A and B against that of the matrix, (out, in)."""
        rank = self.adapter_config.rank_of(layer)
        if len(shape) != 2 or a.shape != (rank, shape[1]) or b.shape != (shape[0], rank):
            found = " and ".join(" x ".join(map(str, each.shape)) for each in (a, b))
            raise merge_error(
                self.path,
                f"its A and B of {one_line(layer)} are {found}, but the matrix of the model "
                f"{self.base.path} is {' x '.join(map(str, shape))}, and the rank is {rank}",
            )


def candidate_base_folders(adapter: Path, adapter_config: AdapterConfig) -> list[Path]:
    """List the folders in which the base model of an adapter may be, the likeliest first.

    These are the path in its configuration; a folder of that name beside the folder of the
    adapter, or beside the parent of that folder (an adapter may be inside the folder of its run);
    and the copy in the cache of the Hub.

    Args:
        adapter: folder of the adapter.
        adapter_config: configuration of the adapter.

    Returns:
        The folders, which need not exist; empty if the configuration names no base model.

    Raises:
        AnexaError: if the file in the cache that names the commit cannot be read.
    """
    name = adapter_config.base_model
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    if last in ("", ".", "..") or "\0" in name:
        return []
    folders = [Path(name), *(parent / last for parent in adapter.absolute().parents[:2])]
    if REPO_ID_PATTERN.fullmatch(name) and re.fullmatch(r"\w[\w.-]*", adapter_config.revision):
        home = os.environ.get("HF_HOME", "~/.cache/huggingface")
        cache = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
        copies = cache / f"models--{name.replace('/', '--')}"
        branch = copies / "refs" / adapter_config.revision
        with suppress(OSError):
            commit = read_text(branch).strip() if branch.is_file() else adapter_config.revision
            folders.append(copies / "snapshots" / commit)
    return folders
