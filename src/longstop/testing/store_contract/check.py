"""What a check is, and how one is found: every `check_…` function of a module, in the order written.

Found rather than listed, so that a new check cannot be forgotten.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from longstop.ports import Store

Reopen = Callable[[], Awaitable[Store]]
"""Opens a store on the same data as the one under check, which is closed by then."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the ports."""

    name: str
    concern: str
    """The module it stands in."""
    run: Callable[[Store], Awaitable[None]]
    """Takes an open, empty store; raises AssertionError where the promise is broken."""

    def __str__(self) -> str:
        return f"{self.concern}.{self.name}"


@dataclass(frozen=True, slots=True)
class ReopenCheck:
    """One promise of a store that persists."""

    name: str
    concern: str
    run: Callable[[Store, Reopen], Awaitable[None]]
    """Takes an open, empty store and the way to open it again; closes whatever it opens."""

    def __str__(self) -> str:
        return f"{self.concern}.{self.name}"


def checks_of(*modules: ModuleType) -> tuple[Check, ...]:
    """Every check of these modules."""
    return tuple(Check(*found) for module in modules for found in _found(module))


def reopen_checks_of(*modules: ModuleType) -> tuple[ReopenCheck, ...]:
    """Every check of these modules, which all take a `reopen`."""
    return tuple(ReopenCheck(*found) for module in modules for found in _found(module))


def _found(module: ModuleType) -> Iterator[tuple[str, str, Any]]:
    concern = module.__name__.rpartition(".")[2]
    for name, value in vars(module).items():
        if name.startswith("check_"):
            yield name.removeprefix("check_"), concern, value


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with this message unless the condition holds. Unlike `assert`, `python -O` keeps it."""
    if not condition:
        raise AssertionError(message)


def expect_equal(found: object, expected: object, what: str) -> None:
    """Raise AssertionError unless the two are equal; `what` names them in the message."""
    expect(found == expected, f"{what}: found {found!r}, expected {expected!r}")
