"""A model card as others need it: how to use the model, and under which licence."""

from __future__ import annotations

import logging
from pathlib import Path

from huggingface_hub import ModelCard

from anexa.errors import AnexaError


def published_card(
    card: str,
    repository: str,
    model_type: str,
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
        model_type: the architecture.
        chats: whether it answers.
        sample: a text of the model.
        licence: the Hub's name of one, such as mit.

    Raises:
        AnexaError: the card's header cannot be read.
    """
    # A card without a header is nothing to warn of here.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        whole = ModelCard(card)
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
    if sample and "\n## Sample\n" not in text:
        fence = "`" * 3
        while fence in sample:
            fence += "`"
        text += f"\n\n## Sample\n\n{fence}\n{sample.strip()}\n{fence}"
    if "\n## Use\n" not in text:
        text += f"\n\n## Use\n\n{_use(repository, model_type, chats)}"
    whole.text = f"\n{text}\n"
    return str(whole)


def license_of(card: str) -> str | None:
    """The licence in a card's header."""
    found = ModelCard(card).data.get("license")
    return str(found) if found else None


def _use(repository: str, model_type: str, chats: bool) -> str:
    """The commands for each program that opens it."""
    name, ours = Path(repository).name, model_type == "microgpt"
    trusting = ", trust_remote_code=True" * ours
    text = f"""In transformers{", which runs the file of Python that comes along" * ours}:

```py
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{repository}"{trusting})
tokenizer = AutoTokenizer.from_pretrained("{repository}")
```

With Anexa:

```sh
hf download {repository} --local-dir {name}
anexa {"chat" if chats else "generate"} {name}
```"""
    if ours:
        return text
    return f"""{text}

In llama.cpp, after that download:

```sh
anexa export {name} --to gguf --out {name}.gguf
llama-cli -m {name}.gguf{" --jinja" * chats}
```"""
