"""From a database URL to a `databases.Database`, with every part of the URL either honoured or refused.

`databases` ignores what it does not know: `?sslmode=require` would connect without TLS, `postgresql+psycopg://`
would run on asyncpg. Here both are errors or mean what they say.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import databases

from ..exceptions import ConfigurationError, MissingDependency

__all__ = ["database_from_url"]

CONNECT_TIMEOUT = 5
"""Seconds to wait for a connection (D-23)."""

_SCHEMES = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+asyncpg": "postgresql",
    "mysql": "mysql",
    "mysql+asyncmy": "mysql",
    "mariadb": "mysql",
    "mariadb+asyncmy": "mysql",
}
_TLS_KEYS = ("sslmode", "sslrootcert")
_TLS_MODES = ("disable", "require", "verify-ca", "verify-full")


def database_from_url(url: str, *, read_only: bool = False) -> databases.Database:
    """`read_only`: a file of SQLite is opened so that nothing can be written to it, and must be there. Raises
    `ConfigurationError` for a scheme, driver or query key that could not be honoured."""
    scheme, separator, rest = url.partition("://")
    dialect = _SCHEMES.get(scheme)
    if not separator or dialect is None:
        known = f" {scheme!r}" if separator and re.fullmatch(r"[a-z0-9+]+", scheme) else ""
        raise ConfigurationError(
            f"unsupported database URL scheme{known}: use sqlite://, postgresql:// (asyncpg), mysql:// (asyncmy), "
            "or pass an SQLAlchemy AsyncEngine"
        )
    if "#" in rest:
        raise ConfigurationError("a # in the database URL begins a part that nobody reads: write it as %23")
    location, _, query = rest.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ConfigurationError("a key appears twice in the database URL: keep one")
    target = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql+asyncmy"}[dialect]
    if dialect == "sqlite":
        options = _take(keys, _SQLITE_OPTIONS)
        _check_file(location)
        location = _as_uri(location, options, read_only=read_only)
    else:
        _check_port(f"{target}://{location}")
        tls = _tls(keys)
        options = _take(keys, _POSTGRESQL_OPTIONS if dialect == "postgresql" else _MYSQL_OPTIONS)
        options = {**_DEFAULTS[dialect], **options, **tls}
        if options["min_size"] > options["max_size"]:
            raise ConfigurationError("min_size is larger than max_size in the database URL: 1 and 10 are the defaults")
    try:
        return databases.Database(f"{target}://{location}", **options)
    except ImportError as error:
        raise MissingDependency(
            {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "asyncmy"}[dialect], dialect
        ) from error


def _check_file(location: str) -> None:
    path = unquote(location)
    if path in ("", "/", "/:memory:"):
        raise ConfigurationError(
            "an in-memory SQLite database would be empty on each new connection: use a file, sqlite:///app.db"
        )
    if not path.startswith("/"):
        raise ConfigurationError("an SQLite URL has three slashes before the path, sqlite:///app.db, or four: absolute")


def _as_uri(location: str, options: dict[str, Any], *, read_only: bool) -> str:
    """SQLite takes `mode` and `immutable` in a file's URI alone."""
    keys: dict[str, str] = {name: options.pop(name) for name in ("mode", "immutable") if name in options}
    if read_only:
        keys["mode"] = "ro"
    if not keys:
        return location
    options["uri"] = True
    uri = "file:" + quote(unquote(location)[1:])
    return f"/{quote(uri)}?{urlencode(keys)}"


def _check_port(url: str) -> None:
    try:
        urlsplit(url).port  # noqa: B018  reading it is the check
    except ValueError:
        raise ConfigurationError("the port in the database URL is not a number from 0 to 65535") from None


def _seconds(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError
    return number


def _only(*allowed: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return checked


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_POOL: dict[str, tuple[str, Callable[[str], Any]]] = {
    "min_size": ("min_size", _positive),
    "max_size": ("max_size", _positive),
}
_SQLITE_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "timeout": ("timeout", _seconds),
    "mode": ("mode", _only("ro")),
    "immutable": ("immutable", _only("1")),
}
_POSTGRESQL_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    **_POOL,
    "application_name": ("application_name", str),
}
_MYSQL_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    **_POOL,
    "pool_recycle": ("pool_recycle", _positive),
    "unix_socket": ("unix_socket", str),
    "charset": ("charset", _only("utf8", "utf8mb3", "utf8mb4")),
}


def _take(keys: dict[str, str], known: Mapping[str, tuple[str, Callable[[str], Any]]]) -> dict[str, Any]:
    unknown = sorted(set(keys) - set(known))
    if unknown:
        allowed = ", ".join(sorted([*known, *_TLS_KEYS] if known is not _SQLITE_OPTIONS else known))
        raise ConfigurationError(f"unknown key {unknown[0]!r} in the database URL: known are {allowed}")
    taken: dict[str, Any] = {}
    for key, text in keys.items():
        name, convert = known[key]
        try:
            taken[name] = convert(text)
        except ValueError:
            raise ConfigurationError(f"{key}={text!r} in the database URL is not valid") from None
    if "application_name" in taken:
        taken["server_settings"] = {"application_name": taken.pop("application_name")}
    return taken


def _tls(keys: dict[str, str]) -> dict[str, Any]:
    """`sslmode` as libpq means it, without `allow` and `prefer`: they fall back to clear text."""
    mode = keys.pop("sslmode", None)
    root = keys.pop("sslrootcert", None)
    if mode is None:
        if root is not None:
            raise ConfigurationError("sslrootcert in the database URL needs sslmode=verify-ca or sslmode=verify-full")
        return {}
    if mode not in _TLS_MODES:
        raise ConfigurationError(f"sslmode={mode!r} in the database URL: use one of {', '.join(_TLS_MODES)}")
    if mode == "disable":
        return {"ssl": False}
    try:
        context = ssl.create_default_context(cafile=root)
    except OSError:
        raise ConfigurationError(f"sslrootcert={root!r} in the database URL cannot be read") from None
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


async def _no_reset(connection: object) -> None:
    """asyncpg resets a connection at each release, at the price of a round trip; asgiauth leaves nothing to reset."""


_DEFAULTS: dict[str, dict[str, Any]] = {
    "postgresql": {"min_size": 1, "max_size": 10, "timeout": CONNECT_TIMEOUT, "reset": _no_reset},
    "mysql": {"min_size": 1, "max_size": 10, "connect_timeout": CONNECT_TIMEOUT, "charset": "utf8mb4"},
}
