"""A9.3: which of the shipped views a closed application leaves open."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Mount

from asgiauth.guards import protect
from asgiauth.testing import client

from ..sites import PASSWORD, connected


async def test_A9_3_only_what_leads_to_a_login_is_open_in_a_closed_application(sqlite_url: str) -> None:
    """Logging out is open as well, and does nothing for who is not logged in."""
    async with connected(sqlite_url) as auth:
        await auth.users.create("ann", password=PASSWORD)
        mounts = [Mount("/auth", routes=auth.html_routes()), Mount("/api/auth", routes=auth.json_routes)]
        app = Starlette(routes=mounts, middleware=auth.middleware, exception_handlers=auth.exception_handlers)
        browser = client(protect(app))
        paths = ("/auth/login", "/api/auth/session", "/auth/password_change", "/auth/sessions", "/api/auth/sessions")
        answers = {path: (await browser.get(path)).status_code for path in paths}
        assert answers == dict(zip(paths, (200, 200, 401, 401, 401), strict=True))
        assert (await browser.post("/api/auth/logout")).status_code == 204
        form = {"username": "ann", "password": PASSWORD}
        assert (await browser.post("/auth/login", data=form)).status_code == 303
        assert (await browser.get("/auth/password_change")).status_code == 200
