"""Django's behaviour, row by row (spec/django-parity.md). A docstring that says "Deliberately different" gives the reason;
every other row is matched."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from asgiauth import AnonymousUser, Auth, PasswordPolicy, User
from asgiauth.backends import PasswordBackend
from asgiauth.events import UserCreated
from asgiauth.exceptions import InvalidField, NotFound, PasswordRejected
from asgiauth.passwords import Argon2Hasher, Hashed, Hasher, PBKDF2Hasher, is_usable
from asgiauth.passwords.service import unusable
from asgiauth.users.identifiers import canonical, normalize_email, normalize_username

from ..conftest import make_auth
from ..sessions.helpers import heard

PASSWORD = "correct horse"
ENCODED = "pbkdf2_sha256$1$seasalt$" + "A" * 43 + "="


async def fresh(auth: Auth, user: User) -> User:
    found = await auth.users.get(user.id)
    assert found is not None
    return found


async def test_a1_6_to_a1_8_sessions_are_asgiauths_own(sqlite_auth: Auth) -> None:
    """Deliberately different: `django_session` holds its keys in clear; sharing it takes `DjangoSessionStore`."""
    assert "django_session" not in sqlite_auth.metadata.tables
    assert sqlite_auth.tables.session.name == "asgiauth_session"


async def test_a2_1_create_user(sqlite_auth: Auth) -> None:
    """Flags are False, the address is normalised, no password is an unusable one. Deliberately different: a blank name
    is an `InvalidField`, and the password policy is applied unless `validate=False`."""
    user = await sqlite_auth.users.create("ann", email="Ann@EXAMPLE.com")
    assert (user.is_staff, user.is_superuser, user.email) == (False, False, "Ann@example.com")
    assert not is_usable(user.password)
    with pytest.raises(InvalidField, match="username: required"):
        await sqlite_auth.users.create("")
    with pytest.raises(PasswordRejected):
        await sqlite_auth.users.create("bob", password="short")
    bob = await sqlite_auth.users.create("bob", password="short", validate=False)
    assert await sqlite_auth.users.check_password(bob, "short")


async def test_a2_2_create_superuser(sqlite_auth: Auth) -> None:
    """Both flags, e-mail and password optional. Deliberately different: `InvalidField` where Django has a `ValueError`."""
    root = await sqlite_auth.users.create_superuser("root")
    assert (root.is_staff, root.is_superuser, root.email, is_usable(root.password)) == (True, True, "", False)
    for flag in ("is_staff", "is_superuser"):
        with pytest.raises(InvalidField, match=f"{flag}: must_be_true"):
            await sqlite_auth.users.create_superuser("other", **{flag: False})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("normal@normal.com", "normal@normal.com"),
        ("Normal@DOMAIN.COM", "Normal@domain.com"),
        (r'"\ "@d', r'"\ "@d'),
        ("email\\ with_whitespace@D.COM", "email\\ with_whitespace@d.com"),
        ("Abc\\@DEF@EXAMPLE.com", "Abc\\@DEF@example.com"),
        ("hello.gmail.com ", "hello.gmail.com "),
        (" Trim@ME.com ", "Trim@me.com"),
        ("", ""),
    ],
)
def test_a2_3_normalize_email(typed: str, stored: str) -> None:
    """Django's own cases: only the domain, split off at the last @."""
    assert normalize_email(typed) == stored


async def test_a2_3_no_address_is_a_blank_one(sqlite_auth: Auth) -> None:
    assert (await sqlite_auth.users.create("ann", email=None)).email == ""


async def test_a2_4_get_by_natural_key(sqlite_auth: Auth) -> None:
    """By the exact user name. Deliberately different: None, not `DoesNotExist`."""
    ann = await sqlite_auth.users.create("Ann")
    assert [await sqlite_auth.users.get_by(username=name) for name in ("Ann", "ann")] == [ann, None]


async def test_a2_6_flags_and_dates(sqlite_url: str) -> None:
    now = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    auth = make_auth(sqlite_url, clock=lambda: now)
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
    assert (ann.is_active, ann.is_staff, ann.is_superuser, ann.last_login, ann.date_joined) == (
        True,
        False,
        False,
        None,
        now,
    )


async def test_a2_6_flags_are_stored_as_they_are_given(sqlite_auth: Auth) -> None:
    ann = await sqlite_auth.users.create("ann", email="ann@example.com", is_staff=True)
    assert (ann.username, ann.email, ann.is_staff, ann.is_superuser) == ("ann", "ann@example.com", True, False)
    await sqlite_auth.users.update(ann, is_active=False)
    assert (await fresh(sqlite_auth, ann)).is_active is False


async def test_a2_1_a_creation_is_told_once(sqlite_auth: Auth) -> None:
    """Django's `post_save`, which fires once for a superuser too."""
    told = heard(sqlite_auth, UserCreated)
    ann, root = (
        await sqlite_auth.users.create("ann"),
        await sqlite_auth.users.create_superuser("root", password=PASSWORD),
    )
    assert [event.user for event in told] == [ann, root]


async def test_a2_7_is_authenticated_and_is_anonymous_are_read_only(sqlite_auth: Auth) -> None:
    ann = await sqlite_auth.users.create("ann")
    assert [(user.is_authenticated, user.is_anonymous) for user in (ann, AnonymousUser())] == [
        (True, False),
        (False, True),
    ]
    for user in (ann, AnonymousUser()):
        for name in ("is_authenticated", "is_anonymous"):
            assert isinstance(getattr(type(user), name), property)
            with pytest.raises(AttributeError):
                setattr(user, name, True)


async def test_a2_8_names(sqlite_auth: Auth) -> None:
    """Deliberately different: `get_username()` is the field `username`, and `identity` is Starlette's name for the id."""
    ann = await sqlite_auth.users.create("ann", first_name="Ann", last_name="Lee")
    assert (str(ann), ann.username, ann.get_full_name(), ann.get_short_name()) == ("ann", "ann", "Ann Lee", "Ann")
    assert (await sqlite_auth.users.update(ann, first_name="")).get_full_name() == "Lee"


async def test_a2_11_check_password_upgrades(sqlite_auth: Auth) -> None:
    """An upgrade is no change of the password. Deliberately different: the stored hash is read, not the one in hand."""
    weak = PBKDF2Hasher(iterations=1).encode(PASSWORD)
    ann = await sqlite_auth.users.create("ann", password=Hashed(weak))
    assert not await sqlite_auth.users.check_password(ann, "wrong")
    assert (await fresh(sqlite_auth, ann)).password == weak
    assert await sqlite_auth.users.check_password(ann, PASSWORD)
    upgraded = await fresh(sqlite_auth, ann)
    assert upgraded.password != weak
    assert upgraded.as_dict() == ann.as_dict()
    assert await sqlite_auth.users.check_password(ann, PASSWORD)


async def test_a2_10_validators_hear_once_of_a_new_password_and_never_of_an_upgrade(sqlite_url: str) -> None:
    """Deliberately different: `set_password()` stores at once, so there is no `save()` to wait for."""

    class Listening:
        told: ClassVar[list[str]] = []

        def validate(self, password: str, user: object) -> None:
            return None

        def password_changed(self, password: str, user: object) -> None:
            self.told.append(password)

    mine = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
    policy = PasswordPolicy(hashers=[mine, PBKDF2Hasher(iterations=1)], validators=[Listening()])
    auth = make_auth(sqlite_url, passwords=policy)
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=Hashed(PBKDF2Hasher(iterations=1).encode(PASSWORD)))
        assert await auth.users.check_password(ann, PASSWORD)
        assert (await fresh(auth, ann)).password != ann.password
        assert Listening.told == []
        await auth.users.set_password(ann, "another horse")
        assert Listening.told == ["another horse"]


async def test_a2_12_unusable_password(sqlite_auth: Auth) -> None:
    """`set_password(user, None)`. Deliberately different: one word for both, no `set_unusable_password`."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    assert is_usable(ann.password)
    ann = await sqlite_auth.users.set_password(ann, None)
    assert (ann.password[0], is_usable(ann.password)) == ("!", False)
    assert not await sqlite_auth.users.check_password(ann, PASSWORD)


@pytest.mark.parametrize("name", ["\uff41nn", "\u2126mega", "iamtheΩ"])
async def test_a2_13_and_a2_14_normalize_username(sqlite_auth: Auth, name: str) -> None:
    """NFKC, and `find` asks for it as Django stored it. Deliberately different: a new name is ASCII, so nothing is folded
    into it (D-09)."""
    import unicodedata

    assert normalize_username(name) == unicodedata.normalize("NFKC", name)
    with pytest.raises(InvalidField, match="invalid_username"):
        await sqlite_auth.users.create(name)
    assert canonical(name) is None


def test_a3_1_anonymous_attributes() -> None:
    """Deliberately different: no `pk`, `groups` and `user_permissions` on any user; the services have them."""
    nobody = AnonymousUser()
    assert (nobody.id, nobody.username) == (None, "")
    assert [nobody.is_staff, nobody.is_active, nobody.is_superuser, nobody.is_authenticated] == [False] * 4
    assert nobody.is_anonymous is True


def test_a3_2_anonymous_identity() -> None:
    assert AnonymousUser() == AnonymousUser()
    assert (hash(AnonymousUser()), str(AnonymousUser())) == (1, "AnonymousUser")
    with pytest.raises(TypeError):
        int(AnonymousUser())


async def test_a3_3_anonymous_is_in_no_database(sqlite_auth: Auth) -> None:
    """Deliberately different: users have no methods that write; the service finds nobody to change."""
    assert not {"save", "delete", "set_password", "check_password"} & set(dir(AnonymousUser))
    nobody = AnonymousUser()
    for write in (
        sqlite_auth.users.delete(nobody),  # type: ignore[arg-type]
        sqlite_auth.users.update(nobody, first_name="x"),  # type: ignore[arg-type]
        sqlite_auth.users.set_password(nobody, PASSWORD),  # type: ignore[arg-type]
    ):
        with pytest.raises(NotFound):
            await write
    assert not await sqlite_auth.users.check_password(nobody, PASSWORD)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("username", "password"),
    [(None, PASSWORD), ("ann", None), (None, None), (0, PASSWORD), ("ann", 0), ("ann", b"correct horse")],
)
async def test_a6_8_credentials_that_are_missing_are_nobody(
    sqlite_auth: Auth, username: object, password: object
) -> None:
    """V-012 as well: a form without the field, or JSON of another type, is a wrong login and no error of the server."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    backend = PasswordBackend[User]().bound_to(sqlite_auth.users)
    assert await backend.authenticate(None, username=username, password=password) is None  # type: ignore[arg-type]
    assert await backend.authenticate(None, username="ann", password=PASSWORD) is not None


async def test_a6_10_the_inactive_are_nobody(sqlite_auth: Auth) -> None:
    """Asked after the password, so that a right one is not told by it (A6.9)."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD, is_active=False)
    backend = PasswordBackend[User]().bound_to(sqlite_auth.users)
    assert await backend.authenticate(None, username="ann", password=PASSWORD) is None
    assert backend.may_log_in(ann) is False
    assert await sqlite_auth.users.check_password(ann, PASSWORD)


def test_a15_10_salt() -> None:
    """At least 128 bits: 22 letters and digits. Deliberately different: a salt cannot be given, so none is invalid."""
    salts = {PBKDF2Hasher(iterations=1).encode("x").split("$")[2] for _ in range(100)}
    assert len(salts) == 100
    assert all(re.fullmatch(r"[a-zA-Z0-9]{22}", salt) for salt in salts)


def test_a15_11_make_password() -> None:
    """None becomes `!` and 40 random characters. Deliberately different: a password is `str`, bytes are refused."""
    assert re.fullmatch(r"![a-zA-Z0-9]{40}", unusable())
    assert unusable() != unusable()


@pytest.mark.parametrize(
    ("encoded", "usable"), [("!", False), ("!x", False), ("", False), ("lètmein_badencoded", True)]
)
def test_a15_12_is_password_usable(encoded: str, usable: bool) -> None:
    """Deliberately different: blank is unusable, since no password verifies against it."""
    assert is_usable(encoded) is usable


@pytest.mark.parametrize(
    ("password", "encoded"),
    [
        (None, ENCODED),
        (None, "!"),
        ("x", "!"),
        ("x", ""),
        ("x", "md5$a$b"),
        ("x", "bad encoded"),
        ("x", None),
    ],
)
async def test_a15_13_what_cannot_verify_is_false(sqlite_auth: Auth, password: str, encoded: str) -> None:
    """Never an error; that it costs the same work is in tests/passwords/test_passwords.py."""
    assert await sqlite_auth.passwords.verify(password, encoded) is False
    assert await sqlite_auth.passwords.verify_and_upgrade(password, encoded) == (False, None)


async def test_a15_14_upgrade_at_login(sqlite_url: str) -> None:
    """Another algorithm, or lower cost. Deliberately different: a stronger hash stays, where Django rewrites whatever
    differs (D-01); a downgrade by a login is an attacker's."""
    mine = Argon2Hasher(time_cost=1, memory_cost=16, parallelism=1)
    auth = make_auth(sqlite_url, passwords=PasswordPolicy(hashers=[mine, PBKDF2Hasher(iterations=1)]))
    stored: dict[str, tuple[Hasher, bool]] = {
        "other": (PBKDF2Hasher(iterations=9), True),
        "weaker": (Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), True),
        "equal": (Argon2Hasher(time_cost=2, memory_cost=8, parallelism=1), False),
        "stronger": (Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1), False),
    }
    async with auth:
        await auth.create_tables()
        backend = PasswordBackend[User]().bound_to(auth.users)
        for name, (hasher, rewritten) in stored.items():
            user = await auth.users.create(name, password=Hashed(hasher.encode(PASSWORD)))
            assert await backend.authenticate(None, username=name, password="wrong") is None
            assert (await fresh(auth, user)).password == user.password
            known = await backend.authenticate(None, username=name, password=PASSWORD)
            assert known is not None
            assert known.password == (await fresh(auth, user)).password
            assert (known.password != user.password) is rewritten
