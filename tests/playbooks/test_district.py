"""Many nodes, each a stock Debian of its own: set up by one play, left alone, updated in waves.

SIMPUL_BENCH_SYSTEMS chooses how many; each takes 120 MiB of memory and 110 MiB of the disk. Of
light ones (SIMPUL_BENCH_LIGHT=1), whose agent is a stand-in, hundreds fit. SIMPUL_BENCH_MITOGEN, a
folder of Mitogen's, has plays take half of the processor, and 45 MiB more for each node that plays:
SIMPUL_BENCH_AT_ONCE says how many do.
"""

import json
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.debian_server import why_no_server
from services.district import District
from services.namespaced import why_no_namespaces
from services.provisioned import HUB, Played
from services.spent import Meter
from services.waiting import until

WHY_NOT = why_no_server() or why_no_namespaces()
COUNT = int(os.environ.get("SIMPUL_BENCH_SYSTEMS", "4"))
LIGHT = bool(os.environ.get("SIMPUL_BENCH_LIGHT"))
AT_ONCE = int(os.environ.get("SIMPUL_BENCH_AT_ONCE", COUNT))
MITOGEN = os.environ.get("SIMPUL_BENCH_MITOGEN", "")
ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.long,
    pytest.mark.timeout(14_400),
]


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Iterator[District]:
    folder = tmp_path_factory.mktemp("district")
    with District(folder, COUNT, light=LIGHT) as district:
        district.release(1)
        played = play(district, "hub.yml")
        assert played.status == 0, played.said[-6000:]
        yield district
        shutil.rmtree(folder / "station/releases")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the play, with Mitogen's strategy in the place of Ansible's where it is there."""
    if not MITOGEN:
        yield "site.yml"
        return
    tree = tmp_path_factory.mktemp("tree")
    for each in ROOT.iterdir():
        if each.name != "playbooks":
            (tree / each.name).symlink_to(each)
    text = (ROOT / "playbooks/site.yml").read_text()
    assert "ansible.builtin.linear" in text
    file = tree / "playbooks/site.yml"
    file.parent.mkdir()
    # What goes to its servers is small and many: packed, it costs more than it saves.
    words = "mitogen_linear\n  vars:\n    mitogen_ssh_compression: false"
    file.write_text(text.replace("ansible.builtin.linear", words))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", MITOGEN)
        patch.setenv("ANSIBLE_STRATEGY_PLUGINS", f"{MITOGEN}/ansible_mitogen/plugins/strategy")
        yield str(file)


def play_site(district: District, site: str) -> Played:
    names = [*district.nodes]
    parts = [names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]
    played = [play(district, site, f"--limit={','.join(part)}") for part in parts]
    changed = {name: number for part in played for name, number in part.changed.items()}
    return Played(max(part.status for part in played), changed, "".join(p.said for p in played))


def play(district: District, playbook: str, *words: str) -> Played:
    meter = Meter(resource.RUSAGE_CHILDREN)
    played = district.station.play(playbook, *words, within=district.inside)
    spent = meter.read()
    count = len(played.changed)
    print(f"\n{playbook}, {count} hosts: {spent.wall_s:.0f} s, {spent.cpu_s:.0f} s of CPU here,")  # noqa: T201 - the figures
    print(f"{spent.other_cpu_s / max(count, 1):.0f} s for each of them; changed {played.changed}")  # noqa: T201 - as above
    return played


def wait_for_pictures(district: District, seconds: float) -> None:
    """Wait for them on the hub's page; stand-ins make none."""
    if not LIGHT:
        wanted = {*district.nodes}
        until(lambda: online(district) == wanted, "all births and pictures", seconds=seconds)


def online(district: District) -> set[str]:
    page = district.systems[HUB].run(
        "curl", "--silent", "--fail", "http://127.0.0.1/cameras.json", check=False
    )
    found = json.loads(page.stdout)["cameras"] if page.returncode == 0 else []
    return {each["id"] for each in found if each["state"] == "online" and each["still"]}


def running(district: District) -> set[str]:
    return {
        district.systems[name].run("readlink", "/opt/simpul/current").stdout.strip()
        for name in district.nodes
    }


def test_one_play_sets_all_of_them_up(district: District, site: str) -> None:
    played = play_site(district, site)
    assert played.status == 0, played.said[-6000:]
    assert {*played.changed} == {*district.nodes}
    assert min(played.changed.values()) > 10
    wait_for_pictures(district, 300)


def test_a_second_play_changes_nothing(district: District, site: str) -> None:
    played = play_site(district, site)
    assert played.status == 0, played.said[-6000:]
    assert played.changed == dict.fromkeys(district.nodes, 0), played.said[-6000:]


def test_they_are_updated_in_waves(district: District) -> None:
    station, before = district.station, running(district)
    bundle = district.release(2)
    done = station.simpul(
        *("update", str(bundle), "--soak=3", "--wave-soak=3", "--json"),
        *(f"--inventory={station.folder / 'inventory.ini'}", f"--identity={station.key}"),
        *(f"--register={station.folder / 'register.db'}", f"--record={station.folder / 'record'}"),
        f"--audit={station.folder / 'audit.jsonl'}",
        within=district.inside,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert json.loads(done.stdout)["states"]["success"] == COUNT
    (now,) = running(district)
    assert {now} != before
    wait_for_pictures(district, 120)
