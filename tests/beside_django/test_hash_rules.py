"""A15.14: Django rewrites a hash that is not its first choice at each login, and each rewrite ends sessions. So on a
database that it uses too, asgiauth writes what Django would, and rewrites nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from asgiauth import Auth, PasswordPolicy
from asgiauth.passwords import (
    Argon2Hasher,
    BCryptSHA256Hasher,
    Hasher,
    Passwords,
    PBKDF2Hasher,
    ScryptHasher,
    preferring,
)
from asgiauth.testing import client

from ..passwords.hashing import watched
from ..sessions.helpers import Site
from ..sites import PASSWORD, connected
from .driving import Django, django_site

PLAIN = PasswordPolicy(validators=(), failure_deadline=0, hash_patience=60)
"""Names no hashers."""
WEAKER: list[Hasher] = [
    PBKDF2Hasher(iterations=1000),
    PBKDF2Hasher(iterations=2_000_000),
    Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),
    BCryptSHA256Hasher(rounds=4),
    ScryptHasher(work_factor=1024, block_size=8, parallelism=1),
]
DJANGOS_OWN = [
    f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("PBKDF2", "PBKDF2SHA1", "Argon2", "BCryptSHA256", "Scrypt")
]  # fmt: skip


async def stored(auth: Auth, username: str = "ann") -> str:
    """Not shown by `repr`."""
    table = auth.tables.user
    row = await auth._database.fetch_one(select(table.c.password).where(table.c.username == username))
    assert row is not None
    return str(row["password"])


async def store(auth: Auth, encoded: str, username: str = "ann") -> None:
    table = auth.tables.user
    async with auth._database.unit() as unit:
        assert await unit.changed(update(table).where(table.c.username == username).values(password=encoded)) == 1


async def test_A15_14_what_asgiauth_stores_django_does_not_rewrite(sqlite_url: str) -> None:
    """With Django's own list of hashers; and what it rewrites for its own reasons verifies here, when it has ended the
    session."""
    async with django_site(sqlite_url, PASSWORD_HASHERS=DJANGOS_OWN) as django:
        await django("migrate")
        async with connected(sqlite_url, passwords=PLAIN) as auth:
            ann = await auth.users.create("ann", password=PASSWORD)
            written = await stored(auth)
            assert written.startswith("pbkdf2_sha256$1500000$")
            site = Site(auth)
            browser = await site.log_in("ann")
            assert await django("authenticate", "ann", PASSWORD) == "ann"
            assert await stored(auth) == written
            assert await site.ask(browser, lambda request: request.user.username) == "ann"
            await store(auth, Argon2Hasher().encode(PASSWORD))
            assert await auth.users.check_password(ann, PASSWORD)
            assert await django("authenticate", "ann", PASSWORD) == "ann"
            rewritten = await stored(auth)
            assert rewritten.startswith("pbkdf2_sha256$1500000$") and rewritten != written
            assert await auth.users.check_password(ann, PASSWORD)
            assert await stored(auth) == rewritten


async def test_A15_14_beside_django_no_hash_is_rewritten(sqlite_django: Django, sqlite_url: str) -> None:
    """Neither a weaker one nor one of another algorithm; with `hashers` named they are, as everywhere."""
    async with connected(sqlite_url, passwords=PLAIN) as auth:
        ann = await auth.users.create("ann")
        for hasher in WEAKER:
            encoded = hasher.encode(PASSWORD)
            await store(auth, encoded)
            assert await auth.users.check_password(ann, PASSWORD)
            assert await stored(auth) == encoded
    async with connected(sqlite_url, passwords=replace(PLAIN, hashers=preferring(WEAKER[2]))) as auth:
        assert await auth.users.check_password(ann, PASSWORD)
        assert (await stored(auth)).startswith("argon2$argon2id$v=19$m=8,t=1,p=1$")


async def test_A15_14_on_a_database_of_its_own_they_are_rewritten(sqlite_url: str) -> None:
    async with connected(sqlite_url, passwords=PLAIN) as auth:
        ann = await auth.users.create("ann")
        await store(auth, WEAKER[0].encode(PASSWORD))
        assert await auth.users.check_password(ann, PASSWORD)
        assert (await stored(auth)).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


async def test_D_20_beside_django_no_is_one_hash_of_djangos_cost_at_least(
    sqlite_django: Django, sqlite_url: str
) -> None:
    """For a user who is not there, for a wrong password, for one without a password: the same work. What is stored at
    another cost comes on top, as everywhere; the answer waits until the slowest of them would be done."""
    async with connected(sqlite_url, passwords=PLAIN) as auth, client(Site(auth).app) as browser:
        for name, password in (("ann", PASSWORD), ("nopass", None), ("off", PASSWORD)):
            await auth.users.create(name, password=password, is_active=name != "off")
        one = [("pbkdf2-sha256", 1_500_000)]
        for username, password in (("nobody", PASSWORD), ("ann", "wrong"), ("nopass", PASSWORD), ("off", PASSWORD)):
            with watched() as runs:
                answer = await browser.post("/api/auth/login", json={"username": username, "password": password})
            assert (username, answer.status_code, runs) == (username, 401, one)
        with watched() as runs:
            answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert (answer.status_code, runs) == (200, one)
        await store(auth, WEAKER[0].encode(PASSWORD))
        with watched() as runs:
            assert not await auth.users.check_password(await auth.users.get_by(username="ann"), "wrong")  # type: ignore[arg-type]
        assert runs == [("pbkdf2-sha256", 1000), *one]


@pytest.mark.parametrize("hasher", WEAKER, ids=["pbkdf2", "pbkdf2, dearer", "argon2", "bcrypt_sha256", "scrypt"])
async def test_A15_14_verify_and_upgrade_has_nothing_to_store_beside_django(hasher: Hasher) -> None:
    passwords = Passwords(PLAIN, shared=True)
    encoded = hasher.encode("x")
    assert await passwords.verify_and_upgrade("x", encoded) == (True, None)
    assert await passwords.verify_and_upgrade("y", encoded) == (False, None)
    named = Passwords(PasswordPolicy(hashers=preferring(PBKDF2Hasher()), validators=()), shared=True)
    _, upgrade = await named.verify_and_upgrade("x", encoded)
    assert (upgrade is None) is (hasher is WEAKER[1])
