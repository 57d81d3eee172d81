"""When a database counts as shared with Django, and what `Auth` then refuses or warns of."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asgiauth import Auth, PasswordPolicy, SessionCookie, SessionPolicy
from asgiauth.cli.findings import of_auth, of_deployment
from asgiauth.exceptions import ConfigurationError
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher, PBKDF2SHA1Hasher, profile
from asgiauth.passwords.pepper import Pepper
from asgiauth.sessions import DjangoSessionStore

from ..conftest import make_auth
from .driving import Django

PLAIN = PasswordPolicy(validators=(), failure_deadline=0)
"""Names no hashers."""
PEPPER = "a pepper for tests alone, of at least 32 bytes"


def is_shared(auth: Auth) -> tuple[bool, bool, str]:
    """As the database, permissions and passwords have it."""
    preferred = auth.passwords._preferred.algorithm
    return auth._database.shared_with_django, not auth.permissions.keeps, preferred


SHARED, NOT_SHARED = (True, True, "pbkdf2_sha256"), (False, False, "argon2")


async def test_A1_a_database_that_django_has_migrated_is_shared(django: Django, url: str) -> None:
    """Unless `Auth` says otherwise, on every server."""
    auths = [make_auth(url, passwords=PLAIN, shared_with_django=said) for said in (None, True, False)]
    found = []
    for auth in auths:
        async with auth:
            found.append(is_shared(auth))
    assert found == [SHARED, SHARED, NOT_SHARED]


async def test_A1_before_django_has_come_it_is_shared_where_auth_says_so(sqlite_url: str) -> None:
    found = []
    for said in (None, True, False):
        async with make_auth(sqlite_url, passwords=PLAIN, shared_with_django=said) as auth:
            found.append(is_shared(auth))
    assert found == [NOT_SHARED, SHARED, NOT_SHARED]


async def test_A15_14_said_beforehand_it_holds_before_the_first_connection(sqlite_url: str) -> None:
    """Hashing needs no database."""
    auth = make_auth(sqlite_url, passwords=PLAIN, shared_with_django=True)
    assert (await auth.passwords.hash("correct horse")).startswith("pbkdf2_sha256$1500000$")


async def test_A1_whoever_was_connected_before_learns_of_django_with_the_tables(
    django_process: Django, sqlite_url: str
) -> None:
    async with make_auth(sqlite_url, passwords=PLAIN) as auth:
        assert is_shared(auth) == NOT_SHARED
        await django_process("use", sqlite_url)
        await django_process("migrate")
        assert is_shared(auth) == NOT_SHARED
        await auth.create_tables()
        assert is_shared(auth) == SHARED
        await django_process.run(
            "from django.db import connection as c; c.cursor().execute('DROP TABLE django_migrations')"
        )
        await auth.create_tables()
        assert is_shared(auth) == NOT_SHARED


async def test_D_03_a_pepper_is_refused_where_django_would_have_to_verify(
    sqlite_django: Django, sqlite_url: str
) -> None:
    """When it connects; when it is built, where that is known. Without the table it is no matter."""
    peppered = PasswordPolicy(pepper=[PEPPER])
    with pytest.raises(ConfigurationError, match=r"leave PasswordPolicy\(pepper=...\) out"):
        make_auth(sqlite_url, passwords=peppered, shared_with_django=True)
    auth = make_auth(sqlite_url, passwords=peppered)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="could not verify a peppered hash"):
            await auth.__aenter__()
        assert not auth._database.connected
    async with make_auth(sqlite_url, passwords=peppered, shared_with_django=False) as alone:
        assert await alone.passwords.hash("correct horse")


async def test_D_03_the_way_out_of_a_pepper_is_open_beside_django(sqlite_url: str) -> None:
    """As the error says: what is peppered verifies, and is rewritten as Django has it."""
    before = make_auth(sqlite_url, passwords=PasswordPolicy(pepper=[PEPPER]))
    out = PasswordPolicy.django(pepper=Pepper([PEPPER], active=False))
    after = make_auth(sqlite_url, passwords=out, shared_with_django=True)
    encoded = await before.passwords.hash("correct horse")
    right, rewritten = await after.passwords.verify_and_upgrade("correct horse", encoded)
    assert right
    assert str(rewritten).startswith("pbkdf2_sha256$1500000$")


class Own(Argon2Hasher):
    algorithm = "own"


DJANGOS_COOKIE = SessionPolicy(cookie=SessionCookie(name="sessionid"))


def test_A1_8_check_names_what_backend_map_calls_as_no_backend_is_called() -> None:
    def texts(name: str) -> list[str]:
        store = DjangoSessionStore(secret_key=PEPPER, backend_map={"django.contrib.auth.backends.ModelBackend": name})
        auth = make_auth("sqlite:///a.db", sessions=SessionPolicy(store=store))
        return [finding.cure for finding in of_auth(auth) if finding.code == "shared_backend_unknown"]

    assert texts("password") == []
    assert texts("model") == ["Give it the name of one of them: password."]


def test_A1_8_a_backend_map_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="from a path of Django's to a name of ours"):
        DjangoSessionStore(secret_key=PEPPER, backend_map={"password": "django.contrib.auth.backends.ModelBackend"})


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("", {}),
        ("", {"passwords": PasswordPolicy.django()}),
        ("shared_hashes_rewritten", {"passwords": PasswordPolicy(hashers=profile("django"))}),
        ("shared_hashes_rewritten", {"passwords": PasswordPolicy(hashers=[PBKDF2Hasher(iterations=2_000_000)])}),
        ("shared_hashes_rewritten", {"passwords": PasswordPolicy(hashers=[PBKDF2SHA1Hasher()])}),
        ("shared_hashes_unknown", {"passwords": PasswordPolicy(hashers=[Own()])}),
        ("", {"sessions": DJANGOS_COOKIE}),
        ("shared_cookie_name", {"sessions": DJANGOS_COOKIE, "base_url": "http://localhost"}),
    ],
)
def test_A15_14_check_names_what_two_frameworks_would_quarrel_about(code: str, options: dict[str, Any]) -> None:
    """Where `Auth` says that there are two: nothing is connected for it."""

    def found(**more: Any) -> set[str]:
        given = {"passwords": PasswordPolicy(), **options, **more}
        return {finding.code for finding in of_deployment(make_auth("sqlite:///a.db", **given))}

    assert {one for one in found(shared_with_django=True) if re.match("shared_", one)} == {code} - {""}
    assert not {one for one in found() if re.match("shared_", one)}
