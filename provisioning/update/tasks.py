"""The tasks `simpul update` and `rollback`; they hand over to the modules that do the work."""

import getpass
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from fabric import task
from invoke import Context

from provisioning.audit.log import AUDIT_FILE
from provisioning.broker_options import BROKER_HELP, broker_at
from provisioning.inventory import INVENTORY_FILE
from provisioning.listen import BrokerAccess
from provisioning.register import REGISTER_FILE
from provisioning.update.air import say_wish
from provisioning.update.bundles import Catalog
from provisioning.update.engine import Wish, control_of
from provisioning.update.errors import PlanError, RecordError
from provisioning.update.link import Trial
from provisioning.update.notices import payload_of, to_install
from provisioning.update.plan import make_plan
from provisioning.update.record import Head
from provisioning.update.rollout import Limits
from provisioning.update.station import (
    FOLDER,
    Access,
    Calm,
    Means,
    Run,
    Turns,
    access_to,
    chosen_nodes,
    places_of,
    roll_out,
)
from provisioning.update.turn import (
    Orders,
    address_of,
    check_url,
    look_again,
    roll_back_node,
    take_up_node,
    take_up_rollback,
    update_node,
)

_BACK_SHARES = (0.25,)
_HASH = re.compile("[0-9a-f]{64}")
HELP = {
    "nodes": "Only these, with commas between; else all of the inventory.",
    "parallel": "How many nodes are under way at once.",
    "tolerate": "How many failures do not stop the rollout.",
    "inventory": f"Else {INVENTORY_FILE}.",
    "register": f"The host keys of the nodes; else {REGISTER_FILE}.",
    "identity": "Your SSH key; its certificate (-cert.pub) lies beside it. Else your agent's.",
    "audit": f"File of the audit log; else {AUDIT_FILE}.",
    "user": "As whom the nodes are entered; it must be one who may install.",
    **BROKER_HELP,
    "broker": "mqtts://host:port: there --pause and --abort are heard as well, and guests.",
    "record": f"File of the rollout; else a new one in {FOLDER}/.",
    "resume": "Go on with the rollout of --record: pending nodes again, and what was cut off.",
    "plan": "Print the plan, and do nothing.",
    "pull": "Speak to nodes by notices at --broker, not over SSH; nodes fetch from --url.",
    "json": "Print JSON.",
}


@task(
    positional=["bundle"],
    iterable=["bundle", "base"],
    help=HELP
    | {
        "bundle": "The release, one bundle for each kind of node.",
        "base": "A bundle that nodes may have already: they get the difference; repeatable.",
        "bench": "Those of them that stand on the bench and come first, with commas between.",
        "confirm-within": "Seconds after which a node takes an unconfirmed release back.",
        "soak": "Seconds for which a node watches a new release before anybody else does.",
        "url": "Let nodes fetch it there by themselves; {file} stands for the bundle's name.",
        "wave-soak": "Seconds for which a wave is watched before the next one is begun.",
        "quiet-within": "Wait so many seconds until a node has no guests; needs --broker.",
        "pause": "Let the rollout of --record begin no more nodes; it can be resumed.",
        "abort": "Let the rollout of --record end where it is, for good.",
    },
)
def update(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    bundle: Sequence[str] | None = None,
    base: Sequence[str] | None = None,
    nodes: str = "",
    bench: str = "",
    parallel: int = 16,
    tolerate: int = 0,
    confirm_within: float = 300.0,
    soak: float = 20.0,
    wave_soak: float = 60.0,
    quiet_within: float = 0.0,
    url: str = "",
    pull: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
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
    pause: bool = False,  # noqa: FBT001, FBT002 - as above
    abort: bool = False,  # noqa: FBT001, FBT002 - as above
    plan: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Roll a release out, a few nodes first; exit 3 when it had to be stopped."""
    access = access_to(inventory, register, audit, identity, user)
    air = broker_at(broker, ca, certificate, key) if broker else None
    if pause or abort:
        leave_wish(record, access, air, abort=abort)
        return
    if quiet_within and air is None:
        raise PlanError("--quiet-within is told by the broker how many guests there are: --broker")
    if pull and not url:
        raise PlanError("with --pull nodes fetch by themselves: say from where with --url")
    chosen = chosen_nodes(Path(inventory), nodes)
    with tempfile.TemporaryDirectory() as room:
        catalog = Catalog([*map(Path, bundle or ())], [*map(Path, base or ())], Path(room))
        orders = Orders(
            catalog=catalog,
            trial=Trial(confirm_within_s=confirm_within, soak_s=soak),
            url=check_url(url),
        )
        if pull:
            check_notices(orders)

        def with_means(means: Means) -> Orders:
            calmly = partial(quiet, means.calm, quiet_within)
            return msgspec.structs.replace(orders, quiet=calmly, telling=means.telling)

        roll_out(
            Head(
                releases=catalog.releases,
                plan=make_plan(places_of(chosen, bench), seed=min(catalog.releases.values())),
                limits=Limits(parallel=parallel, tolerated=tolerate),
                who=getpass.getuser(),
            ),
            chosen,
            access,
            Run(
                action="update",
                record=record,
                resume=resume,
                plan_only=plan,
                json=json,
                wave_soak_s=wave_soak,
                broker=air,
                pull=pull,
            ),
            Turns(
                turn=lambda place, means: update_node(place, means.connect, with_means(means)),
                take_up=lambda place, entry, means: take_up_node(
                    place, means.connect, with_means(means), entry.told
                ),
                look=lambda place, entry, connect: look_again(
                    place, entry, connect, {*catalog.releases.values()}
                ),
            ),
        )


@task(
    positional=["release"],
    help=HELP | {"release": "The hash of the release to leave; see simpul release info."},
)
def rollback(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    release: str,
    nodes: str = "",
    parallel: int = 16,
    tolerate: int = 0,
    pull: bool = False,  # noqa: FBT001, FBT002 - as above
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
    resume: bool = False,  # noqa: FBT001, FBT002 - as above
    plan: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Let nodes leave a release for the one they had before; exit 3 when it had to be stopped."""
    if not _HASH.fullmatch(release):
        raise PlanError(f"{release!r} is no hash of a release; it has 64 digits, 0-9 and a-f")
    access = access_to(inventory, register, audit, identity, user)
    chosen = chosen_nodes(Path(inventory), nodes)
    roll_out(
        Head(
            releases={"leaving": release},
            plan=make_plan(places_of(chosen), seed=release, shares=_BACK_SHARES),
            limits=Limits(parallel=parallel, tolerated=tolerate),
            who=getpass.getuser(),
        ),
        chosen,
        access,
        Run(
            action="rollback",
            record=record,
            resume=resume,
            plan_only=plan,
            json=json,
            broker=broker_at(broker, ca, certificate, key) if broker else None,
            pull=pull,
        ),
        Turns(
            turn=lambda place, means: roll_back_node(place, means.connect, {release}),
            take_up=lambda place, _, means: take_up_rollback(place, means.connect, {release}),
        ),
    )


def check_notices(orders: Orders) -> None:
    """See that nodes would obey every notice of the rollout. Raises PlanError."""
    for choice in orders.catalog.choices:
        url = address_of(choice.file, orders.url)
        payload_of(to_install(url, choice.release, orders.trial))


def quiet(calm: Calm, within_s: float, node: str) -> str:
    """Wait at most `within_s` until the node has no guests; return what is to be told."""
    return calm(node, within_s) if within_s else ""


def leave_wish(record: str, access: Access, broker: BrokerAccess | None, *, abort: bool) -> None:
    """Leave the wish beside the record and at the broker: wherever the rollout runs and hears."""
    file = Path(record)
    wish: Wish = "abort" if abort else "pause"
    if not record or (broker is None and not file.is_file()):
        raise RecordError(f"{record or '--record'}: no such rollout; name its file with --record")
    with access.log().doing(f"update {wish}", (), f"record {record}"):
        if file.is_file():
            control_of(file).set(wish)
        if broker:
            say_wish(broker, file, wish)
    where = "" if file.is_file() else f", if one runs that was begun with --broker and {file}"
    print(f"it ends once the nodes under way have ended{where}")  # noqa: T201 - the command's answer
