"""`protect` on whole applications: FastAPI with nested routers, late routes, proxies, and the CSRF question."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import Message

from asgiauth import Auth, login_required
from asgiauth.exceptions import ConfigurationError
from asgiauth.fastapi import CurrentUser, OptionalUser, Requires
from asgiauth.guards import Guard, authenticated, csrf_exempt, protect, public, requires, staff
from asgiauth.http.resolve import is_csrf_exempt

from ..conftest import BASE_URL, client, make_auth, program
from .guarding import PAGE, offline, people


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


@public
async def welcome(request: Request) -> Response:
    return PlainTextResponse("welcome")


def admin(user: CurrentUser) -> str:
    """A dependency on a dependency."""
    return user.username


def anybody(user: OptionalUser) -> str:
    return user.username if user else "nobody"


def thirty_routes() -> FastAPI:
    """Ten in each of three levels: one public in each, three that a dependency guards, six that nobody thought of."""

    def fill(router: Any, name: str) -> None:
        async def operation() -> str:
            return "in"

        async def for_user(user: CurrentUser) -> str:
            return "in"

        async def for_admin(user: Annotated[str, Depends(admin)]) -> str:
            return "in"

        async def for_anybody(user: Annotated[str, Depends(anybody)]) -> str:
            return "in"

        router.get(f"/{name}-public")(public(lambda: "in"))
        router.get(f"/{name}-user")(for_user)
        router.get(f"/{name}-admin")(for_admin)
        router.get(f"/{name}-staff", dependencies=[Depends(Requires(staff))])(operation)
        router.get(f"/{name}-anybody")(for_anybody)
        for number in range(5):
            router.get(f"/{name}-{number}")(operation)

    app, middle, inner = FastAPI(middleware=offline().middleware), APIRouter(prefix="/middle"), APIRouter()
    for router, name in ((app, "app"), (middle, "middle"), (inner, "inner")):
        fill(router, name)
    middle.include_router(inner, prefix="/inner")
    app.include_router(middle)
    return app


async def test_C18_of_30_routes_in_nested_routers_only_those_marked_are_open() -> None:
    """`OptionalUser` is no guard; documentation and schema are closed like any other path."""
    app = protect(thirty_routes())
    paths = list(app.openapi()["paths"])
    assert len(paths) == 30
    async with client(app) as browser:
        statuses = {
            path: (await browser.get(path)).status_code for path in [*paths, "/docs", "/redoc", "/openapi.json"]
        }
        assert (await browser.get("/nowhere")).status_code == 404
        assert (await browser.post("/app-0")).status_code == 405
    opened = ["/app-public", "/middle/middle-public", "/middle/inner/inner-public"]
    assert statuses == {path: 200 if path in opened else 401 for path in statuses}


async def test_C18_a_guard_of_the_dependencies_decides_alone(sqlite_auth: Auth) -> None:
    """On the operation, the router, the inclusion or the application; a plain route among them has none."""
    only_anonymous = [Depends(Requires(~authenticated))]
    who = await people(sqlite_auth)

    def routed(**options: Any) -> APIRouter:
        router = APIRouter(**options)
        router.get("/")(lambda: "in")
        router.add_route("/plain", hello)
        return router

    app = FastAPI(middleware=sqlite_auth.middleware)
    app.get("/operation", dependencies=only_anonymous)(lambda: "in")
    app.include_router(routed(dependencies=only_anonymous), prefix="/router")
    app.include_router(routed(), prefix="/inclusion", dependencies=only_anonymous)
    app.include_router(routed(), prefix="/none")
    whole = FastAPI(middleware=sqlite_auth.middleware, dependencies=only_anonymous)
    whole.get("/")(lambda: "in")
    async with client(protect(app)) as browser, client(protect(whole)) as other:
        for path in ("/operation", "/router/", "/inclusion/"):
            assert (await browser.get(path)).status_code == 200
            assert (await browser.get(path, headers=who["user"])).status_code == 403
        for path in ("/none/", "/none/plain", "/router/plain", "/inclusion/plain"):
            assert (await browser.get(path)).status_code == 401
            assert (await browser.get(path, headers=who["user"])).status_code == 200
        assert (await other.get("/")).status_code == 200
        assert (await other.get("/", headers=who["user"])).status_code == 403
        assert (await other.get("/docs")).status_code == 401


async def test_docs_are_opened_by_marking_their_routes() -> None:
    app = protect(FastAPI(middleware=offline().middleware))
    for route in app.routes:
        if getattr(route, "path", "") in ("/docs", "/openapi.json"):
            public(route)
    async with client(app) as browser:
        statuses = [(await browser.get(path)).status_code for path in ("/docs", "/openapi.json", "/redoc")]
    assert statuses == [200, 200, 401]


async def test_a_route_class_of_ones_own_is_not_seen_through() -> None:
    """Whether it wraps the handler or replaces it: its code runs before any guard of the endpoint."""

    class Wraps(APIRoute):
        def get_route_handler(self) -> Any:
            return super().get_route_handler()

    class Replaces(APIRoute):
        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("replaced")(scope, receive, send)

    class Same(APIRoute):
        """Nothing of its own."""

    app = FastAPI(middleware=offline().middleware)
    for path, route_class in (("/wraps", Wraps), ("/replaces", Replaces), ("/same", Same)):
        router = APIRouter(route_class=route_class)
        router.get(path)(public(lambda: "in"))
        app.include_router(router)
        app.include_router(router, prefix="/twice")
    async with client(protect(app)) as browser:
        for prefix in ("", "/twice"):
            assert (await browser.get(prefix + "/wraps")).status_code == 401
            assert (await browser.get(prefix + "/replaces")).status_code == 401
            assert (await browser.get(prefix + "/same")).status_code == 200


async def test_C18_a_front_end_is_closed_unless_its_router_has_a_guard(sqlite_auth: Auth, tmp_path: Path) -> None:
    """FastAPI serves it where nothing else matches; it has no object that could be marked."""
    (tmp_path / "index.html").write_text("in")
    mimetypes.init()  # reads files
    who = await people(sqlite_auth)
    closed, included, guarded = (FastAPI(middleware=sqlite_auth.middleware) for _ in range(3))
    if not hasattr(closed.router, "frontend"):
        return  # FastAPI had none before 0.139
    closed.router.frontend("/", directory=tmp_path)
    for app, dependencies in ((included, []), (guarded, [Depends(Requires(~authenticated))])):
        router = APIRouter(dependencies=dependencies)
        router.frontend("/", directory=tmp_path)
        app.include_router(router, prefix="/app")
    for app, path, anonymous, user in (
        (closed, "/", 401, 200),
        (included, "/app/", 401, 200),
        (guarded, "/app/", 200, 403),
    ):
        async with client(protect(app)) as browser:
            assert (await browser.get(path)).status_code == anonymous
            assert (await browser.get(path, headers=who["user"])).status_code == user


async def test_routes_added_after_the_first_request_are_covered() -> None:
    """In nested routers too, and where `protect` came before or after the first request."""
    for early in (True, False):
        nested = Router()
        app = Starlette(routes=[Mount("/nested", nested)], middleware=offline().middleware)
        if early:
            assert protect(app) is app
        async with client(app) as browser:
            assert (await browser.get("/nested/late")).status_code == 404
            assert protect(protect(app)) is app
            for router in (app.router, nested):
                router.add_route("/late", hello)
                router.add_route("/welcome", welcome)
            for prefix in ("", "/nested"):
                assert (await browser.get(prefix + "/late")).status_code == 401
                assert (await browser.get(prefix + "/welcome")).text == "welcome"


async def test_late_routes_of_included_routers_are_covered() -> None:
    app, router, inner = protect(FastAPI(middleware=offline().middleware)), APIRouter(), APIRouter()
    router.include_router(inner)
    app.include_router(router, prefix="/api")
    async with client(app) as browser:
        assert (await browser.get("/api/late")).status_code == 404
        inner.get("/late")(lambda: "in")
        assert (await browser.get("/api/late")).status_code in (401, 404)  # FastAPI before 0.137 copies the routes


async def test_an_exchanged_router_is_protected_or_refused() -> None:
    app = protect(Starlette(middleware=offline().middleware))
    app.router = Router([Route("/", hello)])
    async with program(app) as browser:
        assert (await browser.get("/")).status_code == 401
    app = protect(Starlette(middleware=offline().middleware))
    app.router = PlainTextResponse("in")  # type: ignore[assignment]
    async with program(app) as browser:
        with pytest.raises(ConfigurationError, match="Router"):
            await browser.get("/")


async def test_the_lifespan_passes(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url)
    app = protect(Starlette(lifespan=auth.lifespan, middleware=auth.middleware))
    messages: Iterator[Message] = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_protect_takes_an_application_with_the_middleware() -> None:
    for wrong in (Router(), hello, None):
        with pytest.raises(ConfigurationError, match="Starlette or FastAPI"):
            protect(wrong)  # type: ignore[type-var]
    async with client(protect(Starlette(routes=[Route("/", welcome)]))) as browser:
        with pytest.raises(ConfigurationError, match=r"add auth\.middleware"):
            await browser.get("/")


async def test_known_middleware_keeps_a_mount_resolvable() -> None:
    """Starlette's own and ours leave the path as it is."""
    middleware = [Middleware(GZipMiddleware), *offline().middleware, Guard(~staff)]
    routes = [
        Mount("/mount", routes=[Route("/", welcome), Route("/hello", hello)], middleware=middleware[:2]),
        Mount("/guarded", routes=[Route("/", hello)], middleware=middleware),
        Mount("/router", Router([Route("/", welcome)], middleware=middleware[:2])),
        Route("/route", hello, middleware=middleware),
    ]
    async with client(protect(Starlette(routes=routes, middleware=offline().middleware))) as browser:
        paths = ("/mount/", "/mount/hello", "/guarded/", "/router/", "/route")
        assert [(await browser.get(path)).status_code for path in paths] == [200, 401, 200, 200, 200]


async def test_redirects_of_slashes_preflights_and_wrong_methods_stay() -> None:
    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    cors = Middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_methods=["GET"])
    routes = [Route("/slash/", hello), Route("/class", Page), Route("/", hello)]
    app = protect(Starlette(routes=routes, middleware=[cors, *offline().middleware]))
    preflight = {"origin": "https://app.example", "access-control-request-method": "GET"}
    async with client(app) as browser:
        redirect = await browser.get("/slash")
        assert (redirect.status_code, redirect.headers["location"]) == (307, BASE_URL + "/slash/")
        assert (await browser.get("/slash/")).status_code == 401
        assert (await browser.options("/class", headers=preflight)).status_code == 200
        answers = [await browser.request(method, "/class") for method in ("OPTIONS", "DELETE", "BREW", "GET", "HEAD")]
        assert [answer.status_code for answer in answers] == [405, 405, 405, 401, 401]
        assert (await browser.post("/")).status_code == 405


async def test_V077_a_stripping_proxy_and_a_strange_host_open_nothing() -> None:
    """T09: the routes' own matching decides, on `scope["path"]`."""
    routes = [Mount("/shop", routes=[Route("/open", welcome), Route("/{path:path}", hello)])]
    app = protect(Starlette(routes=routes, middleware=offline().middleware))
    for root_path, prefix in (("", ""), ("/proxy", "/proxy"), ("/shop", "/shop")):
        transport = httpx2.ASGITransport(app=app, root_path=root_path)
        for host in ("site.example", "x/abc?b=", "evil.example@site.example"):
            async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers={"host": host}) as browser:
                assert (await browser.get(prefix + "/shop/open")).text == "welcome"
                for path in ("/shop/x", "/shop/open/", "/shop//open", "/shop/%6fpen/x"):
                    assert (await browser.get(prefix + path)).status_code == 401, (root_path, path)
                page = await browser.get(prefix + "/shop/x", headers=PAGE)
                assert page.headers["location"] == f"{root_path}/auth/login?next={root_path}/shop/x"


# CSRF


@csrf_exempt
async def hook(request: Request) -> Response:
    return PlainTextResponse("hook")


class Page(HTTPEndpoint):
    @csrf_exempt
    async def post(self, request: Request) -> Response:
        return PlainTextResponse("hook")

    async def delete(self, request: Request) -> Response:
        return PlainTextResponse("hello")


class Hooks:
    async def hook(self, request: Request) -> Response:
        return PlainTextResponse("hook")


def asked(app: Any, path: str, method: str = "POST", **scope: Any) -> bool:
    return is_csrf_exempt({"type": "http", "method": method, "path": path, "headers": [], "app": app, **scope})


def test_D18_csrf_exempt_is_found_where_the_request_will_arrive() -> None:
    post = {"methods": ["POST"]}
    sub = Starlette(routes=[Route("/hook", hook, **post), Route("/hello", hello, **post)])  # type: ignore[arg-type]
    app = FastAPI(
        routes=[
            Route("/hook", hook, methods=["POST"]),
            Route("/hello", hello, methods=["POST"]),
            csrf_exempt(Route("/route", hello, methods=["POST"])),
            Route("/class", Page),
            Route("/guarded", login_required(hook), methods=["POST"]),
            Route("/exempt-guarded", csrf_exempt(requires(staff)(hello)), methods=["POST"]),
            Route("/bound", csrf_exempt(Hooks().hook), methods=["POST"]),
            Mount("/mount", routes=[Route("/hook", hook, methods=["POST"])]),
            csrf_exempt(Mount("/asgi", PlainTextResponse("in"))),
            Mount("/sub", sub),
        ]
    )
    app.post("/operation")(hook)
    exempt = [
        "/hook",
        "/route",
        "/class",
        "/guarded",
        "/exempt-guarded",
        "/bound",
        "/mount/hook",
        "/asgi/x",
        "/operation",
    ]
    checked = ["/hello", "/nowhere", "/sub/hook", "/mount/hello"]
    assert [path for path in [*exempt, *checked] if asked(app, path)] == exempt
    assert not asked(app, "/class", "DELETE")
    assert not asked(None, "/hook")
    assert not is_csrf_exempt({"type": "http", "method": "POST", "path": "/hook", "headers": []})


def test_D18_the_middleware_of_a_mount_exempts_nothing() -> None:
    """What it sees is a part of the path: `/mount/hook` must not be taken for `/hook`."""
    app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
    assert not asked(app, "/mount/hook", root_path="/mount", endpoint=Mount("/mount", app))
    assert asked(app, "/mount/hook", root_path="/mount", endpoint=app)


def test_what_cannot_carry_a_mark_is_refused() -> None:
    def view(request: Request) -> Response:  # of its own: a mark stays for good
        return PlainTextResponse("hello")

    for mark in (public, csrf_exempt):
        with pytest.raises(ConfigurationError, match="Route or Mount"):
            mark(len)
        wrapped = staticmethod(view)
        assert mark(wrapped) is wrapped
