"""The command: a folder that comes and goes, a show in it, its report, and an end that leaves nothing behind."""

import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from longstop.clock import SystemClock
from longstop.demo.backend import Backend
from longstop.demo.show import SEED, Plan, perform
from longstop.demo.view import View
from longstop.model.errors import LongstopError
from longstop.wiring import serve


def run(json: bool = False, keep: bool = False) -> int:
    """Run the demo; the exit status: 0 where nothing is missing, 1 otherwise, 130 where it was interrupted.

    json: the final report goes to standard output as one JSON object, everything else to standard error.
    keep: configuration, database and log are left for whoever wants to look at them.
    """
    console = Console(stderr=json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="longstop-demo-"))
    status = 130
    try:
        status = _performed(console, folder, json)
    except LongstopError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        status = 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("\n  Stopped. Nothing is left running.")
    finally:
        if status == 1 or keep:
            console.print(f"  Configuration, database and log are kept for you in {folder}", soft_wrap=True)
            console.print(f"    cd {folder} && longstop status && longstop events list", soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if status == 0:
        console.print(
            "  Next: `longstop init` writes a configuration of your own, `longstop serve` starts it.", soft_wrap=True
        )
    return status


def _performed(console: Console, folder: Path, json: bool) -> int:
    async def main() -> int:
        _end_on_signal()
        clock, plan = SystemClock(), Plan()
        with View(console, plan.events, clock) as view:
            report = await perform(plan, view, folder, Backend(clock, random.Random(SEED)), clock)
        view.report(report)
        if json:
            sys.stdout.write(msgspec.json.encode(report.as_json()).decode() + "\n")
        return report.exit_status

    return serve.run(main())


def _end_on_signal() -> None:
    """End on SIGTERM and on a closed terminal as on Ctrl-C, so that the gateway does not outlive the show."""
    show = asyncio.current_task()
    assert show is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, show.cancel)
