"""Unpacks a bundle's files into a folder, so that a bare Debian can run the installer in them.

Only Python's standard library is at hand here. Who brought the bundle may run anything on this
machine anyway; signatures are checked by the installer, which installs the bundle properly.
Usage: unpack.py BUNDLE FOLDER. The layout of a bundle is told in node/install/bundle.py.
"""

import hashlib
import json
import shutil
import struct
import sys
import zlib
from pathlib import Path

_MAGIC = b"simpul-bundle-1\n"
_LENGTHS = struct.Struct(">III")


def unpack(bundle: Path, folder: Path) -> None:
    """Fill `folder`, made anew, with the files of `bundle`; every content is checked."""
    shutil.rmtree(folder, ignore_errors=True)
    with bundle.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            sys.exit(f"{bundle}: not a release bundle")
        lengths = _LENGTHS.unpack(stream.read(_LENGTHS.size))
        _, manifest, index = (stream.read(length) for length in lengths)
        packed = {name: stream.read(length) for name, length in json.loads(index)}
    contents = {name: _content(bundle, name, data) for name, data in packed.items()}
    for each in json.loads(manifest)["files"]:
        file = folder / each["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        if each.get("link"):
            file.symlink_to(each["link"])
            continue
        file.write_bytes(contents[each["sha256"]] if each.get("sha256") else b"")
        file.chmod(each.get("mode", 0o644))


def _content(bundle: Path, name: str, data: bytes) -> bytes:
    try:
        content = zlib.decompress(data)
    except zlib.error as error:
        sys.exit(f"{bundle}: object {name[:16]} is damaged: {error}; copy it again")
    if hashlib.sha256(content).hexdigest() != name:
        sys.exit(f"{bundle}: object {name[:16]} is damaged; copy it again")
    return content


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
