"""Where two things meet: requests under way, middleware twice, marks on dependencies, mounts named by the URL."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute, APIRouter
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from asgiauth import Auth, SessionCookie, User
from asgiauth.backends import Identity
from asgiauth.exceptions import ConfigurationError, SessionClosed
from asgiauth.fastapi import CurrentUser
from asgiauth.guards import csrf_exempt, protect, public
from asgiauth.http.actions import Action, Field
from asgiauth.sessions import SessionRecord
from asgiauth.testing import WebSocketRefused, websocket

from ..conftest import BASE_URL, client, make_auth
from ..login.helpers import Extension
from ..sites import COOKIE, PASSWORD, log_in, site
from .guarding import offline

SCRIPT = {"Sec-Fetch-Mode": "cors"}
NEW = "another good horse"


@pytest.fixture
async def ann(sqlite_auth: Auth) -> User:
    return await sqlite_auth.users.create("ann", password=PASSWORD)


def cookies_of(answer: httpx2.Response) -> list[str]:
    return [cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith(f"{COOKIE}=")]


@pytest.mark.parametrize("action", ["login", "password"])
async def test_a_script_that_was_under_way_does_not_take_the_new_cookie_away(
    sqlite_auth: Auth, ann: User, action: str
) -> None:
    """It left with the cookie as it was, and is answered last. A navigation clears an unknown cookie (A8.21)."""

    async def cart(request: Request) -> Response:
        request.session["cart"] = 1
        return PlainTextResponse("")

    async with client(site(sqlite_auth, Route("/cart", cart))) as browser:
        await browser.get("/cart")
        if action == "password":
            await log_in(browser)
        poll = browser.build_request("GET", "/who", headers=SCRIPT)
        old = browser.build_request("GET", "/who")
        if action == "login":
            await log_in(browser)
        else:
            passwords = {"old_password": PASSWORD, "new_password": NEW}
            assert (await browser.post("/api/auth/password/change", json=passwords)).status_code == 204
        assert cookies_of(await browser.send(poll)) == []
        assert (await browser.get("/who")).json() == "ann"
        assert "Max-Age=0" in cookies_of(await browser.send(old))[0]


async def test_a_write_that_was_under_way_does_not_either(sqlite_auth: Auth, ann: User) -> None:
    go, there = asyncio.Event(), asyncio.Event()

    async def cart(request: Request) -> Response:
        request.session["cart"] = 1
        there.set()
        await go.wait()
        return PlainTextResponse("")

    async with client(site(sqlite_auth, Route("/cart", cart))) as browser:
        await log_in(browser)
        write = asyncio.create_task(browser.get("/cart", headers=SCRIPT))
        await there.wait()
        passwords = {"old_password": PASSWORD, "new_password": NEW}
        assert (await browser.post("/api/auth/password/change", json=passwords)).status_code == 204
        go.set()
        assert cookies_of(await write) == []
        assert (await browser.get("/who")).json() == "ann"


async def test_public_on_a_dependency_opens_nothing_that_depends_on_it() -> None:
    app = protect(FastAPI(middleware=offline().middleware))

    @app.get("/locale")
    @public
    async def locale(request: Request) -> str:
        return "de"

    @app.get("/accounts")
    async def accounts(language: str = Depends(locale)) -> str:
        return language

    async with client(app) as browser:
        assert (await browser.get("/locale")).status_code == 200
        assert (await browser.get("/accounts")).status_code == 401


async def test_csrf_exempt_on_a_dependency_exempts_nothing_that_depends_on_it(sqlite_auth: Auth, ann: User) -> None:
    app = FastAPI(middleware=sqlite_auth.middleware)
    app.router.routes.append(Mount("/api/auth", routes=sqlite_auth.json_routes))

    @csrf_exempt
    async def hook(request: Request) -> str:
        return "hook"

    @app.post("/delete")
    async def delete(user: CurrentUser, found: str = Depends(hook)) -> str:  # noqa: FAST002  a local name
        return found

    async with client(app) as browser:
        await log_in(browser)
        assert (await browser.post("/delete")).status_code == 200
        assert (await browser.post("/delete", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403


async def test_a_route_class_that_may_answer_by_itself_is_closed_unless_the_route_is_public() -> None:
    """It runs before the guard of the endpoint, and so cannot be seen through."""

    class Answering(APIRoute):
        def get_route_handler(self) -> Any:
            async def answer(request: Request) -> Response:
                return PlainTextResponse("of the route")

            return answer

    router = APIRouter(route_class=Answering)

    @router.get("/a")
    @public
    async def endpoint(request: Request) -> str:
        return ""

    app = FastAPI(middleware=offline().middleware)
    app.router.routes.append(router.routes[0])
    async with client(protect(app)) as browser:
        assert (await browser.get("/a")).status_code == 401
        public(router.routes[0])
        assert (await browser.get("/a")).text == "of the route"


async def test_the_same_middleware_twice_is_one(sqlite_auth: Auth, ann: User) -> None:
    """Listed twice, or around an application and one that is mounted in it: one cookie is sent, once."""
    inner = Starlette(routes=site(sqlite_auth).routes, middleware=sqlite_auth.middleware)
    app = Starlette(routes=[Mount("/", app=inner)], middleware=[*sqlite_auth.middleware, *sqlite_auth.middleware])
    async with client(app) as browser:
        browser.cookies.set(COOKIE, "A" * 43)
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert (answer.status_code, len(cookies_of(answer))) == (200, 1)


async def test_session_middleware_around_the_application_is_refused() -> None:
    app = SessionMiddleware(Starlette(middleware=offline().middleware), secret_key="x" * 32)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as browser:
        with pytest.raises(ConfigurationError, match="SessionMiddleware"):
            await browser.get("/")


@pytest.mark.parametrize("path", [b"//evil.example/app/auth/login", b"//evil.example/app/auth/logout"])
async def test_T07_a_mount_that_the_url_names_is_no_open_redirect(sqlite_auth: Auth, ann: User, path: bytes) -> None:
    inner = Starlette(routes=[Mount("/auth", routes=sqlite_auth.html_routes())], middleware=sqlite_auth.middleware)
    async with client(Starlette(routes=[Mount("/{tenant:path}/app", app=inner)])) as browser:
        url = httpx2.URL(BASE_URL).copy_with(raw_path=path)
        form = {"username": "ann", "password": PASSWORD} if path.endswith(b"login") else {}
        answer = await browser.post(url, data=form, headers={"Origin": BASE_URL})
        assert answer.status_code == 303
        assert not answer.headers["location"].startswith("//")


def test_names_of_cookies_do_not_collide(sqlite_url: str) -> None:
    for realm in ("pending", "csrf"):
        with pytest.raises(ConfigurationError, match="cookie"):
            make_auth(sqlite_url, realm=realm)
        with pytest.raises(ConfigurationError, match="another cookie"):
            SessionCookie(name=f"shop-{realm}")


async def test_a_stale_cookie_does_not_replace_the_applications_own_500(sqlite_auth: Auth) -> None:
    """Only a session's new token is worth that: see tests/http/test_errors.py."""

    async def broken(request: Request) -> Response:
        raise RuntimeError("broken")

    async def page(request: Request, error: Exception) -> Response:
        return PlainTextResponse("sorry", 500)

    app = Starlette(
        routes=[Route("/", broken)], middleware=sqlite_auth.middleware, exception_handlers={Exception: page}
    )
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with client(app, transport=transport) as browser:
        browser.cookies.set(COOKIE, "A" * 43)
        assert (await browser.get("/")).text == "sorry"


async def test_D24_answers_vary_by_what_authenticators_read(sqlite_url: str) -> None:
    class Nobody:
        async def identify(self, connection: Any) -> Identity | None:
            return None

    auth = make_auth(sqlite_url, features=[Extension(authenticators=[Nobody()])])
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        assert (await browser.get("/who")).headers.get_list("vary") == ["Cookie", "Authorization"]


async def test_a_token_whose_cookie_cannot_be_sent_is_refused(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, skip=["/static/"])

    async def token(request: Request) -> Response:
        with pytest.raises(SessionClosed):
            _ = request.auth.csrf_token
        return PlainTextResponse("refused")

    async with auth, client(site(auth, Route("/static/x", token))) as browser:
        assert (await browser.get("/static/x")).text == "refused"


async def test_a_records_repr_shows_neither_stamp_nor_hash(sqlite_auth: Auth) -> None:
    now = sqlite_auth.sessions.now()
    record = SessionRecord(
        created=now, last_seen=now, expires_at=now, stamp=b"stamp", user_row={"password": "argon2$secret"}
    )
    assert "stamp" not in repr(record)
    assert "secret" not in repr(record)


async def test_a_websocket_of_another_site_is_refused_with_the_cure_in_the_log(
    sqlite_auth: Auth, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    async def socket(connection: Any) -> None:
        await connection.accept()

    async with client(site(sqlite_auth, WebSocketRoute("/socket", socket))) as browser:
        await log_in(browser)
        with caplog.at_level(logging.WARNING), pytest.raises(WebSocketRefused):
            async with websocket(browser, "/socket", origin="https://evil.example"):
                raise AssertionError
    assert "trusted_origins" in caplog.text


async def test_what_is_not_json_is_told_so(sqlite_auth: Auth) -> None:
    async def store(request: Request) -> Response:
        request.session["a"] = object()
        return PlainTextResponse("")

    async with client(site(sqlite_auth, Route("/store", store))) as browser:
        with pytest.raises(TypeError, match=r"request\.session"):
            await browser.get("/store")


@pytest.mark.parametrize("value", ["tomorrow", "2030-01-01T00:00:00", -1, 1.5, True, [1], {"a": 1}, 10**30])
async def test_anything_else_under_the_reserved_key_is_no_expiry(sqlite_auth: Auth, value: Any) -> None:
    async def store(request: Request) -> Response:
        request.session["_session_expiry"] = value
        return PlainTextResponse("")

    async with client(site(sqlite_auth, Route("/store", store))) as browser:
        answer = await browser.get("/store")
        assert (answer.status_code, "Max-Age" in cookies_of(answer)[0]) == (200, False)


@pytest.mark.parametrize(
    "options", [{"method": "BREW"}, {"method": "GET", "fields": {"a": Field(secret=True)}}], ids=["method", "secret"]
)
def test_an_action_that_could_not_be_served_is_refused(options: dict[str, Any]) -> None:
    async def run(auth: Any) -> None:
        """Nothing."""

    with pytest.raises(ConfigurationError, match="coffee"):
        Action(name="coffee", path="coffee", run=run, **options)


async def test_A7_9_a_websocket_that_changes_the_password_keeps_its_session(sqlite_auth: Auth, ann: User) -> None:
    """No new cookie can reach the browser: the session stays under the id that it has."""

    async def socket(connection: Any) -> None:
        await connection.accept()
        await sqlite_auth.users.set_password(connection.user, NEW)
        await connection.send_text("changed")

    async with client(site(sqlite_auth, WebSocketRoute("/socket", socket))) as browser:
        await log_in(browser)
        async with websocket(browser, "/socket") as opened:
            assert await opened.receive_text() == "changed"
        assert (await browser.get("/who")).json() == "ann"


async def test_a_session_that_was_revoked_meanwhile_is_not_kept_by_a_change_of_the_password(
    sqlite_auth: Auth, ann: User
) -> None:
    async def change(request: Request) -> Response:
        assert await sqlite_auth.sessions.revoke(request.auth.session.id)
        await sqlite_auth.users.set_password(request.user, NEW)
        return PlainTextResponse("")

    async with client(site(sqlite_auth, Route("/change", change))) as browser:
        await log_in(browser)
        await browser.get("/change")
        assert (await browser.get("/who")).json() != "ann"
        assert await sqlite_auth.sessions.list(ann) == []
