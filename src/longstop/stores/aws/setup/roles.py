"""What the functions' roles may, as IAM itself reckons it: all that they have to, and nothing that they must not."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from longstop.model.setup import Finding
from longstop.stores.aws.setup.access import NEVER, Arns, Statement, statements
from longstop.stores.aws.setup.asking import Answer, Services
from longstop.stores.aws.setup.findings import About
from longstop.stores.aws.setup.wanted import BODIES, Wanted

_ROWS = "dynamodb:LeadingKeys"
Forbidden = tuple[str, str, str | None]
"""An action, on what, and the partition of a row."""
_MUST_NOT: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "ingest": (
        ("s3:GetObject", None),
        ("s3:DeleteObject", None),
        ("dynamodb:DeleteItem", "E#x"),
        # Whole, with its body.
        ("dynamodb:GetItem", "E#x"),
        ("dynamodb:BatchGetItem", "E#x"),
        ("dynamodb:Query", "E#x"),
    ),
    "work": (("s3:DeleteObject", None), ("dynamodb:DeleteItem", "E#x"), ("dynamodb:PutItem", "E#x")),
    "sweep": (),
}
"""Beside NEVER: an action, and the partition of a row."""


async def of_roles(services: Services, wanted: Wanted, functions: Mapping[str, Answer]) -> AsyncIterator[Finding]:
    """Of each function that is there."""
    for role, answer in functions.items():
        if answer.value is None:
            continue
        arns = _arns(wanted, str(answer.value["FunctionArn"]))
        about = About(f"role of {wanted.function(role)}")
        asked = _Asked(services, str(answer.value["Role"]))
        yield await _narrow_findings(asked, about, statements(role, arns, wanted.takes_events))
        yield await _wide_finding(asked, about, list(_forbidden(wanted, role, arns)))


def _arns(wanted: Wanted, function: str) -> Arns:
    """The account is the function's."""
    _, partition, _, region, account = function.split(":")[:5]
    table = f"arn:{partition}:dynamodb:{region}:{account}:table/{wanted.table}"
    bucket = None if wanted.bucket is None else f"arn:{partition}:s3:::{wanted.bucket}"
    queues = f"arn:{partition}:sqs:{region}:{account}"
    return Arns(
        table=table,
        index=lambda name: f"{table}/index/{name}",
        queue=f"{queues}:{wanted.queue}",
        dead_queue=f"{queues}:{wanted.dead_queue}",
        bucket=bucket,
        objects=lambda names: f"{bucket}/{names.replace('*', 'x')}",
    )


class _Asked:
    """IAM's simulator, for one role.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """

    def __init__(self, services: Services, role: str) -> None:
        self._services = services
        self._role = role

    async def allowed(self, actions: list[str], resources: list[str], context: list[dict[str, Any]]) -> set[str] | str:
        """Which of these are allowed; text: why that cannot be told."""
        answer = await self._services.ask(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=self._role,
            ActionNames=actions,
            ResourceArns=resources,
            ContextEntries=context,
        )
        if answer.value is None:
            return answer.denied or f"there is no role {self._role}"
        found = answer.value["EvaluationResults"]
        refused = {each["EvalActionName"] for each in found if each["EvalDecision"] != "allowed"}
        return set(actions) - refused


async def _narrow_findings(asked: _Asked, about: About, wanted: list[Statement]) -> Finding:
    lacking: list[str] = []
    for each in wanted:
        allowed = await asked.allowed(each["Action"], each["Resource"], list(_context(each.get("Condition", {}))))
        if isinstance(allowed, str):
            return about.unknown(allowed)
        lacking += sorted(f"{action} ({each['Sid']})" for action in set(each["Action"]) - allowed)
    found = f"lacks {', '.join(lacking)}" if lacking else "may all that it has to"
    return about.either(not lacking, found, "what longstop aws template gives it", "deploy the template again")


def _context(condition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a call would be about that fulfils a condition on rows and their attributes."""
    partitions = condition.get("ForAllValues:StringLike", {}).get(_ROWS)
    if partitions:
        yield _rows([each.replace("*", "x") for each in partitions])
    for name, values in condition.get("ForAllValues:StringEquals", {}).items():
        yield {"ContextKeyName": name, "ContextKeyValues": values, "ContextKeyType": "stringList"}
    for name, value in condition.get("StringEqualsIfExists", {}).items():
        yield {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}


def _rows(partitions: list[str]) -> dict[str, Any]:
    return {"ContextKeyName": _ROWS, "ContextKeyValues": partitions, "ContextKeyType": "stringList"}


async def _wide_finding(asked: _Asked, about: About, forbidden: Sequence[Forbidden]) -> Finding:
    wide: list[str] = []
    for action, resource, row in forbidden:
        context = [] if row is None else [_rows([row])]
        allowed = await asked.allowed([action], [resource], context)
        if isinstance(allowed, str):
            return about.unknown(allowed)
        wide += [f"{action} of {row}" if row else action for _ in allowed]
    found = f"may {', '.join(wide)}" if wide else "may nothing that it must not"
    return about.of("too wide").either(not wide, found, "none of it", "take it out of the role's policies")


def _forbidden(wanted: Wanted, role: str, arns: Arns) -> Iterator[Forbidden]:
    of = {"dynamodb": arns.table, "sqs": arns.queue, "s3": arns.bucket}
    for action in NEVER:
        on = of[action.partition(":")[0]]
        if on is not None:
            yield action, on, None
    for action, row in _MUST_NOT[role]:
        if wanted.takes_events and role == "work" and action == "dynamodb:PutItem":
            continue
        if row is not None:
            yield action, arns.table, row
        elif arns.bucket is not None:
            yield action, arns.objects(f"{BODIES}/x"), None
