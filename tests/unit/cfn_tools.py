"""cfn-lint and cfn-guard, which look at templates of CloudFormation: `make aws-emulators`."""

import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

_FOLDER = Path(sys.prefix, "cfn")
_LINT = _FOLDER / "bin" / "cfn-lint"
_NONE_FAILED = 0
_FAILED = 19
"""How cfn-guard ends where a template breaks a rule."""


def needed() -> None:
    """Skip where they are not there, and fail where they have to be."""
    if _LINT.exists():
        return
    missing = f"no {_LINT}: make aws-emulators"
    if os.environ.get("LONGSTOP_CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def lint(template: Path) -> str:
    """What cfn-lint says of a template; nothing where all is well."""
    done = subprocess.run([_LINT, "--non-zero-exit-code", "none", template], capture_output=True, text=True, check=True)
    return done.stdout


def unpack_guard(folder: Path) -> tuple[Path, Path]:
    """The program cfn-guard and AWS's rules for it, which lie packed in a package."""
    (packed,) = _FOLDER.glob("lib/python*/site-packages/cdklabs/cdk_validator_cfnguard/_jsii/*.tgz")
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    program = f"package/bin/{'macos' if sys.platform == 'darwin' else 'ubuntu'}/{machine}/cfn-guard"
    rules = "package/rules/control-tower/cfn-guard"
    with tarfile.open(packed) as archive:
        wanted = [each for each in archive if each.name == program or each.name.startswith(rules)]
        archive.extractall(folder, wanted, filter="data")
    (folder / program).chmod(0o755)
    return folder / program, folder / rules


def broken_rules(guard: Path, rules: Path, template: Path) -> set[str]:
    """The rules that a template breaks, such as s3_bucket_object_lock_enabled_check."""
    how = ["--structured", "--show-summary", "none", "--output-format", "json"]
    done = subprocess.run(
        [guard, "validate", "--data", template, "--rules", rules, *how], capture_output=True, text=True, check=False
    )
    assert done.returncode in (_NONE_FAILED, _FAILED), done.stderr
    (report,) = json.loads(done.stdout)
    # Of the rules for what is not in the template there are none here.
    assert len(report["compliant"]) > 10
    return {each["Rule"]["name"] for each in report["not_compliant"]}
