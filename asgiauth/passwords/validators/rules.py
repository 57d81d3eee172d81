"""Three of Django's four rules: length, likeness to the user, digits alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ...exceptions import ConfigurationError, PasswordRejected, Reason
from .base import NAMES

__all__ = ["MinimumLengthValidator", "NumericPasswordValidator", "UserAttributeSimilarityValidator"]


@dataclass(frozen=True)
class MinimumLengthValidator:
    """At least `min_length` characters (code points). `PasswordPolicy(min_length=...)` is this rule already; list it
    for another limit beside a feature's. Row A16.1."""

    min_length: int = 8

    def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`, code `password_too_short`, params `min_length`."""
        if len(password) < self.min_length:
            raise PasswordRejected([Reason("password_too_short", {"min_length": self.min_length})])

    def get_help_text(self) -> Reason:
        return Reason("password_too_short", {"min_length": self.min_length})


@dataclass(frozen=True)
class UserAttributeSimilarityValidator:
    """Not much like a name of the user: neither like an attribute of `user_attributes`, nor like a word in it.

    `max_similarity`, from 0.1 to 1: how many of the characters the two have in common, counted as
    `difflib.SequenceMatcher.quick_ratio` counts them; 0.1 refuses nearly everything, 1 only the same characters in
    another order. A name that is far shorter than the password is not compared. Row A16.2. Raises
    `ConfigurationError` below 0.1.
    """

    user_attributes: Sequence[str] = NAMES
    max_similarity: float = 0.7

    def __post_init__(self) -> None:
        if isinstance(self.user_attributes, str):
            raise ConfigurationError("UserAttributeSimilarityValidator(user_attributes=...) is a list of names")
        if not self.max_similarity >= 0.1:
            raise ConfigurationError("UserAttributeSimilarityValidator(max_similarity=...) is at least 0.1")

    def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`, code `password_too_similar`, params `verbose_name`: the attribute."""
        lowered = password.lower()
        for attribute in self.user_attributes if user else ():
            value = getattr(user, attribute, None)
            if isinstance(value, str) and value and self._is_like(lowered, value.lower()):
                raise PasswordRejected([Reason("password_too_similar", {"verbose_name": attribute})])

    def get_help_text(self) -> Reason:
        return Reason("password_too_similar")

    def _is_like(self, password: str, value: str) -> bool:
        return any(
            SequenceMatcher(a=password, b=part).quick_ratio() >= self.max_similarity
            for part in (*re.split(r"\W+", value), value)
            if not self._is_far_shorter(part, password)
        )

    def _is_far_shorter(self, part: str, password: str) -> bool:
        """Django's bound (CVE-2021-45115): without it, a long password costs much for an answer that is known."""
        return len(password) >= 10 * len(part) and len(part) < self.max_similarity / 2 * len(password)


@dataclass(frozen=True)
class NumericPasswordValidator:
    """Not digits alone, of whatever script. Row A16.4."""

    def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`, code `password_entirely_numeric`."""
        if password.isdigit():
            raise PasswordRejected([Reason("password_entirely_numeric")])

    def get_help_text(self) -> Reason:
        return Reason("password_entirely_numeric")
