"""`auth.users`: getting, finding and listing."""

from __future__ import annotations

import uuid
from datetime import timedelta, timezone
from typing import Any

import pytest

from asgiauth import Auth, User
from asgiauth.exceptions import InvalidField

from .helpers import NOW, PASSWORD, changed_by_django, made_by_django


async def test_get_takes_an_id_as_a_number_or_as_a_path_spells_it(auth: Auth) -> None:
    """An id that cannot exist is None, never an error."""
    user = await auth.users.create("ann")
    assert [await auth.users.get(id_) for id_ in (user.id, str(user.id))] == [user, user]
    impossible = (
        -1, 0, user.id + 1, 2**31, 2**63, 10**30, -(10**30), "abc", "42", "", "1.0", "-1", " 1", "\u0661", "9" * 5000, "1\0",
        True, None, 1.5, float(user.id), object(), b"1", [user.id], {"id": 1}, user, uuid.uuid4(), "1 OR 1=1",
    )  # fmt: skip
    assert {repr(id_)[:40]: await auth.users.get(id_) for id_ in impossible} == {
        repr(id_)[:40]: None for id_ in impossible
    }


async def test_get_by_wants_exactly_one_exact_match(auth: Auth) -> None:
    """On every server: MariaDB's collation would also hand out what it finds equal."""
    rene = await auth.users.create("rene", email="r@example.com", first_name="Rene", last_name="X")
    accent = await auth.users.create("accent", first_name="Ren\u00e9", last_name="X", last_login=NOW)
    for name in ("capital", "blank"):
        await auth.users.create(name, first_name={"capital": "RENE", "blank": "Rene "}[name])
    found: dict[str, User | None] = {
        "email": await auth.users.get_by(email="r@example.com"),
        "id": await auth.users.get_by(id=rene.id),
        "first_name": await auth.users.get_by(first_name="Rene"),
        "accent": await auth.users.get_by(first_name="Ren\u00e9"),
        "last_login": await auth.users.get_by(last_login=NOW.astimezone(timezone(timedelta(hours=-8)))),
    }
    assert found == {"email": rene, "id": rene, "first_name": rene, "accent": accent, "last_login": accent}
    nobody: list[dict[str, Any]] = [
        {"last_name": "X"}, {"first_name": "ren\u00e9"}, {"first_name": "REN\u00c9"}, {"email": "R@example.com"}, {"username": "Rene"}, {"username": None},
        {"username": 0}, {"username": "\0"}, {"username": "\ud800"}, {"username": "x" * 1000}, {"id": "1"}, {"id": True}, {"id": 2**63},
        {"is_active": "yes"}, {"is_active": 1}, {"last_login": "2026-03-04"}, {"last_login": NOW.replace(tzinfo=None)}, {"last_login": None},
    ]  # fmt: skip
    assert {repr(query)[:60]: await auth.users.get_by(**query) for query in nobody} == {
        repr(query)[:60]: None for query in nobody
    }


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"username": "a", "email": "b"},
        *({name: "a"} for name in ("password", "nosuch", "id__in", "password__startswith", "_connector", "pk", "*")),
    ],
)
async def test_get_by_takes_the_name_of_a_field_and_nothing_else(sqlite_auth: Auth, query: dict[str, str]) -> None:
    """V-034: a dictionary from outside must not become a query of its own, nor an oracle for hashes."""
    with pytest.raises(TypeError, match="get_by"):
        await sqlite_auth.users.get_by(**query)


async def test_find_takes_any_spelling_of_any_identifier(sqlite_auth: Auth) -> None:
    ann = await sqlite_auth.users.create("Ann", email="Ann.Lee@B\u00fccher.example")
    bob = await sqlite_auth.users.create("bob")
    spellings = [
        "Ann",
        "ann",
        "ANN",
        "ann.lee@b\u00fccher.example",
        "ANN.LEE@B\u00dcCHER.EXAMPLE",
        "ann.lee@xn--bcher-kva.example",
    ]
    assert [await sqlite_auth.users.find(spelling) for spelling in spellings] == [ann] * len(spellings)
    assert await sqlite_auth.users.find("\uff42ob") == bob  # row A2.14: Django stores, and so looks for, the NFKC form


async def test_find_finds_nobody_by_what_is_no_identifier(auth: Auth) -> None:
    """T11: no text is an error, and blank is nobody, even where a row of Django's has a blank name."""
    await auth.users.create("ann", email="ann@example.com")
    await made_by_django(auth, "")
    texts = [
        "",
        " ",
        "ann ",
        " ann",
        "ann\n",
        "ann\0",
        "an",
        "a%",
        "_nn",
        "\ud800",
        "a\u0301nn",
        "x" * 151,
        "x" * 255,
        "ann@",
        "@example.com",
    ]
    texts += ["ann@example.com\0", "%", "' OR 1=1 --", "\u00bd" * 1_000_000]
    junk: list[Any] = [None, 0, False, True, b"ann", ["ann"], {"username": "ann"}, object()]
    assert [ascii(text)[:40] for text in [*texts, *junk] if await auth.users.find(text) is not None] == []


async def test_identifiers_that_django_has_changed_are_ignored_and_repaired(auth: Auth) -> None:
    ann = await auth.users.create("ann", email="ann@example.com")
    await changed_by_django(auth, ann, username="Anna", email="anna@example.com")
    assert await auth.users.find("Anna") == ann
    assert [await auth.users.find(old) for old in ("ann", "ANN@example.com")] == [None, None]
    assert [await auth.users.find(new) for new in ("anna", "ANNA", "Anna@example.com")] == [ann] * 3
    heir = await auth.users.create("ann", email="ann@example.com")
    assert await auth.users.find("ann@EXAMPLE.com") == heir
    await changed_by_django(auth, heir, email="")  # nobody looks, and it is free for the next one all the same
    assert await auth.users.find("ANN@example.com") is None
    await changed_by_django(auth, ann, email="")
    last = await auth.users.create("last", email="Anna@example.com")
    assert await auth.users.find("anna@example.com") == last
    assert await auth.users.find("ANNA") == ann


async def test_twins_that_django_made_keep_working_by_exact_name(sqlite_auth: Auth) -> None:
    """DESIGN 4: neither is refused nor merged (MariaDB's own unique index refuses the second one)."""
    auth = sqlite_auth
    first, second = await made_by_django(auth, "Bob"), await made_by_django(auth, "bob", email="b@example.com")
    assert [await auth.users.find(name) for name in ("Bob", "bob")] == [first, second]
    first = await auth.users.update(first, email="Bob@example.com")
    second = await auth.users.update(second, email="twin@example.com")
    assert [user.email for user in (first, second)] == ["Bob@example.com", "twin@example.com"]
    assert [await auth.users.find(name) for name in ("Bob", "bob", "twin@example.com")] == [first, second, second]
    second = await auth.users.update(second, first_name="Twin")
    second = await auth.users.set_password(second, PASSWORD)
    assert await auth.users.check_password(second, PASSWORD)
    assert await auth.users.find("BOB") == first
    await auth.users.delete(first)
    assert await auth.users.find("bob") == second


async def test_a_name_that_only_django_allows_keeps_working(auth: Auth) -> None:
    """Only what changes is validated, so the name stays; and what MariaDB's collation finds equal to it is not."""
    rene = await auth.users.create("rene", email="rene@example.com")
    spellings = ("ren\u00e9", "rene ", "R\u00e9n\u00e9", "ren\u00e9@example.com")
    assert [await auth.users.find(name) for name in spellings] == [None] * 4
    await auth.users.delete(rene)
    for name in ("ren\u00e9", "me@home", "two words", "x" * 150):
        user = await made_by_django(auth, name, email="old@example.com")
        assert await auth.users.find(name) == user
        changed = await auth.users.update(user, first_name="Ren\u00e9", is_staff=True)
        assert (changed.username, changed.first_name, changed.is_staff) == (name, "Ren\u00e9", True)
    assert await auth.users.find("rene") is None


async def test_page_searches_parts_of_names_literally_and_in_any_case(auth: Auth) -> None:
    names = {"ann": "100%", "bob": "a_b", "carl": "back\\slash", "dora": "Fr\u00e4nzi O'Hara", "emil": "x/y"}
    for username, first_name in names.items():
        await auth.users.create(username, email=f"{username}@Example.com", first_name=first_name, last_name="Smith")
    searches = {
        "%": ["ann"], "_": ["bob"], "a_b": ["bob"], "\\": ["carl"], "/": ["emil"], "'": ["dora"], "fr\u00e4nzi o": ["dora"], "CARL": ["carl"],
        "OB@example": ["bob"], "smith": list(names), "": list(names), "nobody": [], "\0": [], "\ud800": [], "%%": [], "x" * 10_000: [],
    }  # fmt: skip
    found = {}
    for search in searches:
        found[search] = [user.username for user in (await auth.users.page(search=search)).items]
    assert found == searches


async def test_page_filters_by_group_and_by_active(auth: Auth) -> None:
    """The group by its exact name, as rows of Django's say it."""
    ann, bob, carl = [await auth.users.create(name, is_active=name != "carl") for name in ("ann", "bob", "carl")]
    async with auth._database.unit() as unit:
        editors, others = [await unit.insert(auth.tables.group, {"name": name}) for name in ("\u00c9diteurs", "others")]
        for user, group in ((ann, editors), (carl, editors), (ann, others), (bob, others)):
            await unit.insert(auth.tables.user_groups, {"user_id": user.id, "group_id": group})
    wanted: list[tuple[dict[str, Any], list[User]]] = [
        ({"active": True}, [ann, bob]),
        ({"active": False}, [carl]),
        ({"group": "\u00c9diteurs"}, [ann, carl]),
        ({"group": "others"}, [ann, bob]),
        ({"group": "\u00c9diteurs", "active": True, "search": "A"}, [ann]),
        *(({"group": name}, []) for name in ("none", "", "%", "\0", "\ud800", "x" * 500)),
    ]
    found = [(query, list((await auth.users.page(**query)).items)) for query, _ in wanted]
    assert found == wanted


async def test_page_walks_all_users_once_in_the_order_of_their_ids(sqlite_auth: Auth) -> None:
    users = [await sqlite_auth.users.create(f"u{number}") for number in range(30)]
    for limit in (1, 7, 30, 31, 1000):
        seen: list[User] = []
        after = None
        while True:
            page = await sqlite_auth.users.page(after=after, limit=limit)
            seen += page.items
            assert len(page.items) <= limit
            after = page.next
            if after is None:
                break
            await sqlite_auth.users.page(after=str(after), limit=1)
        assert seen == users
    assert (await sqlite_auth.users.page(after=users[-1].id)).items == []
    await sqlite_auth.users.delete(users[3])
    assert (await sqlite_auth.users.page(after=users[3].id, limit=2)).items == users[4:6]


@pytest.mark.parametrize(
    ("option", "value"),
    [*(("limit", value) for value in (0, -1, 1001)), *(("after", value) for value in ("x", 2**31, True, 1.5, "\0"))],
)
async def test_page_refuses_what_is_out_of_range(sqlite_auth: Auth, option: str, value: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        await sqlite_auth.users.page(**{option: value})
    assert refused.value.field == option
