"""The handlers of AWS Lambda: `longstop.aws.ingest`, `longstop.aws.work` and `longstop.aws.sweep`.

The configuration is the file that LONGSTOP_CONFIG names, `longstop.toml` otherwise. A process keeps what it has opened
from one call to the next.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=3)
def _functions(*roles: str) -> Any:
    from longstop.wiring.functions import Functions
    from longstop.wiring.role import Role

    return Functions(Role.INGEST if roles == ("ingest",) else Role.BOTH)


def ingest(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """A request of an HTTP API or a function URL, answered when its event is in the table."""
    answer: dict[str, Any] = _functions("ingest").ingest(event, context)
    return answer


def work(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Messages of the queue: what they name is delivered, and events of Amazon EventBridge are kept."""
    answer: dict[str, Any] = _functions("work").work(event, context)
    return answer


def sweep(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Once a minute: what no message names."""
    answer: dict[str, Any] = _functions("work").sweep(event, context)
    return answer
