"""Takes a netlink reply apart into messages and knows a refusal when it sees one.

Layout: struct nlmsghdr and struct nlattr, <linux/netlink.h>; native byte order.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from node.errors import RadioError

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # length, type
FLAG_REQUEST = 0x1
FLAG_DUMP = 0x300
_FLAG_MULTIPART = 0x2
_FLAG_DUMP_INTERRUPTED = 0x10
_FLAG_CAPPED = 0x100
_FLAG_EXPLAINED = 0x200
_ERROR = 2
_DONE = 3
_ERRNO = struct.Struct("=i")
_ERRNO_MAX = 4095  # MAX_ERRNO, <linux/err.h>
_EXPLANATION = 1  # NLMSGERR_ATTR_MSG
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


class RefusedError(RadioError):
    """The kernel refused a request; `number` is its errno."""

    def __init__(self, number: int, explanation: str = "") -> None:
        """Say why, in the kernel's words; `explanation` is its extended acknowledgement."""
        text = f"the kernel refused: {os.strerror(number)} (errno {number})"
        super().__init__(f"{text}: {explanation}" if explanation else text)
        self.number = number


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type, its flags, and all its bytes with the header."""

    kind: int
    flags: int
    raw: bytes

    @property
    def is_last(self) -> bool:
        """Tell whether it ends a reply (NLMSG_DONE, NLMSG_ERROR)."""
        return self.kind in {_ERROR, _DONE}

    @property
    def is_part(self) -> bool:
        """Tell whether others follow it in the same reply (NLM_F_MULTI)."""
        return bool(self.flags & _FLAG_MULTIPART)


def messages(raw: bytes) -> Iterator[Message]:
    """Yield the messages in `raw` up to one that ends the reply. Raises RadioError if garbled."""
    at = 0
    while at < len(raw):
        if len(raw) - at < HEADER.size:
            raise RadioError("the kernel's reply is cut off within a netlink header")
        length, kind, flags, _, _ = HEADER.unpack_from(raw, at)
        if not HEADER.size <= length <= len(raw) - at:
            raise RadioError(f"a netlink message claims {length} bytes, {len(raw) - at} are there")
        message = Message(kind, flags, raw[at : at + length])
        yield message
        if message.is_last:
            return
        at += aligned(length)


def contents(raw: bytes) -> list[bytes]:
    """Return the messages of a whole dump, without the one that ends it.

    Raises RefusedError when the kernel refused, RadioError when the dump is garbled or incomplete.
    """
    kept: list[bytes] = []
    for message in messages(raw):
        if message.is_last:
            raise_refusal(message)
            return kept
        kept.append(message.raw)
    raise RadioError("the kernel's reply ends without its last message")


def raise_refusal(message: Message) -> None:
    """Raise RefusedError when `message` ends a reply with an error; RadioError when garbled."""
    if not message.is_last:
        return
    payload = message.raw[HEADER.size :]
    if len(payload) < _ERRNO.size:
        return  # kernels may end a dump without a status
    (number,) = _ERRNO.unpack_from(payload)
    if number < -_ERRNO_MAX:
        raise RadioError(f"the kernel's reply ends with {number}, which is no error number")
    if number < 0:
        raise RefusedError(-number, _explanation(message, payload[_ERRNO.size :]))


def interrupted(raw: bytes) -> bool:
    """Tell whether the list changed while it was dumped, so that it must be asked for again."""
    return any(message.flags & _FLAG_DUMP_INTERRUPTED for message in messages(raw))


def attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of the attributes in `raw`. Raises RadioError if garbled."""
    at = 0
    while len(raw) - at >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(raw, at)
        if not ATTRIBUTE.size <= length <= len(raw) - at:
            raise RadioError(f"a netlink attribute claims {length} bytes; {len(raw) - at} are left")
        yield kind & _TYPE_MASK, raw[at + ATTRIBUTE.size : at + length]
        at += aligned(length)


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    packed = ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload
    return packed.ljust(aligned(len(packed)), b"\0")


def aligned(length: int) -> int:
    """Return `length` rounded up to netlink's four bytes."""
    return (length + 3) & ~3


def _explanation(message: Message, rest: bytes) -> str:
    if not message.flags & _FLAG_EXPLAINED:
        return ""
    if message.kind == _ERROR:  # the request stands between: whole, or its header when capped
        if len(rest) < HEADER.size:
            raise RadioError("the kernel's refusal is cut off")
        request_bytes = HEADER.size if message.flags & _FLAG_CAPPED else HEADER.unpack_from(rest)[0]
        rest = rest[aligned(request_bytes) :]
    told = dict(attributes(rest)).get(_EXPLANATION, b"")
    return told.rstrip(b"\0").decode("utf-8", errors="replace")
