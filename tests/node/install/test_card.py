"""What lies on a card is held against the manifest: damage is seen, mended, never gone back to."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.install_node import ALONE, AWAIT, Node
from services.releases import SITE

from node.install.errors import InstallError
from node.install.lock import held
from node.install.manifest import MANIFEST_NAME
from node.install.steps import install, resume, rollback
from node.install.tree import broken_files, installed


def test_a_left_over_that_only_looks_complete_is_laid_down_anew(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    bundle = node.bundle(2)
    release = install(node.machine, bundle, AWAIT).release
    rollback(node.machine, ALONE)
    shutil.copytree(node.places.current.resolve(), node.places.releases / release, symlinks=True)
    assert broken_files(node.places.releases / release) == [MANIFEST_NAME]
    assert install(node.machine, bundle, ALONE).status == "installed"
    assert not broken_files(node.places.current.resolve())


def test_what_else_lies_among_the_releases_is_left_alone(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    strays = [node.places.releases / name for name in ("backup.tar", "notes", "a" * 64)]
    for stray in strays:
        stray.write_text("mine")
    partial = node.places.releases / ".partial-file"
    partial.write_text("")
    kept = [install(node.machine, node.bundle(number), ALONE).release for number in (2, 3)]
    assert resume(node.machine).status == "idle"
    assert {each.name for each in installed(node.places)} == {*kept}
    assert all(stray.read_text() == "mine" for stray in strays)
    assert not partial.exists()


def modes(node: Node) -> set[int]:
    """Return the modes of the installer's folders."""
    home = node.places.home
    folders = [home, *(each for each in node.places.releases.rglob("*") if each.is_dir())]
    return {stat.S_IMODE(each.stat().st_mode) for each in [*folders, node.places.releases]}


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_whatever_the_umask_the_agent_may_read_its_release(node: Node) -> None:
    bundle = node.bundle(1)
    with held(node.places.lock):
        install(node.machine, bundle, ALONE)
    assert modes(node) == {0o755}
    shutil.rmtree(node.places.current.resolve())
    assert install(node.machine, bundle, ALONE).changed
    assert modes(node) == {0o755}


@pytest.mark.parametrize(("path", "mode"), [("bin/simpul-node", 0o644), ("bin", 0o700)])
def test_a_wrong_mode_is_damage_and_is_mended(node: Node, path: str, mode: int) -> None:
    bundle = node.bundle(1)
    install(node.machine, bundle, ALONE)
    release = node.places.current.resolve()
    (release / path).chmod(mode)
    assert path in broken_files(release)
    assert install(node.machine, bundle, ALONE).changed
    assert stat.S_IMODE((release / path).stat().st_mode) == 0o755
    assert not broken_files(release)


def damage(release: Path) -> Path:
    file = release / f"{SITE}/node/version.py"
    file.write_text("garbage")
    return file


def test_a_damaged_release_is_mended_by_its_own_bundle(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    bundle = node.bundle(2)
    release = install(node.machine, bundle, ALONE).release
    damage(node.places.current.resolve())
    started = len(node.service.started)
    outcome = install(node.machine, bundle, ALONE, expected=release)
    assert (outcome.status, outcome.changed) == ("current", True)
    assert "version.py" in outcome.message
    assert not broken_files(node.places.current.resolve())
    assert node.service.started[started:] == [release]
    assert not install(node.machine, bundle, ALONE).changed
    # Also where it is the older of two: nobody goes back to anything by this.
    rollback(node.machine, ALONE)
    damage(node.places.current.resolve())
    (node.places.current.resolve() / MANIFEST_NAME).unlink()
    assert install(node.machine, node.bundle(1), ALONE).changed
    assert not broken_files(node.places.current.resolve())


def test_a_release_whose_folder_is_lost_is_laid_down_again(node: Node) -> None:
    release = install(node.machine, node.bundle(1), ALONE).release
    shutil.rmtree(node.places.releases / release)
    assert install(node.machine, node.bundle(1), ALONE).changed
    assert not broken_files(node.places.current.resolve())
    assert node.service.pulse().active


def test_a_damaged_release_is_not_gone_back_to(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    second = install(node.machine, node.bundle(2), ALONE)
    file = damage(node.places.releases / first.release)
    with pytest.raises(InstallError, match=rf"{file}: damaged"):
        rollback(node.machine, ALONE)
    assert node.running() == second.release
