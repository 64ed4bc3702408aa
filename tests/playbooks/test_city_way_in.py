"""Whatever goes wrong while a node is closed, somebody comes in again, also after a power cut."""

import shutil
import subprocess
from collections.abc import Iterator
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
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]
BACK = "simpul-sshd-back"
SETTINGS = "/etc/ssh/sshd_config.d"


@pytest.fixture(autouse=True)
def closed(city: "City") -> Iterator[None]:
    """Close the node again at the end."""
    yield
    city.system.run("rm", "-f", f"{SETTINGS}/99-broken.conf")
    until(lambda: comes_in(city), "a way in", seconds=60)
    played = city.play("site.yml", "--tags", "hardening")
    assert played.status == 0, played.said[-6000:]
    assert not armed(city)


def comes_in(city: "City", key: str = "key") -> bool:
    options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"]
    line = [*city.system.network, "ssh", *options, "-i", str(city.station.folder / key)]
    done = subprocess.run([*line, "root@127.0.0.1", "true"], check=False, capture_output=True)
    return done.returncode == 0


def armed(city: "City") -> bool:
    return (
        city.system.run("test", "-e", f"/etc/systemd/system/{BACK}.service", check=False).returncode
        == 0
    )


def settings(city: "City") -> dict[str, str]:
    """Return the files that decide who gets in, with their content."""
    places = (SETTINGS, "/etc/ssh/simpul/principals", "/etc/ssh/simpul/user-ca.pub")
    # A stock node has not all of them.
    files = city.system.run("find", *places, "-type", "f", check=False).stdout.split()
    return {file: city.system.run("cat", file).stdout for file in files}


def open_up(city: "City") -> None:
    """Make the node a stock one: whoever has the key comes in."""
    city.system.run("rm", f"{SETTINGS}/05-simpul.conf", f"{SETTINGS}/10-simpul.conf")
    city.system.run("rm", "-r", "/etc/ssh/simpul/principals", "/etc/ssh/simpul/user-ca.pub")
    city.system.run("systemctl", "reload", "ssh")


def test_without_anything_published_nothing_is_shut(city: "City") -> None:
    open_up(city)
    missing = f"hardening_published={city.station.folder / 'nowhere'}"
    played = city.play("site.yml", "--tags", "hardening", "-e", missing)
    assert played.status != 0
    assert "run simpul authority publish" in played.said
    assert city.system.run("ls", SETTINGS).stdout.split() == ["20-simpul-host.conf"]


@pytest.mark.parametrize("cut", [False, True], ids=["nobody-came-in", "power-cut"])
def test_what_was_believed_before_comes_back(city: "City", cut: bool) -> None:  # noqa: FBT001 - a parameter
    """A stranger's authority is brought: the controller itself cannot come in by it."""
    before = settings(city)
    published = city.station.folder / "strange"
    shutil.copytree(city.station.folder / "published", published)
    stranger = city.station.folder / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    shutil.copy(f"{stranger}.pub", published / "ssh-user-ca.pub")
    words = ("-e", f"hardening_published={published}", "-e", "hardening_confirm_seconds=90")
    try:
        played = city.play("site.yml", "--tags", "hardening", *words)
    finally:
        shutil.rmtree(published)
        stranger.unlink()
    assert played.status != 0
    assert armed(city)
    if cut:
        # What the kernel held in memory is gone; then everything that is turned on starts.
        city.system.run("systemctl", "stop", f"{BACK}.timer")
        assert not comes_in(city)
        city.system.run("systemctl", "start", "multi-user.target")
    until(lambda: not armed(city), "the way back", seconds=120)
    until(lambda: comes_in(city), "the old way in", seconds=20)
    assert settings(city) == before
    assert city.system.run("systemctl", "--failed", "--no-legend").stdout == ""


def test_a_second_play_goes_on_where_the_first_was_cut_off(city: "City") -> None:
    open_up(city)
    before = settings(city)
    city.system.run("sh", "-c", f"echo Nonsense yes > {SETTINGS}/99-broken.conf")
    for _ in range(2):
        played = city.play("site.yml", "--tags", "hardening")
        assert played.status != 0
        assert "Nonsense" in played.said
        assert armed(city)
        kept = city.system.run("find", "/etc/ssh/simpul-back/before", "-type", "f").stdout.split()
        assert len(kept) == len(before) - 1, "what was half changed is nothing to come back to"
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    city.system.run("rm", f"{SETTINGS}/99-broken.conf")
    checked = city.play("site.yml", "--tags", "hardening", "--check")
    assert (checked.status, checked.changed[NODE]) == (0, 1), checked.said[-6000:]
    played = city.play("site.yml", "--tags", "hardening")
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    assert not armed(city)
    again = city.play("site.yml", "--tags", "hardening")
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]


def test_what_shuts_others_out_is_brought_last(city: "City") -> None:
    open_up(city)
    played = city.play("site.yml", "--tags", "hardening")
    assert played.status == 0, played.said[-6000:]
    line = ("stat", "-c", "%.Z %n")
    files = [*settings(city), "/etc/ssh/simpul/revoked.krl"]
    changed = sorted(
        city.system.run(*line, *files).stdout.splitlines(), key=lambda each: float(each.split()[0])
    )
    order = [each.split()[1] for each in changed]
    assert order[-2:] == [f"{SETTINGS}/10-simpul.conf", f"{SETTINGS}/05-simpul.conf"]
