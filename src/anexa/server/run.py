"""Runs the server of models: `anexa serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from anexa.errors import AnexaError
from anexa.names import shown
from anexa.ranges import Range
from anexa.server.app import create_app
from anexa.server.config import ServerConfig
from anexa.server.http_server import Server, address_of, bind_socket


def run(
    config: ServerConfig, host: str, port: int, grace: float, show: Callable[[str], None] = print
) -> None:
    """Run the server until SIGINT, SIGTERM or SIGHUP, then let running requests finish.

    On Windows the signal is raised again then (see `Server`).

    Args:
        config: configuration of the server.
        host: name or address of this computer to listen on.
        port: port to listen on, at most 65535; 0 for any free port.
        grace: seconds for running requests to finish, at least 0; then they end with an error.
        show: function for a line to the user: the server's address when it is ready, and how long
            it waits when it shuts down.

    Raises:
        AnexaError: if the address cannot be listened on, or a model cannot be loaded.
        UsageError: if `port` or `grace` is out of range.
    """
    Range(int, ge=0, le=65535).check("--port", port)
    Range(float, ge=0).check("--grace", grace)
    listener = bind_socket(host, port)
    errors: list[AnexaError] = []

    def on_loaded(error: AnexaError | None) -> None:
        if error:
            errors.append(error)
            server.should_exit = True
        else:
            everywhere = (
                " and at this computer's other addresses" if config.allow_any_address else ""
            )
            address = address_of("localhost" if everywhere else host, listener)
            show(f"serving {shown(', '.join(config.models))} at {address}{everywhere}")

    app = create_app(config, on_loaded)
    server = Server(
        app, grace, lambda: [served.worker for served in app.state.served.values()], show
    )
    try:
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        listener.close()
    if errors:
        raise errors[0]
