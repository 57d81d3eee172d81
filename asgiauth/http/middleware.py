"""Who is it? Asked once at the start of each request, in one query, and only if a cookie came.

cookie -> [one lookup] -> scope["session"], scope["user"], scope["auth"] -> did this site ask for it? -> the application
-> the session is saved -> the response starts
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from types import NoneType
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..attempt import Resumed
from ..exceptions import ConfigurationError, SessionTooLarge, TooManyAttempts
from .cookies import NO_COOKIES, ReceivedCookies
from .csrf import Verdict, is_unsafe
from .error_pages import for_people
from .errors import answered_503, error_response, respond
from .forgery import is_allowed_by_csrf
from .remote_user import RemoteUser
from .request_auth import RequestAuth
from .resolve import is_csrf_exempt
from .session import Session
from .speaker import Speaker
from .state import Facts, SessionState

__all__ = ["AuthMiddleware", "check_order"]

logger = logging.getLogger("asgiauth")

_BEGUN = "the response has begun, its cookie cannot change any more: do this before that"
_SKIPPED = "this path is under Auth(skip=...): it has no session"
_ONE_SESSION = "remove SessionMiddleware: request.session is already there, kept on the server"
_TRY_AGAIN_LATER = 1013
"""WebSocket close code (IANA registry)."""
_POLICY_VIOLATION = 1008
"""WebSocket close code (RFC 6455, 7.4.1)."""
_MAX_DEVICE = 200


class AuthMiddleware:
    """Sets `scope["user"]`, `scope["auth"]` and `scope["session"]`; saves the session before the response starts."""

    def __init__(self, app: ASGIApp, speaker: Speaker[Any]) -> None:
        self._app = app
        self._speaker = speaker
        self._checked_order = False
        remote = speaker.remote_user
        self._remote_user = None if remote is None else RemoteUser(remote, speaker)
        headers = [*(["Authorization"] if speaker.authenticators else []), *([remote.header] if remote else [])]
        self._varies_by = ["Cookie", *headers]
        self._challenges = [one.challenge for one in speaker.authenticators if hasattr(one, "challenge")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        present = scope.get("auth")
        if isinstance(present, RequestAuth) and present._speaker is self._speaker:
            await self._app(scope, receive, send)  # it stands around us too: one session is saved once
            return
        if not isinstance(scope.get("session"), (Session, NoneType)):
            raise ConfigurationError(_ONE_SESSION)
        if not self._checked_order:
            check_order(getattr(scope.get("app"), "user_middleware", ()))
            self._checked_order = True
        if self._speaker.skip and _path(scope).startswith(tuple(self._speaker.skip)):
            state = self._state(scope, NO_COOKIES, None)
            state.close(_SKIPPED)
            self._admit(scope, state)
            await self._app(scope, receive, send)
            return
        try:
            auth = await self._recognise(scope)
        except (*answered_503, TooManyAttempts) as error:  # the cookies stay: whose they are could not be told
            await self._answer_error(error, scope, receive, send, root_path=scope.get("root_path", ""))
            return
        await self._speak(auth, scope, receive, send)

    async def _recognise(self, scope: Scope) -> RequestAuth[Any]:
        speaker = self._speaker
        cookies = speaker.cookies.read(scope["headers"])
        resumed = await speaker.login.resume(cookies.session) if cookies.session else None
        state = self._state(scope, cookies, resumed)
        # with sessions elsewhere there are logins, but none that waits: its row could not be deleted
        waits = speaker.sessions.is_read_only or not speaker.database.read_only
        if cookies.pending is not None and waits:
            state.await_step(await speaker.login.find_pending(cookies.pending, state.visit()), "")
        auth = self._admit(scope, state)
        if speaker.authenticators and state.user is None:
            await auth._look_around()
        if self._remote_user is not None:
            await self._remote_user.settle(auth)
        return auth

    def _state(self, scope: Scope, cookies: ReceivedCookies, resumed: Resumed[Any] | None) -> SessionState[Any]:
        modes = [value for name, value in scope["headers"] if name == b"sec-fetch-mode"]
        facts = partial(_facts, self._speaker, scope)
        return SessionState(self._speaker, cookies, resumed, facts, navigates=modes in ([], [b"navigate"]))

    def _admit(self, scope: Scope, state: SessionState[Any]) -> RequestAuth[Any]:
        auth = RequestAuth(self._speaker, scope, state)
        scope["auth"], scope["session"] = auth, state.data
        return auth

    async def _speak(self, auth: RequestAuth[Any], scope: Scope, receive: Receive, send: Send) -> None:
        outgoing = _Outgoing(auth, scope, receive, send, varies_by=self._varies_by, challenges=self._challenges)
        token = self._speaker.sessions.current.set(auth._state)
        try:
            receive = await self._guard_against_forgery(auth, scope, receive)
            if self._remote_user is not None and auth._named is not None:
                await self._remote_user.log_in(auth)
            await self._app(scope, receive, outgoing)
        except _Forged:
            await self._refuse(scope, receive, outgoing)
        except answered_503 as error:
            if auth._state.closed:
                raise
            await self._answer_error(error, scope, receive, outgoing, root_path=auth._root_path)
        except Exception:
            # the 500 is answered outside of us, without the cookie of a session that was rotated before
            if scope["type"] == "http" and not auth._state.closed and auth._state.has_new_token:
                await PlainTextResponse("Internal Server Error", 500)(scope, receive, outgoing)
            raise
        finally:
            self._speaker.sessions.current.reset(token)

    async def _guard_against_forgery(self, auth: RequestAuth[Any], scope: Scope, receive: Receive) -> Receive:
        """Whatever a browser sends along by itself must have been asked for by this site (D-18): an unsafe request, and
        the handshake of a WebSocket, which no CORS protects."""
        if not auth._is_ambient:
            return receive
        if scope["type"] == "websocket":
            verdict = self._speaker.csrf.verdict(scope["headers"], cookies_present=True, shipped=False)
            if verdict is Verdict.REFUSE:  # without any of the headers it is no browser
                raise _Forged
            return receive
        if is_unsafe(scope["method"]):
            allowed, receive = await is_allowed_by_csrf(auth, scope, receive, shipped=False)
            if not allowed and not is_csrf_exempt(scope):
                raise _Forged
            auth._csrf_checked = allowed
        return receive

    async def _answer_error(
        self, error: Exception, scope: Scope, receive: Receive, send: Send, *, root_path: str
    ) -> None:
        if scope["type"] == "websocket":
            logger.error("closed a WebSocket: %s", error)
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        else:
            response = await for_people(respond(error), self._speaker, scope, root_path)
            await response(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            logger.warning("refused a WebSocket of another site: one that may open it belongs into trusted_origins")
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            plain = error_response("csrf_failed", 403, headers={"Vary": "Sec-Fetch-Site, Origin"})
            response = await for_people(plain, self._speaker, scope, scope.get("root_path", ""))
            await response(scope, receive, send)


class _Forged(Exception):
    pass


class _Outgoing:
    """`send`: before the first message it saves the session, with that message it sends the cookies."""

    def __init__(
        self,
        auth: RequestAuth[Any],
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        varies_by: Sequence[str],
        challenges: Sequence[str],
    ) -> None:
        self._auth = auth
        self._state = auth._state
        self._varies_by = varies_by
        self._challenges = challenges
        self._scope = scope
        self._receive = receive
        self._send = send
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return  # the rest of a response that was never sent
        if message["type"] not in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            await self._send(message)
            return
        try:
            if message.get("status", 200) < 500:
                await self._state.save()
        except (*answered_503, SessionTooLarge) as error:
            if self._scope["type"] == "websocket":
                raise
            self._replaced = True
            plain = respond(error)
            response = await for_people(plain, self._auth._speaker, self._scope, self._auth._root_path)
            await response(self._scope, self._receive, self._start)
        else:
            await self._start(message)

    async def _start(self, message: Message) -> None:
        self._state.close(_BEGUN)
        if message["type"] != "http.response.body":
            message["headers"] = _headers(message, self._state.set_cookies(), self._varies_by)
            if self._challenges and message.get("status") == 401:
                message["headers"] = _challenging(message["headers"], self._scope, self._challenges)
        await self._send(message)


def check_order(middleware: Sequence[Any]) -> None:
    """Refuses Starlette's SessionMiddleware beside ours, and warns of CORS in the wrong place."""
    classes = [getattr(one, "cls", None) for one in middleware]
    if SessionMiddleware in classes:
        raise ConfigurationError(_ONE_SESSION)
    if AuthMiddleware in classes and CORSMiddleware in classes[classes.index(AuthMiddleware) :]:
        logger.warning(
            "CORSMiddleware stands behind auth.middleware, whose 403 and 503 then lack CORS headers: put it first, "
            "middleware=[Middleware(CORSMiddleware, ...), *auth.middleware]"
        )


def _path(scope: Scope) -> str:
    """Below the prefix at which the application is served."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _facts(speaker: Speaker[Any], scope: Scope) -> Facts:
    agents = [value for name, value in scope["headers"] if name == b"user-agent"]
    device = agents[0].decode("latin-1")[:_MAX_DEVICE] if agents else ""
    return Facts(speaker.proxies.address(scope), device if device.isprintable() else "")


def _headers(message: Message, cookies: Sequence[str], varies_by: Sequence[str]) -> list[tuple[bytes, bytes]]:
    headers = MutableHeaders(raw=list(message.get("headers", ())))
    for cookie in cookies:
        headers.append("Set-Cookie", cookie)
    if cookies:
        headers["Cache-Control"] = "no-store"
    named = {name.strip().lower() for vary in headers.getlist("vary") for name in vary.split(",")}
    for name in varies_by:
        if not named & {name.lower(), "*"}:
            headers.append("Vary", name)  # without a cookie too: a cache would serve that page to members
    return headers.raw


def _challenging(
    headers: list[tuple[bytes, bytes]], scope: Scope, challenges: Sequence[str]
) -> list[tuple[bytes, bytes]]:
    """What else a program may show, where our own 401 says that a cookie would do. A browser, which would ask people
    for a password by itself, tells what it is by `Sec-Fetch-Mode`."""
    is_ours = (b"www-authenticate", b"Cookie") in [(name.lower(), value) for name, value in headers]
    if not is_ours or any(name == b"sec-fetch-mode" for name, _ in scope["headers"]):
        return headers
    return [*headers, *((b"www-authenticate", challenge.encode()) for challenge in challenges)]
