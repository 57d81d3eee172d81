"""One file per stored format. A hasher turns a password into an encoded string and back into a yes or no."""

from .argon2 import Argon2Hasher as Argon2Hasher
from .base import Hasher as Hasher
from .base import HashSummary as HashSummary
from .bcrypt import BCryptHasher as BCryptHasher
from .bcrypt import BCryptSHA256Hasher as BCryptSHA256Hasher
from .default import preferring as preferring
from .foreign import PasslibReader as PasslibReader
from .foreign import WerkzeugReader as WerkzeugReader
from .md5 import MD5Hasher as MD5Hasher
from .pbkdf2 import PBKDF2Hasher as PBKDF2Hasher
from .pbkdf2 import PBKDF2SHA1Hasher as PBKDF2SHA1Hasher
from .scrypt import ScryptHasher as ScryptHasher
from .wrapped import WrappedHasher as WrappedHasher
