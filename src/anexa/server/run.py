"""The server from its beginning to its end."""

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

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from anexa.errors import AnexaError
from anexa.server.app import Plan, create_app
from anexa.server.protection import MOST_HEADERS, refuse
from anexa.server.worker import Worker

MOST_CONNECTIONS = 1000
PATIENCE = 10.0  # seconds for the headers of a request, and between requests
LAST_WORDS = 1.0  # seconds to tell clients that the server ends
STALL = 60.0  # seconds in which a client has to take something of what is written for it


def run(
    plan: Plan, host: str, port: int, grace: float, tell: Callable[[str], None] = print
) -> None:
    """Serve until a signal comes, and let what runs end.

    Args:
        plan: what to serve.
        host: the address to listen on.
        port: 0: any.
        grace: seconds for what runs to end.
        tell: is told where the server is, once it is ready.

    Raises:
        AnexaError: the address cannot be used, or a model cannot be loaded.
    """
    listening = _listen(host, port)
    failed: list[AnexaError] = []

    def ready(error: AnexaError | None) -> None:
        if error:
            failed.append(error)
            server.should_exit = True
        else:
            everywhere = " and at this computer's other addresses" if plan.any_address else ""
            name = "localhost" if everywhere else f"[{host}]" if ":" in host else host
            place = f"http://{name}:{listening.getsockname()[1]}{everywhere}"
            tell(f"serving {', '.join(plan.folders)} at {place}")

    app = create_app(plan, ready)
    server = Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=round(PATIENCE),
            timeout_graceful_shutdown=math.ceil(grace + LAST_WORDS),
            h11_max_incomplete_event_size=MOST_HEADERS,
        ),
        lambda: [served.worker for served in app.state.served.values()],
        grace,
        tell,
    )
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        listening.close()
    if failed:
        raise failed[0]


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if sys.platform != "win32":  # where it would let two servers listen at the same port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise AnexaError(f"--host {host} is not an address of this computer") from error
        raise AnexaError(
            f"{host}:{port} cannot be listened on ({error.strerror}): choose another with --port"
        ) from error
    return listening


class Connection(H11Protocol):
    """Uvicorn's, which keeps few headers, and does not wait for them for ever."""

    _deadline: asyncio.TimerHandle | None = None
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self.app = overloaded
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next one."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()
        self._stop_watching()

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        super().pause_writing()
        self._watch_reader(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._stop_watching()

    def _wait(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # there is no request
            self.transport.close()

    def _watch_reader(self, before: int) -> None:
        """Part from a client that has taken nothing at all for some time."""
        left = self.transport.get_write_buffer_size()
        if left >= before:
            # Else the system would go on offering what it has taken over, and keep it.
            at_once = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(STALL, self._watch_reader, left)

    def _stop_watching(self) -> None:
        if self._watch:
            self._watch.cancel()


async def overloaded(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An ASGI application, for more connections than there may be."""
    await refuse(send, 503, "there are too many connections at the moment: try again in a second")


class Server(uvicorn.Server):
    """Uvicorn's, which lets texts end, and does not die of the signal that has ended it.

    Args:
        config: see there.
        workers: gives those that write.
        grace: seconds for what runs to end.
        tell: is told that it is waited for.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        workers: Callable[[], Sequence[Worker]],
        grace: float,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._workers, self._grace, self._tell = workers, grace, tell

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop in good order at the first signal, at once at the second."""
        if sys.platform == "win32":  # where an event loop hears no signals
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        if self.should_exit:
            self._end()
            loop.call_later(LAST_WORDS, self._force)
            return
        self.should_exit = True
        loop.call_later(self._grace, self._end)
        if self._grace and not all(worker.idle for worker in self._workers()):
            self._tell(
                f"ending: what is being written has {self._grace:g} seconds; Ctrl-C ends it at once"
            )

    def _end(self) -> None:
        for worker in self._workers():
            worker.end()

    def _force(self) -> None:
        self.force_exit = True
