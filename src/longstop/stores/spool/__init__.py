"""A spool in front of a store: events that it cannot take now are kept on this machine's disk, and follow in order."""

from longstop.stores.spool.file import SpoolFile, look
from longstop.stores.spool.store import SpooledStore, spooled

__all__ = ["SpoolFile", "SpooledStore", "look", "spooled"]
