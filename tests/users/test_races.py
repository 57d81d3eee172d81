"""Many at once, and exactly one of them wins (T13)."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import UserExists
from asgiauth.passwords import Hashed, PBKDF2Hasher

from ..conftest import make_auth
from ..databases import engine_url

MANY = 50


async def outcomes(work: Iterable[Awaitable[Any]]) -> Counter[str]:
    """How often each thing happened, when all of it was asked for at once."""
    results = await asyncio.gather(*work, return_exceptions=True)
    return Counter(type(result).__name__ for result in results)


async def usernames(auth: Auth) -> list[str]:
    return [user.username for user in (await auth.users.page(limit=1000)).items]


@pytest.fixture
async def hosts(auth: Auth, url: str) -> AsyncIterator[list[Auth]]:
    """Two processes' worth of connections to one database."""
    other = make_auth(url)
    async with other:
        yield [auth, other]


async def test_one_of_fifty_creations_of_a_name_wins(hosts: list[Auth]) -> None:
    """D-09, V-074: one row, 49 times `UserExists`, and nothing half done; by exact name, by case, and by address."""
    auth = hosts[0]
    spellings = ["kissal", "Kissal", "KISSAL", "kIssAl", "kissaL"]
    addresses = ["same@example.com", "Same@example.com"]
    creations: list[list[dict[str, str]]] = [
        [{"username": "one"} for _ in range(MANY)],
        [{"username": spellings[n % 5]} for n in range(MANY)],
        [{"username": f"n{n}", "email": addresses[n % 2]} for n in range(MANY)],
        [{"email": f"{'nN'[n % 2]}ame@example.com"} for n in range(MANY)],
    ]
    for asked in creations:
        counted = await outcomes(hosts[n % 2].users.create(**fields) for n, fields in enumerate(asked))  # type: ignore[arg-type]
        assert counted == {"User": 1, "UserExists": MANY - 1}
    assert len(await usernames(auth)) == 4
    for name in ("one", "kissal", "same@example.com", "name@example.com"):
        assert await auth.users.find(name) is not None
    assert len(await auth._database.fetch(select(auth.tables.identifier))) == 5


async def test_one_of_fifty_updates_to_a_name_wins(hosts: list[Auth]) -> None:
    """The others keep theirs, also where the prize is an address that no column of Django's holds unique."""
    auth = hosts[0]
    users = [await auth.users.create(f"u{n}", email=f"u{n}@example.com") for n in range(MANY)]
    for field, prizes in {"username": ("PRIZE", "prize"), "email": ("prize@example.com", "Prize@example.com")}.items():
        changes = [{field: prizes[n % 2]} for n in range(MANY)]
        counted = await outcomes(hosts[n % 2].users.update(users[n], **change) for n, change in enumerate(changes))
        assert counted == {"User": 1, "UserExists": MANY - 1}
    stored = (await auth.users.page(limit=1000)).items
    assert sum(user.username.casefold() == "prize" for user in stored) == 1
    assert sum(user.email.casefold() == "prize@example.com" for user in stored) == 1
    found = [
        [await auth.users.find(name) for name in (user.username.swapcase(), user.email.swapcase())] for user in stored
    ]
    assert found == [[user, user] for user in stored]


async def test_an_address_taken_since_the_transaction_began_is_taken(auth: Auth, url: str) -> None:
    """D-09: REPEATABLE READ, MariaDB's default, shows an old picture; the identifier of another is not stale by it."""
    engine = create_async_engine(engine_url(url))
    try:
        async with AsyncSession(engine) as session:
            await session.execute(select(auth.tables.user))  # the picture is taken
            ann = await auth.users.create("ann", email="ann@example.com")
            async with auth.joined(session):
                with pytest.raises(UserExists, match="email"):
                    await auth.users.create("eve", email="Ann@example.com")
            await session.commit()
    finally:
        await engine.dispose()
    assert await auth.users.find("ann@example.com") == ann


async def test_passwords_set_while_the_user_is_deleted(hosts: list[Auth]) -> None:
    """Nothing but `NotFound`, once the user is gone; one of many deletions deletes."""
    auth = hosts[0]
    ann, bob = [await auth.users.create(name) for name in ("ann", "bob")]
    hashed = await auth.passwords.hash("correct horse battery")
    assert await outcomes(hosts[n % 2].users.set_password(ann, hashed) for n in range(MANY)) == {"User": MANY}
    mixed = [
        (hosts[n % 2].users.delete(ann) if n % 5 == 4 else hosts[n % 2].users.set_password(ann, hashed))
        for n in range(MANY)
    ]
    counted = await outcomes(mixed)
    assert (counted["NoneType"], counted["User"] + counted["NotFound"]) == (1, MANY - 1)
    assert await usernames(auth) == ["bob"]
    assert await outcomes(hosts[n % 2].users.delete(bob) for n in range(MANY)) == {"NoneType": 1, "NotFound": MANY - 1}


async def test_many_who_meet_a_stale_identifier_repair_it_once(hosts: list[Auth]) -> None:
    auth = hosts[0]
    ann = await auth.users.create("ann", email="ann@example.com")
    bob = await auth.users.create("bob", email="bob@example.com")
    async with auth._database.unit() as unit:
        table = auth.tables.user
        await unit.changed(update(table).where(table.c.id == ann.id).values(username="anna", email="anna@example.com"))
    names = ["ANN", "ann@example.com", "ANNA", "anna@example.com", "BOB"]
    counted = await outcomes(hosts[n % 2].users.find(names[n % 5]) for n in range(MANY))
    assert counted.keys() <= {"NoneType", "User"}
    assert [await auth.users.find(name) for name in ("ANNA", "Anna@example.com", "BOB")] == [ann, ann, bob]
    assert len(await auth._database.fetch(select(auth.tables.identifier))) == 4


async def test_an_upgraded_hash_is_stored_once_and_every_check_is_right(hosts: list[Auth]) -> None:
    """D-04."""
    auth = hosts[0]
    weak = Hashed(PBKDF2Hasher(iterations=1).encode("correct horse battery"))
    ann = await auth.users.create("ann", password=weak)
    assert await outcomes(hosts[n % 2].users.check_password(ann, "correct horse battery") for n in range(20)) == {
        "bool": 20
    }
    assert await auth.users.check_password(ann, "correct horse battery")
    assert not await auth.users.check_password(ann, "wrong")


class Gate(PBKDF2Hasher):
    """Takes, once it is closed, as long for a hash as the test likes."""

    def __init__(self) -> None:
        super().__init__(iterations=2)
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()

    def encode(self, password: str) -> str:
        self.reached.set()
        self.open.wait(60)
        return super().encode(password)


async def test_a_password_changed_during_an_upgrade_is_not_handed_out_for_the_old_one(sqlite_url: str) -> None:
    """T13, D-04: who proved the old password has no user with the new hash, under which a session would be opened."""
    gate = Gate()
    auth = make_auth(sqlite_url, passwords=PasswordPolicy(hashers=[gate], hash_slots=2, validators=()))
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=Hashed(PBKDF2Hasher(iterations=1).encode("stolen password")))
        new = await auth.passwords.hash("new password")
        gate.reached.clear()
        gate.open.clear()
        login = asyncio.create_task(auth.users.verified(ann, "stolen password"))
        assert await asyncio.to_thread(gate.reached.wait, 60)
        await auth.users.set_password(ann, new)
        gate.open.set()
        verified = await login
        stored = await auth.users.get(ann.id)
    assert stored is not None
    assert stored.password == new
    assert verified is None or verified.password != new
