"""A node is found on a cable without any address, and on a LAN by its name; garbage is refused."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke import Context
from services.box import Box, box_missing
from services.flashed import Station
from services.sshd import Sshd, sshd_missing

from provisioning.enrol import find
from provisioning.enrol.errors import EnrolError
from provisioning.enrol.find import (
    candidates,
    host_keys,
    parse_neighbours,
    parse_scan,
    wait_for_node,
)
from provisioning.enrol.tasks import enrol_node
from provisioning.inventory import Node
from provisioning.register import Register
from provisioning.seed.seed import seed_node

NODE = Node(name="pasar-horas")
AVAHI = """\
[server]
host-name={name}
enable-dbus=no
allow-interfaces=eth0
[rlimits]
"""
LOOK = """\
import sys
from provisioning.enrol.find import wait_for_node
from provisioning.enrol.tasks import enrol_node
from provisioning.inventory import Node
from provisioning.register import Register
print(*wait_for_node(Node(name="pasar-horas"), [sys.stdin.read()], timeout_s=20))
"""


def look(desk: Box, key: str) -> list[str]:
    """Return the address and the key at which the station finds the node."""
    return desk.run(f"{sys.executable} -c '{LOOK}'", key.encode()).decode().strip().split(" ", 1)


@pytest.mark.skipif(box_missing(), reason="needs root, cloud-init, sshd, sudo and avahi-daemon")
def test_a_node_is_found_on_a_bare_cable_and_by_its_name(station: Station) -> None:
    seed = seed_node(station.authority, NODE)
    with Box(own_network=True) as desk, Box(own_network=True) as node:
        node.boot(seed.files)
        desk.join(node)
        # Nobody gave addresses; all that is there is what IPv6 makes by itself.
        address, key = look(desk, seed.host_public_key)
        assert address.startswith("fe80:")
        assert address.endswith("%eth0")
        assert key == seed.host_public_key
        # And now no IPv6, so that nothing but its name leads to it.
        for box, number, name in ((desk, 1, "desk"), (node, 2, "pasar-horas")):
            box.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
            box.run(f"ip address add 198.51.100.{number}/24 dev eth0")
            box.write("/etc/avahi/avahi-daemon.conf", AVAHI.format(name=name).encode())
            box.run("avahi-daemon --daemonize --no-chroot --no-drop-root --no-rlimits")
        desk.write("/etc/nsswitch.conf", b"hosts: files mdns4_minimal [NOTFOUND=return] dns\n")
        assert look(desk, seed.host_public_key) == ["198.51.100.2", seed.host_public_key]
        assert b"pasar-horas.local" in desk.run("getent hosts pasar-horas.local")


def test_nobody_at_all_is_explained() -> None:
    with pytest.raises(EnrolError, match=r"asked: 127\.0\.0\.1.*has it power and cable\?"):
        wait_for_node(NODE, ["ssh-ed25519 A"], address="127.0.0.1", port=1, timeout_s=0)
    assert host_keys([], 22) == {}
    assert host_keys(["-oProxyCommand=touch /tmp/x"], 22) == {}


@pytest.fixture
def stranger() -> Iterator[int]:
    """Give the port of a machine on the LAN that greets in bytes that are no text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with suppress(OSError):  # the listener is shut at the end
                while True:
                    caller, _ = listener.accept()
                    with caller:
                        caller.sendall(b"SSH-2.0-Caf\xe9_1.0\r\n")
                        while caller.recv(4096):
                            pass

        greeter = threading.Thread(target=greet)
        greeter.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        greeter.join()


def test_a_machine_that_greets_in_garbage_is_not_the_node(stranger: int) -> None:
    assert host_keys(["127.0.0.1"], stranger) == {}


@pytest.mark.parametrize("port", [0, -1, 65536, 70000])
def test_a_port_that_cannot_be_is_said_at_once(port: int) -> None:
    with pytest.raises(EnrolError, match=f"--port {port}: .* 1 to 65535"):
        wait_for_node(NODE, ["ssh-ed25519 A"], address="127.0.0.1", port=port, timeout_s=5)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "192.0.2.1:2222",
            "192.0.2.1 is looked for at port 22; tell its own apart, as in --port 2222",
        ),
        ("[fe80::1%eth0]:2222", "fe80::1%eth0 is looked for at port 22"),
        ("Pasar-Horas.local:ssh", "tell its own apart, as in --port 22"),
        ("192.0.2.1:", "tell its own apart, as in --port 22"),
    ],
)
def test_a_port_behind_the_address_is_told_apart(address: str, words: str) -> None:
    with pytest.raises(EnrolError) as caught:
        wait_for_node(NODE, ["ssh-ed25519 A"], address=address, timeout_s=0)
    assert words in str(caught.value)


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[Sshd]:
    if sshd_missing():
        pytest.skip("sshd is not installed, or this is not root")
    sshd = Sshd(tmp_path / "sshd", b"", b"", "nobody")
    sshd.make_host_key()
    with sshd:
        yield sshd


@pytest.mark.parametrize("address", ["LocalHost", "localhost:{port}", "127.0.0.1"])
def test_a_name_is_found_however_it_is_written(somebody: Sshd, address: str) -> None:
    public = somebody.host_key.with_suffix(".pub").read_text()
    key = " ".join(public.split()[:2])
    named = address.format(port=somebody.port)
    for node, asked in ((NODE, named), (Node(name="pasar-horas", address=named), "")):
        found = wait_for_node(node, [key], address=asked, port=somebody.port, timeout_s=10)
        assert found == (named.split(":")[0], key)


def test_a_port_alone_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inventory that gives a node a port, and no address, leaves it to be looked for."""
    monkeypatch.setattr(find, "candidates", lambda _: ["192.0.2.1"])
    monkeypatch.setattr(find, "host_keys", lambda *_: {"192.0.2.1": "ssh-ed25519 A"})
    node = Node(name="pasar-horas", address="pasar-horas:2222")
    assert wait_for_node(node, ["ssh-ed25519 A"], port=2222) == ("192.0.2.1", "ssh-ed25519 A")


def test_a_name_that_no_host_can_have_leads_nowhere() -> None:
    assert isinstance(candidates("a" * 64), list)


def test_the_new_card_is_preferred_to_the_node_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are believed for a while; a card that waits was flashed to be enrolled."""
    shown = {"192.0.2.1": "ssh-ed25519 OLD", "192.0.2.2": "ssh-ed25519 NEW"}
    monkeypatch.setattr(find, "candidates", lambda _: [*shown])
    monkeypatch.setattr(find, "host_keys", lambda *_: shown)
    keys = {"ssh-ed25519 NEW": "flashed", "ssh-ed25519 OLD": "confirmed"}
    assert wait_for_node(NODE, keys) == ("192.0.2.2", "ssh-ed25519 NEW")
    del keys["ssh-ed25519 NEW"]
    assert wait_for_node(NODE, keys) == ("192.0.2.1", "ssh-ed25519 OLD")


def test_a_playbook_that_no_file_can_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "inventory.ini").write_text("[nodes]\npasar-horas\n")
    register = Register(tmp_path / "register.db")
    register.record_host_key(NODE.name, "ssh-ed25519 A", "flashed")
    files = {"inventory": str(tmp_path / "inventory.ini"), "register": str(register.file)}
    with pytest.raises(EnrolError, match="File name too long; name one with --playbook"):
        enrol_node.body(Context(), NODE.name, playbook="a" * 300, **files)


def test_neighbours_are_read_with_their_scope() -> None:
    listed = [
        {"dst": "192.0.2.1", "dev": "eth0", "lladdr": "02:00:00:00:00:01", "state": ["REACHABLE"]},
        {"dst": "192.0.2.9", "dev": "eth0", "state": ["FAILED"]},
        {"dst": "fe80::1", "dev": "eth1", "state": ["STALE"], "router": None},
    ]
    assert parse_neighbours(json.dumps(listed).encode()) == ["192.0.2.1", "fe80::1%eth1"]
    assert parse_neighbours(b"") == []


@given(st.binary())
def test_any_bytes_are_neighbours_or_refused(text: bytes) -> None:
    with suppress(EnrolError):
        parse_neighbours(text)


@given(st.text())
def test_any_text_of_a_scan_is_read(text: str) -> None:
    parse_scan(text)


def test_a_scan_is_read_in_both_forms() -> None:
    text = """# 127.0.0.1:22 SSH-2.0-OpenSSH
[127.0.0.1]:2222 ssh-ed25519 A
fe80::1%eth0 ssh-ed25519 B
[fe80::2%eth0]:22 ssh-ed25519 C
::1 ssh-ed25519 D
other ssh-rsa E
"""
    assert parse_scan(text) == {
        "127.0.0.1": "ssh-ed25519 A",
        "fe80::1%eth0": "ssh-ed25519 B",
        "fe80::2%eth0": "ssh-ed25519 C",
        "::1": "ssh-ed25519 D",
    }
