"""Keys derived for one purpose each, and signed values that expire.

A value signed for one purpose, or by one realm, means nothing to another (D-31): each has a key of its own, derived
from the application's secret by HKDF-SHA-256 (RFC 5869).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.timed import TimestampSigner

from .exceptions import ConfigurationError, InvalidToken, TokenExpired

__all__ = ["Signing"]

MINIMUM_KEY_BYTES = 32
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "secret", "insecure", "password")
"""Wherever they stand; "your-" only in front, because one good key in a million holds it somewhere."""
_CLOCK_SKEW = timedelta(seconds=60)
"""How far the clocks of two servers may differ (ASVS 9.2.1)."""


class Signing:
    """`secret_keys`, newest first: the first signs, all of them verify. Each at least 32
    ASCII characters, and random.

    Raises `ConfigurationError` for a short key, a repeated one, or one that is plainly a placeholder.
    """

    def __init__(self, secret_keys: Sequence[str], *, realm: str = "", clock: Callable[[], datetime]) -> None:
        _check(secret_keys)
        secrets = [key.encode() for key in secret_keys]

        @cache
        def keys(purpose: str) -> tuple[bytes, ...]:
            info = b"".join(len(part).to_bytes(2) + part for part in (b"asgiauth", realm.encode(), purpose.encode()))
            return tuple(_hkdf(secret, info) for secret in secrets)

        self._clock = clock
        self.keys: Callable[[str], tuple[bytes, ...]] = keys
        """`keys(purpose)`: the 32-byte keys of that purpose, newest first. The secrets are in its closure alone."""

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA-256 under the newest key of that purpose: 32 bytes."""
        return self.macs(purpose, message)[0]

    def macs(self, purpose: str, message: bytes) -> list[bytes]:
        """The same under each key, newest first."""
        return [hmac.digest(key, message, "sha256") for key in self.keys(purpose)]

    def matches(self, purpose: str, message: bytes, mac: bytes) -> bool:
        """Whether `mac` is that of `message` under any of the keys; compared in constant time."""
        return any(hmac.compare_digest(one, mac) for one in self.macs(purpose, message))

    def sign(self, purpose: str, value: Any) -> str:
        """A URL-safe string that holds `value` (JSON, readable by anyone) and when it was signed."""
        token = self._serializer(purpose).dumps(value)
        return token if isinstance(token, str) else token.decode()

    def unsign(self, purpose: str, token: str, *, max_age: int) -> Any:
        """The value; `max_age` in seconds. Raises `InvalidToken`, or `TokenExpired` for a genuine one, too old."""
        try:
            value, signed_at = self._serializer(purpose).loads(token, return_timestamp=True)
        except (BadData, UnicodeError):
            raise InvalidToken("the signed value is not genuine") from None
        signature = token.rpartition(".")[2].encode()
        if base64_encode(base64_decode(signature)) != signature:  # one value has one spelling
            raise InvalidToken("the signed value is not genuine")
        age = self._clock() - signed_at
        if age < -_CLOCK_SKEW:
            raise InvalidToken("the signed value comes from the future")
        if age > timedelta(seconds=max_age):
            raise TokenExpired("the signed value is too old")
        return value

    def _serializer(self, purpose: str) -> URLSafeTimedSerializer:
        clock = self._clock

        class Signer(TimestampSigner):
            def get_timestamp(self) -> int:
                return int(clock().timestamp())

        return URLSafeTimedSerializer(
            list(reversed(self.keys(purpose))),  # itsdangerous signs with the last one
            signer=Signer,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )


def _hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block of 32 bytes."""
    pseudorandom = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(pseudorandom, info + b"\x01", "sha256")


def _check(secret_keys: Sequence[str]) -> None:
    cure = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
    if isinstance(secret_keys, (str, bytes)) or not secret_keys:
        raise ConfigurationError(f"secret_keys is a list of at least one key, newest first; {cure}")
    for key in secret_keys:
        if not isinstance(key, str) or not key.isascii():
            raise ConfigurationError(f"a secret key is a string of ASCII characters; {cure}")
        if len(key) < MINIMUM_KEY_BYTES:
            raise ConfigurationError(f"a secret key is shorter than {MINIMUM_KEY_BYTES} bytes; {cure}")
        lowered = key.lower()
        if len(set(key)) < 8 or lowered.startswith("your-") or any(word in lowered for word in _PLACEHOLDERS):
            raise ConfigurationError(f"a secret key is not random; {cure}")
    if len(set(secret_keys)) != len(secret_keys):
        raise ConfigurationError("a secret key is listed twice")
