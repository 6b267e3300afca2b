"""A backup under load, a kill, a restore: everything that was acknowledged before the backup is there, as it was."""

import stat
import subprocess
import sys
import threading
from pathlib import Path

import apsw

from acceptance.harness import Ran, Site, environment, wait_until

ENOUGH = 200


def post(site: Site, number: int) -> str:
    return site.accept("shop", b'{"id":"%d","type":"t"}' % number)


class Load:
    """Posts, one after the other, until it is told to stop; the ids of what was acknowledged."""

    def __init__(self, site: Site) -> None:
        self.acknowledged: list[str] = []
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            self.acknowledged.append(post(self._site, number))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def rows(path: Path) -> dict[str, str]:
    """Every event of a database and the state of its delivery."""
    connection = apsw.Connection(str(path))
    try:
        return dict(connection.execute("SELECT event_id, state FROM deliveries"))  # type: ignore[arg-type]
    finally:
        connection.close()


def test_killed_and_restored_it_has_all_that_was_acknowledged_before_the_backup(site: Site) -> None:
    gateway = site.serve()
    load = Load(site)
    try:
        wait_until(lambda: len(load.acknowledged) >= ENOUGH, "some load")
        before = list(load.acknowledged)
        made = site.cli("backup", "copy.db", "--json")
        assert made.exit == 0, made.err
        wait_until(lambda: len(load.acknowledged) >= len(before) + 50, "more load behind the backup")
    finally:
        load.stop()
    gateway.kill()
    copy = site.folder / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [each.name for each in site.folder.iterdir() if ".part" in each.name] == []
    there = rows(copy)
    assert set(before) <= set(there)
    assert made.row == {"file": "copy.db", "bytes": copy.stat().st_size, "events": len(there)}
    for end in ("", "-wal", "-shm"):
        (site.folder / f"longstop.db{end}").unlink(missing_ok=True)
    copy.rename(site.folder / "longstop.db")
    site.serve()
    # What had arrived by then is not sent again, what had not is; and new events are taken.
    new = post(site, 1_000_000)
    site.wait_for_state(new, "delivered")
    wait_until(lambda: site.ask("status").row["oldest_waiting_at"] is None, "everything to be delivered")
    now = rows(site.folder / "longstop.db")
    assert set(now) == {*there, new}
    assert set(now.values()) == {"delivered"}


def test_a_backup_takes_no_files_place_and_says_what_it_cannot_do(site: Site) -> None:
    assert site.cli("status").exit == 0
    (site.folder / "there.db").write_text("mine")
    refused = site.cli("backup", "there.db")
    assert (refused.exit, (site.folder / "there.db").read_text()) == (1, "mine")
    assert "there.db exists and is left as it is; name another file" in refused.err
    nowhere = site.cli("backup", "no/such/folder/copy.db")
    assert nowhere.exit == 1
    assert "there is no backup" in nowhere.err
    assert sorted(each.name for each in site.folder.glob("*.part*")) == []


def test_a_damaged_database_makes_no_backup(site: Site) -> None:
    site.serve()
    for number in range(50):
        post(site, number)
    site._started[0].stop()
    path = site.folder / "longstop.db"
    data = bytearray(path.read_bytes())
    # The middle of an index: it opens, and is wrong.
    connection = apsw.Connection(str(path))
    page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events_source'").get
    connection.close()
    start = (page - 1) * 8192
    data[start + 8_000 : start + 8_190] = bytes(190)
    path.write_bytes(data)
    ran = site.cli("backup", "copy.db")
    assert ran.exit == 1, ran
    assert "damaged" in ran.err
    assert not (site.folder / "copy.db").exists()


def test_a_backup_that_is_killed_leaves_no_file_that_looks_like_one(site: Site) -> None:
    assert site.cli("status").exit == 0
    slow = (
        "import longstop.stores.sqlite.backup as module, os, signal, sys\n"
        "module._check = lambda copy: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from longstop.__main__ import main\n"
        "sys.argv = ['longstop', 'backup', 'copy.db']\n"
        "sys.exit(main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", slow], cwd=site.folder, env=environment(), check=False)
    assert ran.returncode == -9
    assert not (site.folder / "copy.db").exists()
    again: Ran = site.cli("backup", "copy.db")
    assert again.exit == 0, again.err


def test_what_waits_is_in_the_backup_as_it_waits_and_goes_out_of_the_restored_one(site: Site) -> None:
    site.configure(first="1h", cap="1h")
    site.destination.fail(5)
    gateway = site.serve()
    ids = [post(site, number) for number in range(5)]
    for id_ in ids:
        site.destination.wait_for(id_)
    assert site.cli("backup", "copy.db").exit == 0
    gateway.kill()
    waiting = rows(site.folder / "copy.db")
    assert set(waiting) == set(ids)
    assert set(waiting.values()) <= {"scheduled", "leased"}
    for end in ("", "-wal", "-shm"):
        (site.folder / f"longstop.db{end}").unlink(missing_ok=True)
    (site.folder / "copy.db").rename(site.folder / "longstop.db")
    assert site.ask("status").row["events"] == 5
    assert [site.event(id_)["id"] for id_ in ids] == ids
