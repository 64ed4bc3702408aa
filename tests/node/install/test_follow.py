"""A follower carries one notice out at a time, and tells how the node stands at any time."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from services.loop_cards import needs_loop
from services.small_disk import fill, mounted
from services.waiting import until

from node.clock import FakeClock
from node.errors import UplinkError
from node.install.follow import Follower
from node.install.notice import Notice
from node.settings import Uplink
from node.uplink.link import Happening
from node.uplink.memory_link import MemoryBroker, MemoryLink

RELEASE = "b" * 64
# An installer that installs until it is let go, and answers at once when asked how it stands.
INSTALLER = """#!/bin/sh
[ "$2" = status ] && { echo busy; exit; }
until [ -e "$0.go" ]; do sleep 0.02; done
echo installed
"""


def follower_in(home: Path) -> Follower:
    """Return a follower of a node whose installer is the one above."""
    program = home / "current/bin/simpul-node"
    program.parent.mkdir(parents=True)
    program.write_text(INSTALLER)
    program.chmod(0o755)
    return Follower(
        "n0", Uplink(brokers=("mqtt://127.0.0.1",)), lambda: MemoryLink(MemoryBroker()), home
    )


def test_how_it_stands_is_told_amid_an_installation(tmp_path: Path) -> None:
    follower = follower_in(tmp_path)
    install = Notice(id="1" * 16, do="install", url="https://h/x", release=RELEASE)
    follower._take(msgspec.json.encode(install))
    follower._take(msgspec.json.encode(Notice(id="2" * 16, do="status")))
    until(lambda: len(follower._reports) == 1, "the status")
    another = Notice(id="3" * 16, do="rollback", release=RELEASE)
    follower._take(msgspec.json.encode(another))
    (tmp_path / "current/bin/simpul-node.go").touch()
    until(lambda: len(follower._reports) == 3, "the installation")
    said = [(each.id[0], each.said, each.problem) for each in follower._reports]
    assert said == [
        ("2", "busy", ""),
        ("3", "", "another notice is carried out"),
        ("1", "installed", ""),
    ]
    # Done with that, it takes the next.
    follower._take(msgspec.json.encode(msgspec.structs.replace(another, id="4" * 16)))
    until(lambda: len(follower._reports) == 4, "the next")
    assert follower._reports[3].said == "installed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"confirm_within_s": 1e9}, "confirm_within_s"),
        ({"do": "reboot"}, "do"),
        ({"url": ""}, "names no release, or no URL"),
        ({"later": 1}, "later"),
    ],
)
def test_a_notice_that_is_refused_is_answered(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    follower = follower_in(tmp_path)
    notice = msgspec.to_builtins(
        Notice(id="1" * 16, do="install", url="https://h/x", release=RELEASE)
    )
    follower._take(msgspec.json.encode(notice | change))
    (report,) = follower._reports
    assert (report.id, report.said) == ("1" * 16, "")
    assert report.problem.startswith("notice refused: ")
    assert words in report.problem
    for payload in (b"{", b'{"id": "../x"}', msgspec.json.encode(notice | {"url": "x" * 20_000})):
        follower._take(payload)
    assert len(follower._reports) == 1


class EndedLink(MemoryLink):
    """A connection that the broker lets in and ends `after` turns of 5 s."""

    def __init__(self, clock: FakeClock, after: int) -> None:
        super().__init__(MemoryBroker())
        self._clock = clock
        self._turns_left = after

    def turn(self, timeout_seconds: float) -> Sequence[Happening]:
        if not self._turns_left:
            raise UplinkError("ended by the broker")
        self._turns_left -= 1
        self._clock.advance(timeout_seconds)
        return ()


class Pauses(threading.Event):
    """Remembers the pauses instead of making them, and stops after some."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.seconds.append(timeout)
        if len(self.seconds) == self._count:
            self.set()
        return self.is_set()


def test_a_broker_that_ends_every_connection_is_asked_ever_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(time, "monotonic", clock.mono)
    turns = iter([0, 0, 2, 0, 11, 0, 13, 0])
    uplink = Uplink(brokers=("mqtt://127.0.0.1",))
    follower = Follower("n0", uplink, lambda: EndedLink(clock, next(turns)), tmp_path)
    pauses = Pauses(8)
    follower.run(pauses)
    for seconds, limit in zip(pauses.seconds, (1, 2, 4, 8, 16, 32, 1, 2), strict=True):
        assert limit / 2 <= seconds <= limit


@needs_loop
def test_a_full_disk_is_told_and_how_the_node_stands_too(tmp_path: Path) -> None:
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", at=tmp_path / "home") as home:
        follower = follower_in(home)
        fill(home)
        follower._take(msgspec.json.encode(Notice(id="1" * 16, do="status")))
        until(lambda: len(follower._reports) == 1, "the status")
        assert follower._reports[0].said == "busy"
        rollback = Notice(id="2" * 16, do="rollback", release=RELEASE)
        follower._take(msgspec.json.encode(rollback))
        assert "No space left on device" in follower._reports[1].problem
