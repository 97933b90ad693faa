"""A model folder as a repository on the Hugging Face Hub: what goes there, and how."""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    get_token,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import disable_progress_bars, validate_repo_id

from anexa.errors import AnexaError, UsageError, one_line
from anexa.files import check_inside, open_binary
from anexa.model.architectures import architecture
from anexa.model.folder import CARD, load_config
from anexa.model.weight_files import weight_files

# What a model is made of, besides its weights and its code; whatever else is in its folder stays.
FILES = {
    *("config.json", "generation_config.json", "chat_template.jinja", "LICENSE"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt"),
}
# Weights as an earlier version may have them on the Hub.
EARLIER = re.compile(r"model\.safetensors(\.index\.json)?|\w[\w.-]*-\d+-of-\d+\.safetensors", re.A)
TOKEN = re.compile(r"[!-~]+")  # what an HTTP header can hold of it


@dataclass(frozen=True)
class Plan:
    """What is to be published.

    Attributes:
        repository: USER/NAME.
        card: the text of its `README.md`.
        files: the others, by name.
    """

    repository: str
    card: str
    files: dict[str, Path]

    def sizes(self) -> dict[str, int]:
        """The bytes of each file, the card first."""
        others = {name: path.stat().st_size for name, path in self.files.items()}
        return {CARD: len(self.card.encode()), **others}


def files_of(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """What of a folder belongs to its model, by name, and what else is there; the card is neither.

    Raises:
        AnexaError: it is no model folder, or has what cannot be given away: no file, one that
            cannot be read, a link that leads out of it.
    """
    code = architecture(load_config(folder)).code()
    index, weights = weight_files(folder)
    names = {*FILES, *code, *(path.name for path in (index, *weights))}
    there = sorted(folder.iterdir())
    files = {path.name: path for path in there if path.name in names}
    for path in (folder / CARD, *files.values()):
        check_inside(path)
    for path in files.values():
        if not path.is_file():
            raise AnexaError(f"{path} cannot be published: it is no file")
        with open_binary(path):
            pass  # it may be read
    kept = [f"{p.name}{'/' * p.is_dir()}" for p in there if p.name not in {*files, CARD}]
    return files, kept


def check_name(repository: str) -> None:
    """Find out early whether the Hub would have such a name.

    Raises:
        UsageError: it would not.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the Hub has no such names: {reason}") from error
    if repository.count("/") != 1:
        raise UsageError(f"where to publish is USER/NAME, not {repository!r}")


def upload(plan: Plan, private: bool) -> str:
    """Publish a model, in one commit: all of it or nothing. Gives its address.

    What an earlier model of that name had, and this one has not, is taken away.

    Raises:
        AnexaError: the Hub does not take it, or cannot be reached.
    """
    # Its retries, for one, are nothing to read.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
    token = get_token()
    if token and not TOKEN.fullmatch(token):
        raise AnexaError(
            "your token for the Hub has characters that none has: log in again with "
            "`hf auth login`, or mend HF_TOKEN"
        )
    api = HfApi(library_name="anexa")
    user = "you"
    try:
        user = str(api.whoami()["name"])
        # All that can be wrong here is found before there is a repository.
        _check_card(plan.card)
        sent: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(CARD, plan.card.encode()),
            *(CommitOperationAdd(name, path) for name, path in plan.files.items()),
        ]
        api.create_repo(plan.repository, private=private, exist_ok=True)
        there = api.model_info(plan.repository)
        if private and not there.private:
            raise AnexaError(
                f"{plan.repository} is there already, and public: make it private in its settings "
                "on the Hub, or choose another name"
            )
        for name in [file.rfilename for file in there.siblings or []]:
            if name not in plan.files and (name in FILES or EARLIER.fullmatch(name)):
                sent.append(CommitOperationDelete(name))
        api.create_commit(plan.repository, sent, commit_message="Published with Anexa")
    except AnexaError:
        raise
    except Exception as error:  # of its transports, of which there are several
        raise AnexaError(_sentence(error, plan.repository, user)) from error
    return f"{api.endpoint}/{plan.repository}"


def _check_card(card: str) -> None:
    """Have the Hub look at the header of a card."""
    try:
        ModelCard(card).validate()
    except HfHubHTTPError:  # some are a ValueError too
        raise
    except ValueError as error:
        raise AnexaError(f"the Hub does not take the model card: {one_line(str(error))}") from error


def _sentence(error: Exception, repository: str, user: str) -> str:
    """What went wrong, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, LocalTokenNotFoundError):
        return "the Hub does not know you: log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it to publish"
    if isinstance(error, (LookupError, TypeError, ValueError)) and not isinstance(error, OSError):
        kind = type(error).__name__
        return f"the Hub's answer is not understood ({kind}: {reason}): is HF_ENDPOINT the Hub?"
    if not isinstance(error, HfHubHTTPError):
        return f"the Hub cannot be reached, or was lost on the way ({reason}): try again later"
    status = error.response.status_code
    if status == 401:
        return "the Hub does not take your token: log in again with `hf auth login`"
    if status in (403, 404):
        return (
            f"the Hub does not let {user} write to {repository}: choose a name of your own, such "
            f"as {user}/{repository.partition('/')[2]}, or log in with a token that may write"
        )
    said = _said(error) or reason
    if status == 429 or status >= 500:
        return f"the Hub answered {status} ({said}): try again later"
    return f"the Hub does not take it: {said} (status {status})"


def _said(error: HfHubHTTPError) -> str:
    """What the Hub itself says of an error, in a line."""
    try:
        answer: Any = json.loads(error.response.content)
    except ValueError:  # it need not be JSON
        return ""
    return " ".join(str(answer.get("error", "")).split()) if isinstance(answer, dict) else ""
