"""What will a request pass on its way to its endpoint? Told before it goes there, by the routes' own matching."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.types import Scope

from .marks import is_csrf_exempt_mark, mark_of

__all__ = ["NOTHING", "answers_405", "is_csrf_exempt", "resolve"]

NOTHING = object()
"""Comes last where no code of the application answers: no route (404), or none for this method (405)."""


def resolve(router: object, scope: Scope) -> Iterator[object]:
    """The middleware, routes, applications and dependencies that the request passes, from the outside to the inside;
    then its endpoint, or `NOTHING`.

    It stops where it cannot tell what comes next: at an application that is no router, at middleware that could rewrite
    the path, at a route of an unknown type. Nothing is called but `matches` of the routes, and on a copy of the scope.
    """
    return _app(router, {**scope, "fastapi": {}})


def is_csrf_exempt(scope: Scope) -> bool:
    """Whether anything on the way to the target is marked `csrf_exempt`; for the middleware of the application in
    `scope["app"]`. False where the target cannot be told, as from the middleware of a mount."""
    app = scope.get("app")
    if app is None or scope.get("endpoint", app) is not app:
        return False
    return any(is_csrf_exempt_mark(thing) for thing in resolve(app.router, scope))


def answers_405(endpoint: type, scope: Scope) -> bool:
    """Whether this class has no method for the request and lets Starlette say so."""
    return scope["type"] == "http" and _is_plain(endpoint) and _method(endpoint, scope) is None


def _app(app: Any, scope: Scope) -> Iterator[object]:
    yield app
    if isinstance(app, Router):
        yield from _router(app, scope)
    elif (inner := _inside(app)) is not None:
        yield from _app(inner, scope)


def _inside(layer: object) -> Any:
    """What Starlette's own middleware and ours pass the request on to, with its path as it is; None for any other, and
    for the one that runs a function of the application's."""
    is_known = type(layer).__module__.startswith(("starlette.middleware.", "asgiauth."))
    if not is_known or isinstance(layer, BaseHTTPMiddleware):
        return None
    return getattr(layer, "app", None) or getattr(layer, "_app", None)


def _router(router: Router, scope: Scope) -> Iterator[object]:
    if type(router).__call__ is not Router.__call__ or type(router).app not in (Router.app, _fastapi("APIRouter").app):
        return
    layer: Any = router.middleware_stack
    while layer != router.app:
        yield layer
        layer = _inside(layer)
        if layer is None:
            return
    partial: tuple[BaseRoute, Scope] | None = None
    for route in router.routes:
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            yield from _route(route, {**scope, **child_scope, "fastapi": {}}, match)
            return
        if match is Match.PARTIAL and partial is None:
            partial = route, child_scope
    if partial is not None:
        yield from _route(partial[0], {**scope, **partial[1], "fastapi": {}}, Match.PARTIAL)
    else:
        yield from _leftover(router, scope)


def _leftover(router: Any, scope: Scope) -> Iterator[object]:
    """Where no route matches: a front end that FastAPI serves last, the router's default, or the redirect to the path
    with a slash, which is Starlette's own answer."""
    if hasattr(router, "_match_low_priority"):
        match, _, route, context = router._match_low_priority(scope)
        if match is not Match.NONE:
            yield route
            yield from _dependencies((context or route).dependant)
            return
    if getattr(router.default, "__func__", None) is Router.not_found:
        yield NOTHING
    else:
        yield router.default


def _route(route: Any, scope: Scope, match: Match) -> Iterator[object]:
    yield route
    if type(route) is _fastapi("_IncludedRouter"):
        yield from _included(route, scope)
    elif not _is_known(route):
        return
    elif match is Match.PARTIAL:
        yield NOTHING
    elif isinstance(route, (Mount, Host)):
        yield from _app(route.app, scope)
    else:
        yield from _operation(route, route.endpoint, scope)


def _included(included: Any, scope: Scope) -> Iterator[object]:
    """FastAPI's `include_router`: it may have made a new route, which is the one that runs; the dependencies of the
    inclusion are in `context`."""
    match, child_scope, route, context = included._match(scope)
    scope = {**scope, **child_scope, "fastapi": {}}
    if context is None:
        yield from _route(route, scope, match)
        return
    yield context.original_route
    if context.starlette_route is not None:
        yield from _route(context.starlette_route, scope, match)
    elif not _is_known(context.original_route):
        return
    elif match is Match.PARTIAL:
        yield NOTHING
    else:
        yield from _operation(context, context.endpoint, scope)


def _is_known(route: BaseRoute) -> bool:
    """Whether it runs its endpoint as Starlette's and FastAPI's own routes do."""
    known = (Route.handle, WebSocketRoute.handle, Mount.handle, Host.handle, _fastapi("APIRoute").handle)
    handler = getattr(_fastapi("APIRoute"), "get_route_handler", None)  # one of its own may answer before any guard
    return type(route).handle in known and getattr(type(route), "get_route_handler", handler) is handler


def _operation(route: Any, endpoint: Any, scope: Scope) -> Iterator[object]:
    layer = route.app
    while layer is not None:
        yield layer
        layer = _inside(layer)
    yield from _dependencies(getattr(route, "dependant", None))
    yield endpoint
    if isinstance(endpoint, type) and issubclass(endpoint, (HTTPEndpoint, WebSocketEndpoint)):
        yield endpoint.__await__
        if _is_plain(endpoint):
            yield _method(endpoint, scope) or NOTHING


def _dependencies(dependant: Any) -> Iterator[object]:
    """Those that are guards: another's mark says nothing about the endpoints that depend on it."""
    for dependency in dependant.dependencies if dependant is not None else ():
        mark = mark_of(dependency.call)
        if mark is not None and not mark.is_public:
            yield dependency.call
        yield from _dependencies(dependency)


def _is_plain(endpoint: Any) -> bool:
    """Whether nothing of what Starlette does between the class and its methods has been replaced."""
    base = HTTPEndpoint if issubclass(endpoint, HTTPEndpoint) else WebSocketEndpoint
    if endpoint.__await__ is not base.__await__ and mark_of(endpoint.__await__) is None:
        return False
    names = ("__init__", "__getattr__", "__getattribute__", "dispatch", "method_not_allowed")
    return all(getattr(endpoint, name, None) is getattr(base, name, None) for name in names)


def _method(endpoint: type, scope: Scope) -> object | None:
    """The method that Starlette runs first; None for an HTTP method that the class has not."""
    if scope["type"] == "websocket":
        return getattr(endpoint, "on_connect", None)
    is_head_of_get = scope["method"] == "HEAD" and not hasattr(endpoint, "head")
    return getattr(endpoint, "get" if is_head_of_get else scope["method"].lower(), None)


def _fastapi(name: str) -> Any:
    """A class of FastAPI's routing, if the application uses it and its version has it; else one without instances."""
    return getattr(sys.modules.get("fastapi.routing"), name, _Absent)


class _Absent:
    app = handle = None
