"""The database: one seam over `databases`, SQLAlchemy engines and open sessions; tables; column types."""

from .drivers import LostConnection as LostConnection
from .drivers import SerializationFailure as SerializationFailure
from .seam import Database as Database
from .statement import Prepared as Prepared
from .statement import Row as Row
from .types import BinaryKey as BinaryKey
from .types import ExactString as ExactString
from .types import UTCDateTime as UTCDateTime
from .unit import Unit as Unit
