"""What views import to say who may call them."""

from .http.guards import Guard as Guard
from .http.guards import login_required as login_required
from .http.guards import permission_required as permission_required
from .http.guards import requires as requires
from .http.marks import csrf_exempt as csrf_exempt
from .http.marks import public as public
from .http.predicates import Predicate as Predicate
from .http.predicates import authenticated as authenticated
from .http.predicates import group as group
from .http.predicates import perm as perm
from .http.predicates import recent_login as recent_login
from .http.predicates import staff as staff
from .http.predicates import superuser as superuser
from .http.predicates import test as test
from .http.protect import protect as protect
