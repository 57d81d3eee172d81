"""What an application may set, checked when it is set: a mistake is told when `Auth(...)` is built."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.routing import BaseRoute

from .exceptions import ConfigurationError
from .http.redirects import safe_next
from .sessions import SessionPolicy
from .users import UserModel

__all__ = [
    "check_jobs",
    "check_parts",
    "check_realm",
    "check_routes",
    "check_skip",
    "check_url",
    "env",
    "is_https",
    "site_words",
]


def is_https(base_url: str) -> bool:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(f"base_url={base_url!r}: give scheme and host, such as https://shop.example")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"base_url={base_url!r}: plain http is for this machine only; use https")
    return parts.scheme == "https"


def check_jobs(jobs: str) -> None:
    if jobs not in ("lifespan", "worker", "off"):
        raise ConfigurationError(f"jobs={jobs!r}: use 'lifespan', 'worker' or 'off'")


def check_parts(user_model: object, sessions: object, backends: object) -> None:
    """What stands in the place of the object that holds it, as a Django site has it."""
    if not isinstance(user_model, UserModel | None):
        raise ConfigurationError('user_model takes a UserModel: UserModel(Member), UserModel(table="shop_customer")')
    if not isinstance(sessions, SessionPolicy | None):
        raise ConfigurationError("sessions takes a SessionPolicy: a store is its SessionPolicy(store=...)")
    if not isinstance(backends, Sequence | None) or any(isinstance(one, type | str) for one in backends or ()):
        raise ConfigurationError("backends takes a list of objects, such as [PasswordBackend()]: no class, and no path")


def check_url(name: str, url: str) -> None:
    """A Location header may hold it, and a browser takes it for what it looks like (D-19)."""
    is_url = url.startswith(("https://", "http://")) and bool(urlsplit(url).hostname) and url.isascii()
    if not safe_next(url, "") and not (is_url and url.isprintable() and not set(" \\") & set(url)):
        raise ConfigurationError(f"{name}={url!r}: give a path of this application, such as /, or a whole URL")


def site_words(base_url: str) -> list[str]:
    """What the password of a user must not consist of (D-07): the host, and the parts of its name."""
    host = urlsplit(base_url).hostname or ""
    return [host, *host.split(".")]


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_skip(skip: Sequence[str]) -> None:
    if isinstance(skip, str) or any(not prefix.startswith("/") or prefix == "/" for prefix in skip):
        raise ConfigurationError(f'skip={skip!r}: give a list of path prefixes, such as ["/static/"]')


def check_routes(routes: Sequence[BaseRoute]) -> None:
    """A second route for a path would never be reached."""
    paths = [re.sub(r"{[^}]*}", "{}", getattr(route, "path", "")) for route in routes]
    if twice := {path for path in paths if path and paths.count(path) > 1}:
        raise ConfigurationError(f"two features serve the same path: {', '.join(sorted(twice))}")


def check_realm(realm: str) -> None:
    if realm in ("pending", "csrf"):
        raise ConfigurationError(f"realm={realm!r} would give its cookie the name of another one")
    if not re.fullmatch(r"[a-z0-9_]{0,20}", realm):
        raise ConfigurationError(f"realm={realm!r}: use up to 20 lower-case letters, digits and _")


def env(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(f"the environment variable {name} is not set")
    return value
