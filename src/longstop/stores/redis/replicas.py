"""Replicas that have to have a write before it is acknowledged: `?replicas=N`.

WAITAOF (Redis 7.2, Valkey) counts those that have synced it to their own logs, WAIT those that have it in memory: where
the server knows the first, it is used. https://redis.io/docs/latest/commands/waitaof/
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

WAITS_MS = tuple(2**n for n in range(1, 11))
"""For so long they are waited for, one after the other: 2 s in all, which is less than database.ANSWER_S.

A replica says how far it has synced once a second, and when it is asked, which it is when somebody begins to wait; what
comes with the question it has not synced yet. So the question is put again. Of a question that is answered at once the
others cost nothing."""


class Replicas:
    """How many there have to be, and how this server is asked for them."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._synced = False

    async def look(self, connection: AbstractConnection) -> None:
        """Ask the server what it knows. One that may not be asked knows the older way."""
        if not self._wanted:
            return
        await connection.send_command("COMMAND", "INFO", "WAITAOF")
        try:
            answer = await connection.read_response()
        except ResponseError:
            answer = None
        self._synced = bool(answer and answer[0])

    @property
    def commands(self) -> Sequence[tuple[str | int, ...]]:
        """What is sent behind a write, on the connection that it went by: only its own writes are counted."""
        if not self._wanted:
            return ()
        if not self._synced:
            return (("WAIT", self._wanted, sum(WAITS_MS)),)
        # 0: whether the server itself has synced was asked for once (durability.py).
        return tuple(("WAITAOF", 0, self._wanted, wait_ms) for wait_ms in WAITS_MS)

    def missing(self, answers: Sequence[Any]) -> str | None:
        """What is wrong with the answers to the commands; None where enough have it."""
        if not answers:
            return None
        reached = max(answer[1] if isinstance(answer, list) else answer for answer in answers)
        if reached >= self._wanted:
            return None
        where = "the logs of " if self._synced else ""
        return f"the write has reached {where}{reached} of {self._wanted} replicas within {sum(WAITS_MS)} ms"
