"""One of the things that a request passes on its way to a route: an application, or middleware, however it was put
there: in the list of an application, of a mount or of a route, or around it by hand."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware

from ..http.middleware import AuthMiddleware
from ..http.speaker import Speaker

__all__ = ["Layer"]


class Layer:
    """`thing`: the middleware itself; a `Middleware`, which the server makes it of as it starts; or an application."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    @property
    def cls(self) -> Any:
        """Its class, or the function that makes it."""
        if not isinstance(self.thing, Middleware):
            return type(self.thing)
        made_by: Any = self.thing.cls
        return getattr(made_by, "func", made_by)  # of a functools.partial

    def is_a(self, *classes: type) -> bool:
        return isinstance(self.cls, type) and issubclass(self.cls, classes)

    @property
    def speaker(self) -> Speaker[Any] | None:
        """Whose `auth.middleware` it is; None for any other."""
        if not self.is_a(AuthMiddleware):
            return None
        thing: Any = self.thing
        speaker: Speaker[Any] = thing.args[0] if isinstance(thing, Middleware) else thing._speaker  # type: ignore[assignment]
        return speaker

    def made(self) -> Any:
        """The middleware itself: its own signature says which argument is what. Only for classes whose constructor is
        known to do nothing else."""
        if not isinstance(self.thing, Middleware):
            return self.thing
        make, arguments, options = self.thing
        return make(_nothing, *arguments, **options)


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Stands for the application; it is never called."""
