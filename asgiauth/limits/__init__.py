"""How often: places that are taken before something costly or guessable is tried, and given back where it was right."""

from .address import network_of as network_of
from .limit import Limit as Limit
from .limit import LimitStore as LimitStore
from .limit import Place as Place
from .local import LocalLimits as LocalLimits
from .service import Limits as Limits
from .service import Reservation as Reservation
from .sql import SqlLimits as SqlLimits
