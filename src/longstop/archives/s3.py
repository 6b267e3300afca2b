"""An archive of objects in S3: compressed lines of JSON by day of arrival and source, as Athena and the like read them.

`day=2026-01-31/source=shop/FIRST_LAST_DIGEST.jsonl.gz`: each batch makes one object for each day, source and hour of
its events, which is written once, whole or not at all, and never changed. FIRST and LAST are the lowest and the highest
id in it, of events and deliveries, so that the object of an id is found by names alone; DIGEST is of its lines, so that
the same batch, written again after an answer that was lost, is the same object. A batch may be another the next time:
an event may stand there twice.
"""

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from longstop.archives.days import day_of, days_about
from longstop.archives.lines import from_lines, is_of, to_line
from longstop.aws_api.client import Patience
from longstop.aws_api.s3 import Bucket, Listed, Listing, together
from longstop.model.errors import ArchiveError
from longstop.model.ids import format_uuid7, id_ms, is_id
from longstop.model.retention import ArchivedEvent, WholeEvent
from longstop.model.s3_place import S3Place

PATIENCE = Patience(read_s=20, attempts=3)
"""Nobody waits but who forgets, or who looks for something."""
HOUR_MS = 3_600_000
LEVEL = 6
DIGEST_CHARS = 16
_END = ".jsonl.gz"


class S3Archive:
    """Implements `ports.Archive` in a bucket, which has to be there."""

    def __init__(self, place: S3Place) -> None:
        self._bucket = Bucket(place, PATIENCE, ArchiveError)

    async def write(self, events: Sequence[WholeEvent]) -> None:
        """See ports.Archive."""
        objects = await asyncio.to_thread(_objects, events)
        # Where one is there, it holds these lines.
        await together(self._bucket.put_new(name, lines) for name, lines in objects.items())

    async def close(self) -> None:
        """See ports.Archive."""
        await self._bucket.close()

    async def find(self, id_: str) -> ArchivedEvent | None:
        """See ports.Archive. Reads the objects whose names say that they may hold the id.

        Looked through are the names of the hour that the id is of and of the hour before, then those of its day, the
        day before and the day after.
        """
        if not is_id(id_):
            return None
        at_ms = id_ms(id_)
        hour = (days_about(at_ms)[:1], format_uuid7(max(0, at_ms - at_ms % HOUR_MS - HOUR_MS), 0))
        for days, from_id in (hour, (days_about(at_ms), "")):
            found = [each for day in days async for each in self._of_day(day, from_id, id_)]
            archived = await self._read(sorted(found, key=lambda each: each.modified_ms), id_)
            if archived is not None:
                return archived
        return None

    async def _of_day(self, day: str, from_id: str, id_: str) -> AsyncIterator[Listed]:
        """The objects of a day that may hold an id, and that begin with an id from there on."""
        async for sources in self._listings(f"day={day}/", "", folders=True):
            for folder in sources.folders:
                async for listing in self._listings(folder, from_id):
                    spans = [(each, _Span.of(each.name)) for each in listing.objects]
                    for each, span in spans:
                        if span is not None and span.first <= id_ <= span.last:
                            yield each
                    if any(span is not None and span.first > id_ for _, span in spans):
                        # They are in the order of their first ids.
                        break

    async def _listings(self, under: str, from_name: str, *, folders: bool = False) -> AsyncIterator[Listing]:
        """What begins with `under`, from a name in it on."""
        after: str | None = f"{under}{from_name}"
        while after is not None:
            listing = await self._bucket.list(under, after, folders=folders)
            yield listing
            after = listing.more_after

    async def _read(self, objects: Sequence[Listed], id_: str) -> ArchivedEvent | None:
        """The event of an id as these have it, the oldest first."""
        lines: list[bytes] = []
        places: list[str] = []
        for each in objects:
            packed = await self._bucket.get(each.name)
            place = f"s3://{self._bucket.place.bucket}/{self._bucket.place.key(each.name)}"
            found = [] if packed is None else await asyncio.to_thread(_lines_of, packed, id_, place)
            lines += found
            places += [place] * bool(found)
        return ArchivedEvent(from_lines(lines), ", ".join(places)) if lines else None


@dataclass(frozen=True, slots=True)
class _Span:
    """Which ids an object may hold: from the first to the last."""

    first: str
    last: str

    @classmethod
    def of(cls, name: str) -> "_Span | None":
        """What a name says; None where it is not one of ours."""
        first, _, rest = name.rpartition("/")[2].partition("_")
        last = rest.partition("_")[0]
        return cls(first, last) if is_id(first) and is_id(last) and name.endswith(_END) else None


def _objects(events: Sequence[WholeEvent]) -> dict[str, bytes]:
    """What these events come to: names below the place, and what is to be there."""
    groups: dict[tuple[str, int], list[WholeEvent]] = {}
    for whole in events:
        event = whole.kept.event
        folder = f"day={day_of(event.received_at_ms)}/source={quote(event.source, safe='')}/"
        groups.setdefault((folder, id_ms(event.id) // HOUR_MS), []).append(whole)
    return dict(_object(folder, group) for (folder, _), group in groups.items())


def _object(folder: str, group: Sequence[WholeEvent]) -> tuple[str, bytes]:
    lines = b"".join(map(to_line, group))
    ids = [id_ for each in group for id_ in (each.kept.event.id, *(of.id for of in each.kept.deliveries))]
    digest = hashlib.sha256(lines).hexdigest()[:DIGEST_CHARS]
    # Without the time of packing: the same lines are the same bytes.
    return f"{folder}{min(ids)}_{max(ids)}_{digest}{_END}", gzip.compress(lines, LEVEL, mtime=0)


def _lines_of(packed: bytes, id_: str, place: str) -> list[bytes]:
    """The lines of an object that are of an id. Raises ArchiveError where it cannot be read."""
    try:
        return [line for line in gzip.decompress(packed).split(b"\n") if is_of(line, id_)]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ArchiveError(f"{place}: the object is not what was put there: {error}") from error
