"""Several nodes are helped side by side, and the trouble of one is told beside the others' ends."""

import subprocess
import threading
from pathlib import Path

import pytest
from invoke import Exit

from provisioning.audit.keys import operator_key
from provisioning.audit.log import AuditLog
from provisioning.audit.verify import read_log
from provisioning.remote.errors import RemoteError
from provisioning.remote.many import each_node

NAMES = ("pasar-horas", "taman-bunga", "jalan-sutomo")


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    key = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True)
    return AuditLog(tmp_path / "audit.jsonl", operator_key(str(key)), "ayu")


@pytest.mark.parametrize("parallel", [1, 2, 16])
def test_an_error_that_nobody_foresaw_is_one_nodes_failure(log: AuditLog, parallel: int) -> None:
    def work(name: str) -> str:
        if name == "pasar-horas":
            raise ValueError("no such thing")
        if name == "taman-bunga":
            raise RemoteError("it refuses")
        return "well"

    told: list[str] = []
    with pytest.raises(Exit) as ended:
        each_node("reboot", NAMES, log, work, told.append, parallel=parallel)
    assert ended.value.code == 3
    assert sorted(told) == [
        "jalan-sutomo: well",
        "pasar-horas: a fault of this program: ValueError: no such thing; report it",
        "taman-bunga: it refuses",
    ]
    deeds = [each.deed for each in read_log(log.file, []).entries]
    assert {deed.nodes[0]: deed.outcome for deed in deeds if deed.outcome} == {
        "pasar-horas": "ValueError: no such thing",
        "taman-bunga": "RemoteError: it refuses",
        "jalan-sutomo": "done",
    }


def test_no_more_than_so_many_are_helped_at_once(log: AuditLog) -> None:
    lock, together = threading.Lock(), threading.Barrier(2)
    now: set[str] = set()
    most = 0

    def work(name: str) -> str:
        nonlocal most
        with lock:
            now.add(name)
            most = max(most, len(now))
        together.wait(30)  # two are, though
        with lock:
            now.remove(name)
        return ""

    names = [f"n{number}" for number in range(6)]
    each_node("logs", names, log, work, print, parallel=2)
    assert most == 2
    outcomes = [each.deed.outcome for each in read_log(log.file, []).entries]
    assert sorted(outcomes) == [""] * 6 + ["done"] * 6


def test_what_cannot_be_written_down_is_not_done(log: AuditLog) -> None:
    lost = AuditLog(Path("/no/such/log"), log.key, "ayu")
    done: list[str] = []
    told: list[str] = []

    def work(name: str) -> str:
        done.append(name)
        return ""

    with pytest.raises(Exit):
        each_node("reboot", NAMES, lost, work, told.append)
    assert done == []
    assert len(told) == 3
    assert all("nothing is done without the audit log" in line for line in told)
