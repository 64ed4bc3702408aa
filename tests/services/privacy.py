"""Searches what leaves a node for addresses of devices, however they are written."""

import re
from collections.abc import Iterable

_ANY_MAC = re.compile(
    rb"(?<![0-9A-Fa-f])(?<![0-9A-Fa-f][:.-])"  # not a part of something longer
    rb"(?:[0-9A-Fa-f]{2}(?P<by>[:-])(?:[0-9A-Fa-f]{2}(?P=by)){4}[0-9A-Fa-f]{2}"
    rb"|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})"
    rb"(?![:.-]?[0-9A-Fa-f])"
)


def find_addresses(blob: bytes, addresses: Iterable[bytes]) -> list[str]:
    """Return where `blob` shows one of `addresses` (6 bytes each), or any MAC-like text.

    Each finding says the notation and the text. A bare row of 12 digits is searched for the given
    addresses only, as pseudonyms look like that too.
    """
    lowered = blob.lower()
    found = [
        f"{notation}: {written!r}"
        for address in addresses
        for notation, written in _notations(address)
        if written in (blob if notation == "bytes" else lowered)
    ]
    return found + [f"looks like one: {match[0]!r}" for match in _ANY_MAC.finditer(blob)]


def _notations(address: bytes) -> Iterable[tuple[str, bytes]]:
    assert len(address) == 6, "a MAC address has 6 bytes"
    yield "bytes", address
    for name, separator in (("colons", ":"), ("hyphens", "-"), ("spaces", " "), ("under", "_")):
        yield name, address.hex(separator).encode()
    yield "bare", address.hex().encode()
    yield "dotted", b".".join(address[at : at + 2].hex().encode() for at in (0, 2, 4))
    yield "escaped", "".join(f"\\x{byte:02x}" for byte in address).encode()
    yield "list", ",".join(str(byte) for byte in address).encode()
    yield "list, spaced", ", ".join(str(byte) for byte in address).encode()
    yield "number", str(int.from_bytes(address, "big")).encode()
