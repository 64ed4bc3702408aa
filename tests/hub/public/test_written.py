"""When cameras.json is written."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from services.talker import Talker
from services.waiting import until

from hub.public import PublicPage
from hub.public.cameras import CamerasFile
from hub.public.directory import PublicDirectory
from hub.public.fleet import Fleet
from hub.settings import Public
from node.messages import State


def test_it_is_written_anew_twice_a_minute_though_nothing_changes(tmp_path: Path) -> None:
    page = PublicPage(Fleet(Public()), PublicDirectory(tmp_path))
    page.refresh(1.0)
    first = read(tmp_path)
    page.refresh(30.0)
    assert read(tmp_path) == first
    page.refresh(31.0)
    renewed = read(tmp_path)
    assert renewed.generated_at > first.generated_at
    assert renewed.cameras == first.cameras


def test_it_is_written_when_a_node_falls_silent(tmp_path: Path) -> None:
    fleet = Fleet(Public(silent_seconds=4))
    page = PublicPage(fleet, PublicDirectory(tmp_path))
    birth = Talker("mqtt://127.0.0.1:1", "pasar-horas").envelope("state", {}, 0)
    fleet.state(birth, State(online=True), received_at=datetime.now(UTC), retained=False)
    page.refresh(1.0)
    assert states(tmp_path) == ["online"]
    seconds = itertools.count(2)

    def refreshed() -> list[str]:
        page.refresh(next(seconds))
        return states(tmp_path)

    until(lambda: refreshed() == ["offline"], "the silence to be shown")


def states(public: Path) -> list[str]:
    return [view.state for view in read(public).cameras]


def read(public: Path) -> CamerasFile:
    return msgspec.json.decode((public / "cameras.json").read_bytes(), type=CamerasFile)
