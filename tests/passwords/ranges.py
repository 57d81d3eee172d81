"""A server that speaks the range protocol of Have I Been Pwned."""

from __future__ import annotations

import asyncio
from hashlib import sha1
from typing import Self

BREACHED = "correct horse battery staple"


def digest(password: str) -> str:
    return sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


class Ranges:
    """A server on a port of its own. It answers `known`, among padding; or what `status`, `body`, `headers` say; or
    not at all."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {BREACHED: 37}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.status = "200 OK"
        self.body: bytes | None = None
        self.headers = ""
        self.silent = False
        self.breaks_off = False
        self.gone = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/range/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gone.set()
        self.server.close()
        await self.server.wait_closed()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
            self.asked.append((head[0], headers))
            if self.silent:
                await self.gone.wait()
                return
            body = self.range(head[0].split()[1].rpartition("/")[2]) if self.body is None else self.body
            size = len(body) + (1 if self.breaks_off else 0)
            lines = f"HTTP/1.1 {self.status}\r\nContent-Length: {size}\r\n{self.headers}Connection: close\r\n\r\n"
            writer.write(lines.encode() + body)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def range(self, prefix: str) -> bytes:
        padding = [f"{n:035X}:0" for n in range(800)]
        found = [f"{digest(one)[5:]}:{count}" for one, count in self.known.items() if digest(one)[:5] == prefix]
        return "\r\n".join(sorted([*padding, *found])).encode()
