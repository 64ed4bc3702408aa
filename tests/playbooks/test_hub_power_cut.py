"""What a power cut leaves of a hub's first play is mended by the next one."""

import pytest
from services.debian_server import why_no_server
from services.hub_machine import HubMachine
from services.namespaced import why_no_namespaces
from services.provisioned import HUB

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(900),
]
BROKER = ("hub.yml", "--tags", "mosquitto")
SECRET = "/etc/simpul/secrets/broker"  # noqa: S105 - its place
INSTALL = "apt-get install -y mosquitto-clients"
INTERRUPTED = """
rm -f /etc/apt/sources.list.d/*
echo deb http://127.0.0.1:9/ trixie main > /etc/apt/sources.list
touch --date=@0 /var/lib/apt/lists
cd /var/lib/dpkg
dpkg-query --status mosquitto-clients \\
    | sed 's/^Status: .*/Status: install ok half-configured/' > updates/0000
"""
FOLDER = "/etc/mosquitto/simpul"


def collector_comes_in(hub: HubMachine) -> bool:
    """Tell whether the broker takes the password that the collector is given."""
    said = (
        f'mosquitto_pub -h 127.0.0.1 -u simpul-hub -P "$(cat {SECRET})" -q 1 -m x -t simpul/1/n/cmd'
    )
    return hub.system.run("sh", "-c", said, check=False).returncode == 0


def mended(hub: HubMachine) -> None:
    """Play what was told by a check before, and then nothing more."""
    checked = hub.play(*BROKER, "--check")
    assert (checked.status, checked.changed[HUB] > 0) == (0, True), checked.said[-6000:]
    played = hub.play(*BROKER)
    assert played.status == 0, played.said[-6000:]
    assert played.changed[HUB] > 0
    assert collector_comes_in(hub)
    again = hub.play(*BROKER)
    assert (again.status, again.changed) == (0, {HUB: 0}), again.said[-6000:]


def test_files_that_are_empty_are_none(hub: HubMachine) -> None:
    """Another key that waits for its certificate, too: it would never get one."""
    files = ("local.passwd", "broker.key", "broker.key.next")
    hub.system.run("truncate", "--size=0", *(f"{FOLDER}/{name}" for name in files))
    mended(hub)


def test_another_password_is_also_the_brokers(hub: HubMachine) -> None:
    """Somebody may have the old one, and the play that makes another may be cut off."""
    before = hub.system.run("cat", SECRET).stdout
    hub.system.run("truncate", "--size=0", SECRET)
    hub.cut_off(*BROKER, at="mosquitto : Give the broker its hash")
    assert hub.system.run("cat", SECRET).stdout not in {before, ""}
    mended(hub)


def test_an_installation_that_was_interrupted_is_finished(hub: HubMachine) -> None:
    """As dpkg leaves it amid its work; the archive is out of reach, and not needed."""
    hub.system.run("sh", "-ec", INTERRUPTED)
    assert hub.system.run("apt-get", "update", "--error-on=any", check=False).returncode != 0
    assert "dpkg was interrupted" in hub.system.run("sh", "-c", INSTALL, check=False).stderr
    mended(hub)
    assert hub.system.run("sh", "-c", INSTALL, check=False).returncode == 0
