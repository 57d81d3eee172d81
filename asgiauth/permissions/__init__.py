"""What may you do? Declared permissions, grants to users and groups, objects, rules, sources of one's own."""

from .declaration import Permission as Permission
from .declaration import crud as crud
from .groups import Groups as Groups
from .resources import Ref as Ref
from .resources import Resource as Resource
from .resources import Rule as Rule
from .service import Permissions as Permissions
from .source import PermissionSource as PermissionSource
