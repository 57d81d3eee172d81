"""Rules of the code itself that no linter of ours knows. The import layers are checked by `make check`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "asgiauth").rglob("*.py"))

FORBIDDEN = {
    r"\beval\(|\bexec\(|\bpickle\b|\bmarshal\b": "no dynamic code (ASVS 1.3.2, 1.5.2)",
    r"\bsubprocess\b|os\.system|\bshell=": "no shell (ASVS 1.2.5)",
    r"^(import|from) random\b": "randomness comes from `secrets` alone (ASVS 6.5.3)",
    r"datetime\.now\(\)|utcnow\(|time\.time\(": "the time comes from Auth(clock=...) alone",
    r"^\s*assert ": "no assert for other people's mistakes",
    r"^\s*print\(": "a library logs",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_holds_nothing_forbidden(path: Path) -> None:
    text = path.read_text()
    found = {reason for pattern, reason in FORBIDDEN.items() if re.search(pattern, text, re.MULTILINE)}
    assert found == set()


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_the_repository_names_no_machine_path() -> None:
    files = [
        path for path in ROOT.rglob("*") if path.suffix in {".py", ".md", ".toml", ".yml"} and ".venv" not in str(path)
    ]
    tell_tale = re.compile(r"/(?:work|root|home)/[a-z]")
    assert [path.name for path in files if tell_tale.search(path.read_text())] == []
