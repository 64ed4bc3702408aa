"""The way of a node through its states: off, flashed, booted, provisioned, released."""

import enum
import shlex
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import attr
from labgrid import step, target_factory
from labgrid.driver import Driver
from labgrid.strategy import Strategy, StrategyError

from hil_tests.bench.protocols import CardProtocol, ConsoleLogProtocol

_BOOT_SECONDS = 600.0
_COMMAND_SECONDS = 300.0
_LINES_TOLD = 12
_FAILURES_MAX = 2  # in a row: every further test would wait for nothing


class Status(enum.Enum):
    """What is known of the node."""

    UNKNOWN = "unknown"
    OFF = "off"
    FLASHED = "flashed"
    BOOTED = "booted"
    PROVISIONED = "provisioned"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Plan:
    """What this run puts on the node."""

    image: Path
    seed: Mapping[str, bytes]
    private_key: Path
    helpers: tuple[Driver, ...]
    """Drivers that stand by before the node is provisioned: hands, phones."""
    files: Callable[[], Mapping[str, bytes]]
    """Path on the node -> content, asked for once the helpers stand by."""
    commands: tuple[str, ...]
    """Run after the files, as root."""
    await_birth: Callable[[float], None]
    """Returns once the node was born at the broker; given seconds, raises TimeoutError."""


@target_factory.reg_driver
@attr.s(eq=False)
class NodeStrategy(Strategy):
    """Brings the node from each state to the next; going back means to switch it off."""

    bindings = {  # noqa: RUF012 - labgrid's way to say it
        "power": "PowerProtocol",
        "card": CardProtocol,
        "console": ConsoleLogProtocol,
        "shell": "SSHDriver",
    }

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.status = Status.UNKNOWN
        self.plan: Plan | None = None
        self.seconds: dict[str, float] = {}
        self.failures_count = 0
        self._steps: Mapping[Status, Callable[[], None]] = {
            Status.OFF: self._off,
            Status.FLASHED: self._flash,
            Status.BOOTED: self._boot,
            Status.PROVISIONED: self._provision,
            Status.RELEASED: self._release,
        }

    @step(args=["status"])
    def transition(self, status: Status | str) -> None:
        """Bring the node to `status`, by way of the states before it. Raises StrategyError."""
        wanted = Status(status)
        if wanted is self.status or (wanted, self.status) == (Status.PROVISIONED, Status.RELEASED):
            return
        if self.failures_count >= _FAILURES_MAX and wanted is not Status.OFF:
            raise StrategyError(f"the node failed {self.failures_count} times; see the first one")
        with ExitStack() as undo:
            undo.callback(self._note_failure)
            self._pass_to(wanted)
            undo.pop_all()
        self.failures_count = 0

    def _note_failure(self) -> None:
        self.failures_count += 1
        self.status = Status.UNKNOWN

    def _pass_to(self, wanted: Status) -> None:
        order = list(Status)
        if order.index(wanted) < order.index(self.status) or self.status is Status.UNKNOWN:
            self._off()
        for each in order[order.index(self.status) + 1 : order.index(wanted) + 1]:
            start = time.monotonic()
            self._steps[each]()
            self.seconds[each.value] = round(time.monotonic() - start, 1)
            self.status = each

    def lost_power(self) -> None:
        """Take note that the node went off without being asked to; its card stays as it is."""
        self._let_go()
        self.status = Status.FLASHED

    def started_anew(self) -> None:
        """Go on with a node that started anew by itself; it has to be up again."""
        self._let_go()
        self._enter(self._planned())
        self.status = Status.BOOTED

    def _off(self) -> None:
        self._let_go()
        self.target.activate(self.power)
        self.power.off()
        self.status = Status.OFF

    def _let_go(self) -> None:
        self.target.deactivate(self.shell)

    def _flash(self) -> None:
        plan = self._planned()
        self.target.activate(self.card)
        self.card.flash(plan.image, plan.seed)

    def _boot(self) -> None:
        plan = self._planned()
        self.target.activate(self.console)
        self.power.on()
        self._enter(plan)

    def _enter(self, plan: Plan) -> None:
        # Asked of the node itself: a console loses lines while the system starts.
        service = self.shell.networkservice
        if not _ssh_within(_BOOT_SECONDS, service.address, service.port or 22):
            said = "\n".join(self.console.lines()[-_LINES_TOLD:])
            raise StrategyError(f"no SSH within {_BOOT_SECONDS:g} s; the console's end:\n{said}")
        self.shell.keyfile = str(plan.private_key)
        self.target.activate(self.shell)
        # Its status says whether all is well, which is for the tests to judge.
        self.shell.run("systemctl is-system-running --wait", timeout=_BOOT_SECONDS)

    def _provision(self) -> None:
        plan = self._planned()
        for helper in plan.helpers:
            self.target.activate(helper)
        for path, content in plan.files().items():
            folder, quoted = shlex.quote(str(Path(path).parent)), shlex.quote(path)
            text = shlex.quote(content.decode())
            self.shell.run_check(
                f"mkdir -p {folder} && printf %s {text} > {quoted}", timeout=_COMMAND_SECONDS
            )
        for command in plan.commands:
            self.shell.run_check(command, timeout=_COMMAND_SECONDS)
        plan.await_birth(_BOOT_SECONDS)

    def _release(self) -> None:
        link = self.shell.run_check("readlink -m /opt/simpul/current")[0]
        if "/releases/" not in link:
            raise StrategyError(f"the agent does not run from a release: {link}")

    def _planned(self) -> Plan:
        if self.plan is None:
            raise StrategyError("nothing was planned for this node; set `plan` first")
        return self.plan


def _ssh_within(seconds: float, address: str, port: int) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection((address, port), timeout=10) as probe:
                probe.settimeout(20)
                if probe.recv(4) == b"SSH-":
                    return True
        except OSError:
            pass
        time.sleep(1)  # sshd does not say when it listens
    return False
