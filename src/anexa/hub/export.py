"""Export of a model to another format: GGUF, one JSON file, or a model folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from anexa.errors import AnexaError, UsageError
from anexa.files import check_inside
from anexa.hub.llama_cpp import check_llama_cpp
from anexa.model.folder import CHAT_TEMPLATE_FILE, MODEL_CARD_FILE, create_folder
from anexa.model.json_file import write_model_json
from anexa.model.loading import is_model_file, open_model
from anexa.model.model import Model
from anexa.output_paths import check_output

EXPORT_SUFFIXES = {"gguf": ".gguf", "json": ".json", "folder": ""}  # ending of the name, by format


def check_export(out: Path, to: str, *, replace: bool) -> None:
    """Check that an output path can be written, before the model is opened.

    Args:
        out: file or folder to write.
        to: format, a key of `EXPORT_SUFFIXES`.
        replace: whether a file that exists may be replaced.

    Raises:
        AnexaError: if the path is not writable, or exists and may not be replaced.
        UsageError: if `out` is "-", the standard output, and the output is a folder, or is GGUF and
            would be written to a terminal; or if the package for GGUF is not installed.
    """
    check_output(out, folder=to == "folder", replace=replace, binary=to == "gguf")
    if to == "gguf":
        try:
            import_module("gguf")
        except ModuleNotFoundError as error:
            raise UsageError(
                f"GGUF needs {error.name}, which is not installed: pip install 'anexa[hub]'"
            ) from error


def read_model_and_card(path: Path) -> tuple[Model, str]:
    """Load a model and its card for export.

    Args:
        path: model folder, or a model in one file.

    Returns:
        The model, and the text of its card, empty if there is none.

    Raises:
        AnexaError: if there is no model, it is damaged, or its card or chat template is a link to a
            file outside the folder.
    """
    if not is_model_file(path):
        # The only files that are exported as they are.
        for name in (MODEL_CARD_FILE, CHAT_TEMPLATE_FILE):
            check_inside(path / name)
    source = open_model(path)
    return source.load(), source.card


def write_export(
    out: Path, to: str, model: Model, card: str, *, name: str, precision: str = "f32"
) -> list[str]:
    """Write a model in another format.

    Args:
        out: file to write, which is replaced if it exists, or new folder.
        to: format, a key of `EXPORT_SUFFIXES`.
        model: model in memory.
        card: text of its model card, which GGUF does not have.
        name: name of the model, which only GGUF has.
        precision: precision of the matrices in GGUF, a key of `anexa.hub.gguf.PRECISIONS`.

    Returns:
        Descriptions of the texts that llama.cpp splits into other tokens than Anexa; usually empty,
        and always for formats other than GGUF.

    Raises:
        AnexaError: if the format cannot hold the model, or `out` cannot be written.
        UsageError: if the format is GGUF, and there is no such precision.
    """
    if to == "folder":
        create_folder(out, model, card)
    elif to == "json":
        write_model_json(out, model, card)
    else:
        from anexa.hub.gguf import write_gguf

        try:
            check_llama_cpp(model.config, model.tokenizer)
        except AnexaError as error:
            raise AnexaError(f"{name} cannot be exported: {error}") from error
        return write_gguf(out, model, name, precision)
    return []
