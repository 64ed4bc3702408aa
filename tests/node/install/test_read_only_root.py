"""On a card of ours the first release lies in a read-only root, and later ones in an overlay."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from services.agent_service import ProcessService
from services.install_node import ALONE, AWAIT, Node

from node.install.manifest import MANIFEST_NAME
from node.install.places import Places
from node.install.steps import confirm, install, rollback


@pytest.fixture
def card(node: Node, tmp_path: Path) -> Iterator[Node]:
    """Return the node as an image has it: its root an erofs, an overlay at /opt/simpul."""
    if os.geteuid() != 0 or shutil.which("mkfs.erofs") is None:
        pytest.skip("needs root and erofs-utils")
    install(node.machine, node.bundle(1), ALONE)
    node.service.stop()
    image, root, written = tmp_path / "root.erofs", tmp_path / "card", tmp_path / "data"
    subprocess.run(["mkfs.erofs", "-T0", image, node.root], check=True, capture_output=True)
    for folder in (root, written / "upper", written / "work"):
        folder.mkdir(parents=True)
    places = Places(root)
    layers = f"lowerdir={places.home},upperdir={written / 'upper'},workdir={written / 'work'}"
    with ExitStack() as stack:
        for words in (
            ["-t", "erofs", "-o", "loop,ro", image, root],
            ["-t", "overlay", "-o", layers, "overlay", places.home],
        ):
            done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"this kernel cannot: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", words[-1]], check=True)
        made = Node(root, node.signers, ProcessService(places), node.bundles)
        stack.callback(made.service.stop)
        yield made


def test_a_release_is_installed_beside_the_images_own(card: Node) -> None:
    first = card.running()
    second = install(card.machine, card.bundle(2), AWAIT)
    assert second.status == "trial"
    assert confirm(card.machine, second.release).status == "installed"
    assert card.running() == second.release != first
    assert rollback(card.machine, ALONE).release == first
    assert card.running() == first


def test_the_images_own_release_is_removed_in_its_time(card: Node) -> None:
    """Overlayfs renames no folder of its lower layer (EXDEV)."""
    places, had = card.machine.places, [card.running()]
    for number in (2, 3):
        outcome = install(card.machine, card.bundle(number), AWAIT)
        assert confirm(card.machine, outcome.release).status == "installed"
        had.append(outcome.release)
    assert {each.name for each in places.releases.iterdir()} == {*had[1:]}


def test_a_removal_that_was_cut_off_is_finished(card: Node) -> None:
    places, first = card.machine.places, card.running()
    for number in (2, 3):
        outcome = install(card.machine, card.bundle(number), AWAIT)
        if number == 3:
            # As after a cut: the first step of the removal was done, and some of the second.
            (places.releases / first / MANIFEST_NAME).unlink()
            (places.releases / first / "bin/simpul-node").unlink()
        assert confirm(card.machine, outcome.release).status == "installed"
    assert not (places.releases / first).exists()
