"""B4.5: the last passwords of a user are refused as the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from asgiauth import Auth, PasswordPolicy, User
from asgiauth.events import Event, PasswordChanged
from asgiauth.exceptions import ConfigurationError, InvalidField, NotFound, PasswordRejected, Reason, Unavailable
from asgiauth.passwords import Argon2Hasher
from asgiauth.passwords.service import unusable
from asgiauth.users.credentials import NewPassword

from ..conftest import FAST, client
from ..sites import connected, log_in, site
from ..wire import outline, watched

N = 3
POLICY = replace(FAST, history=N)
PASSWORDS = [f"{word} horse" for word in ("correct", "another", "third ", "fourth", "fifth ")]
MANY = 50


@pytest.fixture
async def auth(url: str) -> AsyncIterator[Auth]:
    async with connected(url, passwords=POLICY) as auth:
        yield auth


async def remembered(auth: Auth, user: User) -> list[str]:
    """The hashes that are kept, the oldest first."""
    table = auth.tables.password_history
    rows = await auth._database.fetch(select(table).where(table.c.user_id == user.id).order_by(table.c.id))
    return [row["encoded"] for row in rows]


async def reasons(work: Any) -> list[Reason]:
    with pytest.raises(PasswordRejected) as rejected:
        await work
    return list(rejected.value.reasons)


REUSED = [Reason("password_reused", {"last": N})]


async def test_B4_5_the_last_n_passwords_are_refused_the_present_one_among_them(auth: Auth) -> None:
    """And the one before them will do again; the rows are trimmed to n, and another user's do not count."""
    ann = await auth.users.create("ann", password=PASSWORDS[0])
    bob = await auth.users.create("bob", password=PASSWORDS[1])
    for n, password in enumerate(PASSWORDS[1:], start=1):
        for old in PASSWORDS[max(0, n - N) : n]:
            assert await reasons(auth.users.set_password(ann, old)) == REUSED, old
        await auth.users.set_password(ann, password)
    assert len(await remembered(auth, ann)) == N
    assert await remembered(auth, bob) == []
    await auth.users.set_password(ann, PASSWORDS[1])
    assert await auth.users.check_password(ann, PASSWORDS[1])


async def test_what_is_kept_are_the_hashes_that_were_stored(auth: Auth) -> None:
    """None is made anew, and none is the password itself."""
    ann = await auth.users.create("ann", password=PASSWORDS[0])
    hashes = [ann.password]
    hashes += [(await auth.users.set_password(ann, password)).password for password in PASSWORDS[1:]]
    assert await remembered(auth, ann) == hashes[:-1][-N:]
    assert not any(password in encoded for password in PASSWORDS for encoded in hashes)


async def test_B4_5_changing_ones_own_password_asks_the_history_too(auth: Auth) -> None:
    """Together with whatever else is wrong with it; nothing is written by a refusal."""
    ann = await auth.users.create("ann", password="short", validate=False)
    await auth.users.set_password(ann, PASSWORDS[1])
    async with client(site(auth)) as browser:
        await log_in_as(browser, PASSWORDS[1])
        body = {"old_password": PASSWORDS[1], "new_password": "short"}
        answer = await browser.post("/api/auth/password/change", json=body)
        assert (answer.status_code, answer.json()["detail"]["fields"]) == (
            422,
            {"new_password": ["password_too_short", "password_reused"]},
        )
        assert len(await remembered(auth, ann)) == 1
        body["new_password"] = PASSWORDS[2]
        assert (await browser.post("/api/auth/password/change", json=body)).status_code == 204
    assert len(await remembered(auth, ann)) == 2


async def log_in_as(browser: Any, password: str) -> None:
    answer = await browser.post("/api/auth/login", json={"username": "ann", "password": password})
    assert answer.status_code == 200, answer.text


async def test_what_is_not_judged_is_not_refused_but_remembered(auth: Auth) -> None:
    """`validate=False`, a hash, no password at all; an unusable one takes nobody's place in the history."""
    ann = await auth.users.create("ann", password=PASSWORDS[0])
    await auth.users.set_password(ann, PASSWORDS[0], validate=False)
    await auth.users.set_password(ann, await auth.passwords.hash(PASSWORDS[1]))
    await auth.users.set_password(ann, None)
    await auth.users.set_password(ann, None)
    assert len(await remembered(auth, ann)) == 3
    for old in PASSWORDS[:2]:
        assert await reasons(auth.users.set_password(ann, old)) == REUSED
    await auth.users.set_password(ann, PASSWORDS[2])
    assert len(await remembered(auth, ann)) == 3


async def test_with_a_history_of_one_the_present_password_is_refused(url: str) -> None:
    """And after one that is unusable the one before it."""
    async with connected(url, passwords=replace(FAST, history=1)) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        one = [Reason("password_reused", {"last": 1})]
        assert await reasons(auth.users.set_password(ann, PASSWORDS[0])) == one
        await auth.users.set_password(ann, PASSWORDS[1])
        assert await reasons(auth.users.set_password(ann, PASSWORDS[1])) == one
        await auth.users.set_password(ann, None)
        assert await reasons(auth.users.set_password(ann, PASSWORDS[1])) == one
        await auth.users.set_password(ann, PASSWORDS[0])
        assert len(await remembered(auth, ann)) == 1


async def test_a_password_that_django_has_set_is_remembered_when_it_is_replaced(auth: Auth) -> None:
    """The history is read off the user's own column, whoever wrote it."""
    ann = await auth.users.create("ann", password=PASSWORDS[0])
    theirs = await auth.passwords.hash(PASSWORDS[1])
    table = auth.tables.user
    async with auth._database.unit() as unit:
        await unit.changed(update(table).where(table.c.id == ann.id).values(password=str(theirs)))
    assert await reasons(auth.users.set_password(ann, PASSWORDS[1])) == REUSED
    await auth.users.set_password(ann, PASSWORDS[2])
    assert await reasons(auth.users.set_password(ann, PASSWORDS[1])) == REUSED


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(unusable(), id="unusable"),
        "",
        "nonsense",
        "argon2$argon2id$v=19$m=4194304,t=9,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        "pbkdf2_sha256$2147483647$x$y",
    ],
)
async def test_a_hash_that_nothing_verifies_stops_nobody(sqlite_url: str, encoded: str) -> None:
    """Unusable, damaged, or one that would cost gigabytes: as the present one, and in the history."""
    async with connected(sqlite_url, passwords=POLICY) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        table, history = auth.tables.user, auth.tables.password_history
        async with auth._database.unit() as unit:
            await unit.changed(update(table).where(table.c.id == ann.id).values(password=str(encoded)))
            await unit.insert(history, {"user_id": ann.id, "encoded": str(encoded)})
        await auth.users.set_password(ann, PASSWORDS[1])
        assert await auth.users.check_password(ann, PASSWORDS[1])


async def test_a_shorter_history_forgets_the_rest_at_the_next_change(url: str) -> None:
    async with connected(url, passwords=replace(FAST, history=4)) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        for password in PASSWORDS[1:]:
            await auth.users.set_password(ann, password)
        assert len(await remembered(auth, ann)) == 4
    async with connected(url, passwords=replace(FAST, history=2)) as auth:
        await auth.users.set_password(ann, PASSWORDS[1])
        assert len(await remembered(auth, ann)) == 2


async def test_the_history_goes_with_the_user(auth: Auth, url: str) -> None:
    """Also where it is no longer asked for, and by somebody else's hand through the foreign key."""
    users = [await auth.users.create(name, password=PASSWORDS[0]) for name in ("ann", "bob")]
    for user in users:
        await auth.users.set_password(user, PASSWORDS[1])
    async with connected(url) as off:
        await off.users.delete(users[0])
    tables = auth.tables
    async with auth._database.unit() as unit:
        for table in (tables.user_state, tables.identifier):
            await unit.changed(table.delete().where(table.c.user_id == users[1].id))
        await unit.changed(tables.user.delete().where(tables.user.c.id == users[1].id))
    assert [await remembered(auth, user) for user in users] == [[], []]
    with pytest.raises(NotFound):
        await auth.users.set_password(users[0], PASSWORDS[2])


async def test_a_change_that_fails_leaves_no_history(auth: Auth) -> None:
    async def fail(event: Event) -> None:
        raise LookupError

    ann = await auth.users.create("ann", password=PASSWORDS[0])
    auth.events.on(PasswordChanged, fail)
    with pytest.raises(LookupError):
        await auth.users.set_password(ann, PASSWORDS[1])
    assert await remembered(auth, ann) == []
    assert await auth.users.check_password(ann, PASSWORDS[0])


async def test_of_fifty_changes_at_once_one_wins_and_the_history_is_exact(auth: Auth) -> None:
    """One old password, fifty new ones: one row for the one that was replaced."""
    ann = await auth.users.create("ann", password=PASSWORDS[0])
    accounts = _accounts(auth)

    async def change(n: int) -> bool:
        try:
            await accounts.change_password(ann, old_password=PASSWORDS[0], new_password=f"horse {n:04}")
        except InvalidField as error:
            assert (error.field, error.code) == ("old_password", "incorrect")
            return False
        return True

    won = await asyncio.gather(*(change(n) for n in range(MANY)))
    assert sum(won) == 1
    assert await remembered(auth, ann) == [ann.password]
    assert await auth.users.check_password(ann, f"horse {won.index(True):04}")


@pytest.mark.parametrize(("times", "changed"), [(1, True), (2, False)])
async def test_a_hash_that_a_login_upgrades_meanwhile_is_no_wrong_password(
    sqlite_url: str, times: int, changed: bool
) -> None:
    """The password is the same: it is looked at once more, and not for ever."""
    async with connected(sqlite_url, passwords=FAST) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        prepare, looked = auth.users._credentials.prepare, 0

        async def overtaken(*arguments: Any, **options: Any) -> NewPassword:
            nonlocal looked
            looked += 1
            new = await prepare(*arguments, **options)
            if looked <= times:
                await rehash(auth, ann)
            return new

        auth.users._credentials.prepare = overtaken  # type: ignore[method-assign]
        change = _accounts(auth).change_password(ann, old_password=PASSWORDS[0], new_password=PASSWORDS[1])
        if changed:
            await change
        else:
            with pytest.raises(InvalidField, match="old_password"):
                await change
        assert looked == 2
        assert await auth.users.check_password(ann, PASSWORDS[1 if changed else 0])


async def rehash(auth: Auth, user: User) -> None:
    table, encoded = auth.tables.user, await auth.passwords.hash(PASSWORDS[0])
    async with auth._database.unit() as unit:
        await unit.changed(update(table).where(table.c.id == user.id).values(password=str(encoded)))


def _accounts(auth: Auth) -> Any:
    return next(action for action in auth.actions if action.name == "password_change").run.__self__._accounts  # type: ignore[attr-defined]


async def test_of_many_that_set_one_password_at_once_one_sets_it(auth: Auth) -> None:
    """Nobody sets a password that another one has made the present one between question and answer; each that was
    replaced is in the history once."""
    ann = await auth.users.create("ann", password=PASSWORDS[0])

    async def set_(password: str) -> list[str]:
        try:
            await auth.users.set_password(ann, password)
        except PasswordRejected as error:
            return [reason.code for reason in error.reasons]
        return []

    answers = await asyncio.gather(*(set_(PASSWORDS[1]) for _ in range(8)))
    assert sorted(answers) == [[], *[["password_reused"]] * 7]
    assert await remembered(auth, ann) == [ann.password]


async def test_a_password_that_changes_all_the_time_is_answered_503(sqlite_url: str) -> None:
    """Rather than to overwrite what nobody has looked at, or to go on for ever."""
    async with connected(sqlite_url, passwords=POLICY) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        prepare = auth.users._credentials.prepare
        looked = 0

        async def overtaken(*arguments: Any, **options: Any) -> NewPassword:
            nonlocal looked
            looked += 1
            new = await prepare(*arguments, **options)
            table = auth.tables.user
            async with auth._database.unit() as unit:
                await unit.changed(update(table).where(table.c.id == ann.id).values(password=f"!{looked}"))
            return new

        auth.users._credentials.prepare = overtaken  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await auth.users.set_password(ann, PASSWORDS[1])
        assert looked == 10
        stored = await auth.users.get(ann.id)
        assert stored is not None
        assert stored.password == "!10"


async def test_without_a_history_a_change_needs_not_one_statement_more(server: str, url: str) -> None:
    """Beside the user's row: nothing is asked, nothing is written. With one, the unit of work holds all of it."""
    async with watched(server, url) as (auth, statements), client(site(auth)) as browser:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        await auth.users.set_password(ann, PASSWORDS[1])
        statements.clear()
        await auth.users.set_password(ann, PASSWORDS[2])
        assert outline(statements) == ["BEGIN", "UPDATE auth_user", "SELECT", "DELETE FROM asgiauth_session", "COMMIT"]
        assert await remembered(auth, ann) == []
        await auth.users.set_password(ann, "correct horse")
        statements.clear()
        await log_in(browser)
        assert outline(statements)[:4] == ["SELECT", "BEGIN", "UPDATE auth_user", "SELECT"]


class Counting(Argon2Hasher):
    def verify(self, password: str, encoded: str) -> bool:
        verified.append(encoded)
        return super().verify(password, encoded)


verified: list[str] = []


async def test_a_change_costs_a_hash_for_each_password_of_the_history_and_no_more(sqlite_url: str) -> None:
    """Outside of any unit of work, in the pool; it stops at the first that is the same."""
    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    async with connected(sqlite_url, passwords=replace(POLICY, hashers=[hasher])) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        for n, password in enumerate(PASSWORDS[1:], start=1):
            verified.clear()
            await auth.users.set_password(ann, password)
            assert len(verified) == len(set(verified)) == min(n, N)
        verified.clear()
        await reasons(auth.users.set_password(ann, PASSWORDS[-1]))
        assert len(verified) == 1
        verified.clear()
        for impossible in ("", "x" * 1025, "\ud800" * 8):
            assert "password_reused" not in [
                one.code for one in await reasons(auth.users.set_password(ann, impossible))
            ]
        assert verified == []


class Told:
    """Validators that want to know, in either way."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.told: list[tuple[str, str]] = []
        self.breaks = breaks

    def validate(self, password: str, user: object) -> None:
        """Anything will do."""

    def password_changed(self, password: str, user: User) -> None:
        self.told.append((password, user.username))
        if self.breaks:
            raise LookupError


class ToldAsync(Told):
    async def password_changed(self, password: str, user: User) -> None:  # type: ignore[override]
        super().password_changed(password, user)


@pytest.mark.parametrize("kind", [Told, ToldAsync])
async def test_A16_5_validators_are_told_what_was_stored(url: str, kind: type[Told]) -> None:
    """By create, set and change; not of a hash, nor of no password at all, nor of one that was refused."""
    validator = kind()
    async with connected(url, passwords=replace(FAST, validators=[validator])) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        await auth.users.set_password(ann, PASSWORDS[1])
        await _accounts(auth).change_password(ann, old_password=PASSWORDS[1], new_password=PASSWORDS[2])
        expected = [(password, "ann") for password in PASSWORDS[:3]]
        await auth.users.set_password(ann, None)
        await auth.users.set_password(ann, await auth.passwords.hash(PASSWORDS[3]))
        await auth.users.create("bob")
        await reasons(auth.users.set_password(ann, "short"))
        assert validator.told == expected


@pytest.mark.parametrize("kind", [Told, ToldAsync])
async def test_A16_5_a_validator_that_fails_takes_the_change_back(url: str, kind: type[Told]) -> None:
    """It is told inside of the unit of work."""
    validator = kind()
    async with connected(url, passwords=replace(POLICY, validators=[validator])) as auth:
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        validator.breaks = True
        with pytest.raises(LookupError):
            await auth.users.set_password(ann, PASSWORDS[1])
        with pytest.raises(LookupError):
            await auth.users.create("bob", password=PASSWORDS[1])
        assert await auth.users.find("bob") is None
        assert await auth.users.check_password(ann, PASSWORDS[0])
        assert await remembered(auth, ann) == []


async def test_the_password_itself_is_in_no_event_and_no_repr(sqlite_url: str) -> None:
    told: list[Event] = []

    async def tell(event: Event) -> None:
        told.append(event)

    async with connected(sqlite_url, passwords=POLICY) as auth:
        auth.events.on(Event, tell)
        ann = await auth.users.create("ann", password=PASSWORDS[0])
        new = await auth.users._new_password(ann, PASSWORDS[1], present=ann.password)
        await auth.users.set_password(ann, PASSWORDS[1])
    assert (new.plain, len(told)) == (PASSWORDS[1], 2)
    assert not any(password in repr([new, *told]) for password in PASSWORDS)
    assert new.encoded not in repr(new)


@pytest.mark.parametrize("history", [-1, 25, 1000])
def test_a_history_that_cannot_work_is_refused(history: int) -> None:
    with pytest.raises(ConfigurationError, match="history"):
        PasswordPolicy(history=history)
