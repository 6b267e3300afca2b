"""What happens now, for everybody who listens: the store is looked at once, however many they are.

Nobody listens, and nothing is looked at. Who comes back after his connection broke says what he heard last, and gets
what he missed, as long as it is kept; else he is told to load anew what he shows.
"""

import asyncio
import contextlib
import contextvars
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from longstop.edges.operators.api.answers import Turns
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.status import status_now
from longstop.edges.rows.activity import Activity, ActivityLine
from longstop.edges.rows.values import Row
from longstop.model.errors import StoreError

LiveRows = Callable[[], Awaitable[Iterable[Row]]]

log = structlog.get_logger("longstop.http")

EVERY_S = 0.5
"""How often the store is looked at while somebody listens."""
COUNTS_EVERY = 4
"""Of so many looks one is at the numbers."""
PING_EVERY = 30
"""After so many looks each listener hears that the connection lives: 15 s."""
LINGER = 120
"""For so many looks after the last listener has left, what happens is still kept for him: he may come back."""
KEPT = 2_000
"""Messages about what happened, for those who come back."""
BEHIND_MAX = 10_000
"""Who takes his messages so slowly that this many wait is let go; he comes back, and is given what is kept. More than
one look finds. Those that wait are the same for all, so that a hundred bytes a message are held for each who waits."""
LISTENERS_MAX = 50
"""Each has a connection of the operators' port, which has 200."""


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event, made once for all who hear it."""

    encoded: bytes
    """As it goes over the wire."""
    line: ActivityLine | None = None


def message(event: str, data: Row, id: str | None = None, line: ActivityLine | None = None) -> Message:
    """A server-sent event. JSON in ASCII has no line breaks."""
    id_ = "" if id is None else f"id: {id}\n"
    return Message(f"{id_}event: {event}\ndata: {json.dumps(data)}\n\n".encode(), line)


@dataclass(eq=False, slots=True)
class _Listener:
    source: str | None
    destination: str | None
    past: set[ActivityLine] = field(default_factory=set)
    """What he was told of the time before he came."""
    waiting: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(BEHIND_MAX + 1))

    async def all_that_wait(self) -> bytes:
        """At once, because each piece that is sent costs as much as a hundred messages in it; nothing at the end."""
        taken = [await self.waiting.get()]
        while taken[-1] is not None and not self.waiting.empty():
            taken.append(self.waiting.get_nowait())
        if taken[-1] is None and len(taken) > 1:
            # The next time is the end.
            self.waiting.put_nowait(None)
        # What happened while the past was looked up may stand in both.
        told = [each for each in taken if each is not None and (each.line is None or each.line not in self.past)]
        return b"".join(each.encoded for each in told) or (b"" if taken[0] is None else b":\n\n")

    def wants(self, message: Message) -> bool:
        line = message.line
        return line is None or (
            (self.source is None or line.source == self.source)
            and (self.destination is None or line.destination == self.destination)
        )


class Live:
    """Looks, and tells its listeners."""

    def __init__(self, services: Services, rows: Mapping[str, LiveRows]) -> None:
        """rows: a message's name to the rows that may have changed, each with an `id`; each that has is told."""
        self._services = services
        self._rows = rows
        self._listeners: set[_Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._number = 0
        self._began = format(services.clock.now_ms(), "x")
        """Part of every id: another process counts anew."""
        self._told: dict[tuple[str, str], Row] = {}
        """The rows as they were told last, by kind and id."""
        self._stopped = False

    @property
    def is_full(self) -> bool:
        """Whether nobody more is listened to, because they are many or all of it ends."""
        return self._stopped or len(self._listeners) >= LISTENERS_MAX

    def listen(
        self,
        source: str | None = None,
        destination: str | None = None,
        heard: str | None = None,
        since_ms: int | None = None,
    ) -> AsyncIterator[bytes]:
        """Server-sent events until the listener goes, or all of it ends. source, destination: what happens of these.

        heard: the id of the last message that he had before. since_ms: what has happened since then comes first.
        """
        return self._messages(_Listener(source, destination), heard, since_ms)

    async def stop(self) -> None:
        """End all of it: whoever listens hears the end of his stream."""
        self._stopped = True
        for listener in tuple(self._listeners):
            self._let_go(listener)
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _messages(self, listener: _Listener, heard: str | None, since_ms: int | None) -> AsyncIterator[bytes]:
        self._begin(listener, heard)
        try:
            # So that a browser knows at once that it is connected.
            yield b": listening\n\n"
            listener.past.update(await self._past(listener, since_ms))
            for line in sorted(listener.past, key=lambda each: each.at_ms):
                yield message("activity", line.row()).encoded
            while told := await listener.all_that_wait():
                yield told
        finally:
            self._listeners.discard(listener)

    async def _past(self, listener: _Listener, since_ms: int | None) -> list[ActivityLine]:
        if since_ms is None:
            return []
        activity = Activity(self._services.store, since_ms, listener.source, listener.destination)
        return await activity.next()

    def _begin(self, listener: _Listener, heard: str | None) -> None:
        for each in self._missed(heard):
            self._tell(listener, each)
        for (kind, _), row in self._told.items():
            self._tell(listener, message(kind, row))
        self._listeners.add(listener)
        if self._looking is None or self._looking.done():
            # On behalf of nobody, and not of the one who happened to listen first: all are told the same, so what is
            # masked for anybody is masked in it.
            self._looking = asyncio.create_task(self._look(), name="live", context=contextvars.Context())

    def _missed(self, heard: str | None) -> Iterable[Message]:
        if heard is None:
            return []
        began, _, number = heard.partition("-")
        first = self._number - len(self._kept)
        if began != self._began or not number.isdecimal() or not first <= int(number) <= self._number:
            return [message("missed", {})]
        return tuple(self._kept)[int(number) - first :]

    # -- looking ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        activity = Activity(self._services.store, self._services.clock.now_ms(), None, None)
        idle, looks = 0, 0
        while idle <= LINGER:
            try:
                await self._look_once(activity, looks)
            except StoreError as error:
                # They are told nothing new until it can be used again; the connection lives.
                log.debug("live_not_looked", error=str(error))
            looks += 1
            if looks % PING_EVERY == 0:
                self._tell_all(message("ping", {}))
            await self._services.clock.sleep(EVERY_S)
            idle = 0 if self._listeners else idle + 1

    async def _look_once(self, activity: Activity, looks: int) -> None:
        lines, turns = await activity.next(), Turns(self._services.clock)
        for line in lines:
            self._number += 1
            told = message("activity", line.row(), f"{self._began}-{self._number}", line)
            self._kept.append(told)
            self._tell_all(told)
            await turns.give()
        for kind, rows in self._rows.items():
            found = {str(row["id"]): row for row in await rows()}
            for id_, row in found.items():
                self._tell_if_new(kind, id_, row)
            self._told = {place: row for place, row in self._told.items() if place[0] != kind or place[1] in found}
        if looks % COUNTS_EVERY == 0:
            self._tell_if_new("counts", "", await _numbers(self._services))

    def _tell_if_new(self, kind: str, id_: str, row: Row) -> None:
        if self._told.get((kind, id_)) != row:
            self._told[kind, id_] = row
            self._tell_all(message(kind, row))

    def _tell_all(self, message: Message) -> None:
        for listener in tuple(self._listeners):
            self._tell(listener, message)

    def _tell(self, listener: _Listener, message: Message) -> None:
        if not listener.wants(message):
            return
        if listener.waiting.qsize() >= BEHIND_MAX:
            self._let_go(listener)
        else:
            listener.waiting.put_nowait(message)

    def _let_go(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not listener.waiting.full():
            # What waits is still sent, and then the stream ends.
            listener.waiting.put_nowait(None)


async def _numbers(services: Services) -> Row:
    """What `status` says, without what changes all the time and says nothing new."""
    row = await status_now(services)
    del row["oldest_waiting_s"]
    nodes = [{name: value for name, value in node.items() if name != "seen_at"} for node in row["nodes"]]
    return {**row, "nodes": nodes}
