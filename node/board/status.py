"""Decides which of a node's conditions the lamp shows, and when it is lit for it. Pure."""

from dataclasses import dataclass
from enum import Enum

BOOTING_SECONDS_MAX = 90.0
"""After this long without a first connection a node is no longer booting: it has no uplink."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Times in seconds for which the lamp is lit, dark, lit, ... and then from the start."""

    steps_seconds: tuple[float, ...]

    def at(self, elapsed_seconds: float) -> tuple[bool, float]:
        """Return whether the lamp is lit after `elapsed_seconds`, and for how many more seconds."""
        rest = elapsed_seconds % sum(self.steps_seconds)
        for index, step_seconds in enumerate(self.steps_seconds):
            if rest < step_seconds:
                return index % 2 == 0, step_seconds - rest
            rest -= step_seconds
        return True, self.steps_seconds[0]  # the sum was rounded: a new turn begins


class Status(Enum):
    """What the lamp can say, by name, and how.

    None is steady: a program that hangs leaves a steady lamp, lit or dark, and must not look well.
    """

    IDENTIFY = Pattern((0.1, 0.1))
    BOOTING = Pattern((0.5, 0.5))
    NOT_PROVISIONED = Pattern((0.1, 1.9))
    NO_UPLINK = Pattern((0.2, 0.3, 0.2, 1.3))
    NO_CAMERA = Pattern((0.2, 0.3, 0.2, 0.3, 0.2, 1.3))
    WORKING = Pattern((2.9, 0.1))

    @property
    def words(self) -> str:
        """Its name as it is written in logs and commands, such as no-uplink."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Condition:
    """What the agent knows of itself."""

    connected: bool
    """Whether there is a connection to a broker now."""
    ever_connected: bool
    """Whether there has been one since the agent started."""
    camera_fails: bool
    """Whether there is a camera and it does not deliver."""


def status_of(condition: Condition, *, since_start_seconds: float, identify: bool) -> Status:
    """Return what to show: what a person asked for first, then what has to be mended first."""
    if identify:
        return Status.IDENTIFY
    if not condition.ever_connected and since_start_seconds < BOOTING_SECONDS_MAX:
        return Status.BOOTING
    if not condition.connected:
        return Status.NO_UPLINK
    return Status.NO_CAMERA if condition.camera_fails else Status.WORKING
