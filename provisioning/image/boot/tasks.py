"""The task `simpul image boot`: starts a card image in QEMU and shows how long each phase takes."""

import os
import subprocess
import tempfile
from pathlib import Path

from fabric import task
from invoke import Context
from rich.console import Console

from provisioning.image.boot.birth import await_birth, write_seed
from provisioning.image.boot.board import Board, Line
from provisioning.image.boot.errors import CardError, MachineError
from provisioning.image.boot.qemu import Machine


@task(
    positional=["image"],
    help={
        "image": "Card image (.img), raw.",
        "machine": "virt (fast) or raspi3b (a Pi's own controllers, slow).",
        "broker": "host:port of a broker; the guest reaches it at 10.0.2.100, the same port.",
        "birth": "Give it settings and a broker of its own; stop once the node's birth is heard.",
        "seed": "Folder whose files (user-data, meta-data ...) are put on the card first.",
        "until": "Stop once the console shows this (a regular expression); else run until it ends.",
        "seconds": "Give up after so many seconds.",
        "keep": "Write to IMAGE itself instead of to a copy.",
    },
)
def boot(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    image: str,
    machine: str = "virt",
    broker: str = "",
    birth: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    seed: str = "",
    until: str = "",
    seconds: float = 900,
    keep: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Boot a card image in QEMU, as the firmware would choose its slot."""
    console = Console()
    if machine not in {"virt", "raspi3b"}:
        raise MachineError(f"machine {machine!r} is not known: give virt or raspi3b")

    def show(line: Line) -> None:
        console.print(_shown(line), markup=False, highlight=False)

    with tempfile.TemporaryDirectory(prefix="simpul-card-") as name:
        folder = Path(name)
        card = Path(image) if keep else card_copy(Path(image), folder / "card.img")
        if seed:
            files = {file.name: file.read_bytes() for file in sorted(Path(seed).iterdir())}
            write_seed(card, files)
        emulated = Machine(name=machine, broker=broker)
        if birth:
            born, board = await_birth(card, emulated, folder, timeout_s=seconds, listen=show)
            console.print(f"birth of {born.node}, agent {born.agent_version}: {born.at_s:.1f} s")
        else:
            board = Board(card, emulated, listen=show)
            with board:
                if until:
                    board.wait_for(until, timeout_s=seconds)
                else:
                    board.wait_off(seconds)
    for number, seen in enumerate(board.boots):
        times = ", ".join(f"{phase.name} {phase.at_s:.1f} s" for phase in seen.phases)
        console.print(f"boot {number}: partition {seen.decision.partition.number}: {times}")


def card_copy(image: Path, to: Path) -> Path:
    """Copy `image` without its holes, grown to a power of two as an SD card must be.

    Raises CardError when it cannot be copied.
    """
    done = subprocess.run(
        ["cp", "--sparse=always", "--reflink=auto", str(image), str(to)],  # noqa: S607 - coreutils
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CardError(f"{image}: cannot be copied: {done.stderr.strip()}")
    os.truncate(to, 1 << (to.stat().st_size - 1).bit_length())
    return to


def _shown(line: Line) -> str:
    return f"{line.boot} {line.at_s:7.2f}  {line.text}"
