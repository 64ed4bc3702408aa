"""A release is kept only when it proved itself; else the one before runs again, by itself."""

from pathlib import Path

import msgspec
import pytest
from services.install_node import ALONE, AWAIT, GOOD, Node
from services.releases import SITE, Signers, small_bundle

from node.install.errors import (
    BundleError,
    BusyError,
    InstallError,
    ServiceError,
    TrustError,
    UnfitError,
)
from node.install.lock import held
from node.install.settle import settle
from node.install.state import read_state, write_state
from node.install.steps import confirm, install, resume, rollback, show
from node.install.tree import broken_files, installed
from provisioning.release.pack import make_delta


def hashes(node: Node) -> set[str]:
    return {each.name for each in installed(node.places)}


def test_the_first_release(node: Node) -> None:
    outcome = install(node.machine, node.bundle(1), ALONE)
    assert (outcome.status, outcome.changed) == ("installed", True)
    assert node.running() == outcome.release == outcome.confirmed
    assert node.places.confirmed.resolve() == node.places.current.resolve()
    assert not broken_files(node.places.current.resolve())
    assert read_state(node.places.state).counter == 1


def test_again_nothing_changes(node: Node) -> None:
    bundle = node.bundle(1)
    first = install(node.machine, bundle, ALONE)
    again = install(node.machine, bundle, ALONE)
    assert (again.status, again.changed, again.release) == ("current", False, first.release)
    assert node.service.started == [first.release]


def test_a_trial_is_kept_once_confirmed(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    second = install(node.machine, node.bundle(2), AWAIT)
    assert second.status == "trial"
    assert 590 < second.deadline_seconds <= 600
    assert (node.running(), second.confirmed) == (second.release, first.release)
    # The one that takes it back is not the one on trial.
    program, after_s = node.service.armed["confirm"]
    assert program.parents[1].name == first.release
    assert 600 < after_s < 610
    assert install(node.machine, node.bundle(2), AWAIT).changed is False
    kept = confirm(node.machine, second.release)
    assert (kept.status, kept.confirmed) == ("installed", second.release)
    assert confirm(node.machine, second.release).status == "current"
    assert not node.service.armed
    assert node.service.started == [first.release, second.release]


def test_a_trial_that_nobody_confirms_is_taken_back(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    second = install(node.machine, node.bundle(2), AWAIT)
    assert resume(node.machine).status == "trial"
    state = read_state(node.places.state)
    write_state(node.places.state, msgspec.structs.replace(state, deadline_s=0.0))
    outcome = resume(node.machine)
    assert (outcome.status, outcome.release) == ("reverted", second.release)
    assert "nobody confirmed it in time" in outcome.message
    assert node.running() == first.release
    assert node.service.started[-1] == first.release
    assert hashes(node) == {first.release}
    with pytest.raises(InstallError, match=r"is not on trial here; .*nobody confirmed it in time"):
        confirm(node.machine, second.release)
    # Refused once is not refused for ever: the same release may be tried again.
    assert install(node.machine, node.bundle(2), ALONE).status == "installed"


def test_a_reboot_in_the_trial_takes_it_back_without_a_restart(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    install(node.machine, node.bundle(2), AWAIT)
    started = list(node.service.started)
    outcome = resume(node.machine, booting=True)
    assert outcome.status == "reverted"
    assert node.running() == first.release
    assert node.service.started == started


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("exit 3", "exit status 3"),
        ('echo > "$READY"; exit 0', "the agent"),
        ('echo > "$READY"; exec sleep 0.4', "the agent ended"),
    ],
)
def test_a_bad_release_is_taken_back_at_once(node: Node, agent: str, words: str) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    for wishes in (ALONE, AWAIT):
        outcome = install(node.machine, node.bundle(2, agent), wishes)
        assert outcome.status == "reverted"
        assert words in outcome.message
        assert node.running() == outcome.confirmed == first.release
        assert node.service.pulse().active
        assert not node.service.armed
        assert hashes(node) == {first.release}


def test_one_taking_back_is_told_from_the_next_of_the_same_release(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    standings = [show(node.machine)]
    for _ in range(2):
        install(node.machine, node.bundle(2, "exit 3"), ALONE)
        standings.append(show(node.machine))
        assert show(node.machine) == standings[-1], "looking changes nothing"
    assert standings[1].message == standings[2].message
    assert len({each.mark for each in standings}) == 3


def test_a_bad_first_release_leaves_nothing_running(node: Node) -> None:
    outcome = install(node.machine, node.bundle(1, "exit 3"), ALONE)
    assert (outcome.status, outcome.confirmed) == ("reverted", "")
    assert not node.places.current.is_symlink()
    assert not hashes(node)


def test_rollback_goes_to_the_release_before(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    with pytest.raises(InstallError, match="no earlier release is on this node"):
        rollback(node.machine, ALONE)
    second = install(node.machine, node.bundle(2), ALONE)
    back = rollback(node.machine, ALONE)
    assert (back.status, back.confirmed, node.running()) == (
        "installed",
        first.release,
        first.release,
    )
    # The counter has not gone back with it.
    with pytest.raises(TrustError, match="this node has had 2; refused"):
        install(node.machine, node.bundle(1, f"{GOOD} "), ALONE)
    assert rollback(node.machine, ALONE).confirmed == second.release


def test_rollback_of_a_trial(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    install(node.machine, node.bundle(2), AWAIT)
    assert rollback(node.machine, ALONE).status == "rolled-back"
    assert node.running() == first.release


def test_old_releases_are_removed_but_the_one_before_stays(node: Node) -> None:
    releases = [install(node.machine, node.bundle(n), ALONE).release for n in (1, 2, 3, 4)]
    assert hashes(node) == {*releases[2:]}
    assert {each.name for each in node.places.releases.iterdir()} == {*releases[2:]}


def test_a_delta_takes_the_rest_from_what_is_here(node: Node, tmp_path: Path) -> None:
    base, newer = node.bundle(1), node.bundle(2)
    delta = make_delta(newer, base, tmp_path / "delta")
    with pytest.raises(BundleError, match="neither in it nor on this node; install the full"):
        install(node.machine, delta, ALONE)
    first = install(node.machine, base, ALONE)
    outcome = install(node.machine, delta, ALONE)
    assert outcome.status == "installed"
    shared = f"{SITE}/node/shared.py"
    places = [node.places.releases / each / shared for each in (first.release, outcome.release)]
    assert places[0].stat().st_ino == places[1].stat().st_ino


def test_a_delta_on_a_damaged_release_is_refused(node: Node, tmp_path: Path) -> None:
    base, newer = node.bundle(1), node.bundle(2)
    first = install(node.machine, base, ALONE)
    (node.places.current / f"{SITE}/node/shared.py").write_bytes(b"worn out")
    with pytest.raises(InstallError, match="damaged on this node; install the full bundle"):
        install(node.machine, make_delta(newer, base, tmp_path / "delta"), ALONE)
    assert node.running() == first.release
    assert install(node.machine, newer, ALONE).status == "installed"


def test_settings_that_the_new_release_refuses(node: Node) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    bad = node.bundle(2, check="echo 'node.toml:3: camera.angel: unknown key' >&2; exit 2")
    with pytest.raises(UnfitError, match=r"nothing changed:\nnode.toml:3: camera.angel"):
        install(node.machine, bad, ALONE)
    assert node.running() == first.release
    assert node.service.started == [first.release]


def test_releases_that_are_refused_do_not_pile_up(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(node.machine, node.bundle(1), ALONE)
    for number in (2, 3):
        with pytest.raises(UnfitError):
            install(node.machine, node.bundle(number, check="exit 2"), ALONE)
        assert hashes(node) == {first.release}

    def unarmed(*_: object) -> None:
        raise ServiceError("no timer")

    monkeypatch.setattr(type(node.service), "arm", unarmed)
    with pytest.raises(ServiceError):
        install(node.machine, node.bundle(4), ALONE)
    assert hashes(node) == {first.release}
    # Where the record was lost, what runs is no refused release.
    node.places.state.unlink()
    with pytest.raises(UnfitError):
        install(node.machine, node.bundle(5, check="exit 2"), ALONE)
    assert hashes(node) == {first.release}


def test_another_release_of_the_same_number_is_refused(node: Node) -> None:
    one, two = node.bundle(1), node.bundle(2).rename(node.bundles / "two")
    for bundle in (one, two):
        install(node.machine, bundle, ALONE)
    twin = node.bundle(2, f"{GOOD} ")
    with pytest.raises(TrustError, match="has had another release of number 2; refused"):
        install(node.machine, twin, ALONE)
    # What was there before is no other one, whichever of the two runs.
    back = rollback(node.machine, ALONE).release
    with pytest.raises(TrustError, match="another release of number 2"):
        install(node.machine, twin, ALONE)
    assert not install(node.machine, one, ALONE).changed
    assert node.running() == back
    assert install(node.machine, two, ALONE).status == "installed"
    # One that never proved itself took no number.
    assert install(node.machine, node.bundle(3, "exit 3"), ALONE).status == "reverted"
    assert install(node.machine, node.bundle(3), ALONE).status == "installed"


def test_another_release_waits_for_the_trial(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    install(node.machine, node.bundle(2), AWAIT)
    with pytest.raises(BusyError, match=r"on trial; confirm it, or wait .* in (600|59\d) s"):
        install(node.machine, node.bundle(3), ALONE)


def test_who_may_not_release_does_not(node: Node, tmp_path: Path) -> None:
    first = install(node.machine, node.bundle(5), ALONE)
    strangers = Signers().keys
    files = {"bin/simpul-node": b"#!/bin/sh\n"}
    for signers, words in (
        ((), "no signature"),
        (node.signers.keys[:1], "1 of 2"),
        (strangers[:2], "is not trusted here"),
    ):
        with pytest.raises(TrustError, match=words):
            install(node.machine, small_bundle(tmp_path, files, counter=6, signers=signers), ALONE)
    with pytest.raises(TrustError, match="number 4, and this node has had 5; refused"):
        install(node.machine, node.bundle(4), ALONE)
    assert node.running() == first.release
    assert hashes(node) == {first.release}


def test_a_release_for_another_machine_is_refused(node: Node, tmp_path: Path) -> None:
    files, keys = {"bin/simpul-node": b"#!/bin/sh\n"}, node.signers.keys
    other = small_bundle(tmp_path, files, signers=keys, machine="aarch64", counter=2)
    older = small_bundle(tmp_path, files, signers=keys, python="3.2", counter=3)
    if node.machine.boot():
        with pytest.raises(BundleError, match=r"for aarch64, this node is|needs /usr/bin"):
            install(node.machine, other, ALONE)
    with pytest.raises(BundleError, match=r"needs /usr/bin/python3\.2, which this node has not"):
        install(node.machine, older, ALONE)
    with pytest.raises(BundleError, match="as expected; refused"):
        install(node.machine, node.bundle(1), ALONE, expected="ab" * 32)


def test_what_lies_there_without_our_record_is_left_alone(node: Node) -> None:
    by_hand = node.places.home / "by-hand"
    by_hand.mkdir(parents=True)
    node.places.current.symlink_to("by-hand")
    settle(node.machine)
    assert node.places.current.resolve() == by_hand


def test_status_says_how_it_stands(node: Node) -> None:
    assert show(node.machine).confirmed == ""
    first = install(node.machine, node.bundle(1), ALONE)
    assert show(node.machine).confirmed == first.release
    second = install(node.machine, node.bundle(2), AWAIT)
    assert show(node.machine).status == "trial"
    assert show(node.machine).release == second.release


def test_what_a_killed_installer_left_half_done_is_told(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    assert not show(node.machine).busy
    state = read_state(node.places.state)
    write_state(
        node.places.state, msgspec.structs.replace(state, phase="flipping", candidate="a" * 64)
    )
    assert (show(node.machine).busy, show(node.machine).unfinished) == (True, True)
    with held(node.places.lock):  # somebody is at work on it
        assert (show(node.machine).busy, show(node.machine).unfinished) == (True, False)
    resume(node.machine)
    assert (show(node.machine).busy, show(node.machine).unfinished) == (False, False)


def test_a_timer_that_finds_nothing_to_do_ends_itself(node: Node) -> None:
    install(node.machine, node.bundle(1), ALONE)
    node.service.arm("start", node.places.current, 1.0)  # as one that a killed installer left
    resume(node.machine)
    assert not node.service.armed
