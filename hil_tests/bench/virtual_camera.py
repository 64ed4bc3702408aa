"""A camera for the virtual bench: libcamera's virtual one plays footage to the real picamera2.

The image's bench layer holds what the node's own system lacks for that; this brings the vendor's
package and the footage, neither of which is any part of a node.
"""

import tarfile
import tempfile
from pathlib import Path

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.protocol import CommandProtocol, FileTransferProtocol
from services.footage import write_frames
from services.trixie import picamera2_site

from hil_tests.bench.protocols import CameraProtocol

_PLACE = "/var/lib/simpul-bench"
_PACKED = "/var/lib/simpul-bench.tar.gz"
_WIDTH, _HEIGHT = 320, 192  # as virtual.yaml in the bench layer has it
_FRAMES_COUNT = 40


@target_factory.reg_driver
@attr.s(eq=False)
class VirtualCamera(Driver, CameraProtocol):
    """Puts the camera in place when it is activated."""

    bindings = {  # noqa: RUF012 - labgrid's way to say it
        "command": CommandProtocol,
        "files": FileTransferProtocol,
    }

    def on_activate(self) -> None:
        """Bring picamera2 and the footage."""
        with tempfile.TemporaryDirectory(prefix="simpul-camera-") as name:
            room = Path(name)
            picamera2_site(room / "site", platform="aarch64")
            write_frames(room / "frames", width=_WIDTH, height=_HEIGHT, count=_FRAMES_COUNT)
            packed = room / "camera.tar.gz"
            with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
                for folder in ("site", "frames"):
                    tar.add(room / folder, folder, filter=_readable)
            self.files.put(str(packed), _PACKED)
        self.command.run_check(
            f"mkdir -p {_PLACE} && tar -C {_PLACE} -xzf {_PACKED} && rm {_PACKED}", timeout=120
        )


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
