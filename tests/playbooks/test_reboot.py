"""A node is really started anew from afar; the very last to use the city, which ends by it."""

from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]


def test_a_node_is_started_anew_and_missed_when_it_does_not_return(city: "City") -> None:
    station, system = city.station, city.system
    # Decommissioned before, it is nobody's any more; as with a new card it is taken up again.
    shown = system.run("ssh-keyscan", "-q", "-t", "ed25519", "127.0.0.1").stdout.split()
    station.authority.register.record_host_key(NODE, " ".join(shown[1:3]), "flashed")
    done = station.simpul(
        *("reboot", NODE, "--within=15", f"--inventory={station.folder / 'inventory.ini'}"),
        *(f"--register={station.folder / 'register.db'}", f"--identity={station.key}"),
        f"--audit={station.folder / 'audit.jsonl'}",
        within=system.network,
    )
    # A system in namespaces ends with its reboot; who waits for it is told.
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"{NODE}: belum kembali / not back after" in done.stdout
    assert system.ended(), "the reboot was not ordered"
