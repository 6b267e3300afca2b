"""A handler: keeps the messages of each conversation, each once, though an event may come twice.

It runs in the gateway's process, in a thread, because it is no `async def`. What it raises decides what follows:
RetryLater is "not now", Reject is "never", anything else is a retry by the destination's policy.
"""

import sqlite3
from contextlib import closing

from longstop import Event, Reject, RetryLater

DATABASE = "notes.db"


def take_note(event: Event) -> None:
    """Keep a message with its conversation."""
    try:
        body = event.json()
    except ValueError:
        raise Reject("the body is not JSON") from None
    if not isinstance(body, dict) or "conversationId" not in body:
        raise Reject("no conversationId: there is nothing to note it under")
    try:
        _keep(event.id, str(body["conversationId"]), str(body.get("text", "")))
    except sqlite3.OperationalError as error:
        # Locked, or the disk is full: it passes.
        raise RetryLater(after=5, why=f"the notes cannot be written now: {error}") from error


def _keep(event_id: str, conversation: str, text: str) -> None:
    # Of its own, shorter than the destination's timeout: a thread cannot be stopped from outside.
    with closing(sqlite3.connect(DATABASE, timeout=2)) as notes, notes:
        notes.execute("CREATE TABLE IF NOT EXISTS notes (event_id TEXT PRIMARY KEY, conversation TEXT, text TEXT)")
        # The event's id and what the event does go in together; the second time nothing happens.
        notes.execute("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)", (event_id, conversation, text))
