"""Runs a Mosquitto of its own for a test, which may be killed and started again."""

import shutil
import subprocess
from pathlib import Path
from typing import Self

from services.ports import free_port, wait_for_port


def mosquitto_program() -> str | None:
    """Return the path of the broker, or None when it is not installed."""
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


class Mosquitto:
    """One broker on its own port and directory; open to everybody who reaches `address`."""

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        in_flight_max: int = 500,
        options: tuple[str, ...] = (),
    ) -> None:
        """Write the configuration to `directory`, which is created and kept.

        `options` are further lines of mosquitto.conf(5). Persistence is off unless asked for.
        """
        program = mosquitto_program()
        if program is None:
            raise FileNotFoundError("Mosquitto is not installed: apt-get install mosquitto")
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = directory
        self.address = address
        self.port = free_port()
        self.url = f"mqtt://{address}:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        lines = (
            f"listener {self.port} {address}",
            "allow_anonymous true",
            "user root",
            f"max_inflight_messages {in_flight_max}",
            "max_queued_messages 0",
            *options,
        )
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the broker on the same port and wait until it accepts."""
        with (self.directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self.directory / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )
        wait_for_port(self.port, self.address)

    def kill(self) -> None:
        """Kill the broker with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop the broker in an orderly way."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
