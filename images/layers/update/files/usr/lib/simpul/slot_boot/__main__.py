"""The command `slot-boot`: what RAUC, the trial and the boot's own check ask for."""

import argparse
import subprocess
import sys
from pathlib import Path

from slot_boot import steps
from slot_boot.boot_select import BootSelect, boot_select
from slot_boot.choice import PARTITION_OF, Choice
from slot_boot.errors import SlotError
from slot_boot.health import agent_pulse, wait_well
from slot_boot.own_words import give_own_words
from slot_boot.tryboot import check_tryboot

_DEVICES = Path("/dev/disk/by-partuuid")
_PARTITION = "53494d50-{:02x}"
_BOOT_SELECT = 1
_CMDLINE = Path("/proc/cmdline")
_SLOT_WORD = "simpul.slot="
_REBOOT = ["systemctl", "reboot", "--reboot-argument=0 tryboot"]


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status, with the reason on stderr when it is not 0."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except SlotError as error:
        sys.stderr.write(f"slot-boot: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slot-boot", description=__doc__)
    parser.add_argument("--devices", type=Path, default=_DEVICES, help="partitions by PARTUUID")
    parser.add_argument("--cmdline", type=Path, default=_CMDLINE, help="names the running slot")
    commands = parser.add_subparsers(dest="command", required=True)
    slots = sorted(PARTITION_OF)
    commands.add_parser("get-primary", help="RAUC: the slot to boot next")
    commands.add_parser("get-current", help="RAUC: the slot that runs")
    commands.add_parser("set-primary", help="RAUC: try a slot").add_argument("slot", choices=slots)
    commands.add_parser("get-state", help="RAUC: good or bad").add_argument("slot", choices=slots)
    state = commands.add_parser("set-state", help="RAUC: trust a slot or not")
    state.add_argument("slot", choices=slots)
    state.add_argument("state", choices=["good", "bad"])
    commands.add_parser("trial", help="reboot once into the slot that waits for it")
    commands.add_parser("settle", help="at boot: note a trial that came back to the old slot")
    commands.add_parser("on-trial", help="exit 0 when what runs is still to be confirmed")
    confirm = commands.add_parser("confirm", help="commit what runs once the agent is well")
    confirm.add_argument("--soak-seconds", type=float, default=60.0, help="without a restart")
    confirm.add_argument("--patience-seconds", type=float, default=480.0, help="then it failed")
    return parser


def _run(options: argparse.Namespace) -> int:
    current = _current(options.cmdline)
    if options.command == "confirm":
        return _confirm(options, current)
    if options.command == "get-current":
        _say(current)
        return 0
    with boot_select(_partition(options, _BOOT_SELECT)) as place:
        choice = place.choice()
        if options.command == "get-primary":
            _say(steps.primary(choice))
        elif options.command == "get-state":
            _say("good" if steps.is_good(choice, options.slot) else "bad")
        elif options.command == "on-trial":
            return 0 if steps.on_trial(choice, current) else 1
        else:
            _change(place, choice, options, current)
    if options.command == "trial":
        return subprocess.run(_REBOOT, check=False).returncode
    return 0


def _confirm(options: argparse.Namespace, current: str) -> int:
    wrong = wait_well(
        agent_pulse,
        soak_seconds=options.soak_seconds,
        patience_seconds=options.patience_seconds,
    )
    if wrong:
        raise SlotError(f"slot {current} is not confirmed: {wrong}")
    with boot_select(_partition(options, _BOOT_SELECT)) as place:
        place.write(steps.mark_good(place.choice(), current, current))
    _say(f"slot {current} is confirmed: the agent is well")
    return 0


def _change(place: BootSelect, choice: Choice, options: argparse.Namespace, current: str) -> None:
    wanted = _next(choice, options, current)
    if options.command == "settle" and wanted != choice:
        _say(f"the trial of slot {choice.trial} failed: slot {current} runs again")
    if options.command == "set-primary" and options.slot != current:
        give_own_words(_partition(options, PARTITION_OF[options.slot]), options.slot)
    if wanted != choice:
        place.write(wanted)


def _partition(options: argparse.Namespace, number: int) -> Path:
    devices: Path = options.devices
    return devices / _PARTITION.format(number)


def _next(choice: Choice, options: argparse.Namespace, current: str) -> Choice:
    if options.command == "set-primary":
        return steps.set_primary(choice, options.slot, current)
    if options.command == "settle":
        return steps.settle(choice, current)
    if options.command == "trial":
        check_tryboot(Path("/"))
        return steps.start_trial(choice)
    mark = steps.mark_good if options.state == "good" else steps.mark_bad
    return mark(choice, options.slot, current)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _current(cmdline: Path) -> str:
    """Return the slot that the kernel's command line names. Raises SlotError."""
    try:
        words = cmdline.read_text("ascii", "replace").split()
    except OSError as error:
        raise SlotError(f"{cmdline}: cannot be read: {error.strerror}") from error
    named = [word.removeprefix(_SLOT_WORD) for word in words if word.startswith(_SLOT_WORD)]
    if not named or named[-1] not in PARTITION_OF:
        raise SlotError(f"{cmdline}: {_SLOT_WORD} does not name slot a or b")
    return named[-1]
