"""HTTP Basic (RFC 7617): a script that sends user name and password with each request, and keeps nothing."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import MetaData
from starlette.requests import HTTPConnection

from ..backends import Identity
from ..core import Core
from ..exceptions import ConfigurationError, LoginRefused, TooManyAttempts
from ..feature import Contribution
from ..http.request_auth import RequestAuth
from ..users import User, Users

__all__ = ["HttpBasic"]

_MAX = 4096
"""Bytes of the header: a name and a password of the greatest length there is fit in."""


class HttpBasic:
    """Scripts log in with `curl --user ann`, at each request anew: `Auth(features=[HttpBasic(realm="Shop")])`.

    It is the same as a login with user name and password, the guards, the time and the one hash that it costs
    included, but for the session, which there is none of. Who would have to take a further step, or to choose another
    password, is nobody: a password alone is not enough then. `realm` is what programs show to whoever they ask for the
    password. Raises `ConfigurationError` for one that is no printable ASCII.
    """

    name = "http_basic"

    def __init__(self, realm: str = "Log in") -> None:
        if not realm.isascii() or not realm.isprintable() or set('"\\') & set(realm):
            raise ConfigurationError(f"HttpBasic(realm={realm!r}): use printable ASCII without quotes and backslashes")
        self._challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def tables(self, metadata: MetaData) -> None:
        """It has none."""

    def install(self, core: Core) -> Contribution:
        return Contribution(authenticators=[_Authenticator(core.users, self._challenge)])


class _Authenticator:
    def __init__(self, users: Users[Any], challenge: str) -> None:
        self.challenge = challenge
        self._users = users
        self._known: WeakKeyDictionary[RequestAuth[Any], User] = WeakKeyDictionary()
        """Whom a WebSocket has shown the password of: it is looked at once."""

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        credentials = _credentials(connection.scope["headers"])
        if credentials is None:
            return None
        auth: RequestAuth[Any] = connection.auth
        user = await self._found(auth, *credentials)
        if user is None:
            return None
        return await auth.identity_of(user, method="basic", ambient=not _is_of_a_program(connection.scope["headers"]))

    async def _found(self, auth: RequestAuth[Any], username: str, password: str) -> User | None:
        if (known := self._known.get(auth)) is not None:
            now = await self._users.get(known.id)
            return now if now is not None and now.password == known.password else None
        try:
            found: User | None = await auth.authenticate(username=username, password=password)
        except TooManyAttempts:
            raise
        except LoginRefused:
            return None
        if found is not None:
            self._known[auth] = found
        return found


def _credentials(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str] | None:
    """None for what is not Basic, and for what is not well-formed: one header, Base64, UTF-8, no control characters
    (RFC 7617, 2)."""
    values = [value for name, value in headers if name == b"authorization"]
    scheme, _, encoded = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    if scheme.lower() != b"basic" or len(encoded) > _MAX:
        return None
    try:
        text = b64decode(encoded.strip(b" "), validate=True).decode()
    except ValueError:
        return None
    username, colon, password = text.partition(":")
    has_controls = any(character < " " or character == "\x7f" for character in text)
    return (username, password) if colon and username and not has_controls else None


def _is_of_a_program(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether no other site can have made a browser send it, which sends Basic by itself once it has asked for the
    password: JSON, and none of the headers that tell a browser (D-18)."""
    headers = list(headers)
    names = {name for name, _ in headers}
    types = [value.partition(b";")[0].strip().lower() for name, value in headers if name == b"content-type"]
    return types == [b"application/json"] and not names & {b"cookie", b"origin", b"sec-fetch-site"}
