"""The collector follows what the hub is told: its release, its folder, a play that was cut off."""

import json
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import HUB
from services.waiting import until

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]
COLLECTOR = ("hub.yml", "--tags", "collector")
UNIT = "simpul-collector.service"
# A release that the collector still runs from, though another one is the current.
OLDER = f"""
cp -a "$(readlink -f /opt/simpul/current)" /opt/simpul/releases/older
place=/run/systemd/system/{UNIT}.d
mkdir -p $place
program=/opt/simpul/releases/older/bin/simpul-hub
printf "[Service]\\nExecStart=\\nExecStart=$program collect\\n" > $place/20-older.conf
systemctl daemon-reload
systemctl restart {UNIT}
rm -r $place
systemctl daemon-reload
"""


def pid(city: "City") -> str:
    return city.system.run("systemctl", "show", "-P", "MainPID", UNIT).stdout.strip()


def runs_from(city: "City", place: str) -> bool:
    return f"/opt/simpul/{place}/" in city.system.run("cat", f"/proc/{pid(city)}/maps").stdout


def test_it_runs_from_the_release_that_is_installed(city: "City") -> None:
    city.system.run("sh", "-ec", OLDER)
    assert runs_from(city, "releases/older")
    played = city.play(*COLLECTOR)
    assert (played.status, played.changed[HUB] > 0) == (0, True), played.said[-6000:]
    assert not runs_from(city, "releases/older")
    city.system.run("rm", "-r", "/opt/simpul/releases/older")
    played = city.play(*COLLECTOR)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


def test_what_a_play_that_was_cut_off_left_is_taken_up(city: "City") -> None:
    before = pid(city)
    stamp = "/var/lib/misc/simpul-pending-collector"
    # It fails where the password is brought, as when the hub vanishes there.
    city.system.run("mv", "/etc/simpul/secrets/broker", "/etc/simpul/secrets/broker.away")
    try:
        played = city.play(*COLLECTOR)
    finally:
        city.system.run("mv", "/etc/simpul/secrets/broker.away", "/etc/simpul/secrets/broker")
    assert played.status != 0
    assert city.system.run("ls", stamp).returncode == 0
    told = city.play("verify.yml", "--limit", HUB)
    assert told.status != 0
    assert "a play was cut off" in " ".join(told.said.split())
    assert pid(city) == before
    assert city.play(*COLLECTOR).status == 0
    assert pid(city) != before
    assert city.system.run("ls", stamp, check=False).returncode != 0


def test_the_page_moves_to_another_folder(city: "City") -> None:
    moved = ("hub.yml", "--tags", "collector,nginx")
    there = ("-e", "collector_public_directory=/srv/kota/page")
    played = city.play(*moved, *there)
    assert played.status == 0, played.said[-6000:]
    run = city.system.run
    written = ("test", "-s", "/srv/kota/page/cameras.json")
    until(lambda: run(*written, check=False).returncode == 0, "the page in its folder")
    run("rm", "/var/lib/simpul-hub/public/cameras.json")
    shown = run("curl", "-sf", "http://127.0.0.1/cameras.json").stdout
    assert "cameras" in json.loads(shown)
    played = city.play(*moved, *there)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]
    assert city.play(*moved).status == 0
    page = ("curl", "-sf", "http://127.0.0.1/cameras.json")
    until(lambda: run(*page, check=False).returncode == 0, "the page where it was")
