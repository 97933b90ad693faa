"""Reader and writer of model folders, which are also Hugging Face model repositories."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, one_line
from anexa.files import read_json, read_text, write_atomic, write_folder, write_json
from anexa.formats import recognize
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.model import (
    Model,
    check_vocabulary,
    parse_config,
    parse_generation_config,
    validate_weights,
)
from anexa.model.tensors import as_float32, write_tensors
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_config import parse_chat_template, with_bos_eos
from anexa.model.tokenizer_files import convert_tokenizer_files, has_tokenizer_files
from anexa.model.weight_files import read_weights, shard_files
from anexa.model.weights import Weights

# Names of files in a model folder.
CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX_FILE = "model.safetensors.index.json"
MODEL_CARD_FILE = "README.md"
ADAPTER_CONFIG_FILE = "adapter_config.json"


class ModelFolder:
    """Reader of a model folder: reads each file but the weights once, when it is first needed.

    Args:
        path: model folder, as training or `snapshot_download` of the Hub wrote it.
        ignores_adapter: whether the weights are read as they are if there is an adapter beside
            them, which is an error otherwise.

    Attributes:
        path: path of the folder.
        ignores_adapter: as given.

    Raises:
        AnexaError: if there is no such folder. Every property and method raises it too, if a file
            is missing, cannot be read, or is damaged.
    """

    def __init__(self, path: Path, *, ignores_adapter: bool = False) -> None:
        if not path.is_dir():
            what = "it is a file" if path.exists() else "there is no such folder"
            raise AnexaError(f"{path} is not a model folder: {recognize(path) or what}")
        self.path, self.ignores_adapter = path, ignores_adapter
        self._parsed: dict[str, dict[str, Any]] = {}

    def _json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file, empty if the file is missing."""
        if name not in self._parsed:
            path = self.path / name
            self._parsed[name] = read_json(path) if path.exists() else {}
        return self._parsed[name]

    def _require(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            what = recognize(self.path) or f"it has no {name}"
            raise AnexaError(f"{self.path} is not a model folder: {what}")
        return path

    @cached_property
    def config(self) -> ModelConfig:
        """Architecture and sizes, from `config.json`."""
        path = self._require(CONFIG_FILE)
        return parse_config(self._json(CONFIG_FILE), path)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer with its special tokens."""
        text = self._tokenizer_json()
        try:
            tokenizer = Tokenizer.from_json(text)
        except AnexaError as error:
            raise AnexaError(f"{self.path}: {error}") from error
        by_id, by_token = (
            {self.path / name: self._json(name) for name in names}
            for names in ((GENERATION_CONFIG_FILE, CONFIG_FILE), (TOKENIZER_CONFIG_FILE,))
        )
        return with_bos_eos(tokenizer, by_id, by_token)

    def _tokenizer_json(self) -> str:
        """Return the content of `tokenizer.json`, converted from older files if it is missing."""
        if (self.path / TOKENIZER_FILE).exists():
            return read_text(self.path / TOKENIZER_FILE)
        if has_tokenizer_files(self.path):
            model_type = str(self._json(CONFIG_FILE).get("model_type"))
            return convert_tokenizer_files(self.path, self._json(TOKENIZER_CONFIG_FILE), model_type)
        if (self.path / CONFIG_FILE).exists():
            raise AnexaError(
                f"{self.path} cannot be opened: it has no {TOKENIZER_FILE}: open its tokenizer "
                "with transformers and save it again"
            )
        return read_text(self._require(TOKENIZER_FILE))

    @cached_property
    def chat_template(self) -> str | None:
        """Chat template, from its own file or `tokenizer_config.json`; None for a base model."""
        path = self.path / CHAT_TEMPLATE_FILE
        if path.exists():
            return read_text(path)
        name = TOKENIZER_CONFIG_FILE
        return parse_chat_template(self._json(name), self.path / name)

    @cached_property
    def card(self) -> str:
        """Model card, from `README.md`; empty if the folder has no card."""
        path = self.path / MODEL_CARD_FILE
        return read_text(path) if path.exists() else ""

    @cached_property
    def weight_files(self) -> tuple[Path, list[Path]]:
        """The path of the index of the weights, and the list of weight files.

        A folder without shards has one weight file, which is also the index.
        """
        files = (self.path / ADAPTER_CONFIG_FILE, self.path / CONFIG_FILE)
        if all(file.exists() for file in files) and not self.ignores_adapter:
            raise AnexaError(
                f"{self.path} has an adapter beside its weights, {ADAPTER_CONFIG_FILE}: merge it "
                "with anexa export --to folder, or move the files of the adapter into a folder of "
                "their own"
            )
        weights, index = self.path / WEIGHTS_FILE, self.path / WEIGHTS_INDEX_FILE
        if not weights.exists() and index.exists():
            return index, shard_files(self._json(WEIGHTS_INDEX_FILE), index)
        pickled = next(self.path.glob("pytorch_model*.bin"), None)
        if not weights.exists() and pickled is not None:
            raise AnexaError(
                f"{self.path} has its weights as {one_line(pickled.name)}, a format that can hold "
                "programs: open it with transformers and save it again, as safetensors"
            )
        return self._require(WEIGHTS_FILE), [weights]

    def read_weights(self) -> tuple[Weights, Path]:
        """Read the weights anew at each call, as they are too large to be kept.

        Returns:
            The weights by name, and the path of their index or only file, for error messages.
        """
        path, files = self.weight_files
        return read_weights(files, self.config, path), path

    def load(self) -> Model:
        """Read the model and check that its files belong together.

        Raises:
            AnexaError: if a file is missing or damaged, or does not belong to the others.
        """
        config = self.config
        check_vocabulary(self.tokenizer, config, self.path)
        weights, path = self.read_weights()
        template = self.chat_template
        weights = validate_weights(weights, config, path)
        generation = parse_generation_config(
            self._json(GENERATION_CONFIG_FILE), self.path / GENERATION_CONFIG_FILE
        )
        return Model(config, weights, self.tokenizer, template, *generation)


def write_model(folder: Path, model: Model, card: str) -> None:
    """Write all files of a model into an existing folder; files of the same names are replaced.

    Args:
        folder: existing folder.
        model: model in memory, whose files are written.
        card: text of the model card, `README.md`.

    Raises:
        AnexaError: if a file cannot be written, or a weight is not finite as float32.
    """
    for name, json in model.json_files().items():
        write_json(folder / name, json)
    write_atomic(folder / TOKENIZER_FILE, model.tokenizer.to_json().encode())
    if model.chat_template is not None:
        write_atomic(folder / CHAT_TEMPLATE_FILE, model.chat_template.encode())
    for name, code in get_architecture(model.config).code().items():
        write_atomic(folder / name, code)
    write_weights(folder, model.weights)
    write_atomic(folder / MODEL_CARD_FILE, card.encode())


def create_folder(folder: Path, model: Model, card: str, *, numbered: bool = False) -> int:
    """Create a model folder atomically: after an error, there is no folder.

    Args:
        folder: path of the new folder.
        model: model in memory, whose files are written.
        card: text of the model card, `README.md`.
        numbered: whether to append "-2", "-3" and so on to the name if the folder exists; default:
            that is an error.

    Returns:
        Number of the new folder's name: 1 if it is `folder` itself, 2 if "-2" was appended.

    Raises:
        AnexaError: if the folder exists already and `numbered` is false, or cannot be written; or
            if a weight is not finite as float32.
    """
    return write_folder(folder, lambda new: write_model(new, model, card), numbered=numbered)


def write_weights(folder: Path, weights: Weights) -> None:
    """Replace the weights of a model folder atomically, rounded to float32.

    Args:
        folder: existing model folder.
        weights: new weights by name.

    Raises:
        AnexaError: if the file cannot be written, or a weight is not finite as float32; the old
            weights stay.
    """
    write_tensors(folder / WEIGHTS_FILE, as_float32(weights), {"format": "pt"})
