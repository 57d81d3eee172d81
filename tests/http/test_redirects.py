"""T07: nothing that a visitor brings along can send them to another site."""

from __future__ import annotations

import random
import re
import string
from itertools import product

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgiauth.http.redirects import MAX_NEXT, relative_path, safe_next

HOME = "/home"

# what Django's tests of url_has_allowed_host_and_scheme refuse (V-007, V-009)
DJANGO_REFUSES = [
    *(f"{scheme}//example.com" for scheme in ("http:", "http:/", "https:", "ftp:", "\x08")),
    *(rf"{slashes}example.com" for slashes in ("\\\\", "\\\\\\", "/\\\\/", "\\\\//", "/\\/", "\\/", "/\\")),
    *(rf"http:{slashes}example.com" for slashes in ("///", "/\\//", "\\/", "/\\")),
    *('javascript:alert("XSS")', "\njavascript:alert(x)", "java\nscript:alert(x)"),
    *(r"http://otherserver\@example.com", r"http:\\testserver\@example.com", r"http://testserver\@example.com"),
    *(r"http://testserver\me:pass@example.com", r"http:\\testserver\confirm\me@example.com"),
    *("http:999999999", "ftp:9999999999", "\n"),
    *("http://[2001:cdba:0000:0000:0000:0000:3257:9652/", "http://2001:cdba:0000:0000:0000:0000:3257:9652]/"),
]
# what they allow; a path of one's own without a leading slash, or with the host, is not in D-19's grammar
DJANGO_ALLOWS = [
    *(f"/view{slash}?param={scheme}://example.com" for slash in ("/", "") for scheme in ("http", "https", "ftp")),
    *("/url%20with%20spaces/", "/confirm/me@example.com"),
]
DJANGO_ALLOWS_BUT_D_19_DOES_NOT = [
    *("view/?param=//example.com", "https://testserver/", "HTTPS://testserver/", "//testserver/"),
    *("http://testserver/confirm?email=me@example.com", "path/http:2222222222"),
]


def leaves_the_site(reference: str) -> bool:
    """What a browser makes of a Location header: the URL Standard's parser (url.spec.whatwg.org, 4.4), as far as it
    decides about the origin."""
    reference = re.sub(r"[\t\n\r]", "", reference.strip("".join(map(chr, range(33)))))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", reference):  # the scheme state
        return True
    return reference.replace("\\", "/").startswith("//")  # the relative slash state of a special scheme


def check(value: object) -> str:
    """The promises that hold for any value whatever."""
    location = safe_next(value, HOME)
    assert re.fullmatch(r"[!-\[\]-~]+", location), "visible ASCII without a backslash: fit for a header"
    assert not leaves_the_site(location)
    assert len(location) <= MAX_NEXT
    assert safe_next(location, HOME) == location, "checking again at use changes nothing"
    return location


@pytest.mark.parametrize("value", [*DJANGO_REFUSES, *DJANGO_ALLOWS_BUT_D_19_DOES_NOT])
def test_T07_what_is_not_a_path_of_this_site_becomes_the_default(value: str) -> None:
    assert check(value) == HOME


@pytest.mark.parametrize("value", DJANGO_ALLOWS)
def test_T07_what_django_allows_of_paths_is_allowed(value: str) -> None:
    assert check(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "//evil.example", "/%2fevil.example", "/%2Fevil.example", "/%5cevil.example", "/%5Cevil.example"),
        *(
            "/\\evil.example",
            "/a\\b",
            "/\tevil",
            "/a\nb",
            "/a\r\nSet-Cookie: a=b",
            "/a b",
            "/a\x00",
            "/a\x7f",
            "/a\x85",
        ),
        *("/a\u2028b", "/a\u3000b", "/a\u202eb", "/\ud800", "/" + "a" * MAX_NEXT, "/" + "é" * 400),
        *(None, 0, True, b"/a", ["/a"], {"/a": 1}),
    ],
)
def test_D19_outside_the_grammar_is_the_default(value: object) -> None:
    assert check(value) == HOME


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ("/", "/"),
        ("/" + "a" * (MAX_NEXT - 1), "/" + "a" * (MAX_NEXT - 1)),
        ("/blog/2024/?page=2&sort=-date#comments", "/blog/2024/?page=2&sort=-date#comments"),
        ("/@ann/a%2Fb;v=1/~x/(y)/*", "/@ann/a%2Fb;v=1/~x/(y)/*"),
        ("/größe?ort=Köln", "/gr%C3%B6%C3%9Fe?ort=K%C3%B6ln"),
        ('/a"<>^`{|}', "/a%22%3C%3E%5E%60%7B%7C%7D"),
        ("/a//b", "/a//b"),
        ("/100%", "/100%"),
    ],
)
def test_D19_a_path_comes_out_as_it_was_in_ascii(value: str, location: str) -> None:
    assert check(value) == location


def test_T07_real_internal_addresses_are_never_refused() -> None:
    sections = ["", "blog", "shop/cart", "@ann", "a-b_c~d", "wiki/C%2B%2B", "mail/ann@site.example", "v1.2/items:list"]
    queries = ["", "?", "?q=a+b", "?next=/a/b", "?u=https://x.example/", "?a[]=1&a[]=2", "?d=2024-01-01T00:00:00Z"]
    internal = [
        f"/{section}{slash}{query}{fragment}"
        for section, slash, query, fragment in product(sections, ("", "/"), queries, ("", "#top"))
        if section or not slash
    ]
    assert len(internal) >= 200
    assert [value for value in internal if check(value) != value] == []


PIECES = [
    *("/", "//", "\\", "\t", "\r", "\n", " ", "\x00", "\x08", "\x1f", "\x7f", "\u2028", "\u3000", "\u202e", "\ufeff"),
    *("@", "#", "?", ":", ";", "%", ".", "..", "evil.example", "site.example", "a", "user:pw@", "[::1]", "127.0.0.1"),
    *(
        "2130706433",
        "0x7f.1",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "%09",
        "%0d%0a",
        "%00",
        "%2e%2e",
        "%252f",
        "\u3002",
        "\uff0f",
        "\uff3c",
    ),
    *("http:", "https:", "HTTPS:", "javascript:", "data:", "blob:", "file:", "é", "ⓔvil", "\ud800", "\U0001f600"),
]


def test_T07_nothing_that_the_grammar_of_attacks_makes_leaves_the_site() -> None:
    """100,000 values of the pieces that open redirects are made of; the oracle is a parser of the URL Standard."""
    choose = random.Random(19)
    allowed = 0
    for _ in range(100_000):
        value = "".join(choose.choices(PIECES, k=choose.randint(1, 7)))
        allowed += check("/" + value if choose.random() < 0.3 else value) != HOME
    assert allowed > 1000, "the oracle has seen what is let through, too"


def test_T07_no_value_whatever_leaves_the_site() -> None:
    """Noise, and damaged good ones."""
    choose = random.Random(7)
    alphabet = string.printable + "\x00\x85\xa0é漢\ud800\U0001f600"
    for _ in range(50_000):
        check("".join(choose.choices(alphabet, k=choose.randint(0, 40))))
        good = list(choose.choice(DJANGO_ALLOWS))
        good[choose.randrange(min(len(good), 4))] = choose.choice(alphabet)
        check("".join(good))


async def show_path(request: Request) -> PlainTextResponse:
    return PlainTextResponse(relative_path(request.scope))


async def ask(url: str, *, root_path: str = "") -> str:
    """What a real application makes of a request, mounted twice."""
    inside: list[Mount | Route] = [Mount("/in", routes=[Route("/{rest:path}", show_path)])]
    app = Starlette(routes=[*inside, Route("/{rest:path}", show_path)])
    transport = httpx2.ASGITransport(app=app, root_path=root_path)
    async with httpx2.AsyncClient(transport=transport, base_url="https://site.example") as client:
        return (await client.get(url, headers={"Host": "evil.example"})).text


@pytest.mark.parametrize(
    ("url", "root_path", "path"),
    [
        ("/page?x=1&y=%2F%20", "", "/page?x=1&y=%2F%20"),
        ("/in/page?", "", "/in/page"),
        ("/in/größe", "", "/in/gr%C3%B6%C3%9Fe"),
        ("/page", "/app", "/app/page"),  # a proxy that strips the prefix
        ("/app/page", "/app", "/app/page"),  # one that does not
        ("/apple", "/app", "/app/apple"),
        ("/in/page", "/app/", "/app/in/page"),
        ("/in/page", "/app/in", "/app/in/in/page"),
    ],
)
async def test_a_request_knows_its_own_path_under_any_mount(url: str, root_path: str, path: str) -> None:
    assert await ask(url, root_path=root_path) == path


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("//evil.example/%2e%2e", b"", ""),  # V-008
        ("/\\evil.example", b"", ""),
        ("@evil.example", b"", ""),  # V-077
        ("", b"", ""),
        ("*", b"", ""),
        ("/" + "a" * MAX_NEXT, b"", ""),
        ("/", b"a" * MAX_NEXT, ""),
        ("/a\\b", b"c\\d e\xe9\xff\n", "/a%5Cb?c%5Cd%20e%E9%FF%0A"),
        ("/\ud800\r\n?#%2f", b"", "/%ED%A0%80%0D%0A%3F%23%252f"),
    ],
)
def test_V008_V077_a_request_for_what_is_no_path_has_none(path: str, query: bytes, expected: str) -> None:
    assert relative_path({"path": path, "query_string": query}) == expected
    assert relative_path({"path": path, "query_string": query, "root_path": "no slash"}) == ""


def test_a_path_that_is_the_prefix_itself_is_not_doubled() -> None:
    assert relative_path({"path": "/app", "query_string": b"", "root_path": "/app"}) == "/app"


def test_T07_a_path_survives_the_way_to_the_login_page_and_back() -> None:
    """What `relative_path` gives, `safe_next` takes, whatever was asked for."""
    choose = random.Random(8)
    pieces = ["/", "\\", "//", ".", "..", "%", "?", "#", "é", "a", " ", "\n", "\x00", "\udc80", "@evil.example", ":"]
    for _ in range(20_000):
        path = "/" + "".join(choose.choices(pieces, k=choose.randint(0, 6)))
        query = bytes(choose.choices(range(256), k=choose.randint(0, 6)))
        found = relative_path({"path": path, "query_string": query, "root_path": choose.choice(["", "/app"])})
        assert found == "" or check(found) == found
