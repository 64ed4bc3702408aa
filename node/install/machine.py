"""What the installer works on: places, the agent's service, and the clock that runs since boot."""

import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

from node.install.places import Places
from node.install.service import NoService, Service, Systemd
from node.install.state import Release

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Machine(Struct, frozen=True):
    """One system, running or not."""

    places: Places
    service: Service

    def boot(self) -> str:
        """Return the id of the running kernel's boot (random(4))."""
        return _BOOT_ID.read_text().strip()

    def now_s(self) -> float:
        """Return CLOCK_MONOTONIC: wall time may be wrong, and may jump."""
        return time.monotonic()


class Wishes(Struct, frozen=True, kw_only=True):
    """How a release is to prove itself; times in seconds.

    With `confirm_within_s` 0 the node's own judgement is enough; else the controller has so long
    to confirm.
    """

    confirm_within_s: float = 600.0
    soak_s: float = 20.0
    patience_s: float = 60.0


class Outcome(Struct, frozen=True, kw_only=True):
    """How an order to the installer ended; `release` is the one that was spoken of."""

    status: Literal["current", "installed", "trial", "reverted", "rolled-back", "idle"]
    release: Release = ""
    changed: bool = False
    confirmed: Release = ""
    deadline_seconds: float = 0.0
    message: str = ""


class Standing(Outcome, frozen=True, kw_only=True):
    """How a node stands, for those who decide from afar.

    `active`: the agent's service runs; `restarts`: how often it had to be started again by itself;
    `delivers`: its last run brought something to a broker; `frames` and `beacons`: its camera and
    its access point ran when it last measured them. Each is None where it cannot be told.
    `busy`: an installer is at work or has to finish what one left half done, so all of this will
    change. `unfinished`: it is the latter, and nobody is at work; the next order, whichever it is,
    settles that first. `platform` and `python` say which bundles are for this node. `mark` is
    another once a release was tried: so taken back twice is told from taken back once.
    """

    active: bool | None = None
    restarts: int | None = None
    delivers: bool | None = None
    frames: bool | None = None
    beacons: bool | None = None
    platform: str = ""
    python: str = ""
    counter: int = 0
    busy: bool = False
    unfinished: bool = False
    mark: str = ""


def machine_at(root: Path) -> Machine:
    """Return the machine whose files are below `root`.

    Only that at / has a service, once the agent has settings and a unit.
    """
    places, service = Places(root), Systemd()
    running = root == Path("/") and places.settings.exists() and service.exists()
    return Machine(places, service if running else NoService())
