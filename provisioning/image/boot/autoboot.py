"""Reads autoboot.txt as the Raspberry Pi's firmware does: which partition is booted.

Source: https://www.raspberrypi.com/documentation/computers/config_txt.html#autoboot-txt. At most
512 bytes; the filters [all], [none] and [tryboot]; later lines win; anything else is passed over.
"""

from dataclasses import dataclass

SIZE_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class Autoboot:
    """What autoboot.txt asks for under one state of the tryboot flag."""

    boot_partition: int = 0
    """0 is the first bootable FAT partition."""
    tryboot_a_b: bool = False
    """Under the flag, read config.txt of that partition instead of tryboot.txt."""


def parse_autoboot(text: bytes, *, tryboot: bool) -> Autoboot:
    """Return what `text` asks for; never fails, as the firmware must go on with what it has."""
    applies = True
    values: dict[str, int] = {}
    for raw in text[:SIZE_BYTES_MAX].split(b"\n"):
        line = raw.decode("ascii", "replace").strip()
        if line.startswith("[") and line.endswith("]"):
            applies = {"[all]": True, "[tryboot]": tryboot}.get(line, False)
            continue
        key, equals, value = line.partition("=")
        if applies and equals and value.strip().isdecimal() and value.strip().isascii():
            values[key.strip()] = int(value)
    return Autoboot(values.get("boot_partition", 0), values.get("tryboot_a_b") == 1)
