"""Bundles made of a card image by the real rauc, and how it judges them."""

import datetime as dt
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from services.small_card import SMALL, make_small_card

from provisioning.image import layout
from provisioning.image.boot.partitions import read_partitions
from provisioning.image.bundle import BundleOrder, make_bundle
from provisioning.image.bundle_keys import BundleKeys, make_keys, read_keys, trust_value
from provisioning.image.bundle_tasks import bundle as bundle_task
from provisioning.image.describe import Description, File, encode
from provisioning.image.errors import BundleError, BundleKeyError, ImageError

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
CONFIG = """\
[system]
compatible=simpul-node-test
bootloader=noop
bundle-formats=verity
[keyring]
path={keyring}
check-purpose=codesign
use-bundle-signing-time=true
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BundleKeys:
    return make_keys(tmp_path_factory.mktemp("keys") / "bundle", NOW)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_card(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, card: Path, keys: BundleKeys) -> Path:
    return make_bundle(order(card, keys, tmp_path_factory.mktemp("bundle") / "new.raucb"))


def order(card: Path, keys: BundleKeys, output: Path, version: str = "1.4.0") -> BundleOrder:
    return BundleOrder(
        image=card, version=version, compatible="simpul-node-test", keys=keys, output=output
    )


def judge(bundle: Path, keys: BundleKeys, folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask rauc what it thinks of a bundle, under the configuration of a node."""
    config = folder / "system.conf"
    config.write_text(CONFIG.format(keyring=keys.authority))
    return subprocess.run(
        ["rauc", f"--conf={config}", "info", str(bundle)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bundle_says_what_it_is_and_whose(bundle: Path, keys: BundleKeys, tmp_path: Path) -> None:
    done = judge(bundle, keys, tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "simpul-node-test" in said
    assert "1.4.0" in said
    assert "verity" in said
    assert said.count("block-hash-index") == 2
    assert "Simpul bundle signer" in said


def test_a_bundle_holds_slot_a_to_the_byte(
    bundle: Path, card: Path, keys: BundleKeys, tmp_path: Path
) -> None:
    content = tmp_path / "content"
    command = ["rauc", f"--keyring={keys.authority}", "extract", str(bundle), str(content)]
    config = tmp_path / "system.conf"
    config.write_text(CONFIG.format(keyring=keys.authority))
    command.insert(1, f"--conf={config}")
    subprocess.run(command, check=True, capture_output=True)
    partitions = read_partitions(card)
    whole = card.read_bytes()
    for name, number in (("boot.img", 2), ("root.img", layout.ROOT_PARTITION["a"])):
        part = partitions[number]
        slot = whole[part.start_bytes : part.start_bytes + part.size_bytes]
        image = (content / name).read_bytes()
        assert len(image) % 4096 == 0
        assert slot == image.ljust(part.size_bytes, b"\0")
    assert (content / "root.img").stat().st_size < SMALL.root_mib << 20
    subprocess.run(["fsck.erofs", str(content / "root.img")], check=True, capture_output=True)


def test_what_lies_behind_the_file_system_is_bundled_too(
    card: Path, keys: BundleKeys, tmp_path: Path
) -> None:
    copy = tmp_path / "card.img"
    shutil.copy(card, copy)
    root = read_partitions(copy)[layout.ROOT_PARTITION["a"]]
    with copy.open("r+b") as file:
        file.seek(root.start_bytes + (SMALL.root_mib << 20) - 5000)
        file.write(b"hash tree")
    made = make_bundle(order(copy, keys, tmp_path / "new.raucb"))
    config = tmp_path / "system.conf"
    config.write_text(CONFIG.format(keyring=keys.authority))
    command = ["rauc", f"--conf={config}", "extract", str(made), str(tmp_path / "content")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "content/root.img").read_bytes().rstrip(b"\0").endswith(b"hash tree")


def test_a_foreign_signature_is_refused(bundle: Path, tmp_path: Path) -> None:
    foreign = make_keys(tmp_path / "foreign", NOW)
    done = judge(bundle, foreign, tmp_path)
    assert done.returncode != 0
    assert "signature verification failed" in done.stderr


@pytest.mark.parametrize("cut_bytes", [1, 4096, 100_000])
def test_a_truncated_bundle_is_refused(
    bundle: Path, keys: BundleKeys, tmp_path: Path, cut_bytes: int
) -> None:
    short = tmp_path / "short.raucb"
    short.write_bytes(bundle.read_bytes()[:-cut_bytes])
    assert judge(short, keys, tmp_path).returncode != 0


def test_a_changed_manifest_is_refused(bundle: Path, keys: BundleKeys, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    place = content.rindex(b"version=1.4.0")
    changed = tmp_path / "changed.raucb"
    changed.write_bytes(content[:place] + b"version=9.4.0" + content[place + 13 :])
    done = judge(changed, keys, tmp_path)
    assert done.returncode != 0
    assert "digest" in done.stderr or "verification failed" in done.stderr


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys = make_keys(folder, NOW)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.glob("*.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "PRIVATE KEY" in file.read_text()
    assert len(trust_value(keys)) < 1000
    with pytest.raises(BundleKeyError, match="exists already"):
        make_keys(folder, NOW)
    assert read_keys(folder) == keys
    keys.key.chmod(0o644)
    with pytest.raises(BundleKeyError, match="may be read by others"):
        read_keys(folder)
    with pytest.raises(BundleKeyError, match=r"authority\.pem is missing"):
        read_keys(tmp_path)


def test_openssl_trusts_the_signer_for_code_alone(keys: BundleKeys) -> None:
    def verify(purpose: str) -> int:
        command = ["openssl", "verify", "-purpose", purpose, "-CAfile", str(keys.authority)]
        command += ["-no_check_time", str(keys.certificate)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert verify("any") == 0
    assert verify("sslserver") != 0


@pytest.mark.parametrize("version", ["", "1.4.0\nevil=1", "v1", "1.4.0.0", "1..2"])
def test_a_version_that_nodes_cannot_compare_is_refused(
    card: Path, keys: BundleKeys, tmp_path: Path, version: str
) -> None:
    with pytest.raises(BundleError, match="give one such as"):
        make_bundle(order(card, keys, tmp_path / "x.raucb", version))


def test_what_is_no_image_is_refused(keys: BundleKeys, tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    image.write_bytes(os.urandom(510) + b"\x55\xaa" + bytes(4096))
    with pytest.raises(BundleError):
        make_bundle(order(image, keys, tmp_path / "x.raucb"))
    (tmp_path / "there.raucb").write_text("")
    with pytest.raises(BundleError, match="exists already"):
        make_bundle(order(image, keys, tmp_path / "there.raucb"))


def test_the_command_takes_kind_and_version_from_the_description(
    card: Path, keys: BundleKeys, tmp_path: Path
) -> None:
    image = tmp_path / "simpul.img"
    shutil.copy(card, image)
    with pytest.raises(ImageError, match=r"simpul\.json: cannot be read"):
        bundle_task.body(None, str(image), keys=str(keys.folder))
    nothing = File(name="x", size_bytes=0, sha256="0" * 64)
    description = Description(
        name="simpul",
        title="Simpul",
        flavour="raspios",
        variant="node",
        version="2.0.0",
        image_id="1",
        agent_release="1",
        boards=(),
        image=nothing,
        compressed=nothing,
        bmap=nothing,
        sbom=nothing,
        mapped_bytes=0,
        root_bytes=0,
        disk_signature="0x53494d50",
        packages={},
    )
    image.with_suffix(".json").write_bytes(encode(description))
    bundle_task.body(None, str(image), keys=str(keys.folder))
    config = tmp_path / "system.conf"
    config.write_text(CONFIG.format(keyring=keys.authority))
    command = ["rauc", f"--conf={config}", "info", str(image.with_suffix(".raucb"))]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "simpul-raspios-node" in said
    assert "2.0.0" in said
