"""What rows are made from: a configuration and the store behind it."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.model.spool import SpoolFacts
    from longstop.ports import Archive, Clock, Store


class Looking(Protocol):
    """A configuration with its store open, as far as it takes to look."""

    @property
    def config(self) -> "Config":
        """What was read."""

    @property
    def store(self) -> "Store":
        """Open for as long as this is used."""

    @property
    def clock(self) -> "Clock":
        """The time."""

    def spool(self) -> "SpoolFacts | None":
        """How the spool stands; None where there is none."""

    @property
    def archive(self) -> "Archive | None":
        """Where what is forgotten is kept, if anywhere."""
