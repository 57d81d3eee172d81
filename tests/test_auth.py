"""`Auth` itself: what it refuses to be built with, and where its settings come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asgiauth import Auth, SessionPolicy, User
from asgiauth.backends import PasswordBackend
from asgiauth.exceptions import AsgiAuthError, ConfigurationError, Unavailable
from asgiauth.guards import login_required
from asgiauth.sessions import MemorySessionStore

from .conftest import BASE_URL, SECRET_KEYS, client, make_auth
from .sites import OTHER_KEY


@pytest.mark.parametrize(
    "base_url",
    [
        "", "shop.example", "ftp://shop.example", "https://", "https://user@shop.example", "https://shop.example?x=1",
        "https://shop.example#x", "http://shop.example", "http://10.0.0.1", "http://[2001:db8::1]",
    ],
)  # fmt: skip
def test_a_base_url_that_could_not_be_safe_is_refused(base_url: str) -> None:
    """D-12, D-27: a scheme and a host; plain http is for this machine alone."""
    with pytest.raises(ConfigurationError, match="base_url"):
        make_auth("sqlite:///never.db", base_url=base_url)


@pytest.mark.parametrize(
    ("base_url", "cookie"),
    [
        ("https://shop.example", "__Host-asgiauth"),
        ("https://shop.example:8443/sub", "__Host-asgiauth"),
        ("http://localhost:8000", "asgiauth"),
        ("http://app.localhost", "asgiauth"),
        ("http://127.0.0.1:8000", "asgiauth"),
        ("http://[::1]", "asgiauth"),
    ],
)
def test_the_cookie_is_secure_wherever_the_site_is_not_this_machine(base_url: str, cookie: str) -> None:
    auth = make_auth("sqlite:///never.db", base_url=base_url)
    assert auth.middleware[0].args[0].cookies.session == cookie  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "part",
    [
        {"user_model": User},
        {"user_model": "shop.Customer"},
        {"sessions": MemorySessionStore()},
        {"backends": PasswordBackend()},
        {"backends": [PasswordBackend]},
        {"backends": ["django.contrib.auth.backends.ModelBackend"]},
    ],
)
def test_what_stands_in_the_place_of_its_holder_is_refused_with_the_cure(part: dict[str, Any]) -> None:
    (name,) = part
    with pytest.raises(ConfigurationError, match=rf"^{name} takes a "):
        make_auth("sqlite:///never.db", **part)


def test_a_store_that_is_a_class_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"is a class: write MemorySessionStore\("):
        SessionPolicy(store=MemorySessionStore)  # type: ignore[arg-type]


@pytest.mark.parametrize("realm", ["Staff", "staff-room", "a b", "x" * 21, "ü"])
def test_a_realm_that_could_not_be_part_of_a_name_is_refused(realm: str) -> None:
    with pytest.raises(ConfigurationError, match="realm"):
        make_auth("sqlite:///never.db", realm=realm)


@pytest.mark.parametrize("database", [None, 5, object(), b"sqlite:///x.db"])
def test_what_is_no_database_is_refused(database: Any) -> None:
    with pytest.raises(ConfigurationError, match="AsyncEngine"):
        make_auth(database)


async def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    """DESIGN 3: the keys newest first; what is given as an argument comes first."""
    monkeypatch.setenv("ASGIAUTH_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("ASGIAUTH_SECRET_KEYS", f"{OTHER_KEY}, {SECRET_KEYS[0]}")
    monkeypatch.setenv("ASGIAUTH_BASE_URL", BASE_URL)
    async with Auth.from_env() as auth:
        await auth.create_tables()
        await auth.users.create("ann")
    async with Auth.from_env(secret_keys=SECRET_KEYS, realm="other") as auth:
        assert await auth.users.get_by(username="ann") is not None


@pytest.mark.parametrize("missing", ["ASGIAUTH_DATABASE_URL", "ASGIAUTH_SECRET_KEYS", "ASGIAUTH_BASE_URL"])
def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    settings = {
        "ASGIAUTH_DATABASE_URL": "sqlite:///never.db",
        "ASGIAUTH_SECRET_KEYS": SECRET_KEYS[0],
        "ASGIAUTH_BASE_URL": BASE_URL,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, "" if name == missing else value)
    with pytest.raises(ConfigurationError, match=missing):
        Auth.from_env()


async def down(request: Request) -> Response:
    raise Unavailable("the database cannot be reached", retry_after=7)


async def half(request: Request) -> Response:
    async def body() -> Any:
        yield b"half"
        raise Unavailable("the database cannot be reached")

    return StreamingResponse(body())


async def test_an_outage_in_a_view_is_a_503_without_any_handler(sqlite_auth: Auth) -> None:
    """D-23: whatever the application has forgotten to install."""
    app = Starlette(routes=[Route("/", down)], middleware=sqlite_auth.middleware)
    async with client(app) as browser:
        answer = await browser.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["detail"]["code"] == "unavailable"


async def test_an_outage_after_the_response_began_goes_through(sqlite_auth: Auth) -> None:
    """Nothing else can be said any more; the server cuts the connection."""
    app = Starlette(routes=[Route("/", half)], middleware=sqlite_auth.middleware)
    async with client(app) as browser:
        with pytest.raises(AsgiAuthError, match="cannot be reached"):
            await browser.get("/")


@pytest.mark.parametrize("call", [lambda view: view(), lambda view: view(request="no request")])
async def test_a_guarded_function_is_nothing_without_its_request(call: Callable[[Any], Any]) -> None:
    @login_required
    async def view(request: Request | None = None) -> Response:
        return PlainTextResponse("secret")

    with pytest.raises(ConfigurationError, match="without its request"):
        await call(view)


@pytest.mark.parametrize("name", ["login_url", "login_redirect_url", "logout_redirect_url"])
@pytest.mark.parametrize("url", ["", "login", "javascript:alert(1)", "ftp://shop.example"])
def test_A9_2_a_page_is_a_path_or_a_whole_url(sqlite_url: str, name: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        make_auth(sqlite_url, **{name: url})


@pytest.mark.parametrize("skip", ["/static/", ["static/"], ["/"], [""]])
def test_what_is_skipped_is_a_list_of_prefixes_and_never_everything(sqlite_url: str, skip: Any) -> None:
    with pytest.raises(ConfigurationError, match="skip"):
        make_auth(sqlite_url, skip=skip)


def test_a_limit_of_sessions_lets_one_be(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match="max_per_user"):
        SessionPolicy(max_per_user=0)


async def test_cors_behind_us_is_warned_of_once_and_before_us_is_not(
    sqlite_auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    """Its headers would be missing from our 403 and 503."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://other.example"])
    for middleware, warnings in (([*sqlite_auth.middleware, cors], 1), ([cors, *sqlite_auth.middleware], 0)):
        caplog.clear()
        async with client(Starlette(middleware=middleware)) as browser:
            await browser.get("/")
            await browser.get("/")
        assert [record.getMessage().count("CORSMiddleware stands behind") for record in caplog.records] == [
            1
        ] * warnings
