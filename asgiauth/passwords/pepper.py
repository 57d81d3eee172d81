from __future__ import annotations

import base64
import hmac
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..exceptions import ConfigurationError
from .hashers import Argon2Hasher, Hasher, HashSummary, PBKDF2Hasher
from .hashers.base import COLUMN, logger, refuse
from .hashers.recompute import recomputed

__all__ = ["Pepper", "PepperedHasher"]

MINIMUM_KEY_BYTES = 32
_PEPPERED = re.compile(r"pepper\$([0-9a-f]{6})\$(.+)", re.DOTALL)
_DIGEST = 43
"""Characters of 32 bytes in base64 without padding: an HMAC-SHA-256 stands where a hash of that length stood."""


class Pepper:
    """Keys that are not in the database, without which its password hashes are worth nothing (D-03).

    `keys`, newest first, each at least 32 random bytes: the first is used, all of them verify. With `active=False` none
    is used for new hashes: the way back out. A lost key loses every password that it was used for.

    Raises `ConfigurationError` for a short key and for one that is there twice.
    """

    def __init__(self, keys: Sequence[str] = (), *, active: bool = True) -> None:
        if isinstance(keys, str) or not isinstance(keys, Sequence) or not all(isinstance(key, str) for key in keys):
            raise ConfigurationError("pepper=[...] is a list of strings, newest first")
        if any(len(_bytes(key)) < MINIMUM_KEY_BYTES for key in keys):
            raise ConfigurationError(
                f"each key of pepper=[...] has at least {MINIMUM_KEY_BYTES} bytes: make one with "
                'python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        secrets = {_id_of(key): _bytes(key) for key in keys}
        if len(secrets) < len(keys):
            raise ConfigurationError("a key of pepper=[...] is there twice, or two look alike: take one away")
        self.ids = tuple(secrets)
        """The public names of the keys, newest first, as they stand in the stored hashes: derived from the keys."""
        self.active = active and bool(secrets)

        def tag(key_id: str, encoded: str) -> bytes:
            return hmac.digest(secrets[key_id], encoded.encode(), "sha256")

        self.tag: Callable[[str, str], bytes] = tag
        """`tag(id, encoded)`: the HMAC-SHA-256 of a whole encoded hash. The keys are in its closure alone."""

    def __repr__(self) -> str:
        return f"Pepper({', '.join(self.ids)})"


class PepperedHasher:
    """`pepper$id$argon2$argon2id$...`: what `Argon2Hasher` or `PBKDF2Hasher` makes, with the HMAC-SHA-256 of all of it
    in the place of its hash. Salt and parameters stay readable; the hash itself is in no database. One whose key is not
    there never verifies.

    Raises `ConfigurationError` when the first hasher makes what cannot be peppered.
    """

    algorithm = "pepper"

    def __init__(self, hashers: Sequence[Hasher], pepper: Pepper) -> None:
        self._plain = hashers[0]
        self._inner = [hasher for hasher in hashers if _can_be_peppered(hasher)]
        self._pepper = pepper
        if pepper.active:
            _check(self._plain)

    def identify(self, encoded: str) -> bool:
        found = _PEPPERED.fullmatch(encoded)
        return found is not None and self._of(found[2]) is not None

    def encode(self, password: str) -> str:
        return self._hidden(self._plain.encode(password))

    def verify(self, password: str, encoded: str) -> bool:
        _, key_id, hidden = encoded.split("$", 2)
        hasher: Any = self._of(hidden)
        if key_id not in self._pepper.ids:
            logger.error(
                "a stored hash needs the pepper key %s, so no password verifies: put that key back into "
                "PasswordPolicy(pepper=[...])",
                key_id,
            )
            return False
        if excess := hasher._excess(hidden):
            return refuse(self.algorithm, excess)
        made = _replaced(recomputed(password, hidden), self._pepper, key_id)
        return hmac.compare_digest(made.encode(), hidden.encode())  # a salt may have any letters

    def is_weaker(self, encoded: str) -> bool:
        _, key_id, hidden = encoded.split("$", 2)
        return key_id != self._pepper.ids[0] or not self._is_as_strong(hidden)

    def describe(self, encoded: str) -> HashSummary:
        _, key_id, hidden = encoded.split("$", 2)
        hasher: Any = self._of(hidden)
        summary: HashSummary = hasher.describe(hidden)
        return replace(
            summary, algorithm=f"pepper {summary.algorithm}", parameters={"key": key_id, **summary.parameters}
        )

    def renewed(self, password: str, encoded: str) -> str:
        """What to store in the place of `encoded`, which verifies but is weaker. Its own salt and parameters stay if
        they are as strong as those of a fresh hash: only the key is another one, or there is none (D-01)."""
        found = _PEPPERED.fullmatch(encoded)
        hidden = found[2] if found else encoded
        if self._is_as_strong(hidden):
            bare = recomputed(password, hidden) if found else encoded
            kept = self._hidden(bare) if self._pepper.active else bare
            if len(kept) <= COLUMN:
                return kept
        return self.encode(password) if self._pepper.active else self._plain.encode(password)

    def _of(self, hidden: str) -> Hasher | None:
        return next((hasher for hasher in self._inner if hasher.identify(hidden)), None)

    def _is_as_strong(self, hidden: str) -> bool:
        hasher = self._plain
        usual = len(hidden.rpartition("$")[2].rstrip("=")) == _DIGEST
        return usual and _can_be_peppered(hasher) and hasher.identify(hidden) and not hasher.is_weaker(hidden)

    def _hidden(self, bare: str) -> str:
        key_id = self._pepper.ids[0]
        return f"pepper${key_id}${_replaced(bare, self._pepper, key_id)}"


def _replaced(bare: str, pepper: Pepper, key_id: str) -> str:
    """With the HMAC in the place of the hash, in base64 as long as that was."""
    head, _, digest = bare.rpartition("$")
    return f"{head}${base64.b64encode(pepper.tag(key_id, bare)).decode()[: len(digest)]}"


def _can_be_peppered(hasher: Hasher) -> bool:
    return isinstance(hasher, Argon2Hasher | PBKDF2Hasher) and hasher.algorithm in ("argon2", "pbkdf2_sha256")


def _check(hasher: Hasher) -> None:
    """Raises `ConfigurationError` when what the hasher makes cannot be peppered, or would not fit its column then."""
    if not _can_be_peppered(hasher):
        raise ConfigurationError(
            f"PasswordPolicy(pepper=...) works with Argon2Hasher and PBKDF2Hasher: put one of them before "
            f"{type(hasher).__name__} in hashers"
        )
    if isinstance(hasher, Argon2Hasher):
        made = hasher._hasher
        head = f"pepper$000000$argon2$argon2id$v=19$m={made.memory_cost},t={made.time_cost},p={made.parallelism}$"
        if (size := len(head) + math.ceil(made.salt_len * 4 / 3) + 1 + _DIGEST) > COLUMN:
            raise ConfigurationError(
                f"peppered, a hash of this Argon2Hasher has {size} characters; the column has {COLUMN}: leave "
                "salt_len out"
            )


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogateescape")  # as os.environ has what is not UTF-8


def _id_of(key: str) -> str:
    """Six hexadecimal digits that name a key and do not betray it."""
    return hmac.digest(_bytes(key), b"asgiauth pepper id", "sha256").hex()[:6]
