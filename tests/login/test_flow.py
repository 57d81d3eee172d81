"""What stands in the way of a login, who else may know a request, and connections that live long."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.authentication import requires as starlette_requires
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgiauth import LoggedIn, StepRequired, User
from asgiauth.backends import AllowAllUsersPasswordBackend, PasswordBackend
from asgiauth.events import LoginFailed, UserLoggedOut
from asgiauth.exceptions import LoginRefused, PermissionDenied, SessionClosed, TooManyAttempts, Unavailable
from asgiauth.login import LoginAttempt
from asgiauth.testing import client, websocket

from .helpers import (
    ANN,
    BEARER,
    LOGIN,
    LOGOUT,
    NOBODY,
    PASSWORD,
    PROXY,
    Extension,
    Step,
    Told,
    error,
    known_by_headers,
    log_in,
    opened,
    site,
    steps,
    user_named,
)

# Guards


class Gate:
    """A login guard that keeps what it sees, and refuses if it is told to."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.refuses = refuses
        self.seen: list[LoginAttempt] = []

    async def admit(self, attempt: LoginAttempt) -> None:
        self.seen.append(attempt)
        if self.refuses is not None:
            raise self.refuses


class Asked(PasswordBackend[User]):
    """Remembers that it was asked."""

    asked: list[str]

    async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
        self.asked.append(username)
        return await super().authenticate(connection, username=username, password=password)


def asked() -> Asked:
    backend = Asked()
    backend.asked = []
    return backend


@pytest.mark.parametrize(
    ("refusal", "answer", "retry_after"),
    [
        (LoginRefused("not today"), (401, "login_refused"), None),
        (TooManyAttempts("slow down", retry_after=90), (429, "too_many_attempts"), "90"),
        (Unavailable("no answer", retry_after=3), (503, "unavailable"), "3"),
    ],
    ids=["refused", "too many", "unavailable"],
)
async def test_a_guard_refuses_before_anyone_looks_at_the_credentials(
    sqlite_url: str, refusal: Exception, answer: tuple[int, str], retry_after: str | None
) -> None:
    """DESIGN 7: right or wrong, the answer is the same; no backend and no later guard is asked, no failure is told."""
    first, second, backend, told = Gate(refusal), Gate(), asked(), Told()

    async def view(request: Request) -> None:
        await request.auth.authenticate(**ANN)

    features = [Extension(login_guards=[first, second]), told.feature]
    told.feature.name = "told"
    async with opened(sqlite_url, "ann", backends=[backend], features=features) as auth:
        told.inside.clear()
        browser = client(site(auth, view=view))
        for password in (PASSWORD, "wrong horse"):
            spoken = await browser.post(LOGIN, json={**ANN, "password": password})
            assert (error(spoken), spoken.headers.get("retry-after")) == (answer, retry_after)
            assert "not today" not in spoken.text
        assert error(await browser.get("/view")) == answer, "in the application's own view, too"
        assert (await browser.get("/who")).json() == NOBODY
    assert (backend.asked, second.seen, told.inside, len(first.seen)) == ([], [], [], 3)


async def test_guards_are_asked_in_order_and_see_masked_credentials(sqlite_url: str) -> None:
    """A6.5: from where, with what; nothing that would let one in, and nothing of what is not known yet."""
    gates = [Gate(), Gate(LoginRefused("second"))]
    async with opened(sqlite_url, "ann", features=[Extension(login_guards=gates)]) as auth:
        await client(site(auth)).post(LOGIN, json=ANN, headers={"user-agent": "Browser 1"})
    (seen,), (also,) = gates[0].seen, gates[1].seen
    credentials = {"username": "ann", "password": "*" * 20}
    assert seen == also == LoginAttempt(credentials=credentials, address="127.0.0.1", device="Browser 1")


SECRET = ["password", "PASSWORD2", "api_key", "token", "client_secret", "signature", "otp", "backup_code", "pin"]
NOT_SECRET = ["username", "email", "number"]


async def test_A6_5_a_failed_login_is_told_with_its_secrets_masked(url: str) -> None:
    """Django's names and the three that it forgets, in any case, as a part of the name."""
    told = Told()

    async def fail(request: Request) -> bool:
        credentials = dict.fromkeys([*SECRET, *NOT_SECRET], "horse")
        return await request.auth.authenticate(**credentials) is None

    async with opened(url, features=[told.feature]) as auth:
        assert (await client(site(auth, fail=fail)).get("/fail", headers={"user-agent": "B"})).json() is True
    (event,) = told.inside
    assert isinstance(event, LoginFailed)
    assert event.credentials == {**dict.fromkeys(SECRET, "*" * 20), **dict.fromkeys(NOT_SECRET, "horse")}
    assert (event.address, event.device) == ("127.0.0.1", "B")


async def test_A6_3_permission_denied_stops_the_loop(sqlite_url: str) -> None:
    """No later backend is asked, nobody is known, and the failure is told."""
    later, told = asked(), Told()

    class Denies(PasswordBackend[User]):
        name = "denies"

        async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
            raise PermissionDenied("not from here")

    async with opened(sqlite_url, "ann", backends=[Denies(), later], features=[told.feature]) as auth:
        told.inside.clear()
        assert error(await client(site(auth)).post(LOGIN, json=ANN)) == (401, "invalid_credentials")
    assert (later.asked, told.kinds()) == ([], [LoginFailed])


@pytest.mark.parametrize("missing", ["username", "password"])
async def test_A6_8_a_login_without_name_or_password_is_nobodys(sqlite_url: str, missing: str) -> None:
    async def attempt(request: Request) -> bool:
        return await request.auth.authenticate(**{**ANN, missing: None}) is None

    async with opened(sqlite_url, "ann") as auth:
        assert (await client(site(auth, attempt=attempt)).get("/attempt")).json() is True


async def test_A6_11_a_backend_may_let_inactive_users_in(sqlite_url: str) -> None:
    """AllowAllUsersPasswordBackend: at login and on every request; the other one never does."""
    allow_all: Any = AllowAllUsersPasswordBackend()
    allow_all.name = "all"
    async with opened(sqlite_url, "ann", backends=[PasswordBackend(), allow_all]) as auth:
        await auth.users.update(await user_named(auth, "ann"), is_active=False)
        browser = client(site(auth))
        assert error(await browser.post(LOGIN, json={**ANN, "password": "wrong"})) == (401, "invalid_credentials")
        await log_in(browser)
        assert (await browser.get("/who")).json()[0] == "ann"
        assert (await auth.sessions.list(await user_named(auth, "ann")))[0].backend == "all"
        await auth.users.update(await user_named(auth, "ann"), first_name="Ann")
        assert (await browser.get("/who")).json()[0] == "ann"


async def test_A7_6_a_logout_of_nobody_is_no_error_and_no_event(sqlite_url: str) -> None:
    told = Told()
    async with opened(sqlite_url, "ann", features=[told.feature]) as auth:
        browser = client(site(auth))
        assert (await browser.post(LOGOUT)).status_code == 204
        await log_in(browser)
        told.inside.clear()
        for _ in range(2):
            assert (await browser.post(LOGOUT)).status_code == 204
        assert (await browser.get("/who")).json() == NOBODY
    assert told.kinds() == [UserLoggedOut]


@pytest.mark.parametrize("action", ["login", "logout", "pass_step"])
async def test_once_the_response_has_begun_nobody_comes_or_goes(sqlite_url: str, action: str) -> None:
    """SessionClosed: its cookie could not be sent."""
    raised: list[str] = []
    async with opened(sqlite_url, "ann") as auth:
        ann = await user_named(auth, "ann")

        async def late(request: Request) -> Response:
            async def act() -> None:
                arguments: dict[str, list[Any]] = {"login": [ann], "pass_step": ["totp"]}
                with pytest.raises(SessionClosed):
                    await getattr(request.auth, action)(*arguments.get(action, []))
                raised.append(action)

            return JSONResponse(None, background=BackgroundTask(act))

        browser = client(site(auth, late=late))
        await log_in(browser)
        assert "set-cookie" not in (await browser.get("/late")).headers
        assert (await browser.get("/who")).json()[0] == "ann"
    assert raised == [action]


# Known without a session


@starlette_requires(["authenticated", "posts:write"])
async def write(request: Request) -> Response:
    return JSONResponse(request.user.username)


FOREIGN = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}


async def test_a_bearer_is_known_on_each_request_with_the_scopes_of_the_token(url: str) -> None:
    """Starlette's own @requires reads them; there is no session, and no cookie."""
    async with known_by_headers(url) as known:
        browser = client(site(known.auth, Route("/write", write, methods=["POST"])))
        answer = await browser.get("/who", headers=BEARER)
        assert answer.json() == ["ann", ["authenticated", "drafts", "posts:write"], False, {}]
        assert "set-cookie" not in answer.headers
        assert (await browser.post("/write", headers=BEARER)).json() == "ann"
        assert (await browser.post("/write", headers=PROXY)).status_code == 403
        assert (await browser.get("/guarded", headers=BEARER)).status_code == 200
        assert (await browser.get("/who")).json() == NOBODY
        async with websocket(browser, "/guarded-socket", headers=BEARER) as socket:
            assert await socket.receive_text() == "ann"


async def test_D18_only_what_a_browser_sends_by_itself_needs_protection(sqlite_url: str) -> None:
    """A bearer token another site cannot make a browser send; the header of a proxy comes with every request."""
    async with known_by_headers(sqlite_url) as known:
        browser = client(site(known.auth))
        for path in ("/who", LOGOUT):
            assert (await browser.post(path, headers={**BEARER, **FOREIGN})).status_code in (200, 204)
            refused = await browser.post(path, headers={**PROXY, **FOREIGN})
            assert error(refused) == (403, "csrf_failed")
        assert (await browser.post("/who", headers=PROXY)).status_code == 200


async def test_the_first_answer_counts_and_a_session_comes_first(sqlite_url: str) -> None:
    """Who is logged in is not asked for by other means; an anonymous session does not hide a bearer."""
    async with known_by_headers(sqlite_url) as known:
        browser = client(site(known.auth))
        both = {**BEARER, "x-proxy-user": "bob"}
        assert (await browser.get("/who", headers=both)).json()[0] == "ann"
        assert known.proxy.asked == 0
        await log_in(browser, "bob")
        before = known.bearer.asked
        assert (await browser.get("/who", headers=BEARER)).json()[:2] == ["bob", ["authenticated"]]
        assert known.bearer.asked == before
        await browser.post(LOGOUT)
        assert (await browser.get("/who", headers=BEARER)).json()[0] == "ann"


async def test_D23_an_identity_that_is_inactive_is_nobody_and_one_that_cannot_be_told_is_503(sqlite_url: str) -> None:
    async with known_by_headers(sqlite_url) as known:
        browser = client(site(known.auth))
        await known.auth.users.update(await user_named(known.auth, "ann"), is_active=False)
        assert (await browser.get("/who", headers={**BEARER, "x-proxy-user": "bob"})).json() == NOBODY
        assert error(await browser.get("/who", headers={"x-bearer": "down"})) == (503, "unavailable")


async def test_a_bearer_who_logs_in_and_out_is_a_bearer_still(sqlite_url: str) -> None:
    """`request.user` is whoever the request is known as, at each moment."""

    async def through(request: Request) -> list[Any]:
        seen = [request.user.username]
        await request.auth.login(await known.auth.users.find("bob"))
        seen += [request.user.username, *request.auth.scopes]
        await request.auth.logout()
        return [*seen, request.user.username, *request.auth.scopes]

    async with known_by_headers(sqlite_url) as known:
        answer = await client(site(known.auth, through=through)).get("/through", headers=BEARER)
        assert answer.json() == ["ann", "bob", "authenticated", "ann", "authenticated", "drafts", "posts:write"]


# Where to, after a login


@pytest.mark.parametrize(
    ("query", "done", "step"),
    [
        ("", "/home", ""),
        ("?next=/posts/1%3Fpage%3D2", "/posts/1?page=2", "?next=/posts/1%3Fpage%3D2"),
        ("?next=/caf%C3%A9", "/caf%C3%A9", "?next=/caf%25C3%25A9"),
        ("?next=https://evil.example/", "/home", ""),
        ("?next=//evil.example/", "/home", ""),
        ("?next=/%5Cevil.example", "/home", ""),
        ("?next=javascript:alert(1)", "/home", ""),
        ("?next=/a&next=//evil.example", "/home", ""),
    ],
)
@pytest.mark.parametrize("root", ["", "/below"])
async def test_D19_redirect_after_login_stays_on_the_site(
    sqlite_url: str, query: str, done: str, step: str, root: str
) -> None:
    """303 to `next`, or home; where a step is missing, to its page, which gets `next` along."""
    users: dict[str, User] = {}

    async def enter(request: Request) -> Response:
        outcome: LoggedIn[User] | StepRequired = await request.auth.login(users[request.headers["x-user"]])
        response: Response = request.auth.redirect_after_login(outcome)
        return response

    feature = steps(Step("totp", applies=lambda user, attempt: user.username == "bob"))
    async with opened(sqlite_url, "ann", "bob", features=[feature], login_redirect_url="/home") as auth:
        users.update({name: await user_named(auth, name) for name in ("ann", "bob")})
        app = site(auth, enter=enter)
        browser = client(app, transport=httpx2.ASGITransport(app=app, root_path=root))
        locations = []
        for name in users:
            answer = await browser.get(f"/enter{query}", headers={"x-user": name})
            locations.append((answer.status_code, answer.headers["location"]))
    home = root + done if done == "/home" else done
    assert locations == [(303, home), (303, f"{root}/auth/steps/totp{step}")]
