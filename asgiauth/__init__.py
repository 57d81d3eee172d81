"""Authentication for Starlette and FastAPI: what `django.contrib.auth` is to Django, async, on Django's own tables."""

from .auth import Auth as Auth
from .core import Core as Core
from .exceptions import AsgiAuthError as AsgiAuthError
from .feature import Contribution as Contribution
from .feature import Feature as Feature
from .http.guards import login_required as login_required
from .http.guards import permission_required as permission_required
from .http.guards import requires as requires
from .http.marks import public as public
from .http.request_auth import LoggedIn as LoggedIn
from .http.request_auth import RequestAuth as RequestAuth
from .http.request_auth import StepRequired as StepRequired
from .passwords import PasswordPolicy as PasswordPolicy
from .permissions import Permission as Permission
from .permissions import Ref as Ref
from .permissions import Resource as Resource
from .permissions import Rule as Rule
from .permissions import crud as crud
from .sessions import SessionCookie as SessionCookie
from .sessions import SessionPolicy as SessionPolicy
from .users import AnonymousUser as AnonymousUser
from .users import Group as Group
from .users import User as User
from .users import UserModel as UserModel

__all__ = [
    "AnonymousUser",
    "AsgiAuthError",
    "Auth",
    "Contribution",
    "Core",
    "Feature",
    "Group",
    "LoggedIn",
    "PasswordPolicy",
    "Permission",
    "Ref",
    "RequestAuth",
    "Resource",
    "Rule",
    "SessionCookie",
    "SessionPolicy",
    "StepRequired",
    "User",
    "UserModel",
    "crud",
    "login_required",
    "permission_required",
    "public",
    "requires",
]
