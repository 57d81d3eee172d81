"""How many statements a request needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgiauth import Auth, SessionPolicy, login_required
from asgiauth.guards import group, perm, requires
from asgiauth.sessions import MemorySessionStore
from asgiauth.testing import Client, force_login

from ..conftest import client
from ..sites import COOKIE, PASSWORD, log_in, site
from ..wire import outline, watched
from .permitting import ADD, CHANGE, READ, Post, blog, grant, hello, join, leave, load_post, named, revoke

SESSION = "asgiauth_session"
OPENED = ["SELECT", f"INSERT INTO {SESSION}", "COMMIT"]
"""The epoch is read in the unit of work, so that one that is raised meanwhile counts."""
SAVED = ["BEGIN", "SELECT", f"UPDATE {SESSION}", "COMMIT"]


async def count_up(request: Request) -> Response:
    request.session["n"] = request.session.get("n", 0) + 1
    return PlainTextResponse("counted")


async def test_each_request_needs_the_statements_that_it_needs_and_no_more(server: str, url: str) -> None:
    """DESIGN 9: nothing without a cookie or with one that is no token, one query with a session; one for a login that
    fails."""
    async with watched(server, url) as (auth, statements), client(site(auth)) as browser:
        await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        await auth.users.create("off", password=PASSWORD, is_active=False)
        await auth.users.create("none")

        async def needs(method: str, path: str, **options: Any) -> list[str]:
            await browser.request(method, path, **options)
            await browser.request("GET", "/who", headers={"cookie": ""})
            statements.clear()  # after a first time, in which drivers prepare and pools open
            await browser.request(method, path, **options)
            return outline(statements)

        def attempt(username: str, password: str = PASSWORD) -> dict[str, Any]:
            return {"json": {"username": username, "password": password}}

        assert await needs("GET", "/who") == []
        for cookie in ("x=1", f"{COOKIE}=", f"{COOKIE}=nonsense", f"{COOKIE}={'A' * 43}; {COOKIE}={'A' * 43}"):
            assert await needs("GET", "/who", headers={"cookie": cookie}) == [], cookie
        assert await needs("GET", "/api/auth/session") == []
        assert await needs("POST", "/api/auth/logout") == []
        assert await needs("GET", "/who", headers={"cookie": f"{COOKIE}={'A' * 43}"}) == ["SELECT"]

        for username, password in [
            ("ann", "wrong"),
            ("nobody", "wrong"),
            ("off", PASSWORD),
            ("none", ""),
            ("ann", "x" * 2000),
        ]:
            assert await needs("POST", "/api/auth/login", **attempt(username, password)) == ["SELECT"], username
        assert await needs("POST", "/api/auth/login", **attempt("nobody@example.com")) == ["SELECT"]

        await log_in(browser)
        assert await needs("GET", "/who") == ["SELECT"]
        assert await needs("GET", "/api/auth/session") == ["SELECT"]
        wrong = {"old_password": "wrong", "new_password": PASSWORD}
        assert await needs("POST", "/api/auth/password/change", json=wrong) == ["SELECT", "SELECT"]


async def test_each_change_needs_the_statements_that_it_needs_and_no_more(server: str, url: str) -> None:
    """One unit of work for each change, whatever belongs to it; before it the lookup of the request, and of the user
    that a password belongs to."""
    async with watched(server, url) as (auth, statements):
        app = site(auth, Route("/count", count_up))
        for name in ("ann", "bob"):
            await auth.users.create(name, email=f"{name}@example.com", password=PASSWORD)

        async def needs(request: Awaitable[Any]) -> list[str]:
            statements.clear()
            await request
            return outline(statements)

        async with client(app) as browser, client(app) as another:
            assert await needs(log_in(browser)) == ["SELECT", "BEGIN", "UPDATE auth_user", *OPENED]
            own = ["SELECT", f"DELETE FROM {SESSION}"]
            again = ["SELECT", "SELECT", "BEGIN", "UPDATE auth_user"]
            assert await needs(log_in(browser)) == [*again, OPENED[0], *own, *OPENED[1:]]
            other = [OPENED[0], f"DELETE FROM {SESSION}", *OPENED[1:]]
            assert await needs(log_in(browser, "bob@example.com")) == [*again, *other]
            assert await needs(browser.get("/count")) == ["SELECT", *SAVED]

            await log_in(another, "bob")
            assert await needs(browser.get("/api/auth/sessions")) == ["SELECT"] * 3
            (other,) = [
                session["id"]
                for session in (await browser.get("/api/auth/sessions")).json()["sessions"]
                if not session["current"]
            ]
            ended = ["BEGIN", f"DELETE FROM {SESSION}", "COMMIT"]
            assert await needs(browser.delete(f"/api/auth/sessions/{other}")) == [*["SELECT"] * 3, *ended]
            assert await needs(browser.delete(f"/api/auth/sessions/{other}")) == ["SELECT"] * 3
            others = ["BEGIN", "DELETE FROM asgiauth_pending_login", f"DELETE FROM {SESSION}", "COMMIT"]
            assert await needs(browser.delete("/api/auth/sessions")) == ["SELECT", *others]

            passwords = {"old_password": PASSWORD, "new_password": PASSWORD[::-1]}
            changed = ["BEGIN", "UPDATE auth_user", *["SELECT"] * 3, f"UPDATE {SESSION}", f"DELETE FROM {SESSION}"]
            change = browser.post("/api/auth/password/change", json=passwords)
            assert await needs(change) == ["SELECT", "SELECT", *changed, "COMMIT"]
            assert await needs(browser.post("/api/auth/logout")) == ["SELECT", *ended]

        async with client(app) as visitor:
            assert await needs(visitor.get("/count")) == ["BEGIN", f"INSERT INTO {SESSION}", "COMMIT"]
            assert await needs(visitor.get("/count")) == ["SELECT", *SAVED]
            assert await needs(log_in(visitor)) == [*again, OPENED[0], *own, *OPENED[1:]]


async def test_fifty_concurrent_requests_need_fifty_queries(server: str, url: str) -> None:
    async with watched(server, url) as (auth, statements), client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        await log_in(browser)
        statements.clear()
        answers = await asyncio.gather(*(browser.get("/who") for _ in range(50)))
        assert {answer.json() for answer in answers} == {"ann"}
        assert outline(statements).count("SELECT") <= 50


ONE, TWO, THREE = ["SELECT"], ["SELECT"] * 2, ["SELECT"] * 3
"""The lookup of the session; and what its user may do everywhere; and with one object."""


async def ask_twice(request: Request) -> Response:
    return PlainTextResponse(str([await request.auth.has_perm(perm) for perm in (ADD, READ, ADD)]))


async def ask_of_two_objects(request: Request) -> Response:
    posts = (Post(1), Post(2), Post(1), Post(2))
    return PlainTextResponse(str([await request.auth.has_perm(CHANGE, post) for post in posts]))


GUARDED = {
    "/add": requires(perm(ADD)),
    "/both": requires(perm(ADD, READ) | perm(ADD)),
    "/post/{id:int}": requires(perm(CHANGE, obj=load_post)),
    "/group": requires(group("editors") | group("writers")),
    "/login": login_required,
}


class Process:
    """An `Auth` of its own on the database, an application, and what a request to it costs."""

    def __init__(self, auth: Auth, statements: list[str]) -> None:
        self.auth = auth
        self._statements = statements
        routes = [Route(path, guard(hello)) for path, guard in GUARDED.items()]
        routes += [Route("/twice", ask_twice), Route("/objects", ask_of_two_objects)]
        self._app = site(auth, *routes)

    async def browser(self, name: str) -> Client:
        browser = client(self._app)
        await force_login(browser, await named(self.auth, name))
        return browser

    async def needs(self, browser: httpx2.AsyncClient, path: str = "/add", status: int = 200) -> list[str]:
        """The same browser may come to any process."""
        self._statements.clear()
        request = browser.build_request("GET", path)
        answer = await client(self._app).send(request)
        assert answer.status_code == status, path
        return outline(self._statements)


@asynccontextmanager
async def process(server: str, url: str, **options: Any) -> AsyncIterator[Process]:
    """With Bob, for whom drivers have prepared and pools have opened all that is needed, and Ann, whom nobody knows
    yet, a superuser, and a visitor."""
    async with watched(server, url, **{**blog(), **options}) as (auth, statements):
        process = Process(auth, statements)
        if await auth.users.get_by(username="bob") is None:
            for name in ("ann", "bob", "root"):
                await auth.users.create(name, password=PASSWORD, is_superuser=name == "root")
            await auth.groups.create("editors", [CHANGE])
        bob = await process.browser("bob")
        for path in ("/add", "/post/1", "/group", "/api/auth/session?include=permissions"):
            await bob.get(path)
        yield process


async def test_a_permission_needs_one_query_at_first_and_none_while_nothing_changes(server: str, url: str) -> None:
    """DESIGN 9: in one process and in two; whichever of them makes the change, the next request costs one query more."""
    async with process(server, url) as one, process(server, url) as two:
        await grant(one.auth, ADD)
        ann = await one.browser("ann")
        assert [await one.needs(ann) for _ in range(3)] == [TWO, ONE, ONE]
        assert [await two.needs(ann) for _ in range(3)] == [TWO, ONE, ONE]
        for path in ("/both", "/twice", "/login", "/api/auth/session?include=permissions"):
            assert (await one.needs(ann, path), await two.needs(ann, path)) == (ONE, ONE), path

        async def changed(status: int, path: str = "/add") -> None:
            for process in (one, two):
                assert [await process.needs(ann, path, status) for _ in range(3)] == [TWO, ONE, ONE]

        for by in (two, one):
            await revoke(by.auth, ADD)
            await changed(403)
            await grant(by.auth, ADD)
            await changed(200)
            await join(by.auth, "editors")
            await changed(200)
            await by.auth.permissions.grant(await editors(by.auth), READ)
            await changed(200, "/both")
            await by.auth.permissions.revoke(await editors(by.auth), READ)
            await changed(200)
            await leave(by.auth, "editors")
            await changed(200)


async def editors(auth: Auth) -> Any:
    return await auth.groups.get("editors")


async def test_what_changes_for_one_user_alone_costs_the_others_nothing(server: str, url: str) -> None:
    async with process(server, url) as one:
        await grant(one.auth, ADD)
        ann = await one.browser("ann")
        assert await one.needs(ann) == TWO
        await grant(one.auth, READ, to="bob")
        await join(one.auth, "editors", "bob")
        await grant(one.auth, CHANGE, Post(1))
        assert await one.needs(ann) == ONE


async def test_the_sets_of_those_who_were_here_last_are_kept(
    server: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, whoever comes: with room for two, the third takes the place of whom nobody saw for longest."""
    monkeypatch.setattr("asgiauth.permissions.stored._KEPT", 2)
    async with process(server, url) as one:
        await one.auth.users.create("cy", password=PASSWORD)
        ann, bob, cy = [await one.browser(name) for name in ("ann", "bob", "cy")]
        assert [await one.needs(who, status=403) for who in (ann, bob, ann, cy)] == [TWO, ONE, ONE, TWO]
        assert [await one.needs(who, status=403) for who in (ann, cy, bob, ann)] == [ONE, ONE, TWO, TWO]


async def test_nobody_and_superusers_need_no_query_for_a_permission(server: str, url: str) -> None:
    async with process(server, url) as one:
        root, visitor = await one.browser("root"), client(site(one.auth))
        for path in ("/add", "/both", "/post/1"):
            assert await one.needs(visitor, path, 401) == []
            assert [await one.needs(root, path) for _ in range(2)] == [ONE, ONE]
        for path in ("/twice", "/objects"):
            assert (await one.needs(visitor, path), await one.needs(root, path)) == ([], ONE)
        assert await one.needs(visitor, "/group", 401) == []
        assert await one.needs(visitor, "/api/auth/session?include=permissions") == []
        assert await one.needs(root, "/api/auth/session?include=permissions") == TWO


async def test_an_object_needs_one_query_a_request_however_often_it_is_asked_about(server: str, url: str) -> None:
    """Grants on objects are always asked for: there are too many to keep."""
    async with process(server, url) as one:
        await grant(one.auth, CHANGE, Post(1))
        ann = await one.browser("ann")
        assert [await one.needs(ann, "/post/1") for _ in range(3)] == [THREE, TWO, TWO]
        assert await one.needs(ann, "/post/2", 403) == TWO
        assert await one.needs(ann, "/post/999", 404) == ONE
        assert await one.needs(ann, "/objects") == THREE
        await join(one.auth, "editors")
        assert [await one.needs(ann, "/objects") for _ in range(2)] == [TWO, ONE], "who may everywhere may with each"


async def test_a_group_needs_one_query_a_request(server: str, url: str) -> None:
    async with process(server, url) as one:
        ann = await one.browser("ann")
        assert [await one.needs(ann, "/group", 403) for _ in range(2)] == [TWO, TWO]
        await join(one.auth, "editors")
        assert [await one.needs(ann, "/group") for _ in range(2)] == [TWO, TWO]


async def test_where_nothing_may_be_kept_each_request_asks(server: str, url: str) -> None:
    """On a database that is shared with Django, whose changes raise no version."""
    async with process(server, url) as one:
        await grant(one.auth, ADD)
        one.auth.permissions.keeps = False
        ann = await one.browser("ann")
        assert [await one.needs(ann) for _ in range(3)] == [TWO, TWO, TWO]
        assert await one.needs(ann, "/twice") == TWO


async def test_the_version_comes_along_with_the_user_where_sessions_are_kept_elsewhere(server: str, url: str) -> None:
    async with process(server, url, sessions=SessionPolicy(store=MemorySessionStore())) as one:
        await grant(one.auth, ADD)
        ann = await one.browser("ann")
        assert [await one.needs(ann) for _ in range(3)] == [TWO, ONE, ONE]
        await revoke(one.auth, ADD)
        assert [await one.needs(ann, status=403) for _ in range(2)] == [TWO, ONE]


async def test_guards_look_up_what_templates_show_only_where_one_can_show_it(server: str, url: str) -> None:
    """Whoever takes `auth.context_processor` has templates that cannot await anything."""
    async with process(server, url) as one:
        ann, root, visitor = await one.browser("ann"), await one.browser("root"), client(site(one.auth))
        assert [await one.needs(ann, "/login") for _ in range(2)] == [ONE, ONE]
        assert callable(one.auth.context_processor)
        assert [await one.needs(ann, "/login") for _ in range(3)] == [TWO, ONE, ONE]
        assert await one.needs(root, "/login") == ONE
        assert await one.needs(visitor, "/login", 401) == []
