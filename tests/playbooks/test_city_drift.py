"""What differs on a node is told with its file and lines, and mended by the playbook."""

import json
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
    pytest.mark.long,
    pytest.mark.timeout(1200),
]


def drift(city: "City") -> tuple[int, list[dict[str, object]]]:
    station = city.station
    done = station.simpul(
        *("status", "--drift", "--json", f"--inventory={station.folder / 'inventory.ini'}"),
        *(f"--register={station.folder / 'register.db'}", f"--identity={station.key}"),
        within=city.system.network,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_differences_are_told_and_mended(city: "City") -> None:
    run = city.system.run
    run("sh", "-c", "echo 'a line by hand = 1' >> /etc/sysctl.d/50-simpul.conf")
    run("rm", "/etc/systemd/system/simpul-install.service")
    run("systemctl", "disable", "simpul-hotspot.target")
    status, found = drift(city)
    assert status == 3
    assert {each["node"] for each in found} == {NODE}
    by_place = {str(each["place"]): each for each in found}
    assert "-a line by hand = 1" in by_place["/etc/sysctl.d/50-simpul.conf"]["lines"]  # type: ignore[operator]
    for place in ("/etc/systemd/system/simpul-install.service", "simpul-hotspot.target"):
        assert place in by_place
    assert "a line by hand" in run("cat", "/etc/sysctl.d/50-simpul.conf").stdout, "it only looks"
    played = city.play("site.yml", "--tags", "agent,hardening")
    assert played.status == 0, played.said[-6000:]
    assert drift(city) == (0, [])


def test_the_password_of_a_camera_is_shown_nowhere(city: "City") -> None:
    password = "rahasia-kamera-42"  # noqa: S105 - of no camera
    own = city.station.folder / f"host_vars/{NODE}.yml"
    before = own.read_text()
    source = f"rtsp://admin:{password}@192.0.2.5/main"
    own.write_text(f"{before}agent_camera_source: {source}\n")
    try:
        checked = city.play("site.yml", "--tags", "agent", "--check")
        status, found = drift(city)
        played = city.play("site.yml", "--tags", "agent")
    finally:
        own.write_text(before)
    assert (checked.status, played.status, status) == (0, 0, 3), played.said[-6000:]
    assert "/etc/simpul/node.toml" in {each["place"] for each in found}
    assert password in city.system.run("cat", "/etc/simpul/node.toml").stdout
    for said in (checked.said, played.said, json.dumps(found)):
        assert password not in said
    kept = city.system.run("stat", "-c", "%U:%G %a", "/etc/simpul/node.toml").stdout
    assert kept == "root:simpul 640\n"
    assert city.play("verify.yml", "--limit", NODE).status == 0
    assert city.play("site.yml", "--tags", "agent").status == 0


def test_who_does_not_answer_is_told(city: "City") -> None:
    city.system.run("systemctl", "stop", "ssh.service")
    try:
        status, found = drift(city)
    finally:
        city.system.run("systemctl", "start", "ssh.service")
    assert (status, [each["kind"] for each in found]) == (3, ["unreachable"])
