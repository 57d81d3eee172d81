"""A key that is not in the database (D-03)."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import logging
import pickle
from typing import Any

import pytest

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import ConfigurationError
from asgiauth.passwords import Argon2Hasher, Hasher, Passwords, PBKDF2Hasher, Pepper, ScryptHasher, WrappedHasher
from asgiauth.passwords import pepper as pepper_module
from asgiauth.passwords.hashers.recompute import recomputed
from asgiauth.testing import client, force_login

from ..conftest import FAST, make_auth
from ..sites import site
from .test_passwords import COST, Counting

OLD, NEW, OTHER = "old-" + "k" * 40, "new-" + "k" * 40, "other-" + "k" * 40
CHEAP = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
DEAR = Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1, salt_len=22)
PBKDF2 = PBKDF2Hasher(iterations=3)


def peppered(*keys: str, hashers: tuple[Hasher, ...] = (CHEAP, PBKDF2), active: bool = True) -> Passwords:
    return Passwords(PasswordPolicy(hashers=hashers, pepper=Pepper(keys, active=active)))


def id_of(key: str) -> str:
    return Pepper([key]).ids[0]


@pytest.mark.parametrize("hasher", [CHEAP, PBKDF2, Argon2Hasher(), PBKDF2Hasher(iterations=1_500_000)])
async def test_D_03_a_peppered_hash_names_its_key_and_fits_the_column(hasher: Hasher) -> None:
    passwords = peppered(OLD, hashers=(hasher,))
    encoded = await passwords.hash("correct horse")
    assert encoded.startswith(f"pepper${id_of(OLD)}${hasher.algorithm}$")
    assert len(encoded) <= 128
    assert await passwords.verify_and_upgrade("correct horse", encoded) == (True, None)
    assert await passwords.verify_and_upgrade("wrong horse", encoded) == (False, None)
    assert OLD not in encoded


@pytest.mark.parametrize("hasher", [CHEAP, PBKDF2])
async def test_D_03_it_is_an_hmac_over_the_whole_hash(hasher: Hasher) -> None:
    """What is stored can be computed from a hash without pepper, and says nothing of its digest."""
    bare = hasher.encode("correct horse")
    made, stored = await peppered(OLD, hashers=(hasher,)).verify_and_upgrade("correct horse", bare)
    head, _, digest = bare.rpartition("$")
    expected = base64.b64encode(hmac.digest(OLD.encode(), bare.encode(), "sha256")).decode()
    assert (made, stored) == (True, f"pepper${id_of(OLD)}${head}${expected[: len(digest)]}")


async def test_D_03_the_hashes_of_a_database_without_pepper_verify_and_are_upgraded() -> None:
    passwords = peppered(OLD)
    for encoded in (CHEAP.encode("right"), DEAR.encode("right"), PBKDF2.encode("right")):
        right, stronger = await passwords.verify_and_upgrade("right", encoded)
        assert right
        assert stronger is not None
        assert stronger.startswith("pepper$")
        assert len(stronger) <= 128
        assert await passwords.verify_and_upgrade("right", stronger) == (True, None)
        assert await passwords.verify_and_upgrade("wrong", encoded) == (False, None)


async def test_D_03_the_first_key_is_used_and_the_others_verify_until_a_login() -> None:
    before = await peppered(OLD).hash("right")
    passwords = peppered(NEW, OLD)
    right, stronger = await passwords.verify_and_upgrade("right", before)
    assert right
    assert stronger is not None
    assert stronger.split("$")[1] == id_of(NEW)
    assert await passwords.verify_and_upgrade("right", stronger) == (True, None)
    assert await passwords.verify_and_upgrade("wrong", before) == (False, None)
    assert await peppered(NEW).verify("right", stronger)


async def test_D_01_neither_a_key_nor_its_removal_makes_a_dear_hash_cheap() -> None:
    """Salt and parameters stay, whatever becomes of the key."""
    bare = DEAR.encode("right")
    _, once = await peppered(OLD).verify_and_upgrade("right", bare)
    assert once is not None
    _, again = await peppered(NEW, OLD).verify_and_upgrade("right", once)
    assert again is not None
    for stored in (once, again):
        assert stored.split("$")[2:-1] == bare.split("$")[:-1]
    assert await peppered(NEW, active=False).verify_and_upgrade("right", again) == (True, bare)


async def test_D_03_a_peppered_hash_that_is_too_cheap_is_made_anew() -> None:
    cheap = await peppered(OLD).hash("right")
    _, dear = await peppered(OLD, hashers=(DEAR, PBKDF2)).verify_and_upgrade("right", cheap)
    assert dear is not None
    assert "m=16,t=2" in dear
    _, other = await peppered(OLD, hashers=(PBKDF2, CHEAP)).verify_and_upgrade("right", cheap)
    assert other is not None
    assert other.startswith(f"pepper${id_of(OLD)}$pbkdf2_sha256$")


async def test_D_03_the_pepper_can_be_given_up_key_by_key() -> None:
    """`active=False`: nothing new is peppered, and each login takes the key off."""
    before = await peppered(OLD).hash("right")
    passwords = peppered(OLD, active=False)
    right, plain = await passwords.verify_and_upgrade("right", before)
    assert right
    assert plain is not None
    assert plain.startswith("argon2$")
    assert (await passwords.hash("right")).startswith("argon2$")
    assert await Passwords(PasswordPolicy(hashers=[CHEAP])).verify_and_upgrade("right", plain) == (True, None)
    _, dearer = await peppered(OLD, active=False, hashers=(DEAR,)).verify_and_upgrade("right", before)
    assert dearer is not None
    assert dearer.startswith("argon2$argon2id$v=19$m=16,t=2,p=1$")


async def test_D_03_a_hash_that_would_not_fit_its_column_with_a_key_is_made_anew() -> None:
    salt = "s" * 60
    long = f"pbkdf2_sha256$3${salt}${PBKDF2._hash('right', salt, 3)}"
    assert len(long) + len("pepper$000000$") > 128
    _, stored = await peppered(OLD, hashers=(PBKDF2,)).verify_and_upgrade("right", long)
    assert stored is not None
    assert len(stored) <= 128
    assert salt not in stored


@pytest.mark.parametrize("keys", [(), (OTHER,), (OTHER, NEW)], ids=["no key", "another key", "other keys"])
@pytest.mark.parametrize("active", [True, False])
async def test_D_03_without_its_key_a_hash_never_verifies_and_the_log_names_the_key(
    keys: tuple[str, ...], active: bool, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = await peppered(OLD).hash("right")
    passwords = peppered(*keys, active=active)
    with caplog.at_level(logging.DEBUG):
        assert await passwords.verify_and_upgrade("right", encoded) == (False, None)
    (record,) = caplog.records
    assert record.name == "asgiauth"
    assert id_of(OLD) in record.getMessage()
    assert "put that key back" in record.getMessage()
    for secret in (OLD, OTHER, NEW, encoded, encoded.rpartition("$")[2], "right"):
        assert secret not in record.getMessage()


class CountingArgon2(Argon2Hasher):
    """Notes how many hashes it has made; `recomputed` is noted by the test."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.made = 0

    def encode(self, password: str) -> str:
        self.made += 1
        return super().encode(password)


async def test_D_20_a_hash_whose_key_is_unknown_costs_as_much_as_a_wrong_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasher = CountingArgon2()
    real = recomputed

    def counted(password: str, encoded: str) -> str:
        hasher.made += 1
        return real(password, encoded)

    monkeypatch.setattr(pepper_module, "recomputed", counted)
    passwords = peppered(NEW, hashers=(hasher,))
    lost, known = await peppered(OLD).hash("right"), await passwords.hash("right")
    spent = []
    for password, encoded in [("right", lost), ("wrong", known), ("right", known), ("right", ""), ("right", "!")]:
        hasher.made = 0
        await passwords.verify(password, encoded)
        spent.append(hasher.made)
    assert spent == [1] * 5


async def test_a_peppered_hash_that_costs_too_much_is_not_run() -> None:
    encoded = await peppered(OLD).hash("right")
    for hostile in (encoded.replace("m=8", "m=99999999"), encoded.replace("t=1", "t=99999")):
        assert await peppered(OLD).verify_and_upgrade("right", hostile) == (False, None)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("pepper$", "pepper$$"),
        lambda text: text.replace(text.split("$")[1], "XYZXYZ"),
        lambda text: text.replace("argon2$argon2id", "scrypt"),
        lambda text: text.replace("argon2$argon2id", "$argon2id"),
        lambda text: text[:-1],
        lambda text: text.partition("$argon2id")[0],
        lambda text: text.split("$", 2)[2],
        lambda text: text.replace("m=8", "m=9"),
    ],
)
async def test_a_damaged_hash_never_verifies(damage: Any) -> None:
    """Nor does one whose key or parameters were exchanged, nor what is left without the key."""
    passwords = peppered(OLD)
    encoded = await passwords.hash("right")
    assert await passwords.verify_and_upgrade("right", damage(encoded)) == (False, None)
    assert OLD not in str(passwords.describe(damage(encoded)))


async def test_a_salt_may_have_any_letters() -> None:
    """As Django takes them: an upgrade puts the pepper over such a hash, and keeps its salt."""
    encoded = recomputed("right", "pbkdf2_sha256$3$" + "\u00e4" * 22 + "$")
    right, stronger = await peppered(OLD, hashers=(PBKDF2,)).verify_and_upgrade("right", encoded)
    assert right
    assert stronger is not None
    assert stronger.split("$")[4] == "\u00e4" * 22
    for keys in ((OLD,), (NEW, OLD)):
        assert await peppered(*keys, hashers=(PBKDF2,)).verify("right", stronger)
        assert not await peppered(*keys, hashers=(PBKDF2,)).verify("wrong", stronger)


async def test_what_is_shown_of_a_peppered_hash_is_masked() -> None:
    passwords = peppered(OLD)
    encoded = await passwords.hash("right")
    summary = passwords.describe(encoded)
    assert (summary.algorithm, summary.parameters["key"], summary.parameters["memory cost"]) == (
        "pepper argon2",
        id_of(OLD),
        8,
    )
    assert encoded.rpartition("$")[2] not in str(summary)


def test_D_32_the_keys_are_nowhere_to_be_seen() -> None:
    policy = PasswordPolicy(hashers=FAST.hashers, pepper=[NEW, OLD])
    again = dataclasses.replace(policy, min_length=9)
    passwords = Passwords(again)
    shown = [repr(thing) + str(thing) for thing in (policy, again, policy.pepper, vars(policy), vars(policy.pepper))]
    shown += [repr(dataclasses.asdict(policy)), repr(vars(passwords)), repr(vars(passwords._hashers[0]))]
    assert not any(key in text for key in (NEW, OLD) for text in shown)
    assert repr(policy.pepper) == f"Pepper({id_of(NEW)}, {id_of(OLD)})"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(policy.pepper)


@pytest.mark.parametrize(
    "keys", [["short"], [OLD, "k" * 31], [OLD, OLD], OLD, None, [None], [OLD.encode()], [OLD, ""]], ids=repr
)
def test_D_03_keys_that_are_none_are_refused_without_showing_them(keys: Any) -> None:
    """A variable that is not set must not take the pepper away unseen."""
    with pytest.raises(ConfigurationError, match="pepper") as refused:
        PasswordPolicy(pepper=keys)
    assert OLD not in str(refused.value)


async def test_D_03_a_key_of_the_environment_may_have_any_bytes() -> None:
    """Which stand in a str as lone surrogates."""
    passwords = peppered(OLD + "\udcff")
    assert await passwords.verify("right", await passwords.hash("right"))
    assert passwords.policy.pepper.ids != Pepper([OLD]).ids  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("hasher", "said"),
    [
        (ScryptHasher(), "works with Argon2Hasher and PBKDF2Hasher"),
        (WrappedHasher(), "works with Argon2Hasher and PBKDF2Hasher"),
        (Counting(), "works with Argon2Hasher and PBKDF2Hasher"),
        (Argon2Hasher(salt_len=32), "leave salt_len out"),
    ],
)
def test_D_03_what_cannot_be_peppered_is_refused_at_the_start(hasher: Hasher, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make_auth("sqlite:///never.db", passwords=PasswordPolicy(hashers=[hasher, CHEAP], pepper=[OLD]))
    make_auth(
        "sqlite:///never.db", passwords=PasswordPolicy(hashers=[hasher, CHEAP], pepper=Pepper([OLD], active=False))
    )


async def test_a_policy_without_pepper_goes_on_as_before() -> None:
    hasher = Counting()
    passwords = Passwords(PasswordPolicy(hashers=[hasher]))
    assert (await passwords.hash("right")).startswith("counting$")
    hasher.spent = 0
    assert await passwords.verify_and_upgrade("right", Counting(cost=1).encode("right")) == (
        True,
        f"counting${COST}$" + Counting().encode("right").rpartition("$")[2],
    )
    assert hasher.spent == COST + 1


async def test_D_03_taking_a_pepper_into_use_logs_nobody_out(url: str) -> None:
    """On each server, over HTTP: the login that rewrites the hash keeps the sessions of the user."""
    async with make_auth(url) as plain:
        await plain.create_tables()
        await plain.users.create("ann", password="correct horse")
    auth: Auth = make_auth(url, passwords=dataclasses.replace(FAST, pepper=[OLD]))
    async with auth, client(site(auth)) as browser:
        ann = await auth.users.get_by(username="ann")
        assert ann is not None
        await force_login(browser, ann)
        assert await auth.users.check_password(ann, "correct horse")
        stored = await auth.users.get(ann.id)
        assert stored is not None
        assert stored.password.startswith(f"pepper${id_of(OLD)}$")
        assert (await browser.get("/who")).json() == "ann"
