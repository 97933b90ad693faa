"""Server of the glass box, the page that explains each number of a model, and of the course."""

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
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.ranges import Range
from anexa.server.http_server import Server, address_of, bind_socket

HOST = "127.0.0.1"  # address to listen on, which only this computer reaches
ALLOWED_HOSTS = (HOST, "localhost")  # what the Host header of a request may name


def serve_glass_box(
    paths: Sequence[Path | None],
    port: int,
    show: Callable[[str], None] = print,
    page: str = "/",
    name: str = "the glass box",
    add_pages: AddPages | None = None,
) -> None:
    """Serve the glass box on this computer alone until SIGINT, SIGTERM or SIGHUP.

    A thread computes in advance what the page is likely to ask for: the first scene of the first
    model, and a step of each run. Models that are trained on the page are in a temporary folder,
    which is removed at the end.

    Args:
        paths: model folders, JSON or GGUF files, at least one; None stands for the bundled model.
        port: port to listen on; 0 for any free port.
        show: function that shows the user a line of text: the address of `page`, with its access
            token, and why the steps of a folder cannot be shown.
        page: URL path of the page to open first, with its query.
        name: name of that page in the line.
        add_pages: function that adds further pages, such as those of the course; None for none.

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
        for folder in session.folders:
            if folder.no_steps_reason and folder.path != BUNDLED_FOLDER:
                show(f"note: {folder.no_steps_reason}")
        threading.Thread(target=prepare, args=(session,), daemon=True).start()
        asyncio.run(server.serve(sockets=[listener]))


def prepare(session: Session) -> None:
    """Compute what the page shows first, and a step of each run, before a user waits for them.

    The step also loads the library of the run's engine.
    """
    # Errors are suppressed, as the page asks for the same again, and shows them.
    with suppress(AnexaError), session.lock:
        session.trace(example_scene(session.folder(0), 0))
    for folder in session.folders:
        if folder.replay:
            step = min(folder.replay.first_step + 1, folder.replay.last_step)
            with suppress(AnexaError):
                for _ in folder.replay.state(step):
                    pass
