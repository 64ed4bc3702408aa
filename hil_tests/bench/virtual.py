"""The virtual bench: our card image in QEMU, with its power, card, console and uplink in reach."""

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.driver.exception import ExecutionError
from labgrid.protocol import CommandProtocol, PowerProtocol

from hil_tests.bench.lock import cache_folder
from hil_tests.bench.protocols import (
    CardProtocol,
    ConsoleLogProtocol,
    UplinkProtocol,
)
from provisioning.image.boot.birth import write_seed
from provisioning.image.boot.board import Board
from provisioning.image.boot.errors import CardError
from provisioning.image.boot.qemu import BROKER_ADDRESS, Machine
from provisioning.image.boot.tasks import card_copy

SSH_PORT = 22


@target_factory.reg_driver
@attr.s(eq=False)
class VirtualBoard(Driver, PowerProtocol, CardProtocol, ConsoleLogProtocol):
    """An emulated machine with a card of its own; QEMU ends with this driver."""

    memory_mib: int = attr.ib(default=1024, validator=attr.validators.instance_of(int))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.broker = ""
        """host:port on this machine that the node finds at BROKER_ADDRESS, at the same port."""
        self.write_log: Path | None = None
        """Every write to the card is noted here from the next start on."""
        self.clock = ""
        """What the board's own clock says at the next start, as 1971-01-01; empty: the truth."""
        self._board: Board | None = None

    @property
    def card(self) -> Path:
        """The card's file."""
        return cache_folder() / f"{self.target.name}.img"

    def on_deactivate(self) -> None:
        """Switch off, so that no machine outlives the run."""
        self._stop()

    @Driver.check_active
    def on(self) -> None:
        """Start the machine; the node's SSH gets a port of this machine's loopback."""
        port = _free_port()
        self.target.get_resource("NetworkService", name="node").port = port
        machine = Machine(
            memory_mib=self.memory_mib,
            broker=self.broker,
            forwards=((port, SSH_PORT),),
            write_log=self.write_log,
            clock=self.clock,
        )
        self._board = Board(self.card, machine)
        self._board.__enter__()

    @Driver.check_active
    def off(self) -> None:
        """Pull the plug."""
        self._stop()

    @Driver.check_active
    def cycle(self) -> None:
        """Pull the plug and put it back."""
        self._stop()
        self.on()

    @Driver.check_active
    def flash(self, image: Path, seed: Mapping[str, bytes]) -> None:
        """Make a new card from `image`. Raises ExecutionError."""
        self.card.unlink(missing_ok=True)
        try:
            card_copy(image, self.card)
            write_seed(self.card, seed)
        except CardError as error:
            raise ExecutionError(str(error)) from error

    def lines(self) -> list[str]:
        """Return what the console said."""
        said = [] if self._board is None else self._board.lines
        return [f"{line.boot} {line.at_s:8.2f} {line.text}" for line in said]

    def _stop(self) -> None:
        if self._board is not None:
            self._board.cut_power()


@target_factory.reg_driver
@attr.s(eq=False)
class NftUplink(Driver, UplinkProtocol):
    """Drops every packet between node and broker, in the node's kernel; SSH stays."""

    bindings = {"command": CommandProtocol}  # noqa: RUF012 - labgrid's way to say it

    @Driver.check_active
    def set_up(self, *, up: bool) -> None:
        """Cut or mend."""
        with contextlib.suppress(ExecutionError):
            self.command.run_check("nft delete table ip bench")
        if not up:
            hooks = "; ".join(
                f"add chain ip bench {hook} {{ type filter hook {hook} priority 0; }}; "
                f"add rule ip bench {hook} ip {way} {BROKER_ADDRESS} drop"
                for hook, way in (("output", "daddr"), ("input", "saddr"))
            )
            self.command.run_check(f"nft 'add table ip bench; {hooks}'")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
