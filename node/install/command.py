"""The command `simpul-node install`: what Ansible, Fabric, a timer and the boot call alike.

Exit status: 0 done (or nothing to do); 1 it could not be done; 2 usage; 3 refused (signatures,
an older release, a damaged or foreign bundle, settings); 4 taken back; 5 another one is under way.
Unless it is 4, what ran before still runs.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from node.install.errors import BundleError, BusyError, InstallError, TrustError, UnfitError
from node.install.fetch import fetch, is_address, local_file
from node.install.incoming import discard
from node.install.lock import held
from node.install.machine import Machine, Outcome, Wishes, machine_at
from node.install.steps import at_hand, at_rest, confirm, install, resume, rollback, show
from node.messages import SimpulError
from node.settings_file import load_settings
from node.stop import stop_on_signal
from node.uplink.client_id import client_id_of

_EXIT_FAILED = 1
_EXIT_REFUSED = 3
_EXIT_REVERTED = 4
_EXIT_BUSY = 5
_TIMER_WAIT_S = 900.0
_SECONDS_MAX = 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments on the parser of `simpul-node install`."""
    wishes = Wishes()
    parser.add_argument(
        "what",
        metavar="BUNDLE|URL|confirm|rollback|resume|status|follow",
        help="what to install (./NAME for a file of such a name); or confirm the release on "
        "trial, go back to the one before, finish what was interrupted, show how it stands, or do "
        "what notices at the broker say",
    )
    parser.add_argument("release", nargs="?", default="", help="with confirm: its hash")
    parser.add_argument(
        "--expect",
        default="",
        metavar="HASH",
        help="refuse a bundle of any other release; with rollback: leave no other one",
    )
    parser.add_argument(
        "--confirm-within",
        type=_seconds,
        default=wishes.confirm_within_s,
        metavar="SECONDS",
        help="take it back unless it is confirmed by then; 0: the node decides alone (%(default)s)",
    )
    parser.add_argument(
        "--soak",
        type=_seconds,
        default=wishes.soak_s,
        metavar="SECONDS",
        help="how long it may not stumble (%(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=wishes.patience_s,
        metavar="SECONDS",
        help="how much longer it may take to measure and to reach a broker (%(default)s)",
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates for https (PEM)")
    parser.add_argument("--booting", action="store_true", help="with resume: no agent is up yet")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="root of another system; nothing is restarted"
    )


def run(options: argparse.Namespace) -> int:
    """Carry out one order; return the exit status."""
    machine = machine_at(options.root)
    if options.what == "follow":
        return _follow(machine)
    try:
        outcome = _carry_out(machine, options)
    except (SimpulError, OSError) as error:
        return _failed(error, as_json=options.json)
    _say(outcome, as_json=options.json)
    # Taking back is just what a resumption is for.
    return _EXIT_REVERTED if outcome.status == "reverted" and options.what != "resume" else 0


def _follow(machine: Machine) -> int:
    from node.install.follow import Follower  # noqa: PLC0415 - only this order needs it
    from node.uplink.paho_link import PahoLink  # noqa: PLC0415 - an adapter, chosen here

    settings = load_settings(machine.places.settings)
    name, uplink = settings.node.name, settings.uplink
    Follower(
        name,
        uplink,
        lambda: PahoLink(uplink, client_id=client_id_of(f"{name}-releases", uplink)),
        machine.places.home,
    ).run(stop_on_signal())
    return 0


def _carry_out(machine: Machine, options: argparse.Namespace) -> Outcome:
    if options.what == "status":
        return show(machine)
    if os.geteuid() != 0 and options.root == Path("/"):
        raise InstallError("only root installs releases; say sudo")
    wishes = Wishes(
        confirm_within_s=options.confirm_within,
        soak_s=options.soak,
        patience_s=options.patience,
    )
    if options.what not in {"resume", "rollback", "confirm"}:
        return _install(machine, options, wishes)
    # A timer must not give up only because an installer is still about to fail.
    wait_s = _TIMER_WAIT_S if options.what == "resume" else 0.0
    with held(machine.places.lock, wait_s=wait_s):
        if options.what == "resume":
            return resume(machine, booting=options.booting)
        if options.what == "rollback":
            return rollback(machine, wishes, leaving=options.expect)
        if not options.release:
            raise InstallError("confirm what? Name the hash; see simpul-node install status")
        return confirm(machine, options.release)


def _install(machine: Machine, options: argparse.Namespace, wishes: Wishes) -> Outcome:
    try:
        with held(machine.places.lock):
            if options.expect and (known := at_hand(machine, options.expect)):
                return known
            if is_address(options.what):
                # The lock is held for the whole download, and whoever ends a trial needs it.
                at_rest(machine)
            return _fetch_and_install(machine, options, wishes)
    finally:
        # What was sent is of no use any more, also where it was not even looked at.
        with suppress(ValueError):
            discard(local_file(options.what), machine.places.incoming)


def _fetch_and_install(machine: Machine, options: argparse.Namespace, wishes: Wishes) -> Outcome:
    incoming = machine.places.incoming
    fetched = fetch(options.what, incoming, ca=options.ca)
    try:
        return install(machine, fetched.file, wishes, expected=options.expect)
    except (BundleError, TrustError):
        if not fetched.resumed:
            raise
    finally:
        discard(fetched.file, incoming)
    # Refused, but perhaps put together from two files: only what came in one piece tells.
    whole = fetch(options.what, incoming, ca=options.ca)
    try:
        return install(machine, whole.file, wishes, expected=options.expect)
    finally:
        discard(whole.file, incoming)


def _failed(error: SimpulError | OSError, *, as_json: bool) -> int:
    status, code = "failed", _EXIT_FAILED
    if isinstance(error, BusyError):
        status, code = "busy", _EXIT_BUSY
    elif isinstance(error, BundleError | TrustError | UnfitError):
        status, code = "refused", _EXIT_REFUSED
    if as_json:
        words = {"status": status, "changed": False, "message": str(error)}
        print(msgspec.json.encode(words).decode())  # noqa: T201 - the command's answer
    print(error, file=sys.stderr)  # noqa: T201 - a command speaks to its terminal
    return code


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {_SECONDS_MAX:g} seconds")
    return seconds


def _say(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(outcome).decode())  # noqa: T201 - the command's answer
        return
    words = [outcome.status, outcome.release or outcome.confirmed or "nothing is installed"]
    if outcome.status == "trial":
        words.append(f"for {outcome.deadline_seconds:.0f} s")
    print(" ".join([*words, outcome.message]).strip())  # noqa: T201 - as above
