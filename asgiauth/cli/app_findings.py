"""What is wrong with how an application uses its `Auth`: what stands before its routes, and what stands open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Router

from ..auth import Auth
from ..checks import Finding
from ..http.errors import exception_handlers
from ..http.guards import GuardMiddleware
from ..http.resolve import NOTHING, resolve
from .asked import of_permissions
from .describe import RouteInfo, describe, next_layer
from .findings import own_path, speaker_of, trusts_everybody
from .layers import Layer
from .origins import of_cors

__all__ = ["of_application"]

_MISSING = Finding(
    "middleware_missing",
    "error",
    "auth.middleware is missing there: nobody is ever logged in, and guards raise.",
    "Starlette(middleware=auth.middleware), and FastAPI alike.",
)


def of_application(app: Any, auth: Auth[Any], *, deploy: bool) -> Iterator[Finding]:
    """`app`: with whatever middleware was put around it by hand."""
    infos = describe(app)
    yield from _of_presence(infos, auth)
    places: dict[Finding, list[str]] = {}
    for info in infos:
        for finding in dict.fromkeys(_of_way(info, auth, deploy=deploy)):
            places.setdefault(finding, []).append(info.path)
    for finding, paths in places.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        where = "" if len(paths) == len(infos) else f" (before {paths[0]}{more})"
        yield replace(finding, text=finding.text + where)
    inside = _outermost(app)
    if isinstance(inside, Starlette):
        yield from _of_lifespan(inside)
    apps = {id(one): one for one in (inside, *_served_by(infos, auth))}
    yield from _of_login_page(apps.values(), auth)
    yield from _of_routes(infos, deploy=deploy)


def _of_presence(infos: Sequence[RouteInfo], auth: Auth[Any]) -> Iterator[Finding]:
    speakers = [layer.speaker for info in infos for layer in info.layers if layer.speaker is not None]
    if infos and not speakers:
        yield _MISSING
    elif speakers and speaker_of(auth) not in speakers:
        yield Finding(
            "middleware_of_another_auth",
            "error",
            "The middleware belongs to another Auth than the one that is checked.",
            "Build one Auth and import it, or name the other one with --app.",
        )
    if speakers:
        for info in infos:
            if info.state in ("guarded", "closed") and not any(layer.speaker for layer in info.layers):
                yield replace(_MISSING, text=f"{_MISSING.text} ({info.path})")


def _of_way(info: RouteInfo, auth: Auth[Any], *, deploy: bool) -> Iterator[Finding]:
    """What a request passes on its way to this route."""
    layers = info.layers
    ours = [number for number, layer in enumerate(layers) if layer.speaker is not None]
    if ours:
        yield from _of_order(layers, ours[0])
        yield from _of_handlers(info)
    if _is_listed_twice(layers):
        yield Finding(
            "middleware_twice",
            "error",
            "auth.middleware is listed twice: only the first does anything.",
            "List it once, before whatever needs to know the user.",
        )
    for layer in layers:
        if layer.is_a(CORSMiddleware):
            yield from of_cors(layer.made(), speaker_of(auth).origin, deploy=deploy)
        if getattr(layer.cls, "__name__", "") == "ProxyHeadersMiddleware" and _believes_everybody(layer.made()):
            yield Finding(
                "proxy_headers_trust_everybody",
                "error",
                "ProxyHeadersMiddleware believes everybody: every client may say what its address is.",
                "Name the addresses of your own proxies in trusted_hosts.",
            )
        if deploy and isinstance(layer.thing, Starlette) and layer.thing.debug:
            yield Finding(
                "debug",
                "error",
                "The application runs with debug=True: an error shows its source and its variables to everybody.",
                "Leave debug out.",
            )


def _of_order(layers: Sequence[Layer], first: int) -> Iterator[Finding]:
    """`first`: the number of our middleware."""
    if any(layer.is_a(SessionMiddleware) for layer in layers):
        yield Finding(
            "session_middleware",
            "error",
            "Starlette's SessionMiddleware stands beside auth.middleware: both want to be request.session.",
            "Remove it: request.session is there already, kept on the server.",
        )
    if any(layer.is_a(GuardMiddleware) for layer in layers[:first]):  # as auth.E013 of Django
        yield Finding(
            "guard_before_middleware",
            "error",
            "A Guard stands before auth.middleware: nobody is known there yet, so every request fails.",
            "Put it behind: middleware=[*auth.middleware, Guard(...)].",
        )
    if any(layer.is_a(CORSMiddleware) for layer in layers[first:]):
        yield Finding(
            "cors_behind_middleware",
            "error",
            "CORSMiddleware stands behind auth.middleware, whose 403 and 503 then lack CORS headers.",
            "Put it first: middleware=[Middleware(CORSMiddleware, ...), *auth.middleware].",
        )


def _is_listed_twice(layers: Sequence[Layer]) -> bool:
    """In one list: an application and another one mounted in it may both have it."""
    seen: list[Any] = []
    for layer in layers:
        if isinstance(layer.thing, Starlette):
            seen = []
        elif layer.speaker is not None and isinstance(layer.thing, Middleware):
            if layer.speaker in seen:
                return True
            seen.append(layer.speaker)
    return False


def _of_handlers(info: RouteInfo) -> Iterator[Finding]:
    """The innermost application answers 500 for what it has no handler for, whatever stands around it."""
    apps = [layer.thing for layer in info.layers if isinstance(layer.thing, Starlette)]
    if apps and info.kind != "app" and not set(exception_handlers) <= set(apps[-1].exception_handlers):
        yield Finding(
            "exception_handlers_missing",
            "warning",
            "Errors of asgiauth that a view lets escape are answered 500.",
            "Starlette(exception_handlers=auth.exception_handlers).",
        )


def _believes_everybody(proxies: Any) -> bool:
    """uvicorn's keeps it in an object of its own since 0.31."""
    hosts = getattr(proxies, "trusted_hosts", None)
    if getattr(hosts, "always_trust", False) or getattr(proxies, "always_trust", False):
        return True
    return trusts_everybody(getattr(hosts, "trusted_networks", ()))


def _outermost(app: Any) -> Any:
    """The first application or router: what stands around it runs no lifespan, and has no routes."""
    while app is not None and not isinstance(app, (Starlette, Router)):
        app = next_layer(app)
    return app


def _of_lifespan(app: Starlette) -> Iterator[Finding]:
    if type(app.router.lifespan_context).__name__ == "_DefaultLifespan":
        yield Finding(
            "lifespan_missing",
            "warning",
            "The application has no lifespan: unless something around it enters `async with auth`, it answers 503.",
            "Starlette(lifespan=auth.lifespan), or in your own: async with auth.lifespan(app): yield.",
        )


def _served_by(infos: Sequence[RouteInfo], auth: Auth[Any]) -> Iterator[Any]:
    """Where our middleware stands: login_url is a path below that."""
    for info in infos:
        around = None
        for layer in info.layers:
            if isinstance(layer.thing, Starlette):
                around = layer.thing
            elif layer.speaker is speaker_of(auth):
                yield around if isinstance(layer.thing, Middleware) else _outermost(layer.thing)


def _of_login_page(apps: Iterable[Any], auth: Auth[Any]) -> Iterator[Finding]:
    """Where there are no pages of ours and `login_url` was left alone, the application speaks JSON, or has none."""
    speaker = speaker_of(auth)
    path = own_path(speaker.login_url, speaker)
    has_pages = speaker.look.error_page is not None or speaker.login_url != "/auth/login"
    if path and has_pages and not any(_serves(app, path, speaker.origin) for app in apps):
        yield Finding(
            "login_url_not_served",
            "error",
            "No route serves login_url: whoever has to log in is sent to a page that is not there.",
            'Mount("/auth", routes=auth.html_routes()), where login_url says; of another site give the whole address.',
        )


def _serves(app: Any, path: str, origin: str) -> bool:
    router = getattr(app, "router", app)
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", urlsplit(origin).netloc.encode())],
        "path_params": {},
        "client": None,
        "server": None,
    }
    spellings = {path, path.rstrip("/") or "/", path.rstrip("/") + "/"}  # Starlette redirects from one to the other
    return any(list(resolve(router, {**scope, "path": one}))[-1] is not NOTHING for one in spellings)


def _of_routes(infos: Sequence[RouteInfo], *, deploy: bool) -> Iterator[Finding]:
    for info in infos:
        where = " ".join([*info.methods, info.path])
        if info.state == "open":
            yield Finding(
                "route_open",
                "error" if deploy else "warning",
                f"{where} is open without a word that it shall be.",
                "Put a guard on it, @public, or protect(app) around all.",
            )
        for problem in info.problems:
            yield Finding("guard_lost", "error", f"{where}: {problem}.", "asgiauth routes shows what each route has.")
        yield from of_permissions(info)
