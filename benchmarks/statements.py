"""What each request asks of the database: statements on SQLite as it traces them, round trips on the wire elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, SessionPolicy
from asgiauth.testing import Clock, client

from .apps import PASSWORD, make_auth

Step = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]
COOKIE = "asgiauth"


def _login(password: str, username: str = "user1") -> Step:
    return lambda client: client.post("/auth/login", json={"username": username, "password": password})


async def _me(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.get("/me")


async def _logout(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/auth/logout")


async def report(urls: Mapping[str, str]) -> str:
    """The table. SQLite's column names the statements."""
    columns = {database: await _counted(database, url) for database, url in urls.items()}
    titles = {"sqlite": "SQLite, statements", "postgresql": "PostgreSQL, round trips", "mysql": "MariaDB, round trips"}
    head = [f"| | {' | '.join(titles[database] for database in columns)} |", "|---" * (len(columns) + 1) + "|"]
    steps = next(iter(columns.values()))
    rows = [f"| {step} | {' | '.join(column[step] for column in columns.values())} |" for step in steps]
    return "\n".join([*head, *rows])


async def _counted(database: str, url: str) -> dict[str, str]:
    clock = Clock()
    options = {"sessions": SessionPolicy(), "clock": clock}
    if database == "sqlite":
        async with make_auth(url, **options) as auth:
            verbs: list[str] = []
            for held in auth._database._source._held:  # type: ignore[attr-defined]  # SqliteSource
                await held.raw_connection.set_trace_callback(lambda sql: verbs.append(sql.split(maxsplit=1)[0]))
            return await _walk(auth, clock, lambda: f"{len(verbs)} ({', '.join(verbs)})" if verbs else "0", verbs.clear)
    turns: list[str] = []
    async with _proxy(url, turns) as proxied, make_auth(f"{proxied}?max_size=1", **options) as auth:
        return await _walk(auth, clock, lambda: str(len(turns)), turns.clear)


async def _walk(auth: Auth, clock: Clock, count: Callable[[], str], reset: Callable[[], None]) -> dict[str, str]:
    """Every step once to fill the statement caches, then once to count."""

    async def me(request: Request) -> Response:
        return PlainTextResponse(request.user.username or "nobody")

    app = Starlette(routes=[Route("/me", me), Mount("/auth", routes=auth.json_routes)], middleware=auth.middleware)
    counts: dict[str, str] = {}
    for _ in range(2):
        async with client(app) as browser:

            async def step(title: str, run: Step, status: int, browser: httpx2.AsyncClient = browser) -> None:
                reset()
                answer = await run(browser)
                counts[title] = count()
                if answer.status_code != status:
                    raise RuntimeError(f"{title}: {answer.status_code} {answer.text}")

            await step("GET, anonymous", _me, 200)
            browser.cookies.set(COOKIE, "not-a-token")
            await step("GET, malformed cookie", _me, 200)
            browser.cookies.clear()
            browser.cookies.set(COOKIE, "A" * 43)
            await step("GET, unknown token", _me, 200)
            browser.cookies.clear()
            await step("login, wrong password", _login("wrong"), 401)
            await step("login, unknown user", _login(PASSWORD, "nobody"), 401)
            await step("login", _login(PASSWORD), 200)
            await step("GET, logged in", _me, 200)
            await step("login, replacing a session", _login(PASSWORD), 200)
            clock.advance(minutes=2)
            await step("GET, logged in, once a minute", _me, 200)
            await step("logout", _logout, 204)
    return counts


@asynccontextmanager
async def _proxy(url: str, turns: list[str]) -> AsyncIterator[str]:
    """A URL that leads to the same server; notes each time that the client speaks after the server has spoken."""
    parts = urlsplit(url)
    port = parts.port or (5432 if parts.scheme.startswith("postgres") else 3306)
    tasks: list[asyncio.Task[Any]] = []

    async def carry(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(parts.hostname, port)
        speaker = "server"

        async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter, name: str) -> None:
            nonlocal speaker
            while data := await source.read(65536):
                if name == "client" and speaker != "client":
                    turns.append(name)
                speaker = name
                target.write(data)
                await target.drain()
            target.close()

        tasks.append(asyncio.create_task(pipe(server, to_client, "server")))
        await pipe(client, to_server, "client")

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as listener:
        account = parts.netloc.rpartition("@")[0]
        here = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield parts._replace(netloc=f"{account}@{here}" if account else here).geturl()
    for task in tasks:
        task.cancel()
