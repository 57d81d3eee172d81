from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from ..exceptions import ConfigurationError, Reason
from .hashers import Argon2Hasher, Hasher, PBKDF2Hasher, preferring
from .pepper import Pepper
from .validators import (
    CommonPasswordValidator,
    ContextWordValidator,
    NumericPasswordValidator,
    PasswordValidator,
    StrengthValidator,
    UserAttributeSimilarityValidator,
)
from .validators.strength import is_installed

__all__ = ["PasswordPolicy", "recommended_validators"]

MAX_BYTES = 1024
"""Longer passwords are refused when they are set, and are simply wrong at a login (D-06)."""
MAX_HISTORY = 24
"""What the strictest rule books ask for (CIS, Microsoft)."""


def recommended_validators(*, words: Sequence[str] = (), strength: bool | None = None) -> tuple[PasswordValidator, ...]:
    """What `PasswordPolicy()` asks beyond the length: likeness to the user (A16.2), the blocklist and the words of user
    and site (D-07), and the strength.

    `words`: names of the site, the company, its products. `strength`: None asks for it where the extra `strength` is
    installed; True raises `MissingDependency` where it is not.
    """
    asked = is_installed() if strength is None else strength
    by_strength = (StrengthValidator(words=words),) if asked else ()
    by_list = (UserAttributeSimilarityValidator(), CommonPasswordValidator(), ContextWordValidator(words))
    return (*by_list, *by_strength)


@dataclass(frozen=True)
class PasswordPolicy:
    """How passwords are stored, and which ones are accepted. `PasswordPolicy.nist()` and `.django()` are others.

    `hashers`: the first hashes, any of them verifies; a login rewrites what is weaker than the first.
    `min_length` in characters (code points): 8 is ASVS's least, 15 NIST's where there is no second factor (D-05).
    `validators` judge whatever else there is to judge, each new password and all of them at once; with words of your
    site: `validators=recommended_validators(words=["acme"])`. Nothing asks for kinds of characters: that makes
    passwords no harder to guess (NIST SP 800-63B-4, ASVS 6.2.5). `history`: so many of a user's last passwords, the
    present one among them, are refused as the next one; each costs a hash when a password is changed. `max_age`: a
    password that is older must be changed at the next login; neither NIST nor ASVS wants that (D-07), some rule books
    do.

    `hash_slots` hashes run at once (default: one per processor, at most four), `hash_queue` more may wait,
    `hash_patience` seconds each; beyond that a request is answered 503 (D-02). A failed login is answered no sooner
    than `failure_deadline` seconds after it began, and no sooner than nearly all successful ones, so that its time says
    nothing (D-20); 0 switches that off. `pepper`: keys that are not in the database, newest first, or a `Pepper`
    (D-03). Lose them, and no password verifies any more. Not for a database that a Django site uses too. `for_tests`
    lets hashers cost less than OWASP's least: `asgiauth.testing.fast_passwords()` sets it, nothing else should (D-01).
    """

    hashers: Sequence[Hasher] = preferring(Argon2Hasher())
    min_length: int = 8
    validators: Sequence[PasswordValidator] = field(default_factory=recommended_validators)
    history: int = 0
    max_age: timedelta | None = None
    hash_slots: int | None = None
    hash_queue: int = 100
    hash_patience: float = 2.0
    failure_deadline: float = 0.1
    pepper: Sequence[str] | Pepper = ()
    for_tests: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.pepper, Pepper):  # whose repr does not show the keys
            object.__setattr__(self, "pepper", Pepper(self.pepper))
        if not self.hashers:
            raise ConfigurationError("PasswordPolicy needs at least one hasher: leave `hashers` out for Argon2id")
        if not _are_all(self.hashers, "identify"):
            raise ConfigurationError(
                "PasswordPolicy(hashers=...) is a list of objects such as Argon2Hasher(), not of names or classes: "
                'profile("django") or preferring(...) of asgiauth.passwords makes one'
            )
        if not isinstance(self.min_length, int) or self.min_length is True or not 1 <= self.min_length <= MAX_BYTES:
            raise ConfigurationError(
                f"PasswordPolicy(min_length=...) is a number from 1 to {MAX_BYTES}: blank passwords are no passwords, "
                "and longer ones are refused"
            )
        if not _are_all(self.validators, "validate"):
            raise ConfigurationError(
                "PasswordPolicy(validators=...) is a list of objects with validate(password, user), such as "
                "[CommonPasswordValidator()]"
            )
        if not 0 <= self.history <= MAX_HISTORY:
            raise ConfigurationError(
                f"PasswordPolicy(history=...) is 0 for none, and at most {MAX_HISTORY}: each one costs a hash"
            )
        if self.max_age is not None and self.max_age < timedelta(minutes=1):
            raise ConfigurationError("PasswordPolicy(max_age=...) is at least a minute, or None for no limit")
        times = (self.hash_queue, self.hash_patience, self.failure_deadline)
        if (self.hash_slots is not None and self.hash_slots < 1) or not all(time >= 0 for time in times):  # nor NaN
            raise ConfigurationError(
                "PasswordPolicy needs hash_slots of at least 1, and hash_queue, hash_patience and failure_deadline of "
                "at least 0"
            )

    @classmethod
    def nist(cls, *, words: Sequence[str] = (), **overrides: Any) -> Self:
        """NIST SP 800-63B-4, section 3.1.1.2, where the password is the only factor: 15 characters, and nothing that is
        expected, common or compromised. No estimate of strength. `words` and `overrides`: as for
        `recommended_validators` and `PasswordPolicy`."""
        validators = recommended_validators(words=words, strength=False)
        return cls(**{"min_length": 15, "validators": validators, **overrides})

    @classmethod
    def django(cls, **overrides: Any) -> Self:
        """What a new Django project asks, and how it stores it: PBKDF2 first, and Django's four validators alone.

        For a database that a Django site uses too: what is stored here is not rewritten there.
        """
        validators = (UserAttributeSimilarityValidator(), CommonPasswordValidator(), NumericPasswordValidator())
        hashers = preferring(PBKDF2Hasher())
        return cls(**{"hashers": hashers, "min_length": 8, "validators": validators, **overrides})

    def reasons_against(self, password: str) -> list[Reason]:
        """Every rule that the password breaks."""
        reasons = []
        if len(password) < self.min_length:
            reasons.append(Reason("password_too_short", {"min_length": self.min_length}))
        if reason := unstorable(password):
            reasons.append(reason)
        return reasons


def _are_all(given: object, method: str) -> bool:
    """A list of objects with this method; a class is none: it lacks its parentheses."""
    return isinstance(given, Sequence) and all(
        not isinstance(one, type) and callable(getattr(one, method, None)) for one in given
    )


def unstorable(password: str) -> Reason | None:
    """Why no hasher could take this password exactly as it is, if so: nothing is cut off or replaced (D-08)."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return Reason("password_not_unicode")
    if not size:
        return Reason("password_blank")
    return Reason("password_too_long", {"max_bytes": MAX_BYTES}) if size > MAX_BYTES else None
