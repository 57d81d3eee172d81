"""Django's behaviour, row by row and test by test: what shows it here, why it differs here, or what will bring it.

`mapping/rows.toml` has the rows of the specification, the other files there Django's own tests, one module each. An
entry names our tests, or is a table of `tests`, `different` (why) and `missing` (the issue); `different` may be a key of
`[reasons]` in its file or in rows.toml. A test that begins with `::` is in the file that `ours` names; the name of
another Django test means: as that one, as for its async twin. `make parity` prints the report.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MAPPING = HERE / "mapping"
STATUSES = ("matched", "different", "missing")


@dataclass(frozen=True)
class Entry:
    """A row, or a test of Django's. `tests` are ours that show it, also where the half of it is missing."""

    name: str
    says: str = ""
    tests: tuple[str, ...] = ()
    different: str = ""
    missing: str = ""

    @property
    def status(self) -> str:
        if self.missing:
            return "missing"
        return "different" if self.different else "matched"

    def lines(self) -> Iterator[str]:
        yield f"{self.status:9}  {self.name}" + (f"  {self.says}" if self.says else "")
        if self.different:
            yield f"{'':11}because {self.different}"
        if self.missing:
            yield f"{'':11}comes with {self.missing}"
        for test in self.tests:
            yield f"{'':11}{test}"


def rows() -> list[Entry]:
    """Those of the specification."""
    content = _read("rows")
    return [
        _entry(f"{chapter}.{number}", row, content)
        for chapter in content["chapters"]
        for number, row in content.get(chapter, {}).items()
    ]


def django_tests() -> dict[str, list[Entry]]:
    """By module. What a name such as `SessionTestsMixin::test_store` stands for."""
    found = {}
    for path in sorted(MAPPING.glob("*.toml")):
        if path.stem != "rows":
            content = _read(path.stem)
            classes = {name: table for name, table in content.items() if name not in ("module", "ours", "reasons")}
            found[content["module"]] = [
                _entry(f"{group}::{test}", _resolved(tests, test), content)
                for group, tests in classes.items()
                for test in tests
            ]
    return found


def golden_names() -> dict[str, list[str]]:
    """Every test of Django's, by module, as `django_tests.py` has found them."""
    golden = json.loads((HERE / "golden" / "django-tests.json").read_text())
    return {
        module: [f"{group}::{test}" for group, tests in classes.items() for test in tests]
        for module, classes in golden.items()
    }


def exists(test: str) -> bool:
    """Whether `path::function` or `path::Class::method` is in the source."""
    path, _, name = test.partition("::")
    return name in _names(ROOT / path)


def report() -> Iterator[str]:
    by_module = {"Rows of Django's behaviour": rows(), **django_tests()}
    for title, entries in by_module.items():
        yield from ("", title, "=" * len(title), "")
        for entry in entries:
            yield from entry.lines()
    yield ""
    yield f"{'':34}" + "".join(f"{status:>11}" for status in (*STATUSES, "of"))
    together = [entry for entries in by_module.values() for entry in entries]
    for title, entries in {**by_module, "together": together}.items():
        yield f"{title:34}" + "".join(f"{number:>11}" for number in _counts(entries))


def _counts(entries: Sequence[Entry]) -> list[int]:
    statuses = [entry.status for entry in entries]
    return [*(statuses.count(status) for status in STATUSES), len(statuses)]


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((MAPPING / f"{name}.toml").read_text(encoding="utf-8"))


def _resolved(tests: dict[str, Any], test: str) -> Any:
    value = tests[test]
    return tests[value] if isinstance(value, str) and "::" not in value else value


def _entry(name: str, value: Any, content: dict[str, Any]) -> Entry:
    """Raises `KeyError` for an unknown issue, and `TypeError` for an unknown word."""
    table = dict(value) if isinstance(value, dict) else {"tests": value}
    tests = table.pop("tests", ())
    tests = (tests,) if isinstance(tests, str) else tests
    table["tests"] = tuple(content["ours"] + test if test.startswith("::") else test for test in tests)
    if "different" in table:
        reasons = {**_read("rows")["reasons"], **content.get("reasons", {})}
        table["different"] = reasons.get(table["different"], table["different"])
    if "missing" in table:
        table["missing"] = _read("rows")["issues"][table["missing"]]
    return Entry(name, **table)


@cache
def _names(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    return frozenset(_tests_in(ast.parse(path.read_text(encoding="utf-8")).body))


def _tests_in(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[str]:
    for thing in body:
        if isinstance(thing, ast.ClassDef):
            yield from _tests_in(thing.body, f"{thing.name}::")
        elif isinstance(thing, ast.If):
            yield from _tests_in(thing.body, prefix)
        elif isinstance(thing, (ast.FunctionDef, ast.AsyncFunctionDef)) and thing.name.startswith("test_"):
            yield prefix + thing.name


if __name__ == "__main__":
    print("\n".join(report()))
