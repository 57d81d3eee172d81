"""T08, ASVS 3.5.3: a request by a safe method changes nothing, whatever it asks for."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from asgiauth.testing import Clock, client

from ..conftest import make_auth
from ..sites import COOKIE, PASSWORD, log_in, who


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
async def test_T08_no_route_of_ours_changes_the_database_by_a_safe_method(tmp_path: Path, method: str) -> None:
    """For a visitor, a member, and one whose token is unknown; with whatever a form would have sent, too."""
    path = tmp_path / "app.db"
    auth = make_auth(f"sqlite:///{path}", clock=Clock())
    async with auth:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        pages, api = auth.html_routes(), auth.json_routes
        routes = [Route("/who", who), Mount("/auth", routes=pages), Mount("/api/auth", routes=api)]
        app = Starlette(routes=routes, middleware=auth.middleware, exception_handlers=auth.exception_handlers)
        member, another = client(app), client(app)
        token = await log_in(member, remember=True)
        await log_in(another)
        sessions = await auth.sessions.list((await auth.users.page()).items[0])
        paths = [
            re.sub(r"\{[^}]*\}", sessions[0].id, prefix + route.path)
            for prefix, routes in (("/auth", pages), ("/api/auth", api))
            for route in routes
            if isinstance(route, Route)
        ]
        assert len(paths) > 10
        before = await asyncio.to_thread(dump, path)
        fields = {"username": "ann", "password": PASSWORD, "old_password": PASSWORD, "new_password": "seven pears"}
        for cookie in ("", token, "A" * 43):
            headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
            browser = client(app, headers=headers)
            for place in paths:
                answer = await browser.request(method, place, params=fields)
                assert answer.status_code < 500, place
        assert await asyncio.to_thread(dump, path) == before
        assert (await member.get("/who")).json() == "ann"
