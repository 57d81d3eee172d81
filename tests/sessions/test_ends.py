"""What ends a session, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from asgiauth import Auth
from asgiauth.backends import PasswordBackend
from asgiauth.passwords import PBKDF2Hasher

from ..conftest import FAST, SECRET_KEYS, client
from ..sites import OTHER_KEY, PASSWORD, connected, count, log_in, run, seen_as, site


async def test_a_new_password_ends_every_session_at_its_next_request(url: str) -> None:
    """D-13, T04, T13: by `set_password`, or by another hand on the column, as Django does it. Another user's stay, and
    the same password set anew brings none back."""
    async with connected(url) as auth, client(site(auth)) as browser:
        user = auth.tables.user
        ann = await auth.users.create("ann", password=PASSWORD)
        await auth.users.create("bob", password=PASSWORD)
        bob, dead = await log_in(browser, "bob"), list[str]()
        django = PBKDF2Hasher(iterations=1).encode(PASSWORD)
        for change in ("set_password", "raw", "unusable", "set_password"):
            async with client(site(auth)) as one, client(site(auth)) as two:
                tokens = [await log_in(one), await log_in(two)]
            if change == "raw":
                await run(url, update(user).where(user.c.id == ann.id).values(password=django))
            elif change == "unusable":
                await auth.users.set_password(ann, None)
            else:
                await auth.users.set_password(ann, PASSWORD)
            dead += tokens
            assert [await seen_as(auth, token) for token in dead] == [""] * len(dead), change
            if change == "unusable":
                await auth.users.set_password(ann, PASSWORD)
        assert [await seen_as(auth, token) for token in dead] == [""] * len(dead)
        assert await seen_as(auth, bob) == "bob"


async def test_a_user_who_is_deactivated_or_deleted_is_out_at_the_next_request(url: str) -> None:
    """D-13, T22."""
    async with connected(url) as auth:
        users = [await auth.users.create(name, password=PASSWORD) for name in ("ann", "bob", "cas")]
        tokens = []
        for user in users:
            async with client(site(auth)) as browser:
                tokens.append(await log_in(browser, user.username))
        await auth.users.update(users[0], is_active=False)
        await auth.users.delete(users[1])
        assert [await seen_as(auth, token) for token in tokens] == ["", "", "cas"]
        assert await count(url, auth.tables.session) <= 2


@pytest.mark.parametrize(("by", "tried"), [("update", True), ("update", False), ("raw", True)])
async def test_a_deactivated_users_sessions_do_not_come_back_when_he_is_active_again(
    sqlite_url: str, by: str, tried: bool
) -> None:
    """D-13: deactivation voids all sessions at once; by another hand, from the first request that it refuses."""
    async with connected(sqlite_url) as auth, client(site(auth)) as browser:
        ann, user = await auth.users.create("ann", password=PASSWORD), auth.tables.user
        token = await log_in(browser)
        for active in (False, True):
            if by == "update":
                await auth.users.update(ann, is_active=active)
            else:
                await run(sqlite_url, update(user).values(is_active=active))
            assert active or not tried or await seen_as(auth, token) == ""
        assert await seen_as(auth, token) == ""


async def test_a_removed_backend_logs_its_users_out(sqlite_url: str) -> None:
    """DESIGN 7: the backend's name is kept in the session."""

    class Other(PasswordBackend[Any]):
        name = "other"

    async with connected(sqlite_url) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        token = await log_in(browser)
    async with connected(sqlite_url, backends=[Other()]) as auth:
        assert await seen_as(auth, token) == ""


async def test_a_stronger_hash_at_login_keeps_the_other_sessions(url: str) -> None:
    """DESIGN 7: a hash upgrade restamps the live sessions of the old hash, and only those."""
    old = [PBKDF2Hasher(iterations=1)]
    async with connected(url, passwords=type(FAST)(hashers=old, min_length=8)) as auth, client(site(auth)) as browser:
        ann = await auth.users.create("ann", password=PASSWORD)
        stale = await log_in(browser)
        await auth.users.set_password(ann, PASSWORD)
        async with client(site(auth)) as another:
            live = await log_in(another, remember=True)
    async with connected(url) as auth, client(site(auth)) as browser:
        before = await auth.users.get(ann.id)
        assert await seen_as(auth, live) == "ann"
        fresh = await log_in(browser)
        after = await auth.users.get(ann.id)
        assert before is not None
        assert after is not None
        assert before.password.startswith("pbkdf2_sha256$1$")
        assert after.password.startswith("argon2$")
        assert [await seen_as(auth, token) for token in (stale, live, fresh)] == ["", "ann", "ann"]


async def test_sessions_outlive_a_new_secret_key_and_end_when_the_old_one_is_dropped(sqlite_url: str) -> None:
    """T19: accepted under [new, old], also after a hash upgrade; refused without the old key, and no 5xx."""
    old, both, new = SECRET_KEYS, [OTHER_KEY, *SECRET_KEYS], [OTHER_KEY]
    async with connected(sqlite_url, secret_keys=old) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        first = await log_in(browser)
    async with connected(sqlite_url, secret_keys=both) as auth, client(site(auth)) as browser:
        assert await seen_as(auth, first) == "ann"
        second = await log_in(browser)
    async with connected(sqlite_url, secret_keys=new) as auth:
        assert [await seen_as(auth, token) for token in (first, second)] == ["", "ann"]
    async with connected(sqlite_url, secret_keys=old) as auth:
        assert await seen_as(auth, second) == ""


async def test_a_hash_upgrade_between_two_keys_keeps_the_sessions_of_both(sqlite_url: str) -> None:
    weak = type(FAST)(hashers=[PBKDF2Hasher(iterations=1)], min_length=8)
    async with connected(sqlite_url, passwords=weak) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        first = await log_in(browser)
    async with (
        connected(sqlite_url, passwords=weak, secret_keys=[OTHER_KEY, *SECRET_KEYS]) as auth,
        client(site(auth)) as browser,
    ):
        second = await log_in(browser)
    async with connected(sqlite_url, secret_keys=[OTHER_KEY, *SECRET_KEYS]) as auth, client(site(auth)) as browser:
        third = await log_in(browser)
        assert [await seen_as(auth, token) for token in (first, second, third)] == ["ann"] * 3
    async with connected(sqlite_url, secret_keys=[OTHER_KEY]) as auth:
        assert [await seen_as(auth, token) for token in (first, second, third)] == ["ann"] * 3


async def test_another_realm_knows_neither_cookie_nor_token_nor_row(url: str) -> None:
    """D-31: one database, two realms, the same keys: a session row copied over by hand is nothing either."""
    async with connected(url) as shop, connected(url, realm="staff") as staff, client(site(shop)) as browser:
        await shop.users.create("ann", password=PASSWORD)
        token = await log_in(browser)
        assert await seen_as(shop, token) == "ann"
        assert await seen_as(staff, token) == ""
        assert await seen_as(staff, token, "__Host-asgiauth-staff") == ""
        (row,) = await run(url, select(shop.tables.session))
        await run(url, staff.tables.session.insert().values(row))
        assert await seen_as(staff, token, "__Host-asgiauth-staff") == ""
        async with client(site(staff)) as another:
            own = await log_in(another)
        assert await seen_as(staff, own, "__Host-asgiauth-staff") == "ann"
        assert await seen_as(shop, own) == ""


@pytest.mark.parametrize("same_hash", [False, True])
async def test_a_session_row_given_to_another_user_is_worthless(
    sqlite_auth: Auth, sqlite_url: str, same_hash: bool
) -> None:
    """The stamp holds the user's id: who can write the table, but does not know the keys, makes no session."""
    encoded = await sqlite_auth.passwords.hash(PASSWORD)
    ann = await sqlite_auth.users.create("ann", password=encoded if same_hash else PASSWORD)
    await sqlite_auth.users.create("eve", password=encoded)
    async with client(site(sqlite_auth)) as browser:
        token = await log_in(browser, "eve")
    await run(sqlite_url, update(sqlite_auth.tables.session).values(user_id=ann.id))
    assert await seen_as(sqlite_auth, token) == ""
