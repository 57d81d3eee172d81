"""What the guards of a route ask about permissions, and whether anybody could ever answer yes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..checks import Finding
from ..permissions import Permissions
from ..permissions.sources import Custom
from .describe import RouteInfo

__all__ = ["of_permissions"]

_STRING = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
_PERM = re.compile(rf"\bperm\(((?:{_STRING})(?:, (?:{_STRING}))*)(, obj=)?|{_STRING}")
"""A call of it, or else a name of something that might look like one."""


def of_permissions(info: RouteInfo) -> Iterator[Finding]:
    """Nothing where no permission is declared: beside Django the database alone may know them. A warning where a source
    of the application has a say, which may know more names than are declared."""
    speakers = [layer.speaker for layer in info.layers if layer.speaker is not None]
    if not speakers:
        return
    permissions: Permissions = speakers[-1].permissions
    where = " ".join([*info.methods, info.path])
    is_ours_alone = not any(isinstance(source, Custom) for source in permissions._sources)
    for perm, has_object in _asked(info):
        declared = permissions.declared.get(perm)
        if declared is None and permissions.declared:
            yield Finding(
                "permission_unknown",
                "error" if is_ours_alone else "warning",
                f"{where} asks for the permission {perm!r}, which is not declared.",
                "Correct the name, or declare it: Auth(permissions=[...]).",
            )
        if declared is not None and has_object and declared.resource not in permissions.resources and is_ours_alone:
            yield Finding(
                "permission_without_resource",
                "error",
                f"{where} asks for {perm!r} with an object, and it belongs to no Resource: each request fails.",
                "List its Resource, Auth(resources=[...]), and say model= where it is declared; or leave out obj=.",
            )


def _asked(info: RouteInfo) -> Iterator[tuple[str, bool]]:
    """Each permission, and whether that is about one object, as `Predicate.text` has it."""
    found = dict.fromkeys(match.groups() for guard in info.guards for match in _PERM.finditer(guard))
    for perms, obj in found:
        for perm in re.findall(_STRING, perms or ""):
            yield ast.literal_eval(perm), obj is not None
