"""Says where the papers of a node lie; all of it hangs off one root, which a test may move."""

from pathlib import Path

from msgspec import Struct

# Where cloud-init's NoCloud source finds a seed on the images we know.
_SEEDS = ("boot/firmware", "boot", "var/lib/cloud/seed/nocloud")
_COPIES = "var/lib/cloud/instances"


class Places(Struct, frozen=True):
    """The files of an enrolment below `root`."""

    root: Path = Path("/")

    @property
    def hostname(self) -> Path:
        """The node's own name (hostname(5))."""
        return self.root / "etc/hostname"

    @property
    def token(self) -> Path:
        """The one-time token that the seed wrote."""
        return self.root / "etc/simpul/enrol/token"

    @property
    def identity(self) -> Path:
        """The folder of the node's key and certificates for MQTT."""
        return self.root / "etc/simpul/identity"

    @property
    def mqtt_key(self) -> Path:
        """The private key for MQTT."""
        return self.identity / "mqtt.key"

    @property
    def ssh(self) -> Path:
        """The folder of the authority's public parts and the certified host key."""
        return self.root / "etc/ssh/simpul"

    @property
    def host_key(self) -> Path:
        """The certified SSH host key."""
        return self.ssh / "host_ed25519_key"

    @property
    def sshd_host(self) -> Path:
        """The part of sshd's configuration that names the host key."""
        return self.root / "etc/ssh/sshd_config.d/20-simpul-host.conf"

    def seeds(self) -> list[Path]:
        """Return the files there are that hold what the seed brought."""
        files = [self.root / folder / "user-data" for folder in _SEEDS]
        names = ("user-data.txt", "user-data.txt.i", "cloud-config.txt")
        for name in names:
            files += (self.root / _COPIES).glob(f"*/{name}")
        return [file for file in files if file.is_file()]


def pending(file: Path) -> Path:
    """Return where a key waits until its certificate has come."""
    return file.with_name(file.name + ".pending")
