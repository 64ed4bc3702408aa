"""Tells whether this system can ask the firmware for a trial, before one is asked for in vain.

`reboot "0 tryboot"` is turned into a request to the firmware by Raspberry Pi's own kernel
(drivers/firmware/raspberrypi.c there). Debian's kernel (6.12) knows nothing of it: the firmware
would boot the default slot, and the trial would seem to have failed. Raspberry Pi's kernel is told
from others by /dev/vcio, which only it has.
"""

from pathlib import Path

from slot_boot.errors import RefusedError

_MODEL = "proc/device-tree/model"
_MAILBOX = "dev/vcio"


def check_tryboot(root: Path) -> None:
    """Raise RefusedError on a Raspberry Pi whose kernel cannot ask for a trial."""
    try:
        model = (root / _MODEL).read_text("ascii", "replace").rstrip("\0\n")
    except OSError:
        return  # no board, or one whose firmware is emulated
    if model.startswith("Raspberry Pi") and not (root / _MAILBOX).exists():
        raise RefusedError(
            f"{model}: this kernel cannot ask the firmware for a trial (no /dev/vcio): update from"
            " an image with Raspberry Pi's kernel (flavour raspios), or flash the card anew"
        )
