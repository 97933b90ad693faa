"""The HTTP server under the applications."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from types import FrameType

import pytest
from fastapi import FastAPI

from anexa.errors import AnexaError
from anexa.server.http_server import Server, bind_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_small_packets_are_sent_at_once(host: str) -> None:
    """Else a response on a kept-alive connection takes 40 ms more: Nagle's algorithm."""

    async def option_of_connection() -> int:
        option: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            option.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = bind_socket(host, 0)
        async with await asyncio.start_server(accept, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            writer.close()
            return await option

    if host == "::1" and not _has_ipv6():
        pytest.skip("this computer has no IPv6")
    assert asyncio.run(option_of_connection())


@pytest.mark.skipif(sys.platform == "win32", reason="uvicorn handles the signals there")
def test_handlers_of_signals_are_restored_after_an_error() -> None:
    """A server that cannot start raises such an error, for example."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        pass

    def fail() -> None:
        with Server(FastAPI()).capture_signals():
            assert signal.getsignal(signal.SIGTERM) is not handler
            raise AnexaError("cannot start")

    async def serve() -> None:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(AnexaError, match="cannot start"):
            fail()
        assert {number: signal.getsignal(number) for number in before} == before

    before = signal.signal(signal.SIGTERM, handler)
    try:
        asyncio.run(serve())
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
