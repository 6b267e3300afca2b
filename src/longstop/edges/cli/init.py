"""A configuration to start from."""

import os
from pathlib import Path

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, CommandError
from longstop.edges.cli.options import DEFAULT_CONFIG, ConfigPath


def init(*, config: ConfigPath = DEFAULT_CONFIG) -> int:
    """Write a configuration to start from. A file that is there already is left alone."""
    from longstop.edges.cli.starter import STARTER

    _write_new(config, STARTER)
    option = "" if config == DEFAULT_CONFIG else f" --config {config}"
    output.line(f"Wrote {config}. Next:")
    output.line(f"  longstop check{option}    says what it means")
    output.line(f"  longstop serve{option}    starts, and says what to post where")
    return DONE


def _write_new(path: Path, text: str) -> None:
    try:
        # For its owner alone, whatever the umask: sooner or later a secret is written into it.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{path} exists and is left as it is; name another with --config FILE") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}; name another with --config FILE") from None
