"""bcrypt: an extra, and a password hash with a limit."""

from __future__ import annotations

import subprocess
import sys

import bcrypt
import pytest

from asgiauth import PasswordPolicy
from asgiauth.exceptions import MissingDependency, PasswordRejected
from asgiauth.passwords import BCryptHasher, BCryptSHA256Hasher, Hasher, Passwords, preferring

from .hashing import ARGON2, BCRYPT, BCRYPT_SHA256, PBKDF2, watched

BARE = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
STORED = [BARE, f"bcrypt${BARE}", BCRYPT_SHA256.encode("right")]
both = pytest.mark.parametrize("hasher", [BCRYPT, BCRYPT_SHA256], ids=lambda hasher: hasher.algorithm)


@pytest.fixture
def without_bcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it is not installed."""
    monkeypatch.setitem(sys.modules, "bcrypt", None)


@pytest.mark.parametrize("ident", ["2a", "2b", "2y"])
@pytest.mark.parametrize("form", ["{}", "bcrypt${}"])
def test_A15_5_every_mark_of_a_correct_bcrypt_verifies(ident: str, form: str) -> None:
    """The algorithm is one: the letter says which implementation wrote it. Bare, it is weaker."""
    encoded = form.format(BARE.replace("$2b$", f"${ident}$"))
    assert BCRYPT.identify(encoded)
    assert (BCRYPT.verify("right", encoded), BCRYPT.verify("wrong", encoded)) == (True, False)
    assert BCRYPT.is_weaker(encoded) is encoded.startswith("$")
    assert (BCRYPT.describe(encoded).algorithm, BCRYPT.describe(encoded).parameters) == ("bcrypt", {"work factor": 4})


@pytest.mark.parametrize(
    "damage",
    [
        ("$2b$", "$2x$"),  # a faulty implementation's, which took characters for others
        ("$2b$", "$2$"),
        ("$2b$", "$2c$"),
        ("$04$", "$03$"),
        ("$04$", "$32$"),
        ("$04$", "$4$"),
        ("$04$", "$99$"),
        (BARE[-32], "A"),  # a salt with bits left over, which bcrypt refuses
        (BARE[-1], ""),
        (BARE[-1], "aa"),
    ],
)
def test_what_no_bcrypt_has_written_is_not_bcrypt(damage: tuple[str, str]) -> None:
    old, new = damage
    head, found, tail = BARE.rpartition(old) if old in (BARE[-1], BARE[-32]) else BARE.partition(old)
    if old == BARE[-32]:
        head, found, tail = BARE[:-32], old, BARE[-31:]
    damaged = head + new + tail
    assert found
    assert not BCRYPT.identify(damaged)
    assert not BCRYPT.identify(f"bcrypt${damaged}")


def test_A15_4_a_long_password_is_no_problem_for_bcrypt_sha256() -> None:
    """Django's own case: 100 characters, and their first 72."""
    password = "VSK0UYV6FFQVZ0KG88DYN9WADAADZO1CTSIVDJUNZSUML6IBX7LN7ZS3R5JGB3RGZ7VI7G7DJQ9NI8BQFSRPTG6UWTTVESA5ZPUN"
    encoded = BCRYPT_SHA256.encode(password)
    assert (BCRYPT_SHA256.verify(password, encoded), BCRYPT_SHA256.verify(password[:72], encoded)) == (True, False)


@pytest.mark.parametrize(
    ("password", "code", "params"),
    [
        ("x" * 73, "password_too_long", {"max_bytes": 72}),
        ("\u00e9" * 37, "password_too_long", {"max_bytes": 72}),
        ("a\0b", "password_null_characters", {}),
        ("\0", "password_null_characters", {}),
    ],
)
async def test_D_04_plain_bcrypt_says_why_it_refuses(password: str, code: str, params: dict[str, int]) -> None:
    passwords = Passwords(PasswordPolicy(hashers=[BCRYPT], validators=()))
    with pytest.raises(PasswordRejected) as rejected:
        await passwords.hash(password)
    assert [(reason.code, reason.params) for reason in rejected.value.reasons] == [(code, params)]


async def test_D_04_what_plain_bcrypt_cannot_store_is_told_with_the_other_reasons() -> None:
    """A form that finds nothing wrong must not fail when it is sent; where bcrypt is not the first it is no rule."""
    for password, code in (("x" * 73, "password_too_long"), ("right\0right", "password_null_characters")):
        passwords = Passwords(PasswordPolicy(hashers=[BCRYPT], min_length=80, validators=()))
        assert [reason.code for reason in await passwords.problems(password)] == ["password_too_short", code]
        with pytest.raises(PasswordRejected) as refused:
            await passwords.validate(password)
        assert [reason.code for reason in refused.value.reasons] == ["password_too_short", code]
        for first in (BCRYPT_SHA256, ARGON2):
            others = Passwords(PasswordPolicy(hashers=[first, BCRYPT], validators=()))
            assert await others.problems(password) == []
            assert await others.verify(password, await others.hash(password))
    passwords = Passwords(PasswordPolicy(hashers=[BCRYPT], validators=()))
    assert await passwords.problems("x" * 72) == []


async def test_D_04_what_plain_bcrypt_would_cut_off_is_wrong_after_the_same_work() -> None:
    """Also where bcrypt is the preferred hasher: the length of a wrong password says nothing about the user."""
    passwords = Passwords(PasswordPolicy(hashers=[BCRYPT], validators=()))
    assert bcrypt.checkpw(b"right\0right", BARE.encode())  # it is the same to bcrypt
    for password, encoded in (("x" * 73, BCRYPT.encode("x" * 72)), ("right\0right", f"bcrypt${BARE}")):
        with watched() as runs:
            assert await passwords.verify(password, encoded) is False
        assert runs == [("bcrypt", 16)]


async def test_D_04_a_right_password_that_plain_bcrypt_cannot_store_keeps_its_hash() -> None:
    """An upgrade to what would cut it off is none."""
    passwords = Passwords(PasswordPolicy(hashers=[BCRYPT, PBKDF2], validators=()))
    for password in ("x" * 73, "nul\0nul"):
        assert await passwords.verify_and_upgrade(password, PBKDF2.encode(password)) == (True, None)
    right, stronger = await passwords.verify_and_upgrade("x" * 72, PBKDF2.encode("x" * 72))
    assert right
    assert stronger is not None
    assert stronger.startswith("bcrypt$$2b$04$")


@both
def test_without_the_package_a_policy_that_hashes_with_bcrypt_is_refused(without_bcrypt: None, hasher: Hasher) -> None:
    """DESIGN 3: when it is built, with the cure; not at the first login."""
    with pytest.raises(MissingDependency, match=r'pip install "asgiauth\[bcrypt\]"'):
        Passwords(PasswordPolicy(hashers=[hasher], validators=()))
    with pytest.raises(MissingDependency, match=r'pip install "asgiauth\[bcrypt\]"'):
        hasher.encode("x")


@pytest.mark.parametrize("encoded", STORED, ids=["modular", "bcrypt", "bcrypt_sha256"])
async def test_without_the_package_a_stored_bcrypt_hash_is_false_after_the_same_work(
    without_bcrypt: None, encoded: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once, with the cure, and not at every login."""
    hashers = [ARGON2, BCryptHasher(), BCryptSHA256Hasher()]
    passwords = Passwords(PasswordPolicy(hashers=hashers, validators=()))
    for password in ("right", "wrong", "right"):
        with watched() as runs:
            assert await passwords.verify_and_upgrade(password, encoded) == (False, None)
        assert runs == [("argon2", 8)]
    assert passwords.describe(encoded).parameters == {"work factor": 4}
    (line,) = caplog.messages
    assert 'Run: pip install "asgiauth[bcrypt]"' in line
    assert encoded[-31:] not in line


def test_bcrypt_is_loaded_only_for_a_bcrypt_hash() -> None:
    """DESIGN 2: extras are imported lazily."""
    code = (
        "import sys; from asgiauth import PasswordPolicy; from asgiauth.passwords import Passwords;"
        "passwords = Passwords(PasswordPolicy(validators=()));"
        "assert 'bcrypt' not in sys.modules;"
        f"assert passwords._verify('right', {BARE!r}) is not None;"
        "assert 'bcrypt' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_login_rewrites_bcrypt_as_argon2() -> None:
    """D-04."""
    passwords = Passwords(PasswordPolicy(hashers=preferring(ARGON2), validators=()))
    for encoded in STORED:
        right, stronger = await passwords.verify_and_upgrade("right", encoded)
        assert right
        assert stronger is not None
        assert stronger.startswith("argon2$argon2id$")
        assert await passwords.verify_and_upgrade("wrong", encoded) == (False, None)
