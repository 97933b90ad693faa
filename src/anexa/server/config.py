"""Configuration of a server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anexa.errors import UsageError
from anexa.ranges import Range

_RANGES = {
    "max_num_seqs": ("--max-num-seqs", Range(int, ge=1)),
    "max_queued_requests": ("--max-queue", Range(int, ge=0)),
    "prefix_cache_mb": ("--prefix-cache", Range(int, ge=0)),
    "request_timeout_seconds": ("--timeout", Range(float, ge=1)),
}


@dataclass(frozen=True)
class ServerConfig:
    """Configuration of a server: models, access control and limits.

    A request with several prompts or with `n` above 1 counts as one request for each choice.

    Attributes:
        models: model folder for each served model name; a folder of None is the bundled model. The
            first model answers requests without a model name.
        engine: name of the engine that computes the models: "scalar", "lists", "numpy", "numba",
            "torch", or "auto", the fastest that is ready (see `anexa.load`).
        allowed_hosts: allowed host names and addresses in `Host` headers.
        allow_any_address: whether any IP address is also allowed in `Host` headers.
        allowed_origins: origins of web pages of other sites that may call the API.
        api_key: API key that clients must send; None if the server needs no key.
        max_num_seqs: maximum number of sequences generated at the same time, for each model; at
            least 1.
        max_queued_requests: maximum number of queued requests, for each model; 0: none.
        prefix_cache_mb: maximum memory of the keys and values of prompts that are kept for later
            prompts with the same beginning, in megabytes (10⁶ bytes) for each model; 0: none.
        request_timeout_seconds: seconds after which an unfinished request ends with an error, at
            least 1.
        log_prompts: whether to write each prompt to standard error.

    Raises:
        UsageError: if a number is out of range, or the API key has characters that a header cannot
            have.
    """

    models: Mapping[str, Path | None]
    engine: str = "auto"
    allowed_hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1")
    allow_any_address: bool = False
    allowed_origins: Sequence[str] = ()
    api_key: str | None = None
    max_num_seqs: int = 32
    max_queued_requests: int = 128
    prefix_cache_mb: int = 64
    request_timeout_seconds: float = 300.0
    log_prompts: bool = False

    def __post_init__(self) -> None:
        for name, (option, allowed) in _RANGES.items():
            allowed.check(option, getattr(self, name))
        if self.api_key is not None and not re.fullmatch("[!-~]([ -~]*[!-~])?", self.api_key):
            raise UsageError(
                "an API key consists of printable ASCII characters, without a space at either end"
            )
