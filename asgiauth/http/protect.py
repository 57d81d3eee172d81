"""Everything closed but what says otherwise: whoever forgets a guard has shut a door, not left one open (A9.2, C18)."""

from __future__ import annotations

from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ..exceptions import ConfigurationError
from .denial import denial, refuse
from .marks import mark_of
from .predicates import is_authenticated
from .resolve import NOTHING, resolve
from .resolve import is_csrf_exempt as is_csrf_exempt

__all__ = ["is_csrf_exempt", "protect"]

App = TypeVar("App", bound=Starlette)


def protect(app: App) -> App:
    """Closes a Starlette or FastAPI application to the anonymous: they reach an endpoint only if it is `public(...)`,
    or has a guard of its own, which then decides alone. Call it before or after the routes are added.

    What cannot be resolved is closed: plain ASGI applications and sub-applications in a mount, FastAPI's `/docs` and
    `/openapi.json`, routes of unknown types, mounts with middleware that could rewrite the path. No route stays 404, no
    such method 405, an unknown WebSocket path closes with 1008. Logged-in requests are only looked at for that.

    Returns the same object. Raises `ConfigurationError` for another kind of application, and at a request without
    `auth.middleware`.
    """
    if not isinstance(app, Starlette):
        raise ConfigurationError(f"protect takes a Starlette or FastAPI application, not {app!r}")
    build = app.build_middleware_stack

    def build_middleware_stack() -> ASGIApp:
        _close(app)  # the router may have been exchanged
        return build()

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]
    _close(app)
    return app


def _close(app: Starlette) -> None:
    router: object = app.router
    if not isinstance(router, Router):
        raise ConfigurationError(f"protect cannot look into app.router={router!r}: it takes a starlette.routing.Router")
    if not isinstance(router.middleware_stack, _Gate):
        router.middleware_stack = _Gate(router.middleware_stack, router)


class _Gate:
    """Stands before the routes and inside of all middleware: the path is final here, and the error handlers apply."""

    def __init__(self, app: ASGIApp, router: Router) -> None:
        self.app = app
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            connection = HTTPConnection(scope)
            if not is_authenticated(connection) and not self._lets_in(scope):
                await refuse(denial(connection, "permission_denied"), scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        for thing in resolve(self._router, scope):
            if thing is NOTHING:
                return bool(scope["type"] == "http")
            if mark_of(thing) is not None:
                return True
        return False
