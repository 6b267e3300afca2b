"""What a function does before its first call: all that takes long, and nothing that may not be kept and continued."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.client import AioBaseClient
from aws_functions import CALL, KEY, REGION, configured, crm, functions, init, post

from function_package import UNNEEDED
from longstop.stores.aws.setup import Wanted
from longstop.wiring.functions import Functions
from longstop.wiring.parts import process_name

__all__ = ["configured", "crm", "functions"]

HEAVY = [
    *UNNEEDED,
    "asyncpg",
    "boto3",
    "longstop.demo",
    "longstop.edges.cli",
    "longstop.edges.mcp",
    "longstop.edges.operators",
    "longstop.identity",
    "longstop.stores.memory",
    "longstop.stores.postgres",
    "longstop.stores.redis",
    "longstop.stores.spool",
    "longstop.stores.sqlite",
    "longstop.testing",
    "longstop.wiring.serve",
    "mcp",
    "redis",
]
"""What no function needs: the server, the console, the command line, other stores."""
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({[*UNNEEDED, 'httpx2']!r}))\n"
"""As where it is not there: what others use if it is (structlog rich, aiobotocore httpx) is not counted here."""
READY = (
    "import sys, longstop.aws\n"
    "def there(): return {name for name, module in sys.modules.items() if module is not None}\n"
    "ready = there()\n"
    "import types; call = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 4_000)\n"
)


def run(code: str, role: str, **more: str) -> str:
    """What a process says that Lambda might have started."""
    named = {"AWS_LAMBDA_FUNCTION_NAME": f"longstop-{role}", "_HANDLER": f"longstop.aws.{role}"}
    env = {**os.environ, **named, **more}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def posted(number: int) -> dict[str, Any]:
    return post(json.dumps({"id": number}), KEY)


@pytest.fixture
def made(functions: tuple[Functions, Functions, Functions], configured: str, aws_emulator: Any) -> None:
    """The table and the queue are there."""
    functions[0]._run(init(Wanted(REGION, configured, configured, endpoint=aws_emulator.url)))


@pytest.mark.parametrize("role", ["ingest", "work"])
def test_a_function_imports_nothing_that_is_for_servers_and_nothing_more_at_its_first_call(
    role: str, made: None
) -> None:
    event = posted(1) if role == "ingest" else {"Records": [{"messageId": "1", "body": '{"delivery": "x"}'}]}
    told = "import json; print(json.dumps([sorted(ready), sorted(there() - ready)]))"
    ready, later = json.loads(run(f"{BLOCKED}{READY}longstop.aws.{role}({event!r}, call)\n{told}", role))
    needless = {each for each in {*ready, *later} for name in HEAVY if each == name or each.startswith(f"{name}.")}
    assert needless == set()
    assert [each for each in later if each.startswith(("longstop", "aiobotocore"))] == []


def test_what_is_kept_before_the_first_call_and_continued_many_times_draws_nothing_twice(made: None) -> None:
    """As SnapStart does it: a process stands still before its first call, and goes on more than once."""
    code = f"""{READY}
import json, os
from longstop.wiring.parts import process_name
for number in range(3):
    if os.fork():
        assert os.wait()[1] == 0
    else:
        said = longstop.aws.ingest({post('{"id": 0}', KEY)!r} | {{"body": json.dumps({{"id": number}})}}, call)
        print(json.loads(said["body"])["id"], process_name(), flush=True)
        os._exit(0)
"""
    drawn = [line.split() for line in run(code, "ingest").splitlines()]
    assert len(drawn) == 3
    # All but the time that is in an id.
    assert len({id_[15:] for id_, _ in drawn}) == 3
    assert len({name for _, name in drawn}) == 3


def test_a_function_is_named_by_what_tells_it_from_others_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_name() == process_name()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "longstop-work")
    first, second = process_name(), process_name()
    assert first != second
    assert {name.rpartition(":")[0] for name in (first, second)} == {"longstop-work"}


def test_a_configuration_that_is_wrong_shows_before_the_first_call(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    source = '[sources.shop]\nkind = "generic"\nverify = { scheme = "none" }\n'
    wrong.write_text(f'[store]\nurl = "sqlite:///here.db"\n{source}')
    code = "try: import longstop.aws\nexcept Exception as error: print(error)"
    assert "a function has no disk of its own" in run(code, "ingest", LONGSTOP_CONFIG=str(wrong))


def test_a_cold_start_asks_a_dozen_times_whatever_is_kept(
    functions: tuple[Functions, Functions, Functions], made: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later, _ = functions
    for number in range(3):
        first.ingest(posted(number), CALL)
    asked: list[str] = []
    call = AioBaseClient._make_api_call

    async def counted(client: AioBaseClient, operation: str, given: dict[str, Any]) -> Any:
        asked.append(operation)
        return await call(client, operation, given)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counted)
    assert later.ingest(posted(3), CALL)["statusCode"] == 200
    # Two shards; the store, the queue, the newest id, what waits, the event, what it tells, what was counted.
    assert len(asked) <= 12, asked


def test_the_page_says_what_may_be_left_out() -> None:
    page = Path(__file__).parents[2] / "docs/stores/aws.md"
    assert f"for each in {' '.join(UNNEEDED)}; do" in page.read_text()
