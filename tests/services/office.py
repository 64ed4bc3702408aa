"""Makes what an office keeps beside its inventory, by the commands that a person would type."""

import os
import subprocess
import sys
from pathlib import Path

from services.mosquitto import Mosquitto

from provisioning.listen import BrokerAccess

ROOT = Path(__file__).parents[2]


class Office:
    """A folder with the authority, its passphrase, and the papers of broker and office.

    `names` are the addresses of the broker: names or numbers, as nodes and office know it.
    """

    def __init__(self, folder: Path, passphrase: bytes, *, names: tuple[str, ...]) -> None:
        """Have the papers made; the authority lies in `folder` already."""
        self.folder = folder
        secret = folder / "passphrase"
        secret.write_bytes(passphrase + b"\n")
        secret.chmod(0o600)
        for name in ("broker", "office"):
            curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
            files = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
            subprocess.run(
                ["openssl", "req", "-new", *curve, "-subj", f"/CN={name}", *files],
                check=True,
                capture_output=True,
                cwd=folder,
            )
        for line in (
            ("broker", "broker.csr", "broker", *names, "--output", "broker.pem"),
            ("client", "office", "office.csr", "--output", "office.pem"),
            ("publish",),
        ):
            done = self.simpul("authority", *line, "--passphrase-file", secret)
            assert done.returncode == 0, done.stderr

    def simpul(
        self, *arguments: object, timeout_s: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in the office's folder."""
        return run_simpul(self.folder, *arguments, timeout_s=timeout_s)

    def broker(self) -> Mosquitto:
        """Return a broker that asks everybody for a certificate of the authority."""
        return Mosquitto(
            self.folder / "mosquitto",
            options=(
                f"cafile {self.folder}/published/mqtt-ca.pem",
                f"crlfile {self.folder}/published/mqtt.crl",
                f"certfile {self.folder}/broker.pem",
                f"keyfile {self.folder}/broker.key",
                "require_certificate true",
                "use_identity_as_username true",
            ),
        )

    def access(self, broker: Mosquitto) -> BrokerAccess:
        """Return the office's way to its broker."""
        return BrokerAccess(
            url=f"mqtts://127.0.0.1:{broker.port}",
            ca_file=str(self.folder / "published/mqtt-ca.pem"),
            certificate_file=str(self.folder / "office.pem"),
            key_file=str(self.folder / "office.key"),
        )


def at_broker(access: BrokerAccess) -> tuple[str, ...]:
    """Return the options by which a command comes to the broker."""
    return (
        *("--broker", access.url, "--ca", access.ca_file),
        *("--certificate", access.certificate_file, "--key", access.key_file),
    )


def run_simpul(
    folder: Path, *arguments: object, timeout_s: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, as a technician does; its caches and journals lie there too."""
    return subprocess.run(
        [sys.executable, "-m", "provisioning", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        timeout=timeout_s,
    )
