"""The built image boots: to the agent's birth with a seed, and safely without one."""

import json
import queue
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from services.image_guest import ask, wait_for_shell
from services.ports import free_port

from node.messages import Envelope, State
from provisioning.authority.authority import Authority
from provisioning.enrol.connection import Reach, pinned, run_on
from provisioning.enrol.errors import EnrolError
from provisioning.image.boot.birth import birth_seed, broker, write_seed
from provisioning.image.boot.board import Board
from provisioning.image.boot.qemu import BROKER_ADDRESS, Machine
from provisioning.image.describe import Description
from provisioning.inventory import Node
from provisioning.listen import BrokerAccess, listening
from provisioning.seed.seed import Seed, seed_node

NODE = "taman-bunga"
BOOT_SECONDS_MAX = 1200
OUR_UNITS = "simpul-*.service"
EXPOSURE_MAX = 2.0
pytestmark = pytest.mark.timeout(2400)


def born(heard: "queue.Queue[bytes]") -> tuple[str, State]:
    envelope = msgspec.json.decode(heard.get(timeout=BOOT_SECONDS_MAX), type=Envelope)
    return envelope.node, msgspec.json.decode(envelope.data, type=State)


@dataclass(frozen=True, slots=True)
class Flashed:
    """A node that runs from a card with the flasher's seed and a broker's address."""

    board: Board
    heard: "queue.Queue[bytes]"
    seed: Seed
    ssh_port: int


def flashed_seed(seed: Seed, broker_port: int) -> dict[str, bytes]:
    """Return the flasher's files with the settings that provisioning brings."""
    head, _, config = seed.files["user-data"].partition(b"\n")
    ours = birth_seed(NODE, f"{BROKER_ADDRESS}:{broker_port}")["user-data"].partition(b"\n")[2]
    merged = json.loads(config)
    merged["write_files"] += json.loads(ours)["write_files"]
    return {**seed.files, "user-data": head + b"\n" + json.dumps(merged).encode() + b"\n"}


@pytest.fixture
def flashed(card: Path, authority: Authority, tmp_path: Path) -> Iterator[Flashed]:
    """Boot the card as a node that the flasher made and that has been given settings."""
    heard: queue.Queue[bytes] = queue.Queue()
    seed, ssh_port = seed_node(authority, Node(name=NODE)), free_port()
    with broker(tmp_path) as port:
        write_seed(card, flashed_seed(seed, port))
        board = Board(card, Machine(broker=f"127.0.0.1:{port}", forwards=((ssh_port, 22),)))
        access = BrokerAccess(url=f"mqtt://127.0.0.1:{port}")
        with listening(access, ("state",), lambda _topic, payload: heard.put(payload)), board:
            yield Flashed(board, heard, seed, ssh_port)


@pytest.mark.card
def test_a_flashed_node_says_its_birth_and_is_closed(
    flashed: Flashed, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    board = flashed.board
    name, state = born(flashed.heard)
    assert name == NODE
    assert state.online
    assert [phase.name for phase in board.boots[0].phases][:3] == ["kernel", "initrd", "root"]
    wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX)
    ask(board, "cloud-init status --wait", timeout_s=BOOT_SECONDS_MAX)
    valid = ask(board, "cloud-init schema --config-file /boot/firmware/user-data")
    assert valid == ["Valid schema /boot/firmware/user-data"]
    check_closed(board, {("tcp", "22"), ("udp", "68")})
    check_state(board)
    check_units(board)
    check_login(flashed, authority, passphrase, tmp_path)


def check_login(flashed: Flashed, authority: Authority, passphrase: bytes, folder: Path) -> None:
    """Log in with a certificate of the authority, and not without one."""
    key = folder / "technician"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    reach = Reach(
        host="127.0.0.1", port=flashed.ssh_port, user="technician", identity_file=str(key)
    )
    trust = pinned(NODE, flashed.seed.host_public_key, authority.krl())
    with pytest.raises(EnrolError, match="Permission denied"):
        run_on(reach, NODE, trust, ["id", "-un"])
    public = key.with_name("technician.pub").read_text()
    signer = authority.unlock(passphrase, "ssh-user")
    certificate = signer.technician("ayu", public, ["technician"], 8)
    key.with_name("technician-cert.pub").write_text(certificate)
    assert run_on(reach, NODE, trust, ["id", "-un"]) == b"technician\n"


def check_closed(board: Board, justified: set[tuple[str, str]]) -> None:
    """Find no listener that the reference does not justify, and no secret that others may read."""
    ports = [line.split() for line in ask(board, "ss -H -tuln")]
    outside = {
        (words[0], words[4])
        for words in ports
        if len(words) > 4 and not re.match(r"127\.|\[::1\]", words[4])
    }
    assert {(kind, place.rsplit(":", 1)[1]) for kind, place in outside} <= justified
    shadow = ask(board, "cut -d: -f1,2 /etc/shadow")
    assert shadow
    assert all(re.fullmatch(r"[a-z0-9_-]+:[!*].*", line) for line in shadow), shadow
    names = "-name '*.key' -o -name 'shadow*' -o -name 'ssh_host_*_key' -o -name token"
    found = ask(board, rf"find / -xdev \( {names} \) -type f -perm /044 2>/dev/null")
    assert found == [line for line in found if "/shadow" in line]


def check_state(board: Board) -> None:
    """Find what can be written where the reference says that it lies."""
    (root,) = ask(board, "findmnt -no FSTYPE,OPTIONS /")
    assert root.startswith("erofs ro")
    kinds = {
        path: ask(board, f"findmnt -no FSTYPE {path} | tail -n 1")
        for path in (
            "/etc",
            "/var",
            "/opt/simpul",
            "/var/lib/cloud",
            "/var/lib/simpul",
            "/var/lib/systemd/timesync",
            "/run/lock",
            "/boot/firmware",
        )
    }
    assert kinds == {
        "/etc": ["overlay"],
        "/var": ["overlay"],
        "/opt/simpul": ["overlay"],
        "/var/lib/cloud": ["ext4"],
        "/var/lib/simpul": ["ext4"],
        "/var/lib/systemd/timesync": ["ext4"],
        "/run/lock": ["tmpfs"],
        "/boot/firmware": ["vfat"],
    }
    assert ask(board, "findmnt -no FSTYPE /$(echo tmp)") == ["tmpfs"]
    assert ask(board, "stat --file-system --format=%S /data") == ["4096"]
    assert ask(board, "swapon --show --noheadings") == []
    # Keys and the technician are inherited by the slot of an update, which has no seed.
    assert ask(board, "id -u simpul technician") == ["700", "1000"]
    assert ask(board, "getent shadow technician | cut -d: -f8") == [""]
    assert ask(board, "ls /sys/class/net | grep -v lo") == ["eth0"]
    # The card is larger than the image: a power of two.
    assert int(ask(board, "findmnt -bno SIZE /data")[0]) > 1 << 30
    # An emulated board is given longer, on the kernel's command line.
    configured = ask(board, "systemd-analyze cat-config systemd/system.conf")
    assert "RuntimeWatchdogSec=14" in configured
    (watchdog,) = ask(board, "systemctl show -P RuntimeWatchdogUSec")
    assert watchdog == "1min 30s"
    assert ask(board, "systemctl --failed --no-legend --plain") == []


def check_units(board: Board) -> None:
    """Find our units valid and granting no more than needed, as the image's systemd sees it."""
    units = ask(board, f"systemctl list-unit-files --no-legend '{OUR_UNITS}' | cut -d' ' -f1")
    assert {"simpul-node.service", "simpul-lamp.service"} <= {*units}
    listed = ask(board, f"systemd-analyze security --no-pager {' '.join(units)} | grep '→'")
    exposures = [float(found[1]) for line in listed if (found := re.search(r": ([0-9.]+) ", line))]
    assert len(exposures) == len(units), listed
    assert max(exposures) <= EXPOSURE_MAX, listed
    assert ask(board, f"systemd-analyze verify --man=no {' '.join(units)} 2>&1") == []


@pytest.mark.long
def test_without_a_seed_the_node_is_safe(card: Path) -> None:
    with Board(card, Machine()) as board:
        wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX)
        ask(board, "systemctl is-system-running --wait", timeout_s=BOOT_SECONDS_MAX)
        check_closed(board, {("udp", "68")})
        (agent,) = ask(board, "systemctl is-active simpul-node.service")
        assert agent == "inactive"
        (ssh,) = ask(board, "systemctl is-active ssh.service")
        assert ssh == "inactive"
        hotspot = ask(board, "systemctl is-active simpul-hotspot-hostapd.service")
        assert hotspot != ["active"]
        assert ask(board, "test -e /etc/simpul/node.toml && echo provisioned") == []
        assert ask(board, "hostname") == ["simpul"]
        assert ask(board, "ls /etc/ssh/ssh_host_* 2>/dev/null") == []


@pytest.mark.long
def test_the_same_card_boots_on_an_emulated_pi_3(
    built: tuple[Path, Description], card: Path, tmp_path: Path
) -> None:
    assert built
    with broker(tmp_path) as port:
        write_seed(card, birth_seed("taman-bunga", f"{BROKER_ADDRESS}:{port}"))
        with Board(card, Machine(name="raspi3b", broker=f"127.0.0.1:{port}")) as board:
            board.wait_for("Start(?:ed|ing) .*simpul-node.service", timeout_s=BOOT_SECONDS_MAX)
