"""Who is it? Known for every connection, and never taken for another."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from asgiauth import Auth, RequestAuth
from asgiauth.exceptions import (
    ConfigurationError,
)

from ..conftest import client, make_auth
from ..sites import COOKIE, PASSWORD, connected, log_in, site, websocket


async def test_http_and_websocket_know_the_user_and_lifespan_passes_through(sqlite_url: str) -> None:
    """`Starlette(lifespan=auth.lifespan)` connects; scope["user"] and scope["auth"] are there for every connection."""
    auth = make_auth(sqlite_url)

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        known = [websocket.user.username, websocket.user.is_authenticated, list(websocket.auth.scopes)]
        await websocket.send_json([*known, isinstance(websocket.auth, RequestAuth)])
        await websocket.close()

    app = site(auth, WebSocketRoute("/ws", socket), lifespan=auth.lifespan)
    seen: list[Any] = []

    async def use() -> None:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        async with client(app) as browser:
            seen.append((await browser.get("/who")).json())
            token = await log_in(browser)
            seen.append((await browser.get("/who")).json())
        for cookie in ("", f"{COOKIE}={token}", f"{COOKIE}=nonsense", f"{COOKIE}={token}; {COOKIE}={token}"):
            messages = await websocket(app, "/ws", cookie)
            assert [message["type"] for message in messages] == [
                "websocket.accept",
                "websocket.send",
                "websocket.close",
            ]
            headers = [value.decode() for name, value in messages[0]["headers"] if name == b"set-cookie"]
            known = cookie in ("", f"{COOKIE}={token}")
            assert [header.split(";")[0] for header in headers] == ([] if known else [f"{COOKIE}="])
            seen.append(json.loads(messages[1]["text"]))

    states = iter(["startup", "shutdown"])

    async def receive() -> Message:
        state = next(states)
        if state == "shutdown":
            await use()
        return {"type": f"lifespan.{state}"}

    async def send(message: Message) -> None:
        seen.append(message["type"])

    await app({"type": "lifespan", "app": app, "state": {}}, receive, send)
    anonymous, ann = ["", False, [], True], ["ann", True, ["authenticated"], True]
    answers = ["", "ann", anonymous, ann, anonymous, anonymous]
    assert seen == ["lifespan.startup.complete", *answers, "lifespan.shutdown.complete"]


@pytest.mark.parametrize("cookie", [None, "A" * 43, "nonsense"])
async def test_a_request_before_the_database_is_connected_is_503_and_the_log_says_why(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, cookie: str | None
) -> None:
    """DESIGN 3: only what needs the database; the browser keeps its cookie."""
    app = site(make_auth(sqlite_url))
    async with client(app) as browser:
        headers = {} if cookie is None else {"cookie": f"{COOKIE}={cookie}"}
        answer = await browser.get("/who", headers=headers)
        login = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
    assert answer.status_code == (503 if cookie == "A" * 43 else 200)
    assert login.status_code == 503
    for refused in [answer] * (answer.status_code == 503) + [login]:
        assert refused.json()["detail"]["code"] == "unavailable"
        assert int(refused.headers["retry-after"]) > 0
        assert "set-cookie" not in refused.headers
        assert "lifespan" not in refused.text
    assert "auth.lifespan" in caplog.text
    assert "async with auth" in caplog.text


async def test_a_websocket_before_the_database_is_connected_is_told_to_try_again(sqlite_url: str) -> None:
    sent = await websocket(site(make_auth(sqlite_url)), "/ws", f"{COOKIE}={'A' * 43}")
    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_an_auth_may_be_entered_again_inside(sqlite_url: str) -> None:
    """Only the outermost block disconnects; afterwards it connects anew."""
    auth = make_auth(sqlite_url)
    for _ in range(2):
        async with auth:
            await auth.create_tables()
            async with auth, auth.lifespan(None):
                assert await auth.users.get(1) is None
            assert await auth.users.get(1) is None
        with pytest.raises(ConfigurationError, match=r"auth\.lifespan"):
            await auth.users.get(1)


async def test_an_auth_that_several_tasks_enter_and_leave_is_connected_for_each(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url)

    async def use() -> None:
        async with auth:
            await auth.create_tables()
            await asyncio.sleep(0)
            assert await auth.users.get(1) is None

    for _ in range(5):
        assert await asyncio.gather(*(use() for _ in range(5)), return_exceptions=True) == [None] * 5
    with pytest.raises(ConfigurationError):
        await auth.users.get(1)


async def test_interleaved_and_cancelled_requests_never_see_a_foreign_identity(url: str) -> None:
    """V-001: 300 requests of Ann, Bob and nobody, every fifth cancelled on its way."""

    async def slow(request: Request) -> Response:
        before = request.user.username
        await asyncio.sleep(random.random() / 200)
        scopes = list(request.auth.scopes)
        return JSONResponse([before, request.user.username, bool(scopes), before and request.auth.session is not None])

    async with connected(url) as auth:
        app = site(auth, Route("/slow", slow))
        cookies = {"": ""}
        for name in ("ann", "bob"):
            await auth.users.create(name, password=PASSWORD)
            async with client(app) as browser:
                cookies[name] = f"{COOKIE}={await log_in(browser, name)}"

        async def ask(browser: httpx2.AsyncClient, name: str) -> tuple[str, Any]:
            return name, (await browser.get("/slow", headers={"cookie": cookies[name]})).json()

        async with client(app) as browser:
            tasks = [asyncio.create_task(ask(browser, random.choice(["", "ann", "bob"]))) for _ in range(300)]
            for task in tasks[::5]:
                await asyncio.sleep(random.random() / 500)
                task.cancel()
            answers = list(await asyncio.gather(*tasks, return_exceptions=True))
            good = [answer for answer in answers if isinstance(answer, tuple)]
            assert len(good) >= 240
            assert {type(answer) for answer in answers} <= {tuple, asyncio.CancelledError}
            assert [answer for name, answer in good if answer != [name, name, bool(name), name and True]] == []
            for name in cookies:
                assert (await ask(browser, name))[1][0] == name


HEADERS = [(b"content-type", b"text/plain"), (b"vary", b"Accept")]


async def constant_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})


async def tuple_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": tuple(HEADERS)})
    await send({"type": "http.response.body", "body": b"ok"})


async def no_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    "answer",
    [PlainTextResponse("ok"), constant_headers, tuple_headers, no_headers],
    ids=["response", "list", "tuple", ""],
)
async def test_a_response_that_is_used_again_does_not_keep_anothers_cookie(sqlite_auth: Auth, answer: ASGIApp) -> None:
    """V-001, V-011: an application may answer everybody with one constant response."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)

    class Login:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await scope["auth"].login(ann)
            await answer(scope, receive, send)

    app = site(sqlite_auth, Route("/login", Login()), Mount("/page", answer))
    async with client(app) as browser, client(app) as another:
        before = (await another.get("/page/")).headers.multi_items()
        assert "set-cookie" in (await browser.get("/login")).headers
        after = await another.get("/page/")
        assert after.headers.multi_items() == before
        assert "set-cookie" not in after.headers
        assert (await another.get("/who")).json() == ""
