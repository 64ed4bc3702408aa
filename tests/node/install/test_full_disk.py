"""A full disk keeps neither a bad release running nor the node from being updated again."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from services.install_node import ALONE, AWAIT, Node
from services.loop_cards import needs_loop
from services.releases import SITE, small_bundle
from services.small_disk import ext4_disk, fill, mounted

from node.install import space
from node.install.errors import InstallError
from node.install.state import read_state, write_state
from node.install.steps import confirm, install, resume, rollback, show

pytestmark = needs_loop


@pytest.fixture
def few_files(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs with room for few files."""
    options = "size=1m,nr_inodes=40"
    with mounted("-t", "tmpfs", "-o", options, "tmpfs", at=tmp_path / "root/opt") as disk:
        yield disk


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """Mount an ext4, on which a link that names a release needs a block of its own."""
    with ext4_disk(tmp_path / "ext4", tmp_path / "root/opt") as disk:
        yield disk


@pytest.fixture
def overlay(node: Node, tmp_path: Path) -> Iterator[Node]:
    """Return a node on a card of ours: its first release in a read-only root, the rest on ext4."""
    install(node.machine, node.bundle(1), ALONE)
    node.service.stop()
    below = tmp_path / "below"
    node.places.home.rename(below)
    with ext4_disk(tmp_path / "ext4", tmp_path / "data") as data:
        upper, work = data / "upper", data / "work"
        upper.mkdir()
        work.mkdir()
        layers = f"lowerdir={below},upperdir={upper},workdir={work}"
        with mounted("-t", "overlay", "-o", layers, "overlay", at=node.places.home):
            yield node


def out_of_time(node: Node) -> None:
    """Let the time of the release on trial be over."""
    state = read_state(node.places.state)
    write_state(node.places.state, msgspec.structs.replace(state, deadline_s=0.0))


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    few_files: Path, node: Node
) -> None:
    with pytest.raises(InstallError, match=r"\d+ MiB free, \d+ MiB needed; remove old releases"):
        install(node.machine, node.bundle(1), ALONE)
    assert not list(few_files.rglob("*.py"))


def test_a_disk_that_fills_up_meanwhile_leaves_what_ran(
    few_files: Path, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert few_files.is_mount()
    monkeypatch.setattr(space, "SPARE_BYTES", 0)
    first = install(node.machine, node.bundle(1), ALONE)
    many = {f"{SITE}/node/{number}.py": b"x" for number in range(60)}
    many["bin/simpul-node"] = b"#!/bin/sh\n"
    large = small_bundle(node.bundles, many, counter=2, signers=node.signers.keys)
    with pytest.raises(InstallError, match="No space left on device; nothing changed"):
        install(node.machine, large, ALONE)
    assert node.running() == first.release
    assert not list(node.places.releases.glob(".*"))
    assert install(node.machine, node.bundle(3), ALONE).status == "installed"


def test_a_full_disk_does_not_keep_a_bad_release(ext4: Path, node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    install(node.machine, node.bundle(2), AWAIT)
    out_of_time(node)
    fill(ext4)
    assert resume(node.machine).status == "reverted"
    assert node.running() == first.release
    assert node.service.started[-1] == first.release
    # What was taken back has made room for the record.
    assert read_state(node.places.state).phase == "idle"
    assert not node.service.armed


def test_a_full_disk_is_no_hindrance_at_boot_or_by_hand(ext4: Path, node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    filler = ext4 / "filler"
    for way_back in (
        lambda: resume(node.machine, booting=True),
        lambda: rollback(node.machine, ALONE),
    ):
        install(node.machine, node.bundle(2), AWAIT)
        fill(ext4)
        assert way_back().confirmed == first.release
        assert node.running() == first.release
        filler.unlink()
        assert show(node.machine).busy is False


def test_a_release_that_fills_the_disk_and_crashes_is_taken_back(ext4: Path, node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    log = ext4 / "log"
    agent = "; ".join(f"dd if=/dev/zero of={log}{size} bs={size} 2>&-" for size in (4096, 1))
    outcome = install(node.machine, node.bundle(2, f"{agent}; exit 3"), ALONE)
    assert outcome.status == "reverted"
    assert node.running() == first.release
    assert node.service.pulse().active


def test_a_full_disk_does_not_keep_the_first_update_of_a_card(
    overlay: Node, tmp_path: Path
) -> None:
    """What lies in the read-only root would have to be copied first, for which there is no room."""
    first = overlay.running()
    install(overlay.machine, overlay.bundle(2), AWAIT)
    fill(tmp_path / "data")
    assert rollback(overlay.machine, ALONE).status == "rolled-back"
    assert overlay.running() == first
    assert overlay.service.started[-1] == first


def test_where_not_even_the_record_finds_room_the_timer_comes_again(ext4: Path, node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    second = install(node.machine, node.bundle(2), ALONE)
    # The one before is on trial: to take it back removes nothing, nor the link to it.
    rollback(node.machine, AWAIT)
    os.link(node.places.current, ext4 / "held", follow_symlinks=False)
    node.service.armed.clear()  # as a reboot does
    filler = fill(ext4)
    assert resume(node.machine, booting=True).status == "reverted"
    assert node.running() == second.release
    assert read_state(node.places.state).phase == "trial"
    program, _ = node.service.armed["confirm"]
    assert program.parents[1].name == second.release
    # It does not restart the agent each time.
    started = len(node.service.started)
    assert resume(node.machine).status == "reverted"
    with pytest.raises(InstallError, match="is not on trial here"):
        confirm(node.machine, first.release)
    assert len(node.service.started) == started
    filler.unlink()
    resume(node.machine)
    assert read_state(node.places.state).phase == "idle"
    assert not node.service.armed
