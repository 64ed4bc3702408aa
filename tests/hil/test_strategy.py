"""A node's way through its states, with a real sshd as the node's and a board of paper."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import attr
import pytest
from labgrid import Target
from labgrid.driver import Driver, SSHDriver
from labgrid.protocol import PowerProtocol
from labgrid.resource import NetworkService
from labgrid.strategy import StrategyError
from services.sshd import Sshd, sshd_missing

from hil_tests.bench.keys import make_keys
from hil_tests.bench.protocols import CardProtocol, ConsoleLogProtocol
from hil_tests.bench.strategy import NodeStrategy, Plan, Status
from provisioning.seed.seed import PROVISIONER

pytestmark = pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")


@attr.s(eq=False)
class PaperBoard(  # type: ignore[misc]
    Driver, PowerProtocol, CardProtocol, ConsoleLogProtocol
):
    """Notes what it is asked for."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.asked: list[str] = []

    def on(self) -> None:
        self.asked.append("on")

    def off(self) -> None:
        self.asked.append("off")

    def cycle(self) -> None:
        raise NotImplementedError

    def flash(self, image: Path, seed: Mapping[str, bytes]) -> None:
        self.asked.append(f"flash {image} {','.join(seed)}")

    def lines(self) -> list[str]:
        return []


@pytest.fixture
def way(tmp_path: Path) -> Iterator[NodeStrategy]:
    keys = make_keys(tmp_path / "bench")
    sshd = Sshd(tmp_path / "node", keys.parts.user_authority, keys.parts.krl, PROVISIONER)
    sshd.make_host_key()
    with sshd:
        target = Target("paper")
        NetworkService(target, name=None, address="127.0.0.1", username="root", port=sshd.port)
        PaperBoard(target, name=None)  # type: ignore[call-arg]
        SSHDriver(target, name=None)
        strategy = NodeStrategy(target, name=None)  # type: ignore[call-arg]
        strategy.plan = Plan(
            image=Path("bench.img"),
            seed={"user-data": b"", "meta-data": b""},
            private_key=keys.private_key,
            helpers=(),
            files=lambda: {str(tmp_path / "etc/node.toml"): b"[node]\nname = 'it''s'\n"},
            commands=(f"touch {tmp_path}/started",),
            await_birth=lambda _seconds: strategy.power.asked.append("born"),
        )
        yield strategy
        strategy.transition("off")


FLASHED = ["off", "flash bench.img user-data,meta-data"]
BOOTED = [*FLASHED, "on"]


def test_every_state_is_passed_once(way: NodeStrategy, tmp_path: Path) -> None:
    way.transition("provisioned")
    assert way.power.asked == [*BOOTED, "born"]
    assert (tmp_path / "etc/node.toml").read_bytes() == b"[node]\nname = 'it''s'\n"
    assert (tmp_path / "started").exists()
    way.transition("provisioned")
    assert way.power.asked == [*BOOTED, "born"]
    assert set(way.seconds) == {"flashed", "booted", "provisioned"}


def test_going_back_switches_off(way: NodeStrategy) -> None:
    way.transition("booted")
    way.transition("flashed")
    assert way.power.asked == [*BOOTED, *FLASHED]
    assert way.status is Status.FLASHED


def test_after_a_power_cut_the_card_is_not_written_again(way: NodeStrategy) -> None:
    way.transition("booted")
    way.lost_power()
    way.transition("booted")
    assert way.power.asked == [*BOOTED, "on"]


def test_an_agent_that_is_no_release_is_told(way: NodeStrategy) -> None:
    with pytest.raises(StrategyError, match="does not run from a release"):
        way.transition("released")


def test_without_a_plan_nothing_is_flashed(way: NodeStrategy) -> None:
    way.plan = None
    with pytest.raises(StrategyError, match="nothing was planned"):
        way.transition("flashed")


def test_a_node_that_keeps_failing_is_given_up(way: NodeStrategy) -> None:
    assert way.plan is not None

    def never(_seconds: float) -> None:
        raise TimeoutError("no birth")

    way.plan = dataclasses.replace(way.plan, await_birth=never)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="no birth"):
            way.transition("provisioned")
    with pytest.raises(StrategyError, match="failed 2 times"):
        way.transition("provisioned")
    assert way.power.asked == [*BOOTED, *BOOTED], "each try began with a new card"
    way.transition("off")
    assert way.power.asked[-1] == "off"
