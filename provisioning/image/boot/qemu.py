"""Words the command that starts QEMU for one boot; pure."""

import sys
from dataclasses import dataclass
from pathlib import Path

from provisioning.image.boot.firmware import BootFiles

BROKER_ADDRESS = "10.0.2.100"
"""Where the guest finds the broker that `Machine.broker` names, at the same port."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated machine."""

    name: str = "virt"
    """`virt`, fast, or `raspi3b`, with a Pi's own controllers."""
    memory_mib: int = 1024
    broker: str = ""
    """host:port that the guest may reach at 10.0.2.100:port; the host's loopback is 10.0.2.2."""
    forwards: tuple[tuple[int, int], ...] = ()
    """Pairs of host port (on loopback) and guest port."""
    write_log: Path | None = None
    """Every write and flush of the card goes here, in dm-log-writes' form."""
    clock: str = ""
    """What the board's clock says when it starts, as `-rtc base=` takes it; empty: the truth."""

    @property
    def dtb_name(self) -> str:
        """The device tree the firmware would load; empty when QEMU brings its own."""
        return "bcm2837-rpi-3-b.dtb" if self.name == "raspi3b" else ""


def qemu_command(machine: Machine, image: Path, files: BootFiles) -> list[str]:
    """Return QEMU's arguments; the serial console is on standard input and output."""
    command = [
        *("qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-M", machine.name, "-accel", "tcg,thread=multi", "-no-reboot"),
        *("-serial", "stdio", "-monitor", "none", "-kernel", str(files.kernel)),
        *("-append", f"{files.cmdline} {_WORDS[machine.name]}"),
        *("-netdev", _network(machine), *_card(machine, image)),
    ]
    if machine.clock:
        command += ["-rtc", f"base={machine.clock}"]
    if files.initrd is not None:
        command += ["-initrd", str(files.initrd)]
    if files.dtb is not None:
        command += ["-dtb", str(files.dtb)]
    if machine.name == "raspi3b":
        return [*command, "-device", "usb-net,netdev=net"]
    command += ["-cpu", "cortex-a72", "-smp", "2", "-m", str(machine.memory_mib)]
    command += ["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"]
    return [*command, "-device", "i6300esb", "-action", "watchdog=reset"]


# The card's own cmdline.txt names the console of a board. Its watchdog's 14 s are the most that a
# Pi's can wait; an emulated board on a busy machine needs longer, and for its devices too
# (kernel-command-line(7)).
_PATIENT = "systemd.default_device_timeout_sec=900"
_WORDS = {
    "virt": f"console=ttyAMA0 systemd.watchdog_sec=90 {_PATIENT}",
    "raspi3b": f"console=ttyAMA0,115200 systemd.watchdog_sec=off {_PATIENT}",
}


def _card(machine: Machine, image: Path) -> list[str]:
    file = f"driver=file,node-name=file,filename={_escape(image)}"
    card = ["-blockdev", file]
    if machine.write_log is None:
        card += ["-blockdev", "driver=raw,node-name=card,file=file"]
    else:
        log = f"driver=file,node-name=log,filename={_escape(machine.write_log)}"
        append = "on" if machine.write_log.stat().st_size else "off"
        card += ["-blockdev", log, "-blockdev"]
        card += [f"driver=blklogwrites,node-name=card,file=file,log=log,log-append={append}"]
    device = "sd-card" if machine.name == "raspi3b" else "virtio-blk-pci"
    return [*card, "-device", f"{device},drive=card"]


def _network(machine: Machine) -> str:
    words = ["user,id=net"]
    words += [f"hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in machine.forwards]
    if machine.broker:
        host, _, port = machine.broker.rpartition(":")
        relay = f"{sys.executable} -m {__package__}.relay {host} {port}"
        words.append(f"guestfwd=tcp:{BROKER_ADDRESS}:{port}-cmd:{_escape(relay)}")
    return ",".join(words)


def _escape(value: object) -> str:
    return str(value).replace(",", ",,")
