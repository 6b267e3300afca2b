"""The functions of the template: who may what, what calls them, where they log."""

from typing import Any

from longstop.stores.aws.setup.access import Arns, Statement, statements
from longstop.stores.aws.setup.shapes import arn, get, ref, resource, sub
from longstop.stores.aws.setup.wanted import INGEST_S, ROLES, SWEEP_S, Wanted

Resources = dict[str, Any]

CODE = "function/"
"""The folder with longstop.toml and requirements.txt, which `sam build` makes the functions of."""
RUNTIME = "python3.13"
MEMORY_MB = {"ingest": 1_769, "work": 512, "sweep": 512}
"""A processor goes with 1,769 MB, and a share of one with less: a sender waits for ingest, and nobody for the others.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""
LOG_DAYS = 365
AT_ONCE = 10
"""Messages that a worker is handed together."""
_PURPOSES = {
    "ingest": "Longstop: accepts events",
    "work": "Longstop: delivers events",
    "sweep": "Longstop: sends again what got lost on the way, and forgets what is old",
}


def functions(wanted: Wanted, arns: Arns, *, sam: bool, kms: bool) -> Resources:
    """Of each role: the function, its role and its log; then what calls them, and the operator's role."""
    made: Resources = {}
    for role in ROLES:
        name = role.title()
        made |= {
            f"{name}Log": _log(wanted, role, kms),
            f"{name}Role": _role([*statements(role, arns, wanted.takes_events), _write_log(role)]),
            f"{name}Function": _function(wanted, role, sam),
        }
    made["OperatorRole"] = _role(statements("operator", arns), operator=True)
    if wanted.takes_events:
        made["PartnerEvents"] = _partner_events()
    return made | _api(wanted, kms) | _calls()


def _seconds(wanted: Wanted, role: str) -> int:
    return {"ingest": INGEST_S, "work": wanted.work_s, "sweep": SWEEP_S}[role]


def _log(wanted: Wanted, role: str, kms: bool) -> Any:
    return _log_group(f"/aws/lambda/{wanted.function(role)}", kms)


def _log_group(name: str, kms: bool) -> Any:
    properties = {"LogGroupName": name, "RetentionInDays": LOG_DAYS}
    return resource("AWS::Logs::LogGroup", properties | ({"KmsKeyId": get("Key")} if kms else {}))


def _write_log(role: str) -> Statement:
    return {
        "Sid": "WriteLog",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        # The group's own ARN ends with :*, its streams.
        "Resource": [get(f"{role.title()}Log")],
    }


def _role(policy: list[Statement], operator: bool = False) -> Any:
    account = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
    trusted = {
        "Effect": "Allow",
        "Principal": account if operator else {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    properties = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trusted]},
        "Policies": [{"PolicyName": "longstop", "PolicyDocument": {"Version": "2012-10-17", "Statement": policy}}],
    }
    return resource("AWS::IAM::Role", properties)


def _function(wanted: Wanted, role: str, sam: bool) -> Any:
    secrets = {
        name: sub(f"{{{{resolve:secretsmanager:${{SecretName}}:SecretString:{name}}}}}") for name in wanted.variables
    }
    code = {"CodeUri": CODE} if sam else {"Code": {"S3Bucket": ref("CodeBucket"), "S3Key": ref("CodeKey")}}
    properties = {
        "FunctionName": wanted.function(role),
        "Description": _PURPOSES[role],
        **code,
        "Handler": f"longstop.aws.{role}",
        "Runtime": RUNTIME,
        "Architectures": ["arm64"],
        "MemorySize": MEMORY_MB[role],
        "Timeout": _seconds(wanted, role),
        "Role": get(f"{role.title()}Role"),
        "LoggingConfig": {"LogGroup": ref(f"{role.title()}Log")},
        "Environment": {"Variables": {"LONGSTOP_CONFIG": "longstop.toml", **secrets}},
    }
    return resource("AWS::Serverless::Function" if sam else "AWS::Lambda::Function", properties)


def _api(wanted: Wanted, kms: bool) -> Resources:
    """What senders post to: these two, and nothing else."""
    routes = {"Webhooks": "POST /webhooks/{source}", "Health": "GET /healthz"}
    target = sub("integrations/${ApiIngest}")
    line = {"id": "$context.requestId", "from": "$context.identity.sourceIp", "route": "$context.routeKey"}
    line |= {"status": "$context.status", "failed": "$context.integrationErrorMessage"}
    logged = ",".join(f'"{name}":"{value}"' for name, value in line.items())
    stage = {
        "ApiId": ref("Api"),
        "StageName": "$default",
        "AutoDeploy": True,
        "AccessLogSettings": {"DestinationArn": get("ApiLog"), "Format": f"{{{logged}}}"},
    }
    calls_ingest = {
        "ApiId": ref("Api"),
        "IntegrationType": "AWS_PROXY",
        "IntegrationUri": get("IngestFunction"),
        "PayloadFormatVersion": "2.0",
    }
    return {
        "ApiLog": _log_group(f"/aws/apigateway/{wanted.function('api')}", kms),
        "Api": resource("AWS::ApiGatewayV2::Api", {"Name": wanted.function("api"), "ProtocolType": "HTTP"}),
        "ApiIngest": resource("AWS::ApiGatewayV2::Integration", calls_ingest),
        **{
            f"Api{name}": resource(
                "AWS::ApiGatewayV2::Route",
                {"ApiId": ref("Api"), "RouteKey": route, "AuthorizationType": "NONE", "Target": target},
            )
            for name, route in routes.items()
        },
        "ApiStage": resource("AWS::ApiGatewayV2::Stage", stage),
        "ApiMayCall": _may_call("Ingest", "apigateway", arn("execute-api", "${Api}/*/*")),
    }


def _calls() -> Resources:
    messages = {
        "EventSourceArn": get("Queue"),
        "FunctionName": get("WorkFunction"),
        "BatchSize": AT_ONCE,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    minute = {
        "Description": "Longstop's sweep",
        "ScheduleExpression": "rate(1 minute)",
        "State": "ENABLED",
        "Targets": [{"Id": "sweep", "Arn": get("SweepFunction")}],
    }
    return {
        "WorkMessages": resource("AWS::Lambda::EventSourceMapping", messages),
        "EveryMinute": resource("AWS::Events::Rule", minute),
        "MinuteMayCall": _may_call("Sweep", "events", get("EveryMinute")),
    }


def _partner_events() -> Any:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-saas.html"""
    properties = {
        "Description": "Longstop: events of Genesys Cloud into the queue",
        "EventBusName": ref("EventBus"),
        "EventPattern": {"source": [{"prefix": "aws.partner/genesys.com"}]},
        "Targets": [{"Id": "queue", "Arn": get("Queue")}],
    }
    return resource("AWS::Events::Rule", properties)


def _may_call(name: str, service: str, source: Any) -> Any:
    properties = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": get(f"{name}Function"),
        "Principal": f"{service}.amazonaws.com",
        "SourceArn": source,
    }
    return resource("AWS::Lambda::Permission", properties)
