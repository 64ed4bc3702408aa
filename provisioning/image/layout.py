"""The card's layout: partitions, names and numbers that the image, the boot and updates agree on.

MBR, as the boot ROM of a Pi 3 reads nothing else: boot-select, boot A, boot B, and an extended
partition with root A, root B and data. Slot B is empty on a new card: no system is better than one
that was never tried, and a card is written in half the time.
"""

DISK_SIGNATURE = 0x53494D50  # "SIMP"; PARTUUIDs are 53494d50-01 and so on
BOOT_SELECT_MIB = 16
BOOT_MIB = 128
ROOT_MIB = 896
DATA_MIB = 64
ALIGN_MIB = 1
ROOT_PARTITION = {"a": 5, "b": 6}
DATA_PARTITION = 7
DATA_UUID = "53494d50-6461-7461-8000-000000000001"
ROOT_UUID = "53494d50-726f-6f74-8000-000000000001"
VERITY_UUID = "53494d50-7672-7479-8000-000000000001"
VERITY_SALT = "53494d50"  # public by nature; fixed, so that the same root has the same hash
CMDLINE_BYTES_MAX = 512
DATA_HASH_SEED = "53494d50-7365-6564-8000-000000000001"
AUTOBOOT_BYTES = 512
AUTOBOOT = (
    (
        "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
        "[none]\nsimpul_good=a\nsimpul_trial=\nsimpul_started=0\n"
    )
    .encode("ascii")
    .ljust(AUTOBOOT_BYTES, b"\n")
)
"""Slot A is booted; exactly one sector, which updates overwrite in place."""


def partuuid(number: int) -> str:
    """Return the PARTUUID of a partition."""
    return f"{DISK_SIGNATURE:08x}-{number:02x}"


def cmdline(slot: str, console: str, panic_seconds: str, root_hash: str) -> str:
    """Return the kernel's arguments for one slot; `root_hash` is HASH@OFFSET of its hash tree."""
    return (
        f"root=PARTUUID={partuuid(ROOT_PARTITION[slot])} rootfstype=erofs ro rootwait"
        f" simpul.slot={slot} simpul.verity={root_hash}"
        # eth0 is the wire on every board, as settings and people call it.
        f" panic={panic_seconds} fsck.mode=skip net.ifnames=0 {console}\n"
    )


def genimage_config() -> str:
    """Return genimage's description of the card (genimage 16)."""
    parts = [
        ("select", "0xC", "select.vfat", BOOT_SELECT_MIB, True),
        ("boot_a", "0xC", "boot-a.vfat", BOOT_MIB, False),
        ("boot_b", "0xC", "", BOOT_MIB, False),
        ("root_a", "0x83", "root.erofs", ROOT_MIB, False),
        ("root_b", "0x83", "", ROOT_MIB, False),
        ("data", "0x83", "data.ext4", DATA_MIB, False),
    ]
    lines = ["image card.img {", "    hdimage {", '        partition-table-type = "mbr"']
    lines += [f"        disk-signature = 0x{DISK_SIGNATURE:08x}", "        align = 1M"]
    lines += ["        extended-partition = 4", "    }"]
    for name, kind, image, size_mib, bootable in parts:
        lines += [f"    partition {name} {{", f"        partition-type = {kind}"]
        if image:
            lines.append(f'        image = "{image}"')
        if bootable:
            lines.append("        bootable = true")
        lines += [f"        size = {size_mib}M", "    }"]
    return "\n".join([*lines, "}", ""])
