"""The tasks of the command `simpul`; each hands over to the module that does the work."""

import sys
import threading
import time
from pathlib import Path

from fabric import task
from invoke import Context
from rich.console import Console
from rich.live import Live

from provisioning.broker_options import BROKER_HELP, broker_or_default, broker_or_none
from provisioning.demo.run import Demo, run_demo
from provisioning.fleet import Fleet
from provisioning.inventory import INVENTORY_FILE
from provisioning.inventory import nodes as listed
from provisioning.listen import RETAINED_SECONDS_MAX, line_to
from provisioning.register import REGISTER_FILE
from provisioning.table import fleet_json, fleet_table, nodes_json, nodes_table

_REFRESH_SECONDS = 0.5


@task(
    help={
        "video": "Clip that every node replays; else a clip of this machine, else a drawn street.",
        "port": "TCP port of the page.",
        "seconds": "End by itself after so many seconds; 0 runs until Ctrl-C.",
    }
)
def demo(_context: Context, video: str = "", port: int = 8080, seconds: float = 0) -> None:
    """Run three nodes, a broker and a hub on this machine, and show the page."""
    run_demo(Demo(video=Path(video) if video else None, port=port, seconds=seconds), Console())


@task(
    name="nodes",
    help={"inventory": "The inventory of nodes.", "json": "Print JSON."},
)
def list_nodes(
    _context: Context,
    inventory: str = str(INVENTORY_FILE),
    json: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
) -> None:
    """List the nodes of the inventory: name, place, site and address."""
    known = listed(Path(inventory))
    if json:
        print(nodes_json(known))  # noqa: T201 - the command's answer
        return
    Console().print(nodes_table(known))


@task(
    help={
        **BROKER_HELP,
        "within": "Seconds to wait, at most, for what the broker retains.",
        "drift": "Tell instead what differs from inventory, playbooks and rollouts; exit 3 if any.",
        "nodes": "With --drift only these, with commas between.",
        "inventory": f"Else {INVENTORY_FILE}.",
        "register": f"The host keys of the nodes, for --drift; else {REGISTER_FILE}.",
        "identity": "Your SSH key, for --drift; else your agent's.",
        "json": "Print JSON.",
    }
)
def status(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    within: float = RETAINED_SECONDS_MAX,
    drift: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    nodes: str = "",
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    identity: str = "",
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Show every node as the broker's retained messages tell it."""
    if drift:
        from provisioning.drift.command import Sides, tell_drift  # noqa: PLC0415 - imports Fabric

        tell_drift(
            Sides(
                inventory=Path(inventory),
                register=Path(register),
                identity=identity,
                names=nodes,
                broker=broker_or_none(broker, ca, certificate, key),
                within_seconds=within,
            ),
            json=json,
        )
        return
    fleet = Fleet()
    access = broker_or_default(broker, ca, certificate, key)
    with line_to(access, ("state", "frame"), fleet.hear) as line:
        if not line.settled(within):
            cut = f"not all came within {within:g} s: nodes or stills are missing; use --within"
            print(f"simpul: {access.url}: {cut}", file=sys.stderr)  # noqa: T201 - to its terminal
    views = list(fleet.nodes.values())
    if json:
        print(fleet_json(views))  # noqa: T201 - the command's answer
        return
    console = Console()
    shown = fleet_table(views, live=False, columns=console.width)
    console.print(shown if views else "no node has been heard yet")


@task(help={**BROKER_HELP, "seconds": "End after so many seconds; 0 runs until Ctrl-C."})
def watch(
    _context: Context,
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    seconds: float = 0,
) -> None:
    """Show every node live, until Ctrl-C."""
    fleet = Fleet()
    kinds = ("state", "frame", "health", "wifi", "camera")
    end_mono = time.monotonic() + seconds if seconds else float("inf")
    never = threading.Event()
    console = Console()
    with (
        line_to(broker_or_default(broker, ca, certificate, key), kinds, fleet.hear) as line,
        Live(console=console, auto_refresh=False) as screen,
    ):
        while time.monotonic() < end_mono:
            never.wait(_REFRESH_SECONDS)
            table = fleet_table(
                list(fleet.nodes.values()), live=True, columns=console.width, lost_at=line.lost_at
            )
            screen.update(table, refresh=True)
