"""Who exists."""

from .group import Group as Group
from .model import UserModel as UserModel
from .model import UserT as UserT
from .store import Page as Page
from .store import Users as Users
from .user import AnonymousUser as AnonymousUser
from .user import User as User
