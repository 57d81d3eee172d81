"""What a user may log in by, in one canonical form each (D-09): the single place where names are made comparable.

Length is checked first, then the form, then the characters: normalising an unbounded string is an attack of its own.
"""

from __future__ import annotations

import re
import unicodedata

import idna

from ..exceptions import InvalidField

__all__ = [
    "canonical",
    "check_email",
    "check_pair",
    "check_username",
    "is_pair",
    "is_storable",
    "name_of",
    "normalize_email",
]

USERNAME_MAX = 150
EMAIL_MAX = 254

_USERNAME = re.compile(r"[A-Za-z0-9_.+@-]+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def check_username(username: str) -> str:
    """ASCII letters, digits and `_ . + @ -`, at most 150. Raises `InvalidField`."""
    if not username:
        raise InvalidField("username", "required")
    if len(username) > USERNAME_MAX:
        raise InvalidField("username", "too_long", {"max_length": USERNAME_MAX})
    if not _USERNAME.fullmatch(username):
        raise InvalidField("username", "invalid_username")
    if canonical(username) is None:
        raise InvalidField("username", "must_equal_email")
    return username


def normalize_email(email: str) -> str:
    """Django's rule (row A2.3): the domain in lower case, the local part as typed; without `@` unchanged."""
    local, at, domain = email.strip().rpartition("@")
    return f"{local}@{domain.lower()}" if at else email


def check_email(email: str) -> str:
    """The address as it is stored; blank stays blank. Raises `InvalidField`."""
    if not email:
        return ""
    if len(email) > EMAIL_MAX:
        raise InvalidField("email", "too_long", {"max_length": EMAIL_MAX})
    if email != email.strip() or _canonical_email(normalize_email(email)) is None:
        raise InvalidField("email", "invalid_email")
    return normalize_email(email)


def canonical(identifier: str) -> str | None:
    """The form in which two spellings of one name, or of one address, are equal; None if nobody can have it."""
    if not identifier or len(identifier) > EMAIL_MAX:
        return None
    if "@" in identifier:
        return _canonical_email(normalize_email(identifier))
    return identifier.casefold() if _USERNAME.fullmatch(identifier) else None


def is_storable(text: str) -> bool:
    """Can every server keep and compare it? PostgreSQL takes no NUL, and a lone surrogate has no bytes."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def normalize_username(username: str) -> str:
    """NFKC, as Django stores user names (row A2.14)."""
    return unicodedata.normalize("NFKC", username)


def name_of(address: str) -> str:
    """Whoever gives no user name is called by the address, where that can be a user name."""
    try:
        return check_username(address)
    except InvalidField:
        raise InvalidField("username", "required") from None


def is_pair(username: str, email: str) -> bool:
    """A user name that looks like an address is the user's own address."""
    return "@" not in username or (bool(email) and canonical(username) == canonical(email))


def check_pair(username: str, email: str) -> None:
    if not is_pair(username, email):
        raise InvalidField("username", "must_equal_email")


def _canonical_email(email: str) -> str | None:
    """`Ann@Bücher.example` -> `ann@xn--bcher-kva.example` (IDNA 2008, UTS 46)."""
    local, _, domain = email.rpartition("@")
    if len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        return None
    if domain.endswith(".") or ("." not in domain and domain != "localhost"):
        return None
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    address = f"{local.casefold()}@{ascii_domain.lower()}"
    # IDNA takes other full stops for a dot; whoever types one is not at home in that domain (V-095)
    return address if len(address) <= EMAIL_MAX and ascii_domain.count(".") == domain.count(".") else None
