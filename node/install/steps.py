"""Installs a release: verify, unpack, flip, look after it, then keep it or take it back.

Every step is recorded before it is taken, so that it can be resumed or undone after a kill or a
power cut between any two of them. Callers hold the lock.
"""

import logging
import platform
from pathlib import Path

import msgspec
from msgspec import Struct

from node.durable import point
from node.install.bundle import Bundle, read_bundle
from node.install.errors import BundleError, BusyError, InstallError, ServiceError, TrustError
from node.install.fits import check_machine, check_settings, outbox_of, python_of
from node.install.health import Watch, output_of
from node.install.lock import is_held
from node.install.machine import Machine, Outcome, Standing, Wishes
from node.install.manifest import MANIFEST_NAME, release_hash
from node.install.places import Places
from node.install.service import AGAIN_S, RESTART_MAX_S, Service
from node.install.settle import collect, follow, revert, settle
from node.install.signatures import read_trust, verify
from node.install.state import State, mark_of, read_state, write_state
from node.install.tree import broken_files, lay_tree, mend_tree

_SLACK_S = 2.0
_log = logging.getLogger(__name__)


class Candidate(Struct, frozen=True):
    """A complete release on this node that is to be started."""

    release: str
    counter: int


def install(machine: Machine, file: Path, wishes: Wishes, *, expected: str = "") -> Outcome:
    """Install the bundle in `file`.

    Raises BundleError, TrustError, InstallError, BusyError, ServiceError: then what ran before
    still does. A release that did not prove itself is no error but an outcome, "reverted".
    """
    bundle = read_bundle(file)
    release = release_hash(bundle.manifest_text)
    if expected and release != expected:
        raise BundleError(f"{file}: holds {release[:16]}, not {expected[:16]} as expected; refused")
    if known := at_hand(machine, release):
        return known
    state = at_rest(machine)
    _check(machine, bundle, release, state)
    if release == state.confirmed:
        return _mended(machine, bundle, state)
    directory = lay_tree(bundle, machine.places)
    try:
        check_settings(directory, machine.places)
        return _try(machine, state, Candidate(release, bundle.manifest.counter), wishes)
    except (InstallError, ServiceError):
        # Releases that were laid down for nothing would leave no room for a good one.
        collect(machine.places, read_state(machine.places.state))
        raise


def at_hand(machine: Machine, release: str) -> Outcome | None:
    """Return how it stands with a release that is confirmed and whole, or on trial here; else None.

    Its files are read, as a card may have lost some of them.
    """
    state = settle(machine)
    if state.phase == "trial" and release == state.candidate:
        return _trial_outcome(machine, state)
    if state.phase != "idle" or release != state.confirmed:
        return None
    if not broken_files(machine.places.releases / release):
        return Outcome(status="current", release=release, confirmed=release)
    return None


def at_rest(machine: Machine) -> State:
    """Return the record, with nothing half done or on trial. Raises as `settle`; BusyError."""
    state = settle(machine)
    if state.phase == "trial":
        raise BusyError(
            f"release {state.candidate[:16]} is on trial; confirm it, or wait until it is taken "
            f"back in {state.deadline_s - machine.now_s():.0f} s"
        )
    return state


def _check(machine: Machine, bundle: Bundle, release: str, state: State) -> None:
    verify(release, bundle.signatures, read_trust(machine.places.trust))
    check_machine(bundle.manifest)
    if release == state.confirmed:
        return
    number = bundle.manifest.counter
    if number < state.counter:
        raise TrustError(
            f"release {release[:16]} is number {number}, and this node has had {state.counter}; "
            "refused. To go back: simpul-node install rollback"
        )
    # Of two with one number neither is the newer one: they could be told to replace each other.
    if number == state.counter and release != state.previous:
        raise TrustError(
            f"release {release[:16]}: this node has had another release of number {number}; "
            "refused. Build it with a higher --counter"
        )


def rollback(machine: Machine, wishes: Wishes, *, leaving: str = "") -> Outcome:
    """Go back: from a release on trial to the confirmed one, else to the one before that.

    With `leaving` only from that release; so it may be said twice. Raises as `install` does.
    """
    state = settle(machine)
    runs = state.candidate if state.phase == "trial" else state.confirmed
    if leaving not in {"", runs}:
        return Outcome(status="current", release=runs, confirmed=state.confirmed)
    if state.phase == "trial":
        gone = state.candidate
        done = _reverted(gone, revert(machine, state, "asked for by hand"))
        return msgspec.structs.replace(done, status="rolled-back")
    earlier = machine.places.releases / state.previous
    if not (state.previous and (earlier / MANIFEST_NAME).is_file()):
        raise InstallError("no earlier release is on this node; install one instead")
    if broken := broken_files(earlier):
        raise InstallError(f"{earlier / broken[0]}: damaged; install an earlier release instead")
    check_settings(earlier, machine.places)
    return _try(machine, state, Candidate(state.previous, state.counter), wishes)


def confirm(machine: Machine, release: str) -> Outcome:
    """Keep the release on trial, because the controller heard from it. Raises InstallError."""
    state = settle(machine)
    if state.phase == "trial" and state.candidate == release:
        return _kept(release, keep(machine, state))
    if state.confirmed == release:
        return Outcome(status="current", release=release, confirmed=release)
    raise InstallError(
        f"release {release[:16]} is not on trial here; {state.outcome or 'it was never installed'}"
    )


def resume(machine: Machine, *, booting: bool = False) -> Outcome:
    """Finish or undo what was interrupted; take back what nobody confirmed in time."""
    before = read_state(machine.places.state)
    try:
        state = settle(machine, booting=booting)
    finally:
        if booting:
            _try_again_later(machine)
    if before.phase == "idle" and not booting:
        machine.service.disarm()  # it would call this for ever
    if state.phase == "trial":
        return _trial_outcome(machine, state)
    reverted = before.phase != "idle"
    return Outcome(
        status="reverted" if reverted else "idle",
        release=before.candidate,
        changed=reverted,
        confirmed=state.confirmed,
        message=state.outcome,
    )


def _try_again_later(machine: Machine) -> None:
    """Set the timer where something is left half done at boot, such as on a full disk."""
    state = read_state(machine.places.state)
    if state.phase == "idle":
        return
    try:
        machine.service.arm("confirm", keeper(machine.places, state), AGAIN_S)
    except ServiceError as error:
        _log.error("%s", error)


def show(machine: Machine) -> Standing:
    """Say what runs, how, and what is awaited; changes nothing and needs no lock."""
    state = read_state(machine.places.state)
    trial = state.phase == "trial"
    half_done = state.phase in {"flipping", "reverting"}
    at_work = is_held(machine.places.lock)
    service = machine.service
    pulse = service.pulse() if service.exists() else None
    output = output_of(outbox_of(machine.places))
    return Standing(
        status="trial" if trial else "idle",
        release=state.candidate,
        confirmed=state.confirmed,
        deadline_seconds=_left_seconds(machine, state) if trial else 0.0,
        message=state.outcome or (state.phase if state.phase != "idle" else ""),
        active=pulse.active if pulse else None,
        restarts=pulse.restarts if pulse else None,
        delivers=output.delivered if output else None,
        frames=output.frames if output else None,
        beacons=output.beacons if output else None,
        platform=platform.machine(),
        python=python_of(machine.places),
        counter=state.counter,
        busy=half_done or bool(at_work),
        unfinished=half_done and at_work is False,
        mark=mark_of(machine.places.state),
    )


def _try(machine: Machine, state: State, candidate: Candidate, wishes: Wishes) -> Outcome:
    """Flip to the candidate, judge it, and keep it, await its confirmation or take it back."""
    places, service = machine.places, machine.service
    window_s = RESTART_MAX_S + wishes.soak_s + wishes.patience_s
    trial = msgspec.structs.replace(
        state,
        phase="flipping",
        candidate=candidate.release,
        candidate_counter=candidate.counter,
        boot=machine.boot(),
        outcome="",
    )
    watch = Watch(
        service=service,
        outbox=outbox_of(places),
        before=output_of(outbox_of(places)),
        soak_s=wishes.soak_s,
        patience_s=wishes.patience_s,
    )
    service.arm("start", keeper(places, trial), window_s + _SLACK_S)
    try:
        if state.confirmed:
            # For the way back, while there is room: one in the read-only root of a card would have
            # to be copied first, and a full disk takes no copy.
            point(places.confirmed, f"releases/{state.confirmed}")
        write_state(places.state, trial)
    except OSError as error:
        service.disarm()
        where = error.filename or places.state
        raise InstallError(f"{where}: {error.strerror}; nothing changed") from error
    try:
        point(places.current, f"releases/{candidate.release}")
        reason = _start(service, watch)
        if not reason and wishes.confirm_within_s and service.exists():
            return _await(machine, trial, wishes)
    except ServiceError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename or places.home}: {error.strerror}"
    if reason:
        return _reverted(candidate.release, revert(machine, trial, reason))
    return _kept(candidate.release, keep(machine, trial))


def _mended(machine: Machine, bundle: Bundle, state: State) -> Outcome:
    """Give the confirmed release its damaged files anew, and start the agent with them."""
    mended = mend_tree(bundle, machine.places)
    if machine.service.exists():
        machine.service.restart()
    return Outcome(
        status="current",
        release=state.confirmed,
        confirmed=state.confirmed,
        changed=True,
        message=f"mended {len(mended)} damaged files, such as {mended[0]}",
    )


def _start(service: Service, watch: Watch) -> str:
    """Return why the release that is current now is no good. Raises ServiceError, which is why."""
    if not service.exists():
        return ""
    service.restart()
    return watch.verdict()


def _await(machine: Machine, trial: State, wishes: Wishes) -> Outcome:
    deadline_s = machine.now_s() + wishes.confirm_within_s
    waiting = msgspec.structs.replace(trial, phase="trial", deadline_s=deadline_s)
    machine.service.arm(
        "confirm", keeper(machine.places, trial), wishes.confirm_within_s + _SLACK_S
    )
    write_state(machine.places.state, waiting)
    return msgspec.structs.replace(_trial_outcome(machine, waiting), changed=True)


def keeper(places: Places, state: State) -> Path:
    """Return the program that takes a trial back: of the release that proved itself, if any."""
    return places.releases / (state.confirmed or state.candidate) / "bin/simpul-node"


def keep(machine: Machine, state: State) -> State:
    """Make the candidate the confirmed release; return the record."""
    done = State(
        confirmed=state.candidate,
        previous=state.confirmed,
        counter=max(state.counter, state.candidate_counter),
    )
    write_state(machine.places.state, done)
    follow(machine.places, done)
    machine.service.disarm()
    collect(machine.places, done)
    return done


def _kept(release: str, state: State) -> Outcome:
    return Outcome(status="installed", release=release, changed=True, confirmed=state.confirmed)


def _reverted(release: str, state: State) -> Outcome:
    return Outcome(
        status="reverted",
        release=release,
        changed=True,
        confirmed=state.confirmed,
        message=state.outcome,
    )


def _trial_outcome(machine: Machine, state: State) -> Outcome:
    return Outcome(
        status="trial",
        release=state.candidate,
        confirmed=state.confirmed,
        deadline_seconds=_left_seconds(machine, state),
        message="runs, and is taken back unless it is confirmed",
    )


def _left_seconds(machine: Machine, state: State) -> float:
    return round(max(0.0, state.deadline_s - machine.now_s()), 1)
