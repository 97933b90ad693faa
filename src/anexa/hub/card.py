"""Model card for the Hub: metadata, license, sample, and instructions for use."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import ModelCard

from anexa.errors import AnexaError
from anexa.hub.llama_cpp import runs_in_llama_cpp
from anexa.hub.quiet import quiet_hub
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer

NEWLINE_PATTERN = re.compile(r"\r\n?")  # line end of Windows or of old Macs


def make_hub_card(
    card: str,
    repository: str,
    config: ModelConfig,
    tokenizer: Tokenizer,
    *,
    chats: bool = False,
    sample: str | None = None,
    license_name: str | None = None,
) -> str:
    """Add the Hub's metadata, a sample and instructions to a model card.

    What the card already has is kept, except for the license if `license_name` is given. An empty
    card gets a title.

    Args:
        card: the folder's own card, which may be empty.
        repository: name on the Hub, USER/NAME.
        config: configuration of the model.
        tokenizer: tokenizer of the model.
        chats: whether the model has a chat template.
        sample: generated text; None: no sample.
        license_name: the Hub's identifier of a license, such as mit; None: as in the card.

    Returns:
        The card with the metadata as its YAML header; lines end in line feeds only.

    Raises:
        AnexaError: if the metadata in the card's header cannot be read.
    """
    try:
        with quiet_hub():  # it would warn about a card without metadata, which is added here
            model_card = ModelCard(NEWLINE_PATTERN.sub("\n", card))
    except Exception as error:  # of YAML, or of the metadata's validation
        reason = " ".join(str(error).split())
        raise AnexaError(f"the header of README.md cannot be read: {reason}") from error
    data = model_card.data
    for key, value in (("library_name", "transformers"), ("pipeline_tag", "text-generation")):
        data[key] = data.get(key) or value
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or []), "anexa"]))
    if license_name:
        data["license"] = license_name
    text = model_card.text.strip("\n") or f"# {repository.partition('/')[2]}"
    if sample and not _has_section(text, "Sample"):
        fence = "`" * 3
        while fence in sample:
            fence += "`"
        text += f"\n\n## Sample\n\n{fence}\n{sample.strip()}\n{fence}"
    if not _has_section(text, "Use"):
        needs_code = get_architecture(config).module is not None
        use = _use(repository, needs_code, chats, runs_in_llama_cpp(config, tokenizer))
        text += f"\n\n## Use\n\n{use}"
    model_card.text = f"\n{text}\n"
    return str(model_card)


def _has_section(text: str, heading: str) -> bool:
    return re.search(rf"^## {heading}[ \t]*$", text, re.M) is not None


def license_of(card: str) -> str | None:
    """Return the license in the metadata of a card; None if the metadata has no license.

    Args:
        card: text of the card; its metadata are the YAML header, which must be valid.
    """
    found = ModelCard(card).data.get("license")
    return str(found) if found else None


def _use(repository: str, needs_code: bool, chats: bool, llama_cpp: bool) -> str:
    """Return the section with the commands for each program that opens the model.

    Args:
        repository: name on the Hub, USER/NAME.
        needs_code: whether transformers needs `trust_remote_code=True`.
        chats: whether the model has a chat template.
        llama_cpp: whether the model can become a GGUF file.

    Returns:
        The section in Markdown.
    """
    name = Path(repository).name
    # Without the argument, transformers stops and asks; the tokenizer needs no code.
    model_option, tokenizer_option = (
        f", trust_remote_code={value}" * needs_code for value in (True, False)
    )
    text = f"""In transformers{", which runs the Python file in the repository" * needs_code}:

```py
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{repository}"{model_option})
tokenizer = AutoTokenizer.from_pretrained("{repository}"{tokenizer_option})
```

With Anexa:

```sh
hf download {repository} --local-dir {name}
anexa {"chat" if chats else "generate"} {name}
```"""
    if not llama_cpp:
        return text
    return f"""{text}

In llama.cpp, after that download:

```sh
anexa export {name} --to gguf --out {name}.gguf
llama-cli -m {name}.gguf{" --jinja" * chats}
```"""
