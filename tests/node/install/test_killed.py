"""Killed before any of its changes, the installer leaves a node that runs a complete release."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from services.install_node import ALONE, AWAIT, Node, make_node
from services.killed import killed_before

from node.install.bundle import read_bundle
from node.install.machine import Machine, Wishes
from node.install.manifest import release_hash
from node.install.places import Places
from node.install.service import Pulse, Timer
from node.install.settle import revert
from node.install.state import read_state
from node.install.steps import confirm, install, resume, rollback
from node.install.tree import broken_files

# Each kill is followed by a whole installation, whose signatures openssl(1) verifies: hundreds of
# processes for one case, which take minutes on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(900)


class Quiet:
    """A service that is always well, or never; its timer is a file, so that it outlives a kill."""

    def __init__(self, places: Places, *, well: bool = True) -> None:
        self._timer = places.root / "timer"
        self._well = well

    def exists(self) -> bool:
        return True

    def restart(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def pulse(self) -> Pulse:
        return Pulse(active=self._well, pid=1, restarts=0, silent_s=None, words="failed")

    def arm(self, timer: Timer, program: Path, after_s: float) -> None:
        self._timer.write_text(f"{timer} {program} {after_s}")

    def disarm(self) -> None:
        self._timer.unlink(missing_ok=True)


class Case(msgspec.Struct, frozen=True):
    """What is there before, what is killed, which may be confirmed then, and which runs at last."""

    name: str
    before: Callable[[Node], object]
    work: Callable[[Node], object]
    may_be_confirmed: tuple[int, ...]
    again: int = 0


def first(node: Node) -> None:
    install(quiet(node), node.bundle(1), ALONE)


def second(node: Node) -> None:
    first(node)
    install(quiet(node), node.bundle(2), ALONE)


def on_trial(node: Node) -> None:
    first(node)
    install(quiet(node), node.bundle(2), AWAIT)


def quiet(node: Node, *, well: bool = True) -> Machine:
    return Machine(node.places, Quiet(node.places, well=well))


def number_of(node: Node, number: int) -> Path:
    (bundle,) = node.bundles.glob(f"*-{number}-*.bundle")
    return bundle


def installing(
    number: int, *, wishes: Wishes = ALONE, well: bool = True
) -> Callable[[Node], object]:
    return lambda node: install(quiet(node, well=well), number_of(node, number), wishes)


def confirming(node: Node) -> None:
    confirm(quiet(node), read_state(node.places.state).candidate)


def reverting(node: Node) -> None:
    revert(quiet(node), read_state(node.places.state), "asked for")


def going_back(node: Node) -> None:
    rollback(quiet(node), ALONE)


CASES = (
    Case("first", lambda _: None, installing(1), (0, 1), again=1),
    Case("second", first, installing(2), (1, 2), again=2),
    Case("trial", first, installing(2, wishes=AWAIT), (1,), again=2),
    Case("bad", first, installing(2, well=False), (1,), again=1),
    Case("third", second, installing(3), (2, 3), again=3),
    Case("confirmed", on_trial, confirming, (1, 2)),
    Case("reverted", on_trial, reverting, (1,)),
    Case("rolled back", second, going_back, (2, 1)),
)


@pytest.fixture
def memory() -> Iterator[Path]:
    """Yield a folder in memory: a kill, unlike a power cut, loses nothing that was not synced."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_killed_before_every_change(
    case: Case, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    (memory / "base").mkdir()
    base = make_node(memory / "base")
    hashes = {0: ""} | {number: release_of(base, number) for number in (1, 2, 3)}
    case.before(base)
    allowed = {hashes[number] for number in case.may_be_confirmed}
    seen: set[str] = set()
    for change in itertools.count(1):
        folder = memory / "work"
        shutil.copytree(base.root, folder, symlinks=True)
        node = Node(folder, base.signers, base.service, base.bundles)
        killed = killed_before(change, folder, partial(case.work, node))
        seen.add(held_to_its_word(node))
        assert seen <= allowed, f"change {change}"
        if case.again:
            case.work(node)  # what was killed can simply be done
            assert node.running() == hashes[case.again]
        shutil.rmtree(folder)
        if not killed:
            break
    assert change > 5, "it was killed at hardly any change"
    assert seen == allowed, "it was killed on one side of its decision only"


def release_of(node: Node, number: int) -> str:
    return release_hash(read_bundle(node.bundle(number)).manifest_text)


def held_to_its_word(node: Node) -> str:
    """Check a node whose installer was killed; return what is confirmed once it was resumed."""
    machine, state = quiet(node), read_state(node.places.state)
    if node.running():
        assert not broken_files(node.places.releases / node.running())
    if node.running() not in {"", state.confirmed}:
        # Something unproven runs: then it is recorded, and a timer is set that ends it.
        assert state.phase != "idle"
        assert state.candidate == node.running()
        assert (node.root / "timer").exists()
    resume(machine)
    state = read_state(node.places.state)
    if state.phase == "trial":
        assert node.running() == state.candidate
        return state.confirmed
    assert state.phase == "idle"
    assert node.running() == state.confirmed
    assert not list(node.places.releases.glob(".*"))
    return state.confirmed
