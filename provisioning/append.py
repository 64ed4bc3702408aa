"""Appends a line to a log, durably, whole or not at all."""

import errno
import os


def append_line(descriptor: int, line: bytes) -> None:
    """Append `line`; on the medium at return. Raises OSError, also when a full disk took a part."""
    begin = os.lseek(descriptor, 0, os.SEEK_END)
    if os.write(descriptor, line) < len(line):
        os.ftruncate(descriptor, begin)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)
