"""Attends a node from its birth at the broker to a finished checklist, at the technician's side."""

import hashlib
import sys
import time
from datetime import UTC, datetime

from msgspec import Struct
from rich.console import Console
from rich.live import Live

from provisioning.enrol.checklist import Check, all_good, checklist
from provisioning.enrol.hear import Ear, listening_for
from provisioning.enrol.show import checklist_json, checklist_table, is_right_view, picture
from provisioning.listen import BrokerAccess
from provisioning.register import Register

_REFRESH_S = 0.5


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait for the birth and first words, and then for red to turn green, in s."""

    birth_s: float = 300.0
    settle_s: float = 30.0


def attend(
    node: str,
    access: BrokerAccess,
    patience: Patience,
    register: Register | None,
    *,
    as_json: bool,
) -> bool:
    """Wait, show the checklist, and the picture at a terminal; return whether all is good.

    Who sits at the terminal is asked about a picture that the node took while it was waited for,
    and about no other: what the broker keeps may be of another day, or of another pole. A view
    that is confirmed here, or was by `simpul confirm-view`, stands in the register, if there is
    one at this station. Raises FleetError when the broker cannot be reached, RegisterError.
    """
    console = Console()
    confirmed = True if register and register.view_confirmed(node) else None
    ask = sys.stdin.isatty() and not as_json and not confirmed
    with listening_for(node, access) as ear:

        def settled() -> bool:
            due = ask and not ear.still and _camera_is_good(ear)
            return _settled(ear, patience, still_due=due)

        if as_json:
            while not settled():
                ear.wait_change(_REFRESH_S)
        else:
            with Live(console=console, auto_refresh=False, transient=True) as screen:
                while not settled():
                    ear.wait_change(_REFRESH_S)
                    screen.update(checklist_table(node, _checks(ear)), refresh=True)
        still = ear.still
        if still and not as_json:
            console.print(picture(still, console))
            if ask and _camera_is_good(ear):
                confirmed = is_right_view(console)
                if confirmed and register:
                    register.record_view(node, hashlib.sha256(still).hexdigest())
        checks = _checks(ear, confirmed=confirmed)
    good = all_good(checks)
    if as_json:
        print(checklist_json(node, checks, good=good))  # noqa: T201 - the command's answer
    else:
        console.print(checklist_table(node, checks))
    return good


def _settled(ear: Ear, patience: Patience, *, still_due: bool) -> bool:
    """Tell whether waiting longer can change nothing, or has lasted long enough.

    A still that is due is waited for: it comes, or the line of the camera turns red without it.
    """
    now_mono = time.monotonic()
    if not ear.complete:
        return now_mono > ear.since_mono + patience.birth_s
    if still_due:
        return now_mono > ear.complete_mono + patience.birth_s
    # A view is confirmed by a person, here or elsewhere: waiting does not bring it.
    return (
        all_good(_checks(ear, confirmed=True)) or now_mono > ear.complete_mono + patience.settle_s
    )


def _camera_is_good(ear: Ear) -> bool:
    return any(each.key == "camera" and each.verdict == "good" for each in _checks(ear))


def _checks(ear: Ear, *, confirmed: bool | None = None) -> list[Check]:
    return checklist(ear.view, now=datetime.now(UTC), view_confirmed=confirmed)
