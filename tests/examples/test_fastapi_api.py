"""`examples/fastapi_api`, used as a new user would, and its promises in detail."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import ModuleType
from typing import Any

import httpx2
import pytest
from sqlalchemy.engine import make_url

from asgiauth.testing import Client, client

from .conftest import PASSWORD, fresh, serving

WEAK = ["password_too_short", "password_too_common", "password_too_weak"]

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


def sqlalchemy_url(url: str) -> str:
    parsed = make_url(url)
    return parsed.set(drivername=DRIVERS[parsed.drivername]).render_as_string(hide_password=False)


@pytest.fixture
def example(url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """On each server."""
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(url))
    return fresh("fastapi_api")


def wish(username: str, **more: Any) -> dict[str, Any]:
    return {"username": username, "password": PASSWORD, "nickname": username.title(), **more}


async def register(browser: Client, username: str) -> None:
    assert (await browser.post("/register", json=wish(username))).status_code == 201
    credentials = {"username": username, "password": PASSWORD}
    assert (await browser.post("/api/auth/login", json=credentials)).status_code == 200


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["code"]


def test_the_example_as_its_docstring_says(url: str) -> None:
    """Register, log in, keep notes, log out; over real HTTP."""
    with (
        serving("fastapi_api", DATABASE_URL=sqlalchemy_url(url)) as (site, _),
        httpx2.Client(base_url=site, headers=SAME_ORIGIN, timeout=60) as browser,
    ):
        assert browser.get("/").json() == {"hello": "stranger"}
        for path in ("/me", "/notes", "/docs", "/openapi.json"):
            assert browser.get(path).status_code == 401
        member = browser.post("/register", json=wish("ann", email="Ann@Example.com")).json()
        assert member == {"id": member["id"], "username": "ann", "email": "Ann@example.com", "nickname": "Ann"}
        assert browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD}).status_code == 200
        assert browser.get("/").json() == {"hello": "ann"}
        assert browser.get("/me").json() == member
        note = browser.post("/notes", json={"text": "milk"}).json()
        assert browser.put(f"/notes/{note['id']}", json={"text": "bread"}).json() == {**note, "text": "bread"}
        assert browser.get(f"/notes/{note['id']}").json()["text"] == "bread"
        assert browser.get("/notes").json() == [{**note, "text": "bread"}]
        assert browser.delete(f"/notes/{note['id']}").status_code == 204
        assert code(browser.delete(f"/notes/{note['id']}")) == (404, "not_found")
        assert browser.get("/notes").json() == []
        assert "/api/auth/login" in browser.get("/openapi.json").json()["paths"]
        assert browser.post("/api/auth/logout").status_code == 204
        assert browser.get("/me").status_code == 401


async def test_a_profile_that_fails_leaves_no_user(example: ModuleType) -> None:
    """One transaction: the nickname is taken, so the user is not created either, and the name is free as before."""
    async with client(example.app) as browser:
        assert (await browser.post("/register", json=wish("ann"))).status_code == 201
        taken = await browser.post("/register", json=wish("bob", nickname="Ann"))
        assert code(taken) == (409, "user_exists")
        assert taken.json()["detail"]["fields"] == {"nickname": ["taken"]}
        assert await example.auth.users.find("bob") is None
        assert (await browser.post("/register", json=wish("bob"))).status_code == 201
        assert code(await browser.post("/register", json=wish("ANN", nickname="Other"))) == (409, "user_exists")


async def test_twenty_registrations_at_once_are_ten_members(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each nickname is asked for twice: one of the two is told so, and none of them has half an account."""
    hashed = await example.auth.passwords.hash(PASSWORD)

    async def hashed_already(password: str) -> Any:
        """Twenty real hashes at once are more than a busy machine does in time, which is a 503."""
        return hashed

    monkeypatch.setattr(example.auth.passwords, "hash", hashed_already)
    async with client(example.app) as browser:
        wishes = [wish(f"member{number}", nickname=f"Nick{number % 10}") for number in range(20)]
        answers = await asyncio.gather(*(browser.post("/register", json=wish) for wish in wishes))
        assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 10}
        names = {answer.json()["username"] for answer in answers if answer.status_code == 201}
        assert {user.username for user in (await example.auth.users.page()).items} == names


async def test_T22_anothers_note_is_unknown(example: ModuleType) -> None:
    bob = client(example.app)
    async with client(example.app) as ann:
        await register(ann, "ann")
        await register(bob, "bob")
        note = f"/notes/{(await ann.post('/notes', json={'text': 'milk'})).json()['id']}"
        assert code(await bob.get(note)) == (404, "not_found")
        assert code(await bob.put(note, json={"text": "mine"})) == (404, "not_found")
        assert code(await bob.delete(note)) == (404, "not_found")
        assert (await bob.get("/notes")).json() == []
        assert (await ann.get(note)).json()["text"] == "milk"


async def test_B10_2_a_note_is_shown_to_one_member_and_hidden_again(example: ModuleType) -> None:
    """Who was shown it reads it, and neither changes it nor shows it to others."""
    bob = client(example.app)
    async with client(example.app) as ann:
        await register(ann, "ann")
        await register(bob, "bob")
        note = (await ann.post("/notes", json={"text": "milk"})).json()
        path = f"/notes/{note['id']}"
        assert (await ann.put(f"{path}/readers/bob")).status_code == 204
        assert (await bob.get("/notes")).json() == [note]
        assert (await bob.get(path)).json() == note
        assert code(await bob.put(path, json={"text": "mine"})) == (404, "not_found")
        assert code(await bob.put(f"{path}/readers/ann")) == (404, "not_found")
        assert code(await ann.put(f"{path}/readers/nobody")) == (404, "not_found")
        assert (await ann.delete(f"{path}/readers/bob")).status_code == 204
        assert (await bob.get("/notes")).json() == []
        assert code(await bob.get(path)) == (404, "not_found")


async def test_B10_2_who_was_shown_a_note_does_not_see_the_next_one(example: ModuleType) -> None:
    """A key is never used twice, though the grant on the deleted note is still there."""
    bob = client(example.app)
    async with client(example.app) as ann:
        await register(ann, "ann")
        await register(bob, "bob")
        first = f"/notes/{(await ann.post('/notes', json={'text': 'milk'})).json()['id']}"
        await ann.put(f"{first}/readers/bob")
        assert (await ann.delete(first)).status_code == 204
        await ann.post("/notes", json={"text": "secret"})
        assert (await bob.get("/notes")).json() == []


async def test_notes_come_page_by_page(notes: ModuleType) -> None:
    async with client(notes.app) as browser:
        await register(browser, "ann")
        for number in range(5):
            await browser.post("/notes", json={"text": str(number)})
        first = (await browser.get("/notes", params={"limit": 3})).json()
        rest = (await browser.get("/notes", params={"after": first[-1]["id"]})).json()
        assert [note["text"] for note in [*first, *rest]] == ["0", "1", "2", "3", "4"]


async def test_the_staff_alone_list_users_and_see_no_hash(notes: ModuleType) -> None:
    async with client(notes.app) as browser:
        await register(browser, "ann")
        assert code(await browser.get("/users")) == (403, "permission_denied")
        ann = await notes.auth.users.find("ann")
        await notes.auth.permissions.grant(ann, "notes.list_members")
        assert [user["username"] for user in (await browser.get("/users")).json()] == ["ann"]
        await notes.auth.permissions.revoke(ann, "notes.list_members")
        assert code(await browser.get("/users")) == (403, "permission_denied")
        await notes.auth.users.update(await notes.auth.users.find("ann"), is_staff=True)
        answer = await browser.get("/users")
        assert [user["username"] for user in answer.json()] == ["ann"]
        assert "argon2" not in answer.text
        assert "password" not in answer.json()[0]


async def test_who_was_not_registered_here_has_no_profile(notes: ModuleType) -> None:
    async with client(notes.app) as browser:
        await notes.auth.users.create("ann", password=PASSWORD)
        await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert code(await browser.get("/me")) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "expected", "fields"),
    [
        (wish("ann", password="short"), (422, "password_rejected"), {"password": WEAK}),
        (wish("ann smith"), (422, "invalid_fields"), {"username": ["invalid_username"]}),
        (wish("ann", nickname=""), (422, "invalid_fields"), {"nickname": ["string_too_short"]}),
        (wish("ann", is_staff=True), (422, "invalid_fields"), {"is_staff": ["extra_forbidden"]}),
        ([], (422, "invalid_fields"), {"body": ["model_attributes_type"]}),
    ],
)
async def test_every_refusal_has_the_one_shape(
    notes: ModuleType, body: Any, expected: tuple[int, str], fields: dict[str, list[str]]
) -> None:
    async with client(notes.app) as browser:
        answer = await browser.post("/register", json=body)
        assert (code(answer), answer.json()["detail"]["fields"]) == (expected, fields)
        assert await notes.auth.users.find("ann") is None


async def test_a_body_that_is_no_text_is_refused_in_that_shape_too(notes: ModuleType) -> None:
    async with client(notes.app) as browser:
        answer = await browser.post("/register", content=b"\xff", headers={"Content-Type": "application/json"})
        assert code(answer) == (400, "invalid_body")


async def test_a_deleted_user_takes_notes_and_profile_along(example: ModuleType) -> None:
    async with client(example.app) as browser:
        await register(browser, "ann")
        await browser.post("/notes", json={"text": "milk"})
        await example.auth.users.delete(await example.auth.users.find("ann"))
        async with example.new_session() as session:
            assert (await session.scalars(example.select(example.Note.id))).all() == []
            assert (await session.scalars(example.select(example.Profile.user_id))).all() == []


def test_B11_the_document_names_the_schemes_and_every_refusal(notes: ModuleType) -> None:
    document = notes.app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"asgiauth_session", "asgiauth_bearer"}
    paths = document["paths"]
    assert set(paths["/notes/{note_id}"]["put"]["responses"]) == {"200", "400", "401", "403", "404", "422", "503"}
    assert set(paths["/register"]["post"]["responses"]) == {"201", "400", "401", "403", "409", "422", "503"}
    assert paths["/notes"]["get"]["security"] == [{"asgiauth_session": []}, {"asgiauth_bearer": []}]
    assert "security" not in paths["/register"]["post"]
