"""Asks the firmware of a Raspberry Pi about power and heat, as its vcgencmd does.

The device /dev/vcio of Raspberry Pi's kernel passes a message to the firmware's property channel.
The tag GET_GENCMD_RESULT is asked, not the shorter GET_THROTTLED (0x00030046): the kernel's own
driver asks the latter every two seconds and clears what happened since boot as it does.
"""

import fcntl
import os
import struct
from pathlib import Path

from node.errors import ReadingError

_GET_GENCMD_RESULT = 0x0003_0080
_ANSWERED = 0x8000_0000
_TEXT_BYTES = 1024
# Whole size, code, tag, room, length, error; then the text; then the end tag (little-endian).
_HEAD = struct.Struct("<6I")
_END = struct.pack("<I", 0)
_MESSAGE_BYTES = _HEAD.size + _TEXT_BYTES + len(_END)
# _IOWR(100, 0, char *) of <linux/ioctl.h>; the pointer's size is part of the number.
_IOCTL_MBOX_PROPERTY = 3 << 30 | struct.calcsize("P") << 16 | 100 << 8


def ask_firmware(device: Path) -> str:
    """Return the answer to get_throttled, such as "throttled=0x50005".

    `device` is /dev/vcio. Raises OSError when it is not there or may not be opened (its group is
    video), ReadingError when the firmware refuses. Takes a second at most.
    """
    message = bytearray(request_of("get_throttled"))
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _IOCTL_MBOX_PROPERTY, message, True)  # noqa: FBT003 - C's own call
    finally:
        os.close(descriptor)
    return parse_answer(bytes(message))


def ask_recording(device: Path) -> str:
    """Return the answer that a plain file at the device's place holds: the fake, for replays.

    Raises OSError when there is none, ReadingError when it is no text.
    """
    return text_of(device.read_bytes())


def request_of(command: str) -> bytes:
    """Return the message that asks the firmware to carry out `command`."""
    text = command.encode("ascii").ljust(_TEXT_BYTES, b"\0")
    return _HEAD.pack(_MESSAGE_BYTES, 0, _GET_GENCMD_RESULT, _TEXT_BYTES, 0, 0) + text + _END


def parse_answer(message: bytes) -> str:
    """Return the text of an answered message. Raises ReadingError when the firmware refused."""
    if len(message) != _MESSAGE_BYTES:
        raise ReadingError(f"the firmware's answer has {len(message)} of {_MESSAGE_BYTES} bytes")
    _, code, _, _, _, error = _HEAD.unpack_from(message)
    if code != _ANSWERED or error:
        raise ReadingError(f"the firmware refused get_throttled: code {code:#x}, error {error:#x}")
    text, _, _ = message[_HEAD.size : -len(_END)].partition(b"\0")
    return text_of(text)


def text_of(content: bytes) -> str:
    """Return `content` as text. Raises ReadingError when it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReadingError(f"byte {error.start} is no text") from error
