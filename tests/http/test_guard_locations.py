"""Where an anonymous browser is sent, and where it comes back to (D-19, V-077)."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from asgiauth import Auth, login_required

from ..conftest import BASE_URL, client, program
from .guarding import PAGE, offline, site

OFFLINE = offline()


@login_required
async def function(request: Request) -> Response:
    return PlainTextResponse(request.user.username)


@pytest.mark.parametrize(
    ("login_url", "location"),
    [
        ("/login", "/login?next=/page%3Fa%3D1"),
        ("/login?from=guard", "/login?from=guard&next=/page%3Fa%3D1"),
        ("https://id.example/login", "https://id.example/login?next=https%3A//site.example/page%3Fa%3D1"),
        ("https://id.example/#/login", "https://id.example/?next=https%3A//site.example/page%3Fa%3D1#/login"),
        ("https://site.example/login", "https://site.example/login?next=/page%3Fa%3D1"),
    ],
)
async def test_A10_1_the_login_url_is_the_configured_one(login_url: str, location: str) -> None:
    """A10.1: a login page on another origin is told the whole address, and never by `Host`."""
    app = site(offline(login_url=login_url), Route("/page", function))
    async with client(app) as browser:
        assert (await browser.get("/page?a=1", headers=PAGE)).headers["location"] == location


NEXT = [
    # the URL that was asked for, and what `next` leads back to
    ("/", "/"),
    ("/page", "/page"),
    ("/page/", "/page/"),
    ("/page?", "/page"),
    ("/page?a=1&b=%26&next=%2Fx", "/page?a=1&b=%26&next=%2Fx"),
    ("/page?q=a+b%20c#fragment", "/page?q=a+b%20c"),
    ("/a%20b", "/a%20b"),
    ("/100%25", "/100%25"),
    ("/what%3Fa=1", "/what%3Fa=1"),
    ("/what%23now", "/what%23now"),
    ("/b%C3%BCcher/%E2%82%AC", "/b%C3%BCcher/%E2%82%AC"),
    ("/a%22%27%3Cscript%3E", "/a%22'%3Cscript%3E"),
    ("/a%0D%0ASet-Cookie:%20x=1", "/a%0D%0ASet-Cookie:%20x=1"),
    ("/%0D%0A//evil.example", "/%0D%0A//evil.example"),
    ("/%09/evil.example", "/%09/evil.example"),
    ("/a%00b", "/a%00b"),
    ("/a/../b;p=1", "/b;p=1"),
    ("/@evil.example", "/@evil.example"),
    ("/x//evil.example", "/x//evil.example"),
    ("/x%5Cevil.example", "/x%5Cevil.example"),
    ("//evil.example", None),
    ("///evil.example", None),
    ("/%2Fevil.example", None),
    ("/%2f%2Fevil.example", None),
    ("/%5Cevil.example", None),
    ("/%5c/evil.example", None),
    ("/" + "x" * 2047, "/" + "x" * 2047),
    ("/" + "x" * 2048, None),
    ("/" + "%C3%BC" * 1024, None),
    ("/x?" + "y" * 2048, None),
]


def guarded_everywhere(auth: Auth) -> Starlette:
    """One guarded page at every path; a router would refuse some paths by itself."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await (await function(Request(scope, receive)))(scope, receive, send)

    app = Starlette(middleware=auth.middleware)
    app.router = page  # type: ignore[assignment]
    return app


@pytest.mark.parametrize(("asked", "expected"), NEXT, ids=lambda value: str(value)[:40])
async def test_next_leads_back_to_the_page_and_never_to_another_site(asked: str, expected: str | None) -> None:
    """D-19, T07: relative, one slash, no backslash, no control character, at most 2048."""
    async with program(guarded_everywhere(OFFLINE)) as browser:
        request = browser.build_request("GET", BASE_URL, headers=PAGE)
        request.url = httpx2.URL(BASE_URL + asked)
        location = (await browser.send(request)).headers["location"]
        parts = urlsplit(location)
        assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("", "", "/auth/login", "")
        assert location.isascii()
        assert location.isprintable()
        assert " " not in location
        assert parse_qs(parts.query).get("next", [None])[0] == expected
        if expected is not None:
            url = httpx2.URL(BASE_URL).join(expected)
            assert (url.host, url.path, url.query) == (request.url.host, request.url.path, request.url.query)


@pytest.mark.parametrize(
    ("root_path", "path", "expected"),
    [
        ("", "/page", "/page"),
        ("", "/shop/page", "/shop/page"),
        ("/proxy", "/proxy/page", "/proxy/page"),
        ("/proxy", "/proxy/shop/page", "/proxy/shop/page"),
        ("/proxy", "/page", "/proxy/page"),
        ("/proxy", "/proxying", "/proxy/proxying"),
        ("/proxy", "/proxy/proxy/page", "/proxy/proxy/page"),
        ("/proxy/", "/proxy/page", "/proxy/page"),
        ("/a b", "/a b/page", "/a%20b/page"),
        ("//evil.example", "/page", None),
        ("/\\evil.example", "/page", None),
    ],
)
async def test_next_knows_mounts_and_proxies(root_path: str, path: str, expected: str | None) -> None:
    """DESIGN 9: any mount, any prefix, behind a stripping proxy too."""
    inner = Mount("/shop", routes=[Route("/{path:path}", function)])
    app = site(OFFLINE, inner, Route("/{path:path}", function))
    transport = httpx2.ASGITransport(app=app, root_path=root_path)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as browser:
        location = (await browser.get(path, headers=PAGE)).headers["location"]
    assert parse_qs(urlsplit(location).query).get("next", [None])[0] == expected
    prefix = root_path.rstrip("/").replace(" ", "%20") if expected else ""
    assert urlsplit(location)[:3] == ("", "", prefix + "/auth/login")


async def test_a_guard_looks_at_neither_host_nor_url() -> None:
    """V-077: `Host: x/abc?b=` and a path without `/` leave the guard in place, and `next` on this site."""
    hosts = ["x/abc?b=", "evil.example", "site.example@evil.example", "x:99999", "", "[::1", "a b", "\u00e4", "x#"]
    table = {"/page": "?next=/page", "@evil": "", "": "", "//x": "", "http://evil/page": "", "*": "", "\\x": ""}
    for host in hosts:
        for path, query in table.items():
            headers = [(b"host", host.encode("latin-1")), (b"accept", b"text/html"), (b"x-forwarded-host", b"evil")]
            scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
            sent: list[Message] = []

            async def send(message: Message, sent: list[Message] = sent) -> None:
                sent.append(message)

            await guarded_everywhere(OFFLINE)({**scope, "scheme": "https"}, nothing_more, send)
            assert sent[0]["status"] == 303
            assert dict(sent[0]["headers"])[b"location"].decode() == "/auth/login" + query


async def nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
