"""The three cookies, read from the raw headers and written as header values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ..sessions import SessionPolicy

__all__ = ["CookieJar", "ReceivedCookies"]


class ReceivedCookies(NamedTuple):
    """What the browser sent: None for no cookie, and blank when it is not clear which one is meant, for two of one name
    mean that somebody has planted one (V-018). `any` says whether there was any cookie at all."""

    session: str | None
    pending: str | None
    csrf: str | None
    any: bool


NO_COOKIES = ReceivedCookies(None, None, None, any=False)


@dataclass(frozen=True)
class CookieJar:
    """The names and flags of one `Auth`. `session`: who is logged in. `pending`: whose login waits for a step. `csrf`:
    what binds the tokens of a visitor without a session. That of sessions shared with another framework has its name
    there, to the letter."""

    session: str
    pending: str
    csrf: str
    flags: str

    @classmethod
    def of(cls, policy: SessionPolicy, *, secure: bool, realm: str) -> CookieJar:
        name = policy.cookie.name + (f"-{realm}" if realm else "")
        prefix = "__Host-" if secure else ""
        shared = getattr(policy.store, "cookie_name", None)
        same_site = policy.cookie.same_site.capitalize()
        return cls(
            session=shared or f"{prefix}{name}",
            pending=f"{prefix}{name}-pending",
            csrf=f"{prefix}{name}-csrf",
            flags=f"; Path=/; HttpOnly; SameSite={same_site}" + ("; Secure" if secure else ""),
        )

    def read(self, headers: Iterable[tuple[bytes, bytes]]) -> ReceivedCookies:
        sent = [value for name, value in headers if name == b"cookie"]
        if not sent:
            return NO_COOKIES
        parts = [part.strip() for value in sent for part in value.split(b";")]
        return ReceivedCookies(_one(parts, self.session), _one(parts, self.pending), _one(parts, self.csrf), any=True)

    def write(self, name: str, value: str, *, max_age: int | None) -> str:
        """`max_age` in seconds; None: until the browser closes."""
        return f"{name}={value}{self.flags}" + ("" if max_age is None else f"; Max-Age={max_age}")

    def clear(self, name: str) -> str:
        return self.write(name, "", max_age=0)


def _one(parts: list[bytes], name: str) -> str | None:
    prefix = name.encode() + b"="
    found = [part[len(prefix) :] for part in parts if part.startswith(prefix)]
    if not found:
        return None
    return found[0].decode("latin-1") if len(found) == 1 else ""
