"""`anexa serve`: models over HTTP, and a web page to chat with them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo
from anexa.errors import UsageError

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")  # values of the Host header that are always allowed
DEFAULT_PORTS = {"http": 80, "https": 443}  # of each scheme of an origin
ALL_ADDRESSES = ("0.0.0.0", "::")  # values of --host for every address of this computer


def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Model folders to serve. [default: the bundled model]"),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all addresses.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="API key that clients must send; needed unless --host is this computer.",
            envvar="ANEXA_API_KEY",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another host name of the server, such as box.example; repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Website whose pages may call the API, such as https://a.example; repeatable."
        ),
    ] = None,
    max_num_seqs: Annotated[
        int,
        typer.Option(
            help="Maximum number of sequences generated at the same time, for each model."
        ),
    ] = 32,
    max_queue: Annotated[
        int, typer.Option(help="Maximum number of queued requests, for each model.")
    ] = 128,
    prefix_cache: Annotated[
        int,
        typer.Option(
            help="Memory in MB, for each model, to keep the keys and values of prompts for later "
            "prompts with the same beginning; 0 for none."
        ),
    ] = 64,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds after which an unfinished request ends with an error, queued or running."
        ),
    ] = 300,
    grace: Annotated[
        float,
        typer.Option(
            help="Seconds that running requests have to finish when the server shuts down."
        ),
    ] = 10,
    engine: common.EngineName = "auto",
    log_prompts: Annotated[bool, typer.Option(help="Write each prompt to standard error.")] = False,
) -> None:
    """Serve models to OpenAI clients, and a web page to chat with them."""
    if not is_local(host) and not api_key:
        raise UsageError(
            f"everybody who can reach {host} could use the server: give it a key with --api-key "
            "or the environment variable ANEXA_API_KEY"
        )
    from anexa.server.config import ServerConfig
    from anexa.server.run import run

    config = ServerConfig(
        model_names(folders or []),
        engine,
        allowed_hosts=tuple(dict.fromkeys((*LOCAL_HOSTS, host, *map(_host, allow_host or ())))),
        allow_any_address=host in ALL_ADDRESSES,
        allowed_origins=tuple(map(_origin, allow_origin or ())),
        api_key=api_key,
        max_num_seqs=max_num_seqs,
        max_queued_requests=max_queue,
        prefix_cache_mb=prefix_cache,
        request_timeout_seconds=timeout,
        log_prompts=log_prompts,
    )
    run(config, host, port, grace, echo)


def is_local(host: str) -> bool:
    """Return whether a server on an address is reached only from this computer: it needs no key.

    Args:
        host: name or address to listen on; "localhost", ::1 and all of 127.0.0.0/8 are local.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"


def _host(text: str) -> str:
    """Check a host name of `--allow-host`, and return it in lower case."""
    if not re.fullmatch(r"[a-z0-9._-]+", text.lower()):
        raise UsageError(f"--allow-host must be a host name such as box.example, not {text!r}")
    return text.lower()


def _origin(text: str) -> str:
    """Check an origin of `--allow-origin`, such as https://a.example:8443.

    Returns:
        The origin in the form in which browsers send it: without the default port of its scheme.
    """
    pattern = r"((https?)://(?:[a-z0-9.-]+|\[[0-9a-f:]+\]))(?::([0-9]{1,5}))?/?"
    match = re.fullmatch(pattern, text.lower())
    if not match:
        raise UsageError(
            f"--allow-origin must be an origin such as https://a.example, not {text!r}"
        )
    site, scheme, port = match.groups()
    is_default = port is None or int(port) == DEFAULT_PORTS[scheme]
    return site if is_default else f"{site}:{int(port)}"


def model_names(folders: list[Path]) -> dict[str, Path | None]:
    """Choose the name of each served model: that of its folder, or of its file without the ending.

    Args:
        folders: paths of the models; if empty, the bundled model is served, as "anexa".

    Returns:
        Path of each model by its name; None for the bundled model.

    Raises:
        UsageError: if two models have the same name.
    """
    from anexa.model.loading import model_name
    from anexa.names import encode_name

    models: dict[str, Path | None] = {}
    for folder in folders:
        name = encode_name(model_name(folder))
        if name in models:
            raise UsageError(f"two folders are named {name}, and clients choose models by name")
        models[name] = folder
    return models or {"anexa": None}
