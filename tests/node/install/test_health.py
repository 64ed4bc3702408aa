"""A release is judged by what the last one did: it may lose neither broker, frames nor beacon."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from services.install_node import ALONE, Node

from node.clock import SystemClock
from node.install.health import Output, Watch, output_of
from node.install.steps import install
from node.messages import Camera, Wifi
from node.outbox.batch import Rank
from node.outbox.outbox import Outbox
from node.settings import Outbox as OutboxSettings

OLD, NEW = "0" * 16, "1" * 16
RUNS = Camera(adapter="v4l2", running=True)
STANDS = Camera(adapter="v4l2", running=False)
UP = Wifi(interface="wlan0", up=True)
DOWN = Wifi(interface="wlan0", up=False)


def record(file: Path, boot: str, measured: Iterable[Camera | Wifi], *, sent: bool = True) -> None:
    """Write what an agent measured in the run `boot`, each in a batch of its own."""
    outbox = Outbox(file, OutboxSettings(), node="pasar-horas", boot=boot, clock=SystemClock())
    outbox.commit()
    outbox.attach(lambda: None)
    for each in measured:
        kind = "camera" if isinstance(each, Camera) else "wifi"
        outbox.put(Rank.MEASUREMENT, kind, each)
        outbox.commit()
        delivery = outbox.take_fresh()
        if sent and delivery:
            outbox.acknowledge(delivery)
    outbox.close()


@pytest.mark.parametrize(
    ("measured", "frames", "beacons"),
    [
        ([UP, UP], None, True),
        ([RUNS], True, None),
        ([RUNS, UP], True, True),
        ([RUNS, UP, *[DOWN] * 40], True, False),
        ([RUNS, STANDS, DOWN, UP], False, True),
    ],
)
def test_what_was_measured_last_counts(
    tmp_path: Path,
    measured: list[Camera | Wifi],
    frames: bool | None,  # noqa: FBT001 - drawn by name
    beacons: bool | None,  # noqa: FBT001 - as above
) -> None:
    record(tmp_path / "outbox.db", OLD, [RUNS, UP])
    record(tmp_path / "outbox.db", NEW, measured)
    assert output_of(tmp_path / "outbox.db") == Output(
        NEW, delivered=True, frames=frames, beacons=beacons
    )


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ([RUNS, UP], ""),
        ([STANDS, UP], "its camera gives no frames, though it did under the last release"),
        ([UP], "its camera gives no frames, though it did under the last release"),
        ([RUNS, DOWN], "its access point is not up, though it was under the last release"),
    ],
)
def test_a_release_may_not_lose_what_the_last_one_had(
    node: Node, monkeypatch: pytest.MonkeyPatch, measured: list[Camera | Wifi], words: str
) -> None:
    assert judged(node, monkeypatch, [RUNS, UP], measured) == words


def test_what_was_broken_before_is_not_the_releases_fault(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(node, monkeypatch, [STANDS, DOWN], [STANDS, DOWN]) == ""


def judged(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Camera | Wifi],
    after: list[Camera | Wifi],
) -> str:
    """Return the verdict on a release that measures `after`, of a node that measured `before`."""
    monkeypatch.setattr("node.install.health._HANG_SHOWS_S", 0.1)  # none of these hangs
    install(node.machine, node.bundle(1), ALONE)
    file = node.root / "outbox.db"
    record(file, OLD, before)
    known = output_of(file)
    record(file, NEW, after)
    watch = Watch(service=node.service, outbox=file, before=known, soak_s=0, patience_s=0.1)
    return watch.verdict()


def test_an_outbox_of_another_format_judges_nobody(tmp_path: Path) -> None:
    file = tmp_path / "outbox.db"
    record(file, OLD, [RUNS, UP])
    with closing(sqlite3.connect(file)) as opened, opened:
        opened.execute("UPDATE body SET body = x'00'")
    assert output_of(file) is None
    file.write_bytes(b"no database at all, however long it is")
    assert output_of(file) is None
