"""Finishes or undoes what an installation was in the middle of, and lets the links follow."""

import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from node.durable import fsync_directory, point, remove_link
from node.install.errors import ServiceError
from node.install.machine import Machine
from node.install.places import Places
from node.install.state import State, read_state, write_state
from node.install.tree import releases_in, set_aside, sweep

_log = logging.getLogger(__name__)


def settle(machine: Machine, *, booting: bool = False) -> State:
    """Return the record once no step is left half done; a trial within its time stays one.

    A release that was being started when the installer or the machine died did not prove itself
    and is taken back; so is one whose time is over. At boot the agent is not up yet, and nothing is
    restarted. Raises InstallStateError, InstallError.
    """
    state = read_state(machine.places.state)
    sweep(machine.places)
    if state.phase == "idle":
        # Without a record of ours, what lies there is somebody else's.
        if state.confirmed and follow(machine.places, state) and not booting:
            _run_again(machine, state)
        return state
    if state.phase == "trial" and not booting and state.boot == machine.boot():
        # Where the link is another it was taken back already; the record could not be written.
        on_trial = _target(machine.places.current) == f"releases/{state.candidate}"
        if on_trial and machine.now_s() < state.deadline_s:
            return state
        reason = "nobody confirmed it in time" if on_trial else "it was taken back already"
        return revert(machine, state, reason)
    reason = "the node or its installer was stopped during its trial"
    return revert(machine, state, reason, booting=booting)


def revert(machine: Machine, state: State, reason: str, *, booting: bool = False) -> State:
    """Go back to the confirmed release, or to none; return the record.

    Works on a full disk too: the links need no room, and what is taken back makes some for the
    record. Where the record cannot be written it stays as it is, and the timer does all of this
    again. Raises OSError where the links cannot be changed.
    """
    _log.warning("release %s is taken back: %s", state.candidate[:16], reason)
    recorded = _write(machine, msgspec.structs.replace(state, phase="reverting"))
    if not recorded:
        _make_room(machine.places)
    before = _target(machine.places.current)
    try:
        follow(machine.places, state)
    finally:
        # Also where writing failed: the link may be back all the same. But only once where the
        # timer finds the disk full again and again.
        if not booting and (recorded or _target(machine.places.current) != before):
            _run_again(machine, state)
    done = State(
        confirmed=state.confirmed,
        previous=state.previous,
        counter=state.counter,
        outcome=f"{state.candidate[:16]} was taken back: {reason}"[:2000],
    )
    try:
        collect(machine.places, done)
    except OSError as error:
        _log.error("%s: not removed: %s", error.filename or machine.places.releases, error.strerror)
    if _write(machine, done):
        machine.service.disarm()
    return done


def follow(places: Places, state: State) -> bool:
    """Let the links point at the confirmed release; tell whether the current one was another."""
    changed = False
    target = f"releases/{state.confirmed}" if state.confirmed else ""
    both = (places.confirmed, places.current)
    for link in both:
        if _target(link) == target:
            changed = False
            continue
        if target:
            there = (each for each in both if _target(each) == target)
            point(link, target, like=next(there, None))
        else:
            remove_link(link)
        changed = True
    return changed


def collect(places: Places, state: State) -> list[str]:
    """Remove every release but the confirmed, the previous and the candidate; return their names.

    What a link points at stays too: where the record was lost, it runs. Set aside first: one that
    is half removed must not look complete.
    """
    linked = {Path(_target(link)).name for link in (places.confirmed, places.current)}
    keep = {state.confirmed, state.previous, state.candidate, *linked}
    gone = [each for each in releases_in(places) if each.name not in keep]
    for each in gone:
        set_aside(each)
    if gone:
        fsync_directory(places.releases)
    sweep(places)
    return [each.name for each in gone]


def _run_again(machine: Machine, state: State) -> None:
    try:
        if state.confirmed:
            machine.service.restart()
        else:
            machine.service.stop()
    except ServiceError as error:
        # The release is back; what ails the service now is not ours to mend by another flip.
        _log.error("%s", error)


def _write(machine: Machine, state: State) -> bool:
    try:
        write_state(machine.places.state, state)
    except OSError as error:
        where = machine.places.state
        _log.error("%s: %s; reverting without the record", where, error.strerror)
        return False
    return True


def _make_room(places: Places) -> None:
    """Give up what is only under way: that can be sent again."""
    sweep(places)
    with suppress(OSError):
        for each in places.incoming.iterdir():
            each.unlink()


def _target(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else ""
