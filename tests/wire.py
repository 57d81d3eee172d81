"""Which statements reach a server, seen from between."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from asgiauth import Auth

from .sites import connected


class Wire:
    """Between us and the server: notes each statement as the server gets it."""

    def __init__(self, server: str, url: str) -> None:
        parts = urlsplit(url)
        self.server = server
        self.target = (parts.hostname, parts.port)
        self.parts = parts
        self.statements: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self.listener = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        port = self.listener.sockets[0].getsockname()[1]
        return self.parts._replace(netloc=f"{self.parts.username}@127.0.0.1:{port}").geturl()

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close with the next turn of the loop

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        note = self.postgresql() if self.server == "postgresql" else self.mysql()
        for task in (self.pump(reader, back, note), self.pump(there, writer, lambda data: None)):
            self.tasks.add(asyncio.create_task(task))

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]
    ) -> None:
        try:
            while data := await reader.read(65536):
                note(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def postgresql(self) -> Callable[[bytes], None]:
        buffer, prepared, begun, current = bytearray(), dict[bytes, str](), False, b""

        def note(data: bytes) -> None:
            nonlocal begun, current
            buffer.extend(data)
            while len(buffer) >= (head := 5 if begun else 4):
                size = int.from_bytes(buffer[head - 4 : head]) + head - 4
                if len(buffer) < size:
                    return
                kind, body = bytes(buffer[: head - 4]), bytes(buffer[head:size])
                del buffer[:size]
                if not begun:
                    begun = body[:4] != (80877103).to_bytes(4)  # a request for TLS comes before the start
                elif kind == b"Q":
                    self.statements.append(body[:-1].decode())
                elif kind == b"P":
                    name, sql = body.split(b"\0")[:2]
                    prepared[name] = sql.decode()
                elif kind == b"B":
                    current = body.split(b"\0")[1]
                elif kind == b"E":
                    self.statements.append(prepared[current])

        return note

    def mysql(self) -> Callable[[bytes], None]:
        buffer = bytearray()

        def note(data: bytes) -> None:
            buffer.extend(data)
            while len(buffer) >= 4 and len(buffer) >= (size := 4 + int.from_bytes(buffer[:3], "little")):
                if buffer[3] == 0:  # the first packet of a command
                    command, text = buffer[4], buffer[5:size].decode("utf-8", "replace")
                    self.statements.append(text if command == 3 else f"COMMAND {command}")
                del buffer[:size]

        return note


@asynccontextmanager
async def watched(server: str, url: str, **options: Any) -> AsyncIterator[tuple[Auth, list[str]]]:
    """An Auth on a server, and the list of the statements that reach it; `options` are those of `Auth`."""
    if server != "sqlite":
        wire = Wire(server, url)
        async with wire as through, connected(through, **options) as auth:
            yield auth, wire.statements
        return
    statements: list[str] = []
    async with connected(url, **options) as auth:
        for connection in auth._database._source._held:  # type: ignore[attr-defined]  # SQLite has no wire
            await connection.raw_connection.set_trace_callback(statements.append)
        yield auth, statements


def outline(statements: list[str]) -> list[str]:
    """The verb and, of a write, the table."""
    pattern = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SELECT|(?:UPDATE|INSERT INTO|DELETE FROM) \w+)")
    return [match.group() if (match := pattern.match(sql)) else sql for sql in statements]
