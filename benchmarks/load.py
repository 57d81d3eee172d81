"""A keep-alive HTTP client that costs little: it shares two processors with what it measures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter

STRAGGLERS = 15.0
"""Seconds that an answer may take after the load has ended."""


@dataclass
class Traffic:
    """Requests of one kind: the seconds that each took, and how many answers were not the expected one."""

    expected: bytes
    latencies: list[float] = field(default_factory=list)
    bad: int = 0
    seconds: float = 0.0
    wrong: bytes = b""
    """An unexpected answer."""

    def note(self, latency: float, answer: bytes) -> None:
        if answer.startswith(b"HTTP/1.1 200 ") and self.expected in answer:
            self.latencies.append(latency)
        else:
            self.bad += 1
            self.wrong = answer

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency that this share of the requests stayed below."""
        ranked = sorted(self.latencies) or [float("nan")]
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))]


class Connection(asyncio.Protocol):
    """One request at a time; `answered(connection, answer)` is called for each."""

    transport: asyncio.Transport

    def __init__(self, answered: Callable[[Connection, bytes], None]) -> None:
        self._answered = answered
        self._answer = b""
        self.since = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if blank and len(body) >= _content_length(head):
            answer, self._answer = self._answer, b""
            self._answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)


async def closed_loop(
    port: int,
    request: Callable[[], bytes],
    *,
    expected: bytes,
    connections: int,
    seconds: float,
    stragglers: float = STRAGGLERS,
) -> Traffic:
    """Each connection sends its next request when it has the answer to the last one."""
    traffic = Traffic(expected)

    def answered(connection: Connection, answer: bytes) -> None:
        now = perf_counter()
        traffic.note(now - connection.since, answer)
        if now < start + seconds:
            connection.send(request(), now)
        else:
            connection.transport.close()

    every = [await connect(port, answered) for _ in range(connections)]
    start = perf_counter()
    for connection in every:
        connection.send(request(), start)
    await _all_closed(every, seconds + stragglers)
    traffic.seconds = perf_counter() - start
    return traffic


async def open_loop(port: int, request: bytes, *, expected: bytes, every: float, seconds: float) -> Traffic:
    """One request `every` so many seconds, whether the last one is answered or not: a latency counts from the moment at
    which the request was due."""
    traffic = Traffic(expected, seconds=seconds)
    connections: list[Connection] = []
    free: list[Connection] = []
    ending = False

    def answered(connection: Connection, answer: bytes) -> None:
        traffic.note(perf_counter() - connection.since, answer)
        if ending:
            connection.transport.close()
        else:
            free.append(connection)

    start, count = perf_counter(), int(seconds / every)
    for number in range(count):
        due = start + number * every
        await asyncio.sleep(due - perf_counter())
        if not free:
            connections.append(await connect(port, answered))
            free.append(connections[-1])
        free.pop().send(request, due)
    ending = True
    for connection in free:
        connection.transport.close()
    with suppress(TimeoutError):
        await _all_closed(connections, STRAGGLERS)
    traffic.bad = count - len(traffic.latencies)
    return traffic


async def connect(port: int, answered: Callable[[Connection, bytes], None]) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(answered), "127.0.0.1", port)
    return connection


async def ask(port: int, request: bytes) -> bytes:
    """One request, one answer."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    connection = await connect(port, lambda _, answer: answers.put_nowait(answer))
    connection.send(request, 0.0)
    try:
        return await asyncio.wait_for(answers.get(), STRAGGLERS)
    finally:
        connection.transport.close()


def get(path: str, cookie: str = "") -> bytes:
    header = f"Cookie: {cookie}\r\n" if cookie else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\n{header}\r\n".encode()


def post(path: str, body: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()


async def _all_closed(connections: list[Connection], seconds: float) -> None:
    await asyncio.wait_for(asyncio.gather(*(connection.closed for connection in connections)), seconds)


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or 0)
