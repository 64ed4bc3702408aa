"""Inside the guest: installs, takes back and goes back, on a disk whose writes are logged.

Started by tests/node/install/test_powercut.py as `install_steps.py ROOT BUNDLE BAD [no-fsync]`.
"""

import os
import sys
import time
from pathlib import Path

from node.install.machine import Machine, Wishes
from node.install.places import Places
from node.install.service import NoService, Pulse
from node.install.steps import install, rollback

ALONE = Wishes(confirm_within_s=0, soak_s=0, patience_s=0.1)


class Failing(NoService):
    """A service that never runs."""

    def exists(self) -> bool:
        return True

    def pulse(self) -> Pulse:
        return Pulse(active=False, pid=0, restarts=0, silent_s=None, words="failed")


def settle_disk() -> None:
    """Let the kernel write as it does by itself: the journal every 5 s, data later."""
    time.sleep(7)


def main() -> None:
    root, good, bad = map(Path, sys.argv[1:4])
    if sys.argv[4:] == ["no-fsync"]:
        os.fsync = lambda _: None
    places = Places(root)
    done = install(Machine(places, NoService()), good, ALONE)
    assert done.status == "installed", done
    settle_disk()
    done = install(Machine(places, Failing()), bad, ALONE)
    assert done.status == "reverted", done
    done = rollback(Machine(places, NoService()), ALONE)
    assert done.status == "installed", done


main()
