"""T05: what Chromium makes of our cookies, and of those that others would put in their place."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from asgiauth.testing import client

from ..conftest import BASE_URL, make_auth
from ..sites import COOKIE, PASSWORD, site
from .test_pages import chromium as chromium

HOST = BASE_URL.removeprefix("https://")
ATTACKERS = [f"http://{HOST}/", f"https://evil.{HOST}/", f"http://evil.{HOST}/"]
PLANTED = [
    f"{name}=planted; {attributes}"
    for name in (COOKIE, COOKIE.lower(), COOKIE.upper(), f"{COOKIE}-csrf", f"{COOKIE}-pending")
    for attributes in ("Path=/", "Path=/; Secure", f"Path=/; Domain={HOST}", f"Path=/; Domain={HOST}; Secure")
]
BY_HEADER, BY_SCRIPT = (f"{how}=planted; Path=/; Domain={HOST}" for how in ("header", "script"))
"""Have no prefix, so that anybody may set them: the attacks themselves work."""


@pytest.fixture
def header(tmp_path: Path) -> str:
    """`Set-Cookie` of a login."""

    async def log_in() -> str:
        async with make_auth(f"sqlite:///{tmp_path / 'app.db'}") as auth:
            await auth.create_tables()
            await auth.users.create("ann", password=PASSWORD)
            browser = client(site(auth))
            answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
            return str(answer.headers["set-cookie"])

    with ThreadPoolExecutor(1) as elsewhere:  # playwright's event loop is the one of this thread
        return elsewhere.submit(asyncio.run, log_in()).result()


def test_T05_neither_a_subdomain_nor_a_plain_http_page_replaces_the_session(chromium: Any, header: str) -> None:
    """By headers and by scripts; nor does a script of the site itself read it."""

    def answer(route: Any) -> None:
        url = route.request.url
        cookies = [header] if url == f"{BASE_URL}/login" else [BY_HEADER, *PLANTED] if url in ATTACKERS else []
        headers = {"content-type": "text/html", **({"set-cookie": "\n".join(cookies)} if cookies else {})}
        route.fulfill(status=200, headers=headers, body="<!doctype html><title>page</title>")

    context = chromium.new_context()
    context.route("**/*", answer)
    page = context.new_page()
    page.goto(f"{BASE_URL}/login")
    (ours,) = context.cookies()
    assert f"{ours['name']}={ours['value']}" == header.partition(";")[0]
    assert (ours["secure"], ours["httpOnly"], ours["sameSite"], ours["path"]) == (True, True, "Lax", "/")
    assert (ours["domain"], ours["expires"]) == (HOST, -1)
    assert COOKIE not in page.evaluate("document.cookie")
    for attacker in ATTACKERS:
        page.goto(attacker)
        page.evaluate("cookies => cookies.forEach(cookie => { document.cookie = cookie })", [BY_SCRIPT, *PLANTED])
    seen = {cookie["name"]: cookie["value"] for cookie in context.cookies(BASE_URL)}
    assert seen == {COOKIE: ours["value"], "header": "planted", "script": "planted"}
    context.close()
