"""The user models that Django's own tests use (A0), and the `UserModel` of each.

`MODELS` are declared as Django has them: the columns count, not what their managers do. `EXPRESSED` says each of them
in asgiauth's words; `REASONS` why one is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Integer, MetaData, String, Table, Uuid

from asgiauth import User, UserModel
from asgiauth.db.types import DjangoBoolean

MODELS = """
import uuid
from django.contrib.auth.models import AbstractBaseUser, AbstractUser, BaseUserManager, Group, PermissionsMixin
from django.db import models

class Plain(AbstractBaseUser):
    objects = BaseUserManager()
    USERNAME_FIELD = "username"
    class Meta:
        abstract = True

class ByEmail(AbstractBaseUser):
    email = models.EmailField(max_length=255, unique=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "email"
    class Meta:
        abstract = True

class CustomUser(ByEmail):
    is_active = models.BooleanField(default=True)
    is_admin = models.BooleanField(default=False)
    date_of_birth = models.DateField()
    first_name = models.CharField(max_length=50)

class CustomUserWithoutIsActiveField(Plain):
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField(unique=True)

class ExtensionUser(AbstractUser):
    date_of_birth = models.DateField()

class CustomPermissionsUser(ByEmail, PermissionsMixin):
    date_of_birth = models.DateField()

class IsActiveTestUser1(Plain):
    username = models.CharField(max_length=30, unique=True)

class NoPasswordUser(Plain):
    password = None
    last_login = None
    username = models.CharField(max_length=50, unique=True)

class CustomUserNoNaturalKey(models.Model):
    email = models.EmailField(max_length=255, unique=True)
    password = models.CharField(max_length=128)
    is_superuser = models.BooleanField(default=False)
    is_staff = models.BooleanField(default=False)
    USERNAME_FIELD = "email"

class UUIDUser(AbstractUser):
    id = models.UUIDField(default=uuid.uuid4, primary_key=True)

class CustomEmailField(Plain):
    username = models.CharField(max_length=255)
    password = models.CharField(max_length=255)
    email_address = models.EmailField(null=True)
    is_active = models.BooleanField(default=True)
    EMAIL_FIELD = "email_address"

class Email(models.Model):
    email = models.EmailField(max_length=255, unique=True)

class CustomUserWithFK(AbstractBaseUser):
    username = models.ForeignKey(Email, models.CASCADE, related_name="primary")
    email = models.ForeignKey(Email, models.CASCADE, to_field="email", related_name="secondary")
    group = models.ForeignKey(Group, models.CASCADE)
    USERNAME_FIELD = "username"

class IntegerUsernameUser(Plain):
    username = models.IntegerField()
    password = models.CharField(max_length=255)

class UserWithDisabledLastLoginField(Plain):
    last_login = None
    username = models.CharField(max_length=150, unique=True)

class CustomUserWithM2M(Plain):
    username = models.CharField(max_length=30, unique=True)
    orgs = models.ManyToManyField(Group)

class CustomUserWithUniqueConstraint(Plain):
    username = models.CharField(max_length=150)
    class Meta:
        constraints = [models.UniqueConstraint(fields=["username"], name="unique_custom_username")]

class CustomUserNonUniqueUsername(Plain):
    username = models.CharField(max_length=30)
    email = models.EmailField(blank=True)
    is_staff = models.BooleanField(default=False)
    is_superuser = models.BooleanField(default=False)

class StringKeyUser(AbstractUser):
    id = models.CharField(max_length=40, primary_key=True)
"""
"""`StringKeyUser` is none of Django's: its models with text for a key are those of applications."""

SCRIPT = """
import json, sys
from pathlib import Path
job = json.load(sys.stdin)
sys.path.insert(0, job["directory"])
package = Path(job["directory"], "auth_tests")
package.mkdir(exist_ok=True)
(package / "__init__.py").touch()
head, *classes = job["models"].split("\\nclass ")
wanted = [job["user"], "Plain", "ByEmail", "Email"] if "user" in job else [one.partition("(")[0] for one in classes]
kept = [one for one in classes if one.partition("(")[0] in wanted]  # two users would share the names of relations
(package / "models.py").write_text("\\nclass ".join([head, *kept]))
import django
from django.conf import settings
from django_migrate import database
settings.configure(
    DATABASES={"default": database(job["url"])},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "auth_tests"],
    AUTH_USER_MODEL="auth_tests." + job["user"] if "user" in job else "auth.User",
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
    PASSWORD_HASHERS=[f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("PBKDF2", "Argon2")],
    USE_TZ=True,
)
django.setup()
from django.apps import apps
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.db import connection

if job.get("create"):
    call_command("migrate", verbosity=0, interactive=False)
    wanted = [job["user"]] if "user" in job else [model.__name__ for model in apps.get_app_config("auth_tests").get_models()]
    with connection.schema_editor() as editor:
        for name in wanted:
            editor.create_model(apps.get_model("auth_tests", name))
answers = []
User = apps.get_model("auth_tests", job["user"]) if "user" in job else None
for step, *arguments in job.get("steps", []):
    if step == "create":
        password, fields = arguments
        user = User(**fields)
        if password is not None:
            user.set_password(password)
        user.save()
        answers.append(str(user.pk))
    elif step == "authenticate":
        user = authenticate(None, **arguments[0])
        answers.append(None if user is None else str(user.pk))
    elif step == "has_perm":
        key, perm = arguments
        answers.append(User._default_manager.get(pk=key).has_perm(perm))
    elif step == "row":
        user = User._default_manager.get(pk=arguments[0])
        answers.append({field.attname: str(getattr(user, field.attname)) for field in User._meta.concrete_fields})
print(json.dumps(answers))
"""
"""Makes the tables of these models, and does as it is told with one of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Born(User):
    date_of_birth: date | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Admin(Born):
    is_admin: bool = False


def _text(name: str, length: int = 254, **options: Any) -> Column[Any]:
    return Column(name, String(length), nullable=False, **options)


def _date_of_birth() -> Column[Any]:
    return Column("date_of_birth", Date, nullable=False)


DJANGOS = (
    "password",
    "last_login",
    "is_superuser",
    "username",
    "first_name",
    "last_name",
    "email",
    "is_staff",
    "is_active",
    "date_joined",
)


def only(*names: str) -> list[str]:
    """Everything else of Django's is what such a model does without."""
    return [name for name in DJANGOS if name not in names]


def made(name: str, **options: Any) -> UserModel[Any]:
    table = name.lower()
    settings: dict[str, Any] = {
        "table": f"auth_tests_{table}",
        "id_type": BigInteger(),
        "link_column": f"{table}_id",
        **options,
    }
    return UserModel(settings.pop("cls", User), **settings)


EXPRESSED: dict[str, Callable[[], UserModel[Any]]] = {
    "CustomUser": lambda: made(
        "CustomUser",
        cls=Admin,
        without=only("password", "last_login", "is_active"),
        columns=[
            _text("email", 255, unique=True),
            Column("is_admin", DjangoBoolean, nullable=False, default=False),
            _date_of_birth(),
            _text("first_name", 50),
        ],
        username_field="email",
        required_fields=["date_of_birth", "first_name"],
    ),
    "CustomUserWithoutIsActiveField": lambda: made(
        "CustomUserWithoutIsActiveField",
        without=only("password", "last_login", "username"),
        columns=[_text("email", unique=True)],
    ),
    "ExtensionUser": lambda: made(
        "ExtensionUser", cls=Born, columns=[_date_of_birth()], required_fields=["email", "date_of_birth"]
    ),
    "CustomPermissionsUser": lambda: made(
        "CustomPermissionsUser",
        cls=Born,
        without=only("password", "last_login", "is_superuser"),
        columns=[_text("email", 255, unique=True), _date_of_birth()],
        username_field="email",
        required_fields=["date_of_birth"],
    ),
    "IsActiveTestUser1": lambda: made(
        "IsActiveTestUser1", without=only("password", "last_login"), columns=[_text("username", 30, unique=True)]
    ),
    "NoPasswordUser": lambda: made("NoPasswordUser", without=only(), columns=[_text("username", 50, unique=True)]),
    "CustomUserNoNaturalKey": lambda: made(
        "CustomUserNoNaturalKey",
        without=only("password", "is_superuser", "is_staff"),
        columns=[_text("email", 255, unique=True)],
        username_field="email",
    ),
    "UUIDUser": lambda: made("UUIDUser", id_type=Uuid()),
    "CustomEmailField": lambda: made(
        "CustomEmailField",
        without=only("last_login", "is_active"),
        columns=[_text("username", 255), _text("password", 255), Column("email_address", String(254))],
        email_field="email_address",
    ),
    "CustomUserWithFK": lambda: made(
        "CustomUserWithFK",
        without=only("password", "last_login"),
        columns=[
            Column("username_id", BigInteger, ForeignKey("auth_tests_email.id"), nullable=False),
            Column("email_id", String(255), ForeignKey("auth_tests_email.email"), nullable=False),
            Column("group_id", Integer, ForeignKey("auth_group.id"), nullable=False),
        ],
        username_field="username_id",
        email_field="email_id",
        required_fields=["email", "group_id"],
    ),
    "IntegerUsernameUser": lambda: made(
        "IntegerUsernameUser",
        without=only("last_login"),
        columns=[Column("username", Integer, nullable=False), _text("password", 255)],
    ),
    "UserWithDisabledLastLoginField": lambda: made(
        "UserWithDisabledLastLoginField", without=only("password", "username")
    ),
    "CustomUserWithM2M": lambda: made(
        "CustomUserWithM2M", without=only("password", "last_login"), columns=[_text("username", 30, unique=True)]
    ),
    "CustomUserWithUniqueConstraint": lambda: made(
        "CustomUserWithUniqueConstraint",
        without=only("password", "last_login"),
        columns=[_text("username", 150, unique=True)],
    ),
    "CustomUserNonUniqueUsername": lambda: made(
        "CustomUserNonUniqueUsername",
        without=only("password", "last_login", "email", "is_staff", "is_superuser"),
        columns=[_text("username", 30)],
    ),
    "StringKeyUser": lambda: made("StringKeyUser", id_type=String(40)),
}

OWN_CONSTRAINTS = {"CustomUserWithFK", "CustomUserWithUniqueConstraint", "CustomUserWithoutIsActiveField"}
"""Foreign keys, a named constraint, and a unique address are of columns that are the application's here."""

REASONS = {
    "CustomUserCompositePK": "a key of two columns: sessions, grants and links refer to a user by one value",
    "MinimalUser": "a key and nothing else: nobody could say who they are",
    "CustomUserWithM2MThrough": "as CustomUserWithM2M: the table of links is the application's",
    "UserProxy": "another class on the same table: UserModel(Other) does the same",
    "CustomUserNonListRequiredFields": "ConfigurationError",
    "CustomUserBadRequiredFields": "ConfigurationError",
}


def emails(metadata: MetaData) -> Table:
    """What a foreign key of CustomUserWithFK refers to: a table of the application."""
    id_ = Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    return Table("auth_tests_email", metadata, id_, Column("email", String(255), nullable=False, unique=True))
