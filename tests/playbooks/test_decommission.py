"""A node is taken out of service for good, and the city goes on; the last to use the city."""

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE
from services.waiting import until

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]


def listed(city: "City") -> bool:
    page = city.system.run("curl", "-sf", "http://127.0.0.1/cameras.json").stdout
    return any(camera["id"] == NODE for camera in json.loads(page)["cameras"])


def active(city: "City") -> str:
    done = city.system.run("systemctl", "is-active", "simpul-node", check=False)
    return done.stdout.strip()


def test_who_is_no_node_is_not_decommissioned(city: "City") -> None:
    refused = city.play("decommission.yml", "-e", "decommission_node=jalan-sutomo")
    assert refused.status != 0
    assert "name one node of the inventory" in refused.said


def test_a_node_is_decommissioned_and_the_city_goes_on(city: "City") -> None:
    words = ("-e", f"decommission_node={NODE}", "-e")
    secret = f"authority_passphrase_file={city.station.folder / 'passphrase'}"
    until(lambda: listed(city), "the node on the page", seconds=60)
    played = city.play("decommission.yml", *words, secret, "--check")
    assert played.status == 0, played.said[-6000:]
    assert (active(city), listed(city)) == ("active", True)
    played = city.play("decommission.yml", *words, secret)
    assert played.status == 0, played.said[-6000:]
    left = city.system.run("ls", "/etc/simpul/identity", "/etc/simpul/node.toml", check=False)
    assert (left.stdout, active(city)) == ("", "inactive")
    until(lambda: not listed(city), "the page without the node")
    played = city.play("decommission.yml", *words, secret)
    assert (played.status, {*played.changed.values()}) == (0, {0}), played.said[-6000:]


def test_the_others_are_as_they_were(city: "City") -> None:
    client = city.station.client("adam-malik")
    options = [word for pair in client.items() for word in pair]
    message = ("-q", "1", "-m", "{}", "-t", "simpul/1/adam-malik/event/tamper")
    line = ["mosquitto_pub", "-h", "localhost", "-p", "8883", *options, *message]
    sent = subprocess.run(
        [*city.system.network, *line], check=False, capture_output=True, text=True, timeout=60
    )
    assert (sent.returncode, sent.stderr) == (0, "")
