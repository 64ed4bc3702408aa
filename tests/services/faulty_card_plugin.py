# ruff: noqa: ARG001 - the functions' forms are nbdkit's
"""Is a memory card with faults: a plugin that nbdkit runs, for tests of what flashes cards.

Options on nbdkit's command line: memory=FILE (what the card keeps), size=BYTES, and any of
write_error=, read_error=, corrupt= (at that byte), corrupt_boot=1 (in a boot record),
flush_error=1, real=BYTES with wraps=1 (else it forgets), pull_after=BYTES written,
hang_after=BYTES written, cache=1: what was not flushed lies, but for some of it, in this process's
memory and is lost with it. A file MEMORY.pulled pulls it.
"""

import errno
import mmap
import os
import random
import threading
from pathlib import Path

import nbdkit

API_VERSION = 2
_BLOCK = 4096
_BOOT_SIGNATURE = b"\x55\xaa"
options: dict[str, str] = {}
card: dict[str, object] = {"written": 0}
cache: dict[int, bytes] = {}
chance = random.Random(7)  # noqa: S311 - the same faults every time


def config(key: str, value: str) -> None:
    options[key] = value


def config_complete() -> None:
    size = _number("real") or _number("size")
    descriptor = os.open(options["memory"], os.O_RDWR | os.O_CREAT, 0o600)
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
    card["memory"] = mmap.mmap(descriptor, size)


def thread_model() -> int:
    return int(nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS)


def open(readonly: bool) -> int:  # noqa: A001, FBT001 - nbdkit's name and form
    return 1


def get_size(handle: int) -> int:
    return _number("size")


def can_flush(handle: int) -> bool:
    return True


def pread(handle: int, buffer: bytearray, offset: int, flags: int) -> None:
    _fail_if_pulled()
    if "read_error" in options and offset <= _number("read_error") < offset + len(buffer):
        _fail(errno.EIO)
    for at in range(0, len(buffer), _BLOCK):
        length = min(_BLOCK, len(buffer) - at)
        buffer[at : at + length] = _get(offset + at, length)


def pwrite(handle: int, buffer: bytes, offset: int, flags: int) -> None:
    _fail_if_pulled()
    data = bytearray(buffer)
    if "write_error" in options and offset <= _number("write_error") < offset + len(data):
        _fail(errno.EIO)
    if "corrupt" in options and offset <= _number("corrupt") < offset + len(data):
        data[_number("corrupt") - offset] ^= 1
    if "corrupt_boot" in options and offset == 0 and data[510:512] == _BOOT_SIGNATURE:
        data[3] ^= 1
    card["written"] = int(card["written"]) + len(data)
    if "hang_after" in options and card["written"] > _number("hang_after"):
        threading.Event().wait()
    for at in range(0, len(data), _BLOCK):
        _put(offset + at, bytes(data[at : at + _BLOCK]))


def flush(handle: int, flags: int) -> None:
    _fail_if_pulled()
    if "flush_error" in options:
        _fail(errno.EIO)
    for offset, data in cache.items():
        _store(offset, data)
    cache.clear()


def _get(offset: int, length: int) -> bytes:
    if offset % _BLOCK == 0 and len(cache.get(offset, b"")) >= length:
        return cache[offset][:length]
    place = _place(offset)
    return bytes(length) if place is None else card["memory"][place : place + length]


def _put(offset: int, data: bytes) -> None:
    # A part of what lies in a card's cache is kept early, in no order.
    if "cache" not in options or chance.random() < 0.3:
        cache.pop(offset, None)
        _store(offset, data)
        return
    cache[offset] = data


def _store(offset: int, data: bytes) -> None:
    place = _place(offset)
    if place is not None:
        card["memory"][place : place + len(data)] = data


def _place(offset: int) -> int | None:
    real = _number("real") or _number("size")
    if offset < real:
        return offset
    return offset % real if "wraps" in options else None


def _fail_if_pulled() -> None:
    pulled = "pull_after" in options and card["written"] > _number("pull_after")
    if pulled or Path(options["memory"] + ".pulled").exists():
        _fail(errno.EIO)


def _fail(number: int) -> None:
    nbdkit.set_error(number)
    raise OSError(number, os.strerror(number))


def _number(name: str) -> int:
    return int(options.get(name, "0"))
