"""What is wrong with a configuration, or not good enough for production. No I/O but reading the application's code."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterator
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..auth import Auth
from ..checks import Finding
from ..configuration import _is_loopback
from ..http.speaker import Speaker
from ..sessions.memory import MemorySessionStore
from .beside_django import of_shared, of_store
from .hashing import of_hashers

__all__ = ["of_auth", "of_deployment", "own_path", "speaker_of", "trusts_everybody"]

_KEY_CURE = 'make one with python -c "import secrets; print(secrets.token_urlsafe(48))" and keep the old one behind it'


def speaker_of(auth: Auth[Any]) -> Speaker[Any]:
    speaker: Speaker[Any] = auth.middleware[0].args[0]  # type: ignore[assignment]
    return speaker


def own_path(url: str, speaker: Speaker[Any]) -> str:
    """The path of a page of this site, without query; "" for another site's."""
    parts = urlsplit(url)
    is_own = not parts.netloc or f"{parts.scheme}://{parts.netloc}" == speaker.origin
    return parts.path if is_own else ""


def trusts_everybody(networks: Collection[IPv4Network | IPv6Network]) -> bool:
    """More than a 32nd of all addresses, however it is cut up: 10.0.0.0/8 is a 256th, fc00::/7 a 128th, and nobody has
    more proxies than that."""
    fours = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
    sixes = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
    return any(
        sum(network.num_addresses for network in joined) > 2**bits // 32 for joined, bits in ((fours, 32), (sixes, 128))
    )


def of_auth(auth: Auth[Any]) -> Iterator[Finding]:
    """What is wrong wherever it runs."""
    for look in auth.checks:
        yield from look()
    speaker = speaker_of(auth)
    for name in ("is_authenticated", "is_anonymous"):
        if callable(getattr(auth.users._model.cls, name)):  # Django row A19.3: a method is always true
            yield Finding(
                f"{name}_is_a_method",
                "error",
                f"{auth.users._model.cls.__name__}.{name} is a method, which is true whatever it would return.",
                "Write @property above it, or leave it out.",
            )
    yield from of_store(auth, speaker)
    if trusts_everybody(speaker.proxies._networks):
        yield Finding(
            "proxies_trust_everybody",
            "error",
            "trusted_proxies has most addresses of the internet: every client may say what its address is.",
            "Name the networks of your own proxies, such as 10.0.0.0/8.",
        )
    if auth._database.read_only and auth._runs_jobs:
        yield Finding(
            "read_only_runs_no_jobs",
            "warning",
            "Auth(read_only=True) runs no jobs: what has expired stays until somebody who may write deletes it.",
            'Run them there, in a lifespan or by `asgiauth worker`, and say jobs="off" here.',
        )
    login = own_path(speaker.login_url, speaker)
    if login.startswith(tuple(speaker.skip)):
        yield Finding(
            "login_is_skipped",
            "error",
            "login_url is below a prefix in skip: there is no session there, so nobody can log in.",
            "Take that prefix out of Auth(skip=[...]).",
        )
    if login and own_path(speaker.login_redirect_url, speaker).rstrip("/") == login.rstrip("/"):  # Django row A11.4
        yield Finding(
            "login_redirect_loop",
            "error",
            "login_redirect_url is the login page: whoever has logged in is asked to log in again.",
            "Give login_redirect_url a page for members.",
        )


def of_deployment(auth: Auth[Any]) -> Iterator[Finding]:
    """What may be so on a developer's machine, and not where it is open to others."""
    yield from _of_address(auth)
    yield from _of_keys(auth)
    yield from _of_passwords(auth)
    yield from _of_sessions(auth)
    yield from of_shared(auth, speaker_of(auth))
    if _is_in_memory(auth):
        yield Finding(
            "database_in_memory",
            "error",
            "The database is SQLite in memory: it is gone with the process, and each process has its own.",
            "Use a file, PostgreSQL or MariaDB.",
        )


def _of_address(auth: Auth[Any]) -> Iterator[Finding]:
    speaker = speaker_of(auth)
    site = urlsplit(speaker.origin)
    if site.scheme != "https":  # as security.W012 and W016 of Django
        yield Finding(
            "base_url_not_https",
            "error",
            "base_url is plain http, so that the session cookie is neither Secure nor bound to this host (__Host-).",
            "Give the https address of the site.",
        )
    elif _is_loopback(site.hostname or ""):
        yield Finding(
            "base_url_is_local",
            "error",
            "base_url names this machine: links lead nowhere, and CSRF refuses what comes from the real site.",
            "Give the address that browsers use.",
        )
    elif _is_private(site.hostname or ""):
        yield Finding(
            "base_url_is_private",
            "warning",
            "base_url is an address of a private network: from anywhere else, links in mail lead nowhere.",
            "Give the name that browsers use. On an intranet it may be right.",
        )
    if any(origin.startswith(b"http://") for origin in speaker.csrf._trusted):
        yield Finding(
            "trusted_origin_not_https",
            "error",
            "trusted_origins has an http address: whoever sits on the network can send requests in its name.",
            "Give its https address.",
        )
    if speaker.login_url.startswith("http://"):
        yield Finding(
            "login_url_not_https",
            "error",
            "login_url is plain http: passwords cross the network in clear text.",
            "Give a path, or an https address.",
        )


def _of_keys(auth: Auth[Any]) -> Iterator[Finding]:
    secrets = _secrets(auth)
    sources = [path for path in _own_sources() if any(secret in path.read_bytes() for secret in secrets)]
    for number, secret in enumerate(secrets, start=1):  # as security.W009 and W025 of Django
        if len(secret) < 43:
            yield Finding(
                "secret_key_short",
                "error",
                f"Secret key {number} has {len(secret)} characters; 43 of base64 hold 256 bits.",
                f"Replace it: {_KEY_CURE}.",
            )
        elif len(set(secret)) < 16 or re.fullmatch(rb"(.{1,16})\1+.{0,15}", secret, re.DOTALL):
            yield Finding(
                "secret_key_weak",
                "error",
                f"Secret key {number} repeats itself: it was not made by chance.",
                f"Replace it: {_KEY_CURE}.",
            )
    if sources:
        yield Finding(
            "secret_key_in_source",
            "error",
            f"A secret key stands in {sources[0].name}: whoever can read the code can log in as anybody.",
            "Keep keys in the environment, Auth.from_env(), and replace this one.",
        )
    if len(secrets) == 1:
        yield Finding(
            "secret_key_never_rotated",
            "warning",
            "There is one secret key. That is right until the first rotation.",
            "When you rotate it, put the new key first and keep the old one in the list until what it signed is over.",
        )


def _of_passwords(auth: Auth[Any]) -> Iterator[Finding]:
    policy = auth.passwords.policy
    if policy.min_length < 8:
        yield Finding(
            "passwords_short",
            "error",
            f"Passwords of {policy.min_length} characters are accepted (ASVS 6.2.1).",
            "PasswordPolicy(min_length=8), or more.",
        )
    elif policy.min_length < 15 and not _has_second_factor(auth):  # D-05, NIST SP 800-63B-4, 3.1.1.2
        yield Finding(
            "passwords_alone_short",
            "warning",
            f"Passwords are the only factor, and {policy.min_length} characters are enough; NIST asks for 15.",
            "Take PasswordPolicy.nist() or min_length=15, or ask for a second factor.",
        )
    yield from of_hashers(policy.hashers)
    if not policy.failure_deadline:
        yield Finding(
            "failures_tell_time",
            "error",
            "failure_deadline is 0: how long a failed login takes tells which users there are.",
            "Leave PasswordPolicy(failure_deadline=...) out.",
        )


def _has_second_factor(auth: Auth[Any]) -> bool:
    return any(step.requirement == "second_factor" for step in speaker_of(auth).login._steps.values())


def _of_sessions(auth: Auth[Any]) -> Iterator[Finding]:
    policy = auth.sessions.policy
    if isinstance(auth.sessions.store, MemorySessionStore):
        yield Finding(
            "sessions_in_memory",
            "error",
            "Sessions are in the memory of one process: a restart logs everybody out, a second one knows none of them.",
            "Leave SessionPolicy(store=...) out to keep them in the database.",
        )
    if max(policy.absolute, policy.remember_absolute) > timedelta(days=90):
        yield Finding(
            "sessions_long",
            "warning",
            "A session may last longer than 90 days without another login.",
            "Shorten SessionPolicy(absolute=..., remember_absolute=...).",
        )


def _secrets(auth: Auth[Any]) -> tuple[bytes, ...]:
    """Only their length and variety is told. They are in a closure, out of reach for `repr` and `vars`."""
    keys: Any = auth.sessions._signing.keys
    return tuple(inspect.getclosurevars(keys.__wrapped__).nonlocals["secrets"])


def _own_sources() -> Iterator[Path]:
    """The modules of the application, as far as they are imported."""
    here = Path.cwd()
    for module in list(sys.modules.values()):
        path = Path(getattr(module, "__file__", None) or "")
        if path.suffix == ".py" and path.is_relative_to(here) and "site-packages" not in path.parts:
            yield path


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _is_in_memory(auth: Auth[Any]) -> bool:
    source: Any = auth._database._source
    url = (source.engine if hasattr(source, "engine") else source.database).url
    return auth._database.dialect == "sqlite" and (url.database in (None, "", ":memory:") or "mode=memory" in str(url))
