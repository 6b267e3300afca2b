"""What each role may do: every action by its name, on this table, this queue and this bucket alone.

Which rows of the table a role may touch is said by their partitions (`dynamodb:LeadingKeys`), which table.py lists. A
partition is all that a policy can tell apart: within one, rows are the same to it. Of a row it can tell which
attributes are asked for (`dynamodb:Attributes`), so who accepts reads of an event all but its body. No role may scan,
and none may change or delete the table, the queues or the bucket.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longstop.stores.aws.setup.wanted import ARCHIVE, BODIES
from longstop.stores.aws.table import EVENT_HEAD, GLOBAL_INDEXES, LOCAL_INDEXES

EVENTS = ("E#*",)
DEDUP = ("K#*",)
EDITS = ("V#*",)
DELIVERIES = ("D#*", "A#*", "N#*")
"""Those that wait, those that have ended with their attempts, and lanes."""
KNOWN = ("M", "C#*")
"""What the table is, and counters."""
CIRCUITS = ("S",)
"""With pauses, and how many attempts are under way."""
GROUPS = ("G", "CG", "GK#*", "GH#*")
REFUSED = ("refused", "refused#*", "held", "held#*", "held-body#*", "holders#*")
RUNNING = ("statistics#*", "alerts")
"""What processes have counted, and have people told. That they are there functions do not say."""

GET = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem")
QUERY = ("dynamodb:Query",)
WRITE = ("dynamodb:PutItem", "dynamodb:UpdateItem")
COUNTED = ("pk", "sk", "redeliveries")
"""All that is changed of an event by who accepts."""
DELETE = ("dynamodb:DeleteItem",)
LOOK = ("dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:DescribeContinuousBackups")
SEND = ("sqs:GetQueueUrl", "sqs:SendMessage")
RECEIVE = (
    "sqs:GetQueueUrl",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
)
LOOK_AT_BUCKET = (
    "s3:GetBucketPublicAccessBlock",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetBucketPolicy",
    "s3:GetBucketVersioning",
)
KEY = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey")
NEVER = ("dynamodb:DeleteTable", "dynamodb:Scan", "sqs:PurgeQueue", "sqs:DeleteQueue", "s3:DeleteBucket")
"""What no role may: `check` looks for them. Of the table, the queue and the bucket."""

Statement = dict[str, Any]
_ATTRIBUTES = "dynamodb:Attributes"


@dataclass(frozen=True, slots=True)
class Arns:
    """Of what a role touches: text, or what a template has in the place of text."""

    table: Any
    index: Callable[[str], Any]
    queue: Any
    dead_queue: Any
    bucket: Any = None
    objects: Callable[[str], Any] = str
    """What lies behind a beginning of names."""
    functions: tuple[Any, ...] = ()
    roles: tuple[Any, ...] = ()
    key: Any = None
    services: tuple[Any, ...] = ()
    """Through which the key is used."""


def statements(role: str, arns: Arns, takes_events: bool = False) -> list[Statement]:
    """What a role may. takes_events: who delivers accepts, too."""
    made = _OF_ROLE[role](arns)
    if takes_events and role == "work":
        made += _append(arns)
        if arns.bucket is not None:
            made.append(_put_bodies(arns))
    if arns.key is not None:
        through = {"StringEquals": {"kms:ViaService": list(arns.services)}}
        made.append(_allow("Key", KEY, [arns.key], through))
    return made


def _ingest(arns: Arns) -> list[Statement]:
    """It writes what is new. An event that it is told again it reads by its id, without the body."""
    made = [
        *_append(arns),
        _rows("QueryWhatIsCounted", QUERY, arns, KNOWN),
        _newest(arns),
        _allow("Wake", SEND, [arns.queue]),
    ]
    if arns.bucket is not None:
        made += [_put_bodies(arns), *_bodies(arns)]
    return made


def _append(arns: Arns) -> list[Statement]:
    rows = (DEDUP, DELIVERIES, KNOWN, GROUPS, REFUSED, RUNNING)
    return [
        _rows("GetWhatMayBeThereAlready", GET, arns, *rows),
        *_events_without_bodies(arns),
        _rows("QueryLanesAndGroups", QUERY, arns, ("N#*",), GROUPS, REFUSED),
        _rows("QueryWhatHasExpired", QUERY, arns, REFUSED, on=[arns.index("expires")]),
        _rows("Append", WRITE, arns, *rows),
        _rows("LetGoOfLanesAndRefusals", DELETE, arns, ("N#*",), REFUSED),
    ]


def _events_without_bodies(arns: Arns) -> list[Statement]:
    """A read names what it wants, none of which is the body; a write gets nothing back."""
    nothing_back = {"StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"}}
    read = _rows("GetEventsWithoutBodies", ("dynamodb:GetItem", "dynamodb:BatchGetItem"), arns, EVENTS)
    read["Condition"]["ForAllValues:StringEquals"] = {_ATTRIBUTES: list(EVENT_HEAD)}
    read["Condition"]["StringEqualsIfExists"] = {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    # Of a request that names no attribute, which is one for all, what is said of each would be true.
    read["Condition"]["Null"][_ATTRIBUTES] = "false"
    new = _rows("KeepEvents", ("dynamodb:PutItem",), arns, EVENTS)
    count = _rows("CountRedeliveries", ("dynamodb:UpdateItem",), arns, EVENTS)
    count["Condition"]["ForAllValues:StringEquals"] = {_ATTRIBUTES: list(COUNTED)}
    for each in (new, count):
        each["Condition"] |= nothing_back
    return [read, new, count]


def _newest(arns: Arns) -> Statement:
    """Ids go on behind the newest that there is: of this index, which has keys alone."""
    return _rows("FindTheNewest", QUERY, arns, ("E#*",), on=[arns.index("everything")])


def _work(arns: Arns) -> list[Statement]:
    """It reads events, and changes only what becomes of them: it can forget none."""
    local = [arns.index(name) for name in LOCAL_INDEXES]
    rows = (DELIVERIES, KNOWN, CIRCUITS, GROUPS, RUNNING)
    made = [
        _rows("GetWhatIsDelivered", GET, arns, EVENTS, *rows),
        _rows("QueryWhatIsDelivered", QUERY, arns, *rows),
        _rows("QueryWhoseTurnItIs", QUERY, arns, ("D#*",), on=local),
        _newest(arns),
        _rows("Settle", WRITE, arns, *rows),
        _rows("LetGoOfWhatHasMoved", DELETE, arns, DELIVERIES, CIRCUITS, GROUPS),
        _allow("BeWoken", (*RECEIVE, "sqs:SendMessage"), [arns.queue]),
    ]
    if arns.bucket is not None:
        made += [_allow("GetBodies", ("s3:GetObject",), [arns.objects(f"{BODIES}/*")]), *_bodies(arns)]
    return made


def _everything(arns: Arns) -> list[Statement]:
    """All rows: whoever forgets, moves or searches touches all of them."""
    indexes = [arns.index(name) for name in (*LOCAL_INDEXES, *GLOBAL_INDEXES)]
    made = [
        _allow("Rows", (*GET, *QUERY, *WRITE, *DELETE), [arns.table]),
        _allow("Indexes", QUERY, indexes),
    ]
    if arns.bucket is not None:
        places = [arns.objects(f"{place}/*") for place in (BODIES, ARCHIVE)]
        made += [
            _allow("Objects", ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), places),
            _allow("ListObjects", ("s3:ListBucket",), [arns.bucket]),
        ]
    return made


def _sweep(arns: Arns) -> list[Statement]:
    """It forgets, sends again, carries out jobs, and reads what the queue has given up on."""
    return [
        *_everything(arns),
        _allow("Wake", SEND, [arns.queue]),
        _allow("ReadWhatCrashed", RECEIVE, [arns.dead_queue]),
    ]


def _operator(arns: Arns) -> list[Statement]:
    """A console, a command line, or a server that does all of it; and `longstop aws check`."""
    made = [
        *_everything(arns),
        _allow("LookAtTheTable", LOOK, [arns.table]),
        _allow("Wake", (*RECEIVE, "sqs:SendMessage"), [arns.queue]),
        _allow("ReadWhatCrashed", RECEIVE, [arns.dead_queue]),
        _allow("LookAtFunctions", ("lambda:GetFunctionConfiguration",), list(arns.functions)),
        _allow("LookAtRoles", ("iam:SimulatePrincipalPolicy",), list(arns.roles)),
    ]
    if arns.bucket is not None:
        made.append(_allow("LookAtTheBucket", LOOK_AT_BUCKET, [arns.bucket]))
    return [each for each in made if each["Resource"]]


_OF_ROLE: Mapping[str, Callable[[Arns], list[Statement]]] = {
    "ingest": _ingest,
    "work": _work,
    "sweep": _sweep,
    "operator": _operator,
}


def _allow(
    sid: str, actions: Sequence[str], resources: Sequence[Any], condition: Mapping[str, Any] | None = None
) -> Statement:
    made: Statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return made | ({} if condition is None else {"Condition": condition})


def _rows(
    sid: str, actions: Sequence[str], arns: Arns, *partitions: Sequence[str], on: Sequence[Any] | None = None
) -> Statement:
    """On rows of these partitions alone."""
    condition = {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [each for some in partitions for each in some]},
        # Of a request that names no key the first would be true.
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
    return _allow(sid, actions, [arns.table] if on is None else on, condition)


def _put_bodies(arns: Arns) -> Statement:
    return _allow("PutBodies", ("s3:PutObject",), [arns.objects(f"{BODIES}/*")])


def _bodies(arns: Arns) -> list[Statement]:
    """What every role needs to open the place: without leave to list, S3 says of what is not there that one may not."""
    mark = [arns.objects(f"{BODIES}/longstop-bodies")]
    return [
        _allow("KnowTheBucket", ("s3:GetObject", "s3:PutObject"), mark),
        _allow("ListObjects", ("s3:ListBucket",), [arns.bucket]),
    ]
