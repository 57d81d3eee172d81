"""One model, which hangs on a user."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Post(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)

    class Meta:
        permissions = [("publish_post", "Can publish posts")]

    def __str__(self) -> str:
        return self.title
