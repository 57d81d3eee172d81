"""The conformance report is complete, and what it names is there."""

from __future__ import annotations

from .conformance import MAPPING, _read, django_tests, exists, golden_names, report, rows
from .page import PAGE, page

EVERYTHING = [*rows(), *(entry for entries in django_tests().values() for entry in entries)]


def test_every_row_of_the_specification_has_an_entry() -> None:
    """`[chapters]` says how many rows each has."""
    chapters = _read("rows")["chapters"]
    expected = [f"{chapter}.{number + 1}" for chapter, count in chapters.items() for number in range(count)]
    assert [row.name for row in rows()] == expected
    assert [row.name for row in rows() if not row.says.strip()] == []


def test_every_test_of_djangos_modules_has_an_entry() -> None:
    mapped = {module: sorted(entry.name for entry in entries) for module, entries in django_tests().items()}
    assert mapped == {module: sorted(names) for module, names in golden_names().items()}


def test_every_test_that_is_named_exists() -> None:
    assert sorted({test for entry in EVERYTHING for test in entry.tests if not exists(test)}) == []


def test_every_entry_has_what_its_status_needs() -> None:
    """What is matched has a test, what is different a reason in words, what is missing an issue."""
    assert [entry.name for entry in EVERYTHING if entry.status == "matched" and not entry.tests] == []
    assert [entry.name for entry in EVERYTHING if entry.different and len(entry.different.split()) < 3] == []


def test_no_reason_is_left_over() -> None:
    for path in MAPPING.glob("*.toml"):
        for key, reason in _read(path.stem).get("reasons", {}).items():
            assert any(entry.different == reason for entry in EVERYTHING), f"{path.name}: {key}"


def test_the_published_page_is_what_the_entries_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: make parity"


def test_every_chapter_has_a_title() -> None:
    content = _read("rows")
    assert list(content["titles"]) == list(content["chapters"])


def test_the_report_ends_with_the_counts() -> None:
    *_, last = report()
    statuses = [entry.status for entry in EVERYTHING]
    counts = [statuses.count(status) for status in ("matched", "different", "missing")]
    assert last.split() == ["together", *map(str, counts), str(len(EVERYTHING))]
