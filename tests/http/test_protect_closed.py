"""What `protect` cannot look into stays closed (C18)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from asgiauth import Auth, guards, login_required
from asgiauth.guards import Guard, protect, public

from ..conftest import client
from .guarding import people


def unmarked(thing: Any) -> Any:
    return thing


def view(mark: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("in")

    return mark(endpoint)


@pytest.fixture
async def who(sqlite_auth: Auth) -> dict[str, dict[str, str]]:
    return await people(sqlite_auth)


ASGI = PlainTextResponse("in")


class Custom:
    """Could send the request anywhere."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class OwnRouter(Router):
    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().app(scope, receive, send)


class OwnRoute(Route):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await ASGI(scope, receive, send)


class OwnDispatch(HTTPEndpoint):
    async def dispatch(self) -> None:
        await ASGI(self.scope, self.receive, self.send)

    @public
    async def get(self, request: Request) -> Response:
        raise AssertionError


class OwnAwait(HTTPEndpoint):
    def __await__(self) -> Any:
        return ASGI(self.scope, self.receive, self.send).__await__()

    @public
    async def get(self, request: Request) -> Response:
        raise AssertionError


class OwnHandlers(HTTPEndpoint):
    """Adds a handler that nobody sees from outside."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.get = view(unmarked)
        super().__init__(scope, receive, send)


def copied(guarded: Any) -> Any:
    """A decorator outside of the guard, which answers without it."""

    @functools.wraps(guarded)
    async def cached(request: Request) -> Response:
        return PlainTextResponse("in")

    return cached


def child_of_public() -> Any:
    @public
    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    class Child(Page):
        pass

    return Child


def instance_of_public() -> Any:
    @public
    class Application:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await ASGI(scope, receive, send)

    return Application()


def default_application() -> Router:
    return Router([], default=ASGI)


OPEN = [Route("/x", view(public))]
UNRESOLVED: dict[str, Callable[[], BaseRoute]] = {
    "application": lambda: Mount("/", PlainTextResponse("in")),
    "application as endpoint": lambda: Route("/x", PlainTextResponse("in")),
    "sub-application": lambda: Mount("/", Starlette(routes=OPEN)),
    "host": lambda: Host("site.example", PlainTextResponse("in")),
    "middleware": lambda: Mount("/", routes=OPEN, middleware=[Middleware(Custom)]),
    "middleware of a router": lambda: Mount("/", Router(OPEN, middleware=[Middleware(Custom)])),
    "guard behind middleware": lambda: Mount(
        "/", routes=OPEN, middleware=[Middleware(Custom), Guard(guards.test(lambda user: True))]
    ),
    "router of another kind": lambda: Mount("/", OwnRouter(OPEN)),
    "route of another kind": lambda: OwnRoute("/x", view(public)),
    "default application": lambda: Mount("/", default_application()),
    "own dispatch": lambda: Route("/x", OwnDispatch),
    "own await": lambda: Route("/x", OwnAwait),
    "own handlers": lambda: Route("/x", OwnHandlers),
    "copied mark of a guard": lambda: Route("/x", copied(view(login_required))),
    "child of a public class": lambda: Route("/x", child_of_public()),
    "instance of a public class": lambda: Mount("/", instance_of_public()),
}


@pytest.mark.parametrize("kind", UNRESOLVED)
async def test_C18_what_cannot_be_resolved_is_closed_unless_it_is_public(
    sqlite_auth: Auth, who: dict[str, dict[str, str]], kind: str
) -> None:
    """`public` opens the route or mount that it stands in, with all that is in it."""
    for mark, expected in ((unmarked, 401), (public, 200)):
        app = protect(Starlette(routes=[mark(UNRESOLVED[kind]())], middleware=sqlite_auth.middleware))
        async with client(app) as browser:
            assert (await browser.get("/x")).status_code == expected
            assert (await browser.get("/x", headers=who["user"])).status_code == 200
