"""What a guard answers when it refuses: an error to raise, or the response itself where nobody would catch it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..events import AccessRefused
from .error_pages import answer
from .errors import NotAuthenticated, NotAuthorized, NothingThere, respond
from .predicates import Predicate, Refusal, auth_of, is_authenticated
from .redirects import relative_path

__all__ = ["check", "denial", "denied", "refuse"]

_POLICY_VIOLATION = 1008
"""WebSocket close code (RFC 6455, 7.4.1)."""


async def check(connection: HTTPConnection, predicate: Predicate) -> None:
    """Raises the denial unless the predicate holds."""
    refusal = await predicate.refusal(connection)
    if refusal is not None:
        raise await denied(connection, predicate, refusal)
    await auth_of(connection)._pass_guard()


async def denied(connection: HTTPConnection, predicate: Predicate, refusal: Refusal) -> Exception:
    """`denial`, told as `AccessRefused` where it is known who is refused (ASVS 16.3.2)."""
    if is_authenticated(connection):
        speaker, scope = auth_of(connection)._speaker, connection.scope
        event = AccessRefused(at=speaker.clock(), user=scope["user"], guard=predicate.text, path=scope["path"])
        await speaker.events.publish(event)
    return denial(connection, refusal)


def denial(connection: HTTPConnection, refusal: Refusal) -> Exception:
    """`NotAuthenticated` for the anonymous, who are not told what there is either; for others `NotAuthorized`, or
    `NothingThere`. A WebSocket closes with 1008 (B9.5, B9.7)."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(_POLICY_VIOLATION)
    if not is_authenticated(connection):
        return NotAuthenticated(_login_location(connection))
    if refusal == "not_found":
        return NothingThere()
    return NotAuthorized("recent_login_required" if refusal == "recent_login_required" else "permission_denied")


async def refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the error, by the application's own handlers where they can be reached.

    A guard among the middleware of an application stands outside of them: an error raised there would be a 500.
    """
    is_http = scope["type"] == "http"
    connection = Request(scope, receive, send) if is_http else WebSocket(scope, receive, send)

    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    try:
        await wrap_app_handling_exceptions(raising, connection)(scope, receive, send)
    except NotAuthenticated:
        await respond(error)(scope, receive, send)
    except (NotAuthorized, NothingThere):
        response = await answer(Request(scope), error)
        await response(scope, receive, send)
    except HTTPException as raised:  # by the application's own function, in a guard
        response = PlainTextResponse(raised.detail, raised.status_code, raised.headers)
        await response(scope, receive, send)
    except WebSocketException as closing:
        await send({"type": "websocket.close", "code": closing.code})


def _login_location(connection: HTTPConnection) -> str | None:
    """The login page, for a browser that is going to a page; None for scripts, which want a 401."""
    headers, method = connection.headers, connection.scope.get("method")
    navigates = headers.get("sec-fetch-mode", "navigate") == "navigate"
    if method not in ("GET", "HEAD") or not navigates or "text/html" not in headers.get("accept", "").lower():
        return None
    auth: Any = auth_of(connection)
    scope = connection.scope
    root = str(getattr(auth, "_root_path", scope.get("app_root_path", scope.get("root_path", ""))))
    target = relative_path({**scope, "root_path": root})
    login = urlsplit(str(auth._speaker.login_url))
    if not login.netloc:
        prefix = relative_path({"path": root.rstrip("/"), "root_path": ""})
        login = login._replace(path=prefix + login.path)
    elif target and f"{login.scheme}://{login.netloc}" != auth._speaker.origin:
        target = auth._speaker.origin + target  # as Django: the whole address for a login page elsewhere (A10.1)
    if target:
        following = f"next={quote(target, safe='/')}"
        login = login._replace(query=f"{login.query}&{following}" if login.query else following)
    return login.geturl()
