"""Pins archive keys: keeps of a keyring what the definition names by fingerprint, nothing else.

Format: RFC 4880, sections 4.2 (packets) and 12.2 (fingerprints of version 4 keys).
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioning.image.errors import ArchiveError

_PUBLIC_KEY = 6


def pinned(file: Path, fingerprints: Sequence[str]) -> bytes:
    """Return the keys with `fingerprints` out of the keyring `file` (binary, not armoured).

    Raises ArchiveError when the file cannot be read or lacks one of them.
    """
    try:
        kept = dict(_keys(file.read_bytes()))
    except OSError as error:
        raise ArchiveError(
            f"{file}: the archive's keyring cannot be read: {error.strerror};"
            " install the keyring package or name the file with --keyring"
        ) from error
    except IndexError as error:
        raise ArchiveError(f"{file}: not a binary OpenPGP keyring; is it armoured?") from error
    missing = [each for each in fingerprints if each not in kept]
    if missing:
        raise ArchiveError(f"{file}: holds no key {missing[0]}, which the definition pins")
    return b"".join(kept[each] for each in fingerprints)


def _keys(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every primary key's fingerprint, and it with all that belongs to it."""
    name, start = "", 0
    for kind, body, begin in _packets(data):
        if kind != _PUBLIC_KEY:
            continue
        if name:
            yield name, data[start:begin]
        head = b"\x99" + len(body).to_bytes(2, "big")
        name, start = hashlib.sha1(head + body, usedforsecurity=False).hexdigest().upper(), begin
    if name:
        yield name, data[start:]


def _packets(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    position = 0
    while position < len(data):
        begin, tag = position, data[position]
        position += 1
        if tag & 0x40:
            kind, (length, position) = tag & 0x3F, _new_length(data, position)
        else:
            kind, size = (tag >> 2) & 0x0F, 1 << (tag & 0x03)
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if not tag & 0x80 or position + length > len(data):
            raise IndexError(position)
        yield kind, data[position : position + length], begin
        position += length


def _new_length(data: bytes, position: int) -> tuple[int, int]:
    first = data[position]
    if first < 192:  # noqa: PLR2004 - RFC 4880, 4.2.2.1
        return first, position + 1
    if first < 224:  # noqa: PLR2004 - RFC 4880, 4.2.2.2
        return ((first - 192) << 8) + data[position + 1] + 192, position + 2
    return int.from_bytes(data[position + 1 : position + 5], "big"), position + 5
