"""What `longstop aws check` says of an account: nothing of one that is as it should be, one thing for each change."""

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aws_policies import ARNS, Asked, allows

from longstop.model.setup import Finding, Standing
from longstop.stores.aws.setup import findings
from longstop.stores.aws.setup.access import statements
from longstop.stores.aws.setup.asking import Answer
from longstop.stores.aws.setup.facts import BucketFacts, QueueFacts, TableFacts
from longstop.stores.aws.setup.roles import of_roles
from longstop.stores.aws.setup.wanted import (
    BLOCKED,
    ROLES,
    Wanted,
    dead_queue_attributes,
    lifecycle,
    queue_attributes,
    tls_only,
)

WANTED = Wanted("eu-central-1", "longstop", "longstop", "bodies-of-ours", longest_ms=10_000)
QUEUE, DEAD = (f"arn:aws:sqs:eu-central-1:111122223333:longstop{end}" for end in ("", "-dead"))
PUBLIC = {"Statement": [{"Sid": "Open", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "*", "Resource": "*"}]}

Change = Callable[[dict[str, Any]], object]


def account() -> dict[str, Any]:
    """What the services say of an account that is as it should be."""
    definition = WANTED.table_definition()
    indexes = [each | {"IndexStatus": "ACTIVE"} for each in definition["GlobalSecondaryIndexes"]]
    policy = json.dumps(tls_only("x", "*"))
    redrive = json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 5})
    return {
        "table": definition
        | {"TableStatus": "ACTIVE", "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}
        | {"GlobalSecondaryIndexes": indexes},
        "ttl": {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}},
        "backups": {
            "ContinuousBackupsDescription": {
                "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"},
            }
        },
        "queue": queue_attributes(WANTED.visibility_s)
        | {"QueueArn": QUEUE, "RedrivePolicy": redrive, "Policy": policy},
        "dead": dead_queue_attributes() | {"QueueArn": DEAD, "Policy": policy},
        "bucket": {},
        "blocked": {"PublicAccessBlockConfiguration": dict.fromkeys(BLOCKED, True)},
        "encryption": {
            "ServerSideEncryptionConfiguration": {
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            }
        },
        "lifecycle": {"Rules": lifecycle()},
        "policy": {"Policy": policy},
        "versioning": {"Status": "Enabled"},
        "work": {"Timeout": 60},
    }


def findings_of(said: Mapping[str, Any]) -> list[Finding]:
    """denied: what whoever asks may not."""

    def answer(name: str) -> Answer:
        return Answer(None, "not allowed") if said[name] == "denied" else Answer(said[name])

    queue, dead = QueueFacts(answer("queue"), "http://q"), QueueFacts(answer("dead"), "http://d")
    bucket = BucketFacts(
        *(answer(name) for name in ("bucket", "blocked", "encryption", "lifecycle", "policy", "versioning"))
    )
    work = said["work"]
    return [
        *findings.of_table(WANTED, TableFacts(answer("table"), answer("ttl"), answer("backups"))),
        *findings.of_queue("longstop", queue, dead, 360),
        *findings.of_dead_queue("longstop-dead", dead, queue),
        *findings.of_bucket("bodies-of-ours", bucket),
        *findings.of_functions(WANTED, {"work": Answer(work)}),
        *([] if queue.attributes.value is None else [findings.of_tls("queue longstop", queue.document("Policy"))]),
        findings.of_tls("bucket bodies-of-ours", bucket.document()),
    ]


def wrong(found: Iterable[Finding]) -> list[Finding]:
    return [each for each in found if each.standing is not Standing.OK]


def test_of_an_account_that_is_as_it_should_be_all_is_well() -> None:
    found = findings_of(account())
    assert not wrong(found)
    assert len(found) > 25
    assert len({each.what for each in found}) == len(found)


def without(where: str, name: str) -> Change:
    def change(said: dict[str, Any]) -> None:
        del said[where][name]

    return change


def having(where: str, **changes: Any) -> Change:
    return lambda said: said[where].update(changes)


def index_changed(kind: str, name: str, **changes: Any) -> Change:
    def change(said: dict[str, Any]) -> None:
        (found,) = [each for each in said["table"][kind] if each["IndexName"] == name]
        if changes:
            found.update(changes)
        else:
            said["table"][kind].remove(found)

    return change


def set_to(where: str, value: Any) -> Change:
    return lambda said: said.update({where: value})


LOCAL, FAR = "LocalSecondaryIndexes", "GlobalSecondaryIndexes"


@pytest.mark.parametrize(
    ("change", "what", "found"),
    [
        (set_to("table", None), "table longstop", "not there"),
        (having("table", TableStatus="UPDATING"), "table longstop", "UPDATING"),
        (
            having("table", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}]),
            "table longstop, key",
            "id",
        ),
        (index_changed(LOCAL, "turn"), "table longstop, index turn", "not there"),
        (index_changed(FAR, "by_group_end"), "table longstop, index by_group_end", "not there"),
        (
            index_changed(FAR, "by_key", IndexStatus="CREATING"),
            "table longstop, index by_key",
            "of_key id, KEYS_ONLY, CREATING",
        ),
        (
            index_changed(LOCAL, "tries", Projection={"ProjectionType": "KEYS_ONLY"}),
            "table longstop, index tries",
            "pk tries, KEYS_ONLY",
        ),
        (having("table", DeletionProtectionEnabled=False), "table longstop, deletion protection", "off"),
        (
            having("table", BillingModeSummary={"BillingMode": "PROVISIONED"}),
            "table longstop, billing",
            "PROVISIONED",
        ),
        (without("table", "BillingModeSummary"), "table longstop, billing", "PROVISIONED"),
        (set_to("ttl", {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}), "table longstop, ttl", "off"),
        (
            set_to("ttl", {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}}),
            "table longstop, ttl",
            "on until",
        ),
        (set_to("backups", {}), "table longstop, point-in-time recovery", "off"),
        (set_to("queue", None), "queue longstop", "not there"),
        (having("queue", FifoQueue="true"), "queue longstop", "FIFO"),
        (having("queue", VisibilityTimeout="359"), "queue longstop, visibility", "359 s"),
        (having("queue", MessageRetentionPeriod="3600"), "queue longstop, retention", "3600 s"),
        (without("queue", "RedrivePolicy"), "queue longstop, redrive policy", "none"),
        (
            having("queue", RedrivePolicy=json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 1})),
            "queue longstop, redrive policy",
            "1 receives, then to longstop-dead",
        ),
        (
            having("queue", RedrivePolicy=json.dumps({"deadLetterTargetArn": f"{DEAD}er", "maxReceiveCount": 5})),
            "queue longstop, redrive policy",
            "5 receives, then to longstop-deader",
        ),
        (having("queue", SqsManagedSseEnabled="false"), "queue longstop, encryption", "none"),
        (having("queue", Policy=json.dumps(PUBLIC)), "queue longstop, policy", "everybody may, by Open"),
        (without("queue", "Policy"), "queue longstop, TLS", "not needed"),
        (having("dead", MessageRetentionPeriod="345600"), "queue longstop-dead, retention", "345600 s"),
        (having("dead", SqsManagedSseEnabled="false"), "queue longstop-dead, encryption", "none"),
        (set_to("bucket", None), "bucket bodies-of-ours", "not there"),
        (set_to("blocked", None), "bucket bodies-of-ours, public access", f"not blocked: {', '.join(BLOCKED)}"),
        (
            having("blocked", PublicAccessBlockConfiguration=dict.fromkeys(BLOCKED[1:], True)),
            "bucket bodies-of-ours, public access",
            f"not blocked: {BLOCKED[0]}",
        ),
        (set_to("encryption", None), "bucket bodies-of-ours, encryption", "none"),
        (set_to("lifecycle", None), "bucket bodies-of-ours, lifecycle", "none"),
        (
            set_to("lifecycle", {"Rules": lifecycle()[:1]}),
            "bucket bodies-of-ours, lifecycle",
            "AbortIncompleteMultipartUpload",
        ),
        (
            set_to("lifecycle", {"Rules": [*lifecycle(), {"Status": "Enabled", "Expiration": {"Days": 30}}]}),
            "bucket bodies-of-ours, lifecycle",
            "a rule that deletes what is in use",
        ),
        (set_to("versioning", {}), "bucket bodies-of-ours, versions", "off"),
        (set_to("policy", {"Policy": json.dumps(PUBLIC)}), "bucket bodies-of-ours, policy", "everybody may, by Open"),
        (set_to("policy", None), "bucket bodies-of-ours, TLS", "not needed"),
        (set_to("work", {"Timeout": 39}), "function longstop-work, time-out", "39 s"),
    ],
)
def test_each_change_is_found(change: Change, what: str, found: str) -> None:
    said = copy.deepcopy(account())
    change(said)
    told = wrong(findings_of(said))
    assert (what, found) in [(each.what, each.found) for each in told]
    assert all(each.expected and each.todo for each in told)


@pytest.mark.parametrize(
    "which", ["table", "ttl", "backups", "queue", "dead", "blocked", "encryption", "lifecycle", "policy", "versioning"]
)
def test_what_may_not_be_looked_at_is_not_known_and_not_wrong(which: str) -> None:
    told = wrong(findings_of(account() | {which: "denied"}))
    assert Standing.UNKNOWN in {each.standing for each in told}
    about_others = {"queue longstop, redrive policy", "bucket bodies-of-ours, TLS"}
    assert not [each for each in told if each.standing is Standing.WRONG and each.what not in about_others]


@pytest.mark.parametrize(
    ("now_ms", "standing"),
    [(0, Standing.OK), (30_000, Standing.OK), (30_001, Standing.WRONG), (-31_000, Standing.WRONG)],
)
def test_a_clock_that_is_wrong_is_told(now_ms: int, standing: Standing) -> None:
    (finding,) = findings.of_clock(1_000_000 + now_ms, 1_000_000)
    assert finding.standing is standing
    assert ("behind" if now_ms < 0 else "ahead") in finding.found or now_ms == 0


# -- roles ----------------------------------------------------------------------------------------


class Iam:
    """IAM's simulator over policies of ours. refuses: who asks may not ask."""

    def __init__(self, policies: Mapping[str, list[dict[str, Any]]], refuses: bool = False) -> None:
        self._policies = policies
        self._refuses = refuses

    async def ask(self, service: str, operation: str, **given: Any) -> Answer:
        assert (service, operation) == ("iam", "simulate_principal_policy")
        if self._refuses:
            return Answer(None, "iam, simulate_principal_policy: not allowed")
        context = {each["ContextKeyName"]: each["ContextKeyValues"] for each in given["ContextEntries"]}
        policy = self._policies[given["PolicySourceArn"]]
        asked = [(action, arn) for action in given["ActionNames"] for arn in given["ResourceArns"]]
        results = [
            {
                "EvalActionName": action,
                "EvalDecision": "allowed" if allows(policy, Asked(action, arn, context)) else "implicitDeny",
            }
            for action, arn in asked
        ]
        return Answer({"EvaluationResults": results})


async def of_policies(
    policies: Mapping[str, list[dict[str, Any]]], refuses: bool = False, wanted: Wanted = WANTED
) -> list[Finding]:
    beside = "arn:aws:lambda:eu-central-1:111122223333:function:longstop"
    functions = {role: Answer({"FunctionArn": f"{beside}-{role}", "Role": role}) for role in policies}
    return [each async for each in of_roles(Iam(policies, refuses), wanted, functions)]  # type: ignore[arg-type]


def policies() -> dict[str, list[dict[str, Any]]]:
    return {role: statements(role, ARNS) for role in ROLES}


async def test_roles_of_the_template_may_what_they_have_to_and_no_more() -> None:
    found = await of_policies(policies())
    assert [each.found for each in wrong(found)] == []
    assert len(found) == 6


@pytest.mark.parametrize(("role", "sid"), [(role, each["Sid"]) for role in ROLES for each in statements(role, ARNS)])
async def test_a_statement_that_is_gone_is_missed(role: str, sid: str) -> None:
    less = {role: [each for each in statements(role, ARNS) if each["Sid"] != sid]}
    (finding,) = wrong(await of_policies(less))
    assert finding.what == f"role of longstop-{role}"
    assert f"({sid})" in finding.found


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_that_may_everything_is_too_wide(role: str) -> None:
    actions = ["dynamodb:DeleteTable", "dynamodb:Scan", "dynamodb:DeleteItem", "s3:GetObject", "sqs:PurgeQueue"]
    everything = {"Sid": "All", "Action": actions, "Resource": ["*"]}
    (finding,) = wrong(await of_policies({role: [*statements(role, ARNS), everything]}))
    assert finding.what == f"role of longstop-{role}, too wide"
    assert "dynamodb:DeleteTable" in finding.found
    assert "dynamodb:Scan" in finding.found
    assert "sqs:PurgeQueue" in finding.found
    assert ("dynamodb:DeleteItem of E#x" in finding.found) == (role != "sweep")
    assert ("s3:GetObject" in finding.found) == (role == "ingest")


async def test_who_delivers_accepts_where_events_come_from_eventbridge() -> None:
    takes = replace(WANTED, takes_events=True)
    assert wrong(await of_policies({"work": statements("work", ARNS, takes_events=True)}, wanted=takes)) == []
    (lacks,) = wrong(await of_policies({"work": statements("work", ARNS)}, wanted=takes))
    assert "dynamodb:PutItem (Append)" in lacks.found
    (wide,) = wrong(await of_policies({"work": statements("work", ARNS, takes_events=True)}))
    assert wide.found == "may dynamodb:PutItem of E#x"


async def test_roles_that_nobody_may_look_at_are_not_known() -> None:
    assert {each.standing for each in await of_policies(policies(), refuses=True)} == {Standing.UNKNOWN}
