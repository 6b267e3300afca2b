"""The keys, all of which begin with `{PREFIX}:` (one hash slot, so that a cluster accepts them). Ids are text.

| key | type | what |
|---|---|---|
| `format` | string | what the keys hold, and how: `library.FORMAT` |
| `answer:PROCESS:N` | string | the last answer in a process's slot (functions/base.lua) |
| `event:ID`, `body:ID` | string | an event's head and body (`packing`) |
| `delivery:ID` | string | a delivery's row |
| `attempts:ID`, `actions:ID` | list | what is recorded of a delivery |
| `redeliveries` | hash | event id to how often it came again |
| `dedup` | hash | digest to [first event's id, end of its window] |
| `dedup:until`, `dedup:digests` | sorted set | digests by that end, and by themselves |
| `edits`, `edits:of:PARENT` | hash, sorted set | new event's id to who, when, why; those of a kept one |
| `due:untried:DEST`, `due:tried:DEST` | sorted set | what may be leased, by `due_at_ms` |
| `tries:DEST` | sorted set | of those that were tried, by `tries` and then by `due_at_ms` |
| `expiring:DEST` | sorted set | of those, what is of use for a time, by `expires_at_ms` |
| `held:DEST` | sorted set | what is scheduled and waits for another of its lane, by `due_at_ms` |
| `leased` | sorted set | by `lease_until_ms` |
| `unreadable` | sorted set | what was to be leased, and cannot be read and parked yet, by when it left the queue |
| `lane:PLACE`, `fronts` | sorted set, hash | a lane's ids; PLACE to the one of it that goes first |
| `circuits`, `pauses` | hash | by destination |
| `counters` | hash | `events:SOURCE`, `unrouted`, `deliveries:PAIR(DEST, STATE)` to how many |
| `events:source:SOURCE`, `events:type:TYPE` | sorted set | ids of events; all scores 0, so in the order of ids |
| `events:key` | sorted set | likewise, behind the first 12 hex digits of the key's SHA-1 |
| `events:unrouted` | sorted set | ids of events without a delivery |
| `deliveries:LIST:DEST` | sorted set | ids; LIST: `waiting` (also what is leased), `leased`, or an end |
| `dead:source:SOURCE`, `dead:type:TYPE`, `dead:key` | sorted set | ids of what is dead, as those of events |
| `groups`, `groups:of:DEST` | sorted set | groups of the dead by how many are in them |
| `group:G` | hash | a group's destination, reason, status (-1: none) and error |
| `group:ids:G`, `group:at:G` | sorted set | ids of what is in it; the same by when it died |
| `group:keys:G` | hash | key to how many of it are in the group |
| `ended:STATE` | sorted set | ids of deliveries by `ended_at_ms`; `ended:unrouted`: of events by `received_at_ms` |
| `recent:KIND` | sorted set | the latest 20,000 `events`, `attempts` (ID:NUMBER) and `actions` (ID:PLACE) by time |
| `marks` | hash | how far ids' times are `ahead` and `behind` arrivals, ends `early`, at most; `lived` |
| `users`, `tokens`, `sessions`, `audit`, `jobs`, `nodes`, `keyed`, `alerts` | hash | id to record, as JSON |
| `TABLE:…` of these | sorted set | their ids in the orders in which they are asked for (store/) |
| `rejections:counts`, `rejections:of:SOURCE` | hash | counts of what was refused; its samples by id |
| `rejections:ids:SOURCE`, `rejections:at` | sorted set | samples by id; of all sources by time |
| `held:requests:SOURCE`, `held:of:SOURCE` | hash | what is held by id; the size and sender of each |
| `held:ids:SOURCE`, `held:at:SOURCE`, `held:sums:SOURCE`, `held:names` | | by id, by time, sums, sources |
| `statistics:STEP:SERIES:TIME` | hash | the numbers of a minute or an hour (functions/statistics.lua) |
| `statistics:STEP`, `statistics:STEP:SERIES` | sorted set | which of those there are, by time |

PLACE and PAIR are two names in one: the length of the first, a colon, both.
"""

import hashlib

HASH_CHARS = 12
"""Hex digits of a text's SHA-1 that stand before the ids of all that has it: functions/indexes.lua makes them, too."""


def wire(text: str) -> bytes:
    """A name as it stands in keys and members: text from outside may be no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def hash_of(text: str) -> str:
    """What stands before the ids of what has this text."""
    return hashlib.sha1(wire(text), usedforsecurity=False).hexdigest()[:HASH_CHARS]
