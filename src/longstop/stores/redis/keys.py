"""The keys, all of which begin with `{PREFIX}:` (one hash slot, so that a cluster accepts them). Ids are text.

| key | type | what |
|---|---|---|
| `format` | string | what the keys hold, and how: `library.FORMAT` |
| `answer:PROCESS:N` | string | the last answer in a process's slot (functions/base.lua) |
| `event:ID`, `body:ID` | string | an event's head and body (`packing`) |
| `delivery:ID` | string | a delivery's row |
| `attempts:ID`, `actions:ID` | list | what is recorded of a delivery |
| `redeliveries` | hash | event id to how often it came again |
| `dedup`, `dedup:until` | hash, sorted set | digest to [first event's id, end of its window]; digests by that end |
| `edits`, `edits:of:PARENT` | hash, sorted set | new event's id to who, when, why; those of a kept one |
| `due:untried:DEST`, `due:tried:DEST` | sorted set | what may be leased, by `due_at_ms` |
| `tries:DEST` | sorted set | of those that were tried, by `tries` and then by `due_at_ms` |
| `expiring:DEST` | sorted set | of those, what is of use for a time, by `expires_at_ms` |
| `held:DEST` | sorted set | what is scheduled and waits for another of its lane, by `due_at_ms` |
| `leased` | sorted set | by `lease_until_ms` |
| `lane:PLACE`, `fronts` | sorted set, hash | a lane's ids; PLACE to the one of it that goes first |
| `circuits`, `pauses` | hash | by destination |
| `counters` | hash | `events:SOURCE`, `unrouted`, `deliveries:PAIR(DEST, STATE)` to how many |
| `events…`, `deliveries…` | sorted set | what the lookups walk (functions/indexes.lua) |

PLACE and PAIR are two names in one: the length of the first, a colon, both.
"""
