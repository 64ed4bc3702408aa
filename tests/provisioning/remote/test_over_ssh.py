"""Nodes are helped over SSH: nothing is glued, nothing hangs, and one's trouble stays its own."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.node_fleet import LIGHT, ROOT, NodeFleet, fleet_missing
from services.terminal import interrupt, read_until

from provisioning.audit.verify import Entry, read_log
from provisioning.enrol.connection import Reach, Trust, ssh_options
from provisioning.register import Register
from provisioning.remote.over_ssh import Journal, read_journal

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.timeout(300),
]
LINES = "#!/bin/sh\nseq -f 'line %g' 400\n"
WAITS = "#!/bin/sh\necho begun\nexec sleep 600\n"
# As an sshd that goes down with its node: the session that runs the command, this one's parent's.
CUT = "#!/bin/sh\nread -r _ _ _ sshd _ < /proc/$PPID/stat\nkill -9 $sshd\n"
REFUSES = "#!/bin/sh\necho not today >&2\nexit 1\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("ssh")
    with NodeFleet(folder, 3, "mqtt://127.0.0.1:1", before=LIGHT) as fleet:
        yield fleet


@pytest.fixture
def programs(fleet: NodeFleet) -> Iterator[dict[tuple[str, str], str]]:
    """Give what is to stand in for a node's programs, by node and name, until the test ends."""
    made: dict[tuple[str, str], str] = {}
    yield made
    for name, program in made:
        (fleet.nodes[name].folder / "bin" / program).unlink()


def put(fleet: NodeFleet, made: dict[tuple[str, str], str], *names: str, **texts: str) -> None:
    for name in names:
        for program, text in texts.items():
            file = fleet.nodes[name].folder / "bin" / program
            file.write_text(text)
            file.chmod(0o755)
            made[name, program] = text


def start(fleet: NodeFleet, folder: Path, *words: str) -> subprocess.Popen[str]:
    options = [*fleet.station(folder, Register(folder / "register.db")), "--user=root"]
    return subprocess.Popen(
        [sys.executable, "-m", "provisioning", *words, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def audited(folder: Path) -> list[Entry]:
    return [*read_log(folder / "audit.jsonl", []).entries]


def outcomes(folder: Path) -> dict[str, list[str]]:
    """Return what the audit log has of each node, in order."""
    told: dict[str, list[str]] = {}
    for entry in audited(folder):
        (name,) = entry.deed.nodes
        told.setdefault(name, []).append(entry.deed.outcome)
    return told


def test_lines_of_several_nodes_are_never_glued(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    put(fleet, programs, *fleet.nodes, journalctl=LINES.replace("400", "4000"))
    said, complaints = start(fleet, tmp_path, "logs", *fleet.nodes).communicate()
    assert sorted(said.splitlines()) == sorted(
        f"{name} | line {number}" for name in fleet.nodes for number in range(1, 4001)
    ), complaints
    assert outcomes(tmp_path) == {name: ["", "done"] for name in fleet.nodes}


def test_the_first_ctrl_c_ends_what_is_followed(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    put(fleet, programs, "n0", journalctl=WAITS)
    following = start(fleet, tmp_path, "logs", "n0", "--follow")
    assert following.stdout
    assert following.stdout.readline() == "begun\n", "each line is told at once"
    following.send_signal(signal.SIGINT)
    _, complaints = following.communicate(timeout=60)
    assert (following.returncode, complaints) == (130, "")
    assert outcomes(tmp_path) == {"n0": ["", "interrupted"]}


def test_one_ctrl_c_ends_what_runs_on_several_nodes(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    put(fleet, programs, "n0", "n1", journalctl=WAITS)
    put(fleet, programs, "n2", journalctl=LINES)
    reading = start(fleet, tmp_path, "logs", *fleet.nodes)
    assert reading.stdout
    for _ in range(400):
        assert reading.stdout.readline().startswith("n2 | line ")
    reading.send_signal(signal.SIGINT)
    _, complaints = reading.communicate(timeout=60)
    assert (reading.returncode, complaints) == (130, "")
    assert outcomes(tmp_path) == {
        "n0": ["", "interrupted"],
        "n1": ["", "interrupted"],
        "n2": ["", "done"],
    }


def test_a_connection_that_is_cut_amid_an_answer_is_that_nodes_failure(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    put(fleet, programs, "n0", cat=CUT)
    put(fleet, programs, "n1", sudo=REFUSES)
    rebooting = start(fleet, tmp_path, "reboot", "n0", "n1", "--within=20")
    said, complaints = rebooting.communicate()
    assert rebooting.returncode == 3
    assert complaints == ""
    assert sorted(said.splitlines()) == [
        "n0: 127.0.0.1: the connection ended before the answer",
        "n1: it refuses: not today",
    ]
    put(fleet, programs, "n0", journalctl="#!/bin/sh\necho begun\nkill -9 $PPID\n")
    reading = start(fleet, tmp_path, "logs", "n0")
    said, complaints = reading.communicate()
    assert (reading.returncode, complaints) == (3, "")
    assert said == "n0: 127.0.0.1: the connection ended before the journal did\n"


def test_what_a_node_says_cannot_steer_the_terminal(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    steers = "#!/bin/sh\nprintf '\\033]0;mine\\007a\\tb\\n'\n"
    put(fleet, programs, "n0", journalctl=steers)
    put(fleet, programs, "n1", journalctl=f"{steers}exit 1\n")
    put(fleet, programs, "n2", journalctl="#!/bin/sh\nprintf '\\033[2J' >&2; exit 1\n")
    said, _ = start(fleet, tmp_path, "logs", "n0").communicate()
    assert said == "\\x1b]0;mine\\x07a\tb\n"
    said, _ = start(fleet, tmp_path, "logs", "n1", "n2").communicate()
    assert sorted(said.splitlines()) == ["n1: journalctl failed", "n2: \\x1b[2J"]


def test_who_reads_no_further_ends_what_is_followed(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    put(fleet, programs, "n0", journalctl="#!/bin/sh\nwhile echo again; do sleep 0.1; done\n")
    following = start(fleet, tmp_path, "logs", "n0", "--follow")
    assert following.stdout
    assert following.stdout.readline() == "again\n"
    following.stdout.close()
    assert following.stderr
    assert following.stderr.read() == ""
    assert following.wait(60) == 141
    following.stderr.close()


def test_a_port_of_its_own_stands_in_the_inventory(
    fleet: NodeFleet, programs: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    put(fleet, programs, "n0", journalctl=LINES)
    options = fleet.station(tmp_path, Register(tmp_path / "register.db"))
    lines = ("[s]", f"n0 ansible_host=127.0.0.1 ansible_port={fleet.nodes['n0'].port}")
    (tmp_path / "inventory.ini").write_text("\n".join([*lines, "[nodes:children]", "s", ""]))
    done = subprocess.run(
        [sys.executable, "-m", "provisioning", "logs", "n0", "--user=root", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("line 1\n")


@pytest.mark.parametrize("name", ["my key", 'a "b" \\c', "100%h"])
def test_a_key_may_lie_anywhere(fleet: NodeFleet, tmp_path: Path, name: str) -> None:
    """As Paramiko takes it, ssh(1) has to take it."""
    key = tmp_path / name / "id"
    key.parent.mkdir()
    (fleet.folder / "user").rename(key)
    try:
        way = fleet.ways()["n0"]
        reach = Reach(host=way.host, port=way.port, user="root", identity_file=str(key))
        known = Trust(known_hosts=f"n0 {way.host_keys[0]}\n".encode(), krl=b"")
        with ssh_options(reach, "n0", known) as options:
            line = ["ssh", *options, "-p", str(way.port), "-l", "root", "--", way.host]
            told = subprocess.run([*line[:1], "-G", *line[1:]], check=True, capture_output=True)
            done = subprocess.run([*line, "echo in"], check=False, capture_output=True, text=True)
        assert f"identityfile {key}\n" in told.stdout.decode().replace("%%", "%")
        assert (done.stdout, done.stderr) == ("in\n", "")
    finally:
        key.rename(fleet.folder / "user")


QUESTION = """
import sys
from pathlib import Path
from rich.console import Console
from provisioning.audit.keys import operator_key
from provisioning.audit.log import AuditLog
from provisioning.enrol.show import is_right_view
from provisioning.remote.many import each_node

def work(name):
    is_right_view(Console())
    print("ANSWERED", name, flush=True)
    return ""

log = AuditLog(Path(sys.argv[1]), operator_key(sys.argv[2]), "ayu")
sys.argv = ["simpul"]
import provisioning.__main__ as simpul
simpul._run = lambda _: each_node("confirm-view", ["n0", "n1"], log, work, print, parallel=1)
sys.exit(simpul.main([]))
"""


def test_ctrl_c_at_a_question_is_no_answer(fleet: NodeFleet, tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        words = [str(tmp_path / "audit.jsonl"), str(fleet.folder / "user")]
        os.execv(sys.executable, [sys.executable, "-c", QUESTION, *words])  # noqa: S606 - no shell
    said = read_until(terminal, b"[y/t] ")
    said += interrupt(terminal)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    assert b"ANSWERED" not in said
    assert b"Traceback" not in said
    assert outcomes(tmp_path) == {"n0": ["", "interrupted"]}


def test_a_journal_is_read_line_by_line(
    fleet: NodeFleet, programs: dict[tuple[str, str], str]
) -> None:
    put(fleet, programs, "n0", journalctl="#!/bin/sh\nprintf 'a\\n\\nb\\377\\nno end'\n")
    lines = [*read_journal(fleet.ways()["n0"], Journal())]
    assert lines == ["a", "", "b\N{REPLACEMENT CHARACTER}", "no end"]
