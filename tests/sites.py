"""A small site to ask, the ways to ask it, and what somebody else sees of its database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
from sqlalchemy import Table, func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message

from asgiauth import Auth
from asgiauth.db import Database

from .conftest import client, make_auth

PASSWORD = "correct horse"
COOKIE = "__Host-asgiauth"
CSRF_COOKIE = f"{COOKIE}-csrf"
OTHER_KEY = "8fFQb0nZk1bqhQ5s2RrGdJYV7XoM3uTtCwLPeAiDxEg"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
View = Callable[[Request], Awaitable[Any]]


async def who(request: Request) -> Response:
    return JSONResponse(request.user.username)


def site(auth: Auth, *routes: Any, **options: Any) -> Starlette:
    """The application's own routes, `/who`, and the JSON API below `/api/auth`."""
    routes = (*routes, Route("/who", who), Mount("/api/auth", routes=auth.json_routes))
    return Starlette(routes=routes, middleware=auth.middleware, **options)


def views(**named: View) -> list[Route]:
    """Each view at its name; what it returns as JSON."""

    def route(name: str, view: View) -> Route:
        async def endpoint(request: Request) -> Response:
            return JSONResponse(await view(request))

        return Route(f"/{name}", endpoint)

    return [route(name, view) for name, view in named.items()]


@asynccontextmanager
async def connected(database: Any, **options: Any) -> AsyncIterator[Auth]:
    auth = make_auth(database, **options)
    async with auth:
        await auth.create_tables()
        yield auth


async def log_in(
    browser: httpx2.AsyncClient,
    username: str = "ann",
    path: str = "/api/auth/login",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> str:
    """Returns the token: in the one cookie that a login sets."""
    answer = await browser.post(path, json={"username": username, "password": PASSWORD, **more}, headers=headers)
    assert answer.status_code == 200
    (cookie,) = answer.headers.get_list("set-cookie")
    return cookie.partition("=")[2].partition(";")[0]


async def seen_as(auth: Auth, token: str, name: str = COOKIE) -> str:
    """Whom another browser is taken for that sends this token."""
    async with client(site(auth)) as browser:
        answer = await browser.get("/who", headers={"cookie": f"{name}={token}"})
        assert answer.status_code == 200
        return str(answer.json())


async def websocket(app: ASGIApp, path: str, cookie: str = "") -> list[Message]:
    """What the application sends to a client that connects, says nothing, and goes."""
    sent: list[Message] = []
    messages: Iterator[Message] = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"cookie", cookie.encode())] if cookie else []
    await app({"type": "websocket", "path": path, "query_string": b"", "headers": headers}, receive, send)
    return sent


async def run(url: str, statement: Any) -> Sequence[dict[str, Any]]:
    """A statement by somebody else's hand."""
    database = Database(url)
    await database.connect()
    try:
        if statement.is_select:
            return await database.fetch(statement)
        async with database.unit() as unit:
            await unit.changed(statement)
        return []
    finally:
        await database.disconnect()


async def count(url: str, table: Table) -> int:
    return int((await run(url, select(func.count().label("n")).select_from(table)))[0]["n"])
