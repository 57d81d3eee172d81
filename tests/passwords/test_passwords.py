"""`auth.passwords`: hashing, verifying, judging."""

from __future__ import annotations

import hashlib
import pickle
import re
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import ConfigurationError, PasswordRejected
from asgiauth.passwords import (
    Argon2Hasher,
    Hashed,
    HashSummary,
    NumericPasswordValidator,
    Passwords,
    PBKDF2Hasher,
    is_usable,
)
from asgiauth.passwords.service import unusable

from ..conftest import FAST, make_auth

COST = 10


class Counting:
    """A hasher that notes what it spends. What it cannot read costs it nothing, as with the real ones."""

    algorithm = "counting"

    def __init__(self, cost: int = COST) -> None:
        self.cost = cost
        self.spent = 0
        self.threads: set[str] = set()

    def identify(self, encoded: str) -> bool:
        return re.fullmatch(r"counting\$[0-9]+\$[0-9a-f]{64}", encoded) is not None

    def encode(self, password: str) -> str:
        return f"counting${self.cost}${self._digest(password, self.cost)}"

    def verify(self, password: str, encoded: str) -> bool:
        _, _, rest = encoded.partition("$")
        cost, _, digest = rest.partition("$")
        return cost.isdecimal() and len(digest) == 64 and self._digest(password, int(cost)) == digest

    def is_weaker(self, encoded: str) -> bool:
        return int(encoded.split("$")[1]) < self.cost

    def describe(self, encoded: str) -> HashSummary:
        raise ValueError(encoded)

    def _digest(self, password: str, cost: int) -> str:
        self.spent += cost
        self.threads.add(threading.current_thread().name)
        return hashlib.sha256(password.encode()).hexdigest()


STRONG, WEAK = Counting(), Counting(cost=1)
NO: dict[str, tuple[str, str]] = {
    "wrong password": ("wrong", STRONG.encode("right")),
    "no such user": ("right", ""),
    "unusable": ("right", unusable()),
    "unusable, and typed": ("!", "!"),
    "unknown algorithm": ("right", "md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3"),
    "damaged": ("right", "counting$10$short"),
    "damaged cost": ("right", "counting$ten$" + "0" * 64),
    "too long, known user": ("x" * 1025, STRONG.encode("right")),
    "too long, and right": ("x" * 1025, STRONG.encode("x" * 1025)),
    "too long, no such user": ("x" * 1025, ""),
    "not Unicode": ("\ud800", STRONG.encode("right")),
    "blank": ("", STRONG.encode("")),
    "wrong password, weaker hash": ("wrong", WEAK.encode("right")),
}


@pytest.mark.parametrize(("password", "encoded"), NO.values(), ids=NO)
async def test_every_no_costs_at_least_one_hash_of_the_preferred_cost(password: str, encoded: str) -> None:
    """D-20, D-04, T01, V-021, V-030, V-103: time does not tell which of them it was."""
    hasher = Counting()
    passwords = Passwords(PasswordPolicy(hashers=[hasher]))
    assert await passwords.verify(password, encoded) is False
    assert COST <= hasher.spent <= COST + WEAK.cost
    hasher.spent = 0
    assert await passwords.verify_and_upgrade(password, encoded) == (False, None)
    assert COST <= hasher.spent <= COST + WEAK.cost


async def test_every_no_at_the_door_costs_the_same(sqlite_url: str) -> None:
    """D-20: through `users.check_password` and the password backend, for the inactive and the unknown too."""
    from asgiauth.backends import PasswordBackend

    hasher = Counting()
    auth = make_auth(sqlite_url, passwords=PasswordPolicy(hashers=[hasher]))
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password="correct horse")
        await auth.users.create("out", password="correct horse", is_active=False)
        gone = await auth.users.create("gone", password="correct horse")
        await auth.users.create("none")
        await auth.users.delete(gone)
        backend = PasswordBackend[Any]().bound_to(auth.users)
        spent = {}
        for username in ("ann", "out", "gone", "none", "nobody", "", "\0", "\ud800", "x" * 300):
            hasher.spent = 0
            password = "wrong horse" if username == "ann" else "correct horse"
            assert await backend.authenticate(None, username=username, password=password) is None
            spent[username] = hasher.spent
        assert set(spent.values()) == {COST}
        for user in (ann, gone):
            hasher.spent = 0
            assert not await auth.users.check_password(user, "wrong horse")
            assert hasher.spent == COST
    assert {name.partition("_")[0] for name in hasher.threads} == {"asgiauth-hashing"}


async def test_verify_and_upgrade_rewrites_what_is_weaker_and_nothing_else() -> None:
    """D-01, D-04: another algorithm or a lower cost; never a downgrade, and nothing for a wrong password."""
    mine = Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1)
    passwords = Passwords(PasswordPolicy(hashers=[mine, PBKDF2Hasher(iterations=1)]))
    weaker = [
        PBKDF2Hasher(iterations=50).encode("right"),
        Argon2Hasher(time_cost=1, memory_cost=16, parallelism=1).encode("right"),
        mine.encode("right").removeprefix("argon2"),
    ]
    for encoded in weaker:
        right, stronger = await passwords.verify_and_upgrade("right", encoded)
        assert (right, type(stronger)) == (True, Hashed)
        assert stronger is not None
        assert stronger.startswith("argon2$argon2id$v=19$m=16,t=2,p=1$")
        assert await passwords.verify_and_upgrade("right", stronger) == (True, None)
        assert await passwords.verify_and_upgrade("wrong", encoded) == (False, None)
    for memory_cost in (16, 99):
        equal = Argon2Hasher(time_cost=2, memory_cost=memory_cost, parallelism=1).encode("right")
        assert await passwords.verify_and_upgrade("right", equal) == (True, None)


async def test_hash_is_masked_and_verifies(sqlite_auth: Auth) -> None:
    hashed = await sqlite_auth.passwords.hash("correct horse")
    assert type(hashed) is Hashed
    assert hashed not in repr([hashed])
    assert repr(hashed) == "Hashed('***')"
    assert pickle.loads(pickle.dumps(hashed)) == hashed
    assert await sqlite_auth.passwords.verify("correct horse", hashed)
    assert await sqlite_auth.passwords.hash("correct horse") != hashed


async def test_hashing_needs_no_database() -> None:
    """DESIGN 3."""
    auth = make_auth("sqlite:///never/created.db")
    assert await auth.passwords.verify("correct horse", await auth.passwords.hash("correct horse"))


async def test_unusable_is_what_no_password_opens() -> None:
    """A15.11, A15.12: `!` and forty characters of noise."""
    passwords = Passwords(FAST)
    stored = unusable()
    assert (stored[0], len(stored), stored[1:].isalnum(), stored != unusable()) == ("!", 41, True, True)
    assert [is_usable(encoded) for encoded in (stored, "!", "", "argon2$x")] == [False, False, False, True]
    assert [await passwords.verify(password, stored) for password in (stored, stored[1:], "", "!")] == [False] * 4


@pytest.mark.parametrize(
    ("policy", "password", "codes"),
    [
        (FAST, "x" * 8, []),
        (FAST, "\U0001f511" * 8, []),
        (FAST, " " * 8, []),
        (FAST, "\u00e9" * 512, []),
        (FAST, "x" * 1024, []),
        (FAST, "x" * 7, ["password_too_short"]),
        (FAST, "\u00e9" * 7, ["password_too_short"]),
        (FAST, "x" * 1025, ["password_too_long"]),
        (FAST, "\u00e9" * 513, ["password_too_long"]),
        (FAST, "x" * 10_485_760, ["password_too_long"]),
        (FAST, "\ud800" * 8, ["password_not_unicode"]),
        (FAST, "\ud800", ["password_too_short", "password_not_unicode"]),
        (PasswordPolicy(min_length=1000), "\u20ac" * 500, ["password_too_short", "password_too_long"]),
    ],
)
async def test_validate_tells_every_reason_at_once(policy: PasswordPolicy, password: str, codes: list[str]) -> None:
    """A16.1, D-05 (code points), D-06 (bytes), D-08."""
    found = []
    try:
        await Passwords(policy).validate(password)
    except PasswordRejected as rejected:
        found = list(rejected.reasons)
        assert password[:50] not in str(rejected)
    assert [reason.code for reason in found] == codes
    for reason in found:
        expected = {"password_too_short": {"min_length": policy.min_length}, "password_too_long": {"max_bytes": 1024}}
        assert reason.params == expected.get(reason.code, {})


async def test_a_blank_password_is_refused_whatever_the_policy() -> None:
    passwords = Passwords(PasswordPolicy(hashers=FAST.hashers, min_length=1))
    with pytest.raises(PasswordRejected):
        await passwords.validate("")
    with pytest.raises(PasswordRejected):
        await passwords.hash("")


@pytest.mark.parametrize(
    ("password", "code"), [("x" * 1025, "password_too_long"), ("ok\ud800", "password_not_unicode")]
)
async def test_hash_refuses_what_it_could_not_store_exactly(password: str, code: str) -> None:
    """D-06, D-08: nothing is cut off or replaced, with or without a policy."""
    with pytest.raises(PasswordRejected, match=code):
        await Passwords(FAST).hash(password)


def test_help_texts_say_the_rules() -> None:
    """The policy's own rule, and those of a feature that were added; test_validators.py has the others."""
    passwords = Passwords(PasswordPolicy(min_length=12, validators=()))
    assert passwords.help_texts() == ["At least 12 characters."]
    passwords.validators.append(NumericPasswordValidator())
    assert passwords.help_texts() == ["At least 12 characters.", "Not only digits."]


def test_describe_knows_what_it_does_not_know() -> None:
    passwords = Passwords(FAST)
    algorithms = {
        "!": "unusable",
        "": "unusable",
        "md5$a$b": "unknown",
        "argon2$argon2id$broken": "unknown",
        "pbkdf2_sha256$1$x": "unknown",
    }
    assert {encoded: passwords.describe(encoded).algorithm for encoded in algorithms} == algorithms
    assert passwords.describe(PBKDF2Hasher(iterations=3).encode("x")).parameters == {"iterations": 3}


@settings(deadline=None)
@given(
    st.sampled_from(["", "argon2$argon2", "$argon2id$v=19$", "pbkdf2_sha256$", "pbkdf2_sha256$1$"]),
    st.text(max_size=30),
)
def test_describe_never_raises(beginning: str, rest: str) -> None:
    """An administrator's page shows it for whatever lies in the column."""
    summary = Passwords(PasswordPolicy(hashers=FAST.hashers, hash_slots=1)).describe(beginning + rest)
    assert summary.algorithm in ("unusable", "unknown", "argon2", "pbkdf2_sha256")


@pytest.mark.parametrize(
    "options",
    [
        {"hashers": []},
        {"min_length": 0},
        {"hash_slots": 0},
        {"hash_slots": -1},
        {"hash_queue": -1},
        {"hash_patience": -1.0},
    ],
)
def test_a_policy_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    """DESIGN 3: when it is built, not at the first login."""
    with pytest.raises(ConfigurationError):
        make_auth("sqlite:///never.db", passwords=PasswordPolicy(**options))
