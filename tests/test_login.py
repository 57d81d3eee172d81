"""`request.auth`: the way in and out of a request."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from starlette.requests import Request

from asgiauth import AnonymousUser, Auth, LoggedIn, PasswordPolicy, RequestAuth, User
from asgiauth.attempt import Visit
from asgiauth.exceptions import LoginRefused
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher
from asgiauth.signing import Signing

from .conftest import FAST, SECRET_KEYS, client, make_auth
from .sites import PASSWORD, connected, count, site, views


async def test_login_opens_a_session_and_changes_the_user_of_this_request(auth: Auth) -> None:
    """DESIGN 7: LoggedIn, request.user, request.auth.session and last_login agree at once, and with the next request."""
    ann = await auth.users.create("ann", password=PASSWORD)
    start = datetime.now(UTC)
    seen: list[Any] = []

    async def login(request: Request) -> None:
        seen.extend([request.user, request.auth.session, list(request.auth.scopes)])
        outcome = await request.auth.login(ann, method="letter", remember=True)
        seen.extend([outcome, request.user, request.auth.session, list(request.auth.scopes)])

    async def session(request: Request) -> None:
        seen.extend([request.user, request.auth.session])

    async with client(site(auth, *views(login=login, session=session))) as browser:
        await browser.get("/login")
        await browser.get("/session")
    before, no_session, no_scopes, outcome, user, info, scopes, next_user, next_info = seen
    assert (before, no_session, no_scopes) == (AnonymousUser(), None, [])
    assert isinstance(outcome, LoggedIn)
    assert outcome.user == user == next_user == ann
    assert outcome.session == info == next_info
    assert scopes == ["authenticated"]
    assert (info.methods, info.backend, info.remember) == (("letter",), "password", True)
    assert start <= user.last_login == next_user.last_login <= info.authenticated_at
    assert user.password == next_user.password == ann.password


async def test_the_last_change_of_a_request_is_the_one_that_counts(url: str, auth: Auth) -> None:
    """One Set-Cookie a response, and none for a session that came and went in it; one that was opened and replaced in
    the same request is gone."""
    ann, bob = [await auth.users.create(name, password=PASSWORD) for name in ("ann", "bob")]

    async def twice(request: Request) -> None:
        await request.auth.login(ann)
        await request.auth.login(bob)

    async def in_and_out(request: Request) -> None:
        await request.auth.login(ann)
        await request.auth.logout()
        await request.auth.logout()

    for path, name, cookies in (("twice", "bob", 1), ("in_and_out", "", 0)):
        async with client(site(auth, *views(twice=twice, in_and_out=in_and_out))) as browser:
            answer = await browser.get(f"/{path}")
            assert len(answer.headers.get_list("set-cookie")) == cookies
            assert (await browser.get("/who")).json() == name
        assert await count(url, auth.tables.session) == 1


async def test_whom_the_database_no_longer_knows_so_is_refused(auth: Auth) -> None:
    """LoginRefused: inactive, deleted, deactivated or with another password since it was read, or read by nobody."""
    names = ("inactive", "deleted", "deactivated", "changed", "copied")
    users = {name: await auth.users.create(name, password=PASSWORD) for name in names}
    users["inactive"] = await auth.users.update(users["inactive"], is_active=False)
    await auth.users.delete(users["deleted"])
    await auth.users.update(users["deactivated"], is_active=False)
    await auth.users.set_password(users["changed"], PASSWORD)
    users["copied"] = dataclasses.replace(users["copied"])
    users["made up"] = User(id=10**6, username="x", date_joined=datetime.now(UTC))

    async def login(request: Request) -> str:
        try:
            await request.auth.login(users[request.query_params["user"]])
        except LoginRefused:
            return "refused"
        return "logged in"

    answers = {}
    for name in users:
        async with client(site(auth, *views(login=login))) as browser:
            answer = await browser.get("/login", params={"user": name})
            answers[name] = (answer.json(), "set-cookie" in answer.headers)
    assert answers == dict.fromkeys(users, ("refused", False))


@pytest.mark.parametrize("user", [AnonymousUser(), None, 1, "ann"], ids=repr)
async def test_only_a_user_can_be_logged_in(sqlite_auth: Auth, user: Any) -> None:
    async def login(request: Request) -> None:
        with pytest.raises(TypeError):
            await request.auth.login(user)

    async with client(site(sqlite_auth, *views(login=login))) as browser:
        answer = await browser.get("/login")
    assert "set-cookie" not in answer.headers


async def test_twenty_logins_at_once_with_one_cookie_leave_the_old_token_dead(url: str, auth: Auth) -> None:
    """T13: no 5xx, no deadlock, and nobody gets another one's token."""
    await auth.users.create("ann", password=PASSWORD)
    credentials = {"username": "ann", "password": PASSWORD}
    async with client(site(auth)) as browser:
        await browser.post("/api/auth/login", json=credentials)
        cookie = {"cookie": f"__Host-asgiauth={browser.cookies['__Host-asgiauth']}"}
        answers: list[httpx2.Response] = []

        async def log_in() -> None:
            async with client(site(auth)) as another:
                answers.append(await another.post("/api/auth/login", json=credentials, headers=cookie))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(log_in)
        assert [answer.status_code for answer in answers] == [200] * 20
        assert len({answer.headers["set-cookie"] for answer in answers}) == 20
        assert (await browser.get("/who", headers=cookie)).json() == ""
    assert await count(url, auth.tables.session) == 20


@pytest.mark.parametrize("hasher", [PBKDF2Hasher, Argon2Hasher])
async def test_the_old_password_opens_no_session_once_the_new_one_is_set(sqlite_url: str, hasher: type[Any]) -> None:
    """T13: a password that was right when the login began and is wrong before it ends, whether its hash was to be
    upgraded or not."""
    entered, release = threading.Semaphore(0), threading.Event()

    class SlowHasher(hasher):  # type: ignore[misc]
        def verify(self, password: str, encoded: str) -> bool:
            entered.release()
            release.wait(60)
            return bool(super().verify(password, encoded))

    options = {"iterations": 1} if hasher is PBKDF2Hasher else {"time_cost": 1, "memory_cost": 8}
    others = [] if hasher is Argon2Hasher else FAST.hashers[:1]
    policy = PasswordPolicy(hashers=[*others, SlowHasher(**options)], hash_slots=2)
    async with connected(sqlite_url, passwords=policy) as auth, client(site(auth)) as browser:
        weak = await make_auth(sqlite_url, passwords=PasswordPolicy(hashers=[hasher(**options)])).passwords.hash(
            PASSWORD
        )
        ann = await auth.users.create("ann", password=weak)
        answers: list[httpx2.Response] = []

        async def log_in() -> None:
            credentials = {"username": "ann", "password": PASSWORD}
            answers.append(await browser.post("/api/auth/login", json=credentials))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log_in)
            await anyio.to_thread.run_sync(entered.acquire)
            await auth.users.set_password(ann, "another horse")
            release.set()
        (answer,) = answers
        assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "invalid_credentials")
        assert (await browser.get("/who")).json() == ""
    assert await count(sqlite_url, auth.tables.session) == 0


async def test_no_public_object_shows_a_secret(sqlite_auth: Auth) -> None:
    """T21: neither repr, str, vars, asdict nor a pickle holds password, hash, token or key."""
    ann, shown = await sqlite_auth.users.create("ann", password=PASSWORD), dict[str, Any]()

    async def login(request: Request) -> None:
        shown["fresh user"] = await request.auth.authenticate(username="ann", password=PASSWORD)
        shown["outcome"] = await request.auth.login(shown["fresh user"])
        shown["request.auth"] = request.auth
        shown["request.user"] = request.user
        shown["session"] = request.auth.session
        assert isinstance(request.auth, RequestAuth)

    async with client(site(sqlite_auth, *views(login=login))) as browser:
        await browser.get("/login")
        token = browser.cookies["__Host-asgiauth"]
    shown |= {"user": ann, "auth": sqlite_auth, "middleware": sqlite_auth.middleware, "users": sqlite_auth.users}
    shown |= {"passwords": sqlite_auth.passwords, "signing": Signing(SECRET_KEYS, clock=lambda: datetime.now(UTC))}
    shown |= {"hash": await sqlite_auth.passwords.hash(PASSWORD)}
    secrets = [PASSWORD, token, "argon2$", *SECRET_KEYS]
    found = [
        (name, form)
        for name, value in shown.items()
        for form, text in _forms(value).items()
        if any(secret in text for secret in secrets)
    ]
    assert found == []


def _forms(value: Any) -> dict[str, str]:
    forms = {"repr": repr(value)}
    if not isinstance(value, str):  # a hash is its own str(): only its repr is masked
        forms |= {"str": str(value), "format": f"{value}", "vars": repr(getattr(value, "__dict__", ""))}
        try:
            forms["pickle"] = pickle.dumps(value).decode("latin-1")
        except (TypeError, AttributeError, pickle.PicklingError):  # cannot be pickled: shows nothing
            forms["pickle"] = ""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        forms["asdict"] = repr(dataclasses.asdict(value))
        forms["astuple"] = repr(dataclasses.astuple(value))
    return forms


async def test_a_new_session_does_not_show_its_token(sqlite_auth: Auth) -> None:
    """T21: the one object that has to carry it to the cookie."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    (middleware,) = sqlite_auth.middleware
    login = middleware.args[0].login  # type: ignore[attr-defined]
    opened = await login.log_in(ann, backend="password", methods=("test",), remember=False, visit=Visit())
    assert len(opened.token) == 43
    assert [form for form, text in _forms(opened).items() if opened.token in text] == []
