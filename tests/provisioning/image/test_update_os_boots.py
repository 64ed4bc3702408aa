"""A node in the field gets new systems by `simpul update-os`: real RAUC, slots, boots and SSH.

Three images of this tree, built to trust one key: that of the card, a newer one, and one still
newer whose agent never starts.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.booted_nodes import Booted, outcome
from services.desk import Desk, open_desk
from services.image_guest import add_words
from services.loop_cards import needs_loop
from services.mosquitto import mosquitto_program
from services.range_server import Served, range_server

from hil_tests.bench.lock import cache_folder
from provisioning.authority.authority import Authority
from provisioning.image.build import build_image, default_cache
from provisioning.image.bundle import BundleOrder, compatible, make_bundle
from provisioning.image.bundle_keys import BundleKeys, make_keys, read_keys, trust_value
from provisioning.image.describe import Description, read_description
from provisioning.image.order import Order

pytestmark = [
    needs_loop,
    pytest.mark.long,
    pytest.mark.timeout(2 * 3600),
    pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed"),
]
NAME = "pasar-horas"
OLD, GOOD, SICK = "1.0.0", "1.1.0", "1.2.0"
HOST = "http://10.0.2.2"
VERSION = ". /usr/lib/os-release; echo $IMAGE_VERSION; /usr/lib/simpul/slot-boot get-primary"


def bundle_keys() -> BundleKeys:
    """Return keys that are kept: the layers of images that trust them are kept, too."""
    folder = cache_folder() / "bundle-keys"
    return read_keys(folder) if folder.exists() else make_keys(folder, dt.datetime.now(dt.UTC))


def build(folder: Path, version: str, keys: BundleKeys) -> Description:
    order = Order(
        version=version,
        output=folder,
        cache=default_cache(),
        values={"update.trust": trust_value(keys)},
    )
    return read_description(build_image(order, print))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packed image of the card, and a bundle of each version."""
    folder, keys = tmp_path_factory.mktemp("images"), bundle_keys()
    for version in (OLD, GOOD, SICK):
        described = build(folder, version, keys)
        image = folder / described.image.name
        if version == SICK:
            add_words(image, "systemd.mask=simpul-node.service")
        order = BundleOrder(
            image=image,
            version=version,
            compatible=compatible(described.flavour, described.variant),
            keys=keys,
            output=folder / f"{version}.raucb",
        )
        make_bundle(order)
        image.unlink()
        if version == OLD:
            (folder / described.compressed.name).rename(folder / "card.img.zst")
            (folder / described.bmap.name).rename(folder / "card.img.bmap")
    return folder


@pytest.fixture
def desk(images: Path, authority: Authority, passphrase: bytes, tmp_path: Path) -> Iterator[Desk]:
    image = images / "card.img.zst"
    with open_desk(tmp_path, authority, passphrase, names=(NAME,), image=image) as desk:
        yield desk


@pytest.fixture
def server(images: Path) -> Iterator[Served]:
    with range_server(images) as server:
        yield server


def update_os(desk: Desk, node: Booted, bundle: Path, *words: str) -> tuple[int, str, str]:
    """Run the command; return its exit status, and what became of the node."""
    lines = f"[pasar]\n{NAME} ansible_host=127.0.0.1:{node.port}\n[nodes:children]\npasar\n"
    (desk.office.folder / "field.ini").write_text(lines)
    done = desk.office.simpul(
        *("update-os", bundle, "--inventory=field.ini", f"--identity={node.key}"),
        *("--wave-soak=30", f"--record={bundle.stem}.jsonl", "--json", *words),
        timeout_s=5400,
    )
    assert "Traceback" not in done.stderr, done.stderr
    entry = json.loads(done.stdout)["nodes"][NAME]
    return done.returncode, entry["state"], entry["message"]


def runs(node: Booted) -> list[str]:
    """Return the version that runs, and the slot that is booted by default."""
    return node.ask_certified(VERSION).splitlines()


def connections_count(desk: Desk) -> int:
    return (desk.broker.directory / "mosquitto.log").read_text().count(f"u'{NAME}'")


def test_a_good_system_is_kept_and_others_are_not(desk: Desk, images: Path, server: Served) -> None:
    assert [card["verdict"] for card in desk.flash((NAME,))] == ["verified"]
    streamed = f"--url={HOST}:{server.port}/{{file}}"
    with desk.boot(NAME) as node:
        node.await_flashed()
        assert outcome(node.enrol(desk.office, desk.broker))["online"] == "good"
        assert runs(node) == [OLD, "a"]
        before = connections_count(desk)
        ended = update_os(desk, node, images / f"{GOOD}.raucb")
        assert ended == (0, "success", f"runs {GOOD}, confirmed")
        assert runs(node) == [GOOD, "b"]
        assert connections_count(desk) > before
        assert "raucb" not in node.ask_certified("ls", "/var/lib/simpul")
        code, state, why = update_os(desk, node, images / f"{OLD}.raucb", streamed)
        assert (code, state) == (3, "failed")
        assert "refuses it, and runs on: Version mismatch" in why
        assert runs(node) == [GOOD, "b"]
        ended = update_os(desk, node, images / f"{SICK}.raucb", streamed)
        assert ended == (3, "rolled-back", f"runs {GOOD} again: {SICK} did not prove itself")
        assert runs(node) == [GOOD, "b"]
