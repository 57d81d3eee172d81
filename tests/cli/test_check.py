"""`asgiauth check`: each planted fault is found by its code, and a site without fault is left in peace (A19)."""

from __future__ import annotations

import json

import pytest

from asgiauth.checks import Finding

from .conftest import Project

CODE = """
import secrets
from dataclasses import dataclass
from datetime import timedelta
import databases
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from asgiauth import Auth, PasswordPolicy, SessionPolicy, User, UserModel, public, login_required
from asgiauth.guards import Guard, staff
from hashlib import scrypt, sha256
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher
from asgiauth.passwords.hashers import WrappedHasher
from asgiauth.sessions.memory import MemorySessionStore
from asgiauth.testing import fast_passwords
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

@dataclass(frozen=True, kw_only=True, eq=False)
class Careless(User):
    def is_authenticated(self): return False

class Own:
    algorithm = "own"
    def __init__(self, make): self.make = make
    def encode(self, password): return "own$" + self.make(password)
    def identify(self, encoded): return encoded.startswith("own$")
    def is_weaker(self, encoded): return False
    def verify(self, password, encoded): return False
def slow(password, salt): return scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1).hex()[:60]
CHEAP = PBKDF2Hasher(iterations=1000)

def key(): return "".join(secrets.choice("ABDFGHIJKLMNPQRTVXYZ0123456789") for _ in range(64))  # no placeholder by chance
def auth_with(**options):
    options = {{"database": "sqlite:///app.db", "secret_keys": [key(), key()], "base_url": "https://shop.example", "passwords": PasswordPolicy.nist(), **options}}
    return Auth(options.pop("database"), **options)
async def hello(request): return PlainTextResponse("hello")
async def home(request): return PlainTextResponse("home")
def careless(view):
    from functools import wraps
    @wraps(view)
    async def wrapper(request): return await view(request)
    return wrapper
auth = auth_with({auth})
def app_with(**options):
    given = dict(routes=[Route("/", public(home))], middleware=auth.middleware, lifespan=auth.lifespan)
    return Starlette(**{{**given, "exception_handlers": auth.exception_handlers, **options}})
app = app_with({app})
"""

AUTH_FAULTS = [
    ("is_authenticated_is_a_method", "user_model=UserModel(Careless)"),
    ("proxies_trust_everybody", "trusted_proxies=['10.0.0.0/8', '0.0.0.0/0']"),
    ("proxies_trust_everybody", "trusted_proxies=['::/0']"),
    ("proxies_trust_everybody", "trusted_proxies=['0.0.0.0/1', '128.0.0.0/1']"),
    ("proxies_trust_everybody", "trusted_proxies=['10.0.0.0/8', '2000::/3']"),
    ("login_is_skipped", "skip=['/auth/']"),
    ("login_is_skipped", "skip=['/auth/'], login_url='https://shop.example/auth/login'"),
    ("login_redirect_loop", "login_redirect_url='/auth/login'"),
    ("login_redirect_loop", "login_redirect_url='https://shop.example/auth/login/?again=1'"),
]
DEPLOY_FAULTS = [
    ("base_url_not_https", "base_url='http://localhost:8000'"),
    ("base_url_is_local", "base_url='https://127.0.0.1'"),
    ("trusted_origin_not_https", "trusted_origins=['http://admin.shop.example']"),
    ("login_url_not_https", "login_url='http://login.example/'"),
    ("secret_key_short", "secret_keys=[key(), key()[:42]]"),
    ("secret_key_weak", "secret_keys=['abcdefgh01234567' * 3, key()]"),
    ("secret_key_weak", "secret_keys=['abcdefgh0123456' * 4, key()]"),
    ("secret_key_in_source", "secret_keys=['4WQmwRPCzYl0S9EXAyMTtY4wNqzM5dM7nYk1HtSg2cU', key()]"),
    ("passwords_short", "passwords=PasswordPolicy(min_length=6)"),
    ("hashing_cheap", "passwords=fast_passwords()"),
    ("hashing_cheap", "passwords=PasswordPolicy(hashers=[PBKDF2Hasher(iterations=100_000)], for_tests=True)"),
    ("hashing_cheap", "passwords=PasswordPolicy(hashers=[Argon2Hasher(), WrappedHasher(CHEAP)], for_tests=True)"),
    ("hashing_plain", "passwords=PasswordPolicy(hashers=[Own(lambda password: password)])"),
    (
        "hashing_plain",
        "passwords=PasswordPolicy(hashers=[Own(lambda password: sha256(password.encode()).hexdigest())])",
    ),
    ("hashing_unsalted", "passwords=PasswordPolicy(hashers=[Own(lambda password: slow(password, b'salt'))])"),
    ("hashing_cheap", "passwords=PasswordPolicy(hashers=[Own(lambda password: key() + str(hash(password)))])"),
    ("failures_tell_time", "passwords=PasswordPolicy(failure_deadline=0)"),
    ("sessions_in_memory", "sessions=SessionPolicy(store=MemorySessionStore())"),
    ("database_in_memory", "database=create_async_engine('sqlite+aiosqlite://')"),
    (
        "database_in_memory",
        "database=create_async_engine('sqlite+aiosqlite:///file:a?mode=memory&uri=true', poolclass=StaticPool)",
    ),
]
WARNINGS = [
    ("passwords_alone_short", "passwords=PasswordPolicy()"),
    ("secret_key_never_rotated", "secret_keys=[key()]"),
    ("base_url_is_private", "base_url='https://192.168.0.5'"),
    ("sessions_long", "sessions=SessionPolicy(remember_absolute=timedelta(days=400))"),
]
APP_FAULTS = [
    ("middleware_missing", "middleware=[]"),
    ("middleware_of_another_auth", "middleware=auth_with().middleware"),
    ("middleware_twice", "middleware=[*auth.middleware, *auth.middleware]"),
    ("session_middleware", "middleware=[*auth.middleware, Middleware(SessionMiddleware, secret_key='x')]"),
    ("guard_before_middleware", "middleware=[Guard(staff), *auth.middleware]"),
    ("cors_behind_middleware", "middleware=[*auth.middleware, Middleware(CORSMiddleware)]"),
    (
        "cors_any_origin",
        "middleware=[Middleware(CORSMiddleware, allow_origins=['*'], allow_credentials=True), *auth.middleware]",
    ),
    (
        "cors_any_origin",
        "middleware=[Middleware(CORSMiddleware, allow_origin_regex='https://.*', allow_credentials=True), *auth.middleware]",
    ),
    (
        "proxy_headers_trust_everybody",
        "middleware=[Middleware(ProxyHeadersMiddleware, trusted_hosts='*'), *auth.middleware]",
    ),
    ("guard_lost", "routes=[Route('/', careless(login_required(hello)))]"),
]
APP_DEPLOY_FAULTS = [("debug", "debug=True"), ("route_open", "routes=[Route('/', hello)]")]
APP_WARNINGS = [("lifespan_missing", "lifespan=None"), ("exception_handlers_missing", "exception_handlers=None")]


def check(project: Project, *options: str, auth: str = "", app: str = "") -> tuple[int, dict[str, Finding]]:
    project.write(CODE.format(auth=auth, app=app))
    result = project.run("--app", "project_under_test:auth", "check", "--json", *options, "project_under_test:app")
    return result.exit_code, {finding["code"]: Finding(**finding) for finding in json.loads(result.stdout)}


def test_a_site_without_fault_is_left_in_peace(project: Project) -> None:
    assert check(project) == (0, {})
    assert check(project, "--deploy") == (0, {})
    assert check(
        project, "--deploy", app="middleware=[Middleware(CORSMiddleware), *auth.middleware, Guard(staff)]"
    ) == (
        0,
        {},
    )
    assert check(project, "--deploy", auth="database=databases.Database('sqlite:///app.db')") == (0, {})
    own = "Own(lambda password: slow(password, secrets.token_bytes(16)))"
    for right in (
        f"passwords=PasswordPolicy.nist(hashers=[{own}])",
        "passwords=PasswordPolicy.nist(hashers=[Argon2Hasher(), CHEAP])",  # which only verifies
        "trusted_proxies=['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7', '::1']",
        "base_url='https://93.184.215.14'",
        "login_url='https://login.example/', login_redirect_url='https://login.example/'",
    ):
        assert check(project, "--deploy", auth=right) == (0, {}), right


@pytest.mark.parametrize(("code", "option"), AUTH_FAULTS)
def test_A19_a_fault_of_the_auth_is_found_everywhere(project: Project, code: str, option: str) -> None:
    status, found = check(project, auth=option)
    assert (status, found[code].level) == (1, "error")


@pytest.mark.parametrize(("code", "option"), DEPLOY_FAULTS)
def test_A19_6_a_fault_of_a_deployment_is_found_by_deploy_alone(project: Project, code: str, option: str) -> None:
    assert check(project, auth=option) == (0, {})
    status, found = check(project, "--deploy", auth=option)
    assert (status, found[code].level) == (1, "error")


@pytest.mark.parametrize(("code", "option"), APP_FAULTS)
def test_A19_5_a_fault_of_the_application_is_found_everywhere(project: Project, code: str, option: str) -> None:
    status, found = check(project, app=option)
    assert (status, found[code].level) == (1, "error")


@pytest.mark.parametrize(("code", "option"), APP_DEPLOY_FAULTS)
def test_what_is_right_while_developing_is_an_error_in_production(project: Project, code: str, option: str) -> None:
    status, found = check(project, app=option)
    assert (status, code not in found or found[code].level == "warning") == (0, True)
    status, found = check(project, "--deploy", app=option)
    assert (status, found[code].level) == (1, "error")


@pytest.mark.parametrize(
    ("code", "auth", "app"),
    [*((code, option, "") for code, option in WARNINGS), *((code, "", option) for code, option in APP_WARNINGS)],
)
def test_a_warning_does_not_count(project: Project, code: str, auth: str, app: str) -> None:
    status, found = check(project, "--deploy", auth=auth, app=app)
    assert (status, found[code].level) == (0, "warning")


DECLARED = "permissions=[asgiauth.Permission('blog.visit'), *asgiauth.crud('blog', 'post')]"


@pytest.mark.parametrize(
    ("code", "auth", "guard"),
    [
        ("permission_unknown", DECLARED, "perm('blog.vist')"),
        ("permission_unknown", DECLARED, "~(staff | perm('blog.visit', 'blog.vist'))"),
        ("permission_without_resource", DECLARED, "perm('blog.change_post', obj=hello)"),
        ("", DECLARED, "perm('blog.visit')"),
        ("", DECLARED, """group("perm('blog.vist')")"""),
        ("", "", "perm('blog.vist')"),
    ],
    ids=["misspelt", "among others", "no resource", "right", "a group", "nothing declared"],
)
def test_a_permission_that_a_guard_asks_for_in_vain_is_found(
    project: Project, code: str, auth: str, guard: str
) -> None:
    """By `routes --strict` as well. Where nothing is declared, the database alone may know them."""
    imports = "import asgiauth\nfrom asgiauth.guards import group, perm, requires\n"
    project.write(imports + CODE.format(auth=auth, app=f"routes=[Route('/', requires({guard})(hello))]"))
    result = project.run("--app", "project_under_test:auth", "check", "--json", "project_under_test:app")
    found = [finding["code"] for finding in json.loads(result.stdout)]
    assert (result.exit_code, found) == ((1, [code]) if code else (0, []))
    routes = project.run("routes", "--strict", "project_under_test:app")
    assert (routes.exit_code, "WRONG: GET HEAD / asks for" in routes.stdout) == ((1, True) if code else (0, False))


def test_D_05_eight_characters_are_enough_beside_a_second_factor(project: Project) -> None:
    pin = "__import__('examples.custom_feature.pin', fromlist=['Pin']).Pin()"
    status, found = check(project, "--deploy", auth=f"passwords=PasswordPolicy(), features=[{pin}]")
    assert (status, "passwords_alone_short" in found) == (0, False)


def test_for_people_each_fault_comes_with_its_cure_and_errors_first(project: Project) -> None:
    project.write(CODE.format(auth="secret_keys=[key()], trusted_proxies=['0.0.0.0/0']", app=""))
    result = project.run("--app", "project_under_test:auth", "check", "--deploy")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "error proxies_trust_everybody"
    assert "Name the networks of your own proxies" in lines[2]
    assert lines[3] == "warning secret_key_never_rotated"
    assert lines[-2:] == ["Give MODULE:APP to check its middleware and routes, too.", "1 error, 1 warning."]


def test_no_key_is_ever_shown(project: Project) -> None:
    keys = ["4WQmwRPCzYl0S9EXAyMTtY4wNqzM5dM7nYk1HtSg2cU", "abcdefgh01234567" * 3]
    project.write(CODE.format(auth=f"secret_keys={keys!r}", app=""))
    for options in ([], ["--json"]):
        result = project.process("--app", "project_under_test:auth", "check", "--deploy", *options)
        assert result.returncode == 1
        assert not any(key in result.stdout + result.stderr for key in keys)


def test_an_application_in_middleware_of_its_own_is_looked_into(project: Project) -> None:
    project.write(
        CODE.format(auth="", app="debug=True")
        + "app = GZipMiddleware(app)\nfrom starlette.routing import Router\nrouter = Router()\n"
    )
    wrapped = project.run("--app", "project_under_test:auth", "check", "--deploy", "project_under_test:app")
    assert (wrapped.exit_code, "error debug" in wrapped.output) == (1, True)
    router = project.run("--app", "project_under_test:auth", "check", "--deploy", "project_under_test:router")
    assert (router.exit_code, router.output) == (0, "Nothing is wrong.\n")
