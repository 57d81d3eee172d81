"""Hashes that other frameworks made: golden/foreign.json holds real ones."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from asgiauth import PasswordPolicy
from asgiauth.passwords import Passwords, PBKDF2Hasher, preferring

from .hashing import ARGON2

GOLDEN: dict[str, list[list[str]]] = json.loads((Path(__file__).parent / "golden" / "foreign.json").read_text())[
    "vectors"
]
VECTORS = [(name, password, encoded) for name, pairs in GOLDEN.items() for password, encoded in pairs]
vectors = pytest.mark.parametrize(("name", "password", "encoded"), VECTORS)
first_of_each = pytest.mark.parametrize(
    ("name", "password", "encoded"), [(name, *pairs[0]) for name, pairs in GOLDEN.items()], ids=list(GOLDEN)
)


def passwords() -> Passwords:
    return Passwords(PasswordPolicy(hashers=preferring(ARGON2), validators=(), hash_slots=1, hash_patience=60))


@vectors
async def test_D_04_what_other_tools_hashed_verifies_and_is_rewritten(name: str, password: str, encoded: str) -> None:
    """argon2-cffi, bcrypt, passlib, pwdlib, Werkzeug: in Django's form from then on."""
    right, stronger = await passwords().verify_and_upgrade(password, encoded)
    assert right
    assert stronger is not None
    assert stronger.startswith("argon2$argon2id$")
    assert await passwords().verify_and_upgrade(password, stronger) == (True, None)


@first_of_each
async def test_D_04_a_wrong_password_is_wrong_there_too(name: str, password: str, encoded: str) -> None:
    """D-08: byte for byte."""
    cheap = "m=65536" not in encoded and "32768" not in encoded and "1000000" not in encoded
    others = (f"{password} ", password.title(), password[:-1], f"{password}\0x") if cheap else ("wrong",)
    for other in others:
        assert await passwords().verify_and_upgrade(other, encoded) == (False, None)


@pytest.mark.parametrize("name", [name for name in GOLDEN if len(GOLDEN[name]) > 1])
async def test_D_08_no_form_of_unicode_stands_for_another(name: str) -> None:
    password, encoded = GOLDEN[name][1]
    assert await passwords().verify(unicodedata.normalize("NFD", password), encoded) is False


DESCRIBED = {
    "passlib pbkdf2_sha1": ("pbkdf2_sha1", {"iterations": 1000}),
    "passlib pbkdf2_sha256": ("pbkdf2_sha256", {"iterations": 1000}),
    "passlib pbkdf2_sha512": ("pbkdf2_sha512", {"iterations": 1000}),
    "passlib bcrypt 2y": ("bcrypt", {"work factor": 4}),
    "pwdlib bcrypt": ("bcrypt", {"work factor": 4}),
    "werkzeug pbkdf2:sha1:1000": ("pbkdf2_sha1", {"iterations": 1000}),
    "werkzeug pbkdf2:sha512:1000": ("pbkdf2_sha512", {"iterations": 1000}),
    "werkzeug scrypt:512:3:4": ("scrypt", {"work factor": 512, "block size": 3, "parallelism": 4}),
    "passlib argon2i": (
        "argon2",
        {"variety": "argon2i", "version": 19, "memory cost": 64, "time cost": 1, "parallelism": 1},
    ),
    "argon2-cffi argon2d": (
        "argon2",
        {"variety": "argon2d", "version": 19, "memory cost": 64, "time cost": 2, "parallelism": 2},
    ),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_A13_3_a_summary_tells_of_them_what_it_tells_of_djangos(name: str) -> None:
    for _, encoded in GOLDEN[name]:
        summary = passwords().describe(encoded)
        assert (summary.algorithm, summary.parameters) == DESCRIBED[name]
        assert (summary.salt.rstrip("*") in encoded, summary.hash.rstrip("*") in encoded) == (True, True)
        assert (len(summary.salt.rstrip("*")), len(summary.hash.rstrip("*"))) == (6, 6)


@pytest.mark.parametrize(
    "encoded",
    [
        "$pbkdf2-sha256$1000$c2FsdHNhbHQ$" + "A" * 42,
        "$pbkdf2-sha256$1000$c2FsdHNhbHQ$" + "A" * 27,
        "$pbkdf2$1000$c2FsdHNhbHQ$" + "A" * 43,
        "$pbkdf2-sha384$1000$c2FsdHNhbHQ$" + "A" * 64,
        "$pbkdf2-sha256$0$c2FsdHNhbHQ$" + "A" * 43,
        "$pbkdf2-sha256$01$c2FsdHNhbHQ$" + "A" * 43,
        "$pbkdf2-sha256$1000$c2Fsd$" + "A" * 43,
        "$pbkdf2-sha256$1000$c2+sdHNhbHQ$" + "A" * 43,
        "pbkdf2:sha256:1000$salt$" + "0" * 63,
        "pbkdf2:sha256:1000$salt$" + "0" * 40,
        "pbkdf2:sha256:1000$salt$" + "F" * 64,
        "pbkdf2:sha256$salt$" + "0" * 64,
        "pbkdf2:md5:1000$salt$" + "0" * 32,
        "pbkdf2:sha256:1000$$" + "0" * 64,
        "scrypt:1023:8:1$salt$" + "0" * 128,
        "scrypt:1:8:1$salt$" + "0" * 128,
        "scrypt:1024:0:1$salt$" + "0" * 128,
        "scrypt:65536:1:1$salt$" + "0" * 128,
        "scrypt:1024:8$salt$" + "0" * 128,
        "scrypt:1024:8:1$salt$" + "0" * 127,
        "sha256$salt$" + "0" * 64,
        "plain$$secret",
    ],
)
async def test_what_they_could_not_have_made_is_unknown(encoded: str) -> None:
    known = passwords()
    assert known.describe(encoded).algorithm == "unknown"
    assert await known.verify("secret", encoded) is False


async def test_a_flask_application_moves_over_without_a_reset() -> None:
    """Werkzeug's default has 162 characters: a column of Django's cannot hold it, one of the application's own may."""
    ((password, encoded),) = GOLDEN["werkzeug scrypt"]
    assert len(encoded) == 162
    beside_django = Passwords(PasswordPolicy(hashers=preferring(PBKDF2Hasher(iterations=1)), validators=()))
    right, stronger = await beside_django.verify_and_upgrade(password, encoded)
    assert right
    assert stronger is not None
    assert stronger.startswith("pbkdf2_sha256$1$")
