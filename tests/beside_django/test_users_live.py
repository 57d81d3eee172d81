"""A1.1, A2: users that either side makes, changes, stops or deletes are the other's at its next request."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from asgiauth.exceptions import Conflict, UserExists

from ..sites import PASSWORD
from .driving import (
    Django,
    DjangoError,
    beside,
    both,
    log_in_at_django,
    log_in_here,
    log_in_on_our_page,
    submit,
    who,
)


async def test_A2_1_a_user_that_django_made_logs_in_here(django: Django, url: str) -> None:
    """By name or address, as JSON or on the page; it is the same user, and Django sees the login."""
    created = await django(
        "create_user", "ann", email="Ann@EXAMPLE.com", password=PASSWORD, first_name="Zoë", last_name="\U0001f511"
    )
    async with beside(url) as site:
        browser = both(django, site.app)
        assert not await log_in_here(browser, "ann", "wrong")
        assert not await log_in_here(browser, "Ann2")
        for log_in in (log_in_here, log_in_on_our_page):
            assert await log_in(browser, "ann"), log_in
            assert await who(browser, site) == ("", "ann")
            assert (await browser.post("/api/auth/logout")).status_code == 204
            assert await who(browser, site) == ("", "")
        assert await log_in_here(browser, "ann@example.com")
        user = await site.auth.users.get_by(username="ann")
        row = await django("user", "ann")
        assert user is not None
        assert user.as_dict() == {name: row[name] for name in user.as_dict()}
        assert (user.id, user.email, user.first_name) == (created, "Ann@example.com", "Zoë")
        assert user.last_login is not None
        assert await django("authenticate", "ann", PASSWORD) == "ann"


async def test_A2_2_a_user_that_asgiauth_made_logs_in_at_django(django: Django, url: str) -> None:
    """By `authenticate()`, by the test client and on the page; a superuser enters the admin."""
    async with beside(url) as site:
        users = site.auth.users
        ann = await users.create("ann", email="ann@EXAMPLE.com", password=PASSWORD, first_name="Zoë")
        await users.create_superuser("root", password=PASSWORD)
        await users.create("nobody")
        assert [await django("authenticate", name, PASSWORD) for name in ("ann", "root", "nobody")] == [
            "ann",
            "root",
            None,
        ]
        assert await django("authenticate", "ann", "wrong") is None
        assert await django("client_login", "ann", PASSWORD) != ""
        assert await django("client_login", "nobody", "!") == ""
        browser = both(django, site.app)
        assert await log_in_at_django(browser, "ann")
        assert await who(browser, site) == ("ann", "")
        assert (await browser.get("/django/admin/")).status_code == 302
        assert await log_in_at_django(browser, "root")
        assert (await browser.get("/django/admin/")).status_code == 200
        now = await users.get(ann.id)
        row = await django("user", "ann")
        assert now is not None
        assert now.last_login is not None
        assert now.as_dict() == {name: row[name] for name in now.as_dict()}
        assert now.as_dict() == {**ann.as_dict(), "last_login": row["last_login"]}


async def test_A2_6_what_django_changes_the_next_request_has(django: Django, url: str) -> None:
    """Of a session that goes on; and who is asked for by the old name or address is nobody."""
    await django("create_user", "ann", email="ann@example.com", password=PASSWORD)
    async with beside(url) as site:
        browser = both(django, site.app)
        assert await log_in_here(browser, "ann@example.com")
        seen = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
        await django(
            "change", "ann", username="anna", email="anna@example.com", is_staff=True, last_login=seen.isoformat()
        )
        assert await who(browser, site) == ("", "anna")
        fields = await site.ask(browser, lambda request: [request.user.email, request.user.is_staff])
        assert fields == ["anna@example.com", True]
        other = both(django, site.app)
        tries = ("ann", "ann@example.com", "anna", "anna@example.com")
        assert [await log_in_here(other, name) for name in tries] == [False, False, True, True]
        assert (await site.auth.users.create("ann", email="ann@example.com", password=PASSWORD)).username == "ann"


async def test_A2_6_what_asgiauth_changes_django_has(django: Django, url: str) -> None:
    """At the next request of its session too."""
    async with beside(url) as site:
        users = site.auth.users
        ann = await users.create("ann", email="ann@example.com", password=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_at_django(browser)
        joined = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
        changed = await users.update(
            ann, username="anna", email="anna@example.com", is_superuser=True, date_joined=joined
        )
        assert await who(browser, site) == ("anna", "")
        row = await django("user", "anna")
        assert {name: row[name] for name in changed.as_dict()} == {
            **changed.as_dict(),
            "last_login": row["last_login"],
        }
        assert row["date_joined"] == joined.isoformat()
        assert [await django("authenticate", name, PASSWORD) for name in ("ann", "anna")] == [None, "anna"]


async def test_A6_10_who_is_stopped_on_either_side_is_out_on_both(django: Django, url: str) -> None:
    """At the next request, and may not log in again until somebody lets them, again on either side."""
    async with beside(url) as site:
        users = site.auth.users
        ann = await users.create("ann", password=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_at_django(browser)
        assert await log_in_here(browser)
        await django("deactivate", "ann")
        assert await who(browser, site) == ("", "")
        assert not await log_in_here(browser)
        assert not await log_in_at_django(browser)
        await users.update(ann, is_active=True)
        assert await log_in_at_django(browser)
        assert await log_in_here(browser)
        await users.update(ann, is_active=False)
        assert await who(browser, site) == ("", "")
        assert await django("authenticate", "ann", PASSWORD) is None
        await django("change", "ann", is_active=True)
        assert await log_in_at_django(browser)
        assert await log_in_here(browser)
        assert await who(browser, site) == ("ann", "ann")


async def test_who_is_deleted_on_either_side_is_nobody_on_both(django: Django, url: str) -> None:
    """The name and the address are free again, and whoever takes them has nothing of the former user's."""
    async with beside(url) as site:
        users, permissions = site.auth.users, site.auth.permissions
        ann = await users.create("ann", email="ann@example.com", password=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_at_django(browser)
        assert await log_in_here(browser)
        await permissions.grant(ann, "blog.add_post")
        await django("delete", "ann")
        assert await who(browser, site) == ("", "")
        assert not await log_in_here(browser)
        assert await users.get(ann.id) is None
        assert await users.find("ann@example.com") is None
        again = await users.create("ann", email="ann@example.com", password=PASSWORD)
        assert await permissions.of(again) == frozenset()
        assert await log_in_at_django(browser)
        assert await log_in_here(browser)
        await users.delete(again)
        assert await who(browser, site) == ("", "")
        assert await django("user", "ann") is None
        await django("create_user", "ann", email="ann@example.com", password=PASSWORD)
        assert await django("permissions_of", "ann") == []
        assert await log_in_here(browser, "ann@example.com")


async def test_a_user_whom_other_rows_of_djangos_name_is_not_deleted_here(django: Django, url: str) -> None:
    """Django asks its models what to do with them; asgiauth does not know these. Nothing is lost, half or whole."""
    async with beside(url) as site:
        users = site.auth.users
        ann = await users.create("ann", password=PASSWORD)
        await site.auth.permissions.grant(ann, "blog.add_post")
        browser = both(django, site.app)
        assert await log_in_here(browser)
        await django.run("from blog.models import Post\nPost.objects.create(title='x', author_id=id)", id=ann.id)
        with pytest.raises(Conflict):
            await users.delete(ann)
        assert await who(browser, site) == ("", "ann")
        assert await django("permissions_of", "ann") == ["blog.add_post"]
        await django("delete", "ann")
        assert await who(browser, site) == ("", "")


async def test_a_name_is_taken_on_both_sides(django: Django, url: str) -> None:
    """Django's own unique index says so there; here `UserExists` does, with the field."""
    await django("create_user", "ann", email="ann@example.com", password=PASSWORD)
    async with beside(url) as site:
        users = site.auth.users
        with pytest.raises(UserExists) as refused:
            await users.create("ann", password=PASSWORD)
        assert refused.value.field == "username"
        await users.create("bob", email="bob@example.com", password=PASSWORD)
        with pytest.raises(DjangoError, match="IntegrityError"):
            await django("create_user", "bob")
        assert await django("usernames") == ["ann", "bob"]


async def test_A18_1_A18_2_django_commands_make_and_change_users_for_both(django: Django, url: str) -> None:
    """`createsuperuser` and `changepassword`, asked and unasked."""
    environment = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    async with beside(url) as site:
        browser = both(django, site.app)
        asked = await django("command", "createsuperuser", replies=["root", "root@example.com", PASSWORD, PASSWORD])
        assert "Superuser created successfully." in asked
        await django(
            "command", "createsuperuser", environment=environment, interactive=False, username="boss", email="b@c.de"
        )
        for name in ("root", "root@example.com", "boss"):
            assert await log_in_here(browser, name), name
        assert await site.ask(browser, lambda request: request.user.is_superuser) is True
        ann = await site.auth.users.create("ann", password=PASSWORD)
        assert await log_in_here(browser)
        changed = await django("command", "changepassword", "ann", replies=["new horse 1", "new horse 1"])
        assert "Password changed successfully for user 'ann'" in changed
        assert await who(browser, site) == ("", "")
        assert [await log_in_here(browser, "ann", text) for text in (PASSWORD, "new horse 1")] == [False, True]
        with pytest.raises(DjangoError, match="CommandError"):
            await django("command", "createsuperuser", interactive=False, username=ann.username, email="x@y.de")


async def test_A11_django_forms_refuse_the_name_of_a_user_of_ours(django: Django, url: str) -> None:
    """In the admin, before the database has to."""
    async with beside(url) as site:
        await site.auth.users.create_superuser("root", password=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_at_django(browser, "root")
        page = await submit(
            browser, "/django/admin/auth/user/add/", username="root", password1=PASSWORD, password2=PASSWORD
        )
        assert page.status_code == 200
        assert "A user with that username already exists." in page.text
