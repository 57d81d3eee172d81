"""The servers that are measured, each in a process of its own: python -m benchmarks.apps APP URL LISTENING_FD [CPU]"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import aiosqlite
import anyio.to_thread
import argon2
import asyncmy
import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, PasswordPolicy, SessionPolicy

SECRET_KEY = "kTq8vX2mZr5nB7wJ1cF4hL6pD9sG3yE0aUoRiVtNxQb"
PASSWORD = "correct horse battery staple"
CONNECTIONS = 16
"""Clients, and the size of every pool."""
TICK = 0.002

Query = Callable[..., Awaitable[Any]]
"""Runs SQL with $1, $2, ... and gives the first row, or None."""
Opener = Callable[[str], AbstractAsyncContextManager[Query]]


def make_auth(database: Any, **options: Any) -> Auth:
    """Last-seen, a write once a minute and session, is left out: it would land in some windows and not in others."""
    settings: dict[str, Any] = {"sessions": SessionPolicy(touch_every=timedelta(hours=1)), **options}
    return Auth(database, secret_keys=[SECRET_KEY], base_url="http://127.0.0.1", **settings)


def pooled(url: str) -> str:
    return url if url.startswith("sqlite") else f"{url}?min_size={CONNECTIONS}&max_size={CONNECTIONS}"


async def ping(request: Request) -> Response:
    return PlainTextResponse("pong")


def bare(url: str) -> Starlette:
    async def me(request: Request) -> Response:
        return PlainTextResponse("nobody")

    return Starlette(routes=[Route("/me", me)])


def asgiauth(url: str, **options: Any) -> Starlette:
    auth = make_auth(pooled(url), **options)

    async def me(request: Request) -> Response:
        return PlainTextResponse(request.user.username or "nobody")

    async def enter(request: Request) -> Response:
        """A session without the price of a password."""
        user = await auth.users.find(request.path_params["name"])
        if user is None:
            return PlainTextResponse("unknown", 404)
        await request.auth.login(user)
        return PlainTextResponse("entered")

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/me", me),
            Route("/enter/{name}", enter, methods=["POST"]),
            Mount("/auth", routes=auth.json_routes),
        ],
        middleware=auth.middleware,
        lifespan=auth.lifespan,
    )


def hurried(url: str) -> Starlette:
    """Failures are answered when they are known, and not at the deadline that hides why."""
    return asgiauth(url, passwords=PasswordPolicy(failure_deadline=0))


def watched(build: Callable[[str], Starlette], url: str) -> Starlette:
    """With `/stall`: the longest time, in milliseconds, that the event loop was busy with one thing since it was asked
    last."""
    app = build(url)
    inner, longest = app.router.lifespan_context, 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = perf_counter()
            await asyncio.sleep(TICK)
            longest = max(longest, perf_counter() - began - TICK)

    async def stall(request: Request) -> Response:
        nonlocal longest
        answer, longest = PlainTextResponse(f"{1000 * longest:.3f}"), 0.0
        return answer

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch())
        async with inner(app):
            yield
        watching.cancel()

    app.router.lifespan_context = lifespan
    app.router.routes.append(Route("/stall", stall))
    return app


ONE_QUERY = """
    SELECT u.id, u.username, u.email, u.is_active, u.is_superuser, s.methods
    FROM asgiauth_session s JOIN auth_user u ON u.id = s.user_id
    WHERE s.key = $1 AND s.expires_at > CURRENT_TIMESTAMP AND u.is_active
"""


def minimum(opener: Opener, url: str) -> Starlette:
    """One joined SELECT by the digest of the token, and nothing else."""
    query: Query

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        nonlocal query
        async with opener(url) as query:
            yield

    async def me(request: Request) -> Response:
        digest = hashlib.sha256(request.cookies["asgiauth"].encode()).digest()
        row = await query(ONE_QUERY, digest)
        return PlainTextResponse("nobody" if row is None else row[1])

    return Starlette(routes=[Route("/me", me)], lifespan=lifespan)


BY_NAME = "SELECT id, password FROM auth_user WHERE username = $1"
LAST_LOGIN = "UPDATE auth_user SET last_login = CURRENT_TIMESTAMP WHERE id = $1"
NEW_SESSION = """
    INSERT INTO asgiauth_session
        (key, user_id, backend, methods, stamp, remember, created, authenticated_at, last_seen, expires_at,
         device, address, data)
    VALUES ($1, $2, 'password', '[]', $1, FALSE, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP,
            CURRENT_TIMESTAMP, '', '', '{}')
"""


def reference_login(opener: Opener, url: str, *, shared_threads: bool = False) -> Starlette:
    """A login written by hand: the same Argon2id, in two threads, or as most would write it: in the forty threads that
    anyio shares among everybody."""
    query: Query
    hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
    threads = ThreadPoolExecutor(2)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        nonlocal query
        async with opener(url) as query:
            yield

    async def login(request: Request) -> Response:
        given = await request.json()
        user_id, encoded = await query(BY_NAME, given["username"])
        hashed = encoded.removeprefix("argon2")
        if shared_threads:
            await anyio.to_thread.run_sync(hasher.verify, hashed, given["password"])
        else:
            await asyncio.get_running_loop().run_in_executor(threads, hasher.verify, hashed, given["password"])
        token = secrets.token_urlsafe(32)
        await query(LAST_LOGIN, user_id)
        await query(NEW_SESSION, hashlib.sha256(token.encode()).digest(), user_id)
        response = JSONResponse({"user": given["username"]})
        response.set_cookie("asgiauth", token, httponly=True, samesite="lax")
        return response

    return Starlette(routes=[Route("/ping", ping), Route("/auth/login", login, methods=["POST"])], lifespan=lifespan)


@asynccontextmanager
async def on_sqlite3(url: str) -> AsyncIterator[Query]:
    """Called on the event loop itself."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)

    async def query(sql: str, *arguments: Any) -> Any:
        return connection.execute(sql.replace("$", "?"), arguments).fetchone()

    yield query
    connection.close()


@asynccontextmanager
async def on_aiosqlite(url: str) -> AsyncIterator[Query]:
    async with aiosqlite.connect(url.removeprefix("sqlite:///"), isolation_level=None) as connection:
        await connection.execute("PRAGMA synchronous=NORMAL")

        async def query(sql: str, *arguments: Any) -> Any:
            return next(iter(await connection.execute_fetchall(sql.replace("$", "?"), arguments)), None)

        yield query


async def no_reset(connection: Any) -> None:
    """asyncpg would spend a round trip on it."""


@asynccontextmanager
async def on_asyncpg(url: str) -> AsyncIterator[Query]:
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset) as pool:
        yield pool.fetchrow


@asynccontextmanager
async def on_held_asyncpg(url: str) -> AsyncIterator[Query]:
    """Connections handed out from a list: what the pool's own handling costs is left out."""
    every = [await asyncpg.connect(url) for _ in range(CONNECTIONS)]
    free = list(every)

    async def query(sql: str, *arguments: Any) -> Any:
        connection = free.pop()
        try:
            return await connection.fetchrow(sql, *arguments)
        finally:
            free.append(connection)

    yield query
    for connection in every:
        await connection.close()


@asynccontextmanager
async def on_asyncmy(url: str) -> AsyncIterator[Query]:
    parts = urlsplit(url)
    pool = await asyncmy.create_pool(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        db=parts.path.removeprefix("/"),
        autocommit=True,
        minsize=CONNECTIONS,
        maxsize=CONNECTIONS,
    )

    async def query(sql: str, *arguments: Any) -> Any:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(re.sub(r"\$\d", "%s", sql), arguments)
            return await cursor.fetchone()

    yield query
    pool.close()
    await pool.wait_closed()


APPS: dict[str, Callable[[str], Starlette]] = {
    "bare": bare,
    "asgiauth": asgiauth,
    "sqlite3": partial(minimum, on_sqlite3),
    "aiosqlite": partial(minimum, on_aiosqlite),
    "asyncpg": partial(minimum, on_asyncpg),
    "held asyncpg": partial(minimum, on_held_asyncpg),
    "asyncmy": partial(minimum, on_asyncmy),
    "reference login sqlite": partial(reference_login, on_aiosqlite),
    "reference login postgresql": partial(reference_login, on_asyncpg),
    "watched asgiauth": partial(watched, asgiauth),
    "watched shared threads": partial(watched, partial(reference_login, on_aiosqlite, shared_threads=True)),
    "hurried asgiauth": hurried,
}


def main(app: str, url: str, listening: str, cpu: str = "") -> None:
    """Serves until standard input closes, which it does when whoever started this is gone."""

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    if cpu:
        os.sched_setaffinity(0, {int(cpu)})
    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    config = uvicorn.Config(APPS[app](url), log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(listening))])


if __name__ == "__main__":
    main(*sys.argv[1:])
