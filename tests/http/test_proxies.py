"""4.1.3, V-014, V-042: whom a request comes from, and who is believed about it."""

from __future__ import annotations

import random
from ipaddress import ip_address
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgiauth.exceptions import ConfigurationError
from asgiauth.http.proxies import TrustedProxies

proxies = TrustedProxies(["10.0.0.0/8", "192.168.1.7", "2001:db8:1::/48", "::1"])
FORWARDED_FOR = "X-Forwarded-For"


async def address(peer: str, headers: list[tuple[str, str]]) -> str:
    """What an application behind those proxies sees."""

    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(proxies.address(request.scope))

    transport = httpx2.ASGITransport(app=Starlette(routes=[Route("/", show)]), client=(peer, 123))
    async with httpx2.AsyncClient(transport=transport, base_url="https://site.example") as client:
        return (await client.get("/", headers=headers)).text


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's story
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # V-042: never the left-most
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),  # two headers are one list
        ("10.0.0.1", ["198.51.100.1,  10.9.9.9 ,192.168.1.7"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a request from inside
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("192.168.1.8", ["6.6.6.6"], "192.168.1.8"),
        ("::1", ["[2001:db8:2::5]:4711"], "2001:db8:2::5"),
        ("::1", ["[2001:db8:2::5]"], "2001:db8:2::5"),
        ("2001:db8:1:2::3", ["2001:DB8:2:0:0::5"], "2001:db8:2::5"),
        ("::ffff:10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("testclient", ["6.6.6.6"], ""),
        ("", ["6.6.6.6"], ""),
    ],
)
async def test_the_address_is_the_right_most_one_that_no_proxy_of_ours_has(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert await address(peer, [(FORWARDED_FOR, value) for value in forwarded]) == expected


@pytest.mark.parametrize("header", ["X_Forwarded_For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "Client-IP"])
async def test_V014_no_other_header_is_read(header: str) -> None:
    assert await address("10.0.0.1", [(header, "for=6.6.6.6, 6.6.6.6")]) == "10.0.0.1"


async def test_without_trusted_proxies_only_the_peer_counts() -> None:
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"6.6.6.6")]}
    assert TrustedProxies([]).address(scope) == "10.0.0.1"


@pytest.mark.parametrize("scope", [{"headers": []}, {"client": None, "headers": [(b"x-forwarded-for", b"6.6.6.6")]}])
def test_a_peer_that_the_server_does_not_know_is_nobody(scope: dict[str, Any]) -> None:
    assert proxies.address(scope) == ""


def test_V042_a_thousand_stories_are_one_address() -> None:
    choose = random.Random(42)
    seen = set()
    for _ in range(1000):
        story = ", ".join(str(ip_address(choose.getrandbits(32))) for _ in range(choose.randint(1, 5)))
        headers = [(b"x-forwarded-for", f"{story}, 198.51.100.1".encode())]
        seen.add(proxies.address({"client": ("10.0.0.1", 1), "headers": headers}))
    assert seen == {"198.51.100.1"}


def test_no_header_whatever_raises_or_grows() -> None:
    choose = random.Random(1)
    pieces = [
        b"10.0.0.1",
        b"1.2.3.4",
        b"::1",
        b"[",
        b"]",
        b":",
        b"%",
        b",",
        b" ",
        b"\xff",
        b"\x00",
        b"0x7f",
        b"999",
        b".",
    ]
    for _ in range(20_000):
        value = b"".join(choose.choices(pieces, k=choose.randint(0, 8)))
        found = proxies.address({"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", value)]})
        assert str(ip_address(found)) == found
        assert len(found) <= 45


@pytest.mark.parametrize("networks", ["10.0.0.0/8", ["10.0.0.1/8"], ["proxy.internal"], [""], ["*"], [1]])
def test_what_is_no_network_is_refused_when_it_is_configured(networks: Any) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        TrustedProxies(networks)
