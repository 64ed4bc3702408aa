"""A backup leaves no half of itself behind, and starts nothing that would fill the disk.

PostgreSQL's programs and df are stand-ins here; test_city runs both scripts on real ones.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from services.waiting import until

FILES = Path(__file__).parents[2] / "playbooks/roles/backups/files"
pytestmark = pytest.mark.skipif(shutil.which("find") is None, reason="no find")
MIB = 1024 * 1024
WRITES = 'for word; do case $word in --file=*) echo x > "${word#--file=}";; esac; done; '
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Stand-ins: 10,000 MiB are free, a database of 300 MiB, and dumps that work."""
    folder = tmp_path / "programs"
    folder.mkdir()
    put(folder, "df", 'echo "Avail"; echo "10000"')
    put(folder, "pg_dump", WRITES)
    put(folder, "pg_restore", '[ "$1" != --list ] || echo "1; TABLE DATA public measurement"')
    answers = "*data_directory*) echo /;; *pg_database_size*) echo 300;; *) echo 1;;"
    put(folder, "psql", f'case "$*" in {answers} esac')
    for name in ("createdb", "dropdb"):
        put(folder, name, f'echo "{name} $*" >> {tmp_path}/asked')
    (tmp_path / "dumps").mkdir()
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def line(tmp_path: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    path = f"{tmp_path / 'programs'}:{os.environ['PATH']}"
    return ["sh", str(FILES / words[0]), *words[1:]], {**os.environ, "PATH": path}


@pytest.fixture
def backup(programs: Path, tmp_path: Path) -> Run:
    def run(reserve: int = 1024) -> subprocess.CompletedProcess[str]:
        words = ("backup", "simpul", str(tmp_path / "dumps"), "30", str(reserve))
        command, environment = line(tmp_path, *words)
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    assert programs.is_dir()
    return run


def dumps(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "dumps").iterdir())


def test_a_dump_is_made(backup: Run, tmp_path: Path) -> None:
    done = backup()
    assert done.returncode == 0, done.stderr
    (name,) = dumps(tmp_path)
    assert done.stdout.strip().endswith(name)
    assert name.endswith(".dump")


def test_a_dump_that_fails_leaves_nothing(backup: Run, programs: Path, tmp_path: Path) -> None:
    put(programs, "pg_dump", WRITES + "exit 1")
    assert backup().returncode != 0
    assert dumps(tmp_path) == []


def test_a_dump_that_cannot_be_read_leaves_nothing(
    backup: Run, programs: Path, tmp_path: Path
) -> None:
    put(programs, "pg_restore", "exit 1")
    assert backup().returncode != 0
    assert dumps(tmp_path) == []


def test_a_dump_that_is_stopped_leaves_nothing(programs: Path, tmp_path: Path) -> None:
    put(programs, "pg_dump", WRITES + "exec sleep 60")
    command, environment = line(tmp_path, "backup", "simpul", str(tmp_path / "dumps"), "30", "0")
    # As systemd stops it: the signal reaches all of it.
    with subprocess.Popen(command, env=environment, start_new_session=True) as running:
        until(lambda: bool(dumps(tmp_path)), "the dump's beginning")
        time.sleep(0.2)
        os.killpg(running.pid, signal.SIGTERM)
        assert running.wait(30) != 0
    assert dumps(tmp_path) == []


def test_no_dump_is_begun_for_which_there_is_no_room(
    backup: Run, programs: Path, tmp_path: Path
) -> None:
    old, new = (tmp_path / "dumps" / f"simpul-2026{day}T013000Z.dump" for day in ("0101", "0102"))
    old.write_bytes(b"")
    with new.open("wb") as file:
        file.truncate(500 * MIB)
    put(programs, "df", 'echo "Avail"; echo " 1523"')
    done = backup()
    assert done.returncode != 0
    assert "1523 MiB are free, and a dump wants 1524 MiB" in done.stderr
    assert dumps(tmp_path) == [old.name, new.name]
    put(programs, "df", 'echo "Avail"; echo " 1524"')
    assert backup().returncode == 0
    assert len(dumps(tmp_path)) == 3


def test_dumps_that_are_old_make_room_for_one(backup: Run, programs: Path, tmp_path: Path) -> None:
    """Else they would keep their room for good: nothing but a dump removes them."""
    folder = tmp_path / "dumps"
    oldest, old, kept = (folder / f"simpul-2026010{day}T013000Z.dump" for day in "123")
    for dump in (oldest, old):
        dump.write_bytes(b"")
        os.utime(dump, (0, 0))
    other = folder / "other-20260101T013000Z.dump"
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    # Every dump of this database takes 1,000 of 3,500 MiB.
    left = f"$((3500 - 1000 * $(ls {folder} | grep -c ^simpul)))"
    put(programs, "df", f'echo "Avail"; echo " {left}"')
    assert backup(2600).returncode != 0, "the newest stays, however old, and so no room is made"
    assert dumps(tmp_path) == [other.name, old.name]
    kept.write_bytes(b"")
    done = backup(2000)
    assert done.returncode == 0, done.stderr
    assert dumps(tmp_path)[:2] == [other.name, kept.name]
    assert len(dumps(tmp_path)) == 3


def check(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "dumps/simpul-20260101T013000Z.dump").write_bytes(b"")
    command, environment = line(
        tmp_path, "restore", "check", "simpul", str(tmp_path / "dumps"), "1024"
    )
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.mark.usefixtures("programs")
def test_the_newest_dump_is_tried(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 tables came back" in done.stdout
    assert "createdb" in (tmp_path / "asked").read_text()


def test_no_dump_is_tried_for_which_there_is_no_room(programs: Path, tmp_path: Path) -> None:
    put(programs, "df", 'echo "Avail"; echo " 1323"')
    done = check(tmp_path)
    assert done.returncode != 0
    assert "1323 MiB are free, and a trial of" in done.stderr
    assert "createdb" not in (tmp_path / "asked").read_text()
