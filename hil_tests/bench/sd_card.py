"""Writes a real node's card through the USB-SD-Mux, by the same program as a station does."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.driver.exception import ExecutionError

from hil_tests.bench.protocols import CardProtocol


@target_factory.reg_driver
@attr.s(eq=False)
class SDCard(Driver, CardProtocol):
    """The card between two hosts."""

    bindings = {  # noqa: RUF012 - labgrid's way to say it
        "mux": "USBSDMuxDriver",
        "storage": "USBStorageDriver",
    }

    @Driver.check_active
    def flash(self, image: Path, seed: Mapping[str, bytes]) -> None:
        """Take the card, write it, give it back. Raises ExecutionError."""
        self.mux.set_mode("host")
        try:
            self.storage.write_image(str(image))
            self._write_seed(seed)
        finally:
            self.mux.set_mode("dut")

    def _write_seed(self, seed: Mapping[str, bytes]) -> None:
        device = self.storage.storage.path
        with tempfile.TemporaryDirectory(prefix="simpul-seed-") as folder:
            for name, content in seed.items():
                (Path(folder) / name).write_bytes(content)
            files = [str(Path(folder) / name) for name in seed]
            done = subprocess.run(
                ["mcopy", "-o", "-i", f"{device}1", *files, "::"],  # noqa: S607 - mtools
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            raise ExecutionError(f"{device}: the seed cannot be written: {done.stderr.strip()}")
