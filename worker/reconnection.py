"""Connections to the broker that are back soon after the broker is."""

from typing import Any, Final

import kombu

# Kombu has no types; for the checker our class stands on Any.
_theirs: Any = kombu

# Kombu waits 2 s longer after every failed try, up to 30 s: half a minute without payments after a long outage.
FIRST_PAUSE_S: Final = 0.2
STEP_S: Final = 0.2
LONGEST_PAUSE_S: Final = 1.0


class PromptConnection(_theirs.Connection):  # type: ignore[misc]  # kombu has no types
    """Kombu's connection, tried again every second at least."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """As kombu does, without its growing pauses."""
        pauses = {"interval_start": FIRST_PAUSE_S, "interval_step": STEP_S, "interval_max": LONGEST_PAUSE_S}
        return super().ensure_connection(*args, **(pauses | options))
