"""What `make test` and `make golden` do where no interpreter can run the Django that we compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import django_interpreter, make_golden


@pytest.fixture(autouse=True)
def _no_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(django_interpreter, "_STAMP", tmp_path / "stamp")
    monkeypatch.setattr(django_interpreter, "_candidates", lambda: iter([str(tmp_path / "python3.12")]))


def test_the_tests_go_on_and_say_what_is_not_tested(capsys: pytest.CaptureFixture[str]) -> None:
    assert (django_interpreter.find(), django_interpreter.main()) == (None, 0)
    assert "NOT TESTED against a live Django" in capsys.readouterr().out.splitlines()[-1]


async def test_the_golden_files_cannot_be_made() -> None:
    with pytest.raises(SystemExit, match="django_interpreter"):
        await make_golden.main()


def test_an_environment_that_cannot_be_made_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As where the package index is out of reach."""
    python = tmp_path / "python3.12"
    python.write_text('#!/bin/sh\ncase "$1" in -c) ;; *) exit 7;; esac\n')
    python.chmod(0o755)
    monkeypatch.setattr(django_interpreter, "_ENVIRONMENT", tmp_path / "environment")
    assert django_interpreter.main() == 1
    assert "package index" in capfd.readouterr().err
