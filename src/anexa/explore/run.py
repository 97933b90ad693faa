"""Runs the glass box: `anexa explore`."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from anexa.errors import AnexaError
from anexa.explore.app import AddPages, create_app
from anexa.explore.overview import example_scene
from anexa.explore.session import Session
from anexa.ranges import Range
from anexa.server.http_server import Server, address_of, bind_socket

HOST = "127.0.0.1"  # address to listen on, which only this computer reaches
ALLOWED_HOSTS = (HOST, "localhost")  # hosts that a request may name


def serve_glass_box(
    paths: Sequence[Path | None],
    port: int,
    show: Callable[[str], None] = print,
    page: str = "/",
    name: str = "the glass box",
    add_pages: AddPages | None = None,
) -> None:
    """Serve the glass box on this computer alone until SIGINT or SIGTERM.

    A thread computes the first views meanwhile. Models that are trained on the page are in a
    temporary folder, which is removed at the end.

    Args:
        paths: model folders, at least one; None stands for the bundled model.
        port: port to listen on; 0 for any free port.
        show: called with a line for the user: the address of the page, with its access token.
        page: path of the page whose address is shown, with its query.
        name: name of that page in the line.
        add_pages: function that adds further pages; None for none.

    Raises:
        AnexaError: if the port cannot be listened on, or a model cannot be loaded.
        UsageError: if `port` is out of range.
    """
    Range(int, ge=0, le=65535).check("--port", port)
    token = secrets.token_urlsafe(16)
    with (
        tempfile.TemporaryDirectory(prefix="anexa-") as scratch,
        bind_socket(HOST, port) as listener,
    ):
        session = Session(paths, Path(scratch))
        server = Server(
            create_app(session, token, ALLOWED_HOSTS, add_pages),
            get_workers=lambda: (session,),
            show=show,
        )
        listener.listen()  # a browser that is faster than the server waits
        show(f"{name} is at {address_of(HOST, listener)}{page}#token={token}")
        threading.Thread(target=_prepare, args=(session,), daemon=True).start()
        asyncio.run(server.serve(sockets=[listener]))


def _prepare(session: Session) -> None:
    """Compute what the page shows first, and load the engines of the runs, before a user waits."""
    with suppress(AnexaError):  # the page asks again, and shows the error
        with session.lock:
            session.trace(example_scene(session.folder(0), 0))
        for folder in session.folders:
            if folder.replay:
                for _ in folder.replay.state(
                    min(folder.replay.first_step + 1, folder.replay.last_step)
                ):
                    pass
