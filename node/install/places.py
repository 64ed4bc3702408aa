"""Where releases live on a node; all paths hang off one root, so that images are filled too."""

from pathlib import Path

from msgspec import Struct


class Places(Struct, frozen=True):
    """The paths of one system, whose root is `root`."""

    root: Path = Path("/")

    @property
    def home(self) -> Path:
        """Everything of ours that is installed."""
        return self.root / "opt/simpul"

    @property
    def releases(self) -> Path:
        """One directory for each release, by its hash."""
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """Symlink to the release that runs."""
        return self.home / "current"

    @property
    def confirmed(self) -> Path:
        """Symlink to the release that proved itself; it does the reverting."""
        return self.home / "confirmed"

    @property
    def incoming(self) -> Path:
        """Bundles under way."""
        return self.home / "incoming"

    @property
    def state(self) -> Path:
        """The installer's record."""
        return self.home / "install.json"

    @property
    def lock(self) -> Path:
        """Held while the installer runs."""
        return self.home / ".install.lock"

    @property
    def trust(self) -> Path:
        """Whose signatures count."""
        return self.root / "etc/simpul/release-keys.toml"

    @property
    def settings(self) -> Path:
        """The node's settings, which a new release must be able to read."""
        return self.root / "etc/simpul/node.toml"
