"""Everything a process learns from outside before it starts: settings, connections, logging, Celery's configuration.

This box imports none of our others, and importing the package itself loads nothing: `tasks` must start fast,
so pydantic, redis and structlog are paid for by the module that needs them.
"""
