"""Packs a finished root into the partitions of a card, and these into the raw image.

Every step is a function of its inputs: times, identifiers and orders are given, never taken from
the building machine. Without root it runs under fakeroot(1).
"""

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from provisioning.image import layout
from provisioning.image.boot_files import gather_boot_files
from provisioning.image.bundle import compatible
from provisioning.image.errors import BuildError
from provisioning.image.steps import Steps, run


class Identity(Struct, frozen=True, kw_only=True):
    """What tells this image from others."""

    image_id: str
    """Names the root's content; a slot makes its state anew when it changes."""
    version: str
    flavour: str
    variant: str


class Packing(Struct, frozen=True, kw_only=True):
    """What is packed, and where."""

    root_tar: Path
    room: Path
    identity: Identity
    epoch_seconds: int
    console: str
    panic_seconds: str


def pack(packing: Packing, steps: Steps) -> Path:
    """Return the raw image, made in `packing.room`. Raises BuildError."""
    room = packing.room
    tree = room / "root"
    with steps.step("root file system", "erofs under dm-verity") as log:
        _root(packing, tree, log)
        root_hash = _verity(packing, log)
    with steps.step("boot partitions", "kernel, initramfs, firmware, device trees") as log:
        _unpack_boot(packing, log)
        _boot_partition(packing, root_hash, log)
        _select_partition(packing, log)
    with steps.step("data partition", "ext4, grown at the first boot") as log:
        _data(packing, log)
    with steps.step("card", "genimage") as log:
        return _card(packing, log)


def _unpack_boot(packing: Packing, log: Path) -> None:
    tree = packing.room / "boot"
    tree.mkdir()
    run(
        [
            *("tar", "--extract", "--no-same-owner", "-C", str(tree), "-f", str(packing.root_tar)),
            *("--wildcards", "./boot/*", "./usr/lib/linux-image-*", "./usr/lib/raspi-firmware/*"),
        ],
        log,
    )


def _boot_partition(packing: Packing, root_hash: str, log: Path) -> None:
    tree, files = packing.room / "boot", packing.room / "boot-a"
    files.mkdir()
    gather_boot_files(tree, files)
    arguments = layout.cmdline("a", packing.console, packing.panic_seconds, root_hash)
    if len(arguments) > layout.CMDLINE_BYTES_MAX:
        raise BuildError(
            f"cmdline.txt: {len(arguments)} bytes; one sector is all that updates write"
        )
    (files / "cmdline.txt").write_text(arguments)
    _fat(packing, "boot-a", layout.BOOT_MIB, "SIMPUL-BOOT", log)


def _select_partition(packing: Packing, log: Path) -> None:
    files = packing.room / "select"
    files.mkdir()
    (files / "autoboot.txt").write_bytes(layout.AUTOBOOT)
    # The boot ROM of a Pi 3 and Zero 2 W looks for its next program on the first partition.
    shutil.copyfile(packing.room / "boot-a/bootcode.bin", files / "bootcode.bin")
    _fat(packing, "select", layout.BOOT_SELECT_MIB, "SIMPUL", log)


def _fat(packing: Packing, name: str, size_mib: int, label: str, log: Path) -> None:
    files, image = packing.room / name, packing.room / f"{name}.vfat"
    for file in files.rglob("*"):
        os.utime(file, (packing.epoch_seconds, packing.epoch_seconds))
    with image.open("wb") as out:
        out.truncate(size_mib << 20)
    kind = ["-F", "32"] if size_mib >= 64 else ["-F", "16"]  # noqa: PLR2004 - FAT32's least size
    run(
        ["mkfs.vfat", "--invariant", *kind, "-s", "1", "-n", label, str(image)],
        log,
        environment=_stable(packing),
    )
    for folder in (files, *sorted(each for each in files.iterdir() if each.is_dir())):
        place = "::" if folder == files else f"::{folder.name}"
        if folder != files:
            run(["mmd", "-i", str(image), place], log, environment=_stable(packing))
        names = [str(file) for file in sorted(folder.iterdir()) if file.is_file()]
        run(["mcopy", "-m", "-i", str(image), *names, place], log, environment=_stable(packing))


def _root(packing: Packing, tree: Path, log: Path) -> None:
    """Unpack the root, name it, and pack it: in one shell, as fakeroot forgets owners after it."""
    identity, image = packing.identity, packing.room / "root.erofs"
    excluded = ("./boot/*", "./usr/lib/linux-image-*", "./usr/lib/raspi-firmware", "./dev/*")
    words = " ".join(f"--exclude={shlex.quote(each)}" for each in excluded)
    times = f"-T {packing.epoch_seconds} -U {layout.ROOT_UUID}"
    # fakeroot lists them in another order; systemd-tmpfiles gives the journal its own at each boot.
    kept = "--xattrs --xattrs-include='*' --xattrs-exclude='system.posix_acl_*'"
    script = f"""
set -eu
mkdir {shlex.quote(str(tree))}
cd {shlex.quote(str(tree))}
tar --extract --numeric-owner --preserve-permissions {kept} {words} \\
    -f {shlex.quote(str(packing.root_tar))}
mkdir -p boot/firmware
echo {shlex.quote(identity.image_id)} > usr/lib/simpul/image-id
printf 'IMAGE_ID="simpul-%s-%s"\\nIMAGE_VERSION="%s"\\n' {shlex.quote(identity.flavour)} \\
    {shlex.quote(identity.variant)} {shlex.quote(identity.version)} >> usr/lib/os-release
[ ! -e etc/rauc/system.conf ] || sed -i \\
    -e s/^compatible=.*/compatible={compatible(identity.flavour, identity.variant)}/ \\
    -e s/^min-bundle-version=.*/min-bundle-version={shlex.quote(identity.version)}/ \\
    etc/rauc/system.conf
mkfs.erofs {times} --quiet {shlex.quote(str(image))} .
"""
    command = ["sh", "-c", script]
    if os.geteuid() != 0:
        command = ["fakeroot", *command]
    run(command, log, environment=_stable(packing))


def _verity(packing: Packing, log: Path) -> str:
    """Append the hash tree to the root (dm-verity, veritysetup(8)); return the root hash."""
    image = packing.room / "root.erofs"
    data_bytes = image.stat().st_size
    words = [*("veritysetup", "format", "--data-block-size=4096", "--hash-block-size=4096")]
    words += [f"--hash-offset={data_bytes}", f"--uuid={layout.VERITY_UUID}"]
    words += [f"--salt={layout.VERITY_SALT}", f"--data-blocks={data_bytes // 4096}"]
    begin = log.stat().st_size
    run([*words, str(image), str(image)], log)
    found = re.search(rb"Root hash:\s+([0-9a-f]{64})", log.read_bytes()[begin:])
    if found is None:
        raise BuildError(f"veritysetup told no root hash\nlog: {log}")
    size_mib = image.stat().st_size / (1 << 20)
    if size_mib > layout.ROOT_MIB:
        raise BuildError(
            f"the root is {size_mib:.0f} MiB, its partition {layout.ROOT_MIB} MiB:"
            " take packages out of a layer"
        )
    return f"{found[1].decode()}@{data_bytes}"


def _data(packing: Packing, log: Path) -> None:
    image = packing.room / "data.ext4"
    with image.open("wb") as out:
        out.truncate(layout.DATA_MIB << 20)
    options = f"hash_seed={layout.DATA_HASH_SEED},lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    features = "metadata_csum,64bit,^resize_inode,meta_bg"
    run(
        [
            *("mkfs.ext4", "-q", "-F", "-L", "simpul-data", "-U", layout.DATA_UUID, "-m", "1"),
            # By itself it would take 1 KiB for so small a partition, also once that has grown.
            *("-b", "4096", "-O", features, "-E", options, "-J", "size=16", "-i", "16384"),
            str(image),
        ],
        log,
        environment={**_stable(packing), "E2FSPROGS_FAKE_TIME": str(packing.epoch_seconds)},
    )


def _card(packing: Packing, log: Path) -> Path:
    room = packing.room
    config = room / "genimage.cfg"
    config.write_text(layout.genimage_config())
    for name in ("genimage-tmp", "genimage-root", "out"):
        (room / name).mkdir()
    run(
        [
            *("genimage", "--config", str(config), "--inputpath", str(room)),
            *("--outputpath", str(room / "out"), "--tmppath", str(room / "genimage-tmp")),
            *("--rootpath", str(room / "genimage-root")),
        ],
        log,
        environment=_stable(packing),
    )
    return room / "out/card.img"


def _stable(packing: Packing) -> Mapping[str, str]:
    return {"SOURCE_DATE_EPOCH": str(packing.epoch_seconds), "MTOOLS_SKIP_CHECK": "1"}
