"""Publishing of a model folder as a repository on the Hugging Face Hub."""

from __future__ import annotations

import json
import re
import warnings
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
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from anexa.errors import AnexaError, AnexaWarning, UsageError, one_line
from anexa.files import check_inside, open_binary
from anexa.hub.quiet import quiet_hub
from anexa.model.architectures import get_architecture
from anexa.model.folder import MODEL_CARD_FILE, ModelFolder

# Files of a model besides its card, weights and code; other files in its folder are not published.
MODEL_FILES = {
    *("config.json", "generation_config.json", "chat_template.jinja", "LICENSE"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "tokenizer.model"),
}
# Names of weight files that an earlier version on the Hub may have.
WEIGHT_FILE_PATTERN = re.compile(
    r"model\.safetensors(\.index\.json)?|\w[\w.-]*-\d+-of-\d+\.safetensors", re.A
)
NEW_REPOSITORY_FILES = {".gitattributes"}  # files that the Hub itself writes
# A user's token for the Hub: what an HTTP header can hold.
HUB_TOKEN_PATTERN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Publication:
    """Content of a repository to be published.

    Attributes:
        repository: name on the Hub, USER/NAME.
        card: text of `README.md`.
        files: paths of the other files, by name.
    """

    repository: str
    card: str
    files: dict[str, Path]

    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, the card first.

        Returns:
            The sizes by name of the file.
        """
        others = {name: path.stat().st_size for name, path in self.files.items()}
        return {MODEL_CARD_FILE: len(self.card.encode()), **others}


def select_files(folder: ModelFolder) -> tuple[dict[str, Path], list[str]]:
    """Select the files of a model folder to publish, apart from the card.

    Returns:
        The paths of the files by name; and the names of the other files and folders in it, which
        are not published. Names of folders end in "/".

    Raises:
        AnexaError: if a file is damaged or unreadable, not a file, or a link out of the folder.
    """
    code = get_architecture(folder.config).code()
    index, weights = folder.weight_files
    names = {*MODEL_FILES, *code, *(path.name for path in (index, *weights))}
    paths = sorted(folder.path.iterdir())
    files = {path.name: path for path in paths if path.name in names}
    for path in (folder.path / MODEL_CARD_FILE, *files.values()):
        check_inside(path)
    for path in files.values():
        if not path.is_file():
            raise AnexaError(f"{path} cannot be published: it is not a file")
        with open_binary(path):
            pass  # it can be read
    kept = [f"{p.name}{'/' * p.is_dir()}" for p in paths if p.name not in {*files, MODEL_CARD_FILE}]
    return files, kept


def check_repository_name(repository: str) -> None:
    """Validate the name of a repository on the Hub.

    Raises:
        UsageError: if the name is not a valid USER/NAME.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the Hub does not allow this name: {reason}") from error
    if repository.count("/") != 1:
        raise UsageError(f"the name on the Hub must be USER/NAME, not {repository!r}")


def upload(publication: Publication, private: bool) -> str:
    """Publish a model on the Hugging Face Hub in one commit.

    The repository is created if it does not exist. Files of a model that it has from an earlier
    version, and that this one lacks, are deleted; other files stay. After an error no file has
    changed, unless the commit was made and the Hub's answer was lost. A repository that was created
    for this is deleted, if it is still empty, even if the Hub's answer to its creation was lost.

    A new repository that stays, or may stay, is named in the error, or, if the user interrupts, in
    an `AnexaWarning`.

    Args:
        publication: repository and files.
        private: whether the repository must be private.

    Returns:
        The URL of the repository.

    Raises:
        AnexaError: if the Hub refuses, or cannot be reached; or if `private` is true, and the
            repository exists and is public.
    """
    token = get_token()
    if token and not HUB_TOKEN_PATTERN.fullmatch(token):
        raise AnexaError(
            "your token for the Hub has characters that no token has: log in again with "
            "`hf auth login`, or correct HF_TOKEN"
        )
    api, repository, user = HfApi(library_name="anexa"), publication.repository, "you"
    is_new = False
    with quiet_hub():
        try:
            user = str(api.whoami()["name"])
            # Everything that can be wrong here is checked before the repository is created.
            _validate_card(publication.card)
            is_new = not api.repo_exists(repository)  # asked first: later answers may be lost
            try:
                api.create_repo(repository, private=private)
            except HfHubHTTPError as error:
                # Of any status: the Hub does not tell everybody that a repository exists.
                if error.response.status_code in (403, 409):  # it exists, or cannot be created
                    is_new = False
                api.create_repo(repository, private=private, exist_ok=True)
            _commit(api, publication, private)
        except BaseException as error:  # also if the user interrupts the upload
            left = _delete_if_empty(api, repository) if is_new else ""
            if isinstance(error, AnexaError) or not isinstance(error, Exception):
                if left:
                    warnings.warn(left, AnexaWarning, stacklevel=2)
                raise
            # Of any kind: several HTTP libraries raise their own.
            message = _message(error, repository, user)
            raise AnexaError("; ".join(filter(None, (message, left)))) from error
    return f"{api.endpoint}/{repository}"


def _commit(api: HfApi, publication: Publication, private: bool) -> None:
    """Replace the files of a model in a repository that exists, in one commit."""
    repository = publication.repository
    info = api.model_info(repository)
    if private and not info.private:
        raise AnexaError(
            f"{repository} exists already and is public: make it private in its settings on "
            "the Hub, or choose another name"
        )
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(MODEL_CARD_FILE, publication.card.encode()),
        *(CommitOperationAdd(name, path) for name, path in publication.files.items()),
    ]
    for name in [file.rfilename for file in info.siblings or []]:
        is_model_file = name in MODEL_FILES or WEIGHT_FILE_PATTERN.fullmatch(name)
        if name not in publication.files and is_model_file:
            operations.append(CommitOperationDelete(name))
    api.create_commit(repository, operations, commit_message="Published with Anexa")


def _delete_if_empty(api: HfApi, repository: str) -> str:
    """Delete a new repository if it exists and has no files but the Hub's own.

    A commit whose answer was lost may have been made: then the repository has the files.

    Returns:
        A clause that says that the repository is left, or may be left; "" if it is not.
    """
    state = "may be"
    try:
        files = {file.rfilename for file in api.model_info(repository).siblings or []}
        state = "is"
        if files <= NEW_REPOSITORY_FILES:
            api.delete_repo(repository)
            return ""
    except RepositoryNotFoundError:  # it was not created
        return ""
    except Exception:  # of any kind: the caller says that it is left, and why it all began
        pass
    return f"the new repository {repository} {state} left there"


def _validate_card(card: str) -> None:
    """Have the Hub validate the metadata of a card."""
    try:
        ModelCard(card).validate()
    except HfHubHTTPError:  # some derive from ValueError too
        raise
    except ValueError as error:
        raise AnexaError(f"the Hub refuses the model card: {one_line(str(error))}") from error


def _message(error: Exception, repository: str, user: str) -> str:
    """Return a sentence about an error: what is wrong, and what to do.

    Args:
        error: exception of `huggingface_hub`.
        repository: name on the Hub, USER/NAME.
        user: name of the user on the Hub; "you" if it is not known yet.

    Returns:
        The sentence for the user.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, LocalTokenNotFoundError):
        return "you are not logged in to the Hub: log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it to publish"
    if isinstance(error, (LookupError, TypeError, ValueError)) and not isinstance(error, OSError):
        kind = type(error).__name__
        return f"the Hub's answer is not understood ({kind}: {reason}): is HF_ENDPOINT the Hub?"
    if not isinstance(error, HfHubHTTPError):
        return f"the Hub cannot be reached, or the connection was lost ({reason}): try again later"
    status = error.response.status_code
    if status == 401:
        return "the Hub refuses your token: log in again with `hf auth login`"
    if status in (403, 404):
        return (
            f"the Hub does not let {user} write to {repository}: choose a name of your own, such "
            f"as {user}/{repository.partition('/')[2]}, or log in with a token that may write"
        )
    answer = _answer(error) or reason
    if status == 429 or status >= 500:
        return f"the Hub answered {status} ({answer}): try again later"
    return f"the Hub refuses: {answer} (status {status})"


def _answer(error: HfHubHTTPError) -> str:
    """Return the Hub's error message in one line; "" if the response has no message."""
    try:
        answer: Any = json.loads(error.response.content)
    except ValueError:  # not JSON
        return ""
    return " ".join(str(answer.get("error", "")).split()) if isinstance(answer, dict) else ""
