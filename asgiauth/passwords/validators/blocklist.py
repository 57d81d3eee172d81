"""Passwords that are guessed first, whole passwords only (D-07): those of many people, and those of this one."""

from __future__ import annotations

import gzip
import os
import re
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ...exceptions import ConfigurationError, PasswordRejected, Reason
from .base import names_of

__all__ = ["CommonPasswordValidator", "ContextWordValidator"]

LIST = Path(__file__).parent.parent / "data" / "common-passwords.txt.gz"
"""Made by data/build.py."""

_reading = threading.Lock()


@dataclass(frozen=True)
class CommonPasswordValidator:
    """None of the passwords that many people use, whatever its case and whatever blanks stand around it.

    `password_list_path`: a list of your own instead, one password a line, plain or gzip, UTF-8; read when this is
    built. Ours is read at the first password, once for all. Row A16.3, ASVS 6.2.4. Raises `ConfigurationError` when the
    file cannot be read.
    """

    password_list_path: str | os.PathLike[str] | None = None
    _own: frozenset[str] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.password_list_path is not None:
            object.__setattr__(self, "_own", _own_list(Path(self.password_list_path)))

    def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`, code `password_too_common`."""
        if password.lower().strip() in (self._own or common_passwords()):
            raise PasswordRejected([Reason("password_too_common")])

    def get_help_text(self) -> Reason:
        return Reason("password_too_common")


@dataclass(frozen=True)
class ContextWordValidator:
    """Not just names of the user's or words of the site's: user name, first and last name, mail address and its parts,
    and `words`, such as the names of the site, the company and its products; in whatever case and number, and with no
    more than six digits and signs beside them. ASVS 6.2.11, NIST SP 800-63B-4 3.1.1.2. Raises `ConfigurationError`
    when `words` is no list of words."""

    words: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.words, str) or not all(isinstance(word, str) for word in self.words):
            raise ConfigurationError('ContextWordValidator(words=...) is a list of words, such as ["acme", "rocket"]')

    def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`, code `password_too_obvious`."""
        own = [*self.words, *names_of(user)]
        if _is_made_of(password, set().union(*map(_words, own))):
            raise PasswordRejected([Reason("password_too_obvious")])

    def get_help_text(self) -> Reason:
        return Reason("password_too_obvious")


def common_passwords() -> frozenset[str]:
    """The list that asgiauth brings. The first call reads it, from a thread: it takes some milliseconds."""
    with _reading:
        return _read(LIST)


@cache
def _read(path: Path) -> frozenset[str]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()
    return frozenset(word for line in text.lower().split("\n") if (word := line.strip()))


def _own_list(path: Path) -> frozenset[str]:
    try:
        found = _read(path)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigurationError(
            f"the password list {path} cannot be read ({error}): give a text file, one password a line, or one by gzip"
        ) from None
    if not found:
        raise ConfigurationError(
            f"the password list {path} is empty: leave password_list_path out for the built-in one"
        )
    return found


def _words(text: str) -> set[str]:
    """The text, and the words in it: "Acme-2026" and "acme"."""
    return {word for word in (text.casefold(), *re.split(r"[\W\d_]+", text.casefold())) if len(word) >= 3}


def _is_made_of(password: str, words: set[str]) -> bool:
    """Whether nothing is left without the words, but for a few digits and signs: a year and a `!`."""
    folded = left = password.casefold()
    for word in sorted(words, key=len, reverse=True):
        left = left.replace(word, "\n")
    rest = left.replace("\n", "")
    return left != folded and len(rest) <= 6 and not any(character.isalpha() for character in rest)
