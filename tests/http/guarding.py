"""What the tests of guards share: a site, people who are logged in, and a WebSocket client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message

from asgiauth import Auth
from asgiauth.guards import public

from ..conftest import client, make_auth

PASSWORD = "correct horse"
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-mode": "navigate"}
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


def offline(**options: Any) -> Auth:
    """Who sends no cookie needs no database: it is not even connected."""
    return make_auth("sqlite:///never-opened.db", **options)


def site(auth: Auth, *routes: Any, **options: Any) -> Starlette:
    """With the JSON routes at `/api/auth`."""
    routes = (*routes, public(Mount("/api/auth", routes=auth.json_routes)))
    return Starlette(routes=routes, **{"middleware": auth.middleware, **options})


async def log_in(browser: httpx2.AsyncClient, username: str = "ann") -> None:
    credentials = {"username": username, "password": PASSWORD}
    answer = await browser.post("/api/auth/login", json=credentials, headers=SAME_ORIGIN)
    assert answer.status_code == 200


async def cookie_of(auth: Auth, username: str = "ann") -> dict[str, str]:
    """The headers of a browser in which that user is logged in."""
    async with client(site(auth)) as browser:
        await log_in(browser, username)
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return {"cookie": cookies, **SAME_ORIGIN}


async def people(auth: Auth) -> dict[str, dict[str, str]]:
    """The headers of each kind of visitor."""
    await auth.users.create("ann", password=PASSWORD)
    await auth.users.create("sue", password=PASSWORD, is_staff=True)
    await auth.users.create("root", password=PASSWORD, is_superuser=True)
    names = {"user": "ann", "staff": "sue", "superuser": "root"}
    return {"anonymous": {}, **{kind: await cookie_of(auth, name) for kind, name in names.items()}}


async def websocket(app: ASGIApp, path: str, headers: dict[str, str] | None = None) -> list[Message]:
    """What the application sends to a client that connects, says nothing, and goes."""
    sent: list[Message] = []
    messages: Iterator[Message] = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "websocket", "scheme": "wss", "path": path, "query_string": b"", "headers": raw}
    await app(scope, receive, send)
    return sent
