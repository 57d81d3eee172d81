"""Old hashes, hashed once more where they are stored (row A15.16)."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import ConfigurationError
from asgiauth.passwords import (
    Argon2Hasher,
    Hashed,
    Passwords,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    WrappedHasher,
    preferring,
)
from asgiauth.passwords.hashers.wrapped import OldScheme, old_scheme
from asgiauth.testing import client, force_login
from asgiauth.users.wrapping import OldHashes, Wrapped

from ..conftest import make_auth
from ..parity.django_interpreter import find
from ..sites import site

PASSWORD = "l\u00e8tmein \U0001f511"
CHEAP = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
PBKDF2 = PBKDF2Hasher(iterations=3)
OUTER: list[Argon2Hasher | PBKDF2Hasher] = [CHEAP, PBKDF2]
POLICY = PasswordPolicy(
    hashers=[CHEAP, PBKDF2, WrappedHasher(CHEAP)], validators=(), for_tests=True, failure_deadline=0
)
ALL: list[OldScheme] = ["md5", "sha1", "unsalted_md5", "unsalted_sha1"]


def old(scheme: str, salt: str = "seasalt", password: str = PASSWORD) -> str:
    """As Django stored it."""
    name, unsalted = scheme.removeprefix("unsalted_"), scheme.startswith("unsalted_")
    salt = "" if unsalted else salt
    return f"{name}${salt}${hashlib.new(name, (salt + password).encode()).hexdigest()}"


BARE = hashlib.md5(PASSWORD.encode()).hexdigest()
STORED = {
    "md5": old("md5"),
    "md5, Django's salt": old("md5", "a" * 22),
    "md5, one character": old("md5", "x"),
    "md5, a salt with colons": old("md5", "12:34:"),
    "md5, a salt of other letters": old("md5", "s\u00e4lz"),
    "sha1": old("sha1"),
    "sha1, Django's salt": old("sha1", "a" * 22),
    "unsalted_md5": old("unsalted_md5"),
    "unsalted_md5, bare": BARE,
    "unsalted_md5, capitals": BARE.upper(),
    "unsalted_sha1": old("unsalted_sha1"),
}


@pytest.mark.parametrize("outer", OUTER, ids=lambda outer: outer.algorithm)
@pytest.mark.parametrize(("name", "stored"), STORED.items(), ids=STORED)
async def test_A15_16_an_old_hash_is_wrapped_and_its_password_verifies(
    name: str, stored: str, outer: Argon2Hasher | PBKDF2Hasher
) -> None:
    hasher = WrappedHasher(outer)
    wrapped = hasher.wrap(stored)
    assert old_scheme(stored) == name.partition(",")[0]
    assert len(wrapped) <= 128
    assert stored.rpartition("$")[2].lower() not in wrapped
    assert hasher.identify(wrapped)
    assert hasher.verify(PASSWORD, wrapped)
    assert not hasher.verify(PASSWORD + " ", wrapped)
    assert not hasher.verify(stored.rpartition("$")[2], wrapped)  # a stolen old hash is no password
    assert hasher.is_weaker(wrapped)
    # a login makes a usual hash of it
    right, stronger = await Passwords(POLICY).verify_and_upgrade(PASSWORD, wrapped)
    assert right
    assert stronger is not None
    assert stronger.startswith("argon2$argon2id$")


@pytest.mark.parametrize("scheme", ALL)
def test_A15_16_with_pbkdf2_it_is_what_djangos_recipe_stores(scheme: OldScheme) -> None:
    """`PBKDF2PasswordHasher.encode(old_hash, salt)` under a name of its own."""
    wrapped = WrappedHasher(PBKDF2).wrap(old(scheme))
    name, iterations, salt, digest = wrapped.split("$")
    assert (name, iterations) == (f"pbkdf2_wrapped_{scheme}", "3")
    assert salt == "seasalt" or (scheme.startswith("unsalted") and len(salt) == 22)
    assert PBKDF2.verify(old(scheme).rpartition("$")[2], f"pbkdf2_sha256$3${salt}${digest}")


def test_A15_16_each_wrapping_has_a_salt_of_its_own() -> None:
    for outer in OUTER:
        hasher = WrappedHasher(outer)
        assert hasher.wrap(BARE) != hasher.wrap(BARE)
    assert WrappedHasher(CHEAP).wrap(old("md5")) != WrappedHasher(CHEAP).wrap(old("md5"))


def test_A15_16_a_dear_outer_hash_is_read_by_the_hasher_that_made_it() -> None:
    """Above the ceiling of the usual ones."""

    class Dear(Argon2Hasher):
        max_time_cost = 65

    class Reader(WrappedHasher):
        def __init__(self) -> None:
            super().__init__(Dear(time_cost=65, memory_cost=8))

    hasher = Reader()
    assert hasher.verify(PASSWORD, hasher.wrap(old("md5")))


def test_A15_16_a_round_trip_without_an_old_hash() -> None:
    """`encode` is there because every hasher has it."""
    hasher = WrappedHasher(CHEAP)
    encoded = hasher.encode(PASSWORD)
    assert hasher.identify(encoded)
    assert hasher.verify(PASSWORD, encoded)
    assert WrappedHasher().outer.algorithm == "argon2"


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "md5",
        "md5$a$b",
        "crypt$ab$abcdef",
        pytest.param(CHEAP.encode("x"), id="new"),
        "g" * 32,
        f"sha1$a${0:032}",
    ],
)
def test_A15_16_what_is_of_no_old_scheme_is_not_wrapped(stored: str) -> None:
    assert old_scheme(stored) is None
    with pytest.raises(ValueError, match="not a hash of md5, sha1") as refused:
        WrappedHasher(CHEAP).wrap(stored)
    assert stored in ("", "!", "md5") or stored not in str(refused.value)


def test_A15_16_a_salt_that_is_too_long_for_the_column_is_refused() -> None:
    """With Argon2 there is room for 25 characters, with PBKDF2 for more."""
    stored = old("md5", "s" * 60)
    with pytest.raises(ValueError, match="the column has 128") as refused:
        WrappedHasher(Argon2Hasher()).wrap(stored)
    assert stored not in str(refused.value)
    assert len(WrappedHasher(PBKDF2).wrap(old("md5", "s" * 50))) <= 128


def test_A15_16_only_argon2_and_pbkdf2_wrap() -> None:
    with pytest.raises(ConfigurationError, match="takes an Argon2Hasher"):
        WrappedHasher(PBKDF2SHA1Hasher())


DAMAGED = {
    "no wrap": CHEAP.encode(PASSWORD),
    "no outer": "argon2_wrapped_md5$nonsense",
    "no scheme": WrappedHasher(CHEAP).wrap(old("md5")).replace("_md5", "_crypt"),
    "no old salt": "argon2_wrapped_md5" + CHEAP.encode(PASSWORD).removeprefix("argon2"),
    "argon2 has no unsalted": WrappedHasher(CHEAP).wrap(BARE).replace("wrapped_md5", "wrapped_unsalted_md5"),
    "short": WrappedHasher(PBKDF2).wrap(old("md5"))[:-3],
}


@pytest.mark.parametrize("encoded", DAMAGED.values(), ids=DAMAGED)
async def test_A15_16_what_is_damaged_never_verifies(encoded: str) -> None:
    hasher = WrappedHasher(CHEAP)
    assert hasher.identify(encoded) is False
    assert hasher.verify(PASSWORD, encoded) is False
    assert hasher.describe(encoded).algorithm == "unknown"


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40), st.sampled_from(["argon2_wrapped_md5$", "pbkdf2_wrapped_unsalted_sha1$", "md5$", ""]))
def test_A15_16_nothing_that_lies_in_the_column_makes_it_raise(rest: str, beginning: str) -> None:
    hasher = WrappedHasher(CHEAP)
    assert hasher.identify(beginning + rest) is False or "$" in rest
    old_scheme(beginning + rest)


def test_A15_16_what_is_shown_of_it_is_masked() -> None:
    for outer, name in zip(OUTER, ["argon2_wrapped_sha1", "pbkdf2_wrapped_sha1"], strict=True):
        wrapped = WrappedHasher(outer).wrap(old("sha1"))
        summary = WrappedHasher(outer).describe(wrapped)
        assert summary.algorithm == name
        assert summary.parameters
        assert wrapped.rpartition("$")[2] not in str(summary)


# where they are stored


async def store(auth: Auth, **hashes: str) -> None:
    for name, encoded in hashes.items():
        await auth.users.create(name, password=Hashed(encoded))


def worker(auth: Auth, schemes: Collection[OldScheme] = tuple(ALL), batch: int = 2) -> OldHashes:
    return OldHashes(auth._database, auth.tables, auth.passwords, auth.sessions, schemes=schemes, batch=batch)


async def wrap(auth: Auth, schemes: Collection[OldScheme] = tuple(ALL), batch: int = 2) -> Wrapped:
    outcome = Wrapped()
    async for part in worker(auth, schemes, batch).wrap():
        outcome.add(part)
    return outcome


async def stored(auth: Auth) -> dict[str, str]:
    users = auth.tables.user
    rows = await auth._database.fetch(select(users.c.username, users.c.password).order_by(users.c.id))
    return {row["username"]: row["password"] for row in rows}


@pytest.fixture
def legacy(url: str) -> Auth:
    return make_auth(url, passwords=POLICY)


async def test_A15_16_every_old_hash_is_wrapped_and_nothing_else(legacy: Auth) -> None:
    """On each server, in several batches; those that only look like one stay, too."""
    async with legacy as auth:
        await auth.create_tables()
        usual = await auth.passwords.hash(PASSWORD)
        await store(auth, ann=old("md5"), bob=str(usual), cyd=BARE, dan=old("sha1"), eve=old("unsalted_sha1"))
        await store(auth, fay=old("unsalted_md5"), gil="md5$x$" + "z" * 32, hal="z" * 32, ian="!" + "a" * 40)
        before = await stored(auth)
        assert await worker(auth).count() == {"md5": 1, "sha1": 1, "unsalted_md5": 2, "unsalted_sha1": 1}
        outcome = await wrap(auth)
        assert outcome.done == {"md5": 1, "sha1": 1, "unsalted_md5": 2, "unsalted_sha1": 1}
        assert (outcome.changed, outcome.refused, outcome.total) == (0, [], 5)
        after = await stored(auth)
        assert {name for name in before if after[name] != before[name]} == {"ann", "cyd", "dan", "eve", "fay"}
        for name in ("ann", "bob", "cyd", "dan", "eve", "fay"):
            user = await auth.users.get_by(username=name)
            assert user is not None
            assert await auth.users.check_password(user, PASSWORD)
        assert (await stored(auth))["cyd"].startswith("argon2$argon2id$")
        assert (await wrap(auth)).total == 0


async def test_A15_16_only_the_schemes_that_were_asked_for(legacy: Auth) -> None:
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, ann=old("md5"), bob=old("unsalted_md5"), cyd=BARE, dan=old("sha1"))
        assert (await wrap(auth, ["unsalted_md5"])).done == {"unsalted_md5": 2}
        assert (await wrap(auth, ["sha1"], batch=1)).done == {"sha1": 1}
        assert (await stored(auth))["ann"] == old("md5")


async def test_A15_16_nobody_is_logged_out(legacy: Auth) -> None:
    """DESIGN 7: a live session is carried over, as with an upgrade at a login."""
    async with legacy as auth, client(site(auth)) as browser:
        await auth.create_tables()
        await store(auth, ann=old("md5"))
        ann = await auth.users.get_by(username="ann")
        assert ann is not None
        await force_login(browser, ann)
        await wrap(auth)
        assert (await stored(auth))["ann"].startswith("argon2_wrapped_md5$")
        assert (await browser.get("/who")).json() == "ann"
        assert await auth.users.check_password(ann, PASSWORD)
        assert (await browser.get("/who")).json() == "ann"


async def test_A15_16_a_login_or_a_new_password_meanwhile_wins(legacy: Auth) -> None:
    """What is stored is replaced only if it still is what was read; and nobody's new password is lost."""
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, ann=old("md5"), bob=old("md5", "pepper"))
        work = worker(auth)
        made = work._made

        async def slowly(row: Any) -> Any:
            ann = await auth.users.get_by(username="ann")
            assert ann is not None
            await auth.users.set_password(ann, "another horse")
            return await made(row)

        work._made = slowly  # type: ignore[method-assign,assignment]
        parts = [part async for part in work.wrap()]
        assert [(part.done, part.changed) for part in parts] == [({"md5": 1}, 1)]
        ann = await auth.users.get_by(username="ann")
        assert ann is not None
        assert await auth.users.check_password(ann, "another horse")


async def test_A15_16_two_at_once_wrap_each_hash_once(legacy: Auth) -> None:
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, **{f"user{number}": old("md5", f"salt{number}") for number in range(8)})
        first, second = await asyncio.gather(wrap(auth, batch=3), wrap(auth, batch=5))
        assert first.done["md5"] + second.done["md5"] == 8
        assert all(encoded.count("wrapped") == 1 for encoded in (await stored(auth)).values())


async def test_A15_16_stopped_and_run_again_it_goes_on(legacy: Auth) -> None:
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, **{f"user{number}": old("md5", f"salt{number}") for number in range(5)})
        parts = worker(auth, batch=2).wrap()
        assert (await anext(parts)).done == {"md5": 2}
        await parts.aclose()  # type: ignore[attr-defined]
        assert await worker(auth).count() == {"md5": 3}
        assert (await wrap(auth)).done == {"md5": 3}


async def test_A15_16_one_that_cannot_be_wrapped_is_told_and_stays(legacy: Auth) -> None:
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, ann=old("md5", "s" * 70), bob=old("md5"))
        outcome = await wrap(auth)
        ann = await auth.users.get_by(username="ann")
        assert ann is not None
        (refused,) = outcome.refused
        assert (refused.user_id, refused.history_id) == (ann.id, None)
        assert "the column has 128" in refused.reason
        assert ann.password == old("md5", "s" * 70)
        assert (outcome.done, outcome.total) == ({"md5": 1}, 2)


async def test_A15_16_old_passwords_that_are_remembered_are_wrapped_too(legacy: Auth) -> None:
    """The history of a user who has changed the password would still hold the old hash."""
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, ann=str(await auth.passwords.hash(PASSWORD)))
        ann = await auth.users.get_by(username="ann")
        assert ann is not None
        history = auth.tables.password_history

        async def remember(unit: Any) -> None:
            await unit.changed(insert(history).values(user_id=ann.id, encoded=old("md5")))

        await auth._database.atomic(remember)
        assert (await wrap(auth)).done == {"md5": 1}
        (row,) = await auth._database.fetch(select(history.c.encoded))
        assert await auth.passwords.verify(PASSWORD, row["encoded"])
        assert row["encoded"].startswith("argon2_wrapped_md5$")


async def test_A15_16_each_remembered_password_that_cannot_be_wrapped_is_told(legacy: Auth) -> None:
    """With its row, of the same user as well: another password would not help against that."""
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, ann=old("md5", "s" * 70))
        ann = await auth.users.get_by(username="ann")
        assert ann is not None
        history = auth.tables.password_history

        async def remember(unit: Any) -> None:
            for salt in ("t" * 70, "u" * 70):
                await unit.changed(insert(history).values(user_id=ann.id, encoded=old("md5", salt)))

        await auth._database.atomic(remember)
        outcome = await wrap(auth)
        rows = await auth._database.fetch(select(history.c.id).order_by(history.c.id))
        told = [(refused.user_id, refused.history_id) for refused in outcome.refused]
        assert told == [(ann.id, None), *((ann.id, row["id"]) for row in rows)]
        assert outcome.total == 3


async def test_A15_16_a_hash_is_in_no_repr(legacy: Auth) -> None:
    async with legacy as auth:
        await auth.create_tables()
        await store(auth, ann=old("md5"))
        (batch,) = [batch async for batch in worker(auth)._batches(auth.tables.user)]
        assert batch[0].encoded == old("md5")
        assert old("md5").rpartition("$")[2] not in repr(batch)
    for outer in OUTER:
        wrapped = WrappedHasher(outer).wrap(old("md5"))
        parsed = WrappedHasher(outer)._parsed(wrapped)
        assert parsed is not None
        assert parsed.hash.rpartition("$")[2] == wrapped.rpartition("$")[2]
        assert wrapped.rpartition("$")[2] not in repr(parsed)
        assert "seasalt" not in repr(parsed)


async def test_A15_16_without_a_hasher_that_reads_it_nothing_is_wrapped(sqlite_url: str) -> None:
    async with make_auth(sqlite_url) as auth:
        await auth.create_tables()
        await store(auth, ann=old("md5"))
        with pytest.raises(ConfigurationError, match=r"list WrappedHasher\(\)"):
            await wrap(auth)
        assert await stored(auth) == {"ann": old("md5")}


async def test_A15_16_it_hashes_in_the_pool_and_waits_for_nobody(sqlite_url: str) -> None:
    """B4.9: as many at once as there are slots, so that a queue of none will do."""
    policy = dataclasses.replace(POLICY, hash_slots=2, hash_queue=0)
    async with make_auth(sqlite_url, passwords=policy) as auth:
        await auth.create_tables()
        await store(auth, **{f"user{number}": old("md5", f"salt{number}") for number in range(7)})
        assert (await wrap(auth, batch=7)).done == {"md5": 7}


async def test_the_default_policy_reads_what_was_wrapped() -> None:
    passwords = Passwords(PasswordPolicy())
    for outer in OUTER:
        assert await passwords.verify(PASSWORD, WrappedHasher(outer).wrap(old("md5")))
    wrapped = await Passwords(PasswordPolicy(hashers=preferring(PBKDF2), for_tests=True)).wrap(old("sha1"))
    assert type(wrapped) is Hashed
    assert wrapped.startswith("pbkdf2_wrapped_sha1$3$")


DJANGO = find()
RECIPE = """
import json, sys
from django.conf import settings
settings.configure(PASSWORD_HASHERS=["__main__.Wrapped"])
from django.contrib.auth.hashers import MD5PasswordHasher, PBKDF2PasswordHasher, check_password


class Wrapped(PBKDF2PasswordHasher):
    algorithm = "pbkdf2_wrapped_md5"

    def encode_md5_hash(self, md5_hash, salt, iterations=None):
        return super().encode(md5_hash, salt, iterations)

    def encode(self, password, salt, iterations=None):
        return self.encode_md5_hash(MD5PasswordHasher().encode(password, salt).split("$")[2], salt, iterations)


job = json.load(sys.stdin)
_, salt, old = job["old"].split("$")
made = Wrapped().encode_md5_hash(old, salt, iterations=5)
print(json.dumps([made, check_password(job["password"], job["ours"]), check_password("wrong", job["ours"])]))
"""

if DJANGO is not None:

    async def test_A15_16_djangos_recipe_and_ours_read_each_other() -> None:
        """With Django itself: what its recipe has wrapped verifies here, and what was wrapped here verifies there."""
        hasher = WrappedHasher(PBKDF2)
        job = {"old": old("md5"), "ours": hasher.wrap(old("md5", "another")), "password": PASSWORD}
        command = [str(DJANGO), "-c", RECIPE]
        done = await asyncio.to_thread(
            subprocess.run, command, input=json.dumps(job), capture_output=True, text=True, check=True
        )
        theirs, right, wrong = json.loads(done.stdout)
        assert (right, wrong) == (True, False)
        assert theirs == WrappedHasher(PBKDF2Hasher(iterations=5)).wrap(old("md5"))
        assert hasher.identify(theirs)
        assert hasher.verify(PASSWORD, theirs)
