"""A model folder as a repository on the Hugging Face Hub: what goes there, and how."""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import disable_progress_bars, validate_repo_id

from anexa.errors import AnexaError, UsageError
from anexa.model.files import read_json
from anexa.model.folder import CARD

# What a model is made of; whatever else is in its folder stays here.
FILES = re.compile(
    r"config\.json|generation_config\.json|chat_template\.jinja|LICENSE"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.json|merges\.txt|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
)
TOKEN = re.compile(r"[!-~]+")  # what an HTTP header can hold of it


@dataclass(frozen=True)
class Plan:
    """What is to be published.

    Attributes:
        repository: USER/NAME.
        card: the text of its `README.md`.
        files: the others, by name.
        kept: what else is in the folder, and stays there.
    """

    repository: str
    card: str
    files: dict[str, Path]
    kept: list[str]

    def sizes(self) -> dict[str, int]:
        """The bytes of each file, the card first."""
        others = {name: path.stat().st_size for name, path in self.files.items()}
        return {CARD: len(self.card.encode()), **others}


def plan(folder: Path, repository: str, card: str) -> Plan:
    """Find out what of a folder belongs to its model.

    Raises:
        AnexaError: it cannot be read.
        UsageError: the Hub has no repositories of that name.
    """
    check_name(repository)
    code = _code(folder)
    there = sorted(folder.iterdir())
    files = {p.name: p for p in there if FILES.fullmatch(p.name) or p.name in code}
    kept = [f"{p.name}{'/' * p.is_dir()}" for p in there if p.name not in {*files, CARD}]
    return Plan(repository, card, files, kept)


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


def _code(folder: Path) -> set[str]:
    """The Python files that transformers needs for an architecture that it does not know."""
    classes = read_json(folder / "config.json").get("auto_map")
    names = classes.values() if isinstance(classes, dict) else ()
    return {f"{name.partition('.')[0]}.py" for name in names if isinstance(name, str)}


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
        api.create_repo(plan.repository, private=private, exist_ok=True)
        there = api.model_info(plan.repository)
        if private and not there.private:
            raise AnexaError(
                f"{plan.repository} is there already, and public: make it private in its settings "
                "on the Hub, or choose another name"
            )
        sent: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(CARD, plan.card.encode()),
            *(CommitOperationAdd(name, path) for name, path in plan.files.items()),
        ]
        for file in there.siblings or []:
            if FILES.fullmatch(file.rfilename) and file.rfilename not in plan.files:
                sent.append(CommitOperationDelete(file.rfilename))
        api.create_commit(plan.repository, sent, commit_message="Published with Anexa")
    except AnexaError:
        raise
    except Exception as error:  # of its transports, of which there are several
        raise AnexaError(_sentence(error, plan.repository, user)) from error
    return f"{api.endpoint}/{plan.repository}"


def _sentence(error: Exception, repository: str, user: str) -> str:
    """What went wrong, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, LocalTokenNotFoundError):
        return "the Hub does not know you: log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it to publish"
    if isinstance(error, ValueError) and "metadata in README.md" in reason:
        return f"the Hub does not take the model card: {reason}"
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
