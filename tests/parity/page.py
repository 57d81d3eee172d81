"""Writes docs/reference/django-parity.md, the conformance report in short: `python -m tests.parity.page`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from .conformance import ROOT, Entry, _counts, _read, django_tests, rows

PAGE = ROOT / "docs" / "reference" / "django-parity.md"
START = """\
# Django parity

What Django 6.1 does about users, sessions and permissions, and whether asgiauth does it too. Its behaviour has been
written down in rows, and each of its own tests has an entry; asgiauth's tests show what is *matched*. What is *different*
is so on purpose, for the reason below; what is *missing* comes later, or not at all. `make parity` prints every entry with
the tests that show it, and writes this page, which a test compares with them.

| | matched | different | missing | of |
|---|---:|---:|---:|---:|
"""


def page() -> str:
    return START + "\n".join([*_totals(), "", *_different_rows(), "", *_different_tests(), "", *_missing()]) + "\n"


def _totals() -> Iterator[str]:
    of_tests = {f"`{module}`": entries for module, entries in sorted(django_tests().items())}
    named = {"Rows of Django's behaviour": rows(), **of_tests}
    for title, entries in {**named, "**Together**": [entry for found in named.values() for entry in found]}.items():
        yield f"| {title} | {' | '.join(map(str, _counts(entries)))} |"


def _different_rows() -> Iterator[str]:
    yield "## What is different"
    yield from _by_chapter([entry for entry in rows() if entry.status == "different"], with_reason=True)


def _different_tests() -> Iterator[str]:
    """By module, each reason once that no row has given."""
    yield from ["## What is different in Django's tests, for further reasons", ""]
    said = {entry.different for entry in rows()}
    for module, entries in sorted(django_tests().items()):
        reasons = Counter(entry.different for entry in entries if entry.status == "different")
        new = [reason for reason in reasons if reason not in said]
        said.update(new)
        if new:
            yield from [f"`{module}`", ""]
            yield from (f"* {_text(reason)} ({_counted(reasons[reason])})" for reason in new)
            yield ""


def _missing() -> Iterator[str]:
    yield "## What is missing"
    yield from _by_chapter([entry for entry in rows() if entry.status == "missing"], with_reason=False)


def _by_chapter(entries: Sequence[Entry], *, with_reason: bool) -> Iterator[str]:
    for chapter, title in _read("rows")["titles"].items():
        found = [entry for entry in entries if entry.name.startswith(f"{chapter}.")]
        if found:
            yield from ["", f"**{title}**", ""]
            yield from (f"* {_text(entry.says)}" + f": {_text(entry.different)}" * with_reason for entry in found)


def _counted(number: int) -> str:
    return "1 test" if number == 1 else f"{number} tests"


def _text(text: str) -> str:
    """As Markdown, in which only what stands between backticks has a meaning of its own."""
    parts = re.split("(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<]|(?<!\w)_)", r"\\\1", part) for part in parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
