"""What people type, browsers send and links carry comes out of a page as the text that it was (T11, T07, T26)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Table
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgiauth import Auth
from asgiauth.db import Unit
from asgiauth.testing import Client, client

from ..conftest import program
from .paging import BROWSER, CHANGE, CHANGED, LOGIN, LOGOUT, PASSWORD, SESSIONS, Page, log_in, site, where
from .test_redirects import DJANGO_REFUSES, PIECES, leaves_the_site

BREAKERS = ["", "'", '"', ">", '">', "'>", "-->", "]]>", "</title>", "</style>", "</textarea>", "</script>", "&quot;>"]
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '" onfocus=alert(1) autofocus x="',
    "' onmouseover='alert(1)",
    "<iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "<a href=data:text/html,<script>alert(1)</script>>x</a>",
    "<form action=https://evil.example><input name=password>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content=0;url=https://evil.example>",
    "<link rel=stylesheet href=https://evil.example>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<!--<img title='--><img src=x onerror=alert(1)>'>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
]
UNUSUAL = [
    "{{ request.app }}",
    "%3Cscript%3E",
    "&lt;script&gt;",
    "\u202e<b>\ufeff",
    "<\x00script>",
    "\uff1cscript\uff1e",
    "$" + "{7*7}",
    "{wait}",
    "%s%n",
    "<b>" * 40,
]
HOSTILE = [breaker + payload for breaker, payload in product(BREAKERS, PAYLOADS)] + UNUSUAL
assert len(HOSTILE) > 200


@pytest.fixture
async def browser(sqlite_auth: Auth) -> AsyncIterator[Client]:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth), headers=BROWSER) as browser:
        yield browser


async def test_T11_no_text_of_a_request_becomes_an_element(browser: Client) -> None:
    """As the user name that is shown again, in the address, as `next`."""
    wrong = {"username": "x", "password": "x"}
    echo = Page(await browser.post(LOGIN, data=wrong)).outline
    asked = Page(await browser.get(f"{LOGIN}?username=x")).outline
    for text in HOSTILE:
        answer = await browser.post(LOGIN, data={**wrong, "username": text, "password": text, "next": text})
        assert Page(answer).outline == echo
        assert Page(answer).inputs()["username"]["value"] == text
        answer = await browser.get(LOGIN, params={"username": text, "password": text, "next": text, text: text})
        assert Page(answer).outline == asked
        assert "49" not in [*Page(answer).texts(), Page(answer).inputs()["username"]["value"]]
        answer = await browser.get(LOGIN, params={"next": f"/{text}"})
        assert [one for one in Page(answer).outline if one != ("input", ["type", "name", "value"])] == [
            one for one in asked if one != ("input", ["type", "name", "value"])
        ]


async def change(auth: Auth, table: Table, **values: str) -> None:
    """Whatever may have got into the database."""

    async def work(unit: Unit) -> None:
        await unit.changed(table.update().values(**values))

    await auth._database.atomic(work)


async def test_T11_no_text_of_a_user_or_of_a_device_becomes_an_element(sqlite_auth: Auth, tmp_path: Path) -> None:
    """User name, first name and mail on the pages that greet, and the User-Agent in the list of devices."""
    (tmp_path / "hello.html").write_text('<p title="{{ user.email }}">{{ user.display_name }}, {{ user.username }}</p>')
    templates = sqlite_auth.templates(tmp_path)

    async def hello(request: Request) -> Response:
        return await templates.render(request, "hello.html")

    app = site(sqlite_auth, Route("/hello", hello))
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(app, headers=BROWSER) as browser:
        await log_in(browser)
        outlines = {path: Page(await browser.get(path)).outline for path in ("/hello", SESSIONS, CHANGE)}
        for text in HOSTILE:
            await change(sqlite_auth, sqlite_auth.tables.session, device=text[:200])
            names = {"username": text[:150], "first_name": text[:150], "email": text[:254]}
            await change(sqlite_auth, sqlite_auth.tables.user, **names)
            for path, outline in outlines.items():
                page = Page(await browser.get(path))
                assert page.outline == outline
                assert page.comments == []


@pytest.mark.parametrize("agent", [text for text in HOSTILE if text.isprintable() and text.isascii()][::7])
async def test_T11_a_user_agent_is_a_text(browser: Client, agent: str) -> None:
    async with client(browser.app, headers={**BROWSER, "User-Agent": agent}) as other:
        await log_in(other)
        page = Page(await other.get(SESSIONS))
        assert page.all("script") == page.all("img") == page.all("iframe") == []
        assert {name for _, attributes in page.elements for name in attributes if name.startswith("on")} == set()


async def sent_to(browser: Client, value: str) -> list[httpx2.Response]:
    """Every entry point that takes `next`."""
    credentials = {"username": "ann", "password": PASSWORD}
    return [
        await browser.post(LOGIN, params={"next": value}, data=credentials),
        await browser.post(LOGIN, data={**credentials, "next": value}),
        await browser.get(LOGIN, params={"next": value}),
        await browser.post(
            CHANGE, params={"next": value}, data={"old_password": "x", "new_password": "x", "next": value}
        ),
        await browser.post(LOGOUT, params={"next": value}),
        await browser.post(LOGOUT, data={"next": value}),
        await browser.get(SESSIONS, params={"next": value}),
        await browser.post(f"{SESSIONS}/revoke_others", params={"next": value}, data={"next": value}),
    ]


async def test_T07_no_next_leads_to_another_site(browser: Client) -> None:
    """Django's list, and what open redirects are made of, at each page's entry."""
    evil = [first + second + "evil.example" for first, second in product(PIECES, ("", "/", "\\", "@"))]
    values = [value for value in [*DJANGO_REFUSES, *evil] if value.encode(errors="ignore").decode() == value]
    assert len(values) > 200
    for value in values:
        for answer in await sent_to(browser, value):
            assert answer.status_code in (200, 303, 422)
            if answer.status_code == 303:
                assert not leaves_the_site(answer.headers["location"])
                assert answer.headers["location"].startswith("/")
            else:
                assert not leaves_the_site(Page(answer).hidden().get("next", "/"))


EXACT = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NONCE = r"'nonce-([A-Za-z0-9_-]{22})'"
POLICY = (
    rf"default-src 'none'; script-src 'self' {NONCE}; style-src 'self' {NONCE}; img-src 'self' data:; connect-src 'self'; "
    r"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)


async def every_answer(browser: Client) -> list[httpx2.Response]:
    """Of every page, in every state that it has."""
    right = {"username": "ann", "password": PASSWORD}
    cross, both = {"Sec-Fetch-Site": "cross-site"}, {"old_password": PASSWORD, "new_password": PASSWORD + "!"}
    return [
        await browser.get(LOGIN),
        await browser.head(LOGIN),
        await browser.post(LOGIN, data={}),
        await browser.post(LOGIN, data={**right, "password": "x"}),
        await browser.post(LOGIN, json={}),
        await browser.post(LOGIN, content=b"x" * 70_000),
        await browser.put(LOGIN),
        await browser.post(LOGIN, data=right, headers=cross),
        await browser.get(CHANGE),
        await browser.get(SESSIONS, headers={"Accept": "*/*"}),
        await browser.post(CHANGE),
        await browser.get(LOGOUT),
        await browser.post(LOGOUT),
        await browser.post(LOGIN, data=right),
        await browser.get(LOGIN, headers={"Sec-Fetch-Dest": "iframe"}),
        await browser.get(CHANGE),
        await browser.get(SESSIONS),
        await browser.post(CHANGE, data={**both, "old_password": "x"}),
        await browser.post(CHANGE, data=both),
        await browser.get(CHANGED),
        await browser.post(CHANGED),
        await browser.post(f"{SESSIONS}/x/revoke"),
        await browser.post(f"{SESSIONS}/revoke_others"),
        await browser.get(f"{SESSIONS}/revoke_others"),
        await browser.post(LOGOUT),
    ]


async def test_T26_D24_D26_whatever_our_pages_answer_has_the_headers(browser: Client) -> None:
    """No `unsafe-*`, a nonce of its own in every page, nothing from elsewhere, and nothing of a version."""
    nonces = []
    answers = await every_answer(browser)
    assert {answer.status_code for answer in answers} == {200, 303, 401, 403, 404, 405, 413, 415, 422}
    for answer in answers:
        assert EXACT.items() <= dict(answer.headers).items()
        assert "cookie" in answer.headers["vary"].lower()
        assert not {"server", "x-powered-by"} & set(answer.headers)
        policy = answer.headers["content-security-policy"]
        if answer.headers.get("content-type", "").startswith("text/html"):
            match = re.fullmatch(POLICY, policy)
            assert match is not None
            assert match[1] == match[2]
            nonces.append(match[1])
            if answer.content:
                page = Page(answer)
                assert [style["nonce"] for style in page.all("style")] == [match[1]]
                addresses = [one[name] for _, one in page.elements for name in ("href", "src", "action") if name in one]
                assert [address for address in addresses if not str(address).startswith("/")] == []
                assert not any("style" in one for _, one in page.elements)
                assert [script for script in page.all("script") if script != {"nonce": match[1]}] == []
                assert page.comments == []
        else:
            assert policy == re.sub(f" {re.escape(NONCE)}", "", POLICY)
    assert len(set(nonces)) == len(nonces)


async def test_T26_the_pages_of_the_application_are_untouched(sqlite_auth: Auth) -> None:
    async def own(request: Request) -> Response:
        return PlainTextResponse("own")

    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth, Route("/own", own)), headers=BROWSER) as browser:
        for _ in range(2):
            answer = await browser.get("/own")
            assert set(answer.headers) <= {"content-length", "content-type", "vary"}
            await log_in(browser)


async def test_T26_what_looks_like_a_file_below_a_page_is_404(browser: Client) -> None:
    """Cache deception (ASVS 14.2.5)."""
    await log_in(browser)
    for path in (f"{LOGIN}/x.css", f"{SESSIONS};.js", f"{CHANGE}/x.png", f"{SESSIONS}/x/revoke/a.css", "/auth/"):
        assert (await browser.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Dest": "empty"}, 200),
        ({}, 200),
        *(
            ({"Sec-Fetch-Dest": kind}, 403)
            for kind in ("iframe", "frame", "object", "embed", "image", "script", "style")
        ),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
    ids=str,
)
async def test_T26_a_page_is_no_part_of_another(sqlite_auth: Auth, headers: dict[str, str], status: int) -> None:
    """ASVS 3.2.1, 3.5.8."""
    async with program(site(sqlite_auth)) as browser:
        assert (await browser.get(LOGIN, headers=headers)).status_code == status


async def test_V077_a_made_up_host_appears_on_no_page(browser: Client) -> None:
    for answer in (
        await browser.get(LOGIN, headers={"Host": "evil.example"}),
        await browser.post(LOGIN, data={"username": "x"}, headers={"Host": "evil.example"}),
    ):
        assert "evil.example" not in answer.text
    answer = await browser.get(SESSIONS, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert where(answer) == (303, f"{LOGIN}?next={SESSIONS}")
