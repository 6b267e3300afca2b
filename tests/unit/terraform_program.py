"""Terraform and its provider of AWS, where the machine has them: no package brings either."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[2] / "deploy" / "terraform"
PROVIDER = "*/hashicorp/aws"
"""Where it lies below a folder of providers, behind the name of whoever hands it out."""
ROOT = """\
provider "aws" {
  region                      = "eu-central-1"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

module "longstop" {
  source      = "./longstop"
  name        = "NAME"
  template    = "template.json"
  functions   = "functions.zip"
  code_bucket = "NAME-code"
}

output "all" {
  value = module.longstop
}
"""
"""What somebody writes who takes the module, but for what an emulator needs."""


def _places() -> Iterator[Path]:
    """Where providers lie that need not be fetched. Terraform looks by itself in all but the first.

    https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories
    """
    if named := os.environ.get("TERRAFORM_PLUGINS"):
        yield Path(named)
    yield Path.home() / ".terraform.d" / "plugins"
    yield Path("/usr/local/share/terraform/plugins")
    yield Path("/usr/share/terraform/plugins")


class Terraform:
    """The program, in a folder that takes the module."""

    def __init__(self, folder: Path, endpoint: str = "") -> None:
        plugins = [each for each in _places() if any(each.glob(PROVIDER))]
        program = shutil.which("terraform") or shutil.which("tofu")
        if program is None or not plugins:
            pytest.skip("no package brings terraform and its provider of AWS")
        self.program = program
        self.folder = folder
        self._plugins = plugins[0]
        own = {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        self._environ = {**os.environ, **own, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}

    def init(self) -> None:
        """Take the provider that is there."""
        self.run("init", f"-plugin-dir={self._plugins}", "-input=false")

    def run(self, *words: str, ends: int = 0) -> str:
        """A command, and what it says."""
        done = subprocess.run(
            [self.program, words[0], "-no-color", *words[1:]],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == ends, said
        return said

    def outputs(self) -> Any:
        """Those of the root, when it has been applied."""
        done = subprocess.run(
            [self.program, "output", "-json"], cwd=self.folder, env=self._environ, capture_output=True, check=True
        )
        return json.loads(done.stdout)
