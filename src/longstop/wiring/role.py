"""Which half of the work a process does."""

from enum import Flag, auto


class Role(Flag):
    """What a process does."""

    INGEST = auto()
    WORK = auto()
    BOTH = INGEST | WORK
