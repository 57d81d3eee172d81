"""Every path hashes in the pool: never on the event loop, never more at once than there are slots, and with an end to
the queue (D-02, A24, B4.9)."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import Unavailable
from asgiauth.passwords import Argon2Hasher, Hashed, Hasher, PBKDF2Hasher, WrappedHasher
from asgiauth.testing import force_login
from asgiauth.users.wrapping import OldHashes

from ..conftest import client, make_auth
from ..sites import site

PASSWORD, LOGIN, CHANGE = "correct horse", "/api/auth/login", "/api/auth/password/change"
OK = {"username": "ann", "password": PASSWORD}
NEW = {"old_password": PASSWORD, "new_password": "another horse"}
MD5 = "md5$seasalt$" + "0" * 32


class Watched(Argon2Hasher):
    """Knows in which threads it works, how often, and how many of them at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.threads: set[str] = set()
        self.hashes = self.running = self.most = 0
        self._lock = threading.Lock()
        self.meet: threading.Barrier | None = None

    def encode(self, password: str) -> str:
        return str(self._note(super().encode, password))

    def verify(self, password: str, encoded: str) -> bool:
        return bool(self._note(super().verify, password, encoded))

    def _note(self, work: Callable[..., object], *arguments: str) -> object:
        with self._lock:
            self.threads.add(threading.current_thread().name.partition("_")[0])
            self.hashes += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if self.meet is not None:
                self.meet.wait(60)
            return work(*arguments)
        finally:
            with self._lock:
                self.running -= 1


class WatchedWrapping(WrappedHasher):
    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self.watched = watched

    def wrap(self, encoded: str) -> str:
        return str(self.watched._note(super().wrap, encoded))


def watched_auth(url: str, **options: Any) -> tuple[Auth, Watched]:
    hasher = Watched()
    hashers: list[Hasher] = [hasher, PBKDF2Hasher(iterations=1), WatchedWrapping(hasher)]
    policy = PasswordPolicy(hashers=hashers, validators=(), failure_deadline=0, **options)
    return make_auth(url, passwords=policy), hasher


async def _wrap(auth: Auth) -> None:
    users = OldHashes(auth._database, auth.tables, auth.passwords, auth.sessions, schemes=["md5"], batch=10)
    assert [part.total async for part in users.wrap()] == [1]


async def test_A24_every_path_hashes_in_threads_of_the_pool(sqlite_url: str) -> None:
    auth, hasher = watched_auth(sqlite_url)
    weak = Hashed(PBKDF2Hasher(iterations=1).encode(PASSWORD))
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        await auth.users.create("old", password=Hashed(MD5))

        async def weaken() -> None:
            await auth.users.set_password(await found(auth), weak)

        async def check() -> None:
            assert await auth.users.check_password(await found(auth), PASSWORD)

        async def log_in(password: str = PASSWORD) -> None:
            answer = await browser.post(LOGIN, json={"username": "ann", "password": password})
            assert answer.status_code == (200 if password == PASSWORD else 401)

        async def change() -> None:
            await force_login(browser, await found(auth))
            assert (await browser.post(CHANGE, json=NEW)).status_code == 204

        paths: dict[str, tuple[Callable[[], Awaitable[Any]], int]] = {
            "create": (lambda: auth.users.create("ann", password=PASSWORD), 1),
            "check": (check, 1),
            "login": (log_in, 1),
            "wrong login": (lambda: log_in("wrong horse"), 1),
            "a hash that is given": (weaken, 0),
            "upgrade": (log_in, 1),
            "no such user": (lambda: auth.passwords.verify(PASSWORD, ""), 1),
            "change": (change, 2),
            "set": (lambda: _set(auth), 1),
            "wrap": (lambda: _wrap(auth), 1),
        }
        spent = {}
        for name, (act, _) in paths.items():
            hasher.hashes = 0
            await act()
            spent[name] = hasher.hashes
    assert spent == {name: hashes for name, (_, hashes) in paths.items()}
    assert hasher.threads == {"asgiauth-hashing"}


async def found(auth: Auth) -> Any:
    user = await auth.users.get_by(username="ann")
    assert user is not None
    return user


async def _set(auth: Auth) -> None:
    await auth.users.set_password(await found(auth), "another horse")


async def test_D_02_a_hundred_logins_hash_no_more_at_once_than_there_are_slots(sqlite_url: str) -> None:
    """Memory is bounded by slots times cost; and all slots are used."""
    auth, hasher = watched_auth(sqlite_url, hash_slots=2, hash_patience=60)
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        hasher.meet = threading.Barrier(2)
        answers: list[int] = []

        async def log_in() -> None:
            answers.append((await browser.post(LOGIN, json=OK)).status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(log_in)
    assert answers == [200] * 100
    assert hasher.most == 2
    assert not hasher.meet.broken


@pytest.mark.parametrize("path", ["login", "change", "create", "set", "check", "wrap"])
async def test_D_02_no_path_goes_around_the_queue(sqlite_url: str, path: str) -> None:
    """B4.9: 503 with `Retry-After` over HTTP, `Unavailable` in Python; nothing is half done, and nobody is logged out."""
    auth, _ = watched_auth(sqlite_url, hash_slots=1, hash_queue=0)
    entered, release = threading.Event(), threading.Event()

    def occupy() -> None:
        entered.set()
        release.wait(60)

    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        await force_login(browser, ann)

        async def ask() -> httpx2.Response | None:
            if path == "login":
                return await browser.post(LOGIN, json=OK)
            if path == "change":
                return await browser.post(CHANGE, json=NEW)
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "create": lambda: auth.users.create("bob", password=PASSWORD),
                "set": lambda: auth.users.set_password(ann, "another horse"),
                "check": lambda: auth.users.check_password(ann, PASSWORD),
                "wrap": lambda: auth.passwords.wrap(MD5),
            }
            with pytest.raises(Unavailable):
                await calls[path]()
            return None

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(auth.passwords._pool.run, occupy)
            await anyio.to_thread.run_sync(entered.wait, 60)
            answer = await ask()
            still = (await browser.get("/who")).json()
            release.set()
        if answer is not None:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert "set-cookie" not in answer.headers
        assert still == "ann"
        assert await auth.users.get_by(username="bob") is None
        assert await auth.users.check_password(ann, PASSWORD)
