"""Functions: how large their archive is, and how long the first event and the next take.

    python bench/functions.py [--times 20] [--json bench/results/functions.json]

Contenders have an archive of their own, made by pip as `sam build` would, from what pip can get. Each time is a new
process that imports the handler (what Lambda counts as Init Duration), takes its first event and then more, all on one
emulator. Without bytecode, as `sam build` leaves it out, and with it.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from servers import emulated_aws

from longstop.clock import SystemClock
from longstop.stores.aws.setup import Account, Wanted

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from function_package import SERVICES, UNNEEDED

PYTHON = str(Path(sys.base_prefix, "bin", "python3"))
"""Without what is installed here."""
ROOT = Path(__file__).parents[1]
REGION, NAME = "eu-central-1", "functions"
WARM = 20
CONFIG = """\
[store]
url = "aws://{region}?table={name}&queue={name}&endpoint={endpoint}"
[sources.shop]
kind = "generic"
verify = {{ scheme = "header", header = "X-Shop-Key" }}
secrets = ["a-key-of-the-shop"]
dedup = "id"
[destinations.crm]
url = "http://127.0.0.1:9/"
allow_private = true
[[routes]]
from = "shop"
to = ["crm"]
"""
TUTORIAL = """\
import json, os
import boto3
{more}
sqs = boto3.client("sqs", endpoint_url=os.environ["ENDPOINT"])
url = sqs.get_queue_url(QueueName="{name}")["QueueUrl"]
def handler(event, context):
    sqs.send_message(QueueUrl=url, MessageBody=event["body"])
    return {{"statusCode": 200, "body": "{{}}"}}
"""
POWERTOOLS = "from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response"
PROBE = """\
import json, sys, time, types
begun = time.perf_counter()
from {module} import {handler} as handler
ready = time.perf_counter()
call = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)
took = []
for number in range(1 + {warm}):
    event = json.loads(sys.argv[1])
    event["body"] = json.dumps({{"id": f"{{begun}}-{{number}}", "text": "x" * 1_000}})
    at = time.perf_counter()
    assert handler(event, call)["statusCode"] == 200
    took.append(time.perf_counter() - at)
print(json.dumps([ready - begun, took[0], sorted(took[1:])[{warm} // 2]]))
"""
EVENT = {
    "version": "2.0",
    "rawPath": "/webhooks/shop",
    "headers": {"x-shop-key": "a-key-of-the-shop", "content-type": "application/json"},
    "requestContext": {"http": {"method": "POST", "path": "/webhooks/shop", "sourceIp": "192.0.2.1"}},
}


@dataclass(frozen=True)
class Contender:
    """A function: its archive, and what is called in it."""

    name: str
    needs: tuple[str, ...]
    module: str
    handler: str
    trimmed: bool = False


CONTENDERS = (
    Contender("Longstop, as `sam build` makes it", (f"{ROOT}[aws]",), "longstop.aws", "ingest"),
    Contender("Longstop, trimmed", (f"{ROOT}[aws]",), "longstop.aws", "ingest", trimmed=True),
    Contender("boto3", ("boto3",), "tutorial", "handler"),
    Contender("boto3 and aws-lambda-powertools", ("boto3", "aws-lambda-powertools"), "tutorial", "handler"),
)


@dataclass
class Row:
    """What came of a contender."""

    name: str
    unzipped_mb: float
    zipped_mb: float
    times: dict[str, list[list[float]]]


def make(contender: Contender, folder: Path) -> None:
    """Its archive's folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    limits = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *limits, "--target", str(folder), *contender.needs], check=True)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    if contender.trimmed:
        trim(folder)
    if contender.module == "tutorial":
        more = POWERTOOLS if len(contender.needs) > 1 else ""
        (folder / "tutorial.py").write_text(TUTORIAL.format(more=more, name=NAME))


def trim(folder: Path) -> None:
    """Without what docs/stores/aws.md says can be left out."""
    for name in UNNEEDED:
        for each in folder.glob(f"{name}*"):
            if each.is_dir() and each.name.partition("-")[0] == name:
                shutil.rmtree(each)
    for each in (folder / "botocore" / "data").iterdir():
        if each.is_dir() and each.name not in SERVICES:
            shutil.rmtree(each)


def compiled(folder: Path) -> None:
    """With bytecode that is believed whatever the time of its source, which an archive may not keep."""
    command = [PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
    subprocess.run(command, check=False)


def sizes(folder: Path) -> tuple[float, float]:
    """Of a folder, in MB: as it is, and as an archive."""
    files = [each for each in folder.rglob("*") if each.is_file()]
    with tempfile.TemporaryFile() as made:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in files:
                archive.write(each, each.relative_to(folder))
        zipped = made.tell()
    return sum(each.stat().st_size for each in files) / 1e6, zipped / 1e6


def once(contender: Contender, folder: Path, env: dict[str, str]) -> list[float]:
    """Seconds of the import, the first event and the middle one of those that follow."""
    code = PROBE.format(module=contender.module, handler=contender.handler, warm=WARM)
    command = [PYTHON, "-c", code, json.dumps(EVENT)]
    ran = subprocess.run(
        command, env=env | {"PYTHONPATH": str(folder)}, cwd=folder, check=True, capture_output=True, text=True
    )
    return list(json.loads(ran.stdout.splitlines()[-1]))


async def init(wanted: Wanted) -> None:
    async for _ in Account(wanted, SystemClock()).init():
        pass


def main(times: int, out: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="longstop-functions-") as made:
        folder = Path(made)
        rows, folders = [], {}
        for place, each in enumerate(CONTENDERS):
            folders[each.name] = folder / str(place)
            make(each, folders[each.name])
            rows.append(Row(each.name, *sizes(folders[each.name]), {}))
        with emulated_aws(folder / "aws") as server:
            env = environment(folder, server.url)
            asyncio.run(init(Wanted(REGION, NAME, NAME, endpoint=server.url)))
            for kind in ("without bytecode", "with bytecode"):
                if kind == "with bytecode":
                    for each in folders.values():
                        compiled(each)
                # In turn, so that a slow minute of the machine falls on all of them.
                for _ in range(times):
                    for row, each in zip(rows, CONTENDERS, strict=True):
                        row.times.setdefault(kind, []).append(once(each, folders[each.name], env))
    tell(rows, times)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"machine": platform.platform(), "rows": [asdict(row) for row in rows]}, indent=1))


def environment(folder: Path, endpoint: str) -> dict[str, str]:
    """What Lambda tells a function, and where the emulator is."""
    config = folder / "longstop.toml"
    config.write_text(CONFIG.format(region=REGION, name=NAME, endpoint=endpoint))
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return keys | {
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "_HANDLER": "longstop.aws.ingest",
        "ENDPOINT": endpoint,
        "LONGSTOP_CONFIG": str(config),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def tell(rows: list[Row], times: int) -> None:
    """The tables of docs/bench.md."""
    print(f"| | unzipped MB | zipped MB |\n{'|---' * 3}|")
    for row in rows:
        print(f"| {row.name} | {row.unzipped_mb:.0f} | {row.zipped_mb:.0f} |")
    for kind in rows[0].times:
        print(f"\n| {kind}: ms, p50 / p95 of {times} | import | first event | warm |\n{'|---' * 4}|")
        for row in rows:
            print(f"| {row.name} | {' | '.join(_spread(row.times[kind], place) for place in range(3))} |")


def _spread(times: list[list[float]], place: int) -> str:
    taken: list[Any] = sorted(each[place] * 1000 for each in times)
    return f"{statistics.median(taken):.0f} / {taken[min(len(taken) - 1, int(0.95 * len(taken)))]:.0f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    main(options.times, options.json)
