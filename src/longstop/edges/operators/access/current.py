"""Who asks: carried with the request, for the routes, and with the task, for what hides fields from some."""

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

from longstop.model.caller import ALL_SCOPES, Caller, CallerKind

LOCAL_NAME = "local"
"""Who decides where no authentication is asked for: somebody at this machine."""

_KEY = "longstop.caller"
_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def local(address: str | None) -> Caller:
    """The caller where no authentication is asked for: whoever reaches the port may all."""
    return Caller(LOCAL_NAME, CallerKind.USER, ALL_SCOPES, address)


def current() -> Caller | None:
    """Who asks, within what is done for a request; None outside of any."""
    return _current.get()


def set_caller(scope: MutableMapping[str, Any], caller: Caller | None) -> None:
    """Say who a request is from."""
    scope[_KEY] = caller
    _current.set(caller)


def caller_of(scope: MutableMapping[str, Any]) -> Caller | None:
    """Who a request is from; None: nobody that is known. Raises LookupError where it did not come past the guard."""
    caller: Caller | None = scope[_KEY]
    return caller
