"""Whoever is refused by a guard is told of (ASVS 16.3.2), and who gets where is what the table says (T22)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import update
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth, login_required, permission_required, public
from asgiauth.db import Unit
from asgiauth.events import AccessRefused, Event
from asgiauth.guards import Guard, authenticated, group, perm, protect, requires, staff, superuser

from ..conftest import client
from ..login.helpers import Extension, Header
from .guarding import PAGE, cookie_of, people, site, websocket
from .permitting import ADD, CHANGE, Post, grant, hello, join, load_post, named, opened


@login_required
async def members(request: Request) -> Response:
    return PlainTextResponse("members")


@permission_required(ADD)
async def add(request: Request) -> Response:
    return PlainTextResponse("add")


@requires(perm(CHANGE, obj=load_post))
async def change(request: Request) -> Response:
    return PlainTextResponse("change")


@requires(group("editors"))
async def editors(request: Request) -> Response:
    return PlainTextResponse("editors")


@requires(staff)
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


@public
async def everybody(request: Request) -> Response:
    return PlainTextResponse("everybody")


async def unmarked(request: Request) -> Response:
    return PlainTextResponse("unmarked")


ROUTES = [
    Route("/members", members),
    Route("/add", add),
    Route("/posts/{id}", change),
    Route("/editors", editors),
    Route("/everybody", everybody),
    Route("/unmarked", unmarked),
    Mount("/staff", routes=[Route("/", hello)], middleware=[Guard(staff)]),
    Mount("/root", routes=[Route("/", hello)], middleware=[Guard(superuser | perm("blog.delete_post"))]),
    WebSocketRoute("/chat", chat),
]

WAY_IN = {"anonymous": 401, "pending": 401, "inactive": 401, "gone": 401}
TABLE: dict[str, dict[str, int]] = {
    "/everybody": {"anonymous": 200, "pending": 200, "inactive": 200, "gone": 200},
    "/unmarked": WAY_IN,
    "/members": WAY_IN,
    "/add": {**WAY_IN, "other": 403, "staff": 403, "bearer": 403},
    "/posts/1": {**WAY_IN, "other": 403, "bearer": 403},
    "/posts/2": {**WAY_IN, "user": 403, "other": 403, "bearer": 403},
    "/posts/101": {**WAY_IN, "user": 404, "other": 404, "staff": 404, "superuser": 404, "bearer": 404},
    "/editors": {**WAY_IN, "user": 403, "other": 403, "superuser": 403, "bearer": 403},
    "/staff/": {**WAY_IN, "user": 403, "other": 403, "superuser": 403, "bearer": 403},
    "/root/": {**WAY_IN, "user": 403, "other": 403, "staff": 403, "bearer": 403},
    "/nowhere": {},
}
"""What each kind of visitor is answered; who is not named gets in, and nobody finds what is nowhere."""


class Told:
    """Everything that is told."""

    def __init__(self, auth: Auth) -> None:
        self.events: list[Event] = []
        auth.events.on(Event, self._hear)

    async def _hear(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
async def auth(sqlite_url: str) -> AsyncIterator[Auth]:
    bearer = Header("x-bearer")
    extension = Extension(authenticators=[bearer])
    async with opened(sqlite_url, "bob", "eve", "ian", "gil", features=[extension]) as auth:
        bearer.auth = auth
        yield auth


@pytest.fixture
async def visitors(auth: Auth) -> dict[str, dict[str, str]]:
    """Ann may add posts and change the first one; Sue, of the staff, is an editor, who may change every post."""
    headers = await people(auth)
    await grant(auth, ADD)
    await grant(auth, CHANGE, Post(1))
    await auth.groups.create("editors", [CHANGE])
    await join(auth, "editors", "sue")
    for kind, name in {"other": "eve", "inactive": "ian", "gone": "gil"}.items():
        await grant(auth, ADD, to=name)
        headers[kind] = await cookie_of(auth, name)
    await auth.permissions.revoke(await named(auth, "eve"), ADD)
    table = auth.tables.user

    async def by_hand(unit: Unit) -> None:
        await unit.changed(update(table).where(table.c.username == "ian").values(is_active=False, is_superuser=True))

    await auth._database.atomic(by_hand)
    await auth.users.delete(await named(auth, "gil"))
    pending = {"cookie": "__Host-asgiauth-pending=" + "A" * 43}
    return {**headers, "pending": pending, "bearer": {"x-bearer": "bob"}}


async def status(browser: httpx2.AsyncClient, path: str, headers: dict[str, str]) -> int:
    return (await browser.get(path, headers=headers)).status_code


async def test_T22_who_gets_where_is_what_the_table_says(auth: Auth, visitors: dict[str, dict[str, str]]) -> None:
    """Each route, each kind of visitor; a route without a mark is closed."""
    async with client(protect(site(auth, *ROUTES))) as browser:
        found = {
            path: {kind: await status(browser, path, headers) for kind, headers in visitors.items()} for path in TABLE
        }
    wanted = {
        path: {kind: answers.get(kind, 200 if answers else 404) for kind in visitors} for path, answers in TABLE.items()
    }
    assert found == wanted


async def test_ASVS_16_3_2_whoever_is_refused_is_told_of(auth: Auth, visitors: dict[str, dict[str, str]]) -> None:
    """By a decorator, in front of a mount, on a WebSocket, by our own routes; the query is nobody's business."""
    app = site(auth, *ROUTES, Mount("/auth", routes=auth.html_routes()))
    ann, told = await named(auth), Told(auth)
    async with client(app) as browser:
        asked = ["/editors?token=secret", "/posts/2", "/posts/101", "/staff/", "/auth/explain", "/api/auth/explain"]
        answers = [await status(browser, path, {**PAGE, **visitors["user"]}) for path in asked]
    assert answers == [403, 403, 404, 403, 403, 403]
    assert [message["type"] for message in await websocket(app, "/chat", visitors["user"])] == ["websocket.close"]
    assert told.events == [
        AccessRefused(at=event.at, user=ann, guard=guard, path=path)
        for event, (guard, path) in zip(
            told.events,
            [
                ("group('editors')", "/editors"),
                ("perm('blog.change_post', obj=load_post)", "/posts/2"),
                ("perm('blog.change_post', obj=load_post)", "/posts/101"),
                ("staff", "/staff/"),
                ("staff", "/auth/explain"),
                ("staff", "/api/auth/explain"),
                ("staff", "/chat"),
            ],
            strict=True,
        )
    ]


async def test_ASVS_16_3_2_who_is_let_in_or_asked_to_log_in_is_not(
    auth: Auth, visitors: dict[str, dict[str, str]]
) -> None:
    told = Told(auth)
    async with client(protect(site(auth, *ROUTES))) as browser:
        answers = [await status(browser, "/add", visitors[kind]) for kind in ("anonymous", "inactive", "user")]
        answers.append(await status(browser, "/unmarked", visitors["anonymous"]))
    assert answers == [401, 401, 200, 401]
    assert told.events == []


async def test_a_listener_that_fails_lets_nobody_in(auth: Auth, visitors: dict[str, dict[str, str]]) -> None:
    async def fail(event: Any) -> None:
        raise RuntimeError("no log")

    auth.events.on(AccessRefused, fail)
    async with client(site(auth, *ROUTES)) as browser:
        with pytest.raises(RuntimeError, match="no log"):
            await browser.get("/editors", headers=visitors["user"])


async def test_two_realms_with_the_same_users_see_each_others_changes(url: str) -> None:
    """What users may do is kept in Django's tables, which they share; each has sessions of its own."""
    async with opened(url, "ann") as one, opened(url, realm="two") as two:
        route = Route("/add", requires(authenticated & perm(ADD))(hello))
        async with client(site(two, route)) as browser:
            answer = await browser.post(
                "/api/auth/login",
                json={"username": "ann", "password": "correct horse"},
                headers={"sec-fetch-site": "same-origin"},
            )
            assert answer.status_code == 200
            assert [(await status(browser, "/add", {})) for _ in range(2)] == [403, 403]
            await grant(one, ADD)
            assert [(await status(browser, "/add", {})) for _ in range(2)] == [200, 200]
            await one.permissions.revoke(await named(one), ADD)
            assert await status(browser, "/add", {}) == 403


async def test_a_user_under_the_id_of_a_deleted_one_gets_nothing_of_what_that_one_had(sqlite_url: str) -> None:
    """Keys of one's own are given again; in this process the set of the former user is still kept."""
    async with opened(sqlite_url, "ann") as auth:
        ann, browser = await named(auth), client(site(auth, Route("/add", requires(perm(ADD))(hello))))
        await grant(auth, ADD)
        headers = await cookie_of(auth)
        assert await status(browser, "/add", headers) == 200
        table = auth.tables.user
        await auth.users.delete(ann)
        bob = await auth.users.create("bob", password="correct horse")

        async def by_hand(unit: Unit) -> None:
            await unit.changed(update(auth.tables.identifier).values(user_id=bob.id))
            await unit.text("PRAGMA defer_foreign_keys = ON")
            await unit.changed(update(table).where(table.c.id == bob.id).values(id=ann.id))
            await unit.changed(update(auth.tables.identifier).values(user_id=ann.id))

        await auth._database.atomic(by_hand)
        await grant(auth, "news.read_item", to="bob")
        assert (await named(auth, "bob")).id == ann.id
        assert await status(browser, "/add", await cookie_of(auth, "bob")) == 403
        await browser.aclose()
