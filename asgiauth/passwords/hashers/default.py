from __future__ import annotations

from .argon2 import Argon2Hasher
from .base import Hasher
from .bcrypt import BCryptHasher, BCryptSHA256Hasher
from .foreign import PasslibReader, WerkzeugReader
from .pbkdf2 import PBKDF2Hasher, PBKDF2SHA1Hasher
from .scrypt import ScryptHasher
from .wrapped import WrappedHasher

__all__ = ["preferring"]


def preferring(first: Hasher) -> tuple[Hasher, ...]:
    """The hashers for `PasswordPolicy(hashers=...)`: `first` hashes, and every format that asgiauth knows verifies (row
    A15.8), but for MD5. `first` alone reads its own."""
    every: tuple[Hasher, ...] = (
        Argon2Hasher(),
        PBKDF2Hasher(),
        PBKDF2SHA1Hasher(),
        BCryptSHA256Hasher(),
        BCryptHasher(),
        ScryptHasher(),
        PasslibReader(),
        WerkzeugReader(),
        WrappedHasher(
            first
            if isinstance(first, Argon2Hasher | PBKDF2Hasher) and not isinstance(first, PBKDF2SHA1Hasher)
            else None
        ),
    )
    return (first, *(hasher for hasher in every if hasher.algorithm != first.algorithm))
