"""Asks the kernel how far the clock still is from what the time daemon measured (adjtimex(2))."""

import ctypes
import os
import struct

from node.errors import ReadingError
from node.health.parse import Figures

_STA_PLL = 0x0001  # <linux/timex.h>
_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000
# modes, offset, freq, maxerror, esterror, status: the head of struct timex, in native alignment.
_HEAD = struct.Struct("@Illlli")
_TIMEX_BYTES = 512  # larger than struct timex on every supported architecture


def read_timex() -> bytes:
    """Return the kernel's struct timex, unchanged by asking. Raises OSError."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(buffer)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "adjtimex")
    return buffer.raw


def parse_timex(timex: bytes) -> Figures:
    """Return the correction still under way, in seconds; nothing where the kernel cannot know it.

    It knows where the daemon leaves the work to the kernel's phase-locked loop (systemd-timesyncd,
    ntpd); chrony steers the frequency alone and the kernel's offset then stays 0. Raises
    ReadingError when the structure is cut off.
    """
    if len(timex) < _HEAD.size:
        raise ReadingError(f"struct timex has {len(timex)} bytes; at least {_HEAD.size} are due")
    _, offset, _, _, _, status = _HEAD.unpack_from(timex)
    if not status & _STA_PLL or status & _STA_UNSYNC:
        return {}
    return {"clock_offset_seconds": offset / (1e9 if status & _STA_NANO else 1e6)}
