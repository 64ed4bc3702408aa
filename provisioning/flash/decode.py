"""Opens a compressed image as a stream of plain bytes: zstd, gzip, xz or bzip2, by what it is."""

import bz2
import gzip
import hashlib
import io
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import zstandard

_MAGIC_BYTES = 6
_READ_BYTES = 2**20
# What the decoders raise on damaged input.
DECODE_ERRORS = (zstandard.ZstdError, lzma.LZMAError, EOFError, OSError, ValueError)


class Plain(Protocol):
    """A stream of decoded bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill `buffer` as far as possible; 0 at the end."""


class Hashed(io.RawIOBase):
    """A file that is hashed while it is read in order."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - typeshed's Buffer, as the base has it
        """Fill `buffer` as far as possible; 0 at the end."""
        view = memoryview(buffer)
        count = self._file.readinto(view)  # type: ignore[attr-defined]  # every opened file has it
        self._sha256.update(view[:count])
        return int(count)

    def finish(self) -> str:
        """Read what the decoder left over; return the SHA-256 of the whole file, hexadecimal."""
        while self.read(_READ_BYTES):
            pass
        return self._sha256.hexdigest()


def is_compressed(file: BinaryIO) -> bool:
    """Tell whether `file`, at its start, is in a form that `decoded` opens."""
    return _decoder(_magic(file)) is not None


def decoded(file: BinaryIO) -> tuple[Plain, Hashed]:
    """Return the plain stream of `file`, and the hash of what was read of it."""
    open_decoder = _decoder(_magic(file))
    if open_decoder is None:
        raise ValueError("neither zstd, gzip, xz nor bzip2")
    hashed = Hashed(file)
    return open_decoder(io.BufferedReader(hashed, _READ_BYTES)), hashed


def _magic(file: BinaryIO) -> bytes:
    magic = file.read(_MAGIC_BYTES)
    file.seek(0)
    return magic


def _decoder(magic: bytes) -> Callable[[BinaryIO], Plain] | None:
    decoders: tuple[tuple[bytes, Callable[[BinaryIO], Plain]], ...] = (
        (b"\x28\xb5\x2f\xfd", _zstd),
        (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
        (b"\xfd7zXZ\x00", lzma.LZMAFile),
        (b"BZh", bz2.BZ2File),
    )
    return next((each for start, each in decoders if magic.startswith(start)), None)


def _zstd(file: BinaryIO) -> Plain:
    decoder = zstandard.ZstdDecompressor()
    return decoder.stream_reader(file, read_size=_READ_BYTES, read_across_frames=True)
