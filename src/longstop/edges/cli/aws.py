"""What the store needs in an account of AWS: a template of it, making it for a first try, what is wrong with it."""

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, FAILED, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.program import for_looking
from longstop.model.setup import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from longstop.edges.cli.program import AwsAccount, Program


def template(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    format: Annotated[
        Literal["sam", "cloudformation"],
        Parameter(help="sam: functions from a folder. cloudformation: from an archive in a bucket."),
    ] = "sam",
    kms: Annotated[bool, Parameter(help="Encrypt with a key of the account's own.", show_default=False)] = False,
    json: Annotated[bool, Parameter(name="--json", help="JSON in the place of YAML.", show_default=False)] = False,
    program: Injected,
) -> int:
    """Write a template of all that is needed: table, queues, bucket, functions, their roles, alarms.

    It goes to standard output; `sam deploy` takes it.
    """
    account = _account(program, config, ("store", "destinations"))
    made = account.template(sam=format == "sam", kms=kms)
    if json:
        output.json_line(made)
    else:
        output.text(account.as_text(made))
    return DONE


def init(*, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Make the table, the queues and the bucket that the store's URL names, where they are missing, for a first try.

    What is there stays as it is, and nothing is ever deleted. Functions, roles and alarms come with the template.
    """
    account = _account(program, config)

    async def main() -> int:
        async for step in account.init():
            if json:
                output.json_line(asdict(step))
            else:
                output.line(f"{step.what}: {'made' if step.made else 'there already'}")
        return DONE

    return program.run(main())


def check(*, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Say what is missing in the account or too wide, and what to do. It exits with 1 where anything is.

    Whether its caller may do what the store does is tried: with an item and an object that are deleted again.
    """
    account = _account(program, config)

    async def main() -> int:
        counts = dict.fromkeys(Standing, 0)
        async for each in account.check():
            counts[each.standing] += 1
            if json:
                output.json_line(asdict(each))
            elif each.standing is Standing.OK:
                output.line(f"ok       {each.what}: {each.found}")
            else:
                output.line(
                    f"{each.standing:7}  {each.what}: found {each.found}; expected {each.expected}; {each.todo}"
                )
        wrong, unknown = counts[Standing.WRONG], counts[Standing.UNKNOWN]
        say([f"longstop: {wrong} of {sum(counts.values())} not as they should be, {unknown} not known"])
        return FAILED if wrong else DONE

    return program.run(main())


def _account(program: "Program", config: "Path", needed: Collection[str] = ("store",)) -> "AwsAccount":
    return program.aws_account(for_looking(program, config, needed), config)
