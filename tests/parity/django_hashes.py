"""Real Django password hashes, run by the python of `.venv-django`.

Without arguments, prints {algorithm: [[password, encoded], ...]} as JSON; with `verify` or `must_update`, reads
[[password, encoded], ...] from stdin and prints, as a JSON list, the answers of Django's `check_password`, or whether it
would rewrite the hash.
"""

from __future__ import annotations

import json
import sys

PASSWORDS = (
    "correct horse battery staple",
    "l\u00e8tmein",
    "\U0001f511 and \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "0123456789" * 20,
    "  spaces at both ends  ",
)
ALGORITHMS = {
    "pbkdf2_sha256": "PBKDF2PasswordHasher",
    "pbkdf2_sha1": "PBKDF2SHA1PasswordHasher",
    "argon2": "Argon2PasswordHasher",
    "bcrypt_sha256": "BCryptSHA256PasswordHasher",
    "bcrypt": "BCryptPasswordHasher",
    "scrypt": "ScryptPasswordHasher",
    "md5": "MD5PasswordHasher",
}


def encoded() -> dict[str, list[list[str]]]:
    """With fixed salts, so that making the file again changes nothing."""
    return {
        algorithm: [
            [password, made(algorithm, password, number)]
            for number, password in enumerate(PASSWORDS)
            if algorithm != "bcrypt" or len(password.encode()) <= 72  # bcrypt 5 raises for more, so Django does
        ]
        for algorithm in ALGORITHMS
    }


def made(algorithm: str, password: str, number: int) -> str:
    from django.contrib.auth.hashers import make_password  # type: ignore[import-not-found]

    salt = f"parity{number}Salt5rTqYv9Lm2A"
    if algorithm.startswith("bcrypt"):
        salt = f"$2b$12${salt[:-1]}O"
    return str(make_password(password, salt=salt, hasher=algorithm))


def verified(pairs: list[list[str]]) -> list[bool]:
    from django.contrib.auth.hashers import check_password

    return [check_password(password, value) for password, value in pairs]


def outdated(pairs: list[list[str]]) -> list[bool]:
    from django.contrib.auth.hashers import identify_hasher

    return [identify_hasher(value).must_update(value) for _, value in pairs]


QUESTIONS = {"verify": verified, "must_update": outdated}


def main(arguments: list[str]) -> None:
    from django.conf import settings  # type: ignore[import-not-found]

    if arguments and (len(arguments) > 1 or arguments[0] not in QUESTIONS):
        raise SystemExit("usage: django_hashes.py [verify|must_update]")
    hashers = [f"django.contrib.auth.hashers.{name}" for name in ALGORITHMS.values()]
    settings.configure(PASSWORD_HASHERS=hashers)
    answer = QUESTIONS[arguments[0]](json.loads(sys.stdin.buffer.read())) if arguments else encoded()
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
