"""The handlers of AWS Lambda: `longstop.aws.ingest`, `longstop.aws.work` and `longstop.aws.sweep`.

The configuration is the file that LONGSTOP_CONFIG names, `longstop.toml` otherwise. A process keeps what it has opened
from one call to the next. Where Lambda imports this module, it makes ready before the first call: an error in the
configuration shows when a version is deployed, and no sender waits for imports.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=2)
def _functions(ingests: bool) -> Any:
    from longstop.wiring.functions import Functions
    from longstop.wiring.role import Role

    return Functions(Role.INGEST if ingests else Role.BOTH)


def ingest(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """A request of an HTTP API or a function URL, answered when its event is in the table."""
    answer: dict[str, Any] = _functions(True).ingest(event, context)
    return answer


def work(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Messages of the queue: what they name is delivered, and events of Amazon EventBridge are kept."""
    answer: dict[str, Any] = _functions(False).work(event, context)
    return answer


def sweep(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Once a minute: what no message names."""
    answer: dict[str, Any] = _functions(False).sweep(event, context)
    return answer


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html: the handler of this function
    _functions(os.environ.get("_HANDLER", "").endswith(".ingest")).prepare()
