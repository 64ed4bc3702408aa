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


def test_a_backlog_replaces_nothing_of_a_former_run(tmp_path: Path) -> None:
    page, former = a_restarted_page(tmp_path)
    page.told(1.0, backlog=True)
    page.refresh(60.0)
    page.told(60.0, backlog=True)
    assert (tmp_path / "cameras.json").read_bytes() == former
    page.told(61.0, backlog=False)
    page.told(62.9, backlog=True)
    page.refresh(62.9)
    assert (tmp_path / "cameras.json").read_bytes() == former
    assert (tmp_path / "stills" / "pasar-horas.jpg").exists()
    page.refresh(64.0)
    assert states(tmp_path) == []
    assert not (tmp_path / "stills" / "pasar-horas.jpg").exists()


def test_a_backlog_without_end_does_not_hold_up_the_page_for_ever(tmp_path: Path) -> None:
    page, former = a_restarted_page(tmp_path)
    for second in range(1, 120):
        page.told(second, backlog=True)
        page.refresh(second)
    assert (tmp_path / "cameras.json").read_bytes() == former
    page.refresh(121.0)
    assert states(tmp_path) == []


def a_restarted_page(public: Path) -> tuple[PublicPage, bytes]:
    """Return the page of a new run, and the cameras.json of the one before; it left a still too."""
    directory = PublicDirectory(public)
    directory.write_cameras(b"of a former run")
    directory.write_still("pasar-horas", b"jpeg")
    return PublicPage(Fleet(Public()), directory), b"of a former run"


def states(public: Path) -> list[str]:
    return [view.state for view in read(public).cameras]


def read(public: Path) -> CamerasFile:
    return msgspec.json.decode((public / "cameras.json").read_bytes(), type=CamerasFile)
