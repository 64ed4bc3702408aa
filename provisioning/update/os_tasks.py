"""The task `simpul update-os`; it hands over to the modules that do the work."""

import getpass
from functools import partial
from pathlib import Path

import msgspec
from fabric import task
from invoke import Context

from provisioning.audit.log import AUDIT_FILE
from provisioning.broker_options import broker_at
from provisioning.inventory import INVENTORY_FILE
from provisioning.register import REGISTER_FILE
from provisioning.update.errors import PlanError
from provisioning.update.os_bundle import read_os_bundle
from provisioning.update.os_turn import (
    OsOrders,
    look_again_at_system,
    take_up_system,
    update_system,
)
from provisioning.update.plan import make_plan
from provisioning.update.record import Head
from provisioning.update.rollout import Limits
from provisioning.update.station import (
    Means,
    Run,
    Turns,
    access_to,
    chosen_nodes,
    places_of,
    roll_out,
    ways_of,
)
from provisioning.update.tasks import HELP, quiet
from provisioning.update.turn import check_url

_KIND = "system"


@task(
    positional=["bundle"],
    help={key: text for key, text in HELP.items() if key != "pull"}
    | {
        "bundle": "The signed bundle of an image; see simpul image.",
        "bench": "Nodes on the bench, with commas between: they come first.",
        "url": "Where nodes stream it from, {file} being its name; else it is sent.",
        "within": "Seconds in which a node has to be back, its new slot confirmed.",
        "wave-soak": "How long a wave is watched before the next.",
        "quiet-within": "Wait so many seconds until a node has no guests; needs --broker.",
    },
)
def update_os(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    bundle: str,
    nodes: str = "",
    bench: str = "",
    parallel: int = 8,
    tolerate: int = 0,
    within: float = 1800.0,
    wave_soak: float = 3600.0,
    quiet_within: float = 0.0,
    url: str = "",
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
    user: str = "root",
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    record: str = "",
    resume: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    plan: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Give nodes a new system (A/B slots), a few first; exit 3 when it had to be stopped."""
    if quiet_within and not broker:
        raise PlanError("--quiet-within is told by the broker how many guests there are: --broker")
    access = access_to(inventory, register, audit, identity, user)
    chosen, read = chosen_nodes(Path(inventory), nodes), read_os_bundle(Path(bundle))
    ways = {} if plan else ways_of(chosen, access)
    orders = OsOrders(bundle=read, url=check_url(url), within_s=within)

    def with_means(means: Means) -> OsOrders:
        calmly = partial(quiet, means.calm, quiet_within)
        return msgspec.structs.replace(orders, quiet=calmly, telling=means.telling)

    roll_out(
        Head(
            releases={_KIND: read.version},
            plan=make_plan(places_of(chosen, bench), seed=f"{_KIND} {read.version}"),
            limits=Limits(parallel=parallel, tolerated=tolerate),
            who=getpass.getuser(),
        ),
        chosen,
        access,
        Run(
            action="update-os",
            record=record,
            resume=resume,
            plan_only=plan,
            json=json,
            wave_soak_s=wave_soak,
            broker=broker_at(broker, ca, certificate, key) if broker else None,
        ),
        Turns(
            turn=lambda place, means: update_system(
                place.name, ways[place.name], with_means(means)
            ),
            take_up=lambda place, entry, means: take_up_system(
                place.name, ways[place.name], with_means(means), entry.told
            ),
            look=lambda place, *_: look_again_at_system(ways[place.name], read.version),
        ),
    )
