"""The table's keys and indexes: the one place that says what is found by what.

One table. `pk` and `sk` are its key. SHARD is a number of two digits that an id's hash gives: what all senders write to
is spread over so many partitions, each of which takes 1,000 writes a second.

| pk | sk | what |
|---|---|---|
| `M` | `store` | what this table holds, and how: format, shards |
| `M` | `marks` | how far ids' times are ahead of and behind arrivals, at most; until when the store has lived |
| `M` | `sweep` | when the sweep of bodies began, and behind which it goes on |
| `E#EVENT` | `e` | an event, with its body (or where that lies) and the ids of its deliveries |
| `K#BUCKET` | DIGEST | a dedup key: its first event, the end of its window (`ttl`: a day after that) |
| `D#SHARD` | DELIVERY | a delivery that is scheduled or leased (`seat`: with one); the local indexes find it |
| `A#DELIVERY` | `d` | a delivery that has ended |
| `A#DELIVERY` | `a#NUMBER`, `x#NUMBER`, `n` | an attempt, an action, the last action's number |
| `V#PARENT` | EVENT | an edit: the event that was sent in the place of PARENT |
| `N#DESTINATION#HASH` | `#` | a lane: which of it stands in line (`free`) or is `leased`, its `first` and `last` |
| `N#DESTINATION#HASH` | DELIVERY | one of the lane that is scheduled, leased or dead |
| `S` | `c#DESTINATION`, `p#DESTINATION` | an open circuit, a pause |
| `S` | `l#DESTINATION` | how many attempts are under way, where functions are to hold a limit |
| `C#NUMBER` | `e#SOURCE#SLOT`, `u#SLOT`, `d#DESTINATION#SLOT` | counters, in slots in which commits do not meet |
| `G` | GROUP | what the dead of a group have in common |
| `CG` | `GROUP#SLOT` | how many are in it, and how many keys |
| `GK#GROUP` | HASH | how many of a key are in it |
| `GH#GROUP` | `QUARTER#SLOT` | how many of it died in a quarter of an hour |
| `users`, `tokens`, `nodes` | KEY, ID, NAME | a record of each |
| `sessions` | ID | a session; `turn` USER#ID, `expires` EXPIRES#ID, `tries` SEEN#ID |
| `jobs` | ID | a job; `turn` STATE#ID, `expires` END#ID of one that is over |
| `keyed` | HASH | a request with an Idempotency-Key (`ttl`: a day after it expires) |
| `alerts` | `book` | what people were told |
| `audit#ID` | `a` | an entry of the audit log |
| `refused` | `c#SOURCE#REASON`, `s#SOURCE` | how many requests were refused; the ids of the samples |
| `refused#SOURCE` | ID | a sample |
| `held` | SOURCE | how many held requests there are, and how many bytes |
| `held#SOURCE` | ID | a held request without its body; `expires` RECEIVED#ID |
| `held#SOURCE#ID` | `b` | its body, where that is not in the bucket |
| `held-body#NAME` | `b` | that a body in the bucket is a held request's |
| `holders#SOURCE` | HASH | how many there are of a sender |
| `statistics#STEP#SERIES#SLOT` | `TIME#NAMES` | numbers of a minute or an hour |

What decides anything is read from the table or from a local index, consistently. The global indexes may be late, and
serve lists only.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from longstop.stores.aws.attributes import Key

FORMAT = 1
SLOTS = 16
"""Of a counter: a transaction that meets another one at an item fails, so each takes a slot of its own."""

DEDUP_BUCKETS = 64
"""Each takes 500 new keys a second."""
STATISTICS_SLOTS = 4
"""Of a bucket: what one process adds is in one of them, and whoever asks reads all."""
TTL_AFTER_S = 86_400
"""What has expired is the service's to delete a day later: it deletes late, or never, and is never asked."""

LOCAL_INDEXES = ("turn", "expires", "tries")
"""Of what waits, in a shard: `turn` DESTINATION#u|t#DUE#ID (u: never tried) and ~#LEASE_UNTIL#ID; `expires`
DESTINATION#EXPIRES#ID; `tries` DESTINATION#TRIES#DUE#ID, of what was tried. What is held in its lane is in none."""
GLOBAL_INDEXES: Mapping[str, tuple[str, str]] = {
    "everything": ("of_all", "id"),
    "by_source": ("of_source", "id"),
    "by_type": ("of_type", "id"),
    "by_key": ("of_key", "id"),
    "by_group": ("of_group", "id"),
    "by_end": ("of_end", "at"),
    "by_group_end": ("of_group", "at"),
}
"""Index to its key. Each has an item's keys and nothing else; an item without the attributes is not in it."""


def definition(name: str) -> dict[str, Any]:
    """What CreateTable takes: the table with its indexes."""
    local = [
        {"IndexName": each, "KeySchema": _schema("pk", each), "Projection": {"ProjectionType": "ALL"}}
        for each in LOCAL_INDEXES
    ]
    far = [
        {"IndexName": each, "KeySchema": _schema(*keys), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        for each, keys in GLOBAL_INDEXES.items()
    ]
    names = dict.fromkeys(["pk", "sk", *LOCAL_INDEXES, *(key for keys in GLOBAL_INDEXES.values() for key in keys)])
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in names],
        "KeySchema": _schema("pk", "sk"),
        "LocalSecondaryIndexes": local,
        "GlobalSecondaryIndexes": far,
    }


def _schema(partition: str, order: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": order, "KeyType": "RANGE"}]


class Keys:
    """The keys of a table of so many shards."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def shard_of(self, id_: str) -> str:
        """Which of them an id is in."""
        return f"{crc32(id_.encode()) % self.shards:02}"

    def all_shards(self) -> list[str]:
        """Every one of them."""
        return [f"{number:02}" for number in range(self.shards)]

    def counters(self) -> list[str]:
        """The partitions of the counters: one for two shards, and for each a read of whoever looks how much waits."""
        return [f"{COUNTERS}#{number:02}" for number in range(max(1, min(SLOTS, self.shards // 2)))]

    def in_slot(self, counter: Key, slot: int) -> Key:
        """Where a slot of a counter is: of those that every commit adds to, in one of several partitions."""
        partition, order = counter
        if partition == COUNTERS:
            among = self.counters()
            partition = among[slot % len(among)]
        return partition, f"{order}#{slot:02}"

    def live(self, delivery_id: str) -> Key:
        """A delivery that is scheduled or leased."""
        return f"D#{self.shard_of(delivery_id)}", delivery_id


STORE: Key = ("M", "store")
MARKS: Key = ("M", "marks")
SWEEP: Key = ("M", "sweep")
GROUPS = "G"
"""The partition of the groups of the dead."""
GROUP_COUNTERS = "CG"
"""The partition of how many are in each, and how many keys."""
STANDING = "S"
"""The partition of circuits and pauses."""
COUNTERS = "C"
"""What the partitions of the counters begin with: each commit writes in one of them."""
USERS = "users"
TOKENS = "tokens"
SESSIONS = "sessions"
JOBS = "jobs"
NODES = "nodes"
KEYED = "keyed"
"""The partition of requests with an Idempotency-Key."""
ALERT_BOOK: Key = ("alerts", "book")
REFUSED = "refused"
"""The partition of how many requests were refused, and of which there are samples."""
HELD = "held"
"""The partition of how much is held of each source."""
LANE_HEAD = "#"
EVENT_HEAD = ("pk", "sk", "v", "row", "size", "redeliveries", "edited", "kept_in")
"""What an event's item has besides its body and its places in indexes: all that who accepts may read of it."""


def event(id_: str) -> Key:
    """An event."""
    return f"E#{id_}", "e"


def dedup(digest: bytes) -> Key:
    """A dedup key. A digest begins as the key does, and those of a sender all begin alike: its end is a hash's."""
    return dedup_bucket(bucket_of(digest)), digest.hex()


def bucket_of(digest: bytes) -> int:
    """Which bucket of dedup keys a digest is in."""
    return digest[-1] % DEDUP_BUCKETS


def dedup_bucket(number: int) -> str:
    """The partition of the dedup keys of a bucket."""
    return f"K#{number:02}"


def ended(delivery_id: str) -> Key:
    """A delivery that has ended."""
    return f"A#{delivery_id}", "d"


def attempt(delivery_id: str, number: int) -> Key:
    """One of its attempts."""
    return f"A#{delivery_id}", f"a#{number:08}"


def last_action(delivery_id: str) -> Key:
    """The number of its last action."""
    return f"A#{delivery_id}", "n"


def lane(destination: str, name: str) -> str:
    """A lane's partition."""
    return f"N#{destination}#{short(name)}"


def edit(parent: str, event_id: str) -> Key:
    """What was sent in an event's place."""
    return f"V#{parent}", event_id


def circuit(destination: str) -> Key:
    """An open circuit."""
    return STANDING, f"c#{destination}"


def pause(destination: str) -> Key:
    """A pause."""
    return STANDING, f"p#{destination}"


def seats(destination: str) -> Key:
    """How many attempts at a destination are under way, where that is limited."""
    return STANDING, f"l#{destination}"


def audit(id_: str) -> Key:
    """An entry of the audit log."""
    return f"audit#{id_}", "a"


def refused(source: str, id_: str) -> Key:
    """A sample of a refused request."""
    return f"refused#{source}", id_


def held(source: str, id_: str) -> Key:
    """A held request."""
    return f"held#{source}", id_


def held_body(source: str, id_: str) -> Key:
    """The body of one."""
    return f"held#{source}#{id_}", "b"


def held_apart(name: str) -> Key:
    """That a body in the bucket is that of one."""
    return f"held-body#{name}", "b"


def holder(source: str, sender: str) -> Key:
    """How much is held of a sender, by its `short`."""
    return f"holders#{source}", sender


def statistics(step_ms: int, series: str, slot: int) -> str:
    """The partition of a series' numbers of one resolution."""
    return f"statistics#{step_ms}#{series}#{slot}"


def ttl_after(expires_at_ms: int) -> int:
    """When the service may delete what expires then."""
    return expires_at_ms // 1000 + TTL_AFTER_S


def short(text: str) -> str:
    """What stands for a text of any length in a key, which holds 2,048 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def number(value: int) -> str:
    """A number of at most 15 digits as text in the order of numbers."""
    return f"{max(0, value):015}"
