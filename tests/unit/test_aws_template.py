"""The template of `longstop aws template`: what AWS's own tools say of it, and what it is to keep to."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cfn_tools
import pytest
import yaml

import longstop.aws
from longstop.stores.aws.setup.template import template
from longstop.stores.aws.setup.wanted import ROLES, Wanted
from longstop.stores.aws.setup.yaml import to_yaml
from longstop.stores.aws.table import definition

WANTED = Wanted("eu-central-1", "longstop", "inbox", "bodies-of-ours", variables=("SHOP_SECRET", "CRM_TOKEN"))
EVENTS = replace(WANTED, takes_events=True)
SMALL = replace(WANTED, bucket=None, variables=())
KINDS = [(sam, kms) for sam in (True, False) for kms in (True, False)]
MEANT = {
    # A sender proves who it is by its signature, which the function verifies.
    "api_gw_v2_authorization_type_configured_check",
    # Nothing of it is in a private network.
    "lambda_inside_vpc_check",
    # It has a SourceArn, which the rule does not see in Fn::Sub.
    "lambda_function_public_access_prohibited_check",
    # What is old has to be forgotten, and nobody has to be told of a body.
    "s3_bucket_object_lock_enabled_check",
    "s3_event_notifications_enabled_check",
    # It takes another bucket.
    "s3_bucket_logging_enabled_check",
}
"""What rules of AWS Control Tower ask for that is not done."""
WITH_KMS = {
    "cloudwatch_log_group_encrypted_check",
    "dynamodb_table_encrypted_kms_check",
    "s3_bucket_default_encryption_kms_check",
}
"""What is done with --kms only."""


def resources(made: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    found = [each["Properties"] for each in made["Resources"].values() if each["Type"].endswith(kind)]
    assert found, kind
    yield from found


def write(folder: Path, text: str, name: str = "template.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(("sam", "kms"), KINDS)
def test_cfn_lint_finds_nothing(sam: bool, kms: bool, tmp_path: Path) -> None:
    cfn_tools.needed()
    assert cfn_tools.lint(write(tmp_path, to_yaml(template(WANTED, sam=sam, kms=kms)))) == ""


@pytest.mark.parametrize("kms", [True, False])
def test_cfn_lint_finds_nothing_where_events_come_from_eventbridge(kms: bool, tmp_path: Path) -> None:
    cfn_tools.needed()
    made = template(EVENTS, sam=False, kms=kms)
    assert cfn_tools.lint(write(tmp_path, to_yaml(made))) == ""
    statements = made["Resources"]["WorkRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert len({each["Sid"] for each in statements}) == len(statements)
    (allowed,) = [
        each
        for each in made["Resources"]["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
    ]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["PartnerEvents", "Arn"]}}}
    assert ("events.amazonaws.com" in json.dumps(made["Resources"].get("Key"))) == kms


def test_cfn_lint_would_find_something(tmp_path: Path) -> None:
    cfn_tools.needed()
    text = to_yaml(template(SMALL, sam=True, kms=False))
    assert cfn_tools.lint(write(tmp_path, text)) == ""
    assert "E3002" in cfn_tools.lint(write(tmp_path, text.replace("RedrivePolicy", "RedrivePolice")))


@pytest.mark.parametrize("kms", [True, False])
def test_rules_of_control_tower_are_kept_but_those_that_are_listed(kms: bool, tmp_path: Path) -> None:
    cfn_tools.needed()
    guard, rules = cfn_tools.unpack_guard(tmp_path)
    made = write(tmp_path, json.dumps(template(WANTED, sam=False, kms=kms)), "template.json")
    assert cfn_tools.broken_rules(guard, rules, made) == MEANT | (set() if kms else WITH_KMS)


@pytest.mark.parametrize(("sam", "kms"), KINDS)
def test_the_yaml_is_the_template(sam: bool, kms: bool) -> None:
    made = template(WANTED, sam=sam, kms=kms)
    assert yaml.safe_load(to_yaml(made)) == made


def test_yaml_of_what_is_easily_taken_for_something_else() -> None:
    hard: dict[str, Any] = {
        "On": [
            "no",
            "1",
            1,
            True,
            None,
            "null",
            "",
            "a: b",
            "x #y",
            " lead",
            "tail ",
            "-",
            "*",
            "{a}",
            "ü",
            '"',
            "1.0",
        ],
        "nested": [[1, [2]], {"a": {"b": [{"c": "d", "e": []}]}, "f": {}}],
        "true": {"${x}": "a'b"},
    }
    assert yaml.safe_load(to_yaml(hard)) == hard


@pytest.mark.parametrize(("sam", "kms"), KINDS)
def test_what_holds_events_outlives_its_stack(sam: bool, kms: bool) -> None:
    made = template(WANTED, sam=sam, kms=kms)["Resources"]
    for name in ("Table", "Bucket", "DeadQueue", *(["Key"] if kms else [])):
        assert (made[name]["DeletionPolicy"], made[name]["UpdateReplacePolicy"]) == ("Retain", "Retain"), name
    assert made["Table"]["Properties"]["DeletionProtectionEnabled"] is True


def test_the_table_is_the_one_that_the_store_reads() -> None:
    table = template(WANTED, sam=True, kms=False)["Resources"]["Table"]["Properties"]
    assert table | definition("longstop") == table
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize("sam", [True, False])
def test_functions_are_there_and_have_time_enough(sam: bool) -> None:
    made = template(replace(WANTED, longest_ms=120_000), sam=sam, kms=False)
    for role, properties in zip(ROLES, resources(made, "::Function"), strict=True):
        assert callable(getattr(longstop.aws, properties["Handler"].removeprefix("longstop.aws.")))
        assert properties["Handler"] == f"longstop.aws.{role}"
        assert set(properties["Environment"]["Variables"]) == {"LONGSTOP_CONFIG", "SHOP_SECRET", "CRM_TOKEN"}
        assert properties["MemorySize"] == (1_769 if role == "ingest" else 512)
    work = made["Resources"]["WorkFunction"]["Properties"]
    assert work["Timeout"] == 150
    assert made["Resources"]["Queue"]["Properties"]["VisibilityTimeout"] == 6 * 150


def test_a_function_has_at_most_what_the_service_gives() -> None:
    made = template(replace(WANTED, longest_ms=3_600_000), sam=True, kms=False)["Resources"]
    assert made["WorkFunction"]["Properties"]["Timeout"] == 900


@pytest.mark.parametrize("kms", [True, False])
def test_stars_stand_only_where_aws_asks_for_them(kms: bool) -> None:
    made = template(WANTED, sam=True, kms=kms)
    for role in resources(made, "IAM::Role"):
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert "*" not in statement["Resource"], statement
                assert not [each for each in statement["Action"] if "*" in each], statement
                # Behind a bucket's name there are its objects.
                assert json.dumps(statement["Resource"]).count("*") <= 2, statement
    for document in (*resources(made, "BucketPolicy"), *resources(made, "QueuePolicy")):
        (statement,) = document["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Action"] in ("s3:*", "sqs:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_without_a_bucket_there_is_none_in_it() -> None:
    made = template(SMALL, sam=True, kms=True)
    assert "s3" not in json.dumps(made).lower().replace("s3uri", "")
    # An empty mapping is no list of parameters.
    assert "Parameters" not in made


def test_alarms_tell_of_every_function_and_both_queues() -> None:
    made = template(WANTED, sam=True, kms=False)
    told = [(each["MetricName"], json.dumps(each["Dimensions"])) for each in resources(made, "Alarm")]
    for role in ROLES:
        for metric in ("Errors", "Throttles"):
            assert any(name == metric and f"{role.title()}Function" in of for name, of in told), (role, metric)
    for metric, of in (
        ("ApproximateAgeOfOldestMessage", '"Queue"'),
        ("ApproximateNumberOfMessagesVisible", '"Queue"'),
        ("ApproximateNumberOfMessagesVisible", '"DeadQueue"'),
        ("WriteThrottleEvents", '"Table"'),
    ):
        assert any(name == metric and of in where for name, where in told), (metric, of)
    assert all(each["AlarmActions"] == [{"Ref": "AlarmTopic"}] for each in resources(made, "Alarm"))


def test_names_are_no_longer_than_aws_takes_them() -> None:
    long = replace(WANTED, table="a.table_" + "x" * 240, queue="q" * 80)
    assert len(long.dead_queue) == 80
    assert all(len(long.function(role)) <= 64 and "." not in long.function(role) for role in (*ROLES, "operator"))
