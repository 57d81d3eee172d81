"""`PasswordPolicy()`, `.nist()` and `.django()`: what each asks for, and what cannot be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import ConfigurationError
from asgiauth.passwords import (
    Argon2Hasher,
    CommonPasswordValidator,
    ContextWordValidator,
    NumericPasswordValidator,
    Passwords,
    StrengthValidator,
    UserAttributeSimilarityValidator,
    recommended_validators,
)

from ..conftest import SECRET_KEYS
from .test_validators import ANN, reasons

SHORT = "password_too_short"
SIMILAR = "password_too_similar"
COMMON = "password_too_common"
OBVIOUS = "password_too_obvious"
NUMERIC = "password_entirely_numeric"
WEAK = "password_too_weak"

POLICIES = {
    "default": PasswordPolicy(hash_patience=60),
    "with words": PasswordPolicy(hash_patience=60, validators=recommended_validators(words=["acme"])),
    "nist": PasswordPolicy.nist(hash_patience=60),
    "django": PasswordPolicy.django(hash_patience=60),
}
VERDICTS = [
    ("wet paint on nine doors", [], [], [], []),
    ("correct horse battery staple", [], [], [], []),
    ("correct horse", [], [], [SHORT], []),
    ("8F$k2!qZ", [], [], [SHORT], []),
    ("8F$k2!q", [SHORT, WEAK], [SHORT, WEAK], [SHORT], [SHORT]),
    ("wet paint on 9", [], [], [SHORT], []),
    ("wet paint on 90", [], [], [], []),
    ("password", [COMMON, WEAK], [COMMON, WEAK], [SHORT, COMMON], [COMMON]),
    ("qwertyqwertyqwerty", [COMMON, WEAK], [COMMON, WEAK], [COMMON], [COMMON]),
    ("Summer2026!", [COMMON, WEAK], [COMMON, WEAK], [SHORT, COMMON], [COMMON]),
    ("27182818284590", [], [], [SHORT], [NUMERIC]),
    ("ACME-2026", [WEAK], [OBVIOUS, WEAK], [SHORT], []),
]


@pytest.mark.parametrize(("password", "default", "words", "nist", "django"), VERDICTS)
async def test_D_05_D_07_what_each_policy_says(
    password: str, default: list[str], words: list[str], nist: list[str], django: list[str]
) -> None:
    """Also A16.7: unlike in Django, the default asks something, and `users.create` asks it."""
    found = [await reasons(Passwords(policy), password, ANN) for policy in POLICIES.values()]
    assert found == [default, words, nist, django]


def kinds(policy: PasswordPolicy) -> list[type]:
    return [type(validator) for validator in policy.validators]


def test_A16_7_the_three_policies_and_their_rules() -> None:
    by_list = [UserAttributeSimilarityValidator, CommonPasswordValidator, ContextWordValidator]
    assert (PasswordPolicy().min_length, kinds(PasswordPolicy())) == (8, [*by_list, StrengthValidator])
    assert (PasswordPolicy.nist().min_length, kinds(PasswordPolicy.nist())) == (15, by_list)
    django = PasswordPolicy.django()
    assert (django.min_length, kinds(django)) == (8, [*by_list[:2], NumericPasswordValidator])
    assert django.hashers[0].algorithm == "pbkdf2_sha256"
    for policy in (PasswordPolicy(), PasswordPolicy.nist(), django):
        assert (policy.history, policy.max_age) == (0, None)  # no expiry (ASVS 6.2.10)


def test_every_policy_takes_what_the_policy_takes() -> None:
    for make in (PasswordPolicy, PasswordPolicy.nist, PasswordPolicy.django):
        policy = make(min_length=20, validators=(), hash_queue=7)
        assert (policy.min_length, policy.validators, policy.hash_queue) == (20, (), 7)
    assert PasswordPolicy.nist(words=["acme"]).validators[2] == ContextWordValidator(["acme"])
    assert recommended_validators(words=["acme"])[3] == StrengthValidator(words=["acme"])
    assert PasswordPolicy.django(hashers=PasswordPolicy().hashers).hashers[0].algorithm == "argon2"


@pytest.mark.parametrize(
    "options",
    [
        {"min_length": 0},
        {"min_length": "8"},
        {"min_length": True},
        {"min_length": 1025},
        {"validators": None},
        {"validators": "CommonPasswordValidator"},
        {"validators": [CommonPasswordValidator]},
        {"validators": CommonPasswordValidator()},
        {"validators": [object()]},
        {"hashers": "django"},
        {"hashers": ["django.contrib.auth.hashers.Argon2PasswordHasher"]},
        {"hashers": [Argon2Hasher]},
    ],
)
def test_A16_6_a_rule_that_is_none_is_refused_with_the_cure(options: dict[str, Any]) -> None:
    (name,) = options
    for make in (PasswordPolicy, PasswordPolicy.nist, PasswordPolicy.django):
        with pytest.raises(ConfigurationError, match=rf"PasswordPolicy\({name}=\.\.\.\) is a (list|number)"):
            make(**options)


@pytest.mark.parametrize("name", ["hash_patience", "hash_queue", "failure_deadline"])
@pytest.mark.parametrize("value", [float("nan"), -1])
def test_a_time_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match="hash_patience and failure_deadline of at least 0"):
        PasswordPolicy(**{name: value})  # type: ignore[arg-type]


async def test_D_07_without_a_policy_the_words_of_the_site_are_those_of_its_address() -> None:
    auth = Auth("sqlite:///never.db", secret_keys=SECRET_KEYS, base_url="https://www.kestrel.example")
    assert await reasons(auth.passwords, "Kestrel-2026!") == [OBVIOUS]
    assert await reasons(auth.passwords, "www.kestrel.example") == [OBVIOUS, WEAK]
    assert await reasons(auth.passwords, "wet paint on nine doors") == []
