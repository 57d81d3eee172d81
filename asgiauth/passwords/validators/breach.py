"""Is the password known from a breach? Asked without telling anybody which password it is."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import OrderedDict
from datetime import timedelta
from hashlib import sha1
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Literal

from ...exceptions import ConfigurationError, MissingDependency, PasswordRejected, Reason

if TYPE_CHECKING:
    import httpx2

__all__ = ["BreachedPasswordValidator"]

logger = logging.getLogger("asgiauth")

_LARGEST = 256 * 1024
"""Bytes of an answer: the largest range has about 40 KiB, padding among it."""
_RANGES = 128
"""That are kept: some 5 MB at most."""
_QUIET = 60.0
"""Seconds between two lines in the log that say the same."""
_ANSWER = re.compile(rb"(?:[0-9A-Fa-f]{35}:[0-9]{1,12}(?:\r?\n|\Z))*")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?:/[^\s?#@]*)?"
)
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class _NoAnswer(Exception):
    """The service did not say what it should have said."""


class BreachedPasswordValidator:
    """Refuses passwords that were seen in breaches at least `min_count` times (ASVS 6.2.12, NIST SP 800-63B-4, D-07),
    with the code `password_breached` and the `count`. Needs the extra `breach`.

    `url`: a service that speaks the range protocol of Have I Been Pwned, or a mirror of your own. It learns the first
    five hexadecimal digits of the password's SHA-1, which thousands of passwords share, and that somebody asks; the
    rest is compared here. Plain http is for this machine only; redirects are not followed. One that has not answered
    within `timeout` seconds, or not as it should, refuses nobody: the log says so, once a minute at most. `cache`: for
    how long an answer is kept in this process.

    `on_login`: `"notify"` also asks when somebody logs in with the right password, and publishes `PasswordBreached`;
    `"change"` makes them choose another one before they are in. A login that fails asks nobody.

    Raises `MissingDependency`, and `ConfigurationError` for a URL that would not do.
    """

    def __init__(
        self,
        url: str = "https://api.pwnedpasswords.com/range/",
        *,
        timeout: float = 1.0,
        min_count: int = 1,
        cache: timedelta = timedelta(hours=1),
        on_login: Literal["off", "notify", "change"] = "off",
    ) -> None:
        self._host = _host_of(url)
        if timeout <= 0 or min_count < 1 or cache < timedelta(0):
            raise ConfigurationError(
                "BreachedPasswordValidator needs a timeout of more than 0 seconds, a min_count of at least 1, and a "
                "cache of timedelta(0), for none, or more"
            )
        if on_login not in ("off", "notify", "change"):
            raise ConfigurationError(f"on_login={on_login!r}: use 'off', 'notify' or 'change'")
        if find_spec("httpx2") is None:
            raise MissingDependency("httpx2", "breach")
        self.on_login = on_login
        self._url = url.rstrip("/") + "/"
        self._timeout = timeout
        self._min_count = min_count
        self._lasts = cache.total_seconds()
        self._ranges: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._tls: ssl.SSLContext | None = None
        self._silent_until = 0.0

    def get_help_text(self) -> Reason:
        return Reason("password_breached")

    async def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`."""
        if count := await self.count(password):
            raise PasswordRejected([Reason("password_breached", {"count": count})])

    async def count(self, password: str) -> int:
        """How often it was seen in breaches; 0 for fewer than `min_count`, and where nobody can tell now."""
        digest = sha1(password.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest().upper()
        try:
            answer = await self._range(digest[:5])
        except Exception as error:  # noqa: BLE001  nobody is refused for it; and it may quote what was asked
            self._complain(str(error) if isinstance(error, _NoAnswer) else type(error).__name__)
            return 0
        found = re.search(rb"^%b:([0-9]+)" % digest[5:].encode(), answer, re.MULTILINE)
        count = int(found[1]) if found else 0  # padding has a count of 0
        return count if count >= self._min_count else 0

    async def _range(self, prefix: str) -> bytes:
        kept = self._ranges.get(prefix)
        if kept is not None and monotonic() < kept[0]:
            return kept[1]
        answer = await self._ask(prefix)
        if _ANSWER.fullmatch(answer) is None:
            raise _NoAnswer("what came is no range of hashes")
        answer = answer.upper()
        if self._lasts:
            self._ranges[prefix] = (monotonic() + self._lasts, answer)
            self._ranges.move_to_end(prefix)
            while len(self._ranges) > _RANGES:
                self._ranges.popitem(last=False)
        return answer

    async def _ask(self, prefix: str) -> bytes:
        if self._tls is None:
            self._tls = await asyncio.to_thread(_load)
        import httpx2

        # uncompressed, so that the limit holds before anything is unpacked; the padding hides the size of the answer
        headers = {"Add-Padding": "true", "Accept-Encoding": "identity", "User-Agent": "asgiauth"}
        request = httpx2.Request("GET", self._url + prefix, headers=headers)
        async with asyncio.timeout(self._timeout):
            # the transport itself: a client would write the address, and so the prefix, into the log
            async with httpx2.AsyncHTTPTransport(verify=self._tls) as transport:
                response = await transport.handle_async_request(request)
                try:
                    return await _body(response)
                finally:
                    await response.aclose()

    def _complain(self, why: str) -> None:
        now = monotonic()
        if now < self._silent_until:
            return
        self._silent_until = now + _QUIET
        logger.warning(
            "%s could not say whether a password is breached, and nobody is refused for it: %s", self._host, why
        )


def _load() -> ssl.SSLContext:
    """What reads files, once, in a thread."""
    import httpcore2  # noqa: F401  httpx2 loads it when it is first used

    return ssl.create_default_context()


async def _body(response: httpx2.Response) -> bytes:
    if response.status_code != 200 or response.headers.get("content-encoding", "identity") != "identity":
        raise _NoAnswer(f"it answers {response.status_code}")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _LARGEST:
            raise _NoAnswer("it answers far too much")
    return bytes(body)


def _host_of(url: str) -> str:
    """Raises `ConfigurationError` for an address that would not do."""
    found = _URL.fullmatch(url)
    is_plain = found is not None and found["scheme"] == "http" and found["host"] not in _LOOPBACK
    if found is None or is_plain or not 1 <= int(found["port"] or 443) <= 65535:
        raise ConfigurationError(
            f"BreachedPasswordValidator(url={url!r}): give an https address that the first five digits are put behind, "
            "such as https://api.pwnedpasswords.com/range/"
        )
    return found["host"]
