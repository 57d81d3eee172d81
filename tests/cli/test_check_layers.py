"""What `asgiauth check` finds before the routes, however it was put there: in the list of an application, of a mount or
of a route, by position or by name, or around the application by hand."""

from __future__ import annotations

import json

import pytest

from asgiauth.checks import Finding

from .conftest import Project

CODE = """
import functools
import secrets
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from asgiauth import Auth, PasswordPolicy, login_required, public
from asgiauth.guards import Guard, protect, staff
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

def auth_with(**options):
    given = dict(secret_keys=[secrets.token_urlsafe(48), secrets.token_urlsafe(48)], base_url="https://shop.example")
    return Auth("sqlite:///app.db", passwords=PasswordPolicy.nist(), **{**given, **options})
@login_required
async def view(request): return PlainTextResponse("members")
@public
async def open_view(request): return PlainTextResponse("everybody")
auth = auth_with()
def site(*routes, auth=auth, middleware=(), **options):
    given = dict(middleware=[*middleware, *auth.middleware], lifespan=auth.lifespan, exception_handlers=auth.exception_handlers)
    return Starlette(routes=[Route("/", view), *routes], **{**given, **options})
def sub(*middleware, **options):
    given = dict(exception_handlers=auth.exception_handlers, middleware=middleware)
    return Starlette(routes=[Route("/x", view)], **{**given, **options})
def by_hand(app, auth=auth):
    made, = auth.middleware
    return made.cls(app, *made.args)
def cors(**options): return Middleware(CORSMiddleware, allow_credentials=True, **options)
class Own:
    def __init__(self, app): self._app = app
    async def __call__(self, scope, receive, send): await self._app(scope, receive, send)
def making(app): return Own(app)
"""

FAULTS = [
    ("cors_any_origin", "app = CORSMiddleware(site(), allow_origins=['*'], allow_credentials=True)"),
    ("cors_any_origin", "app = Own(CORSMiddleware(site(), allow_origins=['*'], allow_credentials=True))"),
    ("cors_any_origin", "app = site(middleware=[Middleware(CORSMiddleware, ['*'], ['*'], ['*'], True)])"),
    (
        "cors_any_origin",
        "app = site(middleware=[Middleware(functools.partial(CORSMiddleware, allow_credentials=True), ['*'])])",
    ),
    ("cors_any_origin", "app = site(Mount('/sub', sub(cors(allow_origins=['*']))))"),
    ("cors_any_origin", "app = site(Route('/x', view, middleware=[cors(allow_origins=['*'])]))"),
    ("cors_any_origin", r"app = site(middleware=[cors(allow_origin_regex=r'https://.*\.shop\.example.*')])"),
    ("cors_any_origin", r"app = site(middleware=[cors(allow_origin_regex=r'https://.*shop\.example')])"),
    ("cors_any_origin", "app = site(middleware=[cors(allow_origin_regex='https://www.shop.example')])"),
    ("cors_any_origin", r"app = site(middleware=[cors(allow_origin_regex=r'https?://[a-z0-9.-]+\.com')])"),
    ("cors_null_origin", "app = site(middleware=[cors(allow_origins=['null'])])"),
    ("proxy_headers_trust_everybody", "app = ProxyHeadersMiddleware(site(), trusted_hosts='*')"),
    ("proxy_headers_trust_everybody", "app = site(middleware=[Middleware(ProxyHeadersMiddleware, '*')])"),
    ("proxy_headers_trust_everybody", "app = site(middleware=[Middleware(ProxyHeadersMiddleware, ['0.0.0.0/0'])])"),
    ("proxy_headers_trust_everybody", "app = ProxyHeadersMiddleware(site(), '0.0.0.0/1,128.0.0.0/1')"),
    ("session_middleware", "app = SessionMiddleware(site(), secret_key='x')"),
    (
        "session_middleware",
        "app = site(Mount('/sub', routes=[Route('/x', view)], middleware=[Middleware(SessionMiddleware, 'x')]))",
    ),
    ("session_middleware", "app = site(Mount('/sub', sub(Middleware(SessionMiddleware, 'x'))))"),
    ("cors_behind_middleware", "app = site(Mount('/sub', sub(Middleware(CORSMiddleware))))"),
    ("guard_before_middleware", "app = site(middleware=[Guard(staff)])"),
    (
        "guard_before_middleware",
        "app = Starlette(routes=[Mount('/', routes=[Route('/x', view)], middleware=[Guard(staff), *auth.middleware])])",
    ),
    ("middleware_missing", "app = site(middleware=[])\napp.user_middleware = []"),
    ("middleware_missing", "app = site(Mount('/sub', sub(*auth.middleware)))\napp.user_middleware = []"),
    (
        "middleware_missing",
        "app = protect(Starlette(routes=[Route('/x', PlainTextResponse('x')), Mount('/sub', sub(*auth.middleware))]))",
    ),
    ("middleware_of_another_auth", "app = by_hand(sub(), auth_with())"),
    ("middleware_twice", "app = site(middleware=auth.middleware)"),
    ("login_url_not_served", "auth = auth_with(login_url='/nowhere/login')\napp = site(auth=auth)"),
    ("login_url_not_served", "app = site(Mount('/account', routes=auth.html_routes()))"),
    ("login_url_not_served", "app = by_hand(sub(), auth)\nauth.html_routes()"),
    (
        "login_url_not_served",
        "auth = auth_with(login_url='https://shop.example/nowhere')\napp = Starlette(routes=[Mount('/s', site(auth=auth))])",
    ),
]
DEPLOY_FAULTS = [
    ("cors_origin_not_https", "app = site(middleware=[cors(allow_origins=['https://a.example', 'http://a.example'])])"),
    ("cors_origin_not_https", r"app = site(middleware=[cors(allow_origin_regex=r'https?://app\.shop\.example')])"),
    ("cors_origin_not_https", r"app = site(middleware=[cors(allow_origin_regex=r'http://localhost(:\d+)?')])"),
    ("debug", "app = site(Mount('/sub', sub(debug=True)))"),
    ("debug", "app = FastAPI(middleware=auth.middleware)\napp.mount('/sub', sub(debug=True))"),
]
WARNINGS = [
    ("exception_handlers_missing", "app = site(Mount('/sub', sub(exception_handlers={})))"),
    ("lifespan_missing", "app = Own(site(lifespan=None))"),
]
RIGHT = {
    "middleware on a mounted application": (
        "app = Starlette(routes=[Mount('/api', sub(*auth.middleware))], lifespan=auth.lifespan)"
    ),
    "middleware of a mount": (
        "app = Starlette(routes=[Mount('/api', routes=[Route('/x', view)], middleware=auth.middleware)],"
        " lifespan=auth.lifespan, exception_handlers=auth.exception_handlers)"
    ),
    "middleware of a route": (
        "app = Starlette(routes=[Route('/x', view, middleware=auth.middleware), Route('/health', open_view)],"
        " lifespan=auth.lifespan, exception_handlers=auth.exception_handlers)"
    ),
    "middleware by hand": "app = by_hand(sub(lifespan=auth.lifespan))",
    "middleware of one's own around it": "app = Own(site())",
    "middleware that a function makes": "app = site(middleware=[Middleware(making)])",
    "an application in another one, with the middleware of both": "app = site(Mount('/sub', sub(*auth.middleware)))",
    "two realms": (
        "other = auth_with(realm='other')\n"
        "app = Starlette(routes=[Mount('/a', site()), Mount('/b', site(auth=other))], lifespan=auth.lifespan)"
    ),
    "pages where login_url says": "app = site(Mount('/auth', routes=auth.html_routes()))",
    "pages of a mounted application": (
        "app = Starlette(routes=[Mount('/sub', site(Mount('/auth', routes=auth.html_routes())))], lifespan=auth.lifespan)"
    ),
    "pages in middleware of a mount": (
        "app = Starlette(routes=[Mount('/sub', routes=[Route('/x', view), Mount('/auth', routes=auth.html_routes())],"
        " middleware=auth.middleware)], lifespan=auth.lifespan, exception_handlers=auth.exception_handlers)"
    ),
    "pages on a host of their own": (
        "app = site(Host('shop.example', Router([Mount('/auth', routes=auth.html_routes())])))"
    ),
    "a login page with a slash": (
        "auth = auth_with(login_url='/sign-in/')\napp = site(Route('/sign-in', open_view), auth=auth)"
    ),
    "CORS for some": (
        r"app = site(middleware=[cors(allow_origins=['https://a.example'], allow_origin_regex=r'https://[a-z]+\.shop\.example')])"
    ),
    "CORS for everybody, without credentials": "app = site(middleware=[Middleware(CORSMiddleware, ['*'])])",
    "a session of a mounted application without ours": (
        "app = Starlette(routes=[Mount('/a', site()), Mount('/b', Starlette(routes=[Route('/x', open_view)],"
        " middleware=[Middleware(SessionMiddleware, 'x')]))], lifespan=auth.lifespan)"
    ),
    "one's own proxies": "app = ProxyHeadersMiddleware(site(), ['127.0.0.1', '10.0.0.0/8'])",
    "FastAPI's routers": (
        "r = APIRouter()\n@r.get('/x')\n@public\nasync def x(): ...\n"
        "app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, middleware=auth.middleware, lifespan=auth.lifespan,"
        " exception_handlers=auth.exception_handlers)\napp.include_router(r, prefix='/r')"
    ),
}


def check(project: Project, code: str, *options: str) -> tuple[int, dict[str, Finding]]:
    project.write(CODE + code)
    result = project.run("--app", "project_under_test:auth", "check", "--json", *options, "project_under_test:app")
    return result.exit_code, {finding["code"]: Finding(**finding) for finding in json.loads(result.stdout)}


@pytest.mark.parametrize(("code", "planted"), FAULTS)
def test_A19_a_fault_is_found_wherever_it_stands(project: Project, code: str, planted: str) -> None:
    status, found = check(project, planted)
    assert (status, found[code].level) == (1, "error")
    assert found[code].text
    assert found[code].cure


@pytest.mark.parametrize(("code", "planted"), DEPLOY_FAULTS)
def test_A19_a_fault_of_a_deployment_is_found_wherever_it_stands(project: Project, code: str, planted: str) -> None:
    assert code not in check(project, planted)[1]
    status, found = check(project, planted, "--deploy")
    assert (status, found[code].level) == (1, "error")


@pytest.mark.parametrize(("code", "planted"), WARNINGS)
def test_A19_a_warning_of_an_inner_application_is_found_too(project: Project, code: str, planted: str) -> None:
    status, found = check(project, planted, "--deploy")
    assert (status, found[code].level) == (0, "warning")


@pytest.mark.parametrize("name", RIGHT)
def test_A19_an_application_that_is_right_is_left_in_peace(project: Project, name: str) -> None:
    assert check(project, RIGHT[name], "--deploy") == (0, {})


def test_of_a_fault_before_some_routes_the_first_is_named(project: Project) -> None:
    found = check(project, "app = site(Mount('/sub', sub(Middleware(SessionMiddleware, 'x'))))")[1]
    assert found["session_middleware"].text.endswith("request.session. (before /sub/x)")
    wide = "app = site(Mount('/s', Starlette(debug=True, exception_handlers=auth.exception_handlers,"
    found = check(project, f"{wide} routes=[Route('/a', view), Route('/b', view)])))", "--deploy")[1]
    assert found["debug"].text.endswith("(before /s/a and 1 more)")


def test_each_realm_of_the_example_is_right() -> None:
    from asgiauth.cli.app_findings import of_application
    from examples.two_realms.app import app, customers, staff

    assert list(of_application(app, customers, deploy=True)) == []
    assert list(of_application(app, staff, deploy=True)) == []
