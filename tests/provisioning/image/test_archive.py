"""The archives of a flavour: generated, pinned, resolved; every failure is one clear message."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from services.debian_archive import Package, Signer, make_archive

from provisioning.image.archive import Archives, fetch_packages, open_archives, resolve_packages
from provisioning.image.definition import Flavour, read_flavour
from provisioning.image.errors import ArchiveError
from provisioning.image.stack import resolve

IMAGES = Path(__file__).parents[3] / "images"
NAMES = ("debian", "debian-security", "raspberrypi")


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Archives in place of those that are not reachable from here."""

    flavour: Flavour
    """The raspios flavour with the test's key in the place of the pinned ones."""
    addresses: dict[str, str]
    keyrings: dict[str, str]

    def open(self, room: Path) -> Archives:
        return open_archives(self.flavour, room, self.addresses, self.keyrings)


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrors]:
    room = tmp_path_factory.mktemp("archives")
    signer = Signer(room / "keys")
    flavour = read_flavour(IMAGES, "raspios")
    wanted = {
        package
        for placed in resolve(IMAGES, "raspios", "node", {}).layers
        for package in placed.packages
    }
    own = {"linux-image-rpi-v8", "raspi-firmware", "python3-picamera2", "python3-libcamera"}
    held = {
        "debian": [
            Package("dpkg", essential=True),
            *(Package(name, "2") for name in sorted(wanted - own)),
            Package("python3-libcamera", "0.4.0-7"),
            Package("raspi-firmware", "1:2"),
        ],
        "debian-security": [Package("openssl", "2+deb13u1")],
        "raspberrypi": [
            Package("linux-image-rpi-v8", "6.12", depends="linux-image-6.12-v8"),
            Package("linux-image-6.12-v8", "6.12"),
            Package("raspi-firmware", "1"),
            Package("python3-picamera2", "0.3.31", depends="python3-libcamera (>= 0.5)"),
            Package("python3-libcamera", "0.5.2+rpt"),
        ],
    }
    sources = tuple(
        msgspec.structs.replace(source, fingerprints=(signer.fingerprint,))
        for source in flavour.sources
    )
    keyring = str(signer.keyring())
    yield Mirrors(
        flavour=msgspec.structs.replace(flavour, sources=sources),
        addresses={
            source.name: make_archive(
                room / source.name, signer, source.suites, held[source.name], source.label
            )
            for source in flavour.sources
        },
        keyrings=dict.fromkeys(NAMES, keyring),
    )
    signer.close()


def test_kernel_and_camera_come_from_raspberry_pi_and_the_rest_from_debian(
    mirrors: Mirrors, tmp_path: Path
) -> None:
    archives = mirrors.open(tmp_path)
    stack = resolve(IMAGES, "raspios", "node", {})
    names = [package for placed in stack.layers for package in placed.packages]
    found = dict(each.split("=", 1) for each in resolve_packages(archives, names))
    assert found["linux-image-rpi-v8"] == "6.12"
    assert found["linux-image-6.12-v8"] == "6.12"
    assert found["python3-libcamera"] == "0.5.2+rpt"
    assert found["raspi-firmware"] == "1", "an older one of theirs goes before Debian's"
    assert found["openssl"] == "2+deb13u1"
    assert found["hostapd"] == "2"
    assert found["dpkg"] == "1"


def test_what_is_fetched_is_kept(mirrors: Mirrors, tmp_path: Path) -> None:
    archives = mirrors.open(tmp_path)
    fetch_packages(archives, ["python3-picamera2"])
    kept = {file.name.split("_")[0] for file in archives.packages.glob("*.deb")}
    assert kept == {"dpkg", "python3-picamera2", "python3-libcamera"}


def test_the_sources_name_the_pinned_keys_only(mirrors: Mirrors, tmp_path: Path) -> None:
    archives = mirrors.open(tmp_path)
    text = archives.sources.read_text()
    assert text.count("Types: deb") == len(NAMES)
    for name in NAMES:
        assert f"Signed-By: {tmp_path}/keys/{name}.gpg" in text
    assert "Suites: trixie trixie-updates" in text


def test_a_package_that_no_archive_holds_is_named(mirrors: Mirrors, tmp_path: Path) -> None:
    archives = mirrors.open(tmp_path)
    with pytest.raises(ArchiveError, match="holds the package kamera-ajaib"):
        resolve_packages(archives, ["kamera-ajaib"])


def test_a_mirror_that_fails_is_named(mirrors: Mirrors, tmp_path: Path) -> None:
    addresses = {**mirrors.addresses, "debian": "http://127.0.0.1:9/debian"}
    broken = Mirrors(mirrors.flavour, addresses, mirrors.keyrings)
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:9/debian.*--mirror"):
        broken.open(tmp_path)


def test_an_archive_signed_by_another_key_is_refused(mirrors: Mirrors, tmp_path: Path) -> None:
    stranger = Signer(tmp_path / "stranger")
    try:
        sources = tuple(
            msgspec.structs.replace(source, fingerprints=(stranger.fingerprint,))
            for source in mirrors.flavour.sources
        )
        flavour = msgspec.structs.replace(mirrors.flavour, sources=sources)
        keyrings = dict.fromkeys(NAMES, str(stranger.keyring()))
        with pytest.raises(ArchiveError, match=r"NO_PUBKEY|not available|not signed"):
            open_archives(flavour, tmp_path / "room", mirrors.addresses, keyrings)
    finally:
        stranger.close()


def test_a_source_without_a_mirror_says_how_to_name_one(mirrors: Mirrors, tmp_path: Path) -> None:
    addresses = {key: value for key, value in mirrors.addresses.items() if key != "raspberrypi"}
    with pytest.raises(ArchiveError, match="SIMPUL_MIRROR_RASPBERRYPI"):
        open_archives(mirrors.flavour, tmp_path, addresses, mirrors.keyrings)
