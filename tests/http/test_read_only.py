"""A site on a database that it may only read: what reads works, what would write says that it cannot, and no cookie is
touched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgiauth import Auth, SessionPolicy, crud, login_required
from asgiauth.events import UserLoggedIn, UserLoggedOut
from asgiauth.exceptions import AsgiAuthError, ReadOnly, TooManyAttempts
from asgiauth.fastapi import auth_router
from asgiauth.guards import perm, requires
from asgiauth.jobs import Job
from asgiauth.limits import Limit
from asgiauth.passwords import PBKDF2Hasher
from asgiauth.sessions import MemorySessionStore
from asgiauth.testing import Clock, client, force_login

from ..conftest import make_auth
from ..login.helpers import Extension
from ..readers import reading
from ..sites import COOKIE, PASSWORD, START, log_in, run, site
from ..wire import outline
from .paging import BROWSER, CHANGE, LOGIN, LOGOUT, SESSIONS, Page
from .paging import site as site_with_pages

WRONG = {"username": "ann", "password": "wrong"}
RIGHT = {"username": "ann", "password": PASSWORD}
ADD, DELETE = "blog.add_post", "blog.delete_post"
CHANGES = {"old_password": PASSWORD, "new_password": "battery staple"}
TEN_MINUTES = START + timedelta(minutes=10)
"""Long enough for a session to be touched."""


class Prepared(NamedTuple):
    """A database where Ann is known and logged in, at START."""

    server: str
    url: str
    token: str
    auth: Auth

    def cookie(self) -> dict[str, str]:
        return {"cookie": f"{COOKIE}={self.token}"}

    async def state(self) -> Any:
        """All that a request of Ann's could have changed."""
        tables = self.auth.tables
        changing = (
            tables.user,
            tables.session,
            tables.identifier,
            tables.user_state,
            tables.pending_login,
            tables.limit,
        )
        return [await run(self.url, select(table).order_by(*table.primary_key)) for table in changing]


@pytest.fixture
async def prepared(server: str, url: str) -> AsyncIterator[Prepared]:
    auth = make_auth(url, clock=Clock(START), permissions=crud("blog", "post"))
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", email="ann@site.example", password=PASSWORD, is_staff=True)
        await auth.permissions.grant(ann, ADD)
        async with client(site(auth)) as browser:
            await force_login(browser, ann)
            yield Prepared(server, url, browser.cookies[COOKIE], auth)


@asynccontextmanager
async def readers(prepared: Prepared, **options: Any) -> AsyncIterator[tuple[Auth, list[str]]]:
    options = {"clock": Clock(TEN_MINUTES), "permissions": crud("blog", "post"), **options}
    async with reading(prepared.server, prepared.url, **options) as (auth, statements):
        yield auth, statements


async def remember(request: Request) -> Response:
    request.session["n"] = 1
    return PlainTextResponse("remembered")


async def cycle(request: Request) -> Response:
    session: Any = request.session
    await session.cycle_key()
    return PlainTextResponse("cycled")


async def add(request: Request) -> Response:
    return PlainTextResponse("added")


ROUTES = [
    Route("/remember", remember),
    Route("/cycle", cycle),
    Route("/member", login_required(add)),
    Route("/add", requires(perm(ADD))(add)),
    Route("/delete", requires(perm(DELETE))(add)),
]


def starlette(auth: Auth) -> Any:
    return site(auth, *ROUTES, exception_handlers=auth.exception_handlers)


def fastapi(auth: Auth) -> Any:
    app = FastAPI(middleware=auth.middleware, exception_handlers=auth.exception_handlers)
    app.include_router(auth_router(auth), prefix="/api/auth")
    app.router.routes.extend(site(auth, *ROUTES).routes[:-1])
    return app


def is_read_only(answer: httpx2.Response) -> bool:
    """It says so, to be shown; trying again is of no use, and the cookie stays."""
    detail = answer.json()["detail"]
    return (
        (answer.status_code, detail["code"]) == (503, "read_only")
        and "can only be read" in detail["message"]
        and "retry-after" not in answer.headers
        and "set-cookie" not in answer.headers
        and answer.headers["cache-control"] == "no-store"
    )


@pytest.mark.parametrize("framework", [starlette, fastapi])
async def test_whoever_is_logged_in_stays_so_and_nothing_is_written(
    prepared: Prepared, framework: Callable[[Auth], Any]
) -> None:
    """Neither the use of the session nor anything else: every statement is a SELECT."""
    before = await prepared.state()
    async with readers(prepared) as (auth, statements):
        async with client(framework(auth), headers=prepared.cookie()) as browser:
            assert (await browser.get("/who")).json() == "ann"
            seen = (await browser.get("/api/auth/session?include=permissions")).json()
            assert (seen["user"]["username"], seen["permissions"]) == ("ann", [ADD])
            (session,) = (await browser.get("/api/auth/sessions")).json()["sessions"]
            assert (session["current"], session["last_seen"]) == (True, START.isoformat())
            statuses = [(await browser.get(path)).status_code for path in ("/member", "/add", "/delete")]
            assert statuses == [200, 200, 403]
            assert (await browser.get("/who")).headers.get_list("set-cookie") == []
        assert set(outline(statements)) <= {"SELECT", "PRAGMA busy_timeout=2000"}
    assert await prepared.state() == before


async def test_a_kept_set_of_permissions_is_used_where_nothing_may_be_written(prepared: Prepared) -> None:
    """Its version comes with the session: a grant counts at the next request."""
    async with readers(prepared) as (auth, statements), client(starlette(auth), headers=prepared.cookie()) as browser:
        assert (await browser.get("/add")).status_code == 200
        statements.clear()
        assert (await browser.get("/add")).status_code == 200
        assert outline(statements) == ["SELECT"]
        ann = await prepared.auth.users.find("ann")
        assert ann is not None
        await prepared.auth.permissions.grant(ann, DELETE)
        assert (await browser.get("/delete")).status_code == 200


@pytest.mark.parametrize("framework", [starlette, fastapi])
async def test_what_would_write_is_told_to_be_impossible(
    prepared: Prepared, framework: Callable[[Auth], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A login, right or wrong, costs no hash and tells nothing of the password; a logout does not pretend."""
    before = await prepared.state()
    told: list[str] = []

    async def tell(event: Any) -> None:
        told.append(type(event).__name__)

    async with readers(prepared) as (auth, statements):
        for kind in (UserLoggedIn, UserLoggedOut):
            auth.events.on(kind, tell)
        async with client(framework(auth), headers=prepared.cookie()) as browser, client(framework(auth)) as visitor:
            for who in (browser, visitor):
                for credentials in (RIGHT, WRONG):
                    statements.clear()
                    assert is_read_only(await who.post("/api/auth/login", json=credentials))
                    assert outline(statements) == (["SELECT"] if who is browser else [])
                assert is_read_only(await who.get("/remember"))
            assert (await visitor.post("/api/auth/logout")).status_code == 204  # there is nothing to end
            sessions = (await browser.get("/api/auth/sessions")).json()["sessions"]
            assert is_read_only(await browser.post("/api/auth/logout"))
            assert is_read_only(await browser.delete(f"/api/auth/sessions/{sessions[0]['id']}"))
            assert is_read_only(await browser.delete("/api/auth/sessions"))
            assert is_read_only(await browser.get("/cycle"))
            for old in (PASSWORD, "wrong"):
                changes = {"old_password": old, "new_password": "battery staple"}
                assert is_read_only(await browser.post("/api/auth/password/change", json=changes))
            assert (await browser.get("/who")).json() == "ann"
        assert {
            word for word in outline(statements) if word.partition(" ")[0] in ("INSERT", "UPDATE", "DELETE")
        } == set()
    assert told == []
    assert await prepared.state() == before
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_pages_say_it_to_people(prepared: Prepared) -> None:
    before = await prepared.state()
    async with readers(prepared) as (auth, _):
        app = site_with_pages(auth)
        async with (
            client(app, headers={**BROWSER, **prepared.cookie()}) as browser,
            client(app, headers=BROWSER) as new,
        ):
            assert Page(await new.get(LOGIN)).texts("h1") == ["Log in"]
            assert "This device" in Page(await browser.get(SESSIONS)).texts("span")
            for answer in (
                await new.post(LOGIN, data=RIGHT),
                await browser.post(CHANGE, data=CHANGES),
                await browser.post(LOGOUT),
                await browser.post(f"{SESSIONS}/revoke_others"),
            ):
                assert answer.status_code == 503
                assert "the site can only be read" in Page(answer).alert
                assert not {"set-cookie", "retry-after", "clear-site-data"} & set(answer.headers)
    assert await prepared.state() == before


async def test_the_cookie_of_a_session_that_a_replica_does_not_know_yet_stays(prepared: Prepared) -> None:
    """One that has just begun elsewhere would be over by it. Elsewhere an unknown one goes."""
    async with readers(prepared) as (auth, _):
        headers = {**BROWSER, "cookie": f"{COOKIE}={'A' * 43}; {COOKIE}-pending={'A' * 43}"}
        async with client(starlette(auth), headers=headers) as browser:
            answer = await browser.get("/who")
            assert (answer.json(), answer.headers.get_list("set-cookie")) == ("", [])
        async with client(starlette(prepared.auth), headers=headers) as browser:
            assert len((await browser.get("/who")).headers.get_list("set-cookie")) == 2


async def test_who_may_not_log_in_any_more_is_nobody_and_the_row_stays(prepared: Prepared) -> None:
    """As Django's admin would do it, which ends no session."""
    user = prepared.auth.tables.user
    await run(prepared.url, update(user).values(is_active=False))
    before = await prepared.state()
    async with (
        readers(prepared) as (auth, statements),
        client(starlette(auth), headers={**BROWSER, **prepared.cookie()}) as browser,
    ):
        statements.clear()
        answer = await browser.get("/who")
        assert (answer.json(), answer.headers.get_list("set-cookie")) == ("", [])
        assert outline(statements) == ["SELECT"]
    assert await prepared.state() == before


async def test_credentials_are_verified_without_an_upgrade_or_a_repair(prepared: Prepared) -> None:
    """A weaker hash stays, and so does an identifier that is behind its column."""
    user = prepared.auth.tables.user
    weak = PBKDF2Hasher(iterations=1).encode(PASSWORD)
    await run(prepared.url, update(user).values(password=weak, email="Anna@site.example", username="anna"))
    before = await prepared.state()
    async with readers(prepared) as (auth, statements):
        statements.clear()
        ann = await auth.users.find("ANN")
        assert ann is None  # that name is nobody's any more
        ann = await auth.users.find("anna")
        assert ann is not None
        assert await auth.users.check_password(ann, PASSWORD)
        assert not await auth.users.check_password(ann, "wrong")
        assert set(outline(statements)) == {"SELECT"}
    assert await prepared.state() == before


async def test_with_sessions_elsewhere_there_are_logins_and_logouts(prepared: Prepared) -> None:
    """They live in this process; `last_login` stays as it was, and the user is none the newer for it."""
    before = await prepared.state()
    clock = Clock(TEN_MINUTES)
    policy = SessionPolicy(store=MemorySessionStore())
    async with readers(prepared, sessions=policy, clock=clock) as (auth, statements):
        async with client(starlette(auth)) as browser:
            statements.clear()
            await log_in(browser)
            clock.advance(minutes=5)
            assert (await browser.get("/who")).json() == "ann"
            assert (await browser.get("/remember")).text == "remembered"
            seen = (await browser.get("/api/auth/session")).json()
            assert seen["user"]["last_login"] is not None
            assert seen["user"]["last_login"].startswith(START.isoformat()[:19])
            ann = await auth.users.find("ann")
            assert ann is not None
            (session,) = await auth.sessions.list(ann)
            assert session.last_seen == clock()
            assert is_read_only(await browser.post("/api/auth/password/change", json=CHANGES))
            assert is_read_only(await browser.delete("/api/auth/sessions"))
            assert (await browser.get("/who")).json() == "ann"
            assert (await browser.post("/api/auth/logout")).status_code == 204
            assert (await browser.get("/who")).json() == ""
        writes = [word for word in outline(statements) if word.partition(" ")[0] in ("INSERT", "UPDATE", "DELETE")]
        assert writes == []
    assert await prepared.state() == before


async def test_with_sessions_elsewhere_a_login_that_waits_on_another_server_is_no_obstacle(prepared: Prepared) -> None:
    """What could end it may not be written, and so its row stays."""
    ann = await prepared.auth.users.find("ann")
    assert ann is not None
    await prepared.auth.users.require_password_change(ann)
    async with client(starlette(prepared.auth)) as waiting:
        assert (await waiting.post("/api/auth/login", json=RIGHT)).status_code == 401
    await prepared.auth.users.require_password_change(ann, required=False)
    before = await prepared.state()
    elsewhere = {"sessions": SessionPolicy(store=MemorySessionStore()), "clock": Clock(START)}
    async with (
        readers(prepared, **elsewhere) as (auth, _),
        client(starlette(auth), cookies=waiting.cookies) as browser,
    ):
        assert browser.cookies[f"{COOKIE}-pending"]
        assert (await browser.post("/api/auth/login", json=RIGHT)).status_code == 200
        assert ((await browser.get("/who")).json(), list(browser.cookies)) == ("ann", [COOKIE])
    assert await prepared.state() == before


async def test_a_user_who_has_changed_since_the_password_was_verified_is_not_logged_in(prepared: Prepared) -> None:
    async with readers(prepared, sessions=SessionPolicy(store=MemorySessionStore())) as (auth, _):
        ann = await auth.users.find("ann")
        assert ann is not None
        await run(prepared.url, update(auth.tables.user).values(is_active=False))
        async with client(starlette(auth)) as browser:
            with pytest.raises(AsgiAuthError, match="has changed"):
                await force_login(browser, ann)


async def test_limits_count_in_this_process(prepared: Prepared) -> None:
    before = await prepared.state()
    async with readers(prepared) as (auth, statements):
        statements.clear()
        limit = Limit(2, timedelta(minutes=1))
        for _ in range(2):
            await auth._limits.reserve("pin:1", limit)
        with pytest.raises(TooManyAttempts):
            await auth._limits.reserve("pin:1", limit)
        assert statements == []
    assert await prepared.state() == before


@pytest.mark.parametrize("read_only", [False, True])
async def test_no_job_runs(sqlite_url: str, read_only: bool) -> None:
    """Those that would delete what has expired, and those of features."""
    async with make_auth(sqlite_url) as writing:
        await writing.create_tables()
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    feature = Extension(jobs=[Job("work", timedelta(milliseconds=1), work)])
    auth = make_auth(sqlite_url, read_only=read_only, features=[feature])
    async with auth.lifespan(None):
        names = {task.get_name() for task in asyncio.all_tasks()}
    assert any(name.startswith("asgiauth job") for name in names) is not read_only


async def test_what_changes_users_or_tables_says_that_it_cannot(prepared: Prepared) -> None:
    """Before it has hashed or told anybody anything."""
    async with readers(prepared) as (auth, statements):
        ann = await auth.users.find("ann")
        assert ann is not None
        group = await prepared.auth.groups.create("editors")
        statements.clear()
        for work in (
            lambda: auth.users.create("bob", password=PASSWORD),
            lambda: auth.users.update(ann, first_name="Ann"),
            lambda: auth.users.set_password(ann, "battery staple"),
            lambda: auth.users.require_password_change(ann),
            lambda: auth.users.delete(ann),
            lambda: auth.sessions.revoke_all(ann),
            lambda: auth.sessions.bump_epoch(ann),
            auth.sessions.purge_expired,
            lambda: auth.groups.create("authors"),
            lambda: auth.groups.rename(group, "authors"),
            lambda: auth.permissions.grant(ann, DELETE),
            lambda: auth.permissions.revoke(ann, ADD),
            auth.permissions.changed,
            auth.create_tables,
        ):
            with pytest.raises(ReadOnly):
                await work()
        wrote = [word for word in outline(statements) if word.partition(" ")[0] in ("INSERT", "UPDATE", "DELETE")]
        assert wrote == []
        await auth.permissions.sync()  # all is there


# where the role may only read, and nobody has said so


async def test_a_role_that_may_only_read_serves_who_is_logged_in_and_logs_the_cure(
    prepared: Prepared, caplog: pytest.LogCaptureFixture
) -> None:
    """`Auth(read_only=True)` was forgotten: a use that cannot be noted is a line in the log, a login an outage."""
    before = await prepared.state()
    async with (
        readers(prepared, read_only=False) as (auth, _),
        client(starlette(auth), headers=prepared.cookie()) as browser,
        client(starlette(auth)) as visitor,
    ):
        for path in ("/who", "/member", "/add", "/api/auth/sessions"):
            assert (await browser.get(path)).status_code == 200, path
        for answer in (
            await visitor.post("/api/auth/login", json=RIGHT),
            await browser.post("/api/auth/logout"),
            await browser.get("/remember"),
            await browser.post("/api/auth/password/change", json=CHANGES),
        ):
            assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "unavailable")
            assert "set-cookie" not in answer.headers
            assert "read_only" not in answer.text
        assert (await browser.get("/who")).json() == "ann"
    assert await prepared.state() == before
    lines = [record.getMessage() for record in caplog.records if record.name == "asgiauth"]
    assert any(line.startswith("a session's last use could not be noted") for line in lines)
    assert all("read_only=True" in line for line in lines)
