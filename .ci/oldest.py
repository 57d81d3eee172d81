"""Prints the oldest version of each runtime dependency that pyproject.toml allows, as requirements for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
requirements = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
oldest = {
    match[1]: match[2]
    for requirement in requirements
    if (match := re.match(r"([A-Za-z0-9_-]+)(?:\[[a-z]+\])?>=([0-9.]+)", requirement))
}
print(*(f"{name}=={version}" for name, version in oldest.items()))
