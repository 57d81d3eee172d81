"""What users that Django has made log in with, who have no rows in `asgiauth_identifier`: exact names, and an e-mail
address that nobody else has."""

from __future__ import annotations

import asyncio

import pytest

from asgiauth import Auth, User
from asgiauth.exceptions import UserExists

from ..databases import SERVERS
from ..sites import PASSWORD, connected
from ..users.helpers import count
from ..wire import watched
from .driving import Django, beside, log_in_here


async def names(auth: Auth, *identifiers: str) -> list[str | None]:
    found: list[User | None] = [await auth.users.find(identifier) for identifier in identifiers]
    return [None if user is None else user.username for user in found]


async def test_A1_1_whom_django_made_is_found_by_name_and_by_an_address_of_ones_own(django: Django, url: str) -> None:
    """In upper and lower case, and in either spelling of a domain; on MariaDB not by what its collation finds equal. An
    address of two active users is nobody's; nothing is written."""
    people = [
        ("Ann", "Ann@Example.com", True),
        ("bob", "one@example.com", True),
        ("bobby", "ONE@example.com", True),
        ("cat", "two@example.com", True),
        ("gone", "Two@Example.com", False),
        ("off", "off@example.com", False),
        ("Zoe", "zoe@b\u00fccher.example", True),
        ("noe", "noe@xn--bcher-kva.example", True),
        ("blank", "", True),
        ("odd", "no address", True),
        ("mail@example.com", "other@example.com", True),
    ]
    for username, email, is_active in people:
        await django("create_user", username, email=email, is_active=is_active)
    async with connected(url) as auth:
        assert await names(auth, *(username for username, _, _ in people)) == [username for username, _, _ in people]
        expected: dict[str, str | None] = {
            "Ann@Example.com": "Ann", "ann@example.com": "Ann", "ANN@EXAMPLE.COM": "Ann",
            "one@example.com": None, "ONE@example.com": None,
            "two@example.com": "cat", "off@example.com": None,
            "zoe@b\u00fccher.example": "Zoe", "ZOE@B\u00dcCHER.example": "Zoe",
            "noe@b\u00fccher.example": "noe", "noe@xn--bcher-kva.example": "noe",
            "zoe@bucher.example": None, "ann@ex\u00e4mple.com": None,
            "mail@example.com": "mail@example.com", "other@example.com": "mail@example.com",
            "": None, "no address": None, "@": None, "%@example.com": None, "a@example.com' OR 1=1 --": None, "\0@example.com": None,
        }  # fmt: skip
        assert dict(zip(expected, await names(auth, *expected), strict=True)) == expected
        assert await count(auth, "identifier") == 0


async def test_V025_an_address_is_not_another_one_that_the_server_makes_equal(django: Django, url: str) -> None:
    """PostgreSQL and MariaDB have `k` for the lower case of the sign for kelvin: that stranger is not Mike."""
    await django("create_user", "eve", email="mi\u212ae@example.com")
    async with connected(url) as auth:
        assert await names(auth, "mike@example.com", "MIKE@example.com", "mi\u212ae@example.com") == [None] * 3
        assert await names(auth, "eve") == ["eve"]
        await auth.users.create("mike", email="mike@example.com")
        assert await names(auth, "mike@example.com", "eve") == ["mike", "eve"]


async def test_A1_1_twins_that_django_made_keep_working_by_their_exact_names(
    django: Django, url: str, server: str
) -> None:
    """`Ann` and `ann`, with one address. Neither is refused, nor taken for the other. MariaDB lets nobody make them."""
    twins = ["Ann", "ann"] if server != "mysql" else ["Ann", "ann2"]
    for n, username in enumerate(twins):
        await django("create_user", username, email="ann@example.com", password=f"{PASSWORD} {n}")
    async with beside(url) as here:
        for n, username in enumerate(twins):
            browser = here.browser()
            assert not await log_in_here(browser, username, f"{PASSWORD} {1 - n}")
            assert await log_in_here(browser, username, f"{PASSWORD} {n}")
            assert await here.ask(browser, lambda request: request.user.username) == username
            assert not await log_in_here(here.browser(), "ann@example.com", f"{PASSWORD} {n}")
        await django("deactivate", twins[0])
        assert await log_in_here(here.browser(), "ann@example.com", f"{PASSWORD} 1")


async def test_A1_1_an_identifier_that_was_given_here_comes_before_an_address_that_django_gave(
    django: Django, url: str
) -> None:
    """It follows what Django changes: the address belongs to who has it now."""
    async with connected(url) as auth:
        ann = await auth.users.create("ann", email="ann@example.com")
        await django("create_user", "bob", email="ann@example.com")
        assert await names(auth, "ann@example.com", "bob", "ANN") == ["ann", "bob", "ann"]
        await django("change", "ann", email="else@example.com")
        assert await names(auth, "ann@example.com", "else@example.com") == ["bob", "ann"]
        await django("delete", "bob")
        assert await names(auth, "ann@example.com", "ann") == [None, ann.username]


async def test_A1_1_without_django_there_is_no_third_way(sqlite_django: Django, sqlite_url: str) -> None:
    await sqlite_django("create_user", "ann", email="ann@example.com")
    async with connected(sqlite_url, shared_with_django=False) as auth:
        assert await names(auth, "ann", "ann@example.com") == ["ann", None]


async def test_D_09_who_creates_a_user_gets_no_name_or_address_that_django_has_given(django: Django, url: str) -> None:
    """In whatever spelling, of inactive users too: else a stranger would take a known name, or the way in of somebody
    whose address is known. Twins that are there may change, but not into one another."""
    for username, email, is_active in (("Ann", "Ann@Example.com", True), ("off", "off@b\u00fccher.example", False)):
        await django("create_user", username, email=email, is_active=is_active)
    taken = [
        ("ann", "", "username"),
        ("ANN", "", "username"),
        ("OFF", "", "username"),
        ("new", "ann@example.com", "email"),
        ("new", "ANN@example.COM", "email"),
        ("new", "off@b\u00fccher.example", "email"),
        ("ann@example.com", "ann@example.com", "username"),
    ]
    async with connected(url) as auth:
        for username, email, field in taken:
            with pytest.raises(UserExists) as refused:
                await auth.users.create(username, email=email)
            assert (username, email, refused.value.field) == (username, email, field)
        new = await auth.users.create("new", email="new@example.com")
        for changes in ({"username": "aNN"}, {"email": "ann@EXAMPLE.com"}):
            with pytest.raises(UserExists):
                await auth.users.update(new, **changes)
        assert await django("usernames") == ["Ann", "new", "off"]
        ann = await auth.users.get_by(username="Ann")
        assert ann is not None
        assert (await auth.users.update(ann, username="ann", email="ann@example.com")).username == "ann"
        assert await names(auth, "ANN", "ann@example.com", "Ann@Example.com") == ["ann"] * 3


async def test_D_09_of_fifty_who_want_a_name_at_once_one_gets_it(django: Django, url: str) -> None:
    async with connected(url) as auth:
        spellings = [("ann", "ANN", "Ann", "aNN", "anN")[n % 5] for n in range(50)]
        done = await asyncio.gather(*map(auth.users.create, spellings), return_exceptions=True)
        assert [type(one) for one in done if not isinstance(one, User)] == [UserExists] * 49
        assert len(await django("usernames")) == 1


@pytest.mark.parametrize("server", [server for server in SERVERS if server != "sqlite"])
async def test_D_20_beside_django_known_and_unknown_cost_the_same_statement(
    django: Django, server: str, url: str
) -> None:
    """One, whoever is looked for and however."""
    await django("create_user", "bob", email="bob@example.com")
    async with watched(server, url) as (auth, statements):
        await auth.users.create("ann", email="ann@example.com")
        seen = []
        for identifier in (
            "bob",
            "bob@example.com",
            "ann",
            "ANN",
            "ann@example.com",
            "nobody",
            "no@example.com",
            "x" * 999,
        ):
            statements.clear()
            await auth.users.find(identifier)
            seen.append([statement.partition("WHERE")[0] for statement in statements if "auth_user" in statement])
        assert [len(one) for one in seen] == [1] * 8
        assert len({one[0] for one in seen}) == 1


async def test_A1_1_who_is_known_to_django_alone_logs_in_by_an_address(django: Django, url: str) -> None:
    await django("create_user", "ann", email="ann@example.com", password=PASSWORD)
    async with beside(url) as here:
        browser = here.browser()
        assert await log_in_here(browser, "Ann@example.com")
        assert await here.ask(browser, lambda request: request.user.username) == "ann"
