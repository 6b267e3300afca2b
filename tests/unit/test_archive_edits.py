"""Who sent an event in the place of another one is in the archive too, with both events: both may be forgotten."""

from pathlib import Path

from longstop.archives.file import FileArchive
from longstop.model.action import Edit
from longstop.model.listing import KeptEvent
from longstop.model.retention import WholeEvent
from longstop.testing.builders import AT_MS, event_id, make_event

TRAIL = Edit(event_id(2), event_id(1), AT_MS, "ann", "a wrong number")


async def test_an_edit_comes_back_with_both_events(tmp_path: Path) -> None:
    first = WholeEvent(KeptEvent(make_event(1), 0, (), None, (TRAIL,)), ())
    second = WholeEvent(KeptEvent(make_event(2), 0, (), TRAIL), ())
    archive = FileArchive(tmp_path)
    await archive.write([first, second])
    for whole in (first, second):
        found = await archive.find(whole.kept.event.id)
        assert found is not None
        assert found.whole.kept == whole.kept
