"""The real functions on an emulator: each does all of its work within the policy that the template gives its role."""

import json
from typing import Any

from aws_functions import CALL, KEY, REGION, configured, crm, functions, init, post
from aws_policies import ARNS, Asked, allows, recorded

from longstop.stores.aws.setup import Wanted
from longstop.stores.aws.setup.access import statements
from longstop.wiring.functions import Functions

__all__ = ["configured", "crm", "functions"]

BODIES = (
    ('{"id": 1, "conversation": "a"}', KEY, 200),
    ('{"id": 1, "conversation": "a"}', KEY, 200),
    ('{"id": 2, "conversation": "a"}', KEY, 200),
    ('{"id": 3, "conversation": "b", "refuse": true}', KEY, 200),
    ("not JSON", KEY, 400),
    ('{"id": 4}', "not the key", 401),
)


def refused(role: str, asked: list[Asked]) -> set[tuple[str, str, str]]:
    policy = statements(role, ARNS)
    return {(each.action, each.resource, str(each.context)) for each in asked if not allows(policy, each)}


def test_each_function_works_within_its_role(
    functions: tuple[Functions, Functions, Functions], configured: str, aws_emulator: Any
) -> None:
    ingest, work, sweep = functions
    ingest._run(init(Wanted(REGION, configured, configured, endpoint=aws_emulator.url)))
    calls: dict[str, list[Asked]] = {}
    with recorded() as calls["ingest"]:
        for body, key, status in BODIES:
            assert ingest.ingest(post(body, key), CALL)["statusCode"] == status
    with recorded() as calls["work"]:
        message = {"messageId": "1", "body": json.dumps({"delivery": "x", "destination": "crm"})}
        for _ in range(2):
            assert work.work({"Records": [message]}, CALL) == {"batchItemFailures": []}
    with recorded() as calls["sweep"]:
        sweep.sweep({}, CALL)
    for role, asked in calls.items():
        assert len(asked) > 50
        assert not refused(role, asked), role
