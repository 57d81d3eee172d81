"""Writes foreign.json beside this file: hashes that passlib, Werkzeug, pwdlib, bcrypt and argon2-cffi have made.

They are not installed for the tests. With a python of its own, as passlib 1.7.4 knows no bcrypt 5:

    python -m venv venv && venv/bin/pip install passlib werkzeug "pwdlib[argon2,bcrypt]" "bcrypt<5" argon2-cffi
    venv/bin/python tests/passwords/golden/make_foreign.py

Every run makes other salts. The file says which versions made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

PASSWORDS = ("correct horse battery staple", "l\u00e8tmein", "\U0001f511" * 18, "  blanks  ")
TOOLS = ("argon2-cffi", "bcrypt", "passlib", "pwdlib", "werkzeug")


def argon2_cffi(password: str) -> Iterator[tuple[str, str]]:
    from argon2 import PasswordHasher, Type

    for kind in Type:
        cheap = PasswordHasher(time_cost=2, memory_cost=64, parallelism=2, type=kind)
        yield f"argon2-cffi argon2{kind.name.lower()}", cheap.hash(password)


def bcrypt(password: str) -> Iterator[tuple[str, str]]:
    from bcrypt import gensalt, hashpw

    for prefix in (b"2a", b"2b"):
        yield f"bcrypt {prefix.decode()}", hashpw(password.encode(), gensalt(5, prefix)).decode()


def passlib(password: str) -> Iterator[tuple[str, str]]:
    from passlib import hash as handlers  # type: ignore[import-not-found, import-untyped, unused-ignore]

    for name in ("pbkdf2_sha1", "pbkdf2_sha256", "pbkdf2_sha512"):
        yield f"passlib {name}", getattr(handlers, name).using(rounds=1000).hash(password)
        yield f"passlib {name}, a short salt", getattr(handlers, name).using(rounds=1, salt_size=5).hash(password)
    for prefix in ("2a", "2b", "2y"):
        yield f"passlib bcrypt {prefix}", handlers.bcrypt.using(rounds=4, ident=prefix).hash(password)
    for kind in ("I", "D", "ID"):
        handler = handlers.argon2.using(type=kind, time_cost=1, memory_cost=64, parallelism=1)
        yield f"passlib argon2{kind.lower()}", handler.hash(password)


def pwdlib(password: str) -> Iterator[tuple[str, str]]:
    from pwdlib import PasswordHash  # type: ignore[import-not-found, unused-ignore]
    from pwdlib.hashers.bcrypt import BcryptHasher  # type: ignore[import-not-found, unused-ignore]

    yield "pwdlib bcrypt", PasswordHash((BcryptHasher(rounds=4),)).hash(password)
    if password == PASSWORDS[0]:  # at its own cost
        yield "pwdlib argon2", PasswordHash.recommended().hash(password)


def werkzeug(password: str) -> Iterator[tuple[str, str]]:
    from werkzeug.security import generate_password_hash

    methods = ["pbkdf2:sha1:1000", "pbkdf2:sha256:1000", "pbkdf2:sha512:1000", "scrypt:1024:8:1", "scrypt:512:3:4"]
    if password == PASSWORDS[0]:  # at its own cost
        methods += ["scrypt", "pbkdf2"]
    for method in methods:
        yield f"werkzeug {method}", generate_password_hash(password, method)


def main() -> None:
    vectors: dict[str, list[list[str]]] = {}
    for make in (argon2_cffi, bcrypt, passlib, pwdlib, werkzeug):
        for password in PASSWORDS:
            for name, encoded in make(password):
                vectors.setdefault(name, []).append([password, encoded])
    content = {"made by": {tool: version(tool) for tool in TOOLS}, "vectors": vectors}
    path = Path(__file__).with_name("foreign.json")
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
