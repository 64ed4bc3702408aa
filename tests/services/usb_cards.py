"""Plugs cards into the USB ports of an emulated machine, and pulls them while they are written."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from services.waiting import until


def usb_machine(monitor: Path, files: Sequence[Path], *, bytes_per_second: int) -> list[str]:
    """Return QEMU's arguments for a USB 3 controller, and a throttled medium from each raw file."""
    words = ["-device", "qemu-xhci,id=usb", "-qmp", f"unix:{monitor},server=on,wait=off"]
    for number, file in enumerate(files):
        rates = f"x-bps-write={bytes_per_second},x-bps-read={4 * bytes_per_second}"
        words += ["-object", f"throttle-group,id=rate{number},{rates}"]
        words += [
            "-blockdev",
            f"raw,node-name=file{number},file.driver=file,file.filename={file}",
            "-blockdev",
            f"throttle,node-name=card{number},throttle-group=rate{number},file=file{number}",
        ]
    return words


class UsbPorts:
    """The emulated machine's ports, by QEMU's machine protocol (QMP)."""

    def __init__(self, monitor: Path) -> None:
        """Connect once QEMU listens."""
        until(monitor.exists, "QEMU's monitor")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(monitor))
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._answer("QMP")
        self._do("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._do("quit")  # so that the test need not wait for the guest
        self._lines.close()
        self._socket.close()

    def plug(self, number: int, port: int) -> None:
        """Put card `number` into a port of the controller."""
        self._do(
            "device_add",
            driver="usb-storage",
            bus="usb.0",
            port=str(port),
            id=f"usb{number}",
            drive=f"card{number}",
            serial=f"SIMPUL{number:04d}",
            removable=True,
        )

    def pull(self, number: int) -> None:
        """Take card `number` out, whatever is under way."""
        self._do("device_del", id=f"usb{number}")
        self._answer("event", "DEVICE_DELETED")

    def _do(self, command: str, **arguments: object) -> None:
        message = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        if command != "quit":
            self._answer("return")

    def _answer(self, key: str, value: str | None = None) -> None:
        """Read until the message that is waited for; events come in between."""
        for line in self._lines:
            message = json.loads(line)
            if "error" in message:
                raise RuntimeError(f"QEMU: {message['error']['desc']}")
            if key in message and (value is None or message[key] == value):
                return
        raise EOFError("QEMU ended")
