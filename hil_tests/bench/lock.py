"""Keeps a bench for one run at a time, across processes of this machine."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil_tests.bench.errors import BenchError


def cache_folder() -> Path:
    """Return where benches keep cards, keys and locks."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "simpul" / "bench"


@contextmanager
def locked(bench: str) -> Iterator[None]:
    """Hold `bench` while the block runs; the kernel lets go of it when the process dies.

    Raises BenchError naming the process that holds it.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{bench}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BenchError(
                f"bench {bench} is in use by process {file.read().strip() or 'unknown'}; "
                "wait until it is done"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
