"""The default store: one SQLite file, written by one thread, every commit synced to disk before anyone hears of it."""

from longstop.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
