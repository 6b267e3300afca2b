"""The alarms of the template, and the topic by which people are told."""

from typing import Any

from longstop.stores.aws.setup.shapes import get, ref, resource
from longstop.stores.aws.setup.wanted import ROLES, Wanted

OLDEST_S = 600
"""Workers are that far behind."""
DEPTH = 10_000
"""Of 120,000 messages that a queue has under way at most.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""
MINUTES = 5


def alarms(wanted: Wanted, *, kms: bool) -> dict[str, Any]:
    """What people are told of: what waits too long, is too much, was given up on, was throttled, has failed."""
    queue = {"QueueName": get("Queue", "QueueName")}
    dead = {"QueueName": get("DeadQueue", "QueueName")}
    table = {"TableName": ref("Table")}
    visible = "ApproximateNumberOfMessagesVisible"
    made = {
        "OldestMessageAlarm": _alarm(
            f"The oldest message of the queue waits for more than {OLDEST_S} s",
            ("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum"),
            OLDEST_S,
            queue,
        ),
        "DepthAlarm": _alarm(
            f"More than {DEPTH} messages wait in the queue", ("AWS/SQS", visible, "Maximum"), DEPTH, queue
        ),
        "DeadAlarm": _alarm(
            "A message was received too often without an end: see dead letters of the reason crashed",
            ("AWS/SQS", visible, "Maximum"),
            0,
            dead,
        ),
        **{
            f"{kind}ThrottleAlarm": _alarm(
                f"The table refuses {kind.lower()}s for a while",
                ("AWS/DynamoDB", f"{kind}ThrottleEvents", "Sum"),
                0,
                table,
            )
            for kind in ("Read", "Write")
        },
    }
    for role in ROLES:
        for metric in ("Errors", "Throttles"):
            made[f"{role.title()}{metric}Alarm"] = _alarm(
                f"The function {wanted.function(role)}: {metric.lower()}",
                ("AWS/Lambda", metric, "Sum"),
                0,
                {"FunctionName": ref(f"{role.title()}Function")},
            )
    return {"AlarmTopic": _topic(kms), **made}


def _topic(kms: bool) -> Any:
    return resource("AWS::SNS::Topic", {"KmsMasterKeyId": get("Key")} if kms else {})


def _alarm(about: str, what: tuple[str, str, str], over: int, of: dict[str, Any]) -> Any:
    namespace, metric, statistic = what
    properties = {
        "AlarmDescription": f"Longstop. {about}",
        "Namespace": namespace,
        "MetricName": metric,
        "Statistic": statistic,
        "Dimensions": [{"Name": name, "Value": value} for name, value in of.items()],
        "Period": 60 * MINUTES,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": over,
        "TreatMissingData": "notBreaching",
        "AlarmActions": [ref("AlarmTopic")],
    }
    return resource("AWS::CloudWatch::Alarm", properties)
