"""Says where the papers of a node lie; all of it hangs off one root, which a test may move."""

from pathlib import Path

from msgspec import Struct

# Where cloud-init's NoCloud source finds a seed on the images we know.
_SEEDS = ("boot/firmware", "boot", "var/lib/cloud/seed/nocloud")
_COPIES = "var/lib/cloud/instances"
PENDING = ".pending"


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
    def mqtt_certificate(self) -> Path:
        """The certificate of that key (PEM)."""
        return self.identity / "mqtt.pem"

    @property
    def authority(self) -> Path:
        """The authority by which the broker is known (PEM)."""
        return self.identity / "ca.pem"

    @property
    def ssh(self) -> Path:
        """The folder of the authority's public parts and the certified host key."""
        return self.root / "etc/ssh/simpul"

    @property
    def host_key(self) -> Path:
        """The certified SSH host key."""
        return self.ssh / "host_ed25519_key"

    @property
    def host_certificate(self) -> Path:
        """The certificate of that key."""
        return self.ssh / "host_ed25519_key-cert.pub"

    @property
    def sshd_host(self) -> Path:
        """The part of sshd's configuration that names the host key."""
        return self.root / "etc/ssh/sshd_config.d/20-simpul-host.conf"

    def seeds(self) -> list[Path]:
        """Return the seeds there are, which cloud-init goes on reading, and its copies of them."""
        files = [self.root / folder / "user-data" for folder in _SEEDS]
        for name in ("user-data.txt", "user-data.txt.i", "cloud-config.txt"):
            files += (self.root / _COPIES).glob(f"*/{name}")
        return [file for file in files if file.is_file()]

    def memories(self) -> list[Path]:
        """Return cloud-init's pickled memories of the seed; it makes a new one when missing."""
        return list((self.root / _COPIES).glob("*/obj.pkl"))


def public_part(key: Path) -> Path:
    """Return where ssh-keygen(1) puts the public part of an SSH key."""
    return key.with_name(key.name + ".pub")


def pending(file: Path) -> Path:
    """Return where a key or paper waits until all of them have come."""
    return file.with_name(file.name + PENDING)
