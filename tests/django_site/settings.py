"""A Django site as many are. From the environment: `SITE_DATABASE`, the URL of its database as asgiauth takes it;
`SITE_SECRET_KEY`; and `SITE_SETTINGS`, a JSON object of whatever else is to be different."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "parity"))
from django_migrate import database

SECRET_KEY = os.environ.get("SITE_SECRET_KEY", "a key of the Django site, for its tests alone, 0123456789")
DATABASES = {"default": database(os.environ["SITE_DATABASE"])}
ALLOWED_HOSTS = ["*"]
DEBUG_PROPAGATE_EXCEPTIONS = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "blog",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/django/static/"
LOGIN_URL = "/django/login/"
LOGIN_REDIRECT_URL = "/django/whoami/"
PASSWORD_HASHERS = [
    "hashers.Quick",  # 1,000 iterations; SITE_SETTINGS may have Django's own list
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
globals().update(json.loads(os.environ.get("SITE_SETTINGS", "{}")))
