"""`anexa serve`: models over HTTP, and a page to talk to them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from anexa.errors import UsageError

HERE = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")


def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Model folders. [default: the model that comes along]"),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0: any.", min=0, max=65535)] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(help="What a request must bring along.", envvar="ANEXA_API_KEY"),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name under which the server is known.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A page that may use it, such as https://a.example.")
    ] = None,
    running: Annotated[int, typer.Option(help="Texts written at the same time.", min=1)] = 32,
    waiting: Annotated[int, typer.Option(help="Texts that may wait for a place.", min=0)] = 128,
    time_limit: Annotated[float, typer.Option(help="Seconds that a text may take.", min=1)] = 300,
    grace: Annotated[
        float, typer.Option(help="Seconds for what runs to end, when it is stopped.", min=0)
    ] = 10,
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    log_prompts: Annotated[bool, typer.Option(help="Write prompts to the log.")] = False,
) -> None:
    """Serve models to any OpenAI client, and a page to talk to them."""
    for name, value in (("--grace", grace), ("--time-limit", time_limit)):
        if not math.isfinite(value):
            raise UsageError(f"{name} must be a number of seconds, not {value}")
    if api_key is not None and not re.fullmatch("[!-~]([ -~]*[!-~])?", api_key):
        raise UsageError(
            "an API key is letters, digits and signs of ASCII, without a space at its ends"
        )
    if host not in HERE and not api_key:
        raise UsageError(
            f"whoever reaches {host} could use the server: give it a key with --api-key, or in "
            "ANEXA_API_KEY"
        )
    from anexa.server.app import Plan
    from anexa.server.limits import Limits
    from anexa.server.run import run

    run(
        Plan(
            names(folders or []),
            engine,
            hosts=tuple(dict.fromkeys((*HERE, host, *map(_host, allow_host or ())))),
            any_address=host in EVERYWHERE,
            origins=tuple(map(_origin, allow_origin or ())),
            key=api_key,
            limits=Limits(running=running, waiting=waiting, seconds=time_limit),
            log_prompts=log_prompts,
        ),
        host,
        port,
        grace,
        typer.echo,
    )


def _host(text: str) -> str:
    """A name of the server as `Host` has it: without a port."""
    if not re.fullmatch(r"[a-z0-9._-]+", text.lower()):
        raise UsageError(f"--allow-host is a name such as box.example, not {text!r}")
    return text.lower()


def _origin(text: str) -> str:
    """A page's origin as a browser sends it: https://a.example:8443."""
    match = re.fullmatch(r"(https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?)/?", text.lower())
    if not match:
        raise UsageError(f"--allow-origin is a page such as https://a.example, not {text!r}")
    return match[1]


def names(folders: list[Path]) -> dict[str, Path | None]:
    """The names under which folders are served: their own, which must differ."""
    from anexa.model.opening import model_name

    served: dict[str, Path | None] = {}
    for folder in folders:
        name = model_name(folder)
        if name in served:
            raise UsageError(f"two folders are named {name}: a model is asked for by that name")
        served[name] = folder
    return served or {"anexa": None}
