"""`longstop aws`: a template on standard output, what was made, what is wrong."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_program import TEXT, FakeProgram

from longstop.config import parse, variables_of
from longstop.model.errors import ConfigurationError, StoreUnavailableError
from longstop.model.setup import Finding, Standing, Step

Capture = pytest.CaptureFixture[str]
URL = "aws://eu-central-1?table=longstop&queue=longstop&bucket=bodies-of-ours"
AWS = f'[store]\nurl = "{URL}"\n{TEXT}'


@dataclass
class SaidAccount:
    """An account that says what it is told to."""

    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    error: Exception | None = None

    async def init(self) -> Any:
        for each in self.steps:
            yield each
        if self.error is not None:
            raise self.error

    async def check(self) -> Any:
        for each in self.findings:
            yield each


@dataclass
class Program(FakeProgram):
    """With that account."""

    account: SaidAccount = field(default_factory=SaidAccount)

    def aws_account(self, settings: Any, path: Path) -> Any:
        return self.account


def test_a_template_is_yaml_or_json_for_sam_or_without(capsys: Capture) -> None:
    program = FakeProgram(AWS)
    said = []
    for argv in ((), ("--json",), ("--format", "cloudformation"), ("--kms", "--json")):
        assert program.cli("aws", "template", *argv) == 0
        said.append(capsys.readouterr().out)
    assert yaml.safe_load(said[0]) == json.loads(said[1])
    assert yaml.safe_load(said[0])["Transform"] == "AWS::Serverless-2016-10-31"
    assert "Transform" not in yaml.safe_load(said[2])
    assert "Key" in json.loads(said[3])["Resources"]


def test_a_time_out_of_a_destination_is_in_the_template(capsys: Capture) -> None:
    text = AWS.replace("allow_private = true", 'allow_private = true\ntimeout = "200s"')
    assert FakeProgram(text).cli("aws", "template", "--json") == 0
    made = json.loads(capsys.readouterr().out)["Resources"]
    assert made["WorkFunction"]["Properties"]["Timeout"] == 230


def test_what_is_made_is_said_as_it_is_made(capsys: Capture) -> None:
    account = SaidAccount([Step("table longstop", True), Step("table longstop, ttl", False)])
    assert Program(AWS, account=account).cli("aws", "init") == 0
    assert capsys.readouterr().out == "table longstop: made\ntable longstop, ttl: there already\n"
    assert Program(AWS, account=account).cli("aws", "init", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"what": "table longstop", "made": True}, {"what": "table longstop, ttl", "made": False}]


def test_what_could_not_be_made_exits_with_1(capsys: Capture) -> None:
    account = SaidAccount([Step("table longstop", True)], error=StoreUnavailableError("sqs, create_queue: not allowed"))
    assert Program(AWS, account=account).cli("aws", "init") == 1
    said = capsys.readouterr()
    assert said.out == "table longstop: made\n"
    assert said.err == "longstop: sqs, create_queue: not allowed\n"


OK = Finding("table longstop", Standing.OK, "ACTIVE")
WRONG = Finding("table longstop, ttl", Standing.WRONG, "off", "on ttl", "longstop aws init")
UNKNOWN = Finding("bucket b, policy", Standing.UNKNOWN, "not allowed", "leave to look", "ask as another")


@pytest.mark.parametrize(
    ("findings", "status", "summary"),
    [
        ([OK, OK], 0, "0 of 2 not as they should be, 0 not known"),
        ([OK, UNKNOWN], 0, "0 of 2 not as they should be, 1 not known"),
        ([OK, WRONG, UNKNOWN], 1, "1 of 3 not as they should be, 1 not known"),
    ],
)
def test_what_is_wrong_exits_with_1(findings: list[Finding], status: int, summary: str, capsys: Capture) -> None:
    program = Program(AWS, account=SaidAccount(findings=findings))
    assert program.cli("aws", "check") == status
    said = capsys.readouterr()
    assert said.err == f"longstop: {summary}\n"
    assert len(said.out.splitlines()) == len(findings)
    if WRONG in findings:
        assert "wrong    table longstop, ttl: found off; expected on ttl; longstop aws init\n" in said.out
    assert program.cli("aws", "check", "--json") == status
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["standing"] for row in rows] == [each.standing for each in findings]
    assert set(rows[0]) == {"what", "standing", "found", "expected", "todo"}


@pytest.mark.parametrize("command", ["template", "init", "check"])
def test_another_store_is_told_that_it_is(command: str, capsys: Capture) -> None:
    assert FakeProgram(TEXT).cli("aws", command) == 1
    assert "found a store of the kind sqlite; expected aws://REGION" in capsys.readouterr().err


def test_a_template_without_a_queue_is_refused(capsys: Capture) -> None:
    assert FakeProgram(AWS.replace("&queue=longstop", "")).cli("aws", "template") == 1
    said = capsys.readouterr()
    assert (said.out, "without queue=" in said.err) == ("", True)


def test_a_queue_of_fifo_is_refused_and_why() -> None:
    with pytest.raises(ConfigurationError, match="which is FIFO; expected a standard queue: the table keeps the order"):
        parse(AWS.replace("queue=longstop", "queue=longstop.fifo"), where="", environ={}, base=Path())


def test_variables_are_those_of_the_file_and_not_of_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "longstop.toml"
    file.write_text('# ${NOT_THIS}\n[a]\nb = "${B}-${A}"\n[[c]]\nd = ["x", "${C}", 1]\n')
    assert variables_of(file) == ("A", "B", "C")
    file.write_text("[a\n")
    with pytest.raises(ConfigurationError, match=r"longstop\.toml"):
        variables_of(file)


def test_help_needs_nothing_of_aws() -> None:
    program = (
        "import sys\nfrom longstop.__main__ import command\nfor argv in (['--help'], ['aws', '--help'], "
        "['aws', 'check', '--help']):\n    sys.argv = ['longstop', *argv]\n    assert command() == 0\n"
        "assert not [each for each in sys.modules if 'boto' in each]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
