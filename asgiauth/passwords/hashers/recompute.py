from __future__ import annotations

import base64
import hashlib

import argon2
from argon2.low_level import hash_secret

__all__ = ["recomputed"]


def recomputed(password: str, encoded: str) -> str:
    """The hash of a password with the salt and the parameters of `encoded`, whatever hash stands in that: of
    `argon2$...` and `pbkdf2_sha256$...`, at the price of one hash."""
    head = encoded.rpartition("$")[0]
    if encoded.startswith("pbkdf2_sha256$"):
        _, iterations, salt = head.split("$")
        made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), int(iterations))
        return f"{head}${base64.b64encode(made).decode()}"
    found = argon2.extract_parameters(encoded.removeprefix("argon2"))
    salt = head.rpartition("$")[2]
    phc = hash_secret(
        password.encode(),
        base64.b64decode(salt + "=" * (-len(salt) % 4)),
        time_cost=found.time_cost,
        memory_cost=found.memory_cost,
        parallelism=found.parallelism,
        hash_len=found.hash_len,
        type=found.type,
        version=found.version,
    )
    return "argon2" + phc.decode()
