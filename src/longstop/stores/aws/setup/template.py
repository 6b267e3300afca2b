"""A template for CloudFormation: all that Longstop needs in an account, and who may do what with it.

Names are those that the store's URL has, so that the same configuration finds them. What holds events stays when the
stack is deleted.
"""

from typing import Any

from longstop.stores.aws.setup.access import Arns
from longstop.stores.aws.setup.alarms import alarms
from longstop.stores.aws.setup.functions import functions
from longstop.stores.aws.setup.shapes import arn, get, join, kept, ref, resource, sub
from longstop.stores.aws.setup.wanted import (
    BLOCKED,
    RECEIVES_MAX,
    ROLES,
    TTL,
    Wanted,
    dead_queue_attributes,
    lifecycle,
    queue_attributes,
    tls_only,
)

Resources = dict[str, Any]
_TEXT_TO_NUMBER = ("VisibilityTimeout", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds")


def template(wanted: Wanted, *, sam: bool, kms: bool) -> dict[str, Any]:
    """The template. sam: the functions are made by SAM from a folder; otherwise from an archive in a bucket.

    kms: everything is encrypted with a key of the account's own.
    """
    resources: Resources = {**_table(wanted, kms), **_queues(wanted, kms)}
    if wanted.bucket is not None:
        resources |= _bucket(wanted, kms)
    if kms:
        resources |= _key(wanted)
    resources |= functions(wanted, _arns(wanted, kms), sam=sam, kms=kms)
    resources |= alarms(wanted, kms=kms)
    made: dict[str, Any] = {"AWSTemplateFormatVersion": "2010-09-09"}
    if sam:
        made["Transform"] = "AWS::Serverless-2016-10-31"
    return made | {
        "Description": f"Longstop: a durable inbox for webhooks, in the table {wanted.table}",
        **({"Parameters": parameters} if (parameters := _parameters(wanted, sam)) else {}),
        "Resources": resources,
        "Outputs": {
            "SendersPostTo": {
                "Description": "The address that senders post to; the source's name goes behind it",
                "Value": sub("https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/webhooks/"),
            },
            "OperatorRole": {
                "Description": "The role of consoles, of the command line and of servers",
                "Value": get("OperatorRole"),
            },
            "AlarmTopic": {"Description": "Who subscribes to it is told of alarms", "Value": ref("AlarmTopic")},
        },
    }


def _parameters(wanted: Wanted, sam: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if not sam:
        made["CodeBucket"] = {"Type": "String", "Description": "The bucket of the functions' archive"}
        made["CodeKey"] = {"Type": "String", "Description": "The name of the functions' archive in it"}
    if wanted.takes_events:
        made["EventBus"] = {"Type": "String", "Description": "The partner event bus of Genesys Cloud"}
    if wanted.variables:
        made["SecretName"] = {
            "Type": "String",
            "Default": "longstop",
            "Description": f"A secret of Secrets Manager: a JSON object with {', '.join(wanted.variables)}",
        }
    return made


def _arns(wanted: Wanted, kms: bool) -> Arns:
    def index(name: str) -> Any:
        return sub(f"${{Table.Arn}}/index/{name}")

    def objects(names: str) -> Any:
        return join(get("Bucket"), f"/{names}")

    bucket = wanted.bucket is not None
    through = ("dynamodb", "sqs", *(["s3"] if bucket else ()))
    return Arns(
        table=get("Table"),
        index=index,
        queue=get("Queue"),
        dead_queue=get("DeadQueue"),
        bucket=get("Bucket") if bucket else None,
        objects=objects,
        functions=tuple(arn("lambda", f"function:{wanted.function(role)}") for role in ROLES),
        roles=tuple(get(f"{role.title()}Role") for role in ROLES),
        key=get("Key") if kms else None,
        services=tuple(sub(f"{name}.${{AWS::Region}}.${{AWS::URLSuffix}}") for name in through),
    )


def _table(wanted: Wanted, kms: bool) -> Resources:
    encrypted = {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": get("Key")}}
    properties = wanted.table_definition() | {
        "TimeToLiveSpecification": {"AttributeName": TTL, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    return {"Table": kept(resource("AWS::DynamoDB::Table", properties | (encrypted if kms else {})))}


def _queues(wanted: Wanted, kms: bool) -> Resources:
    redrive = {"deadLetterTargetArn": get("DeadQueue"), "maxReceiveCount": RECEIVES_MAX}
    allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [arn("sqs", str(wanted.queue))]}
    queue = _queue(str(wanted.queue), queue_attributes(wanted.visibility_s), kms) | {"RedrivePolicy": redrive}
    dead = _queue(wanted.dead_queue, dead_queue_attributes(), kms) | {"RedriveAllowPolicy": allowed}
    policies = {name: tls_only(get(name), "sqs:*") for name in ("Queue", "DeadQueue")}
    if wanted.takes_events:
        policies["Queue"]["Statement"].append(_events_may_send())
    return {
        "Queue": resource("AWS::SQS::Queue", queue),
        "DeadQueue": kept(resource("AWS::SQS::Queue", dead)),
        **{
            f"{name}Policy": resource("AWS::SQS::QueuePolicy", {"Queues": [ref(name)], "PolicyDocument": policy})
            for name, policy in policies.items()
        },
    }


def _events_may_send() -> dict[str, Any]:
    return {
        "Sid": "PartnerEvents",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": get("Queue"),
        "Condition": {"ArnEquals": {"aws:SourceArn": get("PartnerEvents")}},
    }


def _queue(name: str, attributes: dict[str, str], kms: bool) -> dict[str, Any]:
    made: dict[str, Any] = {each: int(value) if each in _TEXT_TO_NUMBER else True for each, value in attributes.items()}
    if kms:
        del made["SqsManagedSseEnabled"]
        made |= {"KmsMasterKeyId": get("Key"), "KmsDataKeyReusePeriodSeconds": 300}
    return {"QueueName": name, **made}


def _bucket(wanted: Wanted, kms: bool) -> Resources:
    by: dict[str, Any] = (
        {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": get("Key")} if kms else {"SSEAlgorithm": "AES256"}
    )
    properties = {
        "BucketName": wanted.bucket,
        "PublicAccessBlockConfiguration": dict.fromkeys(BLOCKED, True),
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": by, "BucketKeyEnabled": kms}]
        },
        "VersioningConfiguration": {"Status": "Enabled"},
        "LifecycleConfiguration": {"Rules": [_rule(each) for each in lifecycle()]},
    }
    both = [get("Bucket"), join(get("Bucket"), "/*")]
    return {
        "Bucket": kept(resource("AWS::S3::Bucket", properties)),
        "BucketPolicy": resource(
            "AWS::S3::BucketPolicy", {"Bucket": ref("Bucket"), "PolicyDocument": tls_only(both, "s3:*")}
        ),
    }


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A lifecycle rule in CloudFormation's own words."""
    made = {"Id": rule["ID"], "Status": rule["Status"]}
    if "AbortIncompleteMultipartUpload" in rule:
        return made | {"AbortIncompleteMultipartUpload": rule["AbortIncompleteMultipartUpload"]}
    return made | {"NoncurrentVersionExpiration": rule["NoncurrentVersionExpiration"]}


def _key(wanted: Wanted) -> Resources:
    """Managed by the account; logs and alarms are encrypted by their services, which need a word of their own."""
    owner = {
        "Sid": "TheAccountDecides",
        "Effect": "Allow",
        "Principal": {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")},
        "Action": "kms:*",
        "Resource": "*",
    }
    also = ["events.amazonaws.com"] if wanted.takes_events else []
    services = {
        "Sid": "LogsAndAlarms",
        "Effect": "Allow",
        "Principal": {"Service": [sub("logs.${AWS::Region}.${AWS::URLSuffix}"), "cloudwatch.amazonaws.com", *also]},
        "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
    }
    no_grants = {
        "Sid": "GrantsForServicesAlone",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:CreateGrant",
        "Resource": "*",
        "Condition": {"BoolIfExists": {"kms:GrantIsForAWSResource": "false", "aws:PrincipalIsAWSService": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [owner, services, no_grants]}
    properties = {"Description": f"Longstop, {wanted.table}", "EnableKeyRotation": True, "KeyPolicy": policy}
    return {"Key": kept(resource("AWS::KMS::Key", properties))}
