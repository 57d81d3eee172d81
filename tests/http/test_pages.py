"""The pages, used as people use them: a form is sent, a page is read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asgiauth import Auth
from asgiauth.exceptions import ConfigurationError, LoginRefused, PasswordRejected, Reason, TooManyAttempts, Unavailable
from asgiauth.testing import Client, Clock, client

from ..conftest import make_auth
from ..login.helpers import Extension
from .paging import BROWSER, CHANGE, CHANGED, LOGIN, LOGOUT, PASSWORD, SESSIONS, Page, log_in, site, where


@pytest.fixture
async def browser(sqlite_auth: Auth) -> AsyncIterator[Client]:
    """At a site where Ann, Bob and Gone are known; Gone is not active."""
    for name in ("ann", "bob"):
        await sqlite_auth.users.create(name, password=PASSWORD, email=f"{name}@site.example")
    await sqlite_auth.users.create("gone", password=PASSWORD, is_active=False)
    async with client(site(sqlite_auth), headers=BROWSER) as browser:
        yield browser


async def test_A11_1_the_pages_have_djangos_names(sqlite_auth: Auth) -> None:
    app = site(sqlite_auth)
    names = ("login", "logout", "password_change", "password_change_done", "sessions", "sessions_revoke_others")
    paths = [LOGIN, LOGOUT, CHANGE, CHANGED, SESSIONS, f"{SESSIONS}/revoke_others"]
    assert [app.url_path_for(name) for name in names] == paths
    assert app.url_path_for("sessions_revoke", id="1f") == f"{SESSIONS}/1f/revoke"


async def test_the_whole_way_in_and_out(auth: Auth) -> None:
    """On each server: log in, see the devices, change the password, log out."""
    await auth.users.create("ann", password=PASSWORD)
    async with client(site(auth), headers=BROWSER) as browser:
        assert where(await browser.get(SESSIONS)) == (303, f"{LOGIN}?next={SESSIONS}")
        page = Page(await browser.get(f"{LOGIN}?next={SESSIONS}"))
        assert page.hidden()["next"] == SESSIONS
        credentials = {"username": "ann", "password": PASSWORD}
        assert where(await browser.post(LOGIN, data={**credentials, **page.hidden()})) == (303, SESSIONS)
        assert "This device" in Page(await browser.get(SESSIONS)).texts("span")
        changed = await browser.post(CHANGE, data={"old_password": PASSWORD, "new_password": "battery staple"})
        assert where(changed) == (303, CHANGED)
        assert (await browser.get("/")).text == "ann"
        assert where(await browser.post(LOGOUT)) == (303, "/")
        assert (await browser.get("/")).text == "nobody"
        assert (await browser.post(LOGIN, data=credentials)).status_code == 200
        assert (await browser.post(LOGIN, data={**credentials, "password": "battery staple"})).status_code == 303


async def test_A11_3_the_login_page_can_be_filled_in_by_a_password_manager(browser: Client) -> None:
    """WHATWG HTML, autofill; and nothing keeps one from pasting (ASVS 6.2.7)."""
    answer = await browser.get(LOGIN)
    page = Page(answer)
    assert page.texts("title") == page.texts("h1") == ["Log in"]
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("post", LOGIN)
    inputs = page.inputs()
    assert list(inputs) == ["csrf_token", "username", "password", "remember"]
    assert inputs["username"].items() >= {"type": "text", "autocomplete": "username", "autofocus": None}.items()
    assert inputs["username"].items() >= {"autocapitalize": "none", "spellcheck": "false", "value": ""}.items()
    assert inputs["password"].items() >= {"type": "password", "autocomplete": "current-password"}.items()
    assert "value" not in inputs["password"]
    assert {one["for"] for one in page.all("label")} == {"username", "password", "remember"}
    assert page.all("script") == []
    assert page.all("link") == []
    assert page.alert == ""
    assert [link["href"] for link in page.all("a")] == ["/"]


async def test_D20_a_wrong_login_shows_the_form_again_without_the_password(browser: Client) -> None:
    """One answer for a wrong password, an unknown and an inactive user."""
    credentials = {"username": "ann", "password": "wrong", "remember": "on", "next": "/x"}
    pages = []
    for name in ("ann", "nobody", "gone"):
        password = PASSWORD if name == "gone" else "wrong"
        answer = await browser.post(LOGIN, data={**credentials, "username": name, "password": password})
        page = Page(answer)
        assert answer.status_code == 200
        assert page.alert == "Invalid username or password."
        assert page.texts("title") == ["Not yet: Log in"]
        inputs = page.inputs()
        assert (inputs["username"]["value"], inputs["next"]["value"]) == (name, "/x")
        assert "checked" in inputs["remember"]
        assert "autofocus" in inputs["password"]
        assert inputs["password"]["aria-describedby"] == "problems"
        assert "value" not in inputs["password"]
        assert password not in answer.text
        pages.append(page.outline)
    assert pages[0] == pages[1] == pages[2]
    assert (await browser.get("/")).text == "nobody"


async def test_A11_5_next_of_the_form_comes_before_that_of_the_address(browser: Client) -> None:
    assert where(await log_in(browser, next="/a?b=c")) == (303, "/a?b=c")
    answer = await browser.post(f"{LOGIN}?next=/q", data={"username": "ann", "password": PASSWORD, "next": "/f"})
    assert where(answer) == (303, "/f")
    answer = await browser.post(f"{LOGIN}?next=/q", data={"username": "ann", "password": PASSWORD})
    assert where(answer) == (303, "/q")
    assert where(await log_in(browser)) == (303, "/")


async def test_A11_4_who_is_logged_in_may_log_in_as_somebody_else(browser: Client) -> None:
    """As Django's default: the page does not tell an image of another site whether somebody is logged in."""
    await log_in(browser)
    assert (await browser.get(LOGIN)).status_code == 200
    await log_in(browser, "bob")
    assert (await browser.get("/")).text == "bob"


async def test_remember_keeps_the_cookie_when_the_browser_closes(browser: Client) -> None:
    assert "Max-Age" not in (await log_in(browser)).headers["set-cookie"]
    assert "Max-Age" in (await log_in(browser, remember="on")).headers["set-cookie"]


async def test_what_is_missing_or_too_long_is_told_at_its_field(browser: Client) -> None:
    answer = await browser.post(LOGIN, data={"username": "x" * 255})
    page, inputs = Page(answer), Page(answer).inputs()
    assert answer.status_code == 422
    assert page.alert == "Please correct this:"
    assert [inputs[name]["aria-describedby"] for name in ("username", "password")] == [
        "username-problem",
        "password-problem",
    ]
    assert [one.get("aria-invalid") for one in inputs.values()] == [None, "true", "true", None]
    assert {"This is too long.", "Fill this in."} <= set(page.texts("p"))
    assert ["autofocus" in one for one in inputs.values()] == [False, True, False, False]
    assert {one["id"] for one in page.all("div") if one.get("class") == "problem"} == {
        "username-problem",
        "password-problem",
    }


class Strict:
    """A guard that refuses as it is told."""

    refusal: Exception

    async def admit(self, attempt: object) -> None:
        raise self.refusal


@pytest.mark.parametrize(
    ("refusal", "status", "says"),
    [
        (TooManyAttempts(retry_after=7), 429, "Too many attempts. Try again in a minute."),
        (TooManyAttempts(retry_after=61), 429, "Too many attempts. Try again in 2 minutes."),
        (TooManyAttempts(retry_after=5401), 429, "Too many attempts. Try again in 2 hours."),
        (LoginRefused("not on Sundays"), 200, "This account cannot log in."),
    ],
)
async def test_a_guard_that_refuses_is_told_in_the_form(
    sqlite_url: str, refusal: TooManyAttempts | LoginRefused, status: int, says: str
) -> None:
    guard = Strict()
    guard.refusal = refusal
    auth = make_auth(sqlite_url, features=[Extension(login_guards=[guard])])
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        answer = await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD})
        assert (answer.status_code, Page(answer).alert) == (status, says)
        assert Page(answer).inputs()["username"]["value"] == "ann"
        if isinstance(refusal, TooManyAttempts):
            assert answer.headers["retry-after"] == str(refusal.retry_after)


async def test_a_service_that_is_down_is_a_page_too(sqlite_url: str) -> None:
    """503, with the way back; nothing of what is wrong (D-23)."""
    guard = Strict()
    guard.refusal = Unavailable("the disk is full", retry_after=30)
    auth = make_auth(sqlite_url, features=[Extension(login_guards=[guard])])
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        answer = await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        page = Page(answer)
        assert page.alert == "The service is unavailable for the moment. Try again."
        assert page.all("a")[0] == {"class": "button", "href": LOGIN}
        assert "the disk" not in answer.text


async def test_A11_7_D25_logout_is_a_post_and_clears_what_the_browser_stored(
    sqlite_auth: Auth, browser: Client
) -> None:
    await log_in(browser)
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        answer = await browser.request(method, LOGOUT)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await browser.get("/")).text == "ann"
    answer = await browser.post(LOGOUT)
    assert where(answer) == (303, "/")
    assert answer.headers["clear-site-data"] == '"storage"'
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await browser.get("/")).text == "nobody"
    assert where(await browser.post(LOGOUT, data={"next": "/bye"})) == (303, "/bye")  # without a session too (A7.6)
    assert where(await browser.post(f"{LOGOUT}?next=//evil.example")) == (303, "/")


async def test_A11_7_A11_8_logout_leads_where_the_configuration_says(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, logout_redirect_url="/auth/login")
    async with auth, client(site(auth), headers=BROWSER) as browser:
        assert where(await browser.post(LOGOUT)) == (303, LOGIN)


async def test_A11_15_the_password_change_says_everything_that_is_wrong(browser: Client) -> None:
    await log_in(browser)
    page = Page(await browser.get(CHANGE))
    assert [one.get("autocomplete") for one in page.all("input")] == [
        None,
        "username",
        "current-password",
        "new-password",
        None,
    ]
    assert page.all("input")[1]["value"] == "ann"  # hidden: whose password a manager shall replace
    assert page.inputs()["new_password"]["aria-describedby"] == "new_password-rules"
    assert "At least 8 characters." in page.texts("li")
    for old, new, said in (
        ("wrong", "battery staple", ["This is not your present password."]),
        (PASSWORD, "short", ["Use at least 8 characters."]),
        (PASSWORD, "x" * 1025, ["Use at most 1024 bytes."]),
        ("", "", ["Fill this in.", "Fill this in."]),
    ):
        answer = await browser.post(CHANGE, data={"old_password": old, "new_password": new})
        page = Page(answer)
        assert answer.status_code == 422
        assert page.texts("p") == said
        assert page.inputs()["new_password"].get("aria-describedby", "").endswith("new_password-rules")  # type: ignore[union-attr]
        assert all("value" not in one for name, one in page.inputs().items() if name != "csrf_token")
    assert (await browser.post(CHANGE, data={"old_password": PASSWORD, "new_password": "battery"})).status_code == 422


async def test_a_rule_of_the_application_is_told_in_general_words(sqlite_url: str) -> None:
    """A code without a text of its own, and one of ours without its number."""

    class NoHorses:
        async def validate(self, password: str, user: object) -> None:
            if "horse" in password:
                raise PasswordRejected([Reason("no_horses"), Reason("password_too_short", {"field": 1, "code": 2})])

    auth = make_auth(sqlite_url, features=[Extension(password_validators=[NoHorses()])])
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD, validate=False)
        await log_in(browser)
        answer = await browser.post(CHANGE, data={"old_password": PASSWORD, "new_password": "horses, horses"})
        assert Page(answer).texts("p") == ["This is not valid.", "Use at least … characters."]


async def test_A11_15_the_other_devices_are_logged_out_by_a_new_password(sqlite_auth: Auth, browser: Client) -> None:
    await log_in(browser)
    async with client(browser.app, headers=BROWSER) as elsewhere:
        await log_in(elsewhere)
        await browser.post(CHANGE, data={"old_password": PASSWORD, "new_password": "battery staple"})
        assert (await elsewhere.get("/")).text == "nobody"
        assert where(await elsewhere.get(CHANGED)) == (303, f"{LOGIN}?next={CHANGED}")
    done = await browser.get(CHANGED)
    assert Page(done).texts("h1") == Page(done).texts("title") == ["Password changed"]
    assert [link["href"] for link in Page(done).all("a")] == [SESSIONS, CHANGE, "/"]
    assert (await browser.post(CHANGED)).headers["allow"] == "GET, HEAD"


async def test_one_sees_and_ends_ones_own_sessions(sqlite_auth: Auth, browser: Client) -> None:
    firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    await log_in(browser)
    assert [form["action"] for form in Page(await browser.get(SESSIONS)).all("form")] == [LOGOUT]
    async with client(browser.app, headers={"User-Agent": firefox, **BROWSER}) as other, client(browser.app) as third:
        await log_in(other)
        await log_in(third)
        page = Page(await browser.get(SESSIONS))
        assert sorted(page.texts("strong")) == ["Firefox, Windows", "python-httpx2", "python-httpx2"]
        assert page.texts("span") == ["This device"]
        buttons = [one.get("aria-label") for one in page.all("button")]
        assert sorted(filter(None, buttons)) == ["Log out: Firefox, Windows", "Log out: python-httpx2"]
        *actions, logout = [str(form["action"]) for form in page.all("form")]
        assert logout == LOGOUT
        assert actions[-1] == f"{SESSIONS}/revoke_others"
        revoke = actions[buttons.index("Log out: Firefox, Windows")]
        assert where(await browser.post(revoke)) == (303, SESSIONS)
        assert (await other.get("/")).text == "nobody"
        assert (await third.get("/")).text == "ann"
        again = await browser.post(revoke)
        assert (again.status_code, Page(again).alert) == (404, "There is nothing here.")
        assert Page(again).all("a")[0]["href"] == SESSIONS
        assert where(await browser.post(actions[-1])) == (303, SESSIONS)
        assert (await third.get("/")).text == "nobody"
    assert (await browser.get("/")).text == "ann"


async def test_T22_another_ones_session_is_as_unknown_as_none(sqlite_auth: Auth, browser: Client) -> None:
    await log_in(browser)
    (own,) = await sqlite_auth.sessions.list(await sqlite_auth.users.get_by(username="ann"))  # type: ignore[arg-type]
    async with client(browser.app, headers=BROWSER) as bobs:
        await log_in(bobs, "bob")
        anns = await bobs.post(f"{SESSIONS}/{own.id}/revoke")
        nobodys = await bobs.post(f"{SESSIONS}/{'0' * len(own.id)}/revoke")
        assert anns.status_code == nobodys.status_code == 404
        assert Page(anns).texts("p") == Page(nobodys).texts("p")
        assert (await browser.get("/")).text == "ann"
    answer = await browser.post(f"{SESSIONS}/{own.id}/revoke")  # one's own present one is a logout
    assert where(answer) == (303, SESSIONS)
    assert (await browser.get("/")).text == "nobody"


async def test_a_form_sent_after_the_session_has_ended_leads_to_the_login(sqlite_url: str) -> None:
    clock = Clock()
    auth = make_auth(sqlite_url, clock=clock)
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        await log_in(browser)
        clock.advance(days=365)
        for path in (CHANGE, f"{SESSIONS}/revoke_others", f"{SESSIONS}/abc/revoke"):
            assert where(await browser.post(path, data={"old_password": PASSWORD})) == (303, LOGIN)


async def test_a_script_that_asks_for_a_page_is_told_in_json(browser: Client) -> None:
    answer = await browser.get(SESSIONS, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "not_authenticated")


async def test_the_pages_need_the_middleware(sqlite_auth: Auth) -> None:
    async with client(site(sqlite_auth, middleware=[]), base_url="https://site.example") as browser:
        with pytest.raises(ConfigurationError, match="pages need the middleware"):
            await browser.get(LOGIN)
