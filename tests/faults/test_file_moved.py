"""The database taken away from under a running gateway, in every way there is: nothing is acknowledged into nowhere.

The reckoning is the same for all: what was answered 200 after the loss is in the file that the path names, after a
restart; and what was answered 200 before it is there too, wherever the old file has come back.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from acceptance.harness import Site, wait_until
from acceptance.needs import absent, needs

Act = Callable[[Path], None]
DOES_NOT_LOOK = """
from longstop.stores.sqlite.file_guard import OpenFiles

OpenFiles.trouble = lambda self: None
"""


def files(folder: Path) -> list[Path]:
    return [folder / f"longstop.db{end}" for end in ("", "-wal", "-shm")]


def delete_all(folder: Path) -> None:
    for each in files(folder):
        each.unlink()


def delete_database(folder: Path) -> None:
    files(folder)[0].unlink()


def delete_log(folder: Path) -> None:
    files(folder)[1].unlink()


def delete_index(folder: Path) -> None:
    files(folder)[2].unlink()


def move_away(folder: Path) -> None:
    (folder / "away").mkdir()
    for each in files(folder):
        each.rename(folder / "away" / each.name)


def move_back(folder: Path) -> None:
    for each in files(folder):
        (folder / "away" / each.name).rename(each)


def move_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def move_folder_back(folder: Path) -> None:
    folder.with_name("elsewhere").rename(folder)


def another_folder(folder: Path) -> None:
    move_folder(folder)
    folder.mkdir()


def folders_changed_back(folder: Path) -> None:
    shutil.rmtree(folder)
    move_folder_back(folder)


def replace_by_a_copy(folder: Path) -> None:
    """A restore while it runs: another file is put in its place, and the old log is taken away."""
    source = apsw.Connection(str(files(folder)[0]), flags=apsw.SQLITE_OPEN_READONLY)
    copy = folder / "copy.db"
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    for each in files(folder)[1:]:
        each.unlink(missing_ok=True)
    copy.replace(files(folder)[0])


def cut_off(folder: Path) -> None:
    os.truncate(files(folder)[0], 0)


def nothing(folder: Path) -> None:
    assert folder.exists()


def start(site: Site, prelude: str = "") -> tuple[Path, list[str]]:
    """A gateway with its database in a folder of its own, and a few events in it; its ids."""
    folder = site.folder / "data"
    folder.mkdir(exist_ok=True)
    site.config.write_text(site.config.read_text().replace("sqlite:///longstop.db", "sqlite:///data/longstop.db"))
    site.start(prelude=prelude).ready()
    return folder, [post(site, number) for number in range(5)]


def post(site: Site, number: int) -> str:
    return site.accept("shop", b'{"id":"%d","type":"t"}' % number)


def tried(site: Site, number: int) -> str | None:
    """The id of an event that was taken, None where it was refused."""
    answer = site.post("shop", b'{"id":"%d","type":"t"}' % number)
    assert answer.status in (200, 503), answer
    return str(answer.json["id"]) if answer.status == 200 else None


def is_kept(folder: Path, id_: str) -> bool:
    connection = apsw.Connection(str(files(folder)[0]))
    try:
        return connection.execute("SELECT 1 FROM events WHERE id = ?", (id_,)).get is not None
    finally:
        connection.close()


def restart(site: Site) -> None:
    for process in site._started:
        process.kill()
    site.serve()


COMES_BACK: dict[str, tuple[Act, Act]] = {
    "the files are moved away and back": (move_away, move_back),
    "the folder is moved away and back": (move_folder, move_folder_back),
    "another folder in its place, and back": (another_folder, folders_changed_back),
    "the log is deleted": (delete_log, nothing),
    "the index of the log is deleted": (delete_index, nothing),
    "a copy is put in its place": (replace_by_a_copy, nothing),
}
IS_GONE: dict[str, Act] = {
    "all three files are deleted": delete_all,
    "the database is deleted": delete_database,
    "the database is cut off": cut_off,
}


@pytest.mark.parametrize("name", COMES_BACK)
def test_what_comes_back_is_gone_on_with_and_nothing_was_acknowledged_into_nowhere(site: Site, name: str) -> None:
    lose, mend = COMES_BACK[name]
    folder, before = start(site)
    lose(folder)
    # One that was under way when it happened may have been first; what came behind it is refused, or in the new file.
    during = [id_ for number in range(100, 130) if (id_ := tried(site, number)) is not None]
    mend(folder)
    after = wait_until(lambda: tried(site, 200), "the gateway to take events again")
    wait_until(lambda: site.look("/readyz").status == 200, "the gateway to be ready again")
    log = site._started[0].err
    assert "file_moved" in log
    assert "file_reopened" in log
    restart(site)
    assert [id_ for id_ in (*before, *during, after) if not is_kept(folder, id_)] == []


@pytest.mark.parametrize("name", IS_GONE)
def test_what_is_gone_is_answered_503_until_a_restart_and_nothing_was_acknowledged_into_nowhere(
    site: Site, name: str
) -> None:
    folder, _ = start(site)
    IS_GONE[name](folder)
    wait_until(lambda: tried(site, 100) is None, "the gateway to refuse")
    assert [id_ for number in range(101, 130) if (id_ := tried(site, number)) is not None] == []
    assert site.look("/readyz").status == 503
    assert site.request("GET", "/healthz", b"", {}).status == 200, "the process is alive"
    assert "file_moved" in site._started[0].err
    for each in files(folder):
        each.unlink(missing_ok=True)
    restart(site)
    assert is_kept(folder, post(site, 300))


@contextmanager
def a_volume(folder: Path) -> Iterator[None]:
    """Another file system mounted over a folder."""
    needs("mount", "umount")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=False, capture_output=True)
    if done.returncode:
        absent(f"a volume cannot be mounted: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a volume can only be mounted by root")
def test_another_volume_in_its_place_takes_nothing_and_the_first_goes_on_when_it_is_back(site: Site) -> None:
    folder, before = start(site)
    with a_volume(folder):
        wait_until(lambda: tried(site, 100) is None, "the gateway to refuse")
        assert tried(site, 101) is None
        assert list(folder.iterdir()) == [], "an empty database was begun in place of one that is on its way"
    after = wait_until(lambda: tried(site, 200), "the gateway to take events again")
    restart(site)
    assert [id_ for id_ in (*before, after) if not is_kept(folder, id_)] == []


def test_a_gateway_that_does_not_look_is_found_out(site: Site) -> None:
    """The proof of the proof: with the look left out, events are acknowledged and gone."""
    folder, _ = start(site, DOES_NOT_LOOK)
    move_away(folder)
    taken = [id_ for number in range(100, 110) if (id_ := tried(site, number)) is not None]
    assert taken
    for process in site._started:
        process.kill()
    shutil.rmtree(folder / "away")
    site.serve()
    assert [id_ for id_ in taken if not is_kept(folder, id_)] == taken
