"""Sees to it that a download ends: whoever fetches holds the installer's lock meanwhile."""

import time

from node.install.errors import FetchError

# Half of what GPRS gives; 20 MiB come through within LONGEST_S even so.
LEAST_BYTES_S = 64 * 1024 / 60
GRACE_S = 300.0  # connections that fail at first are not held against the server
LONGEST_S = 6 * 3600.0


class Pace:
    """What came in one call of the installer, over all its attempts."""

    def __init__(self, url: str) -> None:
        """Begin now."""
        self._url = url
        self._begun_s = time.monotonic()
        self._come_bytes = 0

    def came(self, count_bytes: int) -> None:
        """Count what was added to the file."""
        self._come_bytes += count_bytes

    def check(self) -> None:
        """Return while enough came. Raises FetchError."""
        elapsed_s = time.monotonic() - self._begun_s
        least_bytes = LEAST_BYTES_S * elapsed_s if elapsed_s > GRACE_S else 0
        if self._come_bytes < least_bytes or elapsed_s > LONGEST_S:
            raise FetchError(
                f"{self._url}: too slow: {self._come_bytes >> 10} KiB in {elapsed_s / 60:.0f} "
                "minutes; try again, it will be resumed"
            )
