"""Opens a compressed image as a stream of plain bytes: zstd, gzip, xz or bzip2, by what it is."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from typing import BinaryIO, Protocol

import zstandard

_MAGIC_BYTES = 6
_READ_BYTES = 2**20
# What the decoders raise on damaged input.
DECODE_ERRORS = (zstandard.ZstdError, lzma.LZMAError, EOFError, OSError, ValueError)


class Plain(Protocol):
    """A stream of decoded bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill `buffer` as far as possible; 0 at the end."""


def is_compressed(file: BinaryIO) -> bool:
    """Tell whether `file`, at its start, is in a form that `decoded` opens."""
    return _decoder(_magic(file)) is not None


def decoded(file: BinaryIO) -> Plain:
    """Return the plain stream of `file`. Raises ValueError when it is in no form of these."""
    open_decoder = _decoder(_magic(file))
    if open_decoder is None:
        raise ValueError("neither zstd, gzip, xz nor bzip2")
    return open_decoder(file)


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
