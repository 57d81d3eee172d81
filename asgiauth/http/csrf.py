"""Did this site itself ask for the change? Decided from the headers alone; no middleware here (D-18).

A browser says where a request comes from in `Sec-Fetch-Site`, an older one in `Origin`. Where neither has arrived, the
page must show a token that no other site can know.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from ipaddress import ip_address
from typing import TypeGuard
from urllib.parse import urlsplit

import idna
from starlette.types import Message, Receive, Scope

from ..exceptions import ConfigurationError
from ..signing import Signing

__all__ = ["Csrf", "Verdict", "header_token", "is_binding", "is_unsafe", "new_binding", "origin_of", "read_form_token"]

Headers = Iterable[tuple[bytes, bytes]]
"""As ASGI has them: lower-case names, in the order they came, doubled ones twice."""

FIELD = "csrf_token"
"""Of a form."""
HEADER = b"x-csrf-token"
MAX_BODY = 64 * 1024
"""Bytes of a form that are read for its token (D-35)."""

_PURPOSE = "csrf token"
_NONCE = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{64}")
"""A nonce of 16 bytes and an HMAC of 32: no bits are left over, so each token has one spelling."""
_BINDING = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""32 bytes in their one spelling: two bits of the last character are zero."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Verdict(Enum):
    """What the headers of an unsafe request say."""

    PASS = auto()
    REFUSE = auto()
    NEEDS_TOKEN = auto()


class Csrf:
    """The decision of D-18 for one site.

    `origin`: the site's own; `trusted_origins`: others that may send its users' requests. Both as `https://host[:port]`.
    Raises `ConfigurationError` for what is no origin.
    """

    def __init__(self, signing: Signing, origin: str, trusted_origins: Sequence[str]) -> None:
        if isinstance(trusted_origins, str):
            raise ConfigurationError(f"trusted_origins is a list: trusted_origins=[{trusted_origins!r}]")
        self._signing = signing
        self._trusted = {_origin(one, "trusted_origins").encode() for one in trusted_origins}
        self._allowed = self._trusted | {_origin(origin, "the site's origin").encode()}

    def verdict(self, headers: Headers, *, cookies_present: bool, shipped: bool) -> Verdict:
        """For an unsafe request. `shipped`: it goes to a view of ours, which takes JSON from programs that know
        neither cookies nor tokens; a browser cannot send such a request across sites without asking first (CORS)."""
        headers = list(headers)
        sites, origins = _values(headers, b"sec-fetch-site"), _values(headers, b"origin")
        if sites:
            own = sites in ([b"same-origin"], [b"none"])
            return Verdict.PASS if own or _is_one_of(origins, self._trusted) else Verdict.REFUSE
        if origins:
            return Verdict.PASS if _is_one_of(origins, self._allowed) else Verdict.REFUSE
        is_plain_json = _media_type(headers) == b"application/json" and not _values(headers, HEADER)
        return Verdict.PASS if shipped and is_plain_json and not cookies_present else Verdict.NEEDS_TOKEN

    def token(self, binding: str) -> str:
        """A token for whoever `binding` stands for: the public id of a session, or the value of a visitor's cookie.
        Another one each time, so that compressed pages do not betray it (BREACH); all of them hold."""
        nonce = secrets.token_bytes(_NONCE)
        return urlsafe_b64encode(nonce + self._signing.mac(_PURPOSE, nonce + binding.encode())).decode()

    def matches(self, token: str, binding: str) -> bool:
        """Whether `token` was made for `binding`. False for any other string; compared in constant time."""
        if not _TOKEN.fullmatch(token):
            return False
        raw = urlsafe_b64decode(token)
        nonce, mac = raw[:_NONCE], raw[_NONCE:]
        return self._signing.matches(_PURPOSE, nonce + binding.encode(errors="surrogatepass"), mac)


def is_unsafe(method: str) -> bool:
    """Whether a method may change something (RFC 9110, 9.2.1); one that is not known may."""
    return method not in ("GET", "HEAD", "OPTIONS", "TRACE")


def new_binding() -> str:
    """What binds the tokens of a visitor without a session: 32 random bytes, for a cookie of its own."""
    return secrets.token_urlsafe(32)


def is_binding(value: str | None) -> TypeGuard[str]:
    """Whether `new_binding` could have made it."""
    return value is not None and _BINDING.fullmatch(value) is not None


def header_token(headers: Headers) -> str | None:
    """The token in `X-CSRF-Token`: None where the header is absent, and blank, which matches nothing, where it is
    doubled."""
    values = _values(headers, HEADER)
    if not values:
        return None
    return values[0].decode("latin-1") if len(values) == 1 else ""


async def read_form_token(scope: Scope, receive: Receive) -> tuple[str | None, Receive]:
    """The `csrf_token` of an urlencoded form of at most 64 KiB, and a `receive` that gives the application the same
    messages again. None for any other body, for no token or several, and when the client has gone."""
    if _media_type(scope["headers"]) != b"application/x-www-form-urlencoded":
        return None, receive
    messages: deque[Message] = deque()
    body, more = bytearray(), True
    while more and len(body) <= MAX_BODY and len(messages) <= MAX_BODY:  # HTTP/2 has empty frames without number
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)

    async def replay() -> Message:
        return messages.popleft() if messages else await receive()

    return None if more or len(body) > MAX_BODY else _form_token(body), replay


def _form_token(body: bytes | bytearray) -> str | None:
    """Its name and its value have no character that a form would escape, so nothing is decoded."""
    prefix = FIELD.encode() + b"="
    found = [field[len(prefix) :] for field in body.split(b"&") if field.startswith(prefix)]
    return found[0].decode("latin-1") if len(found) == 1 else None


def origin_of(url: str) -> str:
    """Scheme, host and port of an http(s) URL as a browser writes them in `Origin` (RFC 6454, 6.2): lower case, no
    default port, other alphabets in IDNA. Raises `ValueError`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        raise ValueError(url)
    if ":" in host:
        host = f"[{ip_address(host).compressed}]"
    elif not host.isascii():
        host = idna.encode(host, uts46=True).decode()
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def _origin(value: str, where: str) -> str:
    try:
        if re.fullmatch(r"https?://[^\s/?#\\*%]+", value, re.IGNORECASE):
            return origin_of(value)
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"{where}: {value!r} is no origin; give scheme and host alone, as https://shop.example")


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _is_one_of(origins: Sequence[bytes], known: set[bytes]) -> bool:
    return len(origins) == 1 and origins[0] in known


def _media_type(headers: Headers) -> bytes:
    """Without its parameters; blank where the header is absent or doubled."""
    values = _values(headers, b"content-type")
    return values[0].partition(b";")[0].strip().lower() if len(values) == 1 else b""
