"""`auth.users`: who exists, and by which password."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from asgiauth import Auth
from asgiauth.exceptions import InvalidField, PasswordRejected, UserExists
from asgiauth.passwords import Hashed, PBKDF2Hasher, is_usable

from ..conftest import make_auth
from .helpers import NOW, PASSWORD, count


async def test_create_stores_every_field_and_returns_what_is_stored(url: str) -> None:
    auth = make_auth(url, clock=lambda: NOW.astimezone(timezone(timedelta(hours=5))))
    async with auth:
        await auth.create_tables()
        bare = await auth.users.create("Bare_1.+-")
        assert bare.as_dict() | {"id": 0} == {
            "id": 0, "username": "Bare_1.+-", "email": "", "first_name": "", "last_name": "", "is_active": True,
            "is_staff": False, "is_superuser": False, "last_login": None, "date_joined": NOW.isoformat(),
        }  # fmt: skip
        assert (bare.date_joined.tzinfo, is_usable(bare.password)) == (UTC, False)
        fields = {
            "first_name": "Ren\u00e9 \U0001f511", "last_name": "O'Neil\\; --%s", "is_active": False, "is_staff": True,
            "is_superuser": True, "last_login": NOW, "date_joined": NOW - timedelta(days=1),
        }  # fmt: skip
        full = await auth.users.create("Full", email="Full@EXAMPLE.com", password=PASSWORD, **fields)  # type: ignore[arg-type]
        assert {name: getattr(full, name) for name in fields} == fields
        assert (full.username, full.email) == ("Full", "Full@example.com")
        for user in (bare, full):
            stored = await auth.users.get(user.id)
            assert stored is not None
            assert (stored.as_dict(), stored.password) == (user.as_dict(), user.password)


async def test_without_a_user_name_the_address_is_the_name(sqlite_auth: Auth) -> None:
    user = await sqlite_auth.users.create(email="Ann@EXAMPLE.com", password=PASSWORD)
    assert (user.username, user.email) == ("Ann@example.com", "Ann@example.com")
    assert await sqlite_auth.users.find("ANN@example.COM") == user
    with pytest.raises(UserExists):
        await sqlite_auth.users.create(email="ann@example.com")
    with pytest.raises(UserExists):
        await sqlite_auth.users.create("annie", email="aNN@example.com")


async def test_create_superuser(sqlite_auth: Auth) -> None:
    """A2.2: both flags, and neither may be given as anything but True."""
    root = await sqlite_auth.users.create_superuser("root", email="root@example.com", password=PASSWORD, first_name="R")
    assert (root.is_staff, root.is_superuser, root.is_active, root.first_name) == (True, True, True, "R")
    for flag in ("is_staff", "is_superuser"):
        for value in (False, None, 1, "yes"):
            with pytest.raises(InvalidField) as refused:
                await sqlite_auth.users.create_superuser("other", **{flag: value})  # type: ignore[arg-type]
            assert (refused.value.field, refused.value.code) == (flag, "must_be_true")


async def test_set_password(sqlite_auth: Auth) -> None:
    """None makes it unusable; a `Hashed` is stored as it is; what the policy refuses changes nothing."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    assert [await sqlite_auth.users.check_password(ann, text) for text in (PASSWORD, PASSWORD.upper(), "", "!")] == [
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(PasswordRejected) as rejected:
        await sqlite_auth.users.set_password(ann, "short")
    assert [reason.code for reason in rejected.value.reasons] == ["password_too_short"]
    assert await sqlite_auth.users.check_password(ann, PASSWORD)
    changed = await sqlite_auth.users.set_password(ann, "short", validate=False)
    assert await sqlite_auth.users.check_password(
        ann, "short"
    )  # `ann` is what was read before: the stored hash is read afresh
    assert changed.password != ann.password
    hashed = await sqlite_auth.passwords.hash("another password")
    assert (await sqlite_auth.users.set_password(ann, hashed)).password == hashed
    assert await sqlite_auth.users.check_password(ann, "another password")
    unusable = await sqlite_auth.users.set_password(ann, None)
    assert not is_usable(unusable.password)
    assert not await sqlite_auth.users.check_password(ann, unusable.password)


async def test_create_applies_the_policy_and_hashes(sqlite_auth: Auth) -> None:
    users = sqlite_auth.users
    with pytest.raises(PasswordRejected):
        await users.create("ann", password="short")
    with pytest.raises(PasswordRejected):
        await users.create_superuser("ann", password="short")
    for password in ("\ud800" * 10, "x" * 1025):
        with pytest.raises(PasswordRejected):
            await users.create("ann", password=password, validate=False)
    for junk in (0, False, b"correct horse battery", ["x"]):
        with pytest.raises(InvalidField) as refused:
            await users.create("ann", password=junk)  # type: ignore[arg-type]
        assert (refused.value.field, refused.value.code) == ("password", "invalid_type")
    assert await count(sqlite_auth, "user") == 0
    ann = await users.create("ann", password="short", validate=False)
    bob = await users.create("bob", password=Hashed(ann.password))
    assert ann.password.startswith("argon2$argon2id$")
    assert (bob.password, await users.check_password(bob, "short")) == (ann.password, True)


@pytest.mark.parametrize("encoded", ["x" * 129, "argon2$\0", "argon2$\ud800"])
async def test_a_hash_that_the_column_cannot_hold_is_refused(sqlite_auth: Auth, encoded: str) -> None:
    """From another system's export, say: the same answer on every server."""
    ann = await sqlite_auth.users.create("ann")
    with pytest.raises(InvalidField, match="password"):
        await sqlite_auth.users.create("bob", password=Hashed(encoded))
    with pytest.raises(InvalidField, match="password"):
        await sqlite_auth.users.set_password(ann, Hashed(encoded))


async def test_check_password_upgrades_a_weaker_hash_once_and_never_downgrades(sqlite_auth: Auth) -> None:
    """D-04."""
    weak = Hashed(PBKDF2Hasher(iterations=1).encode(PASSWORD))
    ann = await sqlite_auth.users.create("ann", password=weak)
    assert not await sqlite_auth.users.check_password(ann, "wrong")
    first = await sqlite_auth.users.get(ann.id)
    assert first is not None
    assert first.password == weak
    hashes = []
    for _ in range(2):
        assert await sqlite_auth.users.check_password(ann, PASSWORD)
        stored = await sqlite_auth.users.get(ann.id)
        assert stored is not None
        hashes.append(stored.password)
    assert hashes[0].startswith("argon2$argon2id$")
    assert hashes[0] == hashes[1]


async def test_what_a_caller_never_gave_is_not_blamed(sqlite_auth: Auth) -> None:
    """Without a user name the address is one: where it cannot be, a user name is asked for."""
    with pytest.raises(InvalidField) as refused:
        await sqlite_auth.users.create(email="o'hara@example.com")
    assert (refused.value.field, refused.value.code) == ("username", "required")
    await sqlite_auth.users.create(email="ann@example.com")
    with pytest.raises(UserExists) as exists:
        await sqlite_auth.users.create(email="ann@example.com")
    assert exists.value.field == "email"
