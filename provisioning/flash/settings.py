"""Reads station.toml: which USB port is which slot, and what beeps and shines."""

import math
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.flash.device import Device
from provisioning.flash.errors import StationError
from provisioning.flash.guards import SIZE_MAX_BYTES

STATION_FILE = Path("station.toml")
_GIB = 2**30


class StationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a flashing station.

    `slots`: number of the slot -> its port, as `simpul cards` shows it. `lamp`: a LED below
    /sys/class/leds that shines while cards are written; empty for none.
    """

    slots: dict[str, str] = {}
    lamp: str = ""
    size_max_gib: float = SIZE_MAX_BYTES / _GIB

    def slot_of(self, device: Device) -> str:
        """Return the slot that `device` is in; its port, when no slot is pinned there."""
        return next((slot for slot, port in self.slots.items() if port == device.port), device.port)

    def is_pinned(self, device: Device) -> bool:
        """Tell whether `device` is in one of the pinned slots."""
        return device.port in self.slots.values()


def read_settings(file: Path, *, required: bool = False) -> StationSettings:
    """Return the settings in `file`, the defaults when it is missing. Raises StationError."""
    try:
        text = file.read_text(encoding="utf-8")
        settings = msgspec.convert(tomllib.loads(text), StationSettings)
    except FileNotFoundError as error:
        if required:
            raise StationError(
                f"{file}: no such file; pin the slots there, see docs/how-to/flash-cards.md"
            ) from error
        return StationSettings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StationError(f"{file}: {error}") from error
    except msgspec.ValidationError as error:
        raise StationError(f"{file}: {error}") from error
    if not (math.isfinite(settings.size_max_gib) and settings.size_max_gib > 0):
        raise StationError(
            f"{file}: size_max_gib = {settings.size_max_gib}: no size of a card; "
            f"give it in GiB, such as {SIZE_MAX_BYTES // _GIB}"
        )
    ports = list(settings.slots.values())
    if twice := next((port for port in ports if ports.count(port) > 1), ""):
        raise StationError(f"{file}: slots: {twice} stands twice; one port is one slot")
    return settings
