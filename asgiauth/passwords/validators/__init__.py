"""Rules for new passwords: Django's four under Django's names, and what a list cannot know."""

from .base import PasswordValidator as PasswordValidator
from .blocklist import CommonPasswordValidator as CommonPasswordValidator
from .blocklist import ContextWordValidator as ContextWordValidator
from .breach import BreachedPasswordValidator as BreachedPasswordValidator
from .rules import MinimumLengthValidator as MinimumLengthValidator
from .rules import NumericPasswordValidator as NumericPasswordValidator
from .rules import UserAttributeSimilarityValidator as UserAttributeSimilarityValidator
from .strength import PasswordStrength as PasswordStrength
from .strength import StrengthValidator as StrengthValidator
