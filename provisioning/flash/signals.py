"""Tells a technician who looks elsewhere: beeps of the terminal, and a lamp where there is one."""

import sys
from pathlib import Path

from provisioning.flash.progress import Verdict

_LEDS = Path("/sys/class/leds")


def beep(verdict: Verdict) -> None:
    """Beep once for a good card and three times for another (the terminal's bell)."""
    sys.stderr.write("\a" if verdict == "verified" else "\a\a\a")
    sys.stderr.flush()


def shine(lamp: str, *, on: bool, leds: Path = _LEDS) -> None:
    """Switch a LED of /sys/class/leds; a lamp that is not there stays dark."""
    if not lamp:
        return
    try:
        (leds / lamp / "brightness").write_text("1" if on else "0")
    except OSError:
        return  # it only tells what the screen says too
