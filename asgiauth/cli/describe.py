"""Which routes does an application have, in the order in which the server would match them, and what guards each?

The same walk as `http/resolve.py` takes for one request, for all of them: `Way` is what has been passed so far.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import Host, Mount, Router, WebSocketRoute

from ..http import resolve
from ..http.guards import Guard
from ..http.marks import is_csrf_exempt_mark, mark_of
from ..http.predicates import Predicate
from ..http.protect import _Gate
from .layers import Layer
from .lost import lost_guards, stacked

__all__ = ["RouteInfo", "describe", "next_layer"]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, kw_only=True)
class RouteInfo:
    """One route. `methods` is empty for any; `guards` are asked from the first to the last.

    `state`: `guarded`; `public`, because it says so; `closed` by `protect` to everybody who is not logged in; or
    `open`, without anybody having said so. `problems` are guards that do not guard.
    """

    path: str
    kind: Literal["http", "websocket", "app"]
    methods: tuple[str, ...]
    endpoint: str
    state: Literal["guarded", "public", "closed", "open"]
    guards: tuple[str, ...]
    csrf_exempt: bool
    problems: tuple[str, ...]
    layers: tuple[Layer, ...] = field(default=(), repr=False, compare=False)
    """The applications and the middleware before it, from the outside to the inside."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, so without the layers."""
        return {name: value for name, value in vars(self).items() if name != "layers"}


@dataclass(frozen=True)
class _Way:
    """What stands before the place that the walk has come to. `is_closed`: `protect` does, and nothing has opened it
    since; `is_sealed`: nor can anything from here on, for it cannot look in there."""

    prefix: str = ""
    guards: tuple[str, ...] = ()
    is_public: bool = False
    is_exempt: bool = False
    is_closed: bool = False
    is_sealed: bool = False
    layers: tuple[Layer, ...] = ()

    def through(self, *things: object) -> _Way:
        return replace(self, layers=(*self.layers, *map(Layer, things)))

    def past(self, thing: object) -> _Way:
        if isinstance(thing, _Gate):
            return replace(self, is_closed=True)
        mark = mark_of(thing)
        way = replace(self, is_exempt=self.is_exempt or is_csrf_exempt_mark(thing))
        if mark is None:
            return way
        way = replace(way, is_closed=self.is_closed and self.is_sealed)
        return replace(way, is_public=True) if mark.is_public else way.asking(mark.predicate)

    def past_all(self, things: Iterable[object]) -> _Way:
        return functools.reduce(_Way.past, things, self)

    def asking(self, predicate: Predicate | None) -> _Way:
        return replace(self, guards=(*self.guards, predicate.text if predicate is not None else "its own code"))

    def below(self, path: str) -> _Way:
        return replace(self, prefix=self.prefix + path)

    def sealed(self) -> _Way:
        return replace(self, is_sealed=self.is_sealed or self.is_closed)

    def ends(
        self, path: str, endpoint: object, *, kind: Any = "http", methods: Any = (), problems: list[str] | None = None
    ) -> RouteInfo:
        state: Any = "open"
        if self.guards:
            state = "guarded"
        elif self.is_closed:
            state = "closed"
        elif self.is_public:
            state = "public"
        return RouteInfo(
            path=self.prefix + path,
            kind=kind,
            methods=tuple(method for method in _METHODS if method in methods)
            + tuple(sorted(set(methods) - set(_METHODS))),
            endpoint=_name(endpoint),
            state=state,
            guards=self.guards,
            csrf_exempt=self.is_exempt,
            problems=tuple(problems or ()),
            layers=self.layers,
        )


def describe(app: object) -> list[RouteInfo]:
    """Every route of a Starlette or FastAPI application, or of a router, with those of what is mounted in it."""
    return list(_app(app, _Way()))


def _app(app: Any, way: _Way) -> Iterator[RouteInfo]:
    way = way.past(app)
    if isinstance(app, Starlette):
        way = way.through(app, *app.user_middleware)
        for entry in app.user_middleware:
            if isinstance(entry, Guard):
                predicate: Any = entry.kwargs["predicate"]
                way = way.asking(predicate)
        yield from _app(app.router, way.sealed())
    elif isinstance(app, Router):
        yield from _router(app, way)
    elif (inner := next_layer(app)) is not None:
        way = way.through(app)
        yield from _app(inner, way if resolve._inside(app) is not None else way.sealed())
    else:
        yield way.ends("/*", app, kind="app")


def next_layer(layer: object) -> Any:
    """What middleware, the application's own as well, passes a request on to, as far as its attributes tell."""
    return getattr(layer, "app", None) or getattr(layer, "_app", None)


def _router(router: Any, way: _Way) -> Iterator[RouteInfo]:
    own = (Router.app, resolve._fastapi("APIRouter").app)
    if type(router).__call__ is not Router.__call__ or type(router).app not in own:
        way = way.sealed()
    layer = router.middleware_stack
    while layer is not None and layer != router.app:
        way = way.past(layer).through(layer)
        way = way if resolve._inside(layer) is not None else way.sealed()
        layer = next_layer(layer)
    for route in router.routes:
        yield from _route(route, way)
    for route in getattr(router, "_iter_low_priority_routes", tuple)():
        yield from _frontend(route, way)
    if getattr(router.default, "__func__", None) is not Router.not_found:
        yield from _app(router.default, way)


def _route(route: Any, way: _Way) -> Iterator[RouteInfo]:
    if type(route) is resolve._fastapi("_IncludedRouter"):
        for candidate in route.effective_candidates():
            yield from _candidate(candidate, way.past(route))
        return
    way = way.past(route)
    if not resolve._is_known(route):
        yield way.ends(getattr(route, "path", "/*"), route, kind="app")
    elif isinstance(route, Mount):
        yield from _app(route.app, way.below(route.path))
    elif isinstance(route, Host):
        yield from _app(route.app, replace(way, prefix=f"{route.host}{way.prefix}"))
    else:
        yield from _operation(route, route.endpoint, way)


def _candidate(candidate: Any, way: _Way) -> Iterator[RouteInfo]:
    """What FastAPI's `include_router` makes of a route: the new one, where there is one, is the one that runs."""
    if type(candidate) is resolve._fastapi("_IncludedRouter"):
        yield from _route(candidate, way)
        return
    original, made = candidate.original_route, candidate.starlette_route
    way = way.past(original)
    if made is None:
        if resolve._is_known(original):
            yield from _operation(candidate, candidate.endpoint, way)
        else:
            yield way.ends(candidate.path, original, kind="app")
        return
    kept = list(_route(made, way))
    meant = list(_route(original, way))
    for info, other in zip(kept, meant, strict=True):
        lost = [guard for guard in other.guards if guard not in info.guards]
        told = (f"include_router loses the middleware with the guard {guard}: use dependencies=" for guard in lost)
        yield replace(info, problems=(*info.problems, *told))


def _operation(route: Any, endpoint: Any, way: _Way) -> Iterator[RouteInfo]:
    layer, visible = route.app, True
    while layer is not None and layer is not endpoint:
        seen = way.past(layer).through(layer)
        way = seen if visible else replace(seen, is_closed=way.is_closed)
        visible = visible and resolve._inside(layer) is not None
        layer = next_layer(layer)
    way = way.past_all(resolve._dependencies(getattr(route, "dependant", None)))
    way = way.past_all(stacked(endpoint))
    kind = "websocket" if isinstance(route, WebSocketRoute) else "http"
    methods = getattr(route, "methods", None) or ()
    problems = lost_guards(endpoint)
    if not (isinstance(endpoint, type) and issubclass(endpoint, (HTTPEndpoint, WebSocketEndpoint))):
        yield way.ends(route.path, endpoint, kind=kind, methods=methods, problems=problems)
        return
    way = way.past_all(stacked(endpoint.__await__))
    if not resolve._is_plain(endpoint):
        yield way.ends(route.path, endpoint, kind=kind, methods=methods, problems=problems)
    elif kind == "websocket":
        connect: Any = endpoint.on_connect  # type: ignore[union-attr]
        yield way.past_all(stacked(connect)).ends(
            route.path, endpoint, kind=kind, problems=problems + lost_guards(connect)
        )
    else:
        yield from _methods(route, endpoint, way, problems)


def _methods(route: Any, endpoint: Any, way: _Way, problems: list[str]) -> Iterator[RouteInfo]:
    """Methods that are guarded alike are told together."""
    alike: dict[_Way, list[str]] = {}
    lost: dict[_Way, list[str]] = {}
    for method in _METHODS:
        handler = getattr(endpoint, method.lower(), None)
        if handler is not None and (not route.methods or method in route.methods):
            passed = way.past_all(stacked(handler))
            alike.setdefault(passed, []).append(method)
            lost.setdefault(passed, []).extend(f"{method}: {problem}" for problem in lost_guards(handler))
    for passed, methods in alike.items():
        yield passed.ends(route.path, endpoint, methods=methods, problems=problems + lost[passed])


def _frontend(route: Any, way: _Way) -> Iterator[RouteInfo]:
    """The built front end that FastAPI serves when no route matches."""
    group = getattr(route, "original_route", route)
    way = way.past(group).past_all(resolve._dependencies(route.dependant))
    for one in group.routes:
        prefix = getattr(route, "frontend_prefix", "")
        yield way.ends(f"{prefix}{one.path.rstrip('/')}/*", one.app, kind="app", methods=one.methods)


def _name(thing: Any) -> str:
    thing = getattr(thing, "func", thing)
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"
