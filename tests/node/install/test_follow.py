"""A follower carries one notice out at a time, and tells how the node stands at any time."""

from pathlib import Path

import msgspec
from services.waiting import until

from node.install.follow import Follower
from node.install.notice import Notice
from node.settings import Uplink
from node.uplink.memory_link import MemoryBroker, MemoryLink

RELEASE = "b" * 64
# An installer that installs until it is let go, and answers at once when asked how it stands.
INSTALLER = """#!/bin/sh
[ "$2" = status ] && { echo busy; exit; }
until [ -e "$0.go" ]; do sleep 0.02; done
echo installed
"""


def test_how_it_stands_is_told_amid_an_installation(tmp_path: Path) -> None:
    program = tmp_path / "current/bin/simpul-node"
    program.parent.mkdir(parents=True)
    program.write_text(INSTALLER)
    program.chmod(0o755)
    follower = Follower(
        "n0", Uplink(brokers=("mqtt://127.0.0.1",)), lambda: MemoryLink(MemoryBroker()), tmp_path
    )
    install = Notice(id="1" * 16, do="install", url="https://h/x", release=RELEASE)
    follower._take(msgspec.json.encode(install))
    follower._take(msgspec.json.encode(Notice(id="2" * 16, do="status")))
    until(lambda: len(follower._reports) == 1, "the status")
    another = Notice(id="3" * 16, do="rollback", release=RELEASE)
    follower._take(msgspec.json.encode(another))
    program.with_name("simpul-node.go").touch()
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
