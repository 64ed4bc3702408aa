"""Updates a small card with RAUC in a guest with Debian 13, and logs every write of the card."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

from services.guest import Drive, Ran, run_in_guest
from services.guest_kernel import ROOT as PROJECT
from services.powercut import cut_out, sparse_copy
from services.powercut_card import BOOT, ROOT, System, digest, region
from services.small_card import make_small_card
from services.trixie import trixie_root

from provisioning.image.boot.partitions import read_partitions
from provisioning.image.bundle import BundleOrder, make_bundle
from provisioning.image.bundle_keys import BundleKeys, make_keys

COMPATIBLE = "simpul-node-test"
RUNNING = "1.1.0"


@dataclass(frozen=True, slots=True)
class Workshop:
    """A card that runs version 1.1.0, and what bundles are made with."""

    folder: Path
    base: Path
    newer: Path
    """The card image of version 1.2.0."""
    keys: BundleKeys

    @property
    def card(self) -> Path:
        """The card in the machine."""
        return self.folder / "card.img"

    @property
    def log(self) -> Path:
        """Every write to it."""
        return self.folder / "card.log"

    @property
    def exchange(self) -> Path:
        """What guest and machine share."""
        return self.folder / "exchange"


def open_workshop(folder: Path) -> Workshop:
    """Make cards and keys in `folder`."""
    for name in ("old", "new", "exchange"):
        (folder / name).mkdir()
    keys = make_keys(folder / "keys", dt.datetime.now(dt.UTC))
    workshop = Workshop(
        folder=folder,
        base=make_small_card(folder / "old", seed=1),
        newer=make_small_card(folder / "new", seed=2),
        keys=keys,
    )
    shutil.copy(keys.authority, workshop.exchange / "authority.pem")
    (workshop.exchange / "compatible").write_text(COMPATIBLE)
    (workshop.exchange / "version").write_text(RUNNING)
    return workshop


def bundle(
    workshop: Workshop,
    name: str,
    version: str,
    keys: BundleKeys | None = None,
    compatible: str = COMPATIBLE,
) -> Path:
    """Put a bundle of the newer card into the exchange."""
    return make_bundle(
        BundleOrder(
            image=workshop.newer,
            version=version,
            compatible=compatible,
            keys=keys or workshop.keys,
            output=workshop.exchange / name,
        )
    )


def run_update(workshop: Workshop, steps: str, timeout_s: float = 1500) -> Ran:
    """Run `steps` (functions of tests/guest/update) on a fresh copy of the card."""
    sparse_copy(workshop.base, workshop.card)
    command = f"set -eu\nset -- {PROJECT}\n. {PROJECT}/tests/guest/update\n{steps}"
    drive = Drive(workshop.card, workshop.log)
    return run_in_guest(
        command, workshop.exchange, timeout_s=timeout_s, drives=[drive], root=trixie_root()
    )


def good_systems(workshop: Workshop) -> dict[str, list[System]]:
    """Return what each slot may hold to be whole: slot A the old system, slot B the new one."""
    old, new = read_partitions(workshop.base), read_partitions(workshop.newer)
    boot = workshop.folder / "boot-b"
    cut_out(workshop.newer, region(new[BOOT["b"]]), boot)
    root_bytes = (workshop.folder / "new/root.erofs").stat().st_size
    return {
        "a": [
            System(
                boot=digest(workshop.base, old[BOOT["a"]], old[BOOT["a"]].size_bytes),
                root=digest(workshop.base, old[ROOT["a"]], old[ROOT["a"]].size_bytes),
                root_bytes=old[ROOT["a"]].size_bytes,
            )
        ],
        "b": [
            System(
                # The small card's boot B is its boot A with the other slot's words in place.
                boot=digest(workshop.newer, new[BOOT["b"]], new[BOOT["b"]].size_bytes),
                root=digest(workshop.newer, new[ROOT["a"]], root_bytes),
                root_bytes=root_bytes,
            )
        ],
    }
