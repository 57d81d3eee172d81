"""`asgiauth routes --strict` finds each planted fault, and what it says of a route is what the route does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import APIRouter

from asgiauth.cli.describe import describe
from asgiauth.cli.lost import lost_guards
from asgiauth.cli.site import load

from ..conftest import client
from .conftest import Project

PREAMBLE = """
import functools
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.authentication import requires as starlette_requires
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
import asgiauth
from asgiauth import login_required, public, requires
from asgiauth.fastapi import CurrentUser, Requires, auth_router
from asgiauth.guards import Guard, authenticated, csrf_exempt, protect, staff, superuser
from tests.conftest import make_auth

auth = make_auth("sqlite:///app.db")
auth_list = auth.middleware

def answer(request): return PlainTextResponse("ok")
def fresh(**marks):
    async def view(request: Request): return PlainTextResponse("ok")
    return view
class ASGI:
    async def __call__(self, scope, receive, send): await PlainTextResponse("ok")(scope, receive, send)
class Passing:
    def __init__(self, app): self.app = app
    async def __call__(self, scope, receive, send): await self.app(scope, receive, send)
class OwnRoute(Route):
    async def handle(self, scope, receive, send): await PlainTextResponse("ok")(scope, receive, send)
class Anything(BaseRoute):
    def matches(self, scope): return (Match.FULL, {}) if scope["path"] == "/anything" else (Match.NONE, {})
    async def handle(self, scope, receive, send): await PlainTextResponse("ok")(scope, receive, send)
def timed(view):
    @functools.wraps(view)
    async def wrapper(*args, **kwargs): return await view(*args, **kwargs)
    return wrapper
def hidden(view):
    async def wrapper(request: Request): return await view(request)
    return wrapper
def site(*routes, **options): return Starlette(routes=list(routes), middleware=auth.middleware, **options)
def api(**options): return FastAPI(docs_url=None, redoc_url=None, openapi_url=None, middleware=auth.middleware, **options)
"""

OPEN = {
    "function": ("app = site(Route('/x', answer))", "/x"),
    "sync lambda": ("app = site(Route('/x', lambda request: answer(request)))", "/x"),
    "websocket": ("async def ws(websocket): ...\napp = site(WebSocketRoute('/x', ws))", "/x"),
    "websocket class": ("class X(WebSocketEndpoint): ...\napp = site(WebSocketRoute('/x', X))", "/x"),
    "one method of a class": (
        (
            "class X(HTTPEndpoint):\n    @login_required\n    async def get(self, request): ...\n    async def post(self, request): ...\n"
            "app = site(Route('/x', X))"
        ),
        "/x",
    ),
    "a class with a dispatch of its own": (
        (
            "class X(HTTPEndpoint):\n    async def dispatch(self): ...\n    @login_required\n    async def get(self, request): ...\n"
            "app = site(Route('/x', X))"
        ),
        "/x",
    ),
    "static files": ("app = site(Mount('/static', StaticFiles(directory='.')))", "/static/*"),
    "nested": ("app = site(Mount('/a', routes=[Mount('/b', routes=[Route('/x', answer)])]))", "/a/b/x"),
    "sub-application": ("app = site(Mount('/a', Starlette(routes=[Route('/x', answer)])))", "/a/x"),
    "host": ("app = site(Host('api.example.org', Router([Route('/x', answer)])))", "api.example.org/x"),
    "ASGI": ("app = site(Route('/x', ASGI()))", "/x"),
    "default": ("app = site()\napp.router.default = ASGI()", "/*"),
    "included route of its own": (
        (
            "from fastapi.routing import APIRoute\nclass Own(APIRoute):\n    async def handle(self, *parts): ...\n"
            "r = APIRouter(route_class=Own)\n@r.get('/x')\nasync def x(user: CurrentUser): ...\n"
            "app = api()\napp.include_router(r)"
        ),
        "/x",
    ),
    "route of its own": ("app = site(OwnRoute('/x', login_required(fresh())))", "/x"),
    "unknown route": ("app = site(Anything())", "/*"),
    "documentation": ("app = FastAPI(middleware=auth.middleware)", "/docs"),
    "operation": ("app = api()\n@app.get('/x')\nasync def x(): ...", "/x"),
    "included": (
        (
            "r = APIRouter()\n@r.get('/x')\nasync def x(): ...\nq = APIRouter()\nq.include_router(r, prefix='/r')\n"
            "app = api()\napp.include_router(q, prefix='/q')"
        ),
        "/q/r/x",
    ),
    "a Starlette route in a guarded router": (
        (
            "r = APIRouter(dependencies=[Depends(Requires(staff))])\nr.add_route('/x', answer)\napp = api()\n"
            "app.include_router(r)"
        ),
        "/x",
    ),
    "front end": ("app = api()\napp.frontend('/', directory='.')", "/*"),
    "Starlette's own guard": ("app = site(Route('/x', starlette_requires('authenticated')(fresh())))", "/x"),
    "in middleware of its own": ("app = Passing(site(Route('/x', answer)))", "/x"),
}

LOST = {
    "above the route": "app = api()\n@login_required\n@app.get('/x')\nasync def x(request: Request): ...",
    "called above the route": "app = api()\n@requires(staff)\n@app.get('/x')\nasync def x(request: Request): ...",
    "by its module above the route": "app = api()\n@asgiauth.guards.requires(staff)\n@app.get('/x')\nasync def x(request: Request): ...",
    "by a name of one's own above the route": (
        "app = api()\nstaff_only = requires(staff)\n@staff_only\n@app.get('/x')\nasync def x(request: Request): ..."
    ),
    "above the router's route": (
        "r = APIRouter()\n@login_required\n@r.get('/x')\nasync def x(request: Request): ...\napp = api()\n"
        "app.include_router(r)"
    ),
    "in a function": (
        "def make():\n    from asgiauth import requires as requires, staff_only\n    app = api()\n"
        "    @requires(staff)\n    @app.get('/x')\n    async def x(request: Request): ...\n    return app\n"
    ).replace(", staff_only", "")
    + "app = make()",
    "imported in a function": (
        "del login_required\ndef make():\n    from asgiauth import login_required\n    app = api()\n"
        "    @login_required\n    @app.get('/x')\n    async def x(request: Request): ...\n    return app\napp = make()"
    ),
    "one of two": (
        "app = api()\n@requires(staff)\n@app.get('/x')\n@login_required\nasync def x(request: Request): ..."
    ),
    "behind a wrapper": "app = site(Route('/x', timed(login_required(fresh()))))",
    "behind a public wrapper": "app = site(Route('/x', public(timed(login_required(fresh())))))",
    "behind a wrapper without wraps": "app = site(Route('/x', hidden(login_required(fresh()))))",
    "behind a wrapper between two": "app = site(Route('/x', login_required(timed(requires(staff)(fresh())))))",
    "behind an object": (
        "class Timed:\n    def __init__(self, view): functools.update_wrapper(self, view)\n"
        "    async def __call__(self, scope, receive, send): ...\napp = site(Route('/x', Timed(login_required(fresh()))))"
    ),
    "behind a wrapper in a partial": "app = site(Route('/x', functools.partial(timed(login_required(fresh())))))",
    "of a base class": (
        "@login_required\nclass Base(HTTPEndpoint):\n    async def get(self, request): ...\n"
        "class X(Base):\n    def __await__(self): return self.dispatch().__await__()\napp = site(Route('/x', X))"
    ),
    "behind a wrapper of a method": (
        "class X(HTTPEndpoint):\n    @timed\n    @login_required\n    async def get(self, request): ...\n"
        "app = site(Route('/x', X))"
    ),
    "behind a wrapper of on_connect": (
        "class X(WebSocketEndpoint):\n    @timed\n    @login_required\n    async def on_connect(self, websocket): ...\n"
        "app = site(WebSocketRoute('/x', X))"
    ),
    "in middleware that include_router drops": (
        "r = APIRouter()\nr.routes.append(Route('/x', answer, middleware=[Guard(staff)]))\napp = api()\n"
        "app.include_router(r)"
    ),
}

GUARDED = {
    "decorated": ("app = site(Route('/x', login_required(fresh())))", "authenticated"),
    "decorated twice": ("app = site(Route('/x', login_required(requires(staff)(fresh()))))", "authenticated & staff"),
    "decorated below the route": (
        "app = api()\n@app.get('/x')\n@requires(staff | superuser)\nasync def x(request: Request): ...",
        "(staff | superuser)",
    ),
    "a class": (
        "@requires(staff)\nclass X(HTTPEndpoint):\n    async def get(self, request): ...\napp = site(Route('/x', X))",
        "staff",
    ),
    "a WebSocket class": (
        "@requires(staff)\nclass X(WebSocketEndpoint):\n    async def dispatch(self): ...\napp = site(WebSocketRoute('/x', X))",
        "staff",
    ),
    "its mount": ("app = site(Mount('/', routes=[Route('/x', answer)], middleware=[Guard(staff)]))", "staff"),
    "its route": ("app = site(Route('/x', answer, middleware=[Guard(staff)]))", "staff"),
    "the application": (
        "app = Starlette(routes=[Route('/x', answer)], middleware=[*auth.middleware, Guard(staff)])",
        "staff",
    ),
    "the router": (
        "app = Starlette(middleware=auth.middleware)\napp.router = Router([Route('/x', answer)], middleware=[Guard(staff)])",
        "staff",
    ),
    "a dependency": ("app = api()\n@app.get('/x')\nasync def x(user: CurrentUser): ...", "authenticated"),
    "a dependency of the router": (
        (
            "r = APIRouter(dependencies=[Depends(Requires(staff))])\n@r.websocket('/x')\nasync def x(websocket): ...\n"
            "app = api()\napp.include_router(r)"
        ),
        "staff",
    ),
    "a front end's": ("app = api(dependencies=[Depends(Requires(staff))])\napp.frontend('/x', directory='.')", "staff"),
    "an included front end's": (
        (
            "r = APIRouter()\nr.frontend('/', directory='.')\napp = api()\n"
            "app.include_router(r, prefix='/x', dependencies=[Depends(Requires(staff))])"
        ),
        "staff",
    ),
    "behind middleware of one's own": (
        "app = site(Route('/x', answer, middleware=[Middleware(Passing), Guard(staff)]))",
        "staff",
    ),
    "an own decision": (
        "from asgiauth.http.marks import mark_guarded\napp = site(Route('/x', mark_guarded(ASGI())))",
        "its own code",
    ),
}


def routes(project: Project, code: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    project.write(PREAMBLE + code)
    result = project.run("routes", "--json", *options, "project_under_test:app")
    return result.exit_code, json.loads(result.stdout)


if not hasattr(APIRouter, "frontend"):  # FastAPI had none before 0.139, and rebuilt routes without a trace of theirs
    del OPEN["front end"], GUARDED["a front end's"], GUARDED["an included front end's"]
    del LOST["in middleware that include_router drops"]


@pytest.mark.parametrize("name", OPEN)
def test_strict_fails_on_a_route_that_nobody_has_marked(project: Project, name: str) -> None:
    code, path = OPEN[name]
    status, found = routes(project, code, "--strict")
    assert status == 1
    assert path in [info["path"] for info in found if info["state"] == "open"]
    assert routes(project, code)[0] == 0


@pytest.mark.parametrize("name", LOST)
def test_strict_fails_on_a_guard_that_the_order_has_lost(project: Project, name: str) -> None:
    """Whatever else guards the route."""
    status, found = routes(project, LOST[name], "--strict")
    assert status == 1
    assert [len(info["problems"]) for info in found if info["path"] == "/x"] == [1]


@pytest.mark.parametrize("name", GUARDED)
def test_strict_passes_a_guard_wherever_it_stands(project: Project, name: str) -> None:
    code, text = GUARDED[name]
    status, found = routes(project, code, "--strict")
    assert status == 0, found
    assert [" & ".join(info["guards"]) for info in found] == [text]


MIXED = """
sub = protect(Starlette(routes=[Route('/a', public(fresh())), Route('/b', answer)], middleware=auth.middleware))
r = APIRouter()
@r.get('/open')
@public
async def one(): return 1
@r.get('/closed')
async def two(): return 2
r.mount('/deep', Router([Route('/x', public(fresh())), Route('/y', answer)]))
r.add_websocket_route('/ws', answer)
class Some(HTTPEndpoint):
    @public
    async def get(self, request): return PlainTextResponse("ok")
    async def post(self, request): return PlainTextResponse("ok")
class Gated(Router):
    async def __call__(self, scope, receive, send): await super().__call__(scope, receive, send)
app = FastAPI(middleware=auth.middleware, routes=[
    Route('/public', public(fresh())),
    Route('/guarded', login_required(fresh())),
    Route('/partly', Some),
    Route('/exempt', csrf_exempt(public(fresh()))),
    Route('/seen', public(fresh()), middleware=[Middleware(Passing)]),
    Route('/inner', fresh(), middleware=[Middleware(Passing), Guard(authenticated)]),
    Mount('/mount', routes=[Route('/x', fresh()), Route('/y', public(fresh()))]),
    public(Mount('/all', routes=[Route('/x', fresh()), Route('/y', login_required(fresh()))])),
    Mount('/passing', Passing(Router([Route('/x', public(fresh()))]))),
    Mount('/own', Gated([Route('/x', public(fresh()))])),
    Mount('/asgi', ASGI()),
    Mount('/asgi-public', public(ASGI())),
    Mount('/sub', sub),
    public(Mount('/sub-public', sub)),
    Mount('/guard', routes=[Route('/x', fresh())], middleware=[Guard(authenticated)]),
])
app.include_router(r, prefix='/r')
app.include_router(auth_router(auth), prefix='/api/auth')
app.router.default = ASGI()
protect(app)
"""


def test_what_is_said_of_a_route_is_what_it_does(project: Project) -> None:
    """Each route of a protected application, asked by an anonymous visitor: `public` lets in, the rest does not."""
    project.write(PREAMBLE + MIXED)
    status = project.run("routes", "--strict", "project_under_test:app")
    assert status.exit_code == 0, status.output
    app = load("project_under_test:app", "app")
    infos = describe(app)
    told: dict[str, str] = {}
    found: dict[str, str] = {}

    async def ask() -> None:
        async with client(app) as browser:
            for info in infos:
                method = info.methods[0] if info.methods else "GET"
                if info.kind == "websocket" or info.path.startswith("/api/auth"):
                    continue
                key = f"{method} {info.path}"
                told[key] = "in" if info.state == "public" else "out"
                answer = await browser.request(method, info.path.replace("*", "anything"))
                found[key] = "out" if answer.status_code == 401 else "in"

    asyncio.run(ask())
    assert len(told) > 20
    assert told == found
    assert set(told.values()) == {"in", "out"}


def test_for_people_each_route_is_a_line_in_the_order_of_matching(project: Project) -> None:
    project.write(
        PREAMBLE
        + "async def ws(websocket): ...\n@csrf_exempt\n@public\ndef hook(request): ...\n"
        + "app = site(Route('/b', hook, methods=['POST']), Mount('/a', ASGI()), WebSocketRoute('/ws', ws),\n"
        + "    Route('/staff', timed(requires(staff)(fresh())), methods=['DELETE', 'GET', 'PURGE']))\n"
    )
    result = project.run("routes", "--strict", "project_under_test:app")
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "POST /b public (csrf_exempt) project_under_test.hook",
        "ANY /a/* OPEN project_under_test.ASGI",
        "WS /ws OPEN project_under_test.ws",
        "GET,DELETE,PURGE /staff OPEN project_under_test.fresh.<locals>.view",
        "LOST: timed stands before a guard and may answer for it: put the guard above it",
        "",
        "3 open without a word: add a guard, @public, or protect(app).",
    ]


def test_wrappers_that_are_no_guards_are_left_in_peace() -> None:
    """One that is not finished yet, and decorators that have no name."""
    decorators = [lambda view: view]

    @decorators[0]
    def view() -> object:
        return later

    assert lost_guards(view) == []
    later = 1
    assert view() == 1


def test_an_application_without_routes_has_nothing_to_say(project: Project) -> None:
    project.write(PREAMBLE + "app = site()")
    result = project.run("routes", "--strict", "project_under_test:app")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("name", "said"), [("site", "app = site()"), ("auth_list", "is no Starlette"), ("aqq", "no 'aqq'")]
)
def test_what_is_no_application_is_exit_code_2(project: Project, name: str, said: str) -> None:
    project.write(PREAMBLE)
    result = project.run("routes", f"project_under_test:{name}")
    assert (result.exit_code, said in result.stderr) == (2, True)
