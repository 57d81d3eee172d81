"""What Django signs, to the byte: a value that it has signed holds here, and the other way round.

As `django/core/signing.py`, `django/utils/crypto.py`, `django/contrib/auth/base_user.py` and `tokens.py` of Django 6.1
do it (rows A1.7, A2.16, A17). For what is asgiauth's own there is `signing.py`.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from hashlib import sha256
from typing import Any, Protocol

from .exceptions import ConfigurationError, InvalidToken

__all__ = ["DjangoKeys", "DjangoResetTokens", "ResetUser", "read_unverified", "uid_from_base64", "uid_to_base64"]

MAX_SIZE = 2**20
"""Bytes of JSON that a signed value may hold: one that was compressed could otherwise become as large as it likes."""
RESET_TIMEOUT = 259_200
"""Seconds: PASSWORD_RESET_TIMEOUT, three days."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_SESSION_HASH = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"
_RESET_TOKEN = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105
_RESET_SHAPE = re.compile(r"([0-9a-z]{1,13})-[0-9a-f]{32}")  # 13 digits hold 64 bits
_LENIENT = json.JSONDecoder(parse_constant=lambda _: None)
_FIRST_DAY = datetime(2001, 1, 1)  # noqa: DTZ001


class DjangoKeys:
    """`SECRET_KEY` and `SECRET_KEY_FALLBACKS` of a Django site: the first signs, all of them verify.

    Raises `ConfigurationError` for an empty key.
    """

    def __init__(self, secret_key: str | bytes, fallbacks: Sequence[str | bytes] = ()) -> None:
        if isinstance(fallbacks, (str, bytes)):
            raise ConfigurationError("fallbacks is a list of keys: give it what SECRET_KEY_FALLBACKS of Django has")
        secrets = [key.encode() if isinstance(key, str) else key for key in (secret_key, *fallbacks)]
        if not all(secrets):
            raise ConfigurationError("a key of Django's is empty: give SECRET_KEY and SECRET_KEY_FALLBACKS of the site")

        @cache
        def keys(salt: str) -> tuple[bytes, ...]:
            return tuple(sha256(salt.encode() + secret).digest() for secret in secrets)

        self.keys: Callable[[str], tuple[bytes, ...]] = keys
        """`keys(salt)`: what `salted_hmac` signs with, newest first. The secrets are in its closure alone."""

    def macs(self, salt: str, message: str) -> list[bytes]:
        """`salted_hmac(salt, message, algorithm="sha256")` under each key, newest first."""
        return [hmac.digest(key, message.encode(), "sha256") for key in self.keys(salt)]

    def session_hashes(self, password: str) -> list[bytes]:
        """What binds a session to the stored hash `password`, under each key (row A2.16). Django keeps it as hex."""
        return self.macs(_SESSION_HASH, password)

    def dumps(self, value: Any, *, salt: str, at: datetime, compress: bool = False) -> str:
        """`signing.dumps(value)`, signed `at` that time: JSON, readable by anyone. Raises as `json.dumps`."""
        data, mark = json.dumps(value, separators=(",", ":")).encode(), ""
        if compress and len(packed := zlib.compress(data)) < len(data) - 1:
            data, mark = packed, "."
        signed = f"{mark}{_base64(data)}:{_digits(int(at.timestamp()), _BASE62)}"
        return f"{signed}:{_base64(self.macs(salt + 'signer', signed)[0])}"

    def loads(self, text: str, *, salt: str) -> tuple[Any, datetime]:
        """The value, and when it was signed. Raises `InvalidToken` when none of the keys has signed it, and
        `ValueError` for a genuine one that cannot be read: it is no JSON, or larger than `MAX_SIZE`."""
        _check_size(text)
        signed, _, signature = text.rpartition(":")
        macs = [_base64(mac).encode() for mac in self.macs(salt + "signer", signed)]
        if not any(hmac.compare_digest(mac, signature.encode()) for mac in macs):
            raise InvalidToken(
                "the signed value is not genuine: give SECRET_KEY and SECRET_KEY_FALLBACKS as the Django site has them"
            )
        try:
            return read_unverified(text), datetime.fromtimestamp(_number(signed.rpartition(":")[2], _BASE62), UTC)
        except (OverflowError, OSError) as error:
            raise ValueError("the signed value says no time") from error


def read_unverified(text: str) -> Any:
    """The value, whoever has signed it. Raises `ValueError` for what cannot be read. NaN and infinity, which Python
    writes and JSON does not know, are null."""
    _check_size(text)
    encoded = text.rsplit(":", 2)[0]
    data = base64.urlsafe_b64decode(_padded(encoded.removeprefix(".")))
    try:
        return _LENIENT.decode((_unpacked(data) if encoded.startswith(".") else data).decode("latin-1"))
    except RecursionError as error:
        raise ValueError("the signed value is too deep") from error


class ResetUser(Protocol):
    """What a reset token knows of its user."""

    @property
    def id(self) -> Any: ...
    @property
    def password(self) -> str: ...
    @property
    def last_login(self) -> datetime | None: ...


class DjangoResetTokens:
    """The links of Django's password reset: each works until the password, the address or the last login is another
    one, and at most `timeout` seconds (rows A17.1 to A17.6).

    `zone` is `TIME_ZONE` of the site: Django counts seconds of its local time, so that its tokens move with daylight
    saving (row A17.8). `email_field` is where the user has the address.
    """

    def __init__(
        self,
        keys: DjangoKeys,
        *,
        clock: Callable[[], datetime],
        zone: tzinfo = UTC,
        timeout: int = RESET_TIMEOUT,
        email_field: str = "email",
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._zone = zone
        self._timeout = timeout
        self._email_field = email_field

    def make(self, user: ResetUser) -> str:
        """`<seconds since 2001, base 36>-<half of an HMAC in hex>`."""
        seconds = self._now()
        return f"{_digits(seconds, _BASE36)}-{self._halves(user, seconds)[0]}"

    def check(self, user: ResetUser | None, token: str | None) -> bool:
        """Whether the token is one of this user's, as the user is now, and young enough: a second more is too much.
        Whatever is malformed is False."""
        shape = _RESET_SHAPE.fullmatch(token or "")
        if user is None or shape is None:
            return False
        seconds = int(shape[1], 36)
        wanted = [f"{_digits(seconds, _BASE36)}-{half}".encode() for half in self._halves(user, seconds)]
        genuine = any(hmac.compare_digest(one, shape[0].encode()) for one in wanted)
        return genuine and self._now() - seconds <= self._timeout

    def covered(self, user: ResetUser, seconds: int) -> str:
        """What a token is about: where it changes, the token is void. For one that covers more, extend it as Django's
        `_make_hash_value` (row A17.7)."""
        login = user.last_login and user.last_login.astimezone(UTC).replace(microsecond=0, tzinfo=None)
        return f"{user.id}{user.password}{login or ''}{seconds}{getattr(user, self._email_field, '') or ''}"

    def _halves(self, user: ResetUser, seconds: int) -> list[str]:
        return [mac.hex()[::2] for mac in self._keys.macs(_RESET_TOKEN, self.covered(user, seconds))]

    def _now(self) -> int:
        return int((self._clock().astimezone(self._zone).replace(tzinfo=None) - _FIRST_DAY).total_seconds())


def uid_to_base64(user_id: Any) -> str:
    """How Django's links spell a user's key."""
    return _base64(str(user_id).encode())


def uid_from_base64(text: str) -> str | None:
    """The key as text; None for what is no such spelling."""
    try:
        return base64.urlsafe_b64decode(_padded(text)).decode()
    except ValueError:
        return None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _padded(text: str) -> bytes:
    return text.encode() + b"=" * (-len(text) % 4)


def _digits(number: int, alphabet: str) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(alphabet))
        digits = alphabet[digit] + digits
    return digits or alphabet[0]


def _number(digits: str, alphabet: str) -> int:
    number = 0
    for digit in digits:
        number = number * len(alphabet) + alphabet.index(digit)
    return number


def _unpacked(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, MAX_SIZE)
    except zlib.error as error:
        raise ValueError("the signed value cannot be unpacked") from error
    if not stream.eof:
        raise ValueError("the signed value is too large, or cut off")
    return unpacked


def _check_size(text: str) -> None:
    if len(text) > 2 * MAX_SIZE:
        raise ValueError("the signed value is too large")
