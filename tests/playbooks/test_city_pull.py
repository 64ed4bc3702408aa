"""A node on a real Debian follows notices at the hub's own broker, over TLS and its access list."""

import shutil
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.http_files import serving
from services.namespaced import why_no_namespaces
from services.provisioned import NODE, OPERATOR
from services.waiting import until

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.long,
    pytest.mark.timeout(1800),
]
FOLLOW = ("--tags", "follow", "--extra-vars", '{"follow_notices": true}')


def test_a_release_comes_by_a_notice_and_goes_again(city: "City") -> None:
    played = city.play("site.yml", *FOLLOW)
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    played = city.play("site.yml", *FOLLOW)
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
    station = city.station
    station.release(7)
    (bundle,) = station.folder.glob("releases/simpul-0*-7-*.bundle")
    served = station.folder / "served"
    served.mkdir()
    shutil.copy(bundle, served)
    papers = station.client(OPERATOR)
    options = [
        f"--inventory={station.folder / 'inventory.ini'}",
        f"--register={station.folder / 'register.db'}",
        f"--audit={station.folder / 'audit.jsonl'}",
        f"--identity={station.key}",
        "--broker=mqtts://localhost:8883",
        f"--ca={papers['--cafile']}",
        f"--certificate={papers['--cert']}",
        f"--key={papers['--key']}",
        "--pull",
    ]
    with serving(served, within=city.system.network) as port:
        url = f"--url=http://127.0.0.1:{port}/{{file}}"
        done = station.simpul(
            *("update", str(bundle), url, "--wave-soak=0", "--soak=3"),
            *(f"--record={station.folder / 'pull.jsonl'}", *options),
            within=city.system.network,
        )
    log = city.system.run("journalctl", "--no-pager", "-n40", "-usimpul-follow", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:] + log.stdout
    until(lambda: active(city), "the follower of the new release")
    current = city.system.run("readlink", "/opt/simpul/current").stdout.strip()
    done = station.simpul(
        *("rollback", current.rpartition("/")[2]),
        *(f"--record={station.folder / 'back.jsonl'}", *options),
        within=city.system.network,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert city.system.run("readlink", "/opt/simpul/current").stdout.strip() != current
    played = city.play("site.yml", "--tags", "follow")
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    assert not active(city)


def active(city: "City") -> bool:
    unit = "simpul-follow.service"
    return city.system.run("systemctl", "is-active", unit, check=False).stdout.strip() == "active"
