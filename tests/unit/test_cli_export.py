"""`export`, `import` and `migrate-store` as they are typed."""

import gzip
import json
import os
from pathlib import Path

import pytest

from longstop.__main__ import command
from longstop.edges.cli.migrate import _say_what_next
from longstop.operating.move import Compared
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import make_append

CONFIG = """
[sources.shop]
kind = "generic"
verify = { scheme = "none" }
"""


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("longstop.toml").write_text(CONFIG)
    store = SqliteStore(tmp_path / "longstop.db")
    await store.open()
    await store.append([make_append(n, dedup=b"k%d" % n) for n in range(3)])
    await store.close()
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["longstop", *words])
    return command()


def test_what_is_exported_is_imported_elsewhere_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "export", "all.jsonl") == 0
    assert (folder / "all.jsonl").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.glob("*.part")] == []
    (folder / "all.jsonl.gz").write_bytes(gzip.compress((folder / "all.jsonl").read_bytes()))
    (folder / "longstop.toml").write_text(f'{CONFIG}\n[store]\nurl = "sqlite:///other.db"\n')
    capsys.readouterr()
    for row in ({"imported": 3, "known": 0}, {"imported": 0, "known": 3}):
        assert typed(monkeypatch, "import", "all.jsonl.gz", "--json") == 0
        assert json.loads(capsys.readouterr().out) == row
    assert typed(monkeypatch, "export", "-") == 0


def test_an_export_takes_nobodys_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine").write_text("precious")
    assert typed(monkeypatch, "export", "mine") == 1
    assert "mine exists already; expected the name of a new file" in capsys.readouterr().err
    assert (folder / "mine").read_text() == "precious"


def test_a_file_that_is_cut_off_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cut.gz").write_bytes(gzip.compress(b"{}" * 100)[:-9])
    for name, said in (("cut.gz", "cannot be read"), ("none.jsonl", "No such file"), (str(folder), "directory")):
        assert typed(monkeypatch, "import", name) == 1
        assert said in capsys.readouterr().err


def test_a_store_is_moved_by_its_urls(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ("sqlite:///longstop.db", "sqlite:///new.db")
    for moved in (3, 0):
        assert typed(monkeypatch, "migrate-store", *urls, "--json") == 0
        rows = {row["rows"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
        assert (rows["events"]["number"], rows["events"]["moved"], rows["events"]["agrees"]) == (3, moved, True)
        assert rows["dedup keys"]["number"] == 3
    assert typed(monkeypatch, "migrate-store", *urls) == 0
    assert "Everything is there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("sqlite:///none.db", "sqlite:///new.db", "FROM: there is no store at"),
        ("sqlite:///empty.sqlite", "sqlite:///new.db", "FROM: there is nothing in the store at"),
        ("sqlite:///longstop.db", "sqlite:///./longstop.db", "TO: found the store that FROM names"),
        ("longstop.db", "sqlite:///new.db", "FROM: found text that is not a URL"),
        ("sqlite:///longstop.db", "memory://", 'TO: found "memory://"; expected a store that other'),
    ],
)
def test_what_cannot_be_moved_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str, target: str,
    said: str,
) -> None:  # fmt: skip
    Path("empty.sqlite").touch()
    assert typed(monkeypatch, "migrate-store", source, target) == 1
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".db") == ["longstop.db"]


def test_a_file_may_have_a_name_that_is_no_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"\xff.jsonl")
    assert typed(monkeypatch, "export", name) == 0
    assert len((folder / name).read_text().splitlines()) == 3
    assert typed(monkeypatch, "import", name) == 0
    # SQLite has no such names.
    assert typed(monkeypatch, "backup", name) == 2
    assert typed(monkeypatch, "migrate-store", "sqlite:///longstop.db", f"sqlite:///{name}") == 2


def test_what_the_other_store_had_of_its_own_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    compared = [
        Compared("users", 1, 0, 0, "a", "b", ("ada",)),
        Compared("alert book", 1, 0, 0, "a", "b", ("",)),
        Compared("events", 2, 1, 0, "a", "b", ()),
    ]
    _say_what_next(compared)
    users, book, events, then = capsys.readouterr().err.splitlines()
    assert users == "users: 1 missing or different: ada"
    assert book == "alert book: 1 missing or different"
    assert events == "events: 1 missing or different: unreadable"
    assert "move into an empty store" in then


@pytest.mark.parametrize(
    "words",
    [
        ("events", "list", "--key", "\udcff"),
        ("dead", "list", "--type", "\udcff"),
        ("replay", "\udcff"),
        ("discard", "--source", "shop", "--why", "\udcff"),
        ("pause", "crm", "--why", "\udcff"),
    ],
    ids=lambda words: words[0],
)
def test_what_was_typed_in_another_encoding_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert typed(monkeypatch, *words) == 2
    assert "found '\\udcff', which is not UTF-8; expected text in UTF-8" in capsys.readouterr().err
    # Of bodies it is bytes that are looked for.
    assert typed(monkeypatch, "events", "list", "--contains", "\udcff") == 0


def test_whoever_has_a_name_in_another_encoding_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGSTOP_USER", "\udcff")
    assert typed(monkeypatch, "purge") == 2
    assert "LONGSTOP_USER: found '\\udcff'" in capsys.readouterr().err
