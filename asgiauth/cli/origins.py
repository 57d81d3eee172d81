"""Whom does CORS let read answers in the name of whoever is logged in? Asked of Starlette's own middleware, with
origins that strangers could have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware

from ..checks import Finding

__all__ = ["of_cors"]

_ANYWHERE = [f"anywhere.{top}" for top in ("invalid", "com", "net", "org", "io", "dev", "app")]
_DOMAIN = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+", re.IGNORECASE)


def of_cors(cors: CORSMiddleware, site: str, *, deploy: bool) -> Iterator[Finding]:
    """`site`: its own origin."""
    if cors.simple_headers.get("Access-Control-Allow-Credentials") != "true":
        return
    pattern = cors.allow_origin_regex.pattern if cors.allow_origin_regex else ""
    known = {urlsplit(site).hostname or "", *_DOMAIN.findall(re.sub(r"\\(.)", r"\1", pattern))}
    if stranger := next((host for host in _strangers(known) if cors.is_allowed_origin(f"https://{host}")), ""):
        whom = "every site" if stranger in _ANYWHERE else f"strangers, such as https://{stranger},"
        yield Finding(
            "cors_any_origin",
            "error",
            f"CORS lets {whom} read answers in the name of whoever is logged in.",
            "Name the origins, anchor and escape allow_origin_regex, or leave allow_credentials out.",
        )
    elif cors.is_allowed_origin("null"):
        yield Finding(
            "cors_null_origin",
            "error",
            'CORS lets the origin "null" read answers in the name of whoever is logged in: any site can have it, in a '
            "sandboxed frame.",
            'Take "null" out of allow_origins.',
        )
    named = [origin for origin in cors.allow_origins if origin.startswith("http://")]
    matched = (f"http://{prefix}{host}" for host in known | {"localhost"} for prefix in ("", "x."))
    if deploy and (named or (pattern and any(map(cors.is_allowed_origin, matched)))):
        yield Finding(
            "cors_origin_not_https",
            "error",
            "CORS lets an http address read answers: whoever sits on the network can speak in its name.",
            "Name https addresses alone.",
        )


def _strangers(known: set[str]) -> Iterator[str]:
    """Hosts that somebody else can have, and that look like the known ones to a careless pattern."""
    yield from _ANYWHERE
    for host in sorted(known):
        yield from (f"{host}.{_ANYWHERE[0]}", f"x.{host}.{_ANYWHERE[0]}", f"{host}{_ANYWHERE[1]}")
        own = ".".join(host.split(".")[-2:])
        similar = [f"x{host}", *(f"{host[: dot.start()]}x{host[dot.end() :]}" for dot in re.finditer(r"\.", host))]
        yield from (other for other in similar if other != own and not other.endswith(f".{own}"))
