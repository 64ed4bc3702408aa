"""Makes a signed RAUC bundle out of a card image: its boot and root, for either slot of a node.

The bundle is of RAUC's verity format: its content is a squashfs under dm-verity, whose root hash is
in the signed manifest, so that nodes can install it while it streams, and fetch by its block
indexes only what they lack.
"""

import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct

from provisioning.image import layout
from provisioning.image.boot.partitions import Partition, read_partitions
from provisioning.image.bundle_keys import BundleKeys
from provisioning.image.errors import BundleError, ToolError

_COMPATIBLE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
# What RAUC compares (min-bundle-version).
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}(-[0-9A-Za-z.-]+)?")
_BOOT_A = 2
_PAGE_BYTES = 4096  # RAUC's block index counts in these
_CHUNK_BYTES = 1 << 20
_EROFS_MAGIC = 0xE0F5E1E2
_EROFS_SUPER = struct.Struct("<I8xB23xI")  # magic, block size's power, blocks (erofs_fs.h)
_EROFS_START = 1024
_MANIFEST = """\
[update]
compatible={compatible}
version={version}
description={description}

[bundle]
format=verity

[image.boot]
filename=boot.img
adaptive=block-hash-index

[image.rootfs]
filename=root.img
adaptive=block-hash-index
"""


class BundleOrder(Struct, frozen=True, kw_only=True):
    """What is to be bundled."""

    image: Path
    version: str
    compatible: str
    keys: BundleKeys
    output: Path
    description: str = "Simpul node"


def compatible(flavour: str, variant: str) -> str:
    """Return what bundles and nodes call images of this kind; a node takes no other."""
    return f"simpul-{flavour}-{variant}"


def make_bundle(order: BundleOrder) -> Path:
    """Write the bundle and return it. Raises BundleError, ToolError, CardError."""
    if not _VERSION.fullmatch(order.version):
        raise BundleError(f"version {order.version!r}: give one such as 1.4.0 or 1.4.0-rc.1")
    if not _COMPATIBLE.fullmatch(order.compatible):
        raise BundleError(f"compatible {order.compatible!r} does not match {_COMPATIBLE.pattern}")
    if order.output.exists():
        raise BundleError(f"{order.output} exists already: remove it or give another --output")
    partitions = read_partitions(order.image)
    wanted = (_BOOT_A, layout.ROOT_PARTITION["a"])
    missing = [number for number in wanted if number not in partitions]
    if missing:
        raise BundleError(f"{order.image}: no partition {missing[0]}; is it an image of Simpul?")
    order.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=order.output.parent) as name:
        content = Path(name) / "content"
        content.mkdir()
        boot, root = (partitions[number] for number in wanted)
        _cut_out(order.image, boot, boot.size_bytes, content / "boot.img")
        _cut_out(order.image, root, _root_size_bytes(order.image, root), content / "root.img")
        manifest = _MANIFEST.format(
            compatible=order.compatible, version=order.version, description=order.description
        )
        (content / "manifest.raucm").write_text(manifest)
        finished = Path(name) / "bundle.raucb"
        _rauc_bundle(order.keys, content, finished)
        finished.rename(order.output)
    return order.output


def _rauc_bundle(keys: BundleKeys, content: Path, bundle: Path) -> None:
    command = [
        *("rauc", "bundle", f"--cert={keys.certificate}", f"--key={keys.key}"),
        # Small blocks: a node that streams fetches little more than what it lacks.
        "--mksquashfs-args=-comp zstd -Xcompression-level 9 -b 64k -all-root -quiet -no-progress",
        *(str(content), str(bundle)),
    ]
    for program in ("rauc", "mksquashfs"):
        if shutil.which(program) is None:
            raise ToolError(f"{program} is missing: apt-get install rauc squashfs-tools")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"rauc cannot make the bundle: {done.stderr.strip()[-2000:]}")


def _root_size_bytes(image: Path, root: Partition) -> int:
    """Return how much of the partition is the file system, and whatever lies behind it."""
    with image.open("rb") as file:
        file.seek(root.start_bytes + _EROFS_START)
        magic, power, blocks = _EROFS_SUPER.unpack(file.read(_EROFS_SUPER.size))
        if magic != _EROFS_MAGIC:
            raise BundleError(f"{image}: partition {root.number} holds no erofs; build it anew")
        size_bytes = int(blocks) << int(power)
        position = root.size_bytes
        while position > size_bytes:
            start = max(size_bytes, position - _CHUNK_BYTES)
            file.seek(root.start_bytes + start)
            rest = file.read(position - start).rstrip(b"\0")
            if rest:
                return -(-(start + len(rest)) // _PAGE_BYTES) * _PAGE_BYTES
            position = start
    return -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES


def _cut_out(image: Path, partition: Partition, size_bytes: int, to: Path) -> None:
    with image.open("rb") as file, to.open("wb") as out:
        file.seek(partition.start_bytes)
        left = size_bytes
        while left:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise BundleError(f"{image}: ends inside partition {partition.number}")
            if chunk.count(0) == len(chunk):
                out.seek(len(chunk), 1)
            else:
                out.write(chunk)
            left -= len(chunk)
        out.truncate(size_bytes)
