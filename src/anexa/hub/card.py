"""A model card as others need it: how to use the model, and under which licence."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from huggingface_hub import ModelCard

from anexa.errors import AnexaError
from anexa.hub.llama_cpp import refusal
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer

NEWLINE = re.compile(r"\r\n?")


def published_card(
    card: str,
    repository: str,
    config: ModelConfig,
    tokenizer: Tokenizer,
    *,
    chats: bool = False,
    sample: str | None = None,
    licence: str | None = None,
) -> str:
    """A folder's card with what was missing: a sample, how to use it, and the Hub's header.

    What the card says already is left as it is, but for a licence that is asked for by name.

    Args:
        card: the folder's own, which may be empty.
        repository: USER/NAME.
        config: what the model is.
        tokenizer: its own.
        chats: whether it answers.
        sample: a text of the model.
        licence: the Hub's name of one, such as mit.

    Raises:
        AnexaError: the card's header cannot be read.
    """
    # A card without a header is nothing to warn of here.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        whole = ModelCard(NEWLINE.sub("\n", card))
    except Exception as error:  # YAML's, or of what it describes
        reason = " ".join(str(error).split())
        raise AnexaError(f"the header of README.md cannot be read: {reason}") from error
    data = whole.data
    for key, value in (("library_name", "transformers"), ("pipeline_tag", "text-generation")):
        data[key] = data.get(key) or value
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or []), "anexa"]))
    if licence:
        data["license"] = licence
    text = whole.text.strip("\n") or f"# {repository.partition('/')[2]}"
    if sample and not _has(text, "Sample"):
        fence = "`" * 3
        while fence in sample:
            fence += "`"
        text += f"\n\n## Sample\n\n{fence}\n{sample.strip()}\n{fence}"
    if not _has(text, "Use"):
        in_llama_cpp = refusal(config, tokenizer) is None
        text += f"\n\n## Use\n\n{_use(repository, config.model_type, chats, in_llama_cpp)}"
    whole.text = f"\n{text}\n"
    return str(whole)


def _has(text: str, heading: str) -> bool:
    return re.search(rf"^## {heading}[ \t]*$", text, re.M) is not None


def license_of(card: str) -> str | None:
    """The licence in a card's header."""
    found = ModelCard(card).data.get("license")
    return str(found) if found else None


def _use(repository: str, model_type: str, chats: bool, in_llama_cpp: bool) -> str:
    """The commands for each program that opens it."""
    name, ours = Path(repository).name, model_type == "microgpt"
    # Asked for neither, transformers stops and asks; the tokenizer needs no code.
    trusting, alone = (f", trust_remote_code={value}" * ours for value in (True, False))
    text = f"""In transformers{", which runs the file of Python that comes along" * ours}:

```py
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{repository}"{trusting})
tokenizer = AutoTokenizer.from_pretrained("{repository}"{alone})
```

With Anexa:

```sh
hf download {repository} --local-dir {name}
anexa {"chat" if chats else "generate"} {name}
```"""
    if not in_llama_cpp:
        return text
    return f"""{text}

In llama.cpp, after that download:

```sh
anexa export {name} --to gguf --out {name}.gguf
llama-cli -m {name}.gguf{" --jinja" * chats}
```"""
