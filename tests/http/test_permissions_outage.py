"""A database that goes away between the lookup of the session and the question what its user may do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from jinja2 import DictLoader, Environment
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.templating import Jinja2Templates

from asgiauth import Auth, login_required, permission_required
from asgiauth.guards import Guard, group, perm, requires

from ..conftest import client
from ..servers import PrivateServer
from .guarding import cookie_of, site, websocket
from .permitting import ADD, CHANGE, Post, grant, hello, opened
from .test_outage import FACTORIES, is_unavailable


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    server = FACTORIES[request.param]()
    yield server
    server.close()


@pytest.fixture
async def auth(server: PrivateServer) -> AsyncIterator[Auth]:
    server.start()
    async with opened(server.url) as auth:
        for user in (await auth.users.page()).items:
            await auth.users.delete(user)
        await auth.users.create("ann", password="correct horse")
        await grant(auth, ADD)
        yield auth


async def test_A5_where_it_cannot_be_told_what_somebody_may_do_nobody_gets_in_and_nobody_is_logged_out(
    server: PrivateServer, auth: Auth
) -> None:
    """D-23: 503 with the cookie as it was, from guards of each kind and from a view; and all is well as soon as the
    server is back."""

    async def stopping(connection: HTTPConnection) -> Post:
        await asyncio.to_thread(server.stop)
        return Post(1)

    async def asking(request: Request) -> Response:
        await stopping(request)
        assert await request.auth.has_perm(ADD), "what is kept under the version that the lookup brought needs no query"
        raise AssertionError(await request.auth.has_perm(CHANGE, Post(1)))

    plain = Jinja2Templates(
        env=Environment(loader=DictLoader({"x.html": "{{ perms.blog }}"}), autoescape=True),
        context_processors=[auth.context_processor],
    )

    @requires(perm(CHANGE, obj=stopping))
    class Socket(WebSocketEndpoint):
        pass

    @login_required
    async def shown(request: Request) -> Response:
        return plain.TemplateResponse(request, "x.html")

    on_post = perm(CHANGE, obj=stopping)
    then: Any = {"/guarded": requires(~on_post | on_post)(hello), "/view": asking}
    app = site(
        auth,
        *(Route(path, view) for path, view in then.items()),
        Mount("/mount", routes=[Route("/in", hello)], middleware=[Guard(on_post)]),
        WebSocketRoute("/ws", Socket),
        Route("/add", permission_required(ADD)(hello)),
        Route("/shown", shown),
        Route("/group", requires(~group("banned"))(hello)),
    )
    headers = await cookie_of(auth)
    async with client(app) as browser:
        for path in (*then, "/mount/in"):
            assert is_unavailable(await browser.get(path, headers=headers)), path
            await asyncio.to_thread(server.start)
            assert (await browser.get("/add", headers=headers)).status_code == 200
        (closed,) = await websocket(app, "/ws", headers)
        assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
        for path in ("/add", "/shown", "/group"):
            assert is_unavailable(await browser.get(path, headers=headers)), path
        await asyncio.to_thread(server.start)
        for path in ("/add", "/shown", "/group"):
            assert (await browser.get(path, headers=headers)).status_code == 200
