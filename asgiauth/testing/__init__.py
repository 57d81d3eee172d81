"""For the tests of an application.

    from asgiauth.testing import Clock, client, fast_passwords, force_login

    clock = Clock()
    auth = Auth(url, secret_keys=[...], base_url="https://site.example", passwords=fast_passwords(), clock=clock)
    app = Starlette(routes=[...], middleware=auth.middleware, lifespan=auth.lifespan)

    async def test_my_page_is_mine():
        async with client(app) as browser:
            await force_login(browser, await auth.users.get_by(username="ann"))
            await browser.get("/account")   # 200
            clock.advance(days=8)
            await browser.get("/account")   # 401

It needs httpx2: `pip install "asgiauth[testing]"`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from ..attempt import Visit
from ..auth import Auth, utc_now
from ..exceptions import ConfigurationError, LoginRefused, MissingDependency
from ..http.middleware import AuthMiddleware
from ..http.speaker import Speaker
from ..passwords import Argon2Hasher, Hasher, PasswordPolicy, PBKDF2Hasher
from ..users import User
from .rules import check_rule
from .session_store import SessionStoreContract

try:
    import httpx2
except ImportError:
    raise MissingDependency("httpx2", "testing") from None

__all__ = [
    "Client",
    "ClientWebSocket",
    "Clock",
    "SessionStoreContract",
    "WebSocketClosed",
    "WebSocketRefused",
    "check_rule",
    "client",
    "fast_passwords",
    "force_login",
    "websocket",
]

_SITE = "https://testserver"


class Clock:
    """The time for `Auth(clock=...)`: it stands still until the test moves it. From `start`, an aware datetime; by
    default from now."""

    def __init__(self, start: datetime | None = None) -> None:
        self.set(utc_now() if start is None else start)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, **span: float) -> None:
        """`clock.advance(days=2, minutes=1)`: the keywords of `timedelta`."""
        self._now += timedelta(**span)

    def set(self, now: datetime) -> None:
        """Raises `ValueError` for a naive datetime."""
        if now.tzinfo is None:
            raise ValueError(f"{now!r} has no time zone: datetime(..., tzinfo=UTC)")
        self._now = now.astimezone(UTC)


def fast_passwords() -> PasswordPolicy:
    """For `Auth(passwords=...)` in tests: the usual formats and rules, at the lowest cost there is."""
    hashers: list[Hasher] = [Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), PBKDF2Hasher(iterations=1)]
    return PasswordPolicy(hashers=hashers, failure_deadline=0, for_tests=True)


class Client(httpx2.AsyncClient):
    """What `client(app)` makes."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        speaker = _speaker(getattr(app, "user_middleware", ()))
        options.setdefault("base_url", _SITE if speaker is None else speaker.origin)
        options.setdefault("transport", httpx2.ASGITransport(app=self._serve))
        headers = httpx2.Headers({"Sec-Fetch-Site": "same-origin"})
        headers.update(options.pop("headers", None))
        super().__init__(headers=headers, **options)
        self.app = app
        self._app_lifespan = AsyncExitStack()
        self._app_state: Mapping[str, Any] = {}

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        router = getattr(self.app, "router", None)
        if router is None:
            raise ConfigurationError(
                "only the lifespan of a Starlette or FastAPI application can be run here: give client() that one, "
                "or use the client without `async with`"
            )
        started = await self._app_lifespan.enter_async_context(router.lifespan_context(self.app))
        self._app_state = started or {}
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            await self._app_lifespan.__aexit__(exc_type, exc_value, traceback)
        finally:
            await super().__aexit__(exc_type, exc_value, traceback)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": dict(self._app_state)}, receive, send)


def client(app: ASGIApp, **options: Any) -> Client:
    """A browser that has the site open: at the `base_url` of the application's `Auth`, with cookies, and with the
    header that tells CSRF protection that the site itself asks. `options` are those of `httpx2.AsyncClient`.

    `async with client(app) as browser:` runs the application's lifespan too, in the same task; without it the client is
    ready at once, and the lifespan is yours.
    """
    return Client(app, **options)


async def force_login(client: Client, user: User, backend: str | None = None, *, auth: Auth[Any] | None = None) -> None:
    """Gives the client the cookie of a fresh session of that user, without a password or a second step.

    `backend`: the name of the one that is taken to have known the user, by default the first; `auth`: for an
    application that has several, or has it further inside. Raises `LoginRefused` for a user who may not log in.
    """
    speaker = _speaker(getattr(client.app, "user_middleware", ()) if auth is None else auth.middleware)
    if speaker is None:
        raise ConfigurationError("the application has no auth.middleware of its own: force_login(..., auth=auth)")
    login, cookies = speaker.login, speaker.cookies
    name = login.backend_for(backend or next(iter(login.backends)))
    if not login.may_log_in(user, name):
        raise LoginRefused("this user may not log in")
    opened = await login.log_in(user, backend=name, methods=(name,), remember=False, visit=Visit())
    cookie = cookies.write(cookies.session, opened.token, max_age=None)
    _take_cookies(client, client.build_request("GET", "/"), {"Set-Cookie": cookie})


class WebSocketRefused(Exception):
    """The application closed the WebSocket instead of accepting it, with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with code {code}")
        self.code = code


class WebSocketClosed(Exception):
    """The application closed the WebSocket, with `code`, where a message was awaited."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with code {code}")
        self.code = code


class ClientWebSocket:
    """The browser's end of a WebSocket. `websocket(...)` opens one."""

    accepted_headers: httpx2.Headers
    """Those that came with the acceptance."""

    def __init__(self, app: ASGIApp, scope: Scope, timeout: float) -> None:
        self._timeout = timeout
        self._closed = self._reported = False
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message | None] = asyncio.Queue()  # None: the application has ended
        self._to_app.put_nowait({"type": "websocket.connect"})

        async def run() -> None:
            await app(scope, self._receive, self._send)

        self._task = asyncio.create_task(run())
        self._task.add_done_callback(self._ended)

    async def send_text(self, text: str) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def send_json(self, value: Any) -> None:
        await self.send_text(json.dumps(value))

    async def receive_text(self) -> str:
        """The next message. Raises `WebSocketClosed`, what the application raised, or `TimeoutError`."""
        message = await self._next("send a message")
        if message["type"] == "websocket.close":
            raise WebSocketClosed(message.get("code", 1000))
        text: str | None = message.get("text")
        return bytes(message["bytes"]).decode() if text is None else text

    async def receive_json(self) -> Any:
        return json.loads(await self.receive_text())

    async def close(self, code: int = 1000) -> None:
        """Tells the application that the browser has gone. The end of the `async with` does it too."""
        if not self._closed:
            self._closed = True
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": code})

    async def _receive(self) -> Message:
        message = await self._to_app.get()
        if message["type"] == "websocket.disconnect":
            self._to_app.put_nowait(message)  # whoever asks again is told again
        return message

    async def _send(self, message: Message) -> None:
        await asyncio.sleep(0)  # an application that only sends must not keep the test from running
        if self._closed and message["type"] != "websocket.close":
            raise OSError("the client has closed the WebSocket")
        self._from_app.put_nowait(message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # asyncio complains of those that nobody has looked at
        self._from_app.put_nowait(None)

    async def _next(self, what: str) -> Message:
        try:
            async with asyncio.timeout(self._timeout):
                message = await self._from_app.get()
        except TimeoutError:
            raise TimeoutError(f"the application did not {what} within {self._timeout} s") from None
        if message is None:
            self._from_app.put_nowait(None)
            self._outcome()
        return message or {"type": "websocket.close"}

    def _outcome(self) -> None:
        """Raises what the application raised, once."""
        if not self._reported:
            self._reported = True
            with suppress(WebSocketDisconnect):  # it has noticed that the client is gone
                self._task.result()

    async def _accepted(self) -> None:
        message = await self._next("accept or refuse the WebSocket")
        if message["type"] == "websocket.close":
            await self._finish()
            raise WebSocketRefused(message.get("code", 1000))
        self.accepted_headers = httpx2.Headers(list(message.get("headers", ())))

    async def _finish(self) -> None:
        await self.close()
        done, _ = await asyncio.wait({self._task}, timeout=self._timeout)
        if not done:
            raise TimeoutError(f"the application did not end within {self._timeout} s of the end of its WebSocket")
        self._outcome()

    async def _abandon(self) -> None:
        self._reported = True
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=self._timeout)


@asynccontextmanager
async def websocket(
    client: Client,
    path: str,
    *,
    origin: str | None = "own",
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    timeout: float = 5.0,
) -> AsyncIterator[ClientWebSocket]:
    """`async with websocket(browser, "/chat") as socket:` opens a WebSocket as a page of the site would.

    It has the client's cookies and `origin`: the client's own, another one, or None for a program that sends none.
    Raises `WebSocketRefused`; whatever the application raises; and `TimeoutError` after `timeout` seconds in which the
    application has not answered, or not ended after the block, instead of waiting for ever.
    """
    given = httpx2.Headers(headers)
    if origin is not None:
        site = client.base_url
        given.setdefault("Origin", f"{site.scheme}://{site.netloc.decode()}" if origin == "own" else origin)
    request = client.build_request("GET", path, headers=given)
    if "Sec-Fetch-Site" not in given:  # not every browser sends it along with a WebSocket: Origin has to do
        request.headers.pop("Sec-Fetch-Site", None)
    socket = ClientWebSocket(client._serve, _handshake(request, subprotocols), timeout)
    try:
        await socket._accepted()
        _take_cookies(client, request, socket.accepted_headers)
        yield socket
        await socket._finish()
    finally:
        await socket._abandon()


def _handshake(request: httpx2.Request, subprotocols: Sequence[str]) -> Scope:
    url = request.url
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if url.scheme == "https" else "ws",
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 123),
        "server": (url.host, url.port),
        "subprotocols": list(subprotocols),
    }


def _take_cookies(client: Client, request: httpx2.Request, headers: Mapping[str, str]) -> None:
    """Into the jar by the same door as a server's, so that a later cookie replaces them."""
    client.cookies.extract_cookies(httpx2.Response(200, headers=headers, request=request))


def _speaker(entries: Iterable[Any]) -> Speaker[Any] | None:
    for entry in entries:
        if entry.cls is AuthMiddleware:
            speaker: Speaker[Any] = entry.args[0]
            return speaker
    return None
