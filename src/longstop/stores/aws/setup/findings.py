"""What is not as it should be: facts against what is wanted. Nothing is asked here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from longstop.model.setup import Finding, Standing
from longstop.stores.aws.setup.asking import Answer
from longstop.stores.aws.setup.facts import BucketFacts, QueueFacts, TableFacts
from longstop.stores.aws.setup.wanted import (
    BESIDE_HANDLER_S,
    BLOCKED,
    FUNCTION_MAX_S,
    RECEIVES_MAX,
    TTL,
    VISIBILITY_TIMES,
    Wanted,
)

INIT = "longstop aws init, or deploy the template of longstop aws template"
ADD = "add what longstop aws template has"
DAY_S = 86_400
_RULES = ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")
SKEW_MAX_MS = 30_000
"""From five minutes on services refuse what is signed by such a clock."""

Checked = Iterator[Finding]


class About:
    """What is said of one thing."""

    def __init__(self, what: str) -> None:
        self.what = what

    def of(self, part: str) -> "About":
        """A part of it."""
        return About(f"{self.what}, {part}")

    def ok(self, found: str) -> Finding:
        """It is as it should be."""
        return Finding(self.what, Standing.OK, found)

    def wrong(self, found: str, expected: str, todo: str) -> Finding:
        """It is not."""
        return Finding(self.what, Standing.WRONG, found, expected, todo)

    def unknown(self, why: str) -> Finding:
        """It could not be looked at."""
        return Finding(self.what, Standing.UNKNOWN, why, "leave to look at it", "ask as the template's operator role")

    def either(self, good: bool, found: str, expected: str, todo: str) -> Finding:
        """As it should be, or not."""
        return self.ok(found) if good else self.wrong(found, expected, todo)


def _missing(about: About, answer: Answer) -> Finding | None:
    """Where there is nothing to look at."""
    if answer.denied is not None:
        return about.unknown(answer.denied)
    return about.wrong("not there", "one", INIT) if answer.value is None else None


# -- the table ------------------------------------------------------------------------------------


def of_table(wanted: Wanted, facts: TableFacts) -> Checked:
    """Keys, indexes, what is forgotten by itself, what can be had back."""
    about = About(f"table {wanted.table}")
    missing = _missing(about, facts.table)
    if missing is not None:
        yield missing
        return
    table = facts.table.value or {}
    status = str(table.get("TableStatus", "ACTIVE"))
    yield about.either(status == "ACTIVE", status, "ACTIVE", "wait, or look into the account's console")
    yield from _of_keys(wanted, about, table)
    yield from _of_forgetting(about, facts)
    protected = bool(table.get("DeletionProtectionEnabled"))
    update = f"aws dynamodb update-table --table-name {wanted.table}"
    yield about.of("deletion protection").either(
        protected, "on" if protected else "off", "on", f"{update} --deletion-protection-enabled"
    )
    mode = str(table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"))
    yield about.of("billing").either(
        mode == "PAY_PER_REQUEST",
        mode,
        "PAY_PER_REQUEST: a table of a fixed capacity refuses what is over it",
        f"{update} --billing-mode PAY_PER_REQUEST",
    )


def _of_keys(wanted: Wanted, about: About, table: Mapping[str, Any]) -> Checked:
    definition = wanted.table_definition()
    anew = "make a new table: keys cannot be changed; longstop migrate-store moves what is in this one"
    found, expected = _keys(table["KeySchema"]), _keys(definition["KeySchema"])
    yield about.of("key").either(found == expected, found, expected, anew)
    for kind, todo in (
        ("LocalSecondaryIndexes", anew),
        ("GlobalSecondaryIndexes", "aws dynamodb update-table --global-secondary-index-updates, with this key"),
    ):
        there = {each["IndexName"]: each for each in table.get(kind) or ()}
        for wished in definition[kind]:
            name = wished["IndexName"]
            found = _index(there[name]) if name in there else "not there"
            yield about.of(f"index {name}").either(found == _index(wished), found, _index(wished), todo)


def _keys(schema: Sequence[Mapping[str, str]]) -> str:
    return " ".join(each["AttributeName"] for each in sorted(schema, key=lambda each: each["KeyType"] != "HASH"))


def _index(index: Mapping[str, Any]) -> str:
    status = index.get("IndexStatus", "ACTIVE")
    said = f"{_keys(index['KeySchema'])}, {index['Projection']['ProjectionType']}"
    return said if status == "ACTIVE" else f"{said}, {status}"


def _of_forgetting(about: About, facts: TableFacts) -> Checked:
    ttl, backups = about.of("ttl"), about.of("point-in-time recovery")
    if facts.ttl.denied is not None:
        yield ttl.unknown(facts.ttl.denied)
    else:
        described = (facts.ttl.value or {}).get("TimeToLiveDescription", {})
        is_on = described.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        found = f"on {described.get('AttributeName')}" if is_on else "off"
        yield ttl.either(found == f"on {TTL}", found, f"on {TTL}", f"aws dynamodb update-time-to-live, {TTL}")
    if facts.backups.denied is not None:
        yield backups.unknown(facts.backups.denied)
    else:
        found = "on" if is_recoverable(facts) else "off"
        yield backups.either(found == "on", found, "on", INIT)


def is_recoverable(facts: TableFacts) -> bool:
    """Whether the table can be had back as it was."""
    described = (facts.backups.value or {}).get("ContinuousBackupsDescription", {})
    recovery = described.get("PointInTimeRecoveryDescription", {})
    return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")


# -- the queues -----------------------------------------------------------------------------------


def of_queue(name: str, facts: QueueFacts, dead: QueueFacts, visibility_s: int) -> Checked:
    """Time-outs, how long messages are kept, where they go that nobody comes to an end with."""
    about = About(f"queue {name}")
    missing = _missing(about, facts.attributes)
    if missing is not None:
        yield missing
        return
    attributes = facts.attributes.value or {}
    if attributes.get("FifoQueue") == "true":
        expected = "a standard queue: the table keeps the order, and one of FIFO takes 300 messages a second"
        yield about.wrong("FIFO", expected, INIT)
    at_least = f"{visibility_s} s or more, {VISIBILITY_TIMES} of the function's time-out"
    found_s = facts.number("VisibilityTimeout")
    yield about.of("visibility").either(
        found_s >= visibility_s, f"{found_s} s", at_least, _set(facts, "VisibilityTimeout", visibility_s)
    )
    kept_s = facts.number("MessageRetentionPeriod")
    yield about.of("retention").either(
        kept_s >= DAY_S, f"{kept_s} s", f"{DAY_S} s or more", _set(facts, "MessageRetentionPeriod", DAY_S)
    )
    yield _of_redrive(about.of("redrive policy"), facts, dead)
    yield from _of_queue_access(about, facts)


def of_dead_queue(name: str, facts: QueueFacts, queue: QueueFacts) -> Checked:
    """That what crashed is kept until it is shown."""
    about = About(f"queue {name}")
    missing = _missing(about, facts.attributes)
    if missing is not None:
        yield missing
        return
    kept_s, other_s = facts.number("MessageRetentionPeriod"), queue.number("MessageRetentionPeriod")
    todo = _set(facts, "MessageRetentionPeriod", 14 * DAY_S)
    yield about.of("retention").either(
        kept_s > other_s, f"{kept_s} s", f"more than the queue's {other_s} s: a message's age goes with it", todo
    )
    yield from _of_queue_access(about, facts)


def _set(facts: QueueFacts, name: str, value: int) -> str:
    return f"aws sqs set-queue-attributes --queue-url {facts.url} --attributes {name}={value}"


def _of_redrive(about: About, facts: QueueFacts, dead: QueueFacts) -> Finding:
    policy = facts.document("RedrivePolicy")
    expected = f"{RECEIVES_MAX} receives or more, then to the queue of the dead"
    if not policy:
        return about.wrong("none", expected, INIT)
    target = str(policy.get("deadLetterTargetArn", ""))
    ours = str((dead.attributes.value or {}).get("QueueArn", ""))
    receives = int(policy.get("maxReceiveCount", 0))
    found = f"{receives} receives, then to {target.rpartition(':')[2]}"
    todo = "aws sqs set-queue-attributes, RedrivePolicy"
    return about.either(bool(ours) and target == ours and receives >= RECEIVES_MAX, found, expected, todo)


def _of_queue_access(about: About, facts: QueueFacts) -> Checked:
    attributes = facts.attributes.value or {}
    key = attributes.get("KmsMasterKeyId")
    own = attributes.get("SqsManagedSseEnabled") == "true"
    found = f"by the key {key}" if key else "by the service" if own else "none"
    yield about.of("encryption").either(found != "none", found, "some", _set_true(facts, "SqsManagedSseEnabled"))
    yield _of_policy(about.of("policy"), facts.document("Policy"))


def _set_true(facts: QueueFacts, name: str) -> str:
    return f"aws sqs set-queue-attributes --queue-url {facts.url} --attributes {name}=true"


# -- the bucket -----------------------------------------------------------------------------------


def of_bucket(name: str, facts: BucketFacts) -> Checked:
    """That nobody reads it who should not, and that nothing is left in it that nobody needs."""
    about = About(f"bucket {name}")
    missing = _missing(about, facts.bucket)
    if missing is not None:
        yield missing
        return
    yield _of_blocked(about.of("public access"), facts.blocked)
    yield _of_setting(about.of("encryption"), facts.encryption, "ServerSideEncryptionConfiguration")
    yield _of_lifecycle(about.of("lifecycle"), facts.lifecycle)
    versions = about.of("versions")
    if facts.versioning.denied is not None:
        yield versions.unknown(facts.versioning.denied)
    else:
        status = str((facts.versioning.value or {}).get("Status", "off"))
        todo = f"aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled"
        yield versions.either(status == "Enabled", status, "Enabled", todo)
    policy = about.of("policy")
    if facts.policy.denied is not None:
        yield policy.unknown(facts.policy.denied)
    else:
        yield _of_policy(policy, facts.document())


def _of_blocked(about: About, answer: Answer) -> Finding:
    if answer.denied is not None:
        return about.unknown(answer.denied)
    blocked = (answer.value or {}).get("PublicAccessBlockConfiguration", {})
    open_to = [each for each in BLOCKED if not blocked.get(each)]
    found = f"not blocked: {', '.join(open_to)}" if open_to else "blocked"
    return about.either(not open_to, found, "blocked", "aws s3api put-public-access-block, with all four")


def _of_setting(about: About, answer: Answer, name: str) -> Finding:
    if answer.denied is not None:
        return about.unknown(answer.denied)
    rules = (answer.value or {}).get(name, {}).get("Rules", ())
    by = [each.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "") for each in rules]
    return about.either(any(by), ", ".join(by) or "none", "some", INIT)


def _of_lifecycle(about: About, answer: Answer) -> Finding:
    if answer.denied is not None:
        return about.unknown(answer.denied)
    rules = [each for each in (answer.value or {}).get("Rules", ()) if each.get("Status") == "Enabled"]
    has = [name for name in _RULES if any(name in each for each in rules)]
    deletes = any("Expiration" in each for each in rules)
    if deletes:
        expected = "none that deletes by age: Longstop forgets by itself, and bodies go with their events"
        return about.wrong("a rule that deletes what is in use", expected, "take Expiration out of the bucket's rules")
    expected = "an end of unfinished uploads and of old versions"
    return about.either(len(has) == len(_RULES), ", ".join(has) or "none", expected, ADD)


def _of_policy(about: About, policy: Mapping[str, Any]) -> Finding:
    """Whether everybody may."""
    wide = [each for each in _to_all(policy, "Allow") if not each.get("Condition")]
    names = ", ".join(str(each.get("Sid", "without a Sid")) for each in wide)
    found = f"everybody may, by {names}" if wide else "nobody else's"
    return about.either(not wide, found, "nothing that everybody may", "take that statement out of its policy")


def of_tls(what: str, policy: Mapping[str, Any]) -> Finding:
    """Whether nothing can be had without TLS, by the policy of a queue or a bucket."""
    conditions = [each.get("Condition", {}) for each in _to_all(policy, "Deny")]
    by_tls = any("false" in str(each.get("Bool", {}).get("aws:SecureTransport")) for each in conditions)
    found = "needed" if by_tls else "not needed"
    return About(f"{what}, TLS").either(by_tls, found, "a policy that denies all without", ADD)


def _to_all(policy: Mapping[str, Any], effect: str) -> list[Mapping[str, Any]]:
    statements = policy.get("Statement", [])
    every = [statements] if isinstance(statements, dict) else statements
    return [each for each in every if each.get("Effect") == effect and _is_everybody(each)]


def _is_everybody(statement: Mapping[str, Any]) -> bool:
    who = statement.get("Principal")
    named = who.get("AWS", ()) if isinstance(who, dict) else who
    return named == "*" or "*" in (named or ())


# -- functions and the machine --------------------------------------------------------------------


def of_functions(wanted: Wanted, functions: Mapping[str, Answer]) -> Checked:
    """That a worker's time-out is more than that of what it calls."""
    answer = functions["work"]
    about = About(f"function {wanted.function('work')}, time-out")
    if answer.denied is not None:
        yield about.unknown(answer.denied)
    elif answer.value is not None:
        found_s, at_least_s = int(answer.value["Timeout"]), longest_s(wanted)
        expected = f"{at_least_s} s or more: the longest time-out of a destination, and {BESIDE_HANDLER_S} s"
        todo = f"give it {at_least_s} s; no function runs for more than {FUNCTION_MAX_S} s, a server does"
        yield about.either(found_s >= at_least_s, f"{found_s} s", expected, todo)


def longest_s(wanted: Wanted) -> int:
    """How long the function that delivers has to have."""
    return -(-wanted.longest_ms // 1000) + BESIDE_HANDLER_S


def of_clock(now_ms: int, theirs_ms: int | None) -> Checked:
    """That this machine's clock is about right."""
    if theirs_ms is not None:
        ahead_s = (now_ms - theirs_ms) / 1000
        found = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the services'"
        expected = f"within {SKEW_MAX_MS // 1000} s"
        yield About("this machine's clock").either(
            abs(now_ms - theirs_ms) <= SKEW_MAX_MS, found, expected, "have it set by NTP"
        )
