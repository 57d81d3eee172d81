"""T08: the decision of D-18, cell by cell, against tables written by hand from its text."""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any, NamedTuple, TypeVar, cast

import pytest
from starlette.types import Message

from asgiauth.exceptions import ConfigurationError
from asgiauth.http.csrf import (
    Csrf,
    Verdict,
    header_token,
    is_binding,
    is_unsafe,
    new_binding,
    origin_of,
    read_form_token,
)
from asgiauth.signing import Signing

KEYS = ["4WQmwRPCzYl0S9EXAyMTtY4wNqzM5dM7nYk1HtSg2cU", "q7Jm0cVx9bTn3Lr5Zs1Wd8Kf2Hg6Yp4Ea0Ui-Oo_Mv3"]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")


def signing(*keys: str) -> Signing:
    return Signing(keys, clock=lambda: datetime.now(UTC))


csrf = Csrf(signing(KEYS[0]), "https://site.example", ["https://partner.example", "http://localhost:3000"])
rotated_out = Csrf(signing(KEYS[1]), "https://site.example", [])

SESSION, OTHER_SESSION, VISITOR = "a" * 64, "b" * 64, new_binding()

# "own", "trusted", "foreign": what the header means; None: it is not there
SITES: dict[str, tuple[list[bytes], str | None]] = {
    "absent": ([], None),
    "same-origin": ([b"same-origin"], "own"),
    "none": ([b"none"], "own"),
    "same-site": ([b"same-site"], "foreign"),
    "cross-site": ([b"cross-site"], "foreign"),
    "unknown": ([b"Same-Origin"], "foreign"),
    "empty": ([b""], "foreign"),
    "doubled": ([b"same-origin", b"same-origin"], "foreign"),
}
ORIGINS: dict[str, tuple[list[bytes], str | None]] = {
    "absent": ([], None),
    "exact": ([b"https://site.example"], "own"),
    "trusted": ([b"https://partner.example"], "trusted"),
    "other port": ([b"https://site.example:8443"], "foreign"),
    "other scheme": ([b"http://site.example"], "foreign"),
    "subdomain": ([b"https://www.site.example"], "foreign"),
    "parent": ([b"https://example"], "foreign"),
    "sibling": ([b"https://shop.example"], "foreign"),
    "null": ([b"null"], "foreign"),
    "evil": ([b"https://evil.test"], "foreign"),
    "look-alike": ([b"https://site.example.evil.test"], "foreign"),
    "userinfo": ([b"https://site.example@evil.test"], "foreign"),
    "upper-case": ([b"HTTPS://SITE.EXAMPLE"], "foreign"),
    "doubled": ([b"https://partner.example", b"https://partner.example"], "foreign"),
}
METHODS = {
    **dict.fromkeys(["GET", "HEAD", "OPTIONS", "TRACE"], False),
    **dict.fromkeys(["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "post", "get"], True),
}
BINDINGS = {"none": None, "session": SESSION, "anonymous": VISITOR}
TYPES = {
    "json": b"application/json",
    "json with charset": b"Application/JSON; charset=utf-8",
    "form": b"application/x-www-form-urlencoded; charset=utf-8",
    "multipart": b"multipart/form-data; boundary=x",
    "text": b"text/plain",
    "absent": None,
}
TOKENS: dict[str, dict[str, str | None]] = {
    "absent": dict.fromkeys(BINDINGS, None),
    "valid": {"none": csrf.token(VISITOR), "session": csrf.token(SESSION), "anonymous": csrf.token(VISITOR)},
    "other session": dict.fromkeys(BINDINGS, csrf.token(OTHER_SESSION)),
    "pre-login": dict.fromkeys(BINDINGS, csrf.token(VISITOR)),
    "tampered": dict.fromkeys(BINDINGS, csrf.token(SESSION)[:-1] + "!"),
    "expired": dict.fromkeys(BINDINGS, rotated_out.token(SESSION)),
}
HOLDS = {("session", "valid"), ("anonymous", "valid"), ("anonymous", "pre-login")}


class Cell(NamedTuple):
    method: str
    site: str
    origin: str
    cookie: str
    type: str
    token: str
    shipped: bool


def oracle(cell: Cell) -> bool:
    """D-18: (1) Sec-Fetch-Site same-origin or none: yes; anything else: no, unless Origin is trusted. (2) It is absent:
    Origin must be the site's own or trusted. (3) Both are absent: no, unless the token holds, or, for a shipped view,
    the request carries no cookies and no token and is JSON."""
    site, origin = SITES[cell.site][1], ORIGINS[cell.origin][1]
    if not METHODS[cell.method] or site == "own":
        return True
    if site == "foreign":
        return origin == "trusted"
    if origin is not None:
        return origin in ("own", "trusted")
    carried_in_header = cell.token != "absent" and cell.type != "form"
    if cell.shipped and cell.cookie == "none" and cell.type.startswith("json") and not carried_in_header:
        return True
    return (cell.cookie, cell.token) in HOLDS


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        return cast(T, stopped.value)
    raise AssertionError("it waits")


async def one_message(body: bytes) -> Message:
    return {"type": "http.request", "body": body}


def decide(cell: Cell) -> bool:
    """As a middleware does it: a form carries its token in the body, everything else in the header."""
    if not is_unsafe(cell.method):
        return True
    binding, token = BINDINGS[cell.cookie], TOKENS[cell.token][cell.cookie]
    headers = [(b"sec-fetch-site", value) for value in SITES[cell.site][0]]
    headers += [(b"origin", value) for value in ORIGINS[cell.origin][0]]
    media_type = TYPES[cell.type]
    if media_type is not None:
        headers.append((b"content-type", media_type))
    if token is not None and cell.type != "form":
        headers.append((b"x-csrf-token", token.encode()))
    verdict = csrf.verdict(headers, cookies_present=binding is not None, shipped=cell.shipped)
    if verdict is not Verdict.NEEDS_TOKEN:
        return verdict is Verdict.PASS
    found = header_token(headers)
    if found is None:
        body = b"" if token is None else f"a=b&csrf_token={token}".encode()
        found = at_once(read_form_token({"type": "http", "headers": headers}, lambda: one_message(body)))[0]
    return found is not None and binding is not None and csrf.matches(found, binding)


def cells() -> Iterator[Cell]:
    for values in product(METHODS, SITES, ORIGINS, BINDINGS, TYPES, TOKENS, (False, True)):
        yield Cell(*values)


def test_D18_every_cell_is_decided_as_the_rule_says() -> None:
    assert len(METHODS) * len(SITES) * len(ORIGINS) * len(BINDINGS) * len(TYPES) * len(TOKENS) == 145_152
    passed, wrong = 0, []
    for cell in cells():
        expected = oracle(cell)
        passed += expected
        if decide(cell) != expected:
            wrong.append(cell)
    assert wrong == []
    assert 100_000 < passed < 200_000


def test_V091_login_without_cookies_from_another_site_is_refused() -> None:
    """Login CSRF: the cells that have no cookie at all."""
    for site, origin, media_type in product(("same-site", "cross-site"), ("evil", "null", "exact"), TYPES):
        assert not decide(Cell("POST", site, origin, "none", media_type, "absent", True))
    for origin, media_type in product(("evil", "null", "look-alike", "upper-case"), TYPES):
        assert not decide(Cell("POST", "absent", origin, "none", media_type, "absent", True))


def test_V004_no_other_header_excuses_a_request() -> None:
    headers = [(b"x-requested-with", b"XMLHttpRequest"), (b"referer", b"https://site.example/")]
    assert csrf.verdict(headers, cookies_present=True, shipped=True) is Verdict.NEEDS_TOKEN


def test_a_content_type_or_token_that_is_doubled_is_none() -> None:
    json: Headers = [(b"content-type", b"application/json")]
    assert csrf.verdict(json, cookies_present=False, shipped=True) is Verdict.PASS
    assert csrf.verdict(json * 2, cookies_present=False, shipped=True) is Verdict.NEEDS_TOKEN
    token = (b"x-csrf-token", csrf.token(SESSION).encode())
    assert header_token([token]) == token[1].decode()
    assert header_token([]) is None
    assert not csrf.matches(header_token([token, token]) or "", SESSION)


def test_T06_each_token_is_another_one_and_all_of_them_hold() -> None:
    tokens = {csrf.token(SESSION) for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(csrf.matches(token, SESSION) for token in tokens)
    assert len({token[:8] for token in tokens}) == len({token[-8:] for token in tokens}) == 1000


def test_T06_a_token_survives_the_rotation_of_keys_and_no_other_purpose() -> None:
    old, new = signing(KEYS[0]), Csrf(signing(KEYS[1], KEYS[0]), "https://site.example", [])
    assert new.matches(csrf.token(SESSION), SESSION)
    assert not csrf.matches(new.token(SESSION), SESSION)
    for purpose in ("csrf", "session stamp", "csrf token "):
        nonce = b"\0" * 16
        forged = nonce + old.mac(purpose, nonce + SESSION.encode())
        assert not csrf.matches(urlsafe_b64encode(forged).decode(), SESSION)


def mutated(token: str, choose: random.Random) -> str:
    at = choose.randrange(len(token))
    other = choose.choice("AZaz09-_+/=. \x00é٣\ud800\n")
    return choose.choice(
        [
            token[:at],
            token[at:],
            token[:at] + other + token[at + 1 :],
            token[:at] + other + token[at:],
            token[:at] + token[at].swapcase() + token[at + 1 :],
            token + choose.choice(["=", "==", "\n", " ", "\x00", "A", token]),
            choose.choice(["", "null", "0", "true", "[]", "{}", "A" * 64, "A" * 8192]),
            token.replace("-", "+").replace("_", "/"),
            "".join(choose.sample(token, len(token))),
        ]
    )


def test_T06_no_damaged_token_is_accepted() -> None:
    """100,000 of them; the same tokens unharmed are, so that the loop has something to lose."""
    choose = random.Random(6)
    accepted = 0
    for number in range(100_000):
        if number % 1000 == 0:
            token = csrf.token(SESSION)
            assert csrf.matches(token, SESSION)
        damaged = mutated(token, choose)
        accepted += damaged != token and csrf.matches(damaged, SESSION)
    assert accepted == 0


@pytest.mark.parametrize(
    "binding",
    [
        "",
        OTHER_SESSION,
        SESSION[:-1],
        SESSION + "a",
        SESSION.upper(),
        "\ud800",
        "\0",
        pytest.param(VISITOR, id="visitor"),
    ],
)
def test_T06_a_token_is_bound(binding: str) -> None:
    assert not csrf.matches(csrf.token(SESSION), binding)


def test_a_binding_has_one_spelling() -> None:
    made = {new_binding() for _ in range(1000)}
    assert len(made) == 1000
    assert all(is_binding(value) for value in made)
    value = made.pop()
    for other in (
        None,
        "",
        value[:-1],
        value + "=",
        value + "A",
        value[:-1] + "B",
        value[:-1] + "\n",
        "é" * 43,
        SESSION,
    ):
        assert not is_binding(other)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Site.Example", "https://site.example"),
        ("https://site.example:443/path?x#y", "https://site.example"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("HTTPS://site.example:8443", "https://site.example:8443"),
        ("http://[0:0::1]:8000", "http://[::1]:8000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    assert origin_of(origin) == origin


NO_ORIGINS: Sequence[Any] = [
    *("partner.example", "//partner.example", "https://", "https:///x", "ftp://partner.example", "null", "*", ""),
    *(
        "https://partner.example/",
        "https://partner.example/path",
        "https://partner.example?",
        "https://partner.example#",
    ),
    *("https://*.partner.example", "https://a b.example", "https://partner.example\n", "https://a:b@partner.example"),
    *(
        "https://partner.example:99999",
        "https://partner.example:x",
        "https://[::1",
        "https://[x:y]",
        "https://ß_.example",
    ),
    *(None, 1, b"https://partner.example"),
]


@pytest.mark.parametrize("value", NO_ORIGINS)
def test_what_is_no_origin_is_refused_when_it_is_configured(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"give scheme and host alone, as https://shop\.example"):
        Csrf(signing(KEYS[0]), "https://site.example", [value])


def test_one_string_is_no_list_of_origins() -> None:
    with pytest.raises(ConfigurationError, match="is a list"):
        Csrf(signing(KEYS[0]), "https://site.example", "https://partner.example")


def test_trusted_origins_are_compared_in_their_own_spelling() -> None:
    friendly = Csrf(signing(KEYS[0]), "https://Site.example:443", ["HTTPS://Partner.example:443"])
    for origin in (b"https://partner.example", b"https://site.example"):
        assert friendly.verdict([(b"origin", origin)], cookies_present=True, shipped=False) is Verdict.PASS
    site = (b"sec-fetch-site", b"cross-site")
    assert (
        csrf.verdict([site, (b"origin", b"http://localhost:3000")], cookies_present=True, shipped=True) is Verdict.PASS
    )
