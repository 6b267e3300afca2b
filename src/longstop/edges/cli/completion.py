"""What a shell needs to complete this program's command lines."""

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli.errors import DONE


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(name="SHELL", help="Whose script.")], /
) -> int:
    """Write a shell's completion script to standard output.

    bash: `source <(longstop completion bash)` in ~/.bashrc. zsh: into a file `_longstop` of a folder on $fpath.
    fish: into ~/.config/fish/completions/longstop.fish.
    """
    from longstop.edges.cli import app

    sys.stdout.write(app.build().generate_completion(shell=shell))
    return DONE
