"""The module for Terraform: that it names what the template has, is valid, and makes the stack on an emulator."""

import asyncio
import json
import re
import shutil
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from terraform_program import MODULE, ROOT, Terraform

from longstop.clock import SystemClock
from longstop.model.setup import Standing
from longstop.stores.aws.setup import Account, Wanted
from longstop.stores.aws.setup.asking import Services
from longstop.stores.aws.setup.template import template

WANTED = Wanted("eu-central-1", "longstop", "inbox", "bodies-of-ours", variables=("SHOP_SECRET",), takes_events=True)
CODE = "def ingest(event, context):\n    return {'statusCode': 200}\n\n\nwork = sweep = ingest\n"


def text(name: str) -> str:
    return (MODULE / name).read_text()


def test_the_module_gives_each_parameter_of_the_template_and_hands_out_each_output() -> None:
    made = template(WANTED, sam=False, kms=False)
    (given,) = re.findall(r"given = \{(.*?)\}", text("main.tf"), re.DOTALL)
    assert set(re.findall(r"(\w+) +=", given)) == set(made["Parameters"])
    assert set(re.findall(r'outputs\["(\w+)"\]', text("outputs.tf"))) == set(made["Outputs"])


@pytest.mark.parametrize("kms", [False, True])
def test_the_template_is_short_enough_to_be_handed_over_by_itself(kms: bool) -> None:
    many = replace(WANTED, variables=tuple(f"A_SECRET_OF_A_SOURCE_{number}" for number in range(20)))
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    assert len(json.dumps(template(many, sam=False, kms=kms))) < 51_200


def prepared(folder: Path, wanted: Wanted, sam: bool = False) -> None:
    """A root that takes the module, with a template and an archive of functions."""
    shutil.copytree(MODULE, folder / "longstop")
    (folder / "main.tf").write_text(ROOT.replace("NAME", wanted.table))
    (folder / "template.json").write_text(json.dumps(template(wanted, sam=sam, kms=False)))
    with zipfile.ZipFile(folder / "functions.zip", "w") as archive:
        archive.writestr("longstop/__init__.py", "")
        archive.writestr("longstop/aws.py", CODE)


def test_terraform_finds_the_module_valid_and_well_formed(tmp_path: Path) -> None:
    terraform = Terraform(tmp_path)
    shutil.copytree(MODULE, tmp_path, dirs_exist_ok=True)
    assert terraform.run("fmt", "-check", "-diff") == ""
    terraform.init()
    assert "Success!" in terraform.run("validate")


async def _bucket_of_code(wanted: Wanted) -> None:
    async with Services(wanted.region, wanted.endpoint) as services:
        place = {"LocationConstraint": wanted.region}
        await services.call("s3", "create_bucket", Bucket=f"{wanted.table}-code", CreateBucketConfiguration=place)


async def _table_findings(wanted: Wanted) -> list[str]:
    found = [each async for each in Account(wanted, SystemClock()).check()]
    return [each.what for each in found if each.standing is Standing.OK and each.what.startswith("table")]


def test_it_makes_the_stack_and_finds_nothing_to_change_afterwards(
    tmp_path: Path, aws_emulator: Any, aws_credentials: None
) -> None:
    name = f"terraform-{uuid.uuid4().hex[:8]}"
    wanted = Wanted("eu-central-1", name, name, name, endpoint=aws_emulator.url)
    terraform = Terraform(tmp_path, aws_emulator.url)
    prepared(tmp_path, wanted)
    asyncio.run(_bucket_of_code(wanted))
    terraform.init()
    terraform.run("apply", "-auto-approve", "-input=false")
    made = terraform.outputs()["all"]["value"]
    assert set(made) == set(re.findall(r'output "(\w+)"', text("outputs.tf")))
    assert made["senders_post_to"].endswith("/webhooks/")
    assert f"table {name}, index turn" in asyncio.run(_table_findings(wanted))
    # 2: there is something to change.
    terraform.run("plan", "-detailed-exitcode", "-input=false", ends=0)


def test_a_template_for_sam_is_refused_with_what_to_do(
    tmp_path: Path, aws_emulator: Any, aws_credentials: None
) -> None:
    terraform = Terraform(tmp_path, aws_emulator.url)
    prepared(tmp_path, replace(WANTED, takes_events=False, variables=()), sam=True)
    terraform.init()
    said = terraform.run("plan", "-input=false", ends=1)
    assert "longstop aws template --format cloudformation --json" in " ".join(said.replace("│", "").split())
