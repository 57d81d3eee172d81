"""What `asgiauth check --deploy` finds where a Django site uses the database, and `Auth(shared_with_django=True)` says
so: nothing is connected here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..auth import Auth
from ..checks import Finding
from ..http.speaker import Speaker
from ..passwords.hashers import PBKDF2Hasher
from ..sessions import DjangoSessionStore

__all__ = ["of_shared", "of_store"]

_DJANGOS = ("pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "scrypt")
"""In Django's default PASSWORD_HASHERS (row A15.8)."""
_COOKIES = ("sessionid", "csrftoken")


def of_store(auth: Auth[Any], speaker: Speaker[Any]) -> Iterator[Finding]:
    """What a `DjangoSessionStore` and the backends do not agree on."""
    store, backends = auth.sessions.store, speaker.login.backends
    names = store._names.values() if isinstance(store, DjangoSessionStore) else ()
    for name in dict.fromkeys(name for name in names if name not in backends):
        yield Finding(
            "shared_backend_unknown",
            "warning",
            f"backend_map of DjangoSessionStore has {name!r}, as no backend of this Auth is called: whom Django logs "
            "in by that path is anonymous here.",
            f"Give it the name of one of them: {', '.join(backends)}.",
        )


def of_shared(auth: Auth[Any], speaker: Speaker[Any]) -> Iterator[Finding]:
    if auth._shared_with_django is not True:
        return
    first = auth.passwords._hashers[0]
    default = PBKDF2Hasher()
    is_djangos = first.algorithm == default.algorithm and vars(first) == vars(default)
    if first.algorithm not in _DJANGOS:
        yield Finding(
            "shared_hashes_unknown",
            "error",
            f"{type(first).__name__} makes hashes that Django does not verify: who sets a password here, cannot log in "
            "there.",
            "Leave PasswordPolicy(hashers=...) out, or add its like to PASSWORD_HASHERS of the Django site.",
        )
    elif not is_djangos:
        yield Finding(
            "shared_hashes_rewritten",
            "warning",
            f"Django rewrites what {type(first).__name__} makes at each login there, which ends the user's sessions "
            "here, unless it is the first of its PASSWORD_HASHERS, at the same cost.",
            "Leave PasswordPolicy(hashers=...) out, or make it the first there, too.",
        )
    name = auth.sessions.policy.cookie.name
    if name in _COOKIES and urlsplit(speaker.origin).scheme != "https":
        yield Finding(
            "shared_cookie_name",
            "error",
            f"The session cookie is called {name} as Django's own is, and each site overwrites the other's.",
            "Leave SessionCookie(name=...) out, or share sessions: SessionPolicy(store=DjangoSessionStore(...)).",
        )
