"""The archive that functions are made of, from what is installed here: what `sam build` makes, trimmed.

What is left out is what docs/stores/aws.md says may be: whatever runs on this archive runs without it.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

import longstop

UNNEEDED = (
    "annotated_doc anyio apsw argon2 _argon2_cffi_bindings authlib click cyclopts docstring_parser fastapi h11 "
    "httpcore httptools httpx joserfc markdown_it mdurl opentelemetry pycparser pygments rich rich_rst starlette "
    "uvicorn uvloop"
).split()
"""What `pip` brings along for servers, the console and the command line."""
SERVICES = ("dynamodb", "sqs", "s3", "sts", "sso", "sso-oidc")
"""What botocore has to know of; its data of all others are most of its 26 MB."""


def package(config: Path) -> bytes:
    """An archive with Longstop, what it needs as a function, and a configuration."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.write(config, "longstop.toml")
        for path, name in (*_longstop(), *(file for each in needed() for file in _files(each))):
            archive.write(path, name)
    return made.getvalue()


def needed() -> list[Distribution]:
    """What Longstop needs on AWS, and what that needs, without what is left out."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement("longstop[aws]")]
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "_", wanted.name).lower()
        made = distribution(wanted.name)
        if name in found or _is_left_out(made):
            continue
        found[name] = made
        extras = wanted.extras or {""}
        needs = [Requirement(each) for each in made.requires or ()]
        waiting += [
            each for each in needs if each.marker is None or any(each.marker.evaluate({"extra": of}) for of in extras)
        ]
    return [each for name, each in sorted(found.items()) if name != "longstop"]


def _is_left_out(made: Distribution) -> bool:
    tops = {file.parts[0].partition(".")[0] for file in made.files or () if file.suffix in (".py", ".so")}
    return bool(tops) and tops <= set(UNNEEDED)


def _longstop() -> Iterator[tuple[Path, str]]:
    folder = Path(longstop.__file__).parent
    for path in folder.rglob("*"):
        name = path.relative_to(folder.parent)
        if path.is_file() and "__pycache__" not in name.parts and "static" not in name.parts:
            yield path, str(name)


def _files(made: Distribution) -> Iterator[tuple[Path, str]]:
    for file in made.files or ():
        name = str(file)
        if file.parts[0] == ".." or file.suffix == ".pyc" or not _is_read(file.parts):
            continue
        yield Path(str(file.locate())), name


def _is_read(parts: tuple[str, ...]) -> bool:
    return parts[:2] != ("botocore", "data") or len(parts) == 3 or parts[2] in SERVICES
