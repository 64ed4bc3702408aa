"""The protocols that tests speak, beside labgrid's own; each bench has its drivers for them."""

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Look(NamedTuple):
    """What was seen of the lamp at one moment."""

    mono: float
    lit: bool


class CardProtocol(abc.ABC):
    """The node's card, in the hands of the bench while the node is off."""

    @abc.abstractmethod
    def flash(self, image: Path, seed: Mapping[str, bytes]) -> None:
        """Write `image`, and the files of `seed` to its boot-select partition."""


class ConsoleLogProtocol(abc.ABC):
    """Everything that the node said on its console since it was last switched on."""

    @abc.abstractmethod
    def lines(self) -> list[str]:
        """Return the lines so far, each with the seconds since the power came on."""


class HandsProtocol(abc.ABC):
    """A person at the box."""

    @abc.abstractmethod
    def node_chip(self) -> int:
        """Return N of the node's own /dev/gpiochipN that holds the header's lines."""

    @abc.abstractmethod
    def press(self, *, down: bool) -> None:
        """Hold the service button down, or let it go."""

    @abc.abstractmethod
    def open_box(self, *, opened: bool) -> None:
        """Open or close the box."""

    @abc.abstractmethod
    def watch_lamp(self, seconds: float) -> list[Look]:
        """Look at the lamp for so long, many times a second."""


class CameraProtocol:
    """The node's camera, where the bench has to bring it: active means it is there."""


class HeatProtocol(abc.ABC):
    """The temperature of the node's processor."""

    @abc.abstractmethod
    def heat(self, celsius: float) -> None:
        """Have the processor's sensor read so much from now on."""


class PhonesProtocol(abc.ABC):
    """Phones in reach of the hotspot."""

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Return the phones there are."""

    @abc.abstractmethod
    def uplink(self) -> str:
        """Return the node's interface behind which the phones find the internet; empty: its own."""

    @abc.abstractmethod
    def internet(self) -> str:
        """Return a URL of the internet side, which a phone should reach."""

    @abc.abstractmethod
    def join(self, phone: str, ssid: str) -> str:
        """Associate, take an address by DHCP, and return it. Raises TimeoutError."""

    @abc.abstractmethod
    def leave(self, phone: str) -> None:
        """Go out of reach."""

    @abc.abstractmethod
    def fetch(self, phone: str, url: str) -> str | None:
        """Return what `url` holds, as the phone sees it; None when it is not reached."""

    @abc.abstractmethod
    def connects(self, phone: str, host: str, port: int) -> bool:
        """Tell whether a TCP connection from the phone comes about."""


class UplinkProtocol(abc.ABC):
    """The node's way to the broker."""

    @abc.abstractmethod
    def set_up(self, *, up: bool) -> None:
        """Cut the uplink, or mend it."""
