"""Reads and writes autoboot.txt: which slot is booted, which one is tried, which ones are good.

The firmware reads the sections [all] and [tryboot] and passes over [none]
(https://www.raspberrypi.com/documentation/computers/config_txt.html#autoboot-txt), so our own
state stands in [none]: selection and state are one sector, and a power cut leaves the old or the
new of both.
"""

from dataclasses import dataclass

from slot_boot.errors import ChoiceError

SIZE_BYTES = 512
PARTITION_OF = {"a": 2, "b": 3}
SLOT_OF = {str(number): slot for slot, number in PARTITION_OF.items()}
_OTHER = {"a": "b", "b": "a"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the boot-select sector says."""

    default: str = "a"
    """The slot that is booted when nothing else is asked for."""
    good: frozenset[str] = frozenset({"a"})
    """Slots that hold a complete system that has not failed."""
    trial: str = ""
    """The slot that waits for its first boot; empty when none does."""
    started: bool = False
    """The trial's reboot has been asked for: not yet confirmed after the next boot, it failed."""


def other(slot: str) -> str:
    """Return the slot beside `slot`."""
    return _OTHER[slot]


def encode(choice: Choice) -> bytes:
    """Return autoboot.txt, exactly one sector."""
    text = (
        "[all]\n"
        "tryboot_a_b=1\n"
        f"boot_partition={PARTITION_OF[choice.default]}\n"
        "[tryboot]\n"
        f"boot_partition={PARTITION_OF[other(choice.default)]}\n"
        "[none]\n"
        f"simpul_good={''.join(sorted(choice.good))}\n"
        f"simpul_trial={choice.trial}\n"
        f"simpul_started={int(choice.started)}\n"
    )
    return text.encode("ascii").ljust(SIZE_BYTES, b"\n")


def decode(sector: bytes) -> Choice:
    """Return what `sector` says; our own lines may be missing. Raises ChoiceError."""
    sections = _sections(sector)
    default = SLOT_OF.get(sections.get("all", {}).get("boot_partition", ""))
    if default is None:
        raise ChoiceError("autoboot.txt: [all] boot_partition is not 2 or 3; flash the card anew")
    ours = sections.get("none", {})
    good = frozenset(ours.get("simpul_good", default))
    trial = ours.get("simpul_trial", "")
    if not good <= set(PARTITION_OF) or trial not in {"", *PARTITION_OF}:
        raise ChoiceError("autoboot.txt: [none] names a slot that is not a or b")
    return Choice(default, good, trial, ours.get("simpul_started") == "1")


def _sections(sector: bytes) -> dict[str, dict[str, str]]:
    try:
        text = sector.decode("ascii")
    except UnicodeDecodeError as error:
        raise ChoiceError("autoboot.txt: not plain text; flash the card anew") from error
    found: dict[str, dict[str, str]] = {}
    section = found.setdefault("all", {})
    for line in text.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[] "), {})
            continue
        key, equals, value = line.partition("=")
        if equals:
            section[key.strip()] = value.strip()
    return found
