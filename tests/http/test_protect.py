"""`protect`: default-deny, for every kind of route and every kind of mark (A9.2, B9.9, C18)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import fastapi.routing
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth, guards, login_required
from asgiauth.guards import protect, public, requires, staff

from ..conftest import client
from .guarding import PAGE, people, websocket

Mark = Callable[[Any], Any]
Kind = Callable[[Mark], list[Any]]


def unmarked(thing: Any) -> Any:
    return thing


MARKS: dict[str, tuple[Mark, str]] = {
    # the mark, and whom it lets in
    "none": (unmarked, "user staff superuser"),
    "public": (public, "anonymous user staff superuser"),
    "login_required": (login_required, "user staff superuser"),
    "staff": (requires(staff), "staff"),
    "only anonymous": (requires(~guards.authenticated), "anonymous"),
}


def view(mark: Mark) -> Any:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("in")

    return mark(endpoint)


def plain_view(mark: Mark) -> Any:
    def endpoint(request: Request) -> Response:
        return PlainTextResponse("in")

    return mark(endpoint)


def page(mark: Mark) -> Any:
    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    return mark(Page)


def page_with_marked_method(mark: Mark) -> Any:
    class Page(HTTPEndpoint):
        @mark
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    return Page


def method(mark: Mark) -> Any:
    class Controller:
        @mark
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    return Controller().get


def bound(mark: Mark) -> Any:
    class Controller:
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    return mark(Controller().get)


def static(mark: Mark) -> Any:
    class Controller:
        @staticmethod
        @mark
        async def get(request: Request) -> Response:
            return PlainTextResponse("in")

    return Controller.get


def partial(mark: Mark) -> Any:
    async def endpoint(request: Request, *, answer: str) -> Response:
        return PlainTextResponse(answer)

    return functools.partial(mark(endpoint), answer="in")


def included(router: APIRouter) -> list[BaseRoute]:
    """At `/api`."""
    outer, app = APIRouter(), FastAPI(openapi_url=None)
    outer.include_router(router, prefix="/api")
    app.include_router(outer)
    return list(app.router.routes)


def api(mark: Mark) -> APIRouter:
    router = APIRouter()
    router.get("/x")(view(mark))
    return router


KINDS: dict[str, Kind] = {
    "function": lambda mark: [Route("/x", view(mark))],
    "plain function": lambda mark: [Route("/x", plain_view(mark))],
    "class": lambda mark: [Route("/x", page(mark))],
    "method of a class": lambda mark: [Route("/x", page_with_marked_method(mark))],
    "method": lambda mark: [Route("/x", method(mark))],
    "bound method": lambda mark: [Route("/x", bound(mark))],
    "static method": lambda mark: [Route("/x", static(mark))],
    "partial": lambda mark: [Route("/x", partial(mark))],
    "twice": lambda mark: [Route("/x", mark(view(mark)))],
    "mount": lambda mark: [Mount("/", routes=[Mount("", routes=[Route("/x", view(mark))])])],
    "router": lambda mark: [Mount("/", Router([Route("/x", view(mark))]))],
    "router as route": lambda mark: [Mount("", Router([Mount("/", APIRouter(routes=[Route("/x", view(mark))]))]))],
    "host": lambda mark: [Host("site.example", Router([Route("/x", view(mark))]))],
    "parameter": lambda mark: [Mount("/{tenant}", routes=[]), Route("/{name}", view(mark))],
    "fastapi": lambda mark: list(api(mark).routes),
    "fastapi router": lambda mark: included(api(mark)),
    "fastapi route in a router": lambda mark: included(APIRouter(routes=[Route("/x", view(mark))])),
}


if hasattr(fastapi.routing, "_IncludedRouter"):  # older ones leave mounts out
    KINDS |= {
        "fastapi mount in a router": lambda mark: included(
            APIRouter(routes=[Mount("/", routes=[Route("/x", view(mark))])]),
        ),
        "fastapi host in a router": lambda mark: included(
            APIRouter(routes=[Host("site.example", Router([Route("/x", view(mark))]))])
        ),
    }
FASTAPI_GET = {"fastapi", "fastapi router"}
"""Without HEAD."""
INCLUDED = {kind for kind in KINDS if kind.startswith("fastapi ")}


@pytest.fixture
async def who(sqlite_auth: Auth) -> dict[str, dict[str, str]]:
    return await people(sqlite_auth)


async def test_C18_the_matrix_of_routes_marks_and_visitors(sqlite_auth: Auth, who: dict[str, dict[str, str]]) -> None:
    """The anonymous reach what is public or guarded; then the guard alone decides. Others need no mark."""
    for kind, build in KINDS.items():
        for name, (mark, allowed) in MARKS.items():
            application = FastAPI if kind.startswith("fastapi") else Starlette
            app = protect(application(routes=build(mark), middleware=sqlite_auth.middleware))
            path = "/api/x" if kind in INCLUDED else "/x"
            async with client(app) as browser:
                for visitor, headers in who.items():
                    answer = await browser.get(path, headers=headers)
                    expected = 200 if visitor in allowed.split() else 401 if visitor == "anonymous" else 403
                    assert answer.status_code == expected, (kind, name, visitor)
                    if kind not in FASTAPI_GET:
                        assert (await browser.head(path, headers=headers)).status_code == expected
                if "anonymous" not in allowed.split():
                    location = (await browser.get(path, headers=PAGE)).headers["location"]
                    assert location == f"/auth/login?next={path}"
                if kind != "parameter":
                    assert (await browser.get("/nowhere")).status_code == 404, kind
                if not {"host", "parameter"} & set(kind.split()):
                    assert (await browser.post(path)).status_code == 405, (kind, name)


def socket(mark: Mark) -> Any:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()

    return mark(endpoint)


def socket_class(mark: Mark) -> Any:
    class Socket(WebSocketEndpoint):
        pass

    return mark(Socket)


def socket_with_marked_method(mark: Mark) -> Any:
    class Socket(WebSocketEndpoint):
        @mark
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()

    return Socket


def api_socket(mark: Mark) -> list[BaseRoute]:
    router = APIRouter()
    router.websocket("/x")(socket(mark))
    return included(router)


SOCKETS: dict[str, Kind] = {
    "function": lambda mark: [WebSocketRoute("/x", socket(mark))],
    "class": lambda mark: [WebSocketRoute("/x", socket_class(mark))],
    "method of a class": lambda mark: [WebSocketRoute("/x", socket_with_marked_method(mark))],
    "mount": lambda mark: [Mount("/", routes=[WebSocketRoute("/x", socket(mark))])],
    "fastapi": api_socket,
    "fastapi router": lambda mark: included(APIRouter(routes=[WebSocketRoute("/x", socket(mark))])),
}


async def test_B9_5_the_matrix_of_websockets(sqlite_auth: Auth, who: dict[str, dict[str, str]]) -> None:
    """Closed with 1008, before they are accepted; so are paths that do not exist, and a page is none."""
    for kind, build in SOCKETS.items():
        for name, (mark, allowed) in MARKS.items():
            application = FastAPI if kind.startswith("fastapi") else Starlette
            app = protect(application(routes=[Route("/page", view(public)), *build(mark)]))
            app.user_middleware += sqlite_auth.middleware
            for visitor, headers in who.items():
                first = (await websocket(app, "/api/x" if kind.startswith("fastapi") else "/x", headers))[0]
                expected = "websocket.accept" if visitor in allowed.split() else "websocket.close"
                assert first["type"] == expected, (kind, name, visitor)
                assert first.get("code", 1008) == 1008
            for path in ("/nowhere", "/page"):
                (closed,) = await websocket(app, path)
                assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
