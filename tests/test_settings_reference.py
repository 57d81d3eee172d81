"""The reference names every setting there is, with the default that it has."""

from __future__ import annotations

import dataclasses
import inspect
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asgiauth import Auth, PasswordPolicy, SessionCookie, SessionPolicy
from asgiauth.passwords.hashers import preferring

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "settings.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (?:`(.+?)`|(required)) \| .+ \| .*\|$", re.MULTILINE)


def documented(name: str) -> dict[str, str]:
    section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    return {setting: default or required for setting, default, required in ROW.findall(section)}


def _span(span: timedelta) -> str:
    if span <= timedelta(hours=1):
        return f"seconds={span // timedelta(seconds=1)}"
    return f"days={span.days}" if span > timedelta(days=1) else f"hours={span // timedelta(hours=1)}"


def shown(default: Any) -> str:
    if isinstance(default, timedelta):
        return f"timedelta({_span(default)})"
    if inspect.isfunction(default):
        return default.__name__
    if isinstance(default, tuple) and default:
        assert [type(one) for one in default] == [type(one) for one in preferring(default[0])]
        return f"preferring({shown(default[0])})"
    is_ours = type(default).__module__.startswith("asgiauth")
    return f"{type(default).__name__}()" if is_ours else repr(default)


def of_field(field: dataclasses.Field[Any]) -> str:
    make: Any = field.default_factory
    return shown(field.default) if make is dataclasses.MISSING else f"{make.__name__}()"


def defaults(cls: type) -> dict[str, str]:
    if dataclasses.is_dataclass(cls):
        return {field.name: of_field(field) for field in dataclasses.fields(cls)}
    parameters = list(inspect.signature(cls).parameters.values())
    return {p.name: "required" if p.default is p.empty else shown(p.default) for p in parameters}


@pytest.mark.parametrize("cls", [Auth, SessionPolicy, SessionCookie, PasswordPolicy])
def test_B11_11_every_setting_is_in_the_reference_with_its_default(cls: type) -> None:
    assert documented(cls.__name__) == defaults(cls)
