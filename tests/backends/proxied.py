"""A site behind a proxy that says who the user is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp

from asgiauth import Auth
from asgiauth.backends import PasswordBackend, RemoteUserBackend
from asgiauth.testing import Client, client

from ..login.helpers import View, opened, site

PROXY = "127.0.0.1"
"""Where the requests of `client` come from."""
ANN, BOB = {"Remote-User": "ann"}, {"Remote-User": "bob"}


Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


async def keep(request: Request) -> Any:
    """Leaves `?note=` in the session."""
    request.session["note"] = request.query_params["note"]
    return dict(request.session)


@asynccontextmanager
async def behind_proxy(
    url: str, *names: str, backend: Any = None, views: Mapping[str, View] | None = None, **options: Any
) -> AsyncIterator[tuple[Auth, ASGIApp]]:
    backends = [backend or RemoteUserBackend(), PasswordBackend()]
    async with opened(url, *names, backends=backends, **{"trusted_proxies": [PROXY], **options}) as auth:
        yield auth, site(auth, keep=keep, **(views or {}))


async def seen(browser: Client, headers: Headers | None = None) -> str:
    """Whom the site takes the browser for that sends these headers."""
    answer = await browser.get("/who", headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0])


async def once(app: ASGIApp, headers: Headers) -> str:
    """The same, in a browser of its own."""
    return await seen(client(app), headers)
