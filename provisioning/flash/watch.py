"""Hears when a card is put in or taken out."""

from pathlib import Path

import pyudev

_UDEV_SOCKET = Path("/run/udev/control")


class CardWatch:
    """The kernel's events of block devices; without udevd as the kernel sends them."""

    def __init__(self) -> None:
        """Listen from now on."""
        source = "udev" if _UDEV_SOCKET.exists() else "kernel"
        context = pyudev.Context()  # type: ignore[no-untyped-call]
        self._monitor = pyudev.Monitor.from_netlink(context, source=source)  # type: ignore[no-untyped-call]
        self._monitor.filter_by("block")
        self._monitor.start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the next event; False when there was none in time."""
        if self._monitor.poll(timeout=timeout_seconds) is None:
            return False
        while self._monitor.poll(timeout=0) is not None:
            pass  # partitions come one by one; the caller looks at all disks anyway
        return True
