"""`asgiauth.testing`: what the tests of an application lean on."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from asgiauth import Auth, login_required
from asgiauth.exceptions import ConfigurationError, LoginRefused, MissingDependency
from asgiauth.testing import Clock, WebSocketClosed, WebSocketRefused, client, fast_passwords, force_login, websocket

from .conftest import BASE_URL, SECRET_KEYS, make_auth

PASSWORD = "correct horse"


@login_required
async def account(request: Request) -> Response:
    return PlainTextResponse(request.user.username)


@login_required
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    while (text := await websocket.receive_text()) != "bye":
        await websocket.send_text(f"{websocket.user.username}: {text}")
    await websocket.close(4000)


async def echo(request: Request) -> Response:
    return JSONResponse({"headers": dict(request.headers), "url": str(request.url), "state": request.state._state})


def site(auth: Auth, **options: Any) -> Starlette:
    routes = [Route("/account", account), Route("/echo", echo), WebSocketRoute("/chat", chat)]
    return Starlette(
        routes=[*routes, Mount("/api/auth", routes=auth.json_routes)], middleware=auth.middleware, **options
    )


async def echoed(app: Any, **options: Any) -> Any:
    return (await client(app, **options).get("/echo")).json()


async def test_the_client_is_a_browser_at_the_site_of_the_application(sqlite_auth: Auth) -> None:
    for app in (site(sqlite_auth), FastAPI(routes=[Route("/echo", echo)], middleware=sqlite_auth.middleware)):
        seen = await echoed(app)
        assert seen["url"] == f"{BASE_URL}/echo"
        assert seen["headers"]["sec-fetch-site"] == "same-origin"


async def test_auth_is_found_among_other_middleware(sqlite_auth: Auth) -> None:
    middleware = [Middleware(GZipMiddleware), *sqlite_auth.middleware]
    assert str(client(Starlette(middleware=middleware)).base_url) == BASE_URL


async def test_an_application_without_auth_is_at_testserver() -> None:
    assert (await echoed(Starlette(routes=[Route("/echo", echo)])))["url"] == "https://testserver/echo"


async def test_the_options_are_those_of_httpx2(sqlite_auth: Auth) -> None:
    seen = await echoed(
        site(sqlite_auth), headers={"sec-fetch-site": "cross-site", "x": "y"}, base_url="http://a.example"
    )
    assert seen["url"] == "http://a.example/echo"
    assert (seen["headers"]["sec-fetch-site"], seen["headers"]["x"]) == ("cross-site", "y")


async def test_the_lifespan_runs_in_the_task_of_the_test(sqlite_url: str) -> None:
    """So what it sets for this task alone is there, and the database is connected."""
    auth, here, events = make_auth(sqlite_url), ContextVar("here", default=False), []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        async with auth.lifespan(app):
            await auth.create_tables()
            events.append(asyncio.current_task())
            here.set(True)
            yield {"greeting": "hello"}
            events.append(asyncio.current_task())

    async with client(site(auth, lifespan=lifespan)) as browser:
        assert here.get()
        assert (await browser.get("/echo")).json()["state"]["greeting"] == "hello"
        await force_login(browser, await auth.users.create("ann", password=PASSWORD))
        assert (await browser.get("/account")).text == "ann"
    assert events == [asyncio.current_task()] * 2


async def test_a_lifespan_that_fails_fails_the_test() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        raise LookupError("at the end")

    browser = client(Starlette(lifespan=lifespan))
    with pytest.raises(LookupError):
        async with browser:
            pass
    assert browser.is_closed


async def test_only_a_starlette_application_has_a_lifespan_to_run(sqlite_auth: Auth) -> None:
    app = site(sqlite_auth)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    assert (await client(wrapped).get("/account")).status_code == 401
    with pytest.raises(ConfigurationError, match="give client"):
        await client(wrapped).__aenter__()
    browser = client(wrapped, base_url=BASE_URL)
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    with pytest.raises(ConfigurationError, match="auth=auth"):
        await force_login(browser, ann)
    await force_login(browser, ann, auth=sqlite_auth)
    assert (await browser.get("/account")).text == "ann"


async def test_force_login_is_a_login_that_ends_like_any_other(sqlite_auth: Auth) -> None:
    """The cookie is the server's own in the jar: a logout, or another login, takes its place."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    await sqlite_auth.users.create("bob", password=PASSWORD)
    browser = client(site(sqlite_auth))
    assert (await browser.get("/account")).status_code == 401
    await force_login(browser, ann)
    assert (await browser.get("/account")).text == "ann"
    await browser.post("/api/auth/login", json={"username": "bob", "password": PASSWORD})
    assert (await browser.get("/account")).text == "bob"
    await force_login(browser, ann, "password")
    assert (await browser.get("/account")).text == "ann"
    await browser.post("/api/auth/logout")
    assert (await browser.get("/account")).status_code == 401


async def test_force_login_refuses_what_a_login_refuses(sqlite_auth: Auth) -> None:
    browser = client(site(sqlite_auth))
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    with pytest.raises(ConfigurationError, match="no backend is named"):
        await force_login(browser, ann, "ldap")
    with pytest.raises(LoginRefused):
        await force_login(browser, await sqlite_auth.users.update(ann, is_active=False))
    assert not browser.cookies


async def test_the_cookie_of_a_site_on_this_machine_is_not_secure(sqlite_url: str) -> None:
    async with make_auth(sqlite_url, base_url="http://localhost:8000") as auth:
        await auth.create_tables()
        browser = client(site(auth))
        await force_login(browser, await auth.users.create("ann", password=PASSWORD))
        assert (await browser.get("/account")).text == "ann"
        await browser.post("/api/auth/logout")
        assert not browser.cookies


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = Clock(datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert clock() == clock() == datetime(2024, 1, 1, tzinfo=UTC)
    assert clock().tzinfo is UTC
    clock.advance(days=1, minutes=-1)
    assert clock() == datetime(2024, 1, 1, 23, 59, tzinfo=UTC)
    clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock() == datetime(2030, 1, 1, tzinfo=UTC)
    assert abs(Clock()() - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(ValueError, match="tzinfo=UTC"):
        Clock(datetime(2024, 1, 1))


async def test_a_session_ends_when_the_clock_says_so(sqlite_url: str) -> None:
    clock = Clock()
    auth = Auth(sqlite_url, secret_keys=SECRET_KEYS, base_url=BASE_URL, passwords=fast_passwords(), clock=clock)
    async with auth:
        await auth.create_tables()
        browser = client(site(auth))
        await force_login(browser, await auth.users.create("ann", password=PASSWORD))
        assert (await browser.get("/account")).status_code == 200
        clock.advance(days=8)
        assert (await browser.get("/account")).status_code == 401


async def test_fast_passwords_are_hashed_as_in_production_only_faster(sqlite_url: str) -> None:
    async with Auth(sqlite_url, secret_keys=SECRET_KEYS, base_url=BASE_URL, passwords=fast_passwords()) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        assert ann.password.startswith("argon2$argon2id$")
        assert await auth.users.check_password(ann, PASSWORD)


def test_without_httpx2_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "asgiauth.testing")
    with pytest.raises(MissingDependency, match=r'pip install "asgiauth\[testing\]"'):
        importlib.import_module("asgiauth.testing")


# WebSockets


async def test_a_websocket_is_the_one_of_whoever_is_logged_in(sqlite_auth: Auth) -> None:
    browser = client(site(sqlite_auth))
    with pytest.raises(WebSocketRefused) as refused:
        async with websocket(browser, "/chat"):
            pass
    assert refused.value.code == 1008
    await force_login(browser, await sqlite_auth.users.create("ann", password=PASSWORD))
    async with websocket(browser, "/chat") as socket:
        await socket.send_text("hello")
        assert await socket.receive_text() == "ann: hello"
        await socket.send_text("bye")
        with pytest.raises(WebSocketClosed) as closed:
            await socket.receive_text()
        assert closed.value.code == 4000
    async with websocket(browser, "/chat") as socket:
        await socket.close()  # the endpoint lets Starlette's WebSocketDisconnect pass, as most do
        await socket.close()
        with pytest.raises(WebSocketClosed):
            await socket.receive_text()


Endpoint = Callable[[WebSocket], Coroutine[Any, Any, None]]


def sockets(endpoint: Endpoint, path: str = "/") -> Any:
    return client(Starlette(routes=[WebSocketRoute(path, endpoint)]), base_url=BASE_URL)


async def hello(socket: WebSocket) -> None:
    await socket.accept(subprotocol=(socket.scope["subprotocols"] or [None])[0], headers=[(b"set-cookie", b"a=b")])
    scope = {name: socket.scope[name] for name in ("scheme", "path", "query_string", "raw_path")}
    await socket.send_json({**{name: str(value) for name, value in scope.items()}, **socket.headers})


async def test_the_handshake_is_that_of_a_page_of_the_site() -> None:
    browser = sockets(hello, "/größe/x")
    browser.cookies.set("c", "d")
    async with websocket(browser, "/größe/x?y=z", subprotocols=["v1"]) as socket:
        seen = await socket.receive_json()
        assert socket.accepted_headers["Set-Cookie"] == "a=b"
        with pytest.raises(WebSocketClosed) as closed:  # it has returned
            await socket.receive_text()
        assert closed.value.code == 1000
        with pytest.raises(WebSocketClosed):
            await socket.receive_text()
    assert (seen["scheme"], seen["path"], seen["query_string"]) == ("wss", "/größe/x", "b'y=z'")
    assert seen["raw_path"] == "b'/gr%C3%B6%C3%9Fe/x'"
    assert (seen["host"], seen["origin"], seen["cookie"]) == ("site.example", BASE_URL, "c=d")
    assert "sec-fetch-site" not in seen
    assert browser.cookies["a"] == "b"


async def test_another_origin_is_another_site_or_none() -> None:
    async def origin(**options: Any) -> Any:
        async with websocket(sockets(hello), "/", **options) as socket:
            seen = await socket.receive_json()
            return seen.get("origin"), seen.get("sec-fetch-site")

    assert await origin(origin="https://evil.example") == ("https://evil.example", None)
    assert await origin(headers={"Origin": "null"}) == ("null", None)
    assert await origin(origin=None, headers={"Sec-Fetch-Site": "cross-site"}) == (None, "cross-site")
    browser = client(Starlette(routes=[WebSocketRoute("/", hello)]), base_url="http://localhost:8000")
    async with websocket(browser, "/") as socket:
        seen = await socket.receive_json()
    assert (seen["scheme"], seen["origin"]) == ("ws", "http://localhost:8000")


async def test_json_goes_both_ways_as_text_or_bytes() -> None:
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        value = await socket.receive_json()
        await socket.send_json(value)
        await socket.send_json(value, mode="binary")

    async with websocket(sockets(endpoint), "/") as socket:
        await socket.send_json({"é": [1, None]})
        assert await socket.receive_json() == await socket.receive_json() == {"é": [1, None]}


async def fails_at_once(socket: WebSocket) -> None:
    raise LookupError("a bug")


async def fails_later(socket: WebSocket) -> None:
    await socket.accept()
    await fails_at_once(socket)


async def fails_at_the_end(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive()
    await socket.receive_text()


async def test_what_the_application_raises_reaches_the_test() -> None:
    with pytest.raises(LookupError):
        async with websocket(sockets(fails_at_once), "/"):
            pass
    async with websocket(sockets(fails_later), "/") as socket:
        with pytest.raises(LookupError):
            await socket.receive_text()
        with pytest.raises(WebSocketClosed):  # once
            await socket.receive_text()
    with pytest.raises(RuntimeError):  # Starlette: receive after the disconnect
        async with websocket(sockets(fails_at_the_end), "/"):
            pass


async def never(socket: WebSocket) -> None:
    await asyncio.Event().wait()


async def accepts_and_sleeps(socket: WebSocket) -> None:
    await socket.accept()
    await never(socket)


async def test_nothing_waits_for_ever() -> None:
    """Each wait ends with a message that says what the application did not do; its task is gone then."""
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError, match=r"did not accept or refuse the WebSocket within 0\.05 s"):
        async with websocket(sockets(never), "/", timeout=0.05):
            pass
    with pytest.raises(TimeoutError, match=r"did not send a message within 2 s"):
        async with websocket(sockets(accepts_and_sleeps), "/", timeout=2) as socket:
            await socket.receive_text()
    with pytest.raises(WebSocketClosed):
        await socket.receive_text()
    with pytest.raises(TimeoutError, match=r"did not end within 2 s"):
        async with websocket(sockets(accepts_and_sleeps), "/", timeout=2):
            pass
    assert asyncio.all_tasks() == before


async def test_a_test_that_fails_fails_for_its_own_reason() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        async with websocket(sockets(accepts_and_sleeps), "/"):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        async with websocket(sockets(fails_later), "/"):
            raise ZeroDivisionError
    assert asyncio.all_tasks() == before


async def test_an_application_that_only_sends_learns_that_the_browser_is_gone() -> None:
    async def ticker(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text("tick")

    async with websocket(sockets(ticker), "/") as socket:
        assert await socket.receive_text() == "tick"


async def test_an_application_may_ask_and_close_again_after_the_end() -> None:
    told = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.extend([await receive(), await receive()])
        await send({"type": "websocket.close"})

    async with websocket(client(app), "/") as socket:
        await socket.close(4001)
    assert told == [{"type": "websocket.disconnect", "code": 4001}] * 2
