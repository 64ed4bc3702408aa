"""Opens a block device for writing, and only that; reads and writes it past the page cache.

Every write goes through `open_for_writing`: O_EXCL, so that the kernel refuses a device which is
mounted, swapped on or held by another (open(2): "without O_CREAT, if pathname refers to a block
device"), never O_CREAT, O_NOFOLLOW, O_DIRECT. The descriptor is compared with what was confirmed.
"""

import errno
import fcntl
import mmap
import os
import stat
import struct

from provisioning.flash.device import Device
from provisioning.flash.errors import CardError, RefusedError

# linux/fs.h
_BLKROGET = 0x125E
_BLKGETSIZE64 = 0x80081272
_BLKGETDISKSEQ = 0x80081280
_ALIGN_BYTES = 4096
_PROTECTED = "write-protected (look for the little switch on the card)"
_GONE = "no card there any more"
_REASONS = {
    errno.EBUSY: "in use: mounted, or held by another program; unmount it first",
    errno.EACCES: "not permitted; run with sudo, or join the group disk",
    errno.EPERM: "not permitted; run with sudo, or join the group disk",
    errno.ENOENT: _GONE,
    errno.ENXIO: _GONE,
    errno.ENODEV: _GONE,
    errno.ENOMEDIUM: _GONE,
    errno.EROFS: _PROTECTED,
    errno.EINVAL: "not a block device",
    errno.EISDIR: "not a block device",
    errno.ELOOP: "a symbolic link; name the device itself",
}


def aligned_buffer(size_bytes: int) -> memoryview:
    """Return memory that O_DIRECT accepts (page-aligned)."""
    return memoryview(mmap.mmap(-1, size_bytes))


def open_for_writing(device: Device) -> int:
    """Open the very device that was confirmed. Raises RefusedError."""
    flags = os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC
    return _open(device, flags)


def open_for_reading(device: Device) -> int:
    """Open it once more, so that nothing read was kept from writing. Raises RefusedError."""
    return _open(device, os.O_RDONLY | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC)


def check_medium(device: Device, descriptor: int) -> None:
    """See that what is open is still what was confirmed. Raises CardError.

    A reader that got another card goes on under the old descriptor once the kernel has seen it.
    """
    if difference := _difference(device, descriptor):
        raise CardError(
            f"{difference}; put the confirmed one in again and flash it: it goes on from there"
        )


def write_at(descriptor: int, data: memoryview, offset_bytes: int) -> None:
    """Write all of `data`, whole sectors. Raises CardError."""
    done = 0
    while done < len(data):
        try:
            count = os.pwrite(descriptor, data[done:], offset_bytes + done)
        except OSError as error:
            raise _failed("write", offset_bytes + done, error) from error
        if count == 0:
            raise CardError(f"the card ends at byte {offset_bytes + done}; throw it away")
        done += count


def read_at(descriptor: int, buffer: memoryview, offset_bytes: int) -> None:
    """Fill `buffer`, whole sectors. Raises CardError."""
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[done:]], offset_bytes + done)
        except OSError as error:
            raise _failed("read", offset_bytes + done, error) from error
        if count == 0:
            raise CardError(f"the card ends at byte {offset_bytes + done}; throw it away")
        done += count


def flush(descriptor: int) -> None:
    """Have the card keep for good what was written. Raises CardError."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        raise _failed("flush", None, error) from error


def whole_sectors(length_bytes: int) -> int:
    """Return `length_bytes` rounded up to what O_DIRECT takes on every device."""
    return -(-length_bytes // _ALIGN_BYTES) * _ALIGN_BYTES


def _open(device: Device, flags: int) -> int:
    try:
        descriptor = os.open(device.path, flags)
    except OSError as error:
        raise RefusedError(f"{device.path}: {_why(error)}") from error
    difference = _difference(device, descriptor)
    if difference:
        os.close(descriptor)
        raise RefusedError(f"{device.path}: {difference}; nothing was written; look again")
    return descriptor


def _difference(device: Device, descriptor: int) -> str:
    """Return how the open device differs from the confirmed one; empty when it is that one."""
    status = os.fstat(descriptor)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if not stat.S_ISBLK(status.st_mode):
        return "not a block device"
    if number != device.number:
        return f"is {number} now and was {device.number} when it was confirmed"
    try:
        sequence = _ask(descriptor, _BLKGETDISKSEQ, "=Q")
        size_bytes = _ask(descriptor, _BLKGETSIZE64, "=Q")
        read_only = _ask(descriptor, _BLKROGET, "=i")
    except OSError as error:
        return f"does not answer: {error.strerror}"
    if sequence != device.disk_sequence:
        return "another card was put in since it was confirmed"
    if size_bytes != device.size_bytes:
        return f"has {size_bytes} bytes now and had {device.size_bytes}"
    return _PROTECTED if read_only else ""


def _ask(descriptor: int, request: int, layout: str) -> int:
    answer = fcntl.ioctl(descriptor, request, bytes(struct.calcsize(layout)))
    value: int = struct.unpack(layout, answer)[0]
    return value


def _why(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, str(error.strerror))


def _failed(what: str, offset_bytes: int | None, error: OSError) -> CardError:
    place = "" if offset_bytes is None else f" at byte {offset_bytes} ({offset_bytes >> 20} MiB)"
    return CardError(
        f"cannot {what}{place}: {error.strerror}; was it pulled? Put it in again and flash it: "
        "it goes on from there"
    )
