"""How it is spoken: the middleware, `request.auth`, the guards, and the actions as JSON."""
