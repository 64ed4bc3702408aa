"""Carries `simpul status --drift` out: looks, shows, and ends with a status that says if any."""

from pathlib import Path

import msgspec
from invoke import Exit
from msgspec import Struct
from rich.console import Console

from provisioning.audit.log import AUDIT_FILE
from provisioning.drift.check import Play
from provisioning.drift.look import differences, unheard_and_unlisted
from provisioning.drift.show import drift_view
from provisioning.inventory import nodes
from provisioning.listen import RETAINED_SECONDS_MAX, BrokerAccess
from provisioning.update.station import FOLDER, Access, chosen_nodes

_EXIT_DIFFERS = 3


class Sides(Struct, frozen=True, kw_only=True):
    """From where the fleet is looked at; without a broker nobody is asked who is heard."""

    inventory: Path
    register: Path
    identity: str
    names: str
    broker: BrokerAccess | None
    within_seconds: float = RETAINED_SECONDS_MAX


def tell_drift(sides: Sides, *, json: bool) -> None:
    """Print every difference. Raises Exit with status 3 when there is one."""
    chosen = chosen_nodes(sides.inventory, sides.names)
    access = Access(
        inventory=sides.inventory,
        register=sides.register,
        audit=AUDIT_FILE,
        identity=sides.identity,
    )
    play = Play(inventory=sides.inventory, identity=sides.identity)
    found = differences(chosen, access, play, FOLDER)
    if sides.broker is not None:
        heard = unheard_and_unlisted(
            nodes(sides.inventory),
            sides.broker,
            only=[node.name for node in chosen] if sides.names else None,
            within_seconds=sides.within_seconds,
        )
        found = [*heard, *found]
    if json:
        print(msgspec.json.encode(found).decode())  # noqa: T201 - the command's answer
    elif found:
        Console().print(drift_view(found))
    if found:
        raise Exit(code=_EXIT_DIFFERS)
    if not json:
        print(f"{len(chosen)} nodes are as they should be")  # noqa: T201 - as above
