"""What is asked of a build, and what comes of it."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

PROJECT = Path(__file__).parents[2]


class Order(Struct, frozen=True, kw_only=True):
    """What is to be built, and with what."""

    flavour: str = "debian"
    variant: str = "node"
    version: str = "0.0.0"
    output: Path
    images: Path = PROJECT / "images"
    cache: Path
    values: Mapping[str, str] = {}
    mirrors: Mapping[str, str] = {}
    keyrings: Mapping[str, str] = {}
    address: str = "https://images.invalid"
    """Where the compressed image will lie, for rpi-imager."""

    @property
    def name(self) -> str:
        """The image's file name, without suffix."""
        return f"simpul-{self.flavour}-{self.variant}-{self.version}"

    @property
    def title(self) -> str:
        """What people read."""
        return f"Simpul {self.version} ({self.flavour}, {self.variant})"


class Made(Struct, frozen=True, kw_only=True):
    """A raw image that has just been made."""

    image: Path
    root_tar: Path
    root_bytes: int
    image_id: str
    agent_release: str
