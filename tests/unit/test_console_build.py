"""How the console gets into the package: console/build.py, and hatch_build.py, which calls it for a wheel."""

import gzip
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("loaded_" + path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(tmp_path: Path) -> ModuleType:
    """console/build.py over a console of a few files, whose `vite` is a script of ours."""
    console = tmp_path / "console"
    (console / "src").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc", "svelte.config.js", "vite.config.ts", "index.html"):
        (console / name).write_text(name)
    (console / "src" / "main.ts").write_text("main")
    shutil.copy(ROOT / "console" / "build.py", console)
    return load(console / "build.py")


@pytest.fixture
def fake_node(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In the place of Node.js: what is run is written down, and a build makes one file."""
    ran: list[str] = []

    def run(command: list[str], doing: str) -> None:
        ran.append(doing)
        if doing == "build":
            (Path(command[-1]) / "index.html").write_text("built")
        else:
            build.INSTALLED_FROM.parent.mkdir(exist_ok=True)

    monkeypatch.setattr(build, "node", lambda: ["node"])
    monkeypatch.setattr(build, "_npm", lambda _command: Path("npm-cli.js"))
    monkeypatch.setattr(build, "_run", run)
    return ran


def test_it_is_built_once_and_again_when_something_of_it_changes(build: ModuleType, fake_node: list[str]) -> None:
    assert build.build() is True
    assert (build.STATIC / "index.html").read_text() == "built"
    assert build.build() is False
    (build.HERE / "src" / "main.ts").write_text("changed")
    assert build.build() is True
    assert fake_node == ["install", "build", "build"], "what it needs is installed once"
    (build.HERE / "package-lock.json").write_text("changed")
    assert build.build() is True
    assert fake_node[3:] == ["install", "build"]


@pytest.mark.usefixtures("fake_node")
def test_a_file_that_was_renamed_or_added_is_a_change_and_a_test_is_none(build: ModuleType) -> None:
    seen = {build.fingerprint()}
    (build.HERE / "src" / "main.ts").rename(build.HERE / "src" / "other.ts")
    seen.add(build.fingerprint())
    (build.HERE / "src" / "more.ts").write_text("")
    seen.add(build.fingerprint())
    assert len(seen) == 3
    (build.HERE / "src" / "more.test.ts").write_text("")
    assert build.fingerprint() in seen


def test_without_node_it_says_what_is_needed_and_how_to_do_without(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "node", lambda: None)
    with pytest.raises(build.BuildError, match=r"Node\.js 20\.19 or newer.*LONGSTOP_CONSOLE=0"):
        build.build()


def test_a_build_that_fails_shows_its_last_lines_and_leaves_what_was_there(build: ModuleType) -> None:
    build.STATIC.mkdir(parents=True)
    (build.STATIC / "index.html").write_text("of before")
    with pytest.raises(build.BuildError, match=r"(?s)did not build.*this went wrong.*LONGSTOP_CONSOLE=0"):
        build._run([sys.executable, "-c", "print('this went wrong'); raise SystemExit(1)"], "build")
    assert (build.STATIC / "index.html").read_text() == "of before"


@pytest.mark.parametrize("limit", ["FIRST_MAX", "SIZE_MAX"])
def test_one_that_is_too_large_is_none(
    build: ModuleType, fake_node: list[str], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(build, limit, 10)
    with pytest.raises(build.BuildError, match="10 are allowed"):
        build.build()
    assert fake_node == ["install", "build"]
    assert not build.STATIC.exists()


def test_of_the_parts_that_are_loaded_later_a_page_has_one(build: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "index.html").write_text('<script src="/assets/index-1.js">')
    sizes = []
    for name, length in (("index-1.js", 1), ("editor-2.js", 4_000), ("plot-3.js", 2_000)):
        body = bytes(number * 7919 % 251 for number in range(length))
        (folder / name).write_bytes(body)
        sizes.append(len(gzip.compress(body, mtime=0)))
    page = len(gzip.compress((folder / "index.html").read_bytes(), mtime=0))
    assert build.compressed_sizes(folder) == (page + sizes[0], sizes[1])


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("v20.20.2", True),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("v20.18.1", False),
        ("v21.7.0", False),
        ("v18.0.0", False),
    ],
)
def test_which_node_is_new_enough(build: ModuleType, tmp_path: Path, version: str, fits: bool) -> None:
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    assert build._is_new_enough(str(program)) is fits


class Aborted(Exception):
    pass


class App:
    def abort(self, message: str) -> None:
        raise Aborted(message)


class HookInterface:
    """What of hatchling's a hook is made of; hatchling itself is there while a wheel is built, and not in tests."""

    root = str(ROOT)
    app = App()


def hook(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Any:
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = HookInterface  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    module = load(ROOT / "hatch_build.py")
    build = load(ROOT / "console" / "build.py")
    for name, answer in answers.items():
        monkeypatch.setattr(build, name, answer)
    monkeypatch.setattr(module, "_build", lambda _root: build)
    return module.ConsoleHook()


def test_a_wheel_has_it_although_git_ignores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data: dict[str, Any] = {"artifacts": []}
    hook(monkeypatch, build=lambda: False).initialize("standard", data)
    assert data["artifacts"] == ["src/longstop/edges/operators/static/**"]


def test_a_wheel_without_it_is_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> bool:
        raise AssertionError("it was built")

    monkeypatch.setenv("LONGSTOP_CONSOLE", "0")
    data: dict[str, Any] = {"artifacts": []}
    made = hook(monkeypatch, build=never, is_fresh=lambda: False, node=lambda: None)
    made.initialize("standard", data)
    assert data["artifacts"] == []
    assert made.dependencies() == []


def test_an_installation_ends_where_it_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    made = hook(monkeypatch, node=lambda: None, is_fresh=lambda: False)
    with pytest.raises(Aborted, match="LONGSTOP_CONSOLE=0"):
        made.initialize("standard", {"artifacts": []})


@pytest.mark.parametrize(("fresh", "node", "asked"), [(False, None, 1), (False, ["node"], 0), (True, None, 0)])
def test_node_is_asked_for_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, fresh: bool, node: list[str] | None, asked: int
) -> None:
    made = hook(monkeypatch, is_fresh=lambda: fresh, node=lambda: node)
    assert len(made.dependencies()) == asked


def test_the_lock_has_every_package_by_its_hash_and_no_address() -> None:
    text = (ROOT / "console" / "package-lock.json").read_text()
    assert not re.search(r"https?:|git\+|file:", text)
    packages = json.loads(text)["packages"]
    assert len(packages) > 50
    assert [name for name, entry in packages.items() if name and not entry.get("integrity")] == []


def test_what_it_is_made_of_is_named_by_exact_versions() -> None:
    package = json.loads((ROOT / "console" / "package.json").read_text())
    named = {**package["dependencies"], **package["devDependencies"]}
    assert {name: version for name, version in named.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == {}


def test_nothing_built_is_committed() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    kept = subprocess.run(
        [git, "ls-files", "src/longstop/edges/operators/static", "console/node_modules", "console/screenshots"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert kept == ""
