"""What a play that was cut off has left behind is taken up by the next one, and told until then."""

import json
from collections.abc import Iterator
from pathlib import Path
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
# What makes the role fail between the mask and its handlers, as a node that vanishes would.
CUT = '{"agent_other_units": [{"path": "/etc/nowhere", "src": "nowhere", "mode": "0644"}]}'
FOLLOW = '{"follow_notices": true}'


def started(city: "City", unit: str) -> str:
    """Return what changes with every start of a unit."""
    return city.system.run("systemctl", "show", "-PInvocationID", unit).stdout.strip()


def left(city: "City") -> list[str]:
    return city.system.run("find", "/var/lib/misc", "-name", "simpul-pending-*").stdout.split()


@pytest.fixture
def mask(city: "City") -> Iterator[Path]:
    """Give the mask at the station; at the end the node has again what was there before."""
    file = city.station.folder / "masks" / f"{NODE}.toml"
    before = file.read_text()
    yield file
    file.write_text(before)
    played = city.play("site.yml", "--tags", "agent")
    assert played.status == 0, played.said[-6000:]


def test_a_mask_that_was_brought_is_taken_up(city: "City", mask: Path) -> None:
    """Else the camera would go on showing what it should hide, and every play would be green."""
    before = started(city, "simpul-node")
    mask.write_text('[[region]]\nname = "window"\npolygon = [[0, 0], [1, 0], [1, 1]]\n')
    played = city.play("site.yml", "--tags", "agent", "-e", CUT)
    assert played.status != 0
    assert "window" in city.system.run("cat", "/etc/simpul/mask.toml").stdout
    assert started(city, "simpul-node") == before
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    assert "a play was cut off" in told.said
    checked = city.play("site.yml", "--tags", "agent", "--check")
    assert (checked.status, checked.changed[NODE] > 0) == (0, True), checked.said[-6000:]
    assert started(city, "simpul-node") == before, "it only looks"
    played = city.play("site.yml", "--tags", "agent")
    assert played.status == 0, played.said[-6000:]
    assert started(city, "simpul-node") != before
    assert left(city) == []
    again = city.play("site.yml", "--tags", "agent")
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]


@pytest.mark.parametrize(
    ("role", "unit", "words"),
    [
        ("base", "systemd-journald", ()),
        ("enrol", "simpul-node", ()),
        ("follow", "simpul-follow", ("-e", FOLLOW)),
    ],
)
def test_what_is_pending_is_taken_up(
    city: "City", role: str, unit: str, words: tuple[str, ...]
) -> None:
    played = city.play("site.yml", "--tags", role, *words)
    assert played.status == 0, played.said[-6000:]
    before = started(city, unit)
    city.system.run("touch", f"/var/lib/misc/simpul-pending-{role}")
    played = city.play("site.yml", "--tags", role, *words)
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    assert started(city, unit) != before
    assert left(city) == []
    again = city.play("site.yml", "--tags", role, *words)
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]
    if words:
        city.play("site.yml", "--tags", role)


def test_an_access_point_does_not_run_on_under_an_older_unit(city: "City") -> None:
    unit = "simpul-hotspot-dnsmasq.service"
    older = "[Service]\\nExecStart=sleep infinity\\n"
    city.system.run("sh", "-ec", f"printf '{older}' > /etc/systemd/system/{unit}")
    city.system.run("systemctl", "daemon-reload")
    city.system.run("systemctl", "start", unit)
    for camera in ({"agent_camera_width": 640, "agent_camera_height": 384}, {}):
        words = ("-e", json.dumps({**camera, "agent_other_units": []}))
        played = city.play("site.yml", "--tags", "agent", *words)
        assert played.status == 0, played.said[-6000:]
        running = city.system.run("systemctl", "show", "-PSubState", unit).stdout.strip()
        assert running == "running", "its guests have nothing to do with the camera"
    played = city.play("site.yml", "--tags", "agent")
    assert played.status == 0, played.said[-6000:]
    # No hotspot is wanted here, so by its own unit nothing runs.
    assert city.system.run("systemctl", "show", "-PSubState", unit).stdout.strip() == "dead"
    again = city.play("site.yml", "--tags", "agent")
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]


def test_a_mask_that_the_agent_refuses_replaces_nothing(city: "City", mask: Path) -> None:
    before = city.system.run("cat", "/etc/simpul/mask.toml", "/etc/simpul/node.toml").stdout
    mask.write_text("not toml at all")
    for words in ((), ("-e", '{"agent_camera_width": 640, "agent_camera_height": 384}')):
        played = city.play("site.yml", "--tags", "agent", *words)
        assert played.status != 0, played.said[-6000:]
        assert "mask.toml" in played.said
        now = city.system.run("cat", "/etc/simpul/mask.toml", "/etc/simpul/node.toml").stdout
        assert now == before
        assert left(city) == [], "nothing was changed, so nothing is pending"
    assert city.system.run("systemctl", "is-active", "simpul-node").stdout.strip() == "active"
    assert city.system.run("ls", "/run/simpul-judged", check=False).stdout == ""


def test_booleans_may_be_words(city: "City") -> None:
    """As inventory.ini and -e give them."""
    words = ("-e", "follow_notices=false", "-e", "hotspot_wanted=no", "-e", "release_follow=false")
    played = city.play("site.yml", "--tags", "follow,hotspot,release", *words)
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
