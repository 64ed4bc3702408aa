"""Gives the tests machines made of recorded trees, with nothing of the real one in them."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from node.clock import FakeClock
from node.health.firmware import ask_recording
from node.health.machine import Machine

FIXTURES = Path(__file__).parent / "fixtures"


def file_system(*, read_only: bool = False) -> os.statvfs_result:
    """Return a file system of 1,000 blocks of 4 KiB: 300 free, 250 of them for everyone."""
    flags = os.ST_RDONLY if read_only else 0
    return os.statvfs_result((4096, 4096, 1000, 300, 250, 64, 32, 32, flags, 255))


def timex(*, offset: int, status: int) -> bytes:
    """Return struct timex as adjtimex(2) fills it."""
    return struct.pack("@Illlli", 0, offset, 0, 500_000, 500_000, status).ljust(208, b"\0")


def machine_in(root: Path, *, device: str = "179:5") -> Machine:
    """Return a machine below `root` whose clock the kernel pulls back by 1.2 ms."""
    return Machine(
        root=root,
        state_directory=Path("/var/lib/simpul"),
        clock=FakeClock(synced=True),
        device_of=lambda _: device,
        statvfs=lambda _: file_system(),
        timex=lambda: timex(offset=-1_200_000, status=0x2001),
        ask_firmware=ask_recording,
    )


@pytest.fixture
def recorded() -> Callable[..., Machine]:
    """Return the machine of a tree under fixtures, by its name."""

    def load(tree: str, *, device: str = "179:5") -> Machine:
        assert (FIXTURES / tree).is_dir()
        return machine_in(FIXTURES / tree, device=device)

    return load


@pytest.fixture
def empty(tmp_path: Path) -> Machine:
    """Return a machine whose tree is empty, below tmp_path."""
    return machine_in(tmp_path)


@pytest.fixture
def make_timex() -> Callable[..., bytes]:
    """Return the maker of struct timex."""
    return timex


@pytest.fixture
def make_file_system() -> Callable[..., os.statvfs_result]:
    """Return the maker of statvfs results."""
    return file_system
