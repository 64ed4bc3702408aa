"""A still carries its own facts: a JSON note in the JPEG comment segment (ITU T.81, B.2.4.5)."""

import struct

import msgspec

from node.messages.camera import StillInfo
from node.messages.envelope import MessageError

STILL_BYTES_MAX = 1_000_000
"""Largest still that is sent or accepted; below the 1 MiB that NATS allows a payload."""

_SOI = b"\xff\xd8"
_COM = 0xFE
_SOS = 0xDA
_NOTE_BYTES_MAX = 0xFFFF - 2
_MARK = b"simpul "


def write_still_info(jpeg: bytes, info: StillInfo) -> bytes:
    """Return `jpeg` with `info` as its first segment. Raises MessageError when it is no JPEG."""
    if not jpeg.startswith(_SOI):
        raise MessageError("a still must be a JPEG; its first bytes are not FF D8")
    note = _MARK + msgspec.json.encode(info)
    if len(note) > _NOTE_BYTES_MAX:
        raise MessageError(f"the note of a still has {len(note)} bytes; {_NOTE_BYTES_MAX} fit")
    return b"".join((_SOI, struct.pack(">BBH", 0xFF, _COM, len(note) + 2), note, jpeg[2:]))


def read_still_info(jpeg: bytes) -> StillInfo:
    """Return what the still says of itself.

    Raises MessageError when it is too large, not a JPEG, or carries no note of ours.
    """
    if len(jpeg) > STILL_BYTES_MAX:
        raise MessageError(f"still of {len(jpeg)} bytes; at most {STILL_BYTES_MAX} are accepted")
    if not jpeg.startswith(_SOI):
        raise MessageError("not a JPEG; its first bytes are not FF D8")
    at = len(_SOI)
    while at + 4 <= len(jpeg):
        mark, code, length = struct.unpack_from(">BBH", jpeg, at)
        if mark != 0xFF or code == _SOS or length < 2:  # noqa: PLR2004 - 0xFF and the length's own size
            break
        segment = jpeg[at + 4 : at + 2 + length]
        if code == _COM and segment.startswith(_MARK):
            return _decode(segment[len(_MARK) :])
        at += 2 + length
    raise MessageError("the still carries no note of when and where it was taken")


def _decode(note: bytes) -> StillInfo:
    try:
        return msgspec.json.decode(note, type=StillInfo)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"the note of the still does not fit: {error}") from error
