"""The HTTP server under an application: socket, connection timeouts, signals, graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from anexa.errors import AnexaError
from anexa.process import discard_lost_output, stop_signals
from anexa.server.errors import APIError
from anexa.server.limits import MAX_HEADER_BYTES
from anexa.server.middleware import RequestIdMiddleware
from anexa.server.protection import refuse

MAX_CONNECTIONS = 1000  # connections open at a time; requests of further connections are refused
IDLE_TIMEOUT = 10.0  # seconds for the headers of a request, and between two requests
FORCED_EXIT_DELAY = 1.0  # seconds to send the last errors before connections are closed
WRITE_TIMEOUT = 60.0  # seconds after which a client that does not read is disconnected


def bind_socket(host: str, port: int) -> socket.socket:
    """Create a TCP socket and bind it to an address, for a server to listen on.

    Args:
        host: name or address of this computer, such as "localhost".
        port: port number; 0 for any free port.

    Returns:
        The socket, which does not listen yet.

    Raises:
        AnexaError: if `host` is not an address of this computer, or the port is in use or not
            permitted.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small packets at once (TCP_NODELAY) only if the socket names its protocol. If it
    # does not, a response on a kept-alive connection waits 40 ms for the client's acknowledgment.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # where the option lets two servers listen on the same port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise AnexaError(f"--host {host} is not an address of this computer") from error
        raise AnexaError(
            f"{host}:{port} cannot be listened on ({error.strerror}): choose another with --port"
        ) from error
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """Return the URL of a socket from `bind_socket`, such as "http://localhost:8000".

    Args:
        host: name or address of the server in the URL. For a socket bound to all addresses this is
            not "0.0.0.0", which browsers cannot open, but one of them.
        listener: socket, from which the port is taken.
    """
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


class Connection(H11Protocol):
    """Uvicorn's HTTP connection with timeouts for clients that do not send or do not read."""

    _idle_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of `IDLE_TIMEOUT` seconds within which the client must send a request.

        Requests of a connection beyond `MAX_CONNECTIONS` are refused.
        """
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self.app = RequestIdMiddleware(refuse_connection)
        self._restart_idle_timer()

    def on_response_complete(self) -> None:
        """Start the timer within which the client must send the next request."""
        super().on_response_complete()
        self._restart_idle_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, as the connection is closed."""
        super().connection_lost(exc)
        if self._idle_timer:
            self._idle_timer.cancel()
        self._stop_write_timer()

    def pause_writing(self) -> None:
        """Start the write timer, as the buffer of data that the client has yet to read is full.

        The connection is aborted if the client then reads nothing for `WRITE_TIMEOUT` seconds.
        """
        super().pause_writing()
        self._check_client_reads(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        """Stop the write timer, as the client has read most of the buffer."""
        super().resume_writing()
        self._stop_write_timer()

    def _restart_idle_timer(self) -> None:
        if self._idle_timer:
            self._idle_timer.cancel()
        self._idle_timer = self.loop.call_later(IDLE_TIMEOUT, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # there is no request
            self.transport.close()

    def _check_client_reads(self, previous_size: int) -> None:
        """Abort the connection if the client has read nothing for `WRITE_TIMEOUT` seconds."""
        size = self.transport.get_write_buffer_size()
        if size >= previous_size:
            # SO_LINGER 0: the kernel drops unsent data instead of keeping the connection.
            no_linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
            self.transport.abort()
        else:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT, self._check_client_reads, size)

    def _stop_write_timer(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()


async def refuse_connection(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a request with status 503, as there are too many connections.

    This ASGI application gets the connections beyond `MAX_CONNECTIONS`.
    """
    message = "there are too many connections at the moment: try again in a second"
    await refuse(send, APIError(message, status=503))


class StoppableWorker(Protocol):
    """Protocol of an object that computes for requests, such as a `Worker`."""

    @property
    def idle(self) -> bool:
        """Whether there is no unfinished request."""

    def shut_down(self) -> None:
        """End all unfinished requests with an error."""


class Server(uvicorn.Server):
    """Uvicorn's server, which lets running requests finish before it shuts down.

    Unlike uvicorn's, it does not raise the signal again when it has shut down, so that the exit
    status is 0. On Windows, signals are handled by uvicorn itself, and the signal is raised again.

    Args:
        app: the application.
        grace: seconds for running requests to finish; then they end with an error.
        get_workers: function that returns the workers to stop, such as those of the loaded models;
            default: none.
        show: function that shows a sentence to the user, called if the server waits for requests.
    """

    def __init__(
        self,
        app: FastAPI,
        grace: float = 0.0,
        get_workers: Callable[[], Sequence[StoppableWorker]] = tuple,
        show: Callable[[str], None] = print,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            use_colors=False,  # uvicorn would ask stdout, which may be closed
            server_header=False,
            timeout_keep_alive=round(IDLE_TIMEOUT),
            timeout_graceful_shutdown=math.ceil(grace + FORCED_EXIT_DELAY),
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        super().__init__(config)
        self._get_workers, self._grace, self._show = get_workers, grace, show

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Context manager in which SIGINT, SIGTERM and SIGHUP shut down the server.

        After the first signal, running requests may finish within `grace` seconds; a second signal
        ends them at once. A signal that the parent process ignores has no effect. The handlers
        before are restored at its end.
        """
        if sys.platform == "win32":  # where event loops do not support signal handlers
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in stop_signals()}
        try:
            for number in before:
                loop.add_signal_handler(number, self._on_signal)
            yield
        finally:  # also if the server cannot start
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                if handler is not None:  # None: the handler is not Python's
                    signal.signal(number, handler)

    def _on_signal(self) -> None:
        discard_lost_output()
        loop = asyncio.get_running_loop()
        if self.should_exit:
            self._shut_down_workers()
            loop.call_later(FORCED_EXIT_DELAY, self._force_exit)
            return
        self.should_exit = True
        loop.call_later(self._grace, self._shut_down_workers)
        if self._grace and not all(worker.idle for worker in self._get_workers()):
            self._show(
                f"shutting down: running requests have {self._grace:g} seconds to finish; "
                "Ctrl-C ends them at once"
            )

    def _shut_down_workers(self) -> None:
        for worker in self._get_workers():
            worker.shut_down()

    def _force_exit(self) -> None:
        self.force_exit = True
