"""One run of the suite on one bench: its broker, its keys, its node, and what is kept of it."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from labgrid import Target
from labgrid.driver import Driver
from labgrid.exceptions import NoDriverFoundError
from services.mosquitto import Mosquitto

from hil_tests.bench.environment import features_of
from hil_tests.bench.keys import make_keys
from hil_tests.bench.protocols import CameraProtocol, HandsProtocol, HeatProtocol, PhonesProtocol
from hil_tests.bench.strategy import NodeStrategy, Plan
from hil_tests.bench.traffic import Traffic
from hil_tests.bench.virtual import VirtualBoard
from node.messages import TOPIC_ROOT
from provisioning.image.boot.qemu import BROKER_ADDRESS
from provisioning.inventory import Node
from provisioning.seed.seed import make_seed

NODE = "kartu-uji"
SSID = "Simpul Bench"
_ANY_PORT = 9
_SETTINGS = """\
[node]
name = "{node}"
title = "Bench {bench}"
[uplink]
brokers = ["mqtt://{broker}"]
keepalive_seconds = 10
backoff_max_seconds = 5
[camera]
adapter = "{camera}"
width = 320
height = 192
frames_per_second = 5
still_interval_seconds = 2
measure_interval_seconds = 2
stall_seconds = 120
"""
_HEALTH = """\
[health]
measure_interval_seconds = 5
"""
_HOTSPOT = """\
[hotspot]
adapter = "nl80211"
ssid = "{ssid}"
uplink_interface = "{uplink}"
measure_interval_seconds = 2
"""
_BOARD = """\
[board]
adapter = "gpiozero"
chip = {chip}
lamp_pin = 17
button_pin = 27
tamper_pin = 22
"""
RESTART_HOTSPOT = "systemctl restart " + " ".join(
    f"simpul-hotspot-{part}" for part in ("config", "firewall", "hostapd", "dnsmasq")
)
MASK = """\
[[region]]
name = "window"
polygon = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]
"""
"""The upper left quarter of the picture."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a test is given."""

    target: Target
    features: frozenset[str]
    strategy: NodeStrategy
    broker: Mosquitto
    traffic: Traffic

    def command(self, *words: str, seconds: float = 120) -> list[str]:
        """Run a shell command on the node as root; raises labgrid's ExecutionError."""
        said: list[str] = self.strategy.shell.run_check(" ".join(words), timeout=seconds)
        return said

    def driver(self, protocol: type) -> object:
        """Return the bench's driver for a protocol, active."""
        return self.target.get_driver(protocol)

    @property
    def topic(self) -> str:
        """The root of the node's topics."""
        return f"{TOPIC_ROOT}/{NODE}"


@contextmanager
def opened(target: Target, image: Callable[[], Path], folder: Path) -> Iterator[Bench]:
    """Give the bench with a plan for its node; the node is off before and after."""
    features = frozenset(features_of(target))
    with ExitStack() as stack:
        strategy = target.get_strategy()
        board = strategy.power
        address = "127.0.0.1"
        if not isinstance(board, VirtualBoard):
            address = own_address(target.get_resource("NetworkService", name="node").address)
        broker = stack.enter_context(Mosquitto(folder / "broker", address=address))
        traffic = stack.enter_context(Traffic(address, broker.port))
        if isinstance(board, VirtualBoard):
            board.broker, address = f"{address}:{broker.port}", BROKER_ADDRESS
        stack.callback(strategy.transition, "off")
        # Not in the report's folder, which is handed on.
        room = stack.enter_context(TemporaryDirectory(prefix="simpul-bench-"))
        keys = make_keys(Path(room) / "keys")
        seed = make_seed(Node(name=NODE), keys.parts, "unused")
        marks = [0]

        def files() -> Mapping[str, bytes]:
            marks.append(traffic.count())
            return _files(target, f"{address}:{broker.port}", features)

        def await_birth(seconds: float) -> None:
            traffic.wait_for(
                "state",
                since=marks[-1],
                timeout_seconds=seconds,
                that=lambda heard: bool(heard.data()["online"]),
            )

        strategy.plan = Plan(
            image=image(),
            seed=seed.files,
            private_key=keys.private_key,
            helpers=tuple(_helpers(target)),
            files=files,
            commands=_commands(features),
            await_birth=await_birth,
        )
        yield Bench(target, features, strategy, broker, traffic)


def own_address(node: str) -> str:
    """Return this machine's IPv4 address as `node` reaches it: that of the way there.

    Raises OSError when there is none. Nothing is sent.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((node, _ANY_PORT))
        return str(way.getsockname()[0])


def _helpers(target: Target) -> Iterator[Driver]:
    for protocol in (CameraProtocol, HandsProtocol, HeatProtocol, PhonesProtocol):
        with suppress(NoDriverFoundError):
            yield target.get_driver(protocol, activate=False)


def _files(target: Target, broker: str, features: frozenset[str]) -> Mapping[str, bytes]:
    camera = "picamera2" if "camera" in features else "rendered"
    settings = _SETTINGS.format(node=NODE, bench=target.name, broker=broker, camera=camera)
    settings += _HEALTH
    if "hotspot" in features:
        phones = target.get_driver(PhonesProtocol)
        settings += _HOTSPOT.format(ssid=SSID, uplink=phones.uplink() or "@UPLINK@")
    if "hands" in features:
        settings += _BOARD.format(chip=target.get_driver(HandsProtocol).node_chip())
    return {
        "/etc/simpul/node.toml": settings.encode(),
        "/etc/simpul/mask.toml": MASK.encode(),
    }


def _commands(features: frozenset[str]) -> tuple[str, ...]:
    named = "ip -4 route show default | sed 's/.* dev //; s/ .*//; q'"
    commands = [
        # The interface that leads to the bench has another name on each board.
        f'sed -i "s/@UPLINK@/$({named})/" /etc/simpul/node.toml',
        # The lamp of a node without settings fails on a board that had no lines until now.
        "systemctl stop simpul-lamp; systemctl reset-failed; systemctl restart simpul-node",
    ]
    if "hotspot" in features:
        commands.append(RESTART_HOTSPOT)
    return tuple(commands)
