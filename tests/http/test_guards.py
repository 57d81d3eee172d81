from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from asgiauth import Auth, User, login_required
from asgiauth.exceptions import ConfigurationError

from ..conftest import client, program
from .guarding import PAGE, PASSWORD, cookie_of, log_in, offline, site, websocket

OFFLINE = offline()


@pytest.fixture
async def auth(sqlite_auth: Auth) -> Auth:
    """Guards ask no database: one is enough."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    return sqlite_auth


# What can be guarded


@login_required
async def function(request: Request) -> Response:
    return JSONResponse([request.user.username, threading.current_thread() is threading.main_thread()])


@login_required
def plain_function(request: Request) -> Response:
    return JSONResponse([request.user.username, threading.current_thread() is threading.main_thread()])


@login_required
async def other_name(whoever: Request) -> Response:
    return JSONResponse([whoever.user.username, True])


@login_required
async def any_connection(connection: HTTPConnection) -> Response:
    return JSONResponse([connection.scope["user"].username, True])


@login_required
async def perhaps(request: Request | None, extra: str = "") -> Response:
    assert request is not None
    return JSONResponse([request.user.username, True])


@login_required
async def annotated(extra: Annotated[Request, "whoever asks"]) -> Response:
    return JSONResponse([extra.user.username, True])


@login_required
async def without_annotation(request) -> Response:  # type: ignore[no-untyped-def]
    return JSONResponse([request.user.username, True])


class Endpoint(HTTPEndpoint):
    @login_required
    async def get(self, request: Request) -> Response:
        return JSONResponse([request.user.username, True])

    @login_required
    def post(self, request: Request) -> Response:
        return JSONResponse([request.user.username, threading.current_thread() is threading.main_thread()])


class Controller:
    @login_required
    async def method(self, request: Request) -> Response:
        return JSONResponse([request.user.username, True])

    @classmethod
    @login_required
    async def of_class(cls, request: Request) -> Response:
        return JSONResponse([request.user.username, True])

    @staticmethod
    @login_required
    async def static(request: Request) -> Response:
        return JSONResponse([request.user.username, True])


class Unguarded:
    async def method(self, request: Request) -> Response:
        return JSONResponse([request.user.username, True])


async def with_option(request: Request, *, option: str) -> Response:
    return JSONResponse([request.user.username, option == "x"])


GUARDED: dict[str, tuple[Any, bool]] = {
    "function": (function, True),
    "plain function": (plain_function, False),
    "twice": (login_required(function), True),
    "other name": (other_name, True),
    "any connection": (any_connection, True),
    "without annotation": (without_annotation, True),
    "perhaps": (perhaps, True),
    "annotated": (annotated, True),
    "endpoint": (Endpoint, True),
    "bound method": (Controller().method, True),
    "class method": (Controller.of_class, True),
    "static method": (Controller.static, True),
    "guarded bound method": (login_required(Unguarded().method), True),
    "partial": (functools.partial(login_required(with_option), option="x"), True),
    "guarded partial": (lambda: login_required(functools.partial(with_option, option="x")), True),
}


@pytest.mark.parametrize(("endpoint", "on_the_loop"), GUARDED.values(), ids=list(GUARDED))
async def test_only_the_logged_in_reach_what_is_guarded(auth: Auth, endpoint: Any, on_the_loop: bool) -> None:
    """Functions async or not (these run in a thread), methods, endpoints, partials."""
    if getattr(endpoint, "__name__", "") == "<lambda>":
        endpoint = endpoint()
    async with client(site(auth, Route("/", endpoint))) as browser:
        assert (await browser.get("/")).status_code == 401
        await log_in(browser)
        answer = await browser.get("/")
        assert (answer.status_code, answer.json()) == (200, ["ann", on_the_loop])
        await browser.post("/api/auth/logout")
        assert (await browser.get("/")).status_code == 401


async def test_each_method_of_an_endpoint_is_guarded_by_itself(auth: Auth) -> None:
    async with client(site(auth, Route("/", Endpoint))) as browser:
        assert (await browser.post("/")).status_code == 401
        await log_in(browser)
        assert (await browser.post("/")).json() == ["ann", False]


def nothing() -> None: ...
async def none_of_these(user: User, session: str) -> None: ...
def by_other_type(request_id: int, requests: list[Request]) -> None: ...


class Body(BaseModel):
    title: str


async def body_called_request(request: Body) -> None: ...


async def stream(request: Request) -> AsyncIterator[int]:
    yield 1


def plain_stream(request: Request) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("view", [stream, plain_stream])
def test_a_generator_is_refused_when_it_is_decorated(view: Callable[..., Any]) -> None:
    """FastAPI streams such functions: their response has begun before any guard could speak. Without this, the first
    request fails with a TypeError."""
    with pytest.raises(ConfigurationError):
        login_required(view)


@pytest.mark.parametrize("view", [nothing, none_of_these, by_other_type, body_called_request])
def test_a_function_without_its_connection_is_refused_when_it_is_decorated(view: Callable[..., Any]) -> None:
    """DESIGN 9: not at the first request; the message names the function and the cure."""
    with pytest.raises(ConfigurationError, match=rf"{view.__name__}.*request: Request"):
        login_required(view)


async def test_a_guarded_function_is_not_called_without_its_request() -> None:
    with pytest.raises(ConfigurationError, match="without its request"):
        await function()  # type: ignore[call-arg]


async def test_without_the_middleware_a_guard_names_the_cure() -> None:
    """DESIGN 9: and with another package's `scope["auth"]` too; nobody gets in."""

    async def foreign(scope: Any, receive: Any, send: Any) -> None:
        scope["auth"], scope["user"] = ["authenticated"], User(id=1, username="x", date_joined=date.today())  # type: ignore[arg-type]
        await function(Request(scope, receive))

    for app in (Starlette(routes=[Route("/", function)]), foreign):
        async with program(app) as browser:
            with pytest.raises(ConfigurationError, match=r"auth\.middleware"):
                await browser.get("/")


# Anonymous


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", PAGE, 303),
        ("HEAD", PAGE, 303),
        ("GET", {"accept": "text/html"}, 303),
        ("GET", {"accept": "application/xhtml+xml, Text/HTML;q=0.9"}, 303),
        ("GET", {"accept": "*/*"}, 401),
        ("GET", {"accept": ""}, 401),
        ("GET", {"accept": "application/json"}, 401),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "cors"}, 401),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "no-cors"}, 401),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "same-origin"}, 401),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "websocket"}, 401),
        ("GET", {"accept": "text/html", "sec-fetch-mode": ""}, 401),
        ("GET", {"accept": "application/json", "sec-fetch-mode": "navigate"}, 401),
        ("POST", PAGE, 401),
        ("PUT", PAGE, 401),
        ("DELETE", PAGE, 401),
        ("OPTIONS", PAGE, 401),
    ],
    ids=str,
)
async def test_a_page_navigation_is_sent_to_the_login_and_anything_else_is_401(
    method: str, headers: dict[str, str], status: int
) -> None:
    """DESIGN 9, D-24: from Starlette and FastAPI, with their own handlers and with ours; it varies by the cookie."""
    for handlers in ({}, OFFLINE.exception_handlers):
        fastapi = FastAPI(middleware=OFFLINE.middleware, exception_handlers=handlers)
        fastapi.api_route("/page", methods=[method])(function)
        starlette = site(OFFLINE, Route("/page", function, methods=[method]), exception_handlers=handlers)
        for app in (starlette, fastapi):
            async with client(app) as browser:
                answer = await browser.request(method, "/page?a=1", headers={"accept": "", **headers})
            assert answer.status_code == status
            assert "cookie" in answer.headers["vary"].lower()
            assert "set-cookie" not in answer.headers
            if status == 303:
                assert answer.headers["location"] == "/auth/login?next=/page%3Fa%3D1"
                continue
            assert answer.headers["www-authenticate"] == "Cookie"
            assert "location" not in answer.headers
            if handlers:
                assert answer.json() == {"detail": {"code": "not_authenticated", "message": "Log in first."}}


async def test_the_applications_own_handler_answers_a_denial() -> None:
    """DESIGN 9: a denial is Starlette's HTTPException."""

    async def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse("my own page", error.status_code)

    app = site(OFFLINE, Route("/", function), exception_handlers={HTTPException: handler})
    async with client(app) as browser:
        answer = await browser.get("/")
    assert (answer.status_code, answer.text) == (401, "my own page")


# WebSockets


@login_required
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.username)
    await websocket.close()


@login_required
async def named_otherwise(connection: WebSocket) -> None:
    await connection.accept()
    await connection.send_text(connection.user.username)


class SocketEndpoint(WebSocketEndpoint):
    @login_required
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.user.username)


@pytest.mark.parametrize("endpoint", [socket, named_otherwise, SocketEndpoint])
async def test_an_anonymous_websocket_is_closed_before_it_is_accepted(auth: Auth, endpoint: Any) -> None:
    """DESIGN 9: 1008; with the cookie it is accepted."""
    apps: list[ASGIApp] = [site(auth, WebSocketRoute("/ws", endpoint))]
    if not isinstance(endpoint, type):
        fastapi = FastAPI(middleware=auth.middleware)
        fastapi.websocket("/ws")(endpoint)
        apps.append(fastapi)
    headers = await cookie_of(auth)
    for app in apps:
        for cookie in ("", "__Host-asgiauth=nonsense", f"__Host-asgiauth={'A' * 43}"):
            (closed,) = await websocket(app, "/ws", {"cookie": cookie})
            assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
        accepted, text, *_ = await websocket(app, "/ws", headers)
        assert accepted["type"] == "websocket.accept"
        assert text["text"] == "ann"


async def test_a_websocket_that_was_accepted_first_is_closed_with_1008() -> None:
    async def accepts(websocket: WebSocket) -> None:
        await websocket.accept()
        await socket(websocket)

    sent = await websocket(site(OFFLINE, WebSocketRoute("/ws", accepts)), "/ws")
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == 1008


async def test_starlettes_own_requires_works(auth: Auth) -> None:
    """Style 9: `scope["auth"].scopes` is what it reads; status and redirect are its own."""

    @requires("authenticated")
    async def view(request: Request) -> Response:
        return PlainTextResponse(request.user.username)

    @requires(["authenticated", "admin"])
    def more(request: Request) -> Response:
        return PlainTextResponse("never")

    @requires("authenticated", redirect="home")
    async def moved(request: Request) -> Response:
        return PlainTextResponse("here")

    @requires("authenticated")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    routes = [Route("/view", view), Route("/more", more), Route("/moved", moved), Route("/", view, name="home")]
    app = site(auth, *routes, WebSocketRoute("/ws", ws))
    async with client(app) as browser:
        assert [(await browser.get(path)).status_code for path in ("/view", "/more", "/moved")] == [403, 403, 303]
        await log_in(browser)
        assert [(await browser.get(path)).status_code for path in ("/view", "/more", "/moved")] == [200, 403, 200]
    assert (await websocket(app, "/ws"))[0]["type"] == "websocket.close"
    assert (await websocket(app, "/ws", await cookie_of(auth)))[0]["type"] == "websocket.accept"
