"""Setting up: a configuration to start from, and what is wrong with the one there is."""

import sys
from pathlib import Path

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, FAILED, CommandError, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.model.errors import ConfigurationError


def init(*, config: ConfigPath = DEFAULT_CONFIG) -> int:
    """Write a configuration to start from. A file that is there already is left alone."""
    from longstop.starter import STARTER

    _write_new(config, STARTER)
    option = "" if config == DEFAULT_CONFIG else f" --config {config}"
    output.line(f"Wrote {config}. Next:")
    output.line(f"  longstop check{option}    says what it means")
    output.line(f"  longstop serve{option}    starts, and says what to post where")
    return DONE


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{path} exists and is left as it is; name another with --config FILE") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}; name another with --config FILE") from None


def check(*, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Say all that is wrong with the configuration, or what it means.

    Handlers are imported, so one that is missing is found here and not at the first event.
    """
    from longstop.config import describe

    import_from_here()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    meaning = ""
    try:
        settings = program.load(config)
        problems, warnings, meaning = program.unusable(settings), settings.warnings, describe(settings)
    except ConfigurationError as error:
        problems = error.problems
    if json:
        row = {"config": str(config), "ok": not problems, "problems": list(problems), "warnings": list(warnings)}
        output.json_line(row)
    elif problems:
        say([*problems, f"longstop: {len(problems)} problem{'s' if len(problems) > 1 else ''} in {config}"])
    else:
        for text in meaning.split("\n"):
            output.line(text)
    return FAILED if problems else DONE


def import_from_here() -> None:
    """Let handlers be imported from the current folder, as `python -m` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
