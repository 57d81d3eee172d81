"""B4.4: passwords that are known from breaches, asked of a server that speaks the range protocol."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from asgiauth.exceptions import ConfigurationError, MissingDependency, PasswordRejected, Reason
from asgiauth.passwords import BreachedPasswordValidator, Passwords
from asgiauth.passwords.validators import breach

from ..conftest import FAST
from ..login.renewing import NEW
from .ranges import BREACHED, Ranges, digest


@pytest.fixture
async def ranges() -> AsyncIterator[Ranges]:
    async with Ranges() as ranges:
        yield ranges


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def warnings(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]


# The validator


async def test_B4_4_a_password_that_is_known_from_a_breach_is_refused(ranges: Ranges) -> None:
    """With the count; one that is not, and the padding, which has a count of 0, are not."""
    validator = BreachedPasswordValidator(ranges.url, timeout=30)
    passwords = Passwords(replace(FAST, validators=[validator]))
    with pytest.raises(PasswordRejected) as rejected:
        await passwords.validate(BREACHED)
    assert rejected.value.reasons == (Reason("password_breached", {"count": 37}),)
    await passwords.validate("correct horse battery stapler")
    ranges.known["padding itself"] = 0
    assert await validator.count("padding itself") == 0
    assert passwords.help_texts()[-1] == "Not known from stolen data."


async def test_the_service_learns_five_digits_and_nothing_else(ranges: Ranges, log: pytest.LogCaptureFixture) -> None:
    """k-anonymity, with padding; neither the password nor its hash is logged, not even the five digits."""
    assert await BreachedPasswordValidator(ranges.url, timeout=30).count(BREACHED) == 37
    ((line, headers),) = ranges.asked
    assert line == f"GET /range/{digest(BREACHED)[:5]} HTTP/1.1"
    assert headers["add-padding"] == "true"
    assert headers["accept-encoding"] == "identity"
    assert set(headers) <= {"host", "add-padding", "accept-encoding", "user-agent"}
    for secret in (BREACHED, digest(BREACHED)[:5], digest(BREACHED)[5:]):
        assert secret not in f"{log.text}{line}".replace(f"/range/{digest(BREACHED)[:5]}", "")


@pytest.mark.parametrize(("count", "refused"), [(9, False), (10, True), (11, True)])
async def test_min_count_is_the_least_that_counts(ranges: Ranges, count: int, refused: bool) -> None:
    ranges.known[NEW] = count
    assert await BreachedPasswordValidator(ranges.url, min_count=10, timeout=30).count(NEW) == (count if refused else 0)


async def test_an_answer_in_lower_case_without_carriage_returns_is_read_too(ranges: Ranges) -> None:
    """Mirrors are made of files."""
    ranges.body = ranges.range(digest(BREACHED)[:5]).replace(b"\r\n", b"\n").lower() + b"\n"
    assert await BreachedPasswordValidator(ranges.url.rstrip("/"), timeout=30).count(BREACHED) == 37


async def test_any_string_has_an_answer(ranges: Ranges) -> None:
    """A backend of the application may take what no password is."""
    validator = BreachedPasswordValidator(ranges.url, timeout=30)
    assert [await validator.count(one) for one in ("", "\ud800", "x" * 100_000)] == [0, 0, 0]


async def refused_answers(ranges: Ranges, what: str) -> None:
    line = f"{digest(BREACHED)[5:]}:37\r\n".encode()
    match what:
        case "no range":
            ranges.body = b"<html>Log in to this network</html>"
        case "half a range":
            ranges.body = line + b"and then this"
        case "too much":
            ranges.body = line * 7000
        case "too much in a small space":
            ranges.body, ranges.headers = gzip.compress(line * 1_000_000), "Content-Encoding: gzip\r\n"
        case "broken off":
            ranges.body, ranges.breaks_off = line, True
        case "redirect":
            ranges.status, ranges.headers = "302 Found", f"Location: {ranges.url}\r\n"
        case "not HTTP":
            ranges.status = "what?"
        case _:
            ranges.status, ranges.body = what, line


@pytest.mark.parametrize(
    "what",
    [
        "no range",
        "half a range",
        "too much",
        "too much in a small space",
        "broken off",
        "redirect",
        "not HTTP",
        "404 Not Found",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "204 No Content",
    ],
)
async def test_D23_an_answer_that_is_none_refuses_nobody_and_is_not_kept(
    ranges: Ranges, what: str, log: pytest.LogCaptureFixture
) -> None:
    """Fail-open, with a line in the log; one request, whatever it answers; and the next one counts."""
    await refused_answers(ranges, what)
    validator = BreachedPasswordValidator(ranges.url, timeout=30)
    assert await validator.count(BREACHED) == 0
    (line,) = warnings(log)
    assert line.startswith("127.0.0.1 could not say whether a password is breached")
    assert digest(BREACHED)[:5] not in line
    assert len(ranges.asked) == 1
    ranges.status, ranges.body, ranges.headers, ranges.breaks_off = "200 OK", None, "", False
    assert await validator.count(BREACHED) == 37


async def test_D07_one_that_is_slow_is_not_waited_for(ranges: Ranges, log: pytest.LogCaptureFixture) -> None:
    """A second in all, by default: this one never answers."""
    ranges.silent = True
    began = asyncio.get_running_loop().time()
    await BreachedPasswordValidator(ranges.url).validate(BREACHED)
    took = asyncio.get_running_loop().time() - began
    assert took > 0.9, "and it has ended: a loaded machine may take longer than the second"
    assert [line.rpartition(": ")[2] for line in warnings(log)] == ["TimeoutError"]


async def test_one_that_is_not_there_refuses_nobody(log: pytest.LogCaptureFixture) -> None:
    async with Ranges() as ranges:
        url = ranges.url
    assert await BreachedPasswordValidator(url, timeout=30).count(BREACHED) == 0
    assert [line.rpartition(": ")[2] for line in warnings(log)] == ["ConnectError"]


async def test_an_address_that_cannot_be_asked_refuses_nobody(log: pytest.LogCaptureFixture) -> None:
    """D-23: whatever the error is. These come before anything is sent, and are no errors of HTTP."""
    for url in ("https://[:::]/", "https://api.example/" + "a" * 70_000):
        assert await BreachedPasswordValidator(url, timeout=30).count(BREACHED) == 0
    assert [line.rpartition(": ")[2] for line in warnings(log)] == ["InvalidURL"] * 2


async def test_the_log_says_so_once_a_minute(
    ranges: Ranges, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many people change their passwords meanwhile."""
    now = 1000.0
    monkeypatch.setattr(breach, "monotonic", lambda: now)
    ranges.status = "503 Service Unavailable"
    validator = BreachedPasswordValidator(ranges.url, timeout=30)
    for seconds, lines in ((0, 1), (0, 1), (59, 1), (1, 2), (59, 2)):
        now += seconds
        await validator.validate(BREACHED)
        assert len(warnings(log)) == lines


async def test_an_answer_is_kept_for_a_while(ranges: Ranges, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as `cache` says, and so many of them."""
    now = 1000.0
    monkeypatch.setattr(breach, "monotonic", lambda: now)
    validator = BreachedPasswordValidator(ranges.url, cache=timedelta(minutes=5), timeout=30)
    for seconds, asked in ((0, 1), (299, 1), (1, 2), (0, 2)):
        now += seconds
        assert await validator.count(BREACHED) == 37
        assert len(ranges.asked) == asked
    forgetful = BreachedPasswordValidator(ranges.url, cache=timedelta(0), timeout=30)
    await forgetful.count(BREACHED)
    await forgetful.count(BREACHED)
    assert len(ranges.asked) == 4
    monkeypatch.setattr(breach, "_RANGES", 3)
    for password in ("a", "b", "c", BREACHED):
        await validator.count(password)
    assert len(validator._ranges) == 3
    assert digest("a")[:5] not in validator._ranges


async def test_a_cancelled_question_is_over(ranges: Ranges) -> None:
    """And the next one is answered."""
    validator = BreachedPasswordValidator(ranges.url, timeout=30)
    ranges.silent = True
    task = asyncio.create_task(validator.count(BREACHED))
    while not ranges.asked:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ranges.silent = False
    assert await validator.count(BREACHED) == 37


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://api.example/range/"},
        {"url": "ftp://api.example/range/"},
        {"url": "https:///range/"},
        {"url": "https://api.example/range/?key=1"},
        {"url": "https://api.example/#"},
        {"url": "https://ann:secret@api.example/range/"},
        {"url": "https://api.example:port/range/"},
        {"url": "https://api.example:0/range/"},
        {"url": "https://api.example:65536/range/"},
        {"url": "range"},
        {"timeout": 0},
        {"min_count": 0},
        {"cache": -timedelta(1)},
        {"on_login": "refuse"},
    ],
)
def test_one_that_could_not_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BreachedPasswordValidator(**options)


def test_https_is_what_it_speaks_and_plain_http_on_this_machine() -> None:
    for url in (
        "https://api.example/range/",
        "http://localhost:8000/range/",
        "https://api.example:65535/range/",
        "http://[::1]/",
    ):
        assert BreachedPasswordValidator(url).on_login == "off"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingDependency, match=r'pip install "asgiauth\[breach\]"'):
        BreachedPasswordValidator()


async def test_https_is_tls_that_checks_who_answers(log: pytest.LogCaptureFixture) -> None:
    """One that speaks plainly is not believed."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        validator = BreachedPasswordValidator(url, timeout=30)
        assert await validator.count(BREACHED) == 0
    assert [line.rpartition(": ")[2] for line in warnings(log)] == ["ConnectError"]
    assert validator._tls is not None
    assert (validator._tls.verify_mode, validator._tls.check_hostname) == (ssl.CERT_REQUIRED, True)
